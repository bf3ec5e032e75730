"""Takes the samples: rounds in which every row has its turn, and the least of each row."""

from __future__ import annotations

import gc
import random
import statistics
from dataclasses import dataclass
from typing import Any

from .case import Case, Sampler
from .rival import missing

Table = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """What a group gave: its tables, and for each row left out the module it lacks."""

    tables: dict[str, Table]
    left_out: dict[str, str]


def measure(cases: tuple[Case, ...], rounds: int, sample_seconds: float) -> Result:
    """Measure ``cases`` interleaved.

    A machine's speed drifts, and by more than the differences between rows: so each round takes one
    sample of every row, in an order of its own, and a row's figure is its least sample. Garbage
    collections happen between rounds only.
    """
    left_out = {case.row: gap for case in cases if (gap := missing(case.needs)) is not None}
    samplers = [Sampler(case) for case in cases if case.row not in left_out]
    gc.disable()
    try:
        loops = {sampler: sampler.loops_for(sample_seconds) for sampler in samplers}
        samples: dict[Sampler, list[float]] = {sampler: [] for sampler in samplers}
        for number in range(rounds):
            gc.collect()
            for sampler in random.Random(number).sample(samplers, len(samplers)):
                taken = sampler.seconds(loops[sampler])
                samples[sampler].append(taken * 1e9 / loops[sampler] / sampler.operations)
    finally:
        gc.enable()
    tables: dict[str, Table] = {}
    for sampler in samplers:
        tables.setdefault(sampler.case.table, {})[sampler.case.row] = {
            "ns": round(min(samples[sampler]), 2),
            "median_ns": round(statistics.median(samples[sampler]), 2),
            "loops": loops[sampler],
        }
    return Result(tables, left_out)
