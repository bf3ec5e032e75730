"""The application's default strategy, and what follows it."""

from __future__ import annotations

import gc
import os
from _weakref import ref  # without what else weakref imports
from contextvars import Context

from ..errors import IdentInUseError
from .named import resolve
from .strategy import CallableIdent, Ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Final, Protocol

    from .named import IdentLike

    class Follower(Protocol):
        """Something that follows the default: it can be asked for values and be unbound."""

        label: str

        def is_live(self, contexts: Callable[[], list[Context]]) -> bool: ...
        def unbind(self) -> None: ...


ENVIRONMENT: Final = "CTXLOCAL_IDENT"
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

    Unique among all owners, living or ended, and keeps no value alive; it is one object, which
    goes when its owner ends, so that a weak reference to it can tell. In the context strategy one
    for each living Context, and a copied Context has another one: two tasks never share it. Of an
    owner that is known by equality a new one each time, which equals every other one of it, and
    holds that owner.

    :param ident: as in :func:`resolve`; None means the default.
    """
    return (get_default() if ident is None else resolve(ident)).current()
