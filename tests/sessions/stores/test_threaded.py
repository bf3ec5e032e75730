"""ThreadedStore: a blocking store in threads, from many loops, with awaits that are cancelled."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Answer, Change, Incr
from ctxlocal.sessions.stores.threaded import ThreadedStore

from .conftest import KEY


class Slow(MemoryStore):
    """Commits when it is let to."""

    is_blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()
        self.threads: set[str] = set()

    def commit(self, *args: Any, **kwargs: Any) -> Answer:
        self.threads.add(threading.current_thread().name)
        self.began.set()
        assert self.go.wait(30)
        return super().commit(*args, **kwargs)


def count(store: ThreadedStore, commit_id: str) -> Any:
    return store.commit(KEY, 0, Change(commit_id, ops=(Incr("n", 1),)), 100)


def test_a_cancelled_commit_is_carried_out_once() -> None:
    blocking = Slow()
    blocking.create(KEY, {}, 100)
    store = ThreadedStore(blocking, max_threads=1)

    async def main() -> Answer:
        running = asyncio.create_task(count(store, "running"))
        waiting = asyncio.create_task(count(store, "waiting"))
        await asyncio.to_thread(blocking.began.wait)
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        blocking.go.set()
        answer: Answer = await count(store, "running")
        await store.load(KEY)  # one thread: all before it is done
        record = blocking.load(KEY)
        assert record is not None
        assert record.values == {"n": b"2"}
        await store.close()
        return answer

    assert asyncio.run(main()) == ("committed", (1,))


def test_a_loop_that_ends_meanwhile_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    blocking = Slow()
    blocking.create(KEY, {}, 100)
    store = ThreadedStore(blocking)

    async def abandoned() -> None:
        task = asyncio.create_task(count(store, "a"))
        await asyncio.to_thread(blocking.began.wait)
        task.cancel()

    asyncio.run(abandoned())
    blocking.go.set()

    async def later() -> Answer:
        answer: Answer = await count(store, "a")
        await store.close()
        return answer

    assert asyncio.run(later()) == ("committed", (1,))
    assert caplog.records == []


def test_errors_come_through() -> None:
    class Down(MemoryStore):
        is_blocking = True

        def load(self, key: str) -> None:
            raise StoreUnavailableError(self.name, "load")

    async def main() -> None:
        store = ThreadedStore(Down())
        with pytest.raises(StoreUnavailableError, match="failed in load"):
            await store.load(KEY)
        await store.close()

    asyncio.run(main())


def test_several_loops_share_a_store() -> None:
    blocking = Slow()
    blocking.create(KEY, {}, 100)
    blocking.go.set()
    store = ThreadedStore(blocking, max_threads=2)
    barrier = threading.Barrier(4)

    def loop(number: int) -> None:
        async def many() -> None:
            await asyncio.gather(*(count(store, f"{number}.{turn}") for turn in range(25)))

        barrier.wait()
        asyncio.run(many())

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = blocking.load(KEY)
    assert record is not None
    assert record.values == {"n": b"100"}
    assert len(blocking.threads) <= 2
    asyncio.run(store.close())


def test_close_ends_the_threads_and_closes_the_store() -> None:
    before = set(threading.enumerate())  # with threads of former tests
    blocking = Slow()
    blocking.create(KEY, {}, 100)
    blocking.go.set()
    store = ThreadedStore(blocking)

    async def main() -> None:
        await count(store, "1")
        await store.close()
        await store.close()

    asyncio.run(main())
    assert blocking.load(KEY) is None
    started = set(threading.enumerate()) - before
    assert not [one for one in started if one.name.startswith("ctxlocal-store")]


def test_what_does_not_block_is_called_directly() -> None:
    store = ThreadedStore(MemoryStore())
    coroutine = store.create(KEY, {}, 100)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value is True


def test_a_forked_child_starts_threads_of_its_own() -> None:
    blocking = Slow()
    blocking.create(KEY, {}, 100)
    blocking.go.set()
    store = ThreadedStore(blocking)
    assert asyncio.run(count(store, "parent")).results == (1,)
    child = os.fork()
    if child == 0:
        answer = asyncio.run(count(store, "child"))
        os._exit(0 if answer.results == (2,) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(store.close())


def test_too_few_threads_are_refused() -> None:
    with pytest.raises(SessionConfigError, match=r"^max_threads: 0 is not from 1 on$"):
        ThreadedStore(MemoryStore(), max_threads=0)
