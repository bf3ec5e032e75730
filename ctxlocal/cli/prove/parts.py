"""What ``ctxlocal prove`` runs."""

from __future__ import annotations

from typing import Any

from ..matrix.conductor import conduct
from ..matrix.place import STRATEGIES
from ..matrix.report import Cell, Report
from ..probes import all_probes
from .part import Advance, Part, Unfinished


def all_parts() -> list[Part]:
    """Return the parts in the order in which they run."""
    return [matrix_part()]


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
