"""Many commits of one record at once, with a barrier between load and commit."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier as ProcessBarrier
from typing import Protocol

from ctxlocal.session.protocol import AsyncStore, Incr, Store

KEY = "5e" * 32
TTL = 600.0


class Barrier(Protocol):
    def wait(self) -> int: ...


def race(store: Store, names: range, barrier: Barrier) -> None:
    """Commit each own key and a count, from a thread each."""

    def commit(name: int) -> str:
        base = store.load(KEY)
        assert base is not None
        barrier.wait()
        ops = [Incr("count", 1)]
        value = {f"key{name}": b"%d" % name}
        return store.commit(KEY, 0, value, [], ops, TTL, f"commit{name}", base).outcome

    with ThreadPoolExecutor(len(names)) as pool:
        assert set(pool.map(commit, names)) == {"committed"}


def race_in_threads(store: Store, count: int) -> None:
    race(store, range(count), threading.Barrier(count))


def race_in_processes(make: Callable[[str], Store], url: str, processes: int, each: int) -> None:
    """``make`` is a function of a module, called with ``url`` in each process."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes * each)
    started = [
        context.Process(
            target=_race_in_process, args=(make, url, range(n * each, (n + 1) * each), barrier)
        )
        for n in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * processes


def _race_in_process(
    make: Callable[[str], Store], url: str, names: range, barrier: ProcessBarrier
) -> None:
    store = make(url)
    race(store, names, barrier)
    store.close()


async def race_in_tasks(store: AsyncStore, count: int) -> None:
    bases = await asyncio.gather(*(store.load(KEY) for _ in range(count)))
    answers = await asyncio.gather(
        *(
            store.commit(KEY, 0, {f"key{n}": b"%d" % n}, [], [Incr("count", 1)], TTL, f"c{n}", base)
            for n, base in enumerate(bases)
        )
    )
    assert {answer.outcome for answer in answers} == {"committed"}


def all_kept(count: int) -> dict[str, bytes]:
    """What the record then holds if no update was lost."""
    return {f"key{n}": b"%d" % n for n in range(count)} | {"count": b"%d" % count}
