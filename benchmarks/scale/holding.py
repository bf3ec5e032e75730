"""What a Local costs while many owners live, each of which holds one value in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ctxlocal.lab.bench.rival import load

from .clock import hot_ns, middle, once_ns
from .memory import allocated_bytes, resident_bytes
from .owners import KINDS, Work

Figures = dict[str, float]
_SAMPLES = 300
_MS = 1e3


class Holding:
    """A Local that follows the default, and jobs that use it.

    The jobs reach it through this object, because the owners remember the last one they did:
    so it can be dropped.
    """

    def __init__(self, strategy: str) -> None:
        self.core: Any = load("ctxlocal")
        self.core.ident.set_default(strategy)
        self.local: Any = self.core.Local(name="benchmark")
        self._other = "task" if strategy == "thread" else "thread"

    def set(self) -> None:
        """Give the owner a value."""
        self.local.value = self

    def get_hot(self) -> float:
        """Return ns of a get, again and again in this owner."""
        return hot_ns("local.value", local=self.local)

    def set_hot(self) -> float:
        """Return ns of a set, again and again in this owner."""
        return hot_ns("local.value = a; local.value = b", local=self.local) / 2

    def get_cold(self) -> int:
        """Return ns of one get."""
        local = self.local
        return once_ns(lambda: local.value)

    def set_first(self) -> int:
        """Return ns of one set."""
        return once_ns(self.set)

    def release(self) -> int:
        """Return ns of releasing what this owner holds; it holds a value again afterwards."""
        taken = once_ns(lambda: self.core.release_local(self.local))
        self.set()
        return taken

    def be_refused(self) -> float:
        """Return ms of finding that the default cannot change, because somebody holds a value."""
        start = perf_counter()
        try:
            self.core.ident.set_default(self._other)
        except self.core.errors.IdentInUseError:
            return (perf_counter() - start) * _MS
        raise AssertionError("the default changed although owners hold values")

    def drop(self) -> float:
        """Return ms of dropping the Local."""
        start = perf_counter()
        self.local = None
        return (perf_counter() - start) * _MS


def time(kind: str, count: int) -> Figures:
    """Return ns of each operation with ``count`` owners alive, and ms of what reaches all."""
    owners, holding = KINDS[kind](), Holding(KINDS[kind].strategy)
    owners.start(count, holding.set)
    numbers = [random.Random(count).randrange(count) for _ in range(_SAMPLES)]

    def each(job: Work) -> float:
        return middle(owners.call(number, job) for number in numbers)

    figures = {
        "get": owners.call(numbers[0], holding.get_hot),
        "set": owners.call(numbers[0], holding.set_hot),
        "cold get": each(holding.get_cold),
        "first set": middle(owners.in_new(holding.set_first) for _ in range(_SAMPLES)),
        "release": each(holding.release),
        "refused, ms": holding.be_refused(),
        "drop, ms": holding.drop(),
    }
    owners.end()
    return figures


def end(kind: str, count: int) -> Figures:
    """Return µs an owner takes to end while it holds a value and while it holds none."""
    figures = {}
    for what in JOBS:
        owners, holding = KINDS[kind](), Holding(KINDS[kind].strategy)
        owners.start(count, JOBS[what](holding))
        start = perf_counter()
        owners.end()
        figures[f"{what} end, us"] = (perf_counter() - start) * 1e6 / count
    return figures


def resident(kind: str, count: int) -> Figures:
    """Return bytes of the machine's memory that an owner takes which holds a value."""
    owners, holding = KINDS[kind](), Holding(KINDS[kind].strategy)
    before = resident_bytes()
    owners.start(count, holding.set)
    after = resident_bytes()
    owners.end()
    return {} if before is None or after is None else {"resident": (after - before) / count}


def space(kind: str, count: int) -> Figures:
    """Return bytes an owner takes with a value and without, and what is left after its end.

    What tables keep for the next owners is ``"kept"``; what another generation of as many owners
    adds to that, and so each one would, is ``"left"``.
    """
    figures = {}
    for what in JOBS:
        owners, holding = KINDS[kind](), Holding(KINDS[kind].strategy)
        owners.in_new(JOBS[what](holding))  # what the Local takes itself, from its first value on
        before = allocated_bytes()
        owners.start(count, JOBS[what](holding))
        alive = allocated_bytes()
        owners.end()
        after = allocated_bytes()
        owners = KINDS[kind]()
        owners.start(count, JOBS[what](holding))
        owners.end()
        figures[what] = (alive - before) / count
        figures[f"{what} kept"] = (after - before) / count
        figures[f"{what} left"] = (allocated_bytes() - after) / count
    return figures


def _nothing() -> None:
    pass


JOBS: dict[str, Callable[[Holding], Work]] = {
    "bare": lambda holding: _nothing,
    "held": lambda holding: holding.set,
}
