"""The concurrency benchmark as jobs: one process for each kind of owner.

The libraries are in one process, so that they are measured interleaved; none is patched by gevent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..part import BenchJob, BenchPart, Options
from . import measure
from .crowd import KINDS, Kind
from .library import OURS, libraries
from .tables import draw

COUNTS = (1, 10, 100, 1_000, 10_000)
TURNS, QUICK_TURNS = 5_000, 400
ROUNDS, QUICK_ROUNDS = 2, 1


def jobs(options: Options) -> list[BenchJob]:
    """Return a job for each kind of owner."""
    return [_job(KINDS[name], options) for name in options.tables]


def _job(kind: Kind, options: Options) -> BenchJob:
    most = kind.quick_most if options.quick else kind.most
    counts = [count for count in COUNTS if count <= most]
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    arguments = {
        "kind": kind.name,
        "counts": counts,
        "turns": QUICK_TURNS if options.quick else TURNS,
        "rounds": rounds,
        "ours": options.ours,
    }
    crowds = len(counts) * len(libraries(kind.name, options.ours)) * (rounds + 1)
    return BenchJob(f"concurrency: {kind.name}", f"{measure.__name__}:run", arguments, 1 + crowds)


def complaints(found: Sequence[dict[str, Any]]) -> list[str]:
    """Name the crowds in which an owner read another's value through a Local of ours."""
    return [
        f"{one['library']} among {one['count']:,} {one['owners']}: "
        f"{one['foreign_reads']:,} foreign reads"
        for one in found
        if one["foreign_reads"] and one["library"].startswith(OURS)
    ]


CONCURRENCY = BenchPart("concurrency", tuple(KINDS), tuple(KINDS), jobs, list, draw, complaints)
