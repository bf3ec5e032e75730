"""Record, with all that one owner holds, and the primitives that no monkey-patching reaches.

Every owner but a Context keeps its values in a :class:`Record`: a thread in its
thread state, a greenlet in its ``__dict__``, a task in its list of callbacks (one that
is only known by equality can keep none: by_equality.py). No
table of ours refers to a value, so a value may refer to its owner and both can
still be collected. The only registry here is weak; it serves what has to
reach every owner: a Local that is dropped, a changed default, a forked child.
"""

from __future__ import annotations

import _thread
import os
import sys
from _weakref import ref  # the module weakref takes 1.5 ms, of which nothing else is needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any, Protocol, TypeAlias

    Runner: TypeAlias = tuple[object, ref[Any] | None]  # a thread's token, and weakly a greenlet

    class Inside(Protocol):
        """What an owner that is inside a frame has there, and who entered it."""

        values: Values
        runner: Runner


def _raw_local_type() -> type:
    # gevent and eventlet replace the name in the module; the type itself stays.
    if _thread._local.__module__ == "_thread":
        return _thread._local
    return next(
        cls
        for cls in object.__subclasses__()
        if (cls.__module__, cls.__name__) == ("_thread", "_local")
    )


if TYPE_CHECKING:
    from threading import local

    RawLocal = local
else:
    RawLocal = _raw_local_type()


class Values(dict):  # type: ignore[type-arg]  # dict[int, Any] would need a subscript at run time
    """One owner's values, each under the key of the storage it belongs to.

    Equal to itself only: it is a place, not a value.
    """

    __slots__ = ("__weakref__", "thread")
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __init__(self, thread: object = None) -> None:
        self.thread = thread  # the values die with it in a forked child; None: they stay
        reference = _ValuesRef(self, _forget)
        reference.key = id(self)
        _alive[reference.key] = reference


class _ValuesRef(ref["Values"]):
    __slots__ = ("key",)
    key: int


_alive: dict[int, _ValuesRef] = {}


def _forget(reference: _ValuesRef) -> None:
    _alive.pop(reference.key, None)


def living_values() -> list[Values]:
    """Return the values of every living owner and frame. O(owners)."""
    return [values for reference in list(_alive.values()) if (values := reference()) is not None]


class Seen(dict):  # type: ignore[type-arg]  # as for Values
    """A dict that the garbage collector never loses sight of.

    It leaves a plain dict or tuple out of account, for good, when it finds nothing in it that it
    has to look at; and an active greenlet is nothing to it. So a greenlet that was its own value
    during a collection would never be found to be garbage later. A subclass is not left out.
    """

    __slots__ = ()


# As an item of a tuple it has the same effect.
SEEN: list[object] = []


class OwnerToken:
    """A hashable stand-in for an owner: unique, never reused, keeps nothing alive."""

    __slots__ = ("__weakref__", "label")

    def __init__(self, label: str) -> None:
        self.label = label

    def __repr__(self) -> str:
        return f"<identity of {self.label}>"


class EqualToken(OwnerToken):
    """A stand-in for an owner known by equality: it equals every other one of that owner.

    :param key: the strategy and the owner.
    """

    __slots__ = ("_key",)

    def __init__(self, label: str, key: tuple[Hashable, Hashable]) -> None:
        super().__init__(label)
        self._key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EqualToken) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class Record:
    """All values of one owner; an owner known by equality has no record (by_equality.py).

    ``fixed`` are the values that stay with the owner; ``carried`` those that
    travel with snapshots and frames, which exchange the map whole. ``inside`` is
    the exchange that a frame has made of it, the last one; else None.

    :param owner: the owner of the values; None for a thread.
    :param thread: the token of the thread that the values die with in a forked child, or None.
    """

    __slots__ = ("__weakref__", "carried", "fixed", "inside", "owner", "token")

    def __init__(self, owner: object = None, thread: object = None) -> None:
        self.fixed = Values(thread)
        self.carried = Values(thread)
        self.inside: Any = None
        self.token: OwnerToken | None = None
        self.owner = None if owner is None else ref(owner)

    def __reduce__(self) -> tuple[type[Record], tuple[()]]:
        # It sits in the __dict__ of other people's objects: a pickled or deep-copied owner
        # takes no values along.
        return Record, ()

    def end(self, *_: object) -> None:
        """Drop everything: the owner has ended."""
        self.fixed.clear()
        self.carried.clear()


_here = RawLocal()


def running_greenlet() -> Any | None:
    """Return the greenlet that runs; None where none can, since nobody has imported greenlet.

    Another thread may be importing it: then this one runs none either.
    """
    getcurrent = getattr(sys.modules.get("greenlet"), "getcurrent", None)
    return None if getcurrent is None else getcurrent()


def thread_token() -> object:
    """Return a token for the OS thread that runs now; it keeps nothing alive."""
    # Not the thread's record: a greenlet's would keep that, and its values, beyond the thread.
    try:
        return _here.token
    except AttributeError:
        token = _here.token = object()
        return token


def thread_record() -> Record:
    """Return the record of the OS thread that runs now."""
    try:
        return _here.record  # type: ignore[no-any-return]
    except AttributeError:
        record = _here.record = Record(thread=thread_token())
        return record


def _after_fork_in_child() -> None:
    """Drop the values of owners that never run in the child: those of all other threads."""
    mine = thread_token()
    for values in living_values():
        if values.thread not in (None, mine):
            values.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
