"""The strategies that have a name, and what else stands for a strategy."""

from __future__ import annotations

from ..errors import UnknownIdentError
from .greenlet import HUBS, GreenletIdent
from .strategy import CallableIdent, ContextIdent, Ident, TaskIdent, ThreadIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    IdentLike: TypeAlias = "str | Ident | Callable[[], Any]"


def _of_hub(hub: str) -> Callable[[], Ident]:
    return lambda: GreenletIdent(hub)


# The one list of named strategies: options of the command line, instruments and tests read it.
NAMED: Final[dict[str, Callable[[], Ident]]] = {
    "context": ContextIdent,
    "thread": ThreadIdent,
    "greenlet": GreenletIdent,
    **{hub: _of_hub(hub) for hub in HUBS},
    "task": TaskIdent,
}
# Those that tell a kind of owner apart; a hub's is that of greenlets, with a look whose they are.
KINDS: Final[dict[str, type[Ident]]] = {
    name: make for name, make in NAMED.items() if isinstance(make, type)
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
    if not isinstance(ident, str) or ident not in NAMED:
        raise UnknownIdentError(ident, source, tuple(NAMED))
    if ident not in _made:
        _made.setdefault(ident, NAMED[ident]())
    return _made[ident]


def kind_of(strategy: Ident) -> str:
    """Return which kind of owner a strategy tells apart: a key of KINDS, or "callable"."""
    return next((kind for kind, cls in KINDS.items() if isinstance(strategy, cls)), "callable")


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
