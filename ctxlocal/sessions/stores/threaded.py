"""ThreadedStore: a store that blocks, for code that must not."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from ..._async_library import is_trio, library, start_thread
from ..._empty_context import in_empty_context
from ..errors import SessionConfigError
from .forwarding import Awaited
from .in_loop import in_loop_of
from .protocol import Record, Store
from .repeats import carried

P = ParamSpec("P")
R = TypeVar("R")


class ThreadedStore(Awaited):
    """The asynchronous twin of a store, for asyncio and trio: each call runs in a thread of a few.

    One that does not block (``is_blocking`` is false) is called directly. Usable from many
    event loops and threads at once; a forked child starts threads of its own. A call takes
    some 50 µs more than the store's own.

    A cancelled await leaves nothing half done: the call that was begun, or waits for its
    turn, still runs to its end; whether it did tells a repetition (a commit by the same
    ``commit_id`` counts once).

    :param store: any Store. :meth:`close` closes it too.
    :param max_threads: how many calls run at once, at least 1; more wait for their turn.
    :raises SessionConfigError: ``max_threads`` is below 1.
    """

    def __init__(self, store: Store, *, max_threads: int = 8) -> None:
        if max_threads < 1:
            raise SessionConfigError("max_threads", f"{max_threads!r} is not from 1 on")
        super().__init__(store, is_direct=not store.is_blocking)
        self._max_threads = max_threads
        self._in_loop = in_loop_of(store)
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by process: a fork takes no threads along

    async def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""
        if self._is_direct or self._in_loop is None:
            return await super().load(key)
        return await self._run(self._in_loop.load_in_thread, key)

    async def close(self) -> None:
        """Wait for the calls that run, end the threads and close the store."""
        await super().close()
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            await library().wait(in_empty_context(start_thread, pool.shutdown))

    async def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return await self._run(getattr(self.store, name), *args, **kwargs)

    async def _run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        do = carried(function)
        job = in_empty_context(self._pool().submit, do, *args, **kwargs)
        await library().wait(job)
        result: R = job.result()
        return result

    def _pool(self) -> ThreadPoolExecutor:
        process = os.getpid()
        if process not in self._pools:
            pool = ThreadPoolExecutor(self._max_threads, "ctxlocal-store")  # no thread runs yet
            self._pools.setdefault(process, pool)
        return self._pools[process]


def refuse_trio(store: object, instead: str) -> None:
    """Refuse to await, under trio, a store whose client is asyncio's.

    :raises SessionConfigError: trio runs here.
    """
    if is_trio():
        raise SessionConfigError(
            "store",
            f"{type(store).__name__} needs asyncio, and trio runs here: use {instead}, which "
            "works in threads there.",
        )
