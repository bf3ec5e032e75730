"""Identity strategies: each tells which thread, greenlet, task or other object is the owner.

Which strategy serves is the application's decision, not a library's: a Local
made without ``ident`` follows :func:`set_default`, or the environment variable
``CTXLOCAL_IDENT``. Either is set before the first value is stored.

May import: ``errors``.
"""

from __future__ import annotations

import gc
import os
from _weakref import ref  # without what else weakref imports
from contextvars import Context

from ..errors import IdentInUseError, UnknownIdentError
from .strategy import THREAD as THREAD
from .strategy import CallableIdent, ContextIdent, GreenletIdent, Ident, TaskIdent, ThreadIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any, Final, Protocol, TypeAlias

    IdentLike: TypeAlias = "str | Ident | Callable[[], Any]"

    class Follower(Protocol):
        """Something that follows the default: it can be asked for values and be unbound."""

        label: str

        def is_live(self, contexts: Callable[[], list[Context]]) -> bool: ...
        def unbind(self) -> None: ...


__all__ = [
    "CallableIdent",
    "ContextIdent",
    "GreenletIdent",
    "Ident",
    "TaskIdent",
    "ThreadIdent",
    "current",
    "default_source",
    "get_default",
    "resolve",
    "set_default",
]

ENVIRONMENT: Final = "CTXLOCAL_IDENT"

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


_default: Ident | None = None  # None until the first write, get_default() or set_default()
_default_source = "built-in"
_followers: dict[int, ref[Follower]] = {}


def get_default() -> Ident:
    """Return the application's strategy; the environment is read at the first call.

    :raises UnknownIdentError: ``CTXLOCAL_IDENT`` names no strategy.
    :raises MissingDependencyError: its package is not installed.
    """
    global _default, _default_source
    if _default is None:
        name = os.environ.get(ENVIRONMENT)
        _default = resolve(name or "context", f"The environment variable {ENVIRONMENT}")
        _default_source = ENVIRONMENT if name else "built-in"
    return _default


def decided_default() -> Ident | None:
    """Return the application's strategy if it is decided, without deciding it."""
    return _default


def default_source() -> str:
    """Return where the default came from: "set_default", "CTXLOCAL_IDENT" or "built-in"."""
    return _default_source


def set_default(ident: IdentLike | None, *, discard: bool = False) -> None:
    """Choose the application's strategy. Call it once, before the first value is stored.

    Every Local made without ``ident`` follows, also those made before. Where one of them
    holds a value already the call is refused; a value that was released, or whose owner has
    ended, does not count. To choose what is in force already is never refused.

    :param ident: as in :func:`resolve`; None goes back to the environment.
    :param discard: drop the values that are stored under the old default,
        instead of refusing.
    :raises IdentInUseError: a living owner holds a value in a Local that
        follows the default; nothing was changed.
    :raises UnknownIdentError: no such strategy.

    O(living owners). Not meant to be called while other threads use the locals.
    """
    global _default, _default_source
    new = None if ident is None else resolve(ident, "set_default()'s ident")
    if isinstance(new, CallableIdent) and isinstance(_default, CallableIdent):
        new = _default if new.function == _default.function else new
    if new is None or new is not _default:
        _release_followers(new, discard)
    _default = new
    _default_source = "built-in" if new is None else "set_default"


def _release_followers(new: Ident | None, discard: bool) -> None:
    followers = [found for known in list(_followers.values()) if (found := known()) is not None]
    collected: list[list[Context]] = []

    def contexts() -> list[Context]:
        if not collected:  # once for all followers
            collected.append(_living_contexts())
        return collected[0]

    live = [] if discard else sorted(f.label for f in followers if f.is_live(contexts))
    if live:
        raise IdentInUseError(
            get_default().name, "the environment's" if new is None else new.name, live
        )
    for follower in followers:
        follower.unbind()


def _living_contexts() -> list[Context]:
    gc.collect()  # a Context that is garbage already does not count
    return [found for found in gc.get_objects() if type(found) is Context]


def follow(follower: Follower) -> None:
    """Register ``follower``, weakly, to be unbound when the default changes."""
    key = id(follower)
    _followers[key] = ref(follower, lambda _: _followers.pop(key, None))


def current(ident: IdentLike | None = None) -> Hashable:
    """Return a hashable identity of the current owner.

    Unique among all owners, living or ended, and keeps no value alive; usable as
    SQLAlchemy's ``scopefunc``. In the context strategy one object for each living
    Context, and a copied Context has another one: two tasks never share it. Of an owner that
    is known by equality it is one that equals every other one of it, and holds that owner.

    :param ident: as in :func:`resolve`; None means the default.
    """
    return (get_default() if ident is None else resolve(ident)).current()
