"""The micro benchmarks as jobs: one process for each group of cases (``cases`` says why)."""

from __future__ import annotations

from collections.abc import Sequence

from ..part import BenchJob, BenchPart, Options
from . import import_time, measure
from .cases import GROUPS
from .measure import Table
from .tables import draw

TABLES = (
    *dict.fromkeys(case.table for cases in GROUPS.values() for case in cases),
    import_time.TABLE,
)
QUICK_TABLES = ("local-get", "local-set-10", "stack-1", "proxy-attribute", "request")
ROUNDS, QUICK_ROUNDS = 100, 10
SAMPLE_MS, QUICK_SAMPLE_MS = 1.0, 0.3
IMPORT_ROUNDS = 20  # at most: an interpreter takes its time


def jobs(tables: Sequence[str], rounds: int, sample_ms: float) -> list[BenchJob]:
    """Return a job for each group that has a case in ``tables``."""
    found = []
    for group, cases in GROUPS.items():
        if any(case.table in tables for case in cases):
            arguments = {"group": group, "tables": list(tables), "rounds": rounds}
            arguments["sample_ms"] = sample_ms
            found.append(
                BenchJob(f"micro: {group}", f"{measure.__name__}:run", arguments, rounds + 1)
            )
    if import_time.TABLE in tables:
        rounds = min(rounds, IMPORT_ROUNDS)
        target = f"{import_time.__name__}:run"
        found.append(BenchJob("micro: import", target, {"rounds": rounds}, rounds + 1))
    return found


def gather(found: Sequence[dict[str, Table]]) -> dict[str, Table]:
    """Return the tables in the order in which they are shown."""
    tables = {table: rows for one in found for table, rows in one.items()}
    return {table: tables[table] for table in TABLES if table in tables}


def _jobs(options: Options) -> list[BenchJob]:
    if options.quick:
        return jobs(options.tables, QUICK_ROUNDS, QUICK_SAMPLE_MS)
    return jobs(options.tables, ROUNDS, SAMPLE_MS)


MICRO = BenchPart("micro", TABLES, QUICK_TABLES, _jobs, gather, draw, lambda tables: [])
