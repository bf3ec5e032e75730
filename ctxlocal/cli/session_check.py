"""Prints what ``ctxlocal sessions check`` has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..lab.check.finding import Finding
    from ..lab.check.report import Check

STYLES = {"warning": "bold red", "note": "yellow", "not known": "yellow", "fine": "bold green"}


def show(found: Check, console: Console) -> None:
    """Print the store, how long its calls take, what was found, and the verdict."""
    console.print(Text(f"{found.store}: {found.engine}"))
    if found.round_trips:
        console.print()
        console.print(_times(found))
    console.print()
    console.print(_findings(found.findings))
    console.print()
    warnings = found.count("warning")
    if warnings:
        what = f"{warnings} warning{'' if warnings == 1 else 's'}: see above."
        console.print(Text(what, "bold red"))
    else:
        console.print(Text("Nothing was found that endangers sessions.", "bold green"))


def _times(found: Check) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("call")
    for title in ("median", "worst", "calls"):
        table.add_column(title, justify="right")
    for each in found.round_trips:
        table.add_row(each.call, _ms(each.median_seconds), _ms(each.worst_seconds), str(each.calls))
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def _findings(findings: tuple[Finding, ...]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        named = f"{finding.name}: {finding.value}" if finding.value else finding.name
        on = f" ({', '.join(finding.nodes)})" if finding.nodes else ""
        why = f"\n{finding.text}" if finding.text else ""
        grid.add_row(Text(finding.level, STYLES[finding.level]), Text(f"{named}{on}{why}"))
    return grid
