"""What ``ctxlocal prove`` runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..matrix.conductor import conduct
from ..matrix.place import STRATEGIES
from ..matrix.probes import all_probes
from ..matrix.report import Cell, MatrixReport
from ..servers.catalogue import BY_NAME, SERVERS, Server
from ..soak.plan import PlannedRun, Size
from .document import CONTROLS
from .part import Advance, ProofPart, Unfinished

SOAKED = 210  # requests to each server, under each strategy
STORE = "sqlite"
QUICKEST = "waitress"  # for the control, where it is installed


def all_parts() -> list[ProofPart]:
    """Return the parts in the order in which they run."""
    return [matrix_part(), soak_part(), control_part(), bench_part()]


def matrix_part() -> ProofPart:
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
            return MatrixReport(conduct(plans, take)).as_dict()
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            cells.sort(key=lambda cell: order[cell.group, cell.way, cell.strategy])
            raise Unfinished(MatrixReport(cells).as_dict()) from error

    return ProofPart("matrix", len(plans), run)


def soak_part() -> ProofPart:
    """Every installed server, and framework, under each strategy that isolates; in SQLite."""
    plans = [
        PlannedRun(server, strategy, STORE)
        for server in BY_NAME.values()
        for strategy in server.strategies
    ]
    return _soaking("soak", plans, f"ctxlocal soak --store {STORE} --requests {SOAKED}")


def control_part() -> ProofPart:
    """One server, soaked like the others, with ctxlocal broken on purpose: that has to be seen."""
    server = _first_that_can_run()
    strategy = server.strategies[0]
    plans = [PlannedRun(server, strategy, STORE, sabotage) for sabotage in CONTROLS]
    options = f"--strategy {strategy} --store {STORE} --requests {SOAKED}"
    commands = [
        f"ctxlocal soak --server {server.name} {options} --sabotage {sabotage}"
        for sabotage in CONTROLS
    ]
    return _soaking("control", plans, "; ".join(commands))


def _first_that_can_run() -> Server:
    ordered = [BY_NAME[QUICKEST], *SERVERS]
    return next((server for server in ordered if not server.why_not()), ordered[0])


def _soaking(name: str, plans: Sequence[PlannedRun], command: str) -> ProofPart:
    """A part that soaks; ``command`` does the same by itself."""
    # Late, because what it needs may be missing.
    from ..soak.conductor import conduct as conduct_soak
    from ..soak.report import Run, SoakReport

    size = Size(requests=SOAKED)
    settings = {"command": command, "visitors": size.visitors}

    def run(advance: Advance) -> dict[str, Any]:
        finished: list[Run] = []
        begun = time.monotonic()
        try:
            conduct_soak(plans, size, lambda _, requests: advance(requests), finished)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raise Unfinished(told(finished, begun)) from error
        return told(finished, begun)

    def told(finished: list[Run], begun: float) -> dict[str, Any]:
        return SoakReport(finished, time.monotonic() - begun, settings).as_dict()

    return ProofPart(name, sum(size.planned for plan in plans if not plan.why_not()), run)


def bench_part() -> ProofPart:
    """Single operations, many owners of one Local, and a few servers: a quick run of each."""
    from ..bench.conductor import conduct as conduct_bench
    from ..bench.conductor import plan

    def run(advance: Advance) -> dict[str, Any]:
        report = conduct_bench(quick=True, advance=lambda job: advance(1))
        if report.signal is not None:
            raise Unfinished(report.as_dict()) from SystemExit(128 + report.signal)
        return report.as_dict()

    return ProofPart("bench", sum(job.steps for _, jobs in plan(quick=True) for job in jobs), run)
