"""Draws what came of a soak for a terminal of 80 columns or more, or for a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .report import VIOLATIONS, Run, SoakReport

STYLES = {"clean": "green", "not run": "dim", "interrupted": "yellow"}
WRONG = "bold white on red"
COUNTS = {**VIOLATIONS, "errors": "errors"}
LEGEND = {
    "wrong": "Foreign reads, stale values at entry, skipped, doubled or early teardowns, lost "
    "session updates, wrong or missing answers, memory that keeps growing.",
    "kept": "Requests before whose middleware the server had kept a context variable of an "
    "earlier one; the application saw nothing of it.",
    "KiB/10k": "How the server's memory kept growing in 10,000 requests; ? where there were too "
    "few requests to tell.",
}


def show(report: SoakReport, console: Console) -> None:
    """Print the table, a legend, what went wrong, what was not run, and the summary."""
    done = [run for run in report.runs if run.requests]
    if done:
        console.print(_table(done))
        console.print(_legend())
    for line in _complaints(report.runs):
        console.print(line, soft_wrap=True)
    console.print(Text(report.summary(), style="bold green" if report.is_good else WRONG))


def _table(runs: Sequence[Run]) -> Padding:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("server", "strategy", "store"):
        table.add_column(name, no_wrap=True)
    for name in ("requests", "req/s", "wrong", "kept", "KiB/10k"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        style = STYLES.get(run.outcome, WRONG)
        wrong = Text(f"{run.violations:,}", style=WRONG if run.violations else style)
        table.add_row(
            *(Text(run.server, style=style), run.strategy, run.store),
            *(f"{run.requests:,}", f"{run.requests_per_second:,.0f}", wrong),
            *(f"{run.server_leaks:,}", _growth(run)),
        )
    return Padding(table, (1, 0))


def _growth(run: Run) -> Text:
    memory = run.memory
    if memory.is_flat is None or memory.bytes_per_10000 is None:
        return Text("?", style="dim")
    return Text(f"{memory.bytes_per_10000 / 1024:,.0f}", style="" if memory.is_flat else WRONG)


def _legend() -> Padding:
    legend = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    for word, meaning in LEGEND.items():
        legend.add_row(word, Text(meaning))
    return Padding(legend, (0, 0, 1, 0))


def _complaints(runs: Sequence[Run]) -> Iterator[Text]:
    """Say what is wrong, with the runs in one line where all else is the same."""
    alike: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        if run.outcome == "not run":
            names = alike.setdefault(("not run", run.note), [])
            if run.server not in names:
                names.append(run.server)
        elif run.outcome != "clean":
            counted = [
                f"{getattr(run, name):,} {words}"
                for name, words in COUNTS.items()
                if getattr(run, name)
            ]
            text = "; ".join(filter(None, [", ".join(counted), run.note]))
            where = f"{run.server} {run.strategy} {run.store}"
            alike.setdefault((run.outcome, text), []).append(where)
    for (outcome, text), names in alike.items():
        style = STYLES.get(outcome, WRONG)
        yield Text.assemble(
            (outcome, style), f" {': '.join(filter(None, [', '.join(names), text]))}"
        )
