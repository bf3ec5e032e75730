"""What leaves the process: the values that Locals have named by ``wire``, as JSON values.

Nothing but the JSON values themselves is taken, exactly: what another process gets is what was
exported, and nothing that comes in can name code. All of it is looked at before any of it is used.
"""

from __future__ import annotations

import json

from ..errors import WireError
from ..local import Local
from ..local.wire import wired
from .frame import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Known = dict[str, tuple[Local, tuple[str, ...]]]  # by name: the Local and its wire
    Entry = tuple[Local, str, Any]

MAX_BYTES = 4096  #: of the JSON form, unless a limit is given: what fits into a header
MAX_DEPTH = 32  #: of lists and dicts within one another
_MAX_INT = 2**63  # what is beyond is no number for many who read JSON, or msgpack in its place

_as_text = json.JSONEncoder(separators=(",", ":")).encode


def export(*locals: Local, limit: int = MAX_BYTES) -> dict[str, dict[str, Any]]:
    """Return what the current owner's values are of all that these Locals let leave the process.

    ::

        request = Local(name="request", wire=("request_id", "tenant"))
        flow.export(request)  # {"request": {"request_id": "4f1c", "tenant": "acme"}}

    A dict of JSON values by the Local's name and the attribute's, for :func:`imported` in another
    process: str, int, finite float, bool, None, and lists and dicts of these, all copied. What is
    not bound is left out. O(size).

    :param locals: those to ask, each made with ``wire=``.
    :param limit: of the whole, in bytes of its JSON form.
    :raises WireError: a value is no JSON, exactly: a tuple, a subclass or an int beyond 64 bits
        would come out as something else; or all is larger than the limit; or a Local has no wire,
        or the name of another one.
    :raises TypeError: what is given is no Local.
    """
    data: dict[str, dict[str, Any]] = {}
    for name, (local, wire) in _by_name(locals, "export").items():
        for each in wire:
            if (pair := local._ctxlocal_now(each)) is not None:
                data.setdefault(name, {})[each] = _copied(name, each, pair[1], limit)
    _refuse_large(data, limit)
    return data


def imported(data: Any, *locals: Local, limit: int = MAX_BYTES) -> Frame:
    """Return a Frame that holds what another process has exported.

    ::

        flow.imported(data).run(job)

    The Frame is a fresh one otherwise, and nothing outside of it changes. Whoever made ``data`` may
    be hostile: he gets no further than to values of the named attributes. O(size).

    :param data: what :func:`export` returned, as it came through JSON or the like.
    :param locals: those that it may set, each made with ``wire=``. Without any, all of this
        process, which are found by their names as long as they live.
    :param limit: of the whole, in bytes of its JSON form.
    :raises WireError: it is nothing that could have been exported: of no such Local or attribute,
        of another shape, too large; or several living Locals have the name that is in it.
    :raises TypeError: what is given is no Local.
    """
    known = _by_name(locals, "imported") if locals else _living(data)
    entries = list(_entries(data, known, limit))
    _refuse_large(data, limit)
    frame = Frame()
    frame.run(_set, entries)
    return frame


def _set(entries: Iterable[Entry]) -> None:
    for local, name, value in entries:
        setattr(local, name, value)


def _by_name(locals: Iterable[Local], function: str) -> Known:
    known: Known = {}
    for local in locals:
        if not hasattr(type(local), "_ctxlocal_now"):
            raise TypeError(f"{function}() takes Locals, not {type(local).__name__}.")
        slot = local._ctxlocal_slot
        if slot.name is None or not slot.wire:
            raise WireError(
                f"{slot.label} says of none of its attributes that it may leave the process. "
                "Make it with Local(name=..., wire=(...)).",
                local=slot.name,
            )
        if slot.name in known and known[slot.name][0] is not local:
            raise _ambiguous(slot.name, "are given here, so that nobody could tell them apart")
        known[slot.name] = local, slot.wire
    return known


