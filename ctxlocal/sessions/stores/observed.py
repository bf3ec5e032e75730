"""A store whose calls are told to a function: which, how long, how it ended, how often repeated.

>>> from ctxlocal.sessions.stores.memory import MemoryStore
>>> store = observed(MemoryStore(), print)
>>> store.delete("no session")  # doctest: +ELLIPSIS
StoreCall(store='memory', call='delete', seconds=..., error=None, cause=None, repeats=0)
False
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from inspect import iscoroutinefunction
from time import perf_counter
from types import TracebackType
from typing import Any, cast, overload

import msgspec

from ...local import Latch
from ..errors import SessionConfigError
from .forwarding import AtOnce, Awaited, Blocking
from .grouped import threaded
from .in_loop import InLoop, in_loop_of
from .protocol import AsyncStore, Record, Stats, Store
from .repeats import Repeats, count_by, current

__all__ = ["AsyncObservedStore", "ObservedStore", "StoreCall", "observed"]

_log = logging.getLogger("ctxlocal.sessions")


class StoreCall(msgspec.Struct, frozen=True):
    """One call of a store, as it was seen from outside. It holds no id, no key and no value."""

    store: str  #: the store's ``name``, which has no credentials
    call: str  #: the method: ``"load"``
    seconds: float  #: from the call to its end, on a clock that nobody sets
    error: type[BaseException] | None  #: the class of what was raised; None: it returned
    cause: type[BaseException] | None  #: that of its ``__cause__``: what the store's client raised
    repeats: int  #: how often the store asked its server again; what its client repeats is not seen


Hook = Callable[[StoreCall], object]


@overload
def observed(store: Store, hook: Hook) -> ObservedStore: ...
@overload
def observed(store: AsyncStore, hook: Hook) -> AsyncObservedStore: ...
def observed(store: Store | AsyncStore, hook: Hook) -> ObservedStore | AsyncObservedStore:
    """Return a store that does what ``store`` does, and tells ``hook`` of each call.

    What else the store has, ``create_table`` for instance, can be reached through it, and is not
    told. A call takes some 3 µs more. A store that nobody observes pays nothing.

    :param store: any Store or AsyncStore, one of your own too; ``close`` closes it.
    :param hook: called with a :class:`StoreCall` where the call was made: in the request's own
        thread, task and Context, also where the store's calls run in threads. It should return at
        once. What it raises is logged, the first time with its traceback, and breaks nothing.
    :raises SessionConfigError: ``hook`` cannot be called, or would have to be awaited.
    """
    if not callable(hook):
        raise SessionConfigError("hook", f"{_name(hook)} cannot be called; give a function")
    if iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__):
        raise SessionConfigError("hook", f"{_name(hook)} would have to be awaited; give a function")
    if iscoroutinefunction(store.load):
        return AsyncObservedStore(cast(AsyncStore, store), hook)
    return ObservedStore(cast(Store, store), hook)


def _name(hook: object) -> str:
    """Return what a hook is called; its repr might show what it was made with."""
    return getattr(hook, "__qualname__", None) or f"a {type(hook).__qualname__}"


class _Stopwatch:
    """What is seen of a call: the time within its ``with`` blocks, and how the last one ended."""

    __slots__ = ("_before", "_begun", "_counted", "cause", "error", "repeats", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.repeats = 0
        self.error: type[BaseException] | None = None
        self.cause: type[BaseException] | None = None

    def __enter__(self) -> None:
        counted = self._before = current()
        if counted is None:
            count_by(counted := Repeats())
        self._counted = counted  # an observer's around this one counts too
        self.repeats -= counted.count
        self._begun = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds += perf_counter() - self._begun
        self.repeats += self._counted.count
        self.error = kind
        if error is not None and error.__cause__ is not None:
            self.cause = type(error.__cause__)
        count_by(self._before)


class _Observer:
    """Tells a hook what was seen of a store, in whatever manner that is asked."""

    def __init__(self, store: str, hook: Hook) -> None:
        self._store = store
        self._hook = hook
        self._has_failed = Latch()

    def tell(self, call: str, seen: _Stopwatch) -> None:
        told = StoreCall(self._store, call, seen.seconds, seen.error, seen.cause, seen.repeats)
        try:
            self._hook(told)
        except Exception as error:
            if self._has_failed.take():
                _log.exception(
                    "%s, which observes the session store %s, raised %s; this is logged once",
                    _name(self._hook),
                    self._store,
                    type(error).__name__,
                )


class AsyncObservedStore(Awaited):
    """An AsyncStore whose calls are told to a hook; see :func:`observed`."""

    store: Any

    def __init__(self, store: AsyncStore, hook: Hook, observer: _Observer | None = None) -> None:
        super().__init__(store, is_direct=False)
        self.hook = hook
        self._observer = _Observer(store.name, hook) if observer is None else observer

    async def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        seen = _Stopwatch()
        try:
            with seen:
                return await getattr(self.store, name)(*args, **kwargs)
        finally:
            self._observer.tell(name, seen)

    def __getattr__(self, name: str) -> Any:
        return _of_the_inner(self, name)


class ObservedStore(Blocking):
    """A Store whose calls are told to a hook; see :func:`observed`."""

    def __init__(self, store: Store, hook: Hook) -> None:
        self.store = store
        self.hook = hook
        self.name = store.name
        self.is_blocking = store.is_blocking
        operations = AsyncObservedStore(AtOnce(store), hook)
        self._operations, self._observer = operations, operations._observer

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every live record; told when it is over, with the time that the store took."""
        seen = _Stopwatch()
        try:
            with seen:
                records = iter(self.store.scan())
            while True:
                with seen:
                    found = next(records, None)
                if found is None:
                    return
                yield found
        finally:
            self._observer.tell("scan", seen)

    def stats(self) -> Stats:
        """Count the live records."""
        seen = _Stopwatch()
        try:
            with seen:
                return self.store.stats()
        finally:
            self._observer.tell("stats", seen)

    def __getattr__(self, name: str) -> Any:
        return _of_the_inner(self, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.store!r}>"


def _of_the_inner(observed: Any, name: str) -> Any:
    if name == "store":  # of one that is only just being made, as by copy
        raise AttributeError(name)
    return getattr(observed.store, name)


def in_threads(store: Store) -> AsyncStore:
    """Return a store whose calls run in threads; who observes it is told where they are awaited."""
    if isinstance(store, ObservedStore):
        return AsyncObservedStore(in_threads(store.store), store.hook, store._observer)
    return threaded(store)


def in_loop(store: Store) -> tuple[InLoop, AsyncStore] | None:
    """Return by what an event loop may load, and that as a store that it asks; None: by nothing."""
    if isinstance(store, ObservedStore):
        found = in_loop(store.store)
        if found is None:
            return None
        return found[0], AsyncObservedStore(found[1], store.hook, store._observer)
    reader = in_loop_of(store)
    return None if reader is None else (reader, AtOnce(cast(Store, reader)))
