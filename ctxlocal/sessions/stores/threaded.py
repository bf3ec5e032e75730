"""ThreadedStore: a store that blocks, for code that must not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from ..._async_library import is_trio, library, start_thread
from ..errors import SessionConfigError
from .protocol import Answer, Change, Record, Store

P = ParamSpec("P")
R = TypeVar("R")


class ThreadedStore:
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
        self.name = store.name
        self.store = store
        self._max_threads = max_threads
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by process: a fork takes no threads along

    async def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""
        return await self._call(self.store.load, key)

    async def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.create`."""
        return await self._call(self.store.create, key, sets, ttl)

    async def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.commit`."""
        return await self._call(self.store.commit, key, generation, change, ttl, base)

    async def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.move`."""
        return await self._call(self.store.move, old, new, sets, ttl, grace)

    async def touch(self, key: str, ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.touch`."""
        return await self._call(self.store.touch, key, ttl)

    async def delete(self, key: str) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.delete`."""
        return await self._call(self.store.delete, key)

    async def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.list`."""
        return await self._call(self.store.list, user)

    async def revoke(
        self, user: str, except_key: str | None = None, handle: str | None = None
    ) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke`."""
        return await self._call(self.store.revoke, user, except_key, handle)

    async def revoke_everyone(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke_everyone`."""
        return await self._call(self.store.revoke_everyone)

    async def purge(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.purge`."""
        return await self._call(self.store.purge)

    async def close(self) -> None:
        """Wait for the calls that run, end the threads and close the store."""
        await self._call(self.store.close)
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            await library().wait(start_thread(pool.shutdown))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.store!r}>"

    async def _call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if not self.store.is_blocking:
            return function(*args, **kwargs)
        job = self._pool().submit(function, *args, **kwargs)
        await library().wait(job)
        return job.result()

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
