"""Prints a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .facts import Facts
from .locals import Holding
from .report import Diagnosis

STYLES = {"error": "bold red", "note": "yellow", "ok": "bold green"}
VERDICTS = {
    "broken": ("This cannot isolate: see the errors above.", "bold red"),
    "isolates": ("Nothing here breaks isolation.", "bold green"),
    "not judged": ("Nothing was judged: see the notes above.", "bold yellow"),
}


def show(report: Diagnosis, console: Console) -> None:
    """Print the facts, then the findings, then the verdict."""
    console.print(_grid((name, Text(value)) for name, value in _rows(report.facts)))
    console.print()
    console.print(_grid((Text(f.level, STYLES[f.level]), Text(f.text)) for f in report.findings))
    text, style = VERDICTS[report.verdict]
    console.print(Text(text, style=style))


def _grid(rows: Iterator[tuple[str | Text, Text]]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "python", facts.python + _threading(facts)
    yield "versions", ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    yield "implementation", f"{facts.twin} ({facts.twin_reason})"
    yield "default strategy", f"{facts.default.name or 'none'} ({facts.default.source})"
    for holding in facts.locals:
        yield _holding(holding)
    for patch in facts.patches:
        yield "patched by", f"{patch.library}: {', '.join(patch.modules)}"
        yield "  imported before", ", ".join(patch.too_early) or "nothing that matters"
    if not facts.patches:
        yield "patched by", "nobody"
    yield "greenlet contexts", _claim(facts.greenlet_contexts, "greenlet is not installed")
    inherit = _claim(facts.thread_inherit_context, "no such flag before Python 3.14")
    yield "threads inherit", inherit
    running = ", ".join(f"{name} ({what})" for name, what in facts.running.items())
    yield "running here", running or "no loop and no hub"


def _threading(facts: Facts) -> str:
    if not facts.free_threaded:
        return ""
    return ", free-threaded" + (", the GIL switched on" if facts.gil else "")


def _holding(holding: Holding) -> tuple[str, str]:
    strategy = "follows the default" if holding.strategy is None else holding.strategy
    where = "" if holding.position is None else f", {holding.position}"
    return holding.type, f"{holding.name} ({strategy}{where})"


def _claim(value: bool | None, missing: str) -> str:
    return missing if value is None else "yes" if value else "no"
