"""Takes the samples: rounds in which every row has its turn, and the least of each row."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from ..rival import missing
from .case import Case, Sampler
from .cases import GROUPS

Table = dict[str, dict[str, Any]]


def run(
    group: str, tables: Sequence[str], rounds: int, sample_ms: float
) -> Iterator[dict[str, Any]]:
    """Measure the cases of a group that are in ``tables``; yield the tables at last."""
    cases = [case for case in GROUPS[group] if case.table in tables]
    left_out = {case.row: gap for case in cases if (gap := missing(case.needs)) is not None}
    there = [case for case in cases if case.row not in left_out]
    found = yield from measure(there, rounds, sample_ms / 1e3)
    yield {"found": found, "left_out": left_out}


def measure(
    cases: Sequence[Case], rounds: int, sample_seconds: float
) -> Generator[dict[str, Any], None, dict[str, Table]]:
    """Measure ``cases`` interleaved; yield an empty step after each round, return the tables.

    A machine's speed drifts, and by more than the differences between rows: so each round takes one
    sample of every row, in an order of its own, and a row's figure is its least sample. Garbage
    collections happen between rounds only.
    """
    samplers = [Sampler(case) for case in cases]
    gc.disable()
    try:
        loops = {sampler: sampler.loops_for(sample_seconds) for sampler in samplers}
        samples: dict[Sampler, list[float]] = {sampler: [] for sampler in samplers}
        for number in range(rounds):
            gc.collect()
            for sampler in random.Random(number).sample(samplers, len(samplers)):
                taken = sampler.seconds(loops[sampler])
                samples[sampler].append(taken * 1e9 / loops[sampler] / sampler.operations)
            yield {}
    finally:
        gc.enable()
    tables: dict[str, Table] = {}
    for sampler in samplers:
        tables.setdefault(sampler.case.table, {})[sampler.case.row] = {
            "ns": round(min(samples[sampler]), 2),
            "median_ns": round(statistics.median(samples[sampler]), 2),
            "loops": loops[sampler],
        }
    return tables
