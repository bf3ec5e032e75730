"""What ``ctxlocal prove`` runs."""

from __future__ import annotations

import time
from typing import Any

from ..matrix.conductor import conduct
from ..matrix.place import STRATEGIES
from ..matrix.report import Cell, Report
from ..probes import all_probes
from ..servers.catalogue import SERVERS
from ..soak.plan import Plan, Size
from .part import Advance, Part, Unfinished

SOAKED = 210  # requests to each server, under each strategy


def all_parts() -> list[Part]:
    """Return the parts in the order in which they run."""
    return [matrix_part(), soak_part(), bench_part()]


def matrix_part() -> Part:
    """Every way of starting work under every strategy."""
    plans = [(probe, strategy) for probe in all_probes() for strategy in STRATEGIES]
    order = {
        (probe.group.name, probe.way, strategy): place
        for place, (probe, strategy) in enumerate(plans)
    }

    def run(advance: Advance) -> dict[str, Any]:
        cells: list[Cell] = []

        def take(cell: Cell) -> None:
            cells.append(cell)
            advance(1)

        try:
            return Report(conduct(plans, take)).as_dict()
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            cells.sort(key=lambda cell: order[cell.group, cell.way, cell.strategy])
            raise Unfinished(Report(cells).as_dict()) from error

    return Part("matrix", len(plans), run)


def soak_part() -> Part:
    """Every installed server, under each strategy that isolates there, sessions in SQLite."""
    # Late, because what it needs may be missing.
    from ..soak.conductor import conduct as conduct_soak
    from ..soak.report import Report as SoakReport
    from ..soak.report import Run

    size = Size(requests=SOAKED)
    plans = [
        Plan(server, strategy, "sqlite") for server in SERVERS for strategy in server.strategies
    ]

    def run(advance: Advance) -> dict[str, Any]:
        finished: list[Run] = []
        begun = time.monotonic()
        try:
            conduct_soak(plans, size, lambda _, requests: advance(requests), finished)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raise Unfinished(told(finished, begun)) from error
        return told(finished, begun)

    def told(finished: list[Run], begun: float) -> dict[str, Any]:
        settings = {
            "command": f"ctxlocal soak --store sqlite --requests {size.requests}",
            "visitors": size.visitors,
        }
        return SoakReport(finished, time.monotonic() - begun, settings).as_dict()

    return Part("soak", sum(size.planned for plan in plans if not plan.server.why_not()), run)


def bench_part() -> Part:
    """Single operations, many owners of one Local, and a few servers: a quick run of each."""
    from ..bench.conductor import conduct as conduct_bench
    from ..bench.conductor import plan

    def run(advance: Advance) -> dict[str, Any]:
        report = conduct_bench(quick=True, advance=lambda job: advance(1))
        if report.signal is not None:
            raise Unfinished(report.as_dict()) from SystemExit(128 + report.signal)
        return report.as_dict()

    return Part("bench", sum(job.steps for _, jobs in plan(quick=True) for job in jobs), run)
