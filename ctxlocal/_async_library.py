"""asyncio and trio under one interface, for code that is awaited under both.

anyio would be one way for both; but a wait for a thread takes longer there, each request
waits for several, and under trio it has nothing that trio has not.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, Protocol

_apart: set[asyncio.Task[None]] = set()  # asyncio itself refers to tasks weakly


class Gate(Protocol):
    """What a task waits at until it is opened, in the task's loop; once, by anybody."""

    soon: Callable[..., object]  #: calls a function in the loop, from any thread

    def open(self) -> None:
        """Let the task go on."""

    def wait(self) -> Awaitable[object]:
        """Wait until it is open."""


class Library(Protocol):
    """The library that runs the current task."""

    def gate(self) -> Gate:
        """Return a gate for the current task."""

    async def wait(self, job: Future[Any]) -> None:
        """Wait until ``job`` is done, failed or cancelled. A cancelled wait leaves it as it is."""

    async def apart(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Await ``function()`` to its end, though the running task is cancelled or will be."""

    async def until(self, happened: Callable[[], Awaitable[object]], work: Awaitable[None]) -> None:
        """Await ``work`` in the running task, and cancel it once ``happened()`` has returned.

        If ``happened()`` raises, ``work`` goes on to its end.
        """


class _AsyncioGate:
    __slots__ = ("_future", "soon")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.soon: Callable[..., object] = loop.call_soon_threadsafe
        self._future = loop.create_future()

    def open(self) -> None:
        _wake(self._future)

    def wait(self) -> Awaitable[object]:
        return self._future


class _TrioGate:
    __slots__ = ("_event", "soon")

    def __init__(self, trio: Any) -> None:
        self.soon: Callable[..., object] = trio.lowlevel.current_trio_token().run_sync_soon
        self._event = trio.Event()

    def open(self) -> None:
        self._event.set()

    def wait(self) -> Awaitable[object]:
        waiting: Awaitable[object] = self._event.wait()
        return waiting


class _Asyncio:
    def gate(self) -> Gate:
        return _AsyncioGate()

    async def wait(self, job: Future[Any]) -> None:
        # asyncio's own bridge takes twice as long, and cancels the job too.
        await _done(job, self.gate())

    async def apart(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Cancel scopes of anyio cancel every await of a cancelled task anew; not another's.
        task = asyncio.create_task(function())
        _apart.add(task)
        task.add_done_callback(_apart.discard)
        await asyncio.shield(task)

    async def until(self, happened: Callable[[], Awaitable[object]], work: Awaitable[None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        has_happened = False

        async def watch() -> None:
            nonlocal has_happened
            with suppress(Exception):
                await happened()
                has_happened = True
                task.cancel()

        watcher = asyncio.create_task(watch())
        try:
            await work
        except asyncio.CancelledError:
            if not has_happened or (hasattr(task, "uncancel") and task.uncancel()):
                raise  # somebody else's
        finally:
            watcher.cancel()


def _done(job: Future[Any], gate: Gate) -> Awaitable[object]:
    job.add_done_callback(lambda _: open_gates([gate]))
    return gate.wait()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # or it was cancelled meanwhile
        waiter.set_result(None)


class _Trio:
    def __init__(self, trio: Any) -> None:
        self._trio = trio

    def gate(self) -> Gate:
        return _TrioGate(self._trio)

    async def wait(self, job: Future[Any]) -> None:
        await _done(job, self.gate())

    async def apart(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with self._trio.CancelScope(shield=True):
            await function()

    async def until(self, happened: Callable[[], Awaitable[object]], work: Awaitable[None]) -> None:
        working, watching = self._trio.CancelScope(), self._trio.CancelScope(shield=True)

        async def watch() -> None:
            with watching, suppress(Exception):
                await happened()
                working.cancel()

        failure: BaseException | None = None
        async with self._trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            try:
                with working:
                    await work
            except BaseException as error:  # out of the nursery it would come in a group
                failure = error
            watching.cancel()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or it would be in a cycle with its own traceback


_ASYNCIO = _Asyncio()


def library() -> Library:
    """Return the library that runs the current task: asyncio, or trio."""
    return _Trio(sys.modules["trio"]) if is_trio() else _ASYNCIO


def is_trio() -> bool:
    """Whether the current task is one of trio's, where nothing of asyncio works."""
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    if lowlevel is None:
        return False
    try:
        lowlevel.current_task()  # it can be asked outright from 0.29 on only
    except RuntimeError:
        return False
    return True


def open_gates(gates: Iterable[Gate]) -> None:
    """Open gates from another thread. Each loop is woken once, which costs as much as it does."""
    loops: dict[Callable[..., object], list[Gate]] = {}
    for gate in gates:
        loops.setdefault(gate.soon, []).append(gate)
    for soon, each in loops.items():
        with suppress(RuntimeError):  # the loop is closed; nobody waits any more
            soon(_open_each, each)


def _open_each(gates: list[Gate]) -> None:
    for gate in gates:
        gate.open()


def start_thread(function: Callable[[], object]) -> Future[None]:
    """Call ``function`` in a thread of its own, and tell when it is done."""
    job: Future[None] = Future()

    def work() -> None:
        try:
            function()
        except BaseException as error:
            job.set_exception(error)
        else:
            job.set_result(None)

    Thread(target=work, name="ctxlocal").start()
    return job
