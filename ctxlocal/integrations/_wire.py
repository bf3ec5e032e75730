"""Values of Locals in one header of a message: what the integrations of queues and of RPC share."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from .. import flow
from ..local import Local

HEADER = "ctxlocal"  #: its name, in lower case as gRPC wants it
_MAX_BYTES = 4096  # of what it says: as large as flow.export lets it become

_log = logging.getLogger("ctxlocal.integrations")


class Carried:
    """The Locals whose values go along, and what a header says of them.

    Safe from any thread, greenlet and task.

    :param carry: the Locals, each made with ``name=`` and ``wire=``.
    :raises ValueError: there are none; a WireError, which is one: a Local has no wire, or two have
        one name.
    :raises TypeError: what is given is no Local.
    """

    def __init__(self, carry: Iterable[Local]) -> None:
        self._locals = tuple(carry)
        if not self._locals:
            raise ValueError("carry names no Local: nothing would go along.")
        flow.imported({}, *self._locals)

    def header(self) -> str | None:
        """Return what the header is to say of the current owner's values: ASCII; None of none.

        :raises WireError: one is no JSON, or all are too large.
        """
        data = flow.export(*self._locals)
        return json.dumps(data, separators=(",", ":")) if data else None

    def frame(self, header: object, message: str) -> flow.Frame:
        """Return a Frame that holds what came in a header; a fresh one where there was none.

        What could not have left by ``header()`` is refused whole, and a warning says so: whoever
        needs a value finds it unbound, and who does not, as while a new version is rolled out that
        carries more, goes on.

        :param header: a str, or None.
        :param message: what the warning calls the message.
        """
        if header is None:
            return flow.Frame()
        try:
            return flow.imported(_read(header), *self._locals)
        except (ValueError, RecursionError) as error:
            text = "the header %r of %s was refused, and nothing of it is used: %s"
            _log.warning(text, HEADER, message, error)
            return flow.Frame()


def _read(header: object) -> object:
    if not isinstance(header, str):
        raise ValueError(f"it has to be a str, not {type(header).__name__}")
    if len(header) > _MAX_BYTES:
        raise ValueError(f"it has {len(header)} characters, and the limit is {_MAX_BYTES}")
    try:
        return json.loads(header)
    except ValueError:
        raise ValueError("it is no JSON") from None
