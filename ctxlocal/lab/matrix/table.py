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

from .report import Cell, MatrixReport

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


def show(report: MatrixReport, console: Console, *, only_surprises: bool = False) -> None:
    """Print the table, a legend, what was unexpected, what is worth knowing, and the summary.

    :param only_surprises: leave out of the table what is as anybody would expect.
    """
    console.print(_versions(), style="dim")
    cells = _surprising_rows(report) if only_surprises else report.cells
    if cells:
        console.print(_table(cells, only_surprises=only_surprises))
        console.print(_legend())
    for complaint in _complaints(report.complaints()):
        console.print(complaint)
    if known := report.worth_knowing():
        hint = "" if only_surprises else " --surprises shows these alone."
        console.print(Text(known + hint))
    style = UNEXPECTED if report.unexpected else "bold green"
    console.print(Text(report.summary(), style=style))


def _versions() -> Text:
    versions = {"Python": platform.python_version(), **installed_versions()}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Text(f"{listed}; {ctxlocal.IMPLEMENTATION} implementation")


def _surprising_rows(report: MatrixReport) -> list[Cell]:
    """The cells of all ways of starting work that have a surprise under some strategy."""
    ways = {(cell.group, cell.way) for cell in report.surprising}
    return [cell for cell in report.cells if (cell.group, cell.way) in ways]


def _table(cells: Sequence[Cell], *, only_surprises: bool = False) -> Padding:
    strategies = list(dict.fromkeys(cell.strategy for cell in cells))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("work started by", min_width=20, max_width=40)
    for strategy in strategies:
        table.add_column(strategy, width=8, no_wrap=True)
    for group, members in groupby(cells, key=lambda cell: cell.group):
        table.add_row(Text(group, style="bold"))
        for way, row in groupby(members, key=lambda cell: cell.way):
            shown = [_word(c) if c.is_surprising or not only_surprises else Text() for c in row]
            table.add_row(Text(f"  {way}"), *shown)
    return Padding(table, (1, 0))


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
