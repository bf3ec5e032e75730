"""The strategies that have a name, and what else stands for a strategy."""

from __future__ import annotations

from ..errors import UnknownIdentError
from .greenlet import GreenletIdent
from .strategy import CallableIdent, ContextIdent, Ident, TaskIdent, ThreadIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    IdentLike: TypeAlias = "str | Ident | Callable[[], Any]"

_NAMED: Final[dict[str, Callable[[], Ident]]] = {
    "context": ContextIdent,
    "thread": ThreadIdent,
    "greenlet": GreenletIdent,
    "gevent": lambda: GreenletIdent("gevent"),
    "eventlet": lambda: GreenletIdent("eventlet"),
    "task": TaskIdent,
}
_made: dict[str, Ident] = {}


def resolve(ident: IdentLike, source: str = "ident") -> Ident:
    """Return the strategy that ``ident`` means.

    :param ident: a name ("context", "thread", "greenlet", "gevent", "eventlet",
        "task"), a strategy object, or a callable without arguments. The callables
        that everybody knows mean the built-in strategies: ``get_ident`` is thread
        (greenlet if it is a patched one), ``getcurrent`` of greenlet, gevent and
        eventlet is greenlet, ``asyncio.current_task`` is task.
    :param source: where it came from, for the error.
    :raises UnknownIdentError: none of these.
    :raises MissingDependencyError: the strategy's package is not installed.
    :raises IdentCallableError: the callable needs arguments.
    """
    if isinstance(ident, Ident):
        return ident
    if callable(ident) and not isinstance(ident, type):
        known = _well_known(ident)
        return CallableIdent(ident) if known is None else resolve(known)
    if not isinstance(ident, str) or ident not in _NAMED:
        raise UnknownIdentError(ident, source, tuple(_NAMED))
    if ident not in _made:
        _made.setdefault(ident, _NAMED[ident]())
    return _made[ident]


def _well_known(function: Any) -> str | None:
    package = str(getattr(function, "__module__", "")).partition(".")[0]
    name = getattr(function, "__name__", "")
    if name in ("get_ident", "get_native_id"):
        return {"_thread": "thread", "gevent": "greenlet", "eventlet": "greenlet"}.get(package)
    if name == "getcurrent" and package in ("greenlet", "gevent", "eventlet"):
        return "greenlet"
    if name == "current_task" and package in ("asyncio", "_asyncio"):
        return "task"
    return None
