"""Draws the matrix for a terminal of 80 columns or more, or for a pipe."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import ctxlocal
from ctxlocal.lab.versions import installed_versions

from .report import Cell, Report

# The word says what was seen; the colour only whether that was promised.
KEPT = "green"
STYLES = {"isolated": KEPT, "snapshot": KEPT, "shared": KEPT, "n/a": "dim"}
UNEXPECTED = "bold white on red"
COMPLAINTS = 40
LEGEND = {
    "isolated": "The callee sees nothing of its creator's, and gives nothing back.",
    "snapshot": "The callee sees what its creator had set when it was started; no set passes "
    "between them later.",
    "shared": "Both see each other's sets: they are the same owner.",
    "shared*": "The callees of one worker, or one loop, see each other's sets; their creator "
    "is apart.",
    "LEAK": "A value of an ended owner or of a sibling was seen, which the strategy rules out.",
    "callable": "An ident function; here it returns the asyncio task, else the greenlet.",
}


def show(report: Report, console: Console) -> None:
    """Print the table, a legend, what was unexpected, and the summary."""
    console.print(_versions(), style="dim")
    console.print(_table(report.cells))
    console.print(_legend())
    for complaint in _complaints(report.complaints()):
        console.print(complaint)
    style = UNEXPECTED if report.unexpected else "bold green"
    console.print(Text(report.summary(), style=style))


def _versions() -> Text:
    versions = {"Python": platform.python_version(), **installed_versions()}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Text(f"{listed}; {ctxlocal.IMPLEMENTATION} implementation")


def _table(cells: Sequence[Cell]) -> Padding:
    strategies = list(dict.fromkeys(cell.strategy for cell in cells))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("work started by", min_width=20, max_width=40)
    for strategy in strategies:
        table.add_column(strategy, width=8, no_wrap=True)
    for group, members in groupby(cells, key=lambda cell: cell.group):
        table.add_row(Text(group, style="bold"))
        for row in _rows(members):
            table.add_row(*row)
    return Padding(table, (1, 0))


def _rows(cells: Iterator[Cell]) -> Iterator[list[Text]]:
    for way, members in groupby(cells, key=lambda cell: cell.way):
        yield [Text(f"  {way}"), *map(_word, members)]


def _word(cell: Cell) -> Text:
    style = UNEXPECTED if cell.is_unexpected else STYLES[cell.actual]
    return Text(cell.actual + "*" * cell.among_siblings, style=style)


def _legend() -> Padding:
    legend = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    for word, meaning in LEGEND.items():
        style = UNEXPECTED if word == "LEAK" else STYLES.get(word.rstrip("*"), "")
        legend.add_row(Text(word, style=style), Text(meaning))
    return Padding(legend, (0, 0, 1, 0))


def _complaints(complaints: Sequence[tuple[str, str]]) -> Iterator[Text]:
    for what, where in complaints[:COMPLAINTS]:
        yield Text.assemble((what, UNEXPECTED), f" {where}")
    if len(complaints) > COMPLAINTS:
        yield Text(f"and {len(complaints) - COMPLAINTS} more, which --json lists")
