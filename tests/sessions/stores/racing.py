"""Many at once: commits of one record, with a barrier between load and commit; renewals."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier as ProcessBarrier
from typing import Protocol

from ctxlocal.sessions.stores.protocol import USER, AsyncStore, Change, Incr, Store

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
        return store.commit(KEY, 0, Change(f"commit{name}", value, ops=ops), TTL, base).outcome

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
            store.commit(
                KEY, 0, Change(f"c{n}", {f"key{n}": b"%d" % n}, ops=[Incr("count", 1)]), TTL, base
            )
            for n, base in enumerate(bases)
        )
    )
    assert {answer.outcome for answer in answers} == {"committed"}


def all_kept(count: int) -> dict[str, bytes]:
    """What the record then holds if no update was lost."""
    return {f"key{n}": b"%d" % n for n in range(count)} | {"count": b"%d" % count}


RENEWER = """
import sys
from ctxlocal.sessions.stores.url import open_store
store, name, graces = open_store(sys.argv[1]), sys.argv[2], [float(g) for g in sys.argv[3:]]
for number in range(1000000):
    grace = graces[number % len(graces)]
    if not store.move(f"{name}.{number}", f"{name}.{number + 1}", {}, 1000, grace):
        break
    print(number + 1, flush=True)
print("over", flush=True)
store.close()
"""


def revoke_what_others_renew(
    store: Store, url: str, user: str, names: Sequence[str], graces: Sequence[str]
) -> int:
    """Revoke a user's records while a process each renews those of ``names``; return how many.

    No key that any of them had may lead anywhere then.
    """
    for name in names:
        store.create(f"{name}.0", {USER: user.encode()}, 1000)
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", RENEWER, url, name, *graces], stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for client in clients:  # each is at it
        assert client.stdout is not None
        assert client.stdout.readline() == "1\n"
    revoked = store.revoke(user)
    for name, client in zip(names, clients, strict=True):
        *_, last, over = ("1\n" + client.communicate()[0]).splitlines()
        assert over == "over"
        for number in range(int(last) + 1):
            assert store.load(f"{name}.{number}") is None
    return revoked
