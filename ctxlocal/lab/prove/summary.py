"""The verdict for a terminal of 80 columns or more, or for a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import figures
from .document import (
    Document,
    Finding,
    controls_of,
    is_caught,
    judge,
    matrix_of,
    plural,
    requests_in,
    runs_of,
    violations_in,
)

STYLES = {
    "clean": "bold green",
    "caught": "bold green",
    "incomplete": "bold yellow",
    "violated": "bold white on red",
}
FINDINGS = 20
PEERS = 3


def show(document: Document, console: Console) -> None:
    """Print a line for each thing that was measured, what is wrong or missing, the verdict."""
    verdict = judge(document)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in (*_matrix(document), *_soak(document), *_control(document), *_bench(document)):
        table.add_row(*map(Text, row))
    console.print(table)
    _list(verdict.violations, STYLES["violated"], console)
    _list(verdict.gaps, STYLES["incomplete"], console)
    console.print(Text(verdict.sentence, style=STYLES[verdict.state]))


def _list(findings: Sequence[Finding], style: str, console: Console) -> None:
    for what, where in findings[:FINDINGS]:
        console.print(Text.assemble((what, style), f" {where}"))
    if len(findings) > FINDINGS:
        console.print(f"and {len(findings) - FINDINGS} more, which the report lists")


def _matrix(document: Document) -> Iterator[tuple[str, str, str]]:
    matrix = matrix_of(document)
    if matrix.cells:
        cells, _, counts = matrix.summary().partition(": ")
        yield "matrix", cells, counts


def _soak(document: Document) -> Iterator[tuple[str, str, str]]:
    runs = runs_of(document)
    if runs:
        found = plural(sum(map(violations_in, runs)), "violation")
        ran = [run for run in runs if run.get("outcome") != "not run"]
        yield "soak", plural(requests_in(runs), "request"), f"{plural(len(ran), 'run')}: {found}"


def _control(document: Document) -> Iterator[tuple[str, str, str]]:
    if controls := controls_of(document):
        caught = sum(map(is_caught, controls))
        yield "control", plural(len(controls), "sabotaged soak"), f"{caught:,} caught"


def _bench(document: Document) -> Iterator[tuple[str, str, str]]:
    comparisons = figures.comparisons(document.get("bench") or {})
    if comparisons:
        yield "bench", "ctxlocal", "others, times that"
    for comparison in comparisons:
        ours = f"{comparison.times[comparison.reference].shown} ns"
        peers = list(comparison.peers.items())[:PEERS]
        listed = ", ".join(f"{row} {ratio.shown}" for row, ratio in peers)
        yield "", f"{comparison.title}: {ours}", listed
