"""GroupedStore: a store in threads that does what many tasks want of it at once as one.

A transaction costs more than what one request does in it. So the writes that wait while another
one is done are done together: one transaction, after which all of them are told. Each still
is as if it was alone: see :meth:`Together.do_together`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, cast

from ..._async_library import Gate, library, open_gates, start_thread
from ..._empty_context import in_empty_context
from .protocol import Store
from .threaded import ThreadedStore

MOST = 64  # calls in one group: others who write wait for it
LINGER = 0.05  # seconds that the thread waits for another call; so the interpreter's end may, too
WRITES = frozenset(("create", "commit", "move", "touch", "delete"))


class Call:
    """A call that waits for its turn, and in the end what came of it."""

    __slots__ = ("_args", "_kwargs", "answer", "error", "gate", "name")

    def __init__(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], gate: Gate
    ) -> None:
        self.name = name
        self._args, self._kwargs = args, kwargs
        self.gate = gate  # opened when it is done
        self.answer: Any = None
        self.error: BaseException | None = None

    def make(self, store: Store) -> None:
        """Make the call; what it raises is kept for who waits."""
        self.answer = self.error = None
        try:
            self.answer = getattr(store, self.name)(*self._args, **self._kwargs)
        except BaseException as error:
            self.error = error

    def fail(self, error: BaseException, cause: BaseException | None = None) -> None:
        """Let it be an error without making it."""
        error.__cause__ = cause
        self.answer, self.error = None, error


class Together(Store, Protocol):
    """A store that does many calls at the price of one."""

    groups: bool  #: it does; else each call may take a thread of its own

    def do_together(self, calls: Sequence[Call]) -> None:
        """Make calls that came at once, each as if the others were made before or after it.

        What is done is stored on return: who gets an answer may rely on it. What one of them
        raises is its own alone.
        """


class GroupedStore(ThreadedStore):
    """The asynchronous twin of a store that does many writes together.

    :param store: what is asked from one thread for the writes, and others for all else.
    """

    store: Together

    def __init__(self, store: Together) -> None:
        super().__init__(store)
        self._lanes: dict[int, _Lane] = {}  # by process: a fork takes no threads along

    async def close(self) -> None:
        """Wait for the calls that run, end the threads and close the store."""
        lane = self._lanes.pop(os.getpid(), None)
        if lane is not None:
            await library().wait(in_empty_context(start_thread, lane.close))
        await super().close()

    async def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        if name not in WRITES:
            return await super()._call(name, *args, **kwargs)
        call = Call(name, args, kwargs, library().gate())
        self._lane().put(call)
        await call.gate.wait()
        if call.error is None:
            return call.answer
        try:
            raise call.error
        finally:
            del call  # or it would be in a cycle with the error's traceback

    def _lane(self) -> _Lane:
        process = os.getpid()
        lane = self._lanes.get(process)
        return lane or self._lanes.setdefault(process, _Lane(self.store))  # no thread runs yet


class _Lane:
    """Makes calls, a group after the other, in a thread of its own."""

    def __init__(self, store: Together) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(
            1, "ctxlocal-store"
        )  # which the interpreter's end waits for
        self._waiting: SimpleQueue[Call] = SimpleQueue()
        self._turn: deque[None] = deque((None,))  # empty while somebody works: its pop is atomic

    def put(self, call: Call) -> None:
        """Let a call be made in its turn."""
        self._waiting.put(call)
        if self._turn:  # else whoever has it looks once more after giving it back
            self._begin()

    def close(self) -> None:
        """Wait until all is done."""
        self._pool.shutdown()

    def _begin(self) -> None:
        try:
            self._turn.pop()
        except IndexError:
            return
        try:
            in_empty_context(self._pool.submit, self._work)
        except BaseException as error:  # the pool was closed, or the interpreter ends
            self._turn.append(None)
            self._refuse(error)

    def _work(self) -> None:
        try:
            while calls := self._take():
                self._make(calls)
        finally:
            self._turn.append(None)
            if not self._waiting.empty():
                self._begin()

    def _take(self) -> list[Call]:
        """Return what waits, at least one call; nothing if none comes for a while.

        To wake a thread that waits here takes a fraction of what it takes to submit another job.
        """
        calls: list[Call] = []
        try:
            calls.append(self._waiting.get(timeout=LINGER))
            while len(calls) < MOST and not self._waiting.empty():
                calls.append(self._waiting.get_nowait())
        except Empty:
            pass
        return calls

    def _make(self, calls: list[Call]) -> None:
        try:
            self._store.do_together(calls)
        except BaseException as error:
            for call in calls:
                call.fail(error)
        finally:
            open_gates([call.gate for call in calls])

    def _refuse(self, error: BaseException) -> None:
        with suppress(Empty):
            while True:
                call = self._waiting.get_nowait()
                call.fail(error)
                open_gates([call.gate])


def threaded(store: Store) -> ThreadedStore:
    """Return a store's asynchronous twin, in threads."""
    # Its own do_together: one that hands on what it is asked for would be passed over.
    if hasattr(type(store), "do_together") and store.is_blocking:
        together = cast(Together, store)
        if together.groups:
            return GroupedStore(together)
    return ThreadedStore(store)
