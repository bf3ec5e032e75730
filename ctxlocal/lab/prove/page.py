"""The report: one HTML file without a script, which needs nothing beside itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup, escape

from ..figures import measured
from ..matrix.place import STRATEGIES
from ..matrix.report import Cell
from ..matrix.table import LEGEND
from ..soak.report import VIOLATIONS
from . import figures, units
from .document import (
    CONTROLS,
    NOT_RUN,
    Document,
    controls_of,
    is_caught,
    judge,
    matrix_of,
    plural,
    requests_in,
    runs_of,
    violations_in,
)
from .part import PARTS
from .plot import swatch
from .words import MEANINGS, OWNERS, SABOTAGES

FACTS = (
    *("date", "python", "implementation", "platform", "machine"),
    *("twin", "twin_reason", "commit", "is_changed"),
)
OURS = "ctxlocal"
MACHINE = {"cpu_model_name": "CPU", "cpu_count": "cores", "cpu_freq": "clock"}
# Where a name may be broken: after its dots and dashes, and within CamelCase.
_SEAM = re.compile(r"(?<=[._/-])(?=\w)|(?<=[a-z])(?=[A-Z])")


def page(document: Document) -> str:
    """Return the report.

    :param document: see :mod:`.document`; whatever is missing of it is missing in the report.
    """
    bench, matrix = document.get("bench") or {}, matrix_of(document)
    owners = figures.concurrency(bench)
    rates = figures.servers(bench)
    return (
        _environment()
        .get_template("report.html")
        .render(
            document=document,
            verdict=judge(document),
            absent=[part for part in PARTS if not document.get(part)],
            **_facts(document),
            **_soaked(runs_of(document)),
            controls=controls_of(document),
            caught=sum(map(is_caught, controls_of(document))),
            matrix=matrix,
            ways=len({(cell.group, cell.way) for cell in matrix.cells}),
            shared=sum(cell.as_promised and cell.actual == "shared" for cell in matrix.cells),
            strategies=[s for s in STRATEGIES if any(c.strategy == s for c in matrix.cells)],
            groups=_groups(matrix.cells),
            legend=LEGEND,
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
    environment.tests["caught"] = is_caught
    environment.globals.update(
        modes=list(figures.MODES),
        kinds=VIOLATIONS,
        meanings=MEANINGS,
        expected=CONTROLS,
        sabotages=SABOTAGES,
        owners_of=OWNERS,
        missing=units.MISSING,
        about=units.ABOUT,
    )
    return environment


def _breakable(name: object) -> Markup:
    return Markup("<wbr>").join(map(escape, _SEAM.split(str(name))))


def _command(text: object) -> Markup:
    """A command that is not broken within an option."""
    first, *options = str(text).split(" --")
    pieces = [first, *(f"--{option}" for option in options)]
    return Markup(" ").join(Markup('<span class="pair">{}</span>').format(one) for one in pieces)


def _rate(run: Mapping[str, Any]) -> str:
    """The requests a second of a run: between which its rounds were, where it tells."""
    ends = run.get("lowest_per_second"), run.get("highest_per_second")
    if any(measured(end) is not None for end in ends):
        return units.band(*ends)
    return units.band(None, run.get("requests_per_second"))


FILTERS = {
    "breakable": _breakable,
    "command": _command,
    "count": units.count,
    "is_some": lambda value: bool(measured(value)),
    "plural": plural,
    "rate": _rate,
    "supported": units.supported,
    "seconds": units.seconds,
    "size": units.size,
    "violations": violations_in,
}


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
    version = document.get("version") or facts["versions"].get(OURS)
    facts["versions"].pop(OURS, None)
    return {"facts": facts, "version": version}


def _soaked(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the soak's runs come to."""
    ran = [run for run in runs if run.get("outcome") != NOT_RUN]
    memories = [run.get("memory") or {} for run in ran]
    return {
        "servers": _by_server(ran),
        "ran": len(ran),
        "not_run": _not_run(runs),
        "stores": list(dict.fromkeys(str(run["store"]) for run in ran if run.get("store"))),
        "requests": requests_in(ran),
        "violations": sum(map(violations_in, ran)),
        "totals": {kind: sum(measured(run.get(kind)) or 0 for run in ran) for kind in VIOLATIONS},
        "is_memory_judged": any(memory.get("is_flat") is not None for memory in memories),
    }


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


def _by_server(runs: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
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
