"""How many requests a second a store serves, when several processes change different sessions."""

from __future__ import annotations

import multiprocessing
import random
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from ctxlocal.lab.bench.rival import load
from ctxlocal.sessions.stores.protocol import Change

from .clock import late
from .records import Figures, content, key, served

_SESSIONS = 10_000
_SECONDS = 2.0
_TTL = 86_400.0


def measure(kind: str, directory: Path, processes: int) -> Figures:
    """Return loads with a commit, a second, of all processes; and their 99th percentile in ms."""
    spawn = multiprocessing.get_context("spawn")
    results: Any = spawn.SimpleQueue()
    barrier = spawn.Barrier(processes)
    with served(kind, directory) as url:
        _fill(url)
        workers = [
            spawn.Process(target=_work, args=(url, seed, barrier, results))
            for seed in range(processes)
        ]
        for worker in workers:
            worker.start()
        done = [results.get() for _ in workers]
        for worker in workers:
            worker.join()
    return {
        "a second": sum(len(taken) for taken in done) / _SECONDS,
        "p99, ms": late([one for taken in done for one in taken]) * 1e3,
    }


def _fill(url: str) -> None:
    store = load("ctxlocal.sessions.stores.url").open_store(url)
    if hasattr(store, "create_table"):
        store.create_table()
    for number in range(_SESSIONS):
        store.create(key(number), content(number), _TTL)
    store.close()


def _work(url: str, seed: int, barrier: Barrier, results: SimpleQueue[list[float]]) -> None:
    store = load("ctxlocal.sessions.stores.url").open_store(url)
    choose = random.Random(seed)
    taken: list[float] = []
    store.load(key(0))  # connects
    barrier.wait()
    now = begun = perf_counter()
    while now < begun + _SECONDS:
        start, at = now, key(choose.randrange(_SESSIONS))
        record = store.load(at)
        name = f"{seed:016x}{len(taken):016x}"
        changed = {"count": b"%d" % len(taken)}
        store.commit(at, record.generation, Change(name, changed), _TTL, record)
        now = perf_counter()
        taken.append(now - start)
    results.put(taken)
    store.close()