def _living(data: Any) -> Known:
    """Return this process's Locals that have a wire; of one name only one."""
    known: Known = {}
    for slot in wired():
        local: Any = slot.holder()
        if local is None or slot.name is None or local._ctxlocal_slot is not slot:
            continue
        if slot.name in known and isinstance(data, dict) and slot.name in data:
            raise _ambiguous(slot.name, "live here. Give the one that is meant to imported()")
        known[slot.name] = local, slot.wire
    return known


def _ambiguous(name: str, what: str) -> WireError:
    return WireError(f"Two Locals with a wire and the name {name!r} {what}.", local=name)


def _entries(data: Any, known: Known, limit: int) -> Iterable[Entry]:
    """Yield the Local, the attribute and the value of all that is in ``data``."""
    for name, values in _items(data, "What is to be imported", None):
        if name not in known:
            raise WireError(
                f"There is no Local {_short(name)} here that lets anything in. Make it with "
                f"Local(name=..., wire=(...)) before; known are {_listed(known)}.",
                local=name,
            )
        local, wire = known[name]
        for each, value in _items(values, f"What is to be imported of Local {name!r}", name):
            if each not in wire:
                raise WireError(
                    f"Local {name!r} lets no {_short(each)} in; its wire has {_listed(wire)}.",
                    local=name,
                    name=each,
                )
            yield local, each, _copied(name, each, value, limit)


def _items(data: Any, what: str, local: str | None) -> Iterable[tuple[str, Any]]:
    if type(data) is not dict:
        raise WireError(f"{what} has to be a dict, not {type(data).__name__}.", local=local)
    for name in data:
        if type(name) is not str:
            raise WireError(f"{what} has a key that is no str.", local=local)
    return data.items()


def _short(name: str) -> str:
    return f"{name[:40]!r}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"


def _copied(local: str, name: str, value: Any, limit: int) -> Any:
    """Return a copy of a JSON value, which shares nothing with it."""
    try:
        return _Copying(limit).copied(value, 0)
    except ValueError as error:
        text = f"{name!r} of Local {local!r} cannot cross to another process: {error}"
        raise WireError(text, local=local, name=name) from None


class _Copying:
    """Copies one value; gives up where it has more parts than its JSON form may have bytes."""

    __slots__ = ("_left",)

    def __init__(self, limit: int) -> None:
        self._left = limit

    def copied(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError("it is too large.")
        if type(value) in (list, dict):
            if depth >= MAX_DEPTH:
                raise ValueError(f"it has more than {MAX_DEPTH} lists or dicts within one another.")
            if type(value) is list:
                return [self.copied(each, depth + 1) for each in value]
            # of a copy, as another thread may change the dict meanwhile
            return {_key(key): self.copied(each, depth + 1) for key, each in self._items(value)}
        if (problem := _problem(value)) is not None:
            raise ValueError(problem)
        return value

    def _items(self, value: dict[Any, Any]) -> list[tuple[Any, Any]]:
        if len(value) > self._left:
            raise ValueError("it is too large.")
        return list(value.items())


def _key(key: Any) -> str:
    if type(key) is not str or _problem(key) is not None:
        raise ValueError(f"it has a key of a dict that is no text, but {type(key).__name__}.")
    return key


def _problem(value: Any) -> str | None:
    """Say why a value, which is no list and no dict, is no JSON; None where it is."""
    kind = type(value)
    if value is None or kind is bool:
        return None
    if kind is str:
        is_text = value.isascii() or value == value.encode("utf-8", "ignore").decode("utf-8")
        return None if is_text else "it has text with half a surrogate pair, which is no Unicode."
    if kind is int:
        return None if -_MAX_INT <= value < _MAX_INT else "it has an int beyond 64 bits."
    if kind is float:
        return None if value - value == 0 else "it has a float that is not finite."
    return (
        f"it is or has a {kind.__name__}. JSON has str, int, float, bool, None, list and dict, "
        "exactly."
    )


def _refuse_large(data: Any, limit: int) -> None:
    size = len(_as_text(data))
    if size > limit:
        raise WireError(f"{size} bytes of JSON are to cross, and the limit is {limit}.")
