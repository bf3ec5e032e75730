"""What a Local holds, in every line of a log: for logging, structlog and loguru.

::

    handler.addFilter(LocalFilter(request, defaults={"request_id": "-"}))
    structlog.configure(processors=[structlog_processor(request), ...])
    loguru.logger.configure(patcher=loguru_patcher(request))

Each looks when a line is written, in the owner that writes it; ids come by
:mod:`ctxlocal.integrations.request_id`. None imports structlog or loguru.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ..local import Local


class LocalFilter(logging.Filter):
    """A filter that refuses nothing, and gives each record attributes of a Local.

    ``%(request_id)s`` in a format is then the current owner's. Add it to handlers: a logger's
    filters do not see the records of loggers below it. What a record has already, as by ``extra=``,
    it keeps.

    :param local: where the attributes are looked for.
    :param defaults: the attributes' names, with what stands where the owner has none.
    :raises ValueError: one is a name of logging's own, as ``name`` or ``message``.
    """

    def __init__(self, local: Local, defaults: Mapping[str, Any]) -> None:
        super().__init__()
        for name in defaults:
            if name in _LOGGINGS_OWN:
                raise ValueError(f"a log record has a {name!r} of its own; choose another name")
        self._local = local
        self._defaults = dict(defaults)

    def filter(self, record: logging.LogRecord) -> bool:
        """Give the record what it lacks."""
        for name, default in self._defaults.items():
            if not hasattr(record, name):
                setattr(record, name, getattr(self._local, name, default))
        return True


_LOGGINGS_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def structlog_processor(
    local: Local,
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return a processor for structlog: the owner's attributes are keys of each event.

    What the event, or what was bound to the logger, has already stays.
    """

    def add(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in dict(local).items():
            event.setdefault(name, value)
        return event

    return add


def loguru_patcher(local: Local) -> Callable[[Any], None]:
    """Return a patcher for loguru: the owner's attributes are in each record's ``extra``."""

    def add(record: Any) -> None:
        for name, value in dict(local).items():
            record["extra"].setdefault(name, value)

    return add
