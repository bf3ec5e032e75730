"""Takes times and memory of every library under one kind of owner, at each number of owners."""

from __future__ import annotations

import gc
import random
import statistics
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..rival import missing
from .crowd import KINDS, Kind
from .library import Library, libraries
from .turn import OPERATIONS, Book, Nowhere, compiled, traced_bytes

FEWEST_TURNS = 4  # of each owner in a phase, however many owners there are
PAIRS = 3  # of phases in a crowd: over a plain variable, over what is shared
NO_TURNS = (0, False)  # a phase of nothing but the switch that ends each phase
AGREES = 2  # the net figures of two halves of the samples may differ by this factor
SETTLED_AFTER = 50  # attempts


def run(
    kind: str, counts: Sequence[int], turns: int, rounds: int, ours: str
) -> Iterator[dict[str, Any]]:
    """Measure one kind of owner; yield a step for each crowd, with the finding where it has one.

    :param turns: of all owners together in a phase, if each has a few then.
    :param rounds: in each round every library has a crowd, in an order of its own.
    """
    owners = KINDS[kind]
    if owners.needs and (gap := missing((owners.needs,))) is not None:
        yield {"left_out": {kind: gap}}
        return
    rows = libraries(kind, ours)
    left_out = {row.name: row.needs for row in rows if missing((row.needs,)) is not None}
    yield {"left_out": left_out}
    there = [row for row in rows if row.name not in left_out]
    gc.freeze()  # what was imported is not looked through at each collection
    for count in counts:
        samplers = [Sampler(owners, row, count, turns) for row in there]
        for number in range(rounds):
            for sampler in random.Random(number).sample(samplers, len(samplers)):
                sampler.time_crowd()
                yield {}
        for sampler in samplers:
            sampler.weigh_crowd()
            yield {"found": sampler.finding()}


@dataclass
class Sample:
    """A pair of phases: nanoseconds of its median turns, and of the second with its switches."""

    plain: int
    shared: int
    whole: int


class Sampler:
    """Measures one library in crowds of one size, over one Local."""

    def __init__(self, kind: Kind, library: Library, count: int, turns: int) -> None:
        self._kind = kind
        self._library = library
        self._count = count
        self._turns = max(FEWEST_TURNS, turns // count)
        self._owner = compiled(library.access, is_coroutine=kind.is_coroutine)
        self._shared = library.make(kind.ident)
        self._samples: list[Sample] = []
        self._bytes_per_owner = 0.0
        self._bytes_left = 0
        self._foreign = 0

    def time_crowd(self) -> None:
        """Take the samples that one crowd gives."""
        pair = [(self._turns, False), (self._turns, True)]
        phases = [(1, True), NO_TURNS, *pair * PAIRS]
        notes: list[list[int]] = [[] for _ in phases]
        book = Book(phases, time.perf_counter_ns, notes)
        gc.collect()
        gc.disable()
        try:
            self._run(book)
        finally:
            gc.enable()
        for plain in range(2, len(phases), 2):
            # A turn in which the machine did something else is far from the median.
            shared = plain + 1
            medians = statistics.median_low(notes[plain]), statistics.median_low(notes[shared])
            whole = book.added(shared)
            # A disturbed one took long; on average it takes no more than a turn with work.
            last_turn = min(book.added(1), whole // (self._turns + 1))
            self._samples.append(Sample(*medians, whole - last_turn))

    def weigh_crowd(self) -> None:
        """Count the bytes that a crowd adds while all live, and those that another one leaves."""
        self._shared = self._library.make(self._kind.ident)
        tracemalloc.start()
        try:
            # What the Local has itself comes with its first owner, and belongs to none.
            self._run(_weighing(), count=1)
            before = settled_bytes()
            book = _weighing()
            self._run(book)
            self._bytes_per_owner = (book.added(2) - book.added(1)) / self._count
            # Tables that grew for this crowd are there for the next: what that leaves, all leave.
            del book
            before = settled_bytes()
            self._run(_weighing())
            self._bytes_left = settled_bytes() - before
        finally:
            tracemalloc.stop()

    def _run(self, book: Book, count: int | None = None) -> None:
        self._kind.run(count or self._count, self._owner, book, self._shared)
        self._foreign += book.foreign

    def finding(self) -> dict[str, Any]:
        """Return what the report has of it."""
        operations = self._count * self._turns * OPERATIONS
        whole = min(sample.whole for sample in self._samples)
        net = None if self._library.access == "plain" else net_ns(self._samples)
        return {
            "owners": self._kind.name,
            "library": self._library.name,
            "strategy": self._kind.ident if self._library.takes_ident else None,
            "count": self._count,
            "ops_per_second": round(operations * 1e9 / whole),
            "net_ops_per_second": None if net is None else round(OPERATIONS * 1e9 / net),
            "bytes_per_owner": round(self._bytes_per_owner),
            "bytes_left": self._bytes_left,
            "foreign_reads": self._foreign,
        }


def net_ns(samples: Sequence[Sample]) -> int | None:
    """Return how long the operations of a turn take: the least samples without the plain turns.

    None if that is not more than noise: the figures of the odd and the even samples disagree.
    """
    halves = [_difference(samples[0::2]), _difference(samples[1::2])]
    if min(halves) <= 0 or max(halves) > AGREES * min(halves):
        return None
    return _difference(samples)


def _difference(samples: Sequence[Sample]) -> int:
    if not samples:
        return 0
    return min(one.shared for one in samples) - min(one.plain for one in samples)


def settled_bytes() -> int:
    """Return the traced memory when it no longer changes: a thread ends a little after its join."""
    found = -1
    for _ in range(SETTLED_AFTER):
        gc.collect()
        if (now := traced_bytes()) == found:
            break
        found = now
        time.sleep(0.002)
    return found


def _weighing() -> Book:
    """Return a book for the memory: what its third phase adds more than the second counts."""
    phases = [(1, False), (1, False), (1, True), (1, False)]
    return Book(phases, traced_bytes, [Nowhere()] * len(phases))
