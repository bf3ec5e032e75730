"""Draws a report of the benchmark for a terminal, or for a pipe."""

from __future__ import annotations

import platform
import signal

from rich.console import Console
from rich.text import Text

import ctxlocal

from .report import BenchReport, machine
from .rival import versions

BAD = "bold white on red"


def show(report: BenchReport, console: Console) -> None:
    """Print what was measured on, the tables of each part, and what is missing or wrong."""
    console.print(_measured_on(), style="dim")
    console.print()
    for findings in report.findings.values():
        for drawn in findings.part.draw(findings.gathered()):
            console.print(drawn)
    for module in dict.fromkeys(report.left_out.values()):
        rows = ", ".join(row for row, gap in report.left_out.items() if gap == module)
        text = f"{module} cannot be imported; left out: {rows}"
        console.print(Text(text, style="yellow"))
    for line in report.complaints:
        console.print(Text(line, style=BAD))
    if report.signal is not None:
        name = signal.Signals(report.signal).name
        console.print(Text(f"Ended early by {name}: what is above is a part of it.", style=BAD))


def _measured_on() -> Text:
    where = machine()
    listed = ", ".join(f"{name} {version}" for name, version in versions().items())
    return Text(
        f"Python {platform.python_version()}, {where['cpu_model_name']} "
        f"({where['cpu_count']} cores); ctxlocal {ctxlocal.__version__}, "
        f"{ctxlocal.IMPLEMENTATION} implementation; {listed}"
    )
