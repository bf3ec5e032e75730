"""The report: one HTML file without a script, which needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from ..matrix.place import STRATEGIES
from ..matrix.report import Cell
from ..matrix.table import LEGEND
from . import PARTS, figures, units
from .document import (
    VIOLATIONS,
    Document,
    judge,
    matrix_of,
    plural,
    requests_in,
    runs_of,
    violations_in,
)
from .plot import swatch

FACTS = ("date", "python", "implementation", "platform", "twin", "machine")
MACHINE = {"cpu_model_name": "CPU", "cpu_count": "cores", "cpu_freq": "clock"}
NOT_RUN = "not run"
FILTERS = {
    "count": units.count,
    "nanoseconds": units.nanoseconds,
    "ratio": units.ratio,
    "size": units.size,
    "seconds": units.seconds,
    "plural": plural,
}


def page(document: Document) -> str:
    """Return the report.

    :param document: see :mod:`.document`; whatever is missing of it is missing in the report.
    """
    runs, bench = runs_of(document), document.get("bench") or {}
    matrix, verdict = matrix_of(document), judge(document)
    owners = figures.concurrency(bench)
    rates = figures.servers(bench)
    return (
        _environment()
        .get_template("report.html")
        .render(
            document=document,
            verdict=verdict,
            facts=_facts(document),
            parts=[part for part in PARTS if document.get(part)],
            matrix=matrix,
            strategies=[s for s in STRATEGIES if any(c.strategy == s for c in matrix.cells)],
            groups=_groups(matrix.cells),
            legend=LEGEND,
            servers=_by_server(run for run in runs if run.get("outcome") != NOT_RUN),
            not_run=_not_run(runs),
            requests=requests_in(runs),
            violations=sum(map(violations_in, runs)),
            comparisons=figures.comparisons(bench),
            micro=figures.micro_tables(bench),
            owners=owners,
            curves={which: _safe(owners.plots(which)) for which in figures.CURVES},
            legends={which: _legend(which, owners.drawn(which)) for which in figures.CURVES},
            rates=rates,
            rates_plots=[Markup(drawn) for drawn in figures.servers_plots(rates)],
            left_out=bench.get("left_out") or {},
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=ChainableUndefined,  # what a part did not come to write is a dash
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(modes=list(figures.MODES), kinds=VIOLATIONS, missing=units.MISSING)
    return environment


def _safe(plots: dict[str, str]) -> dict[str, Markup]:
    return {name: Markup(drawn) for name, drawn in plots.items()}


def _legend(which: str, libraries: Mapping[int, str]) -> list[tuple[Markup, str]]:
    return [
        (Markup(swatch(place, f"{which}-swatch")), library) for place, library in libraries.items()
    ]


def _facts(document: Document) -> dict[str, Any]:
    """What the parts were measured on and with; the first that says it is believed."""
    facts: dict[str, Any] = {"versions": {}}
    for part in (document, *(document.get(name) or {} for name in reversed(PARTS))):
        facts.update((key, part[key]) for key in FACTS if part.get(key) and key not in facts)
        facts["versions"] |= part.get("versions") or {}
    machine = facts.get("machine") or {}
    facts["machine"] = {name: machine[key] for key, name in MACHINE.items() if machine.get(key)}
    return facts


def _groups(cells: Sequence[Cell]) -> list[tuple[str, list[tuple[str, dict[str, Cell]]]]]:
    """The cells as the terminal shows them: groups, ways of starting work, strategies."""
    return [
        (
            group,
            [
                (way, {cell.strategy: cell for cell in row})
                for way, row in groupby(members, key=lambda cell: cell.way)
            ],
        )
        for group, members in groupby(cells, key=lambda cell: cell.group)
    ]


def _by_server(runs: Iterator[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        grouped.setdefault(str(run.get("server") or units.MISSING), []).append(run)
    return list(grouped.items())


def _not_run(runs: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The servers that were not run, and why; each reason once."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if run.get("outcome") == NOT_RUN:
            said = reasons.setdefault(str(run.get("server") or units.MISSING), [])
            if (note := str(run.get("note") or "no reason given")) not in said:
                said.append(note)
    return reasons
