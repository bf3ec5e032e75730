"""``ctxlocal bench``: the options, the progress bar, the exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from ..lab.bench.conductor import conduct, plan
from ..lab.bench.parts import PARTS
from ..lab.bench.table import show
from .output import new_console
from .result import json_option, write_json


@click.command()
@click.option(
    "--only",
    multiple=True,
    metavar="PART",
    type=click.Choice([part.name for part in PARTS]),
    help=f"Only this part; can be given more than once: {', '.join(part.name for part in PARTS)}.",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Only this table: "
    + "; ".join(f"of {part.name}, {', '.join(part.tables)}" for part in PARTS)
    + ".",
)
@click.option("--quick", is_flag=True, help="About 20 seconds: fewer tables, rougher figures.")
@json_option("tables")
def bench(only: Sequence[str], tables: Sequence[str], quick: bool, json_file: Any) -> None:
    """Measure what locals cost here, beside other libraries.

    micro: single operations. concurrency: up to 10,000 threads, greenlets, gevent greenlets and
    tasks share one Local; each verifies every value it reads.

    Exit status 1 when a read through a Local of ours gave another owner's value, or a benchmark
    broke. Ctrl-C shows what was measured before.
    """
    try:
        planned = plan(only, tables, quick=quick)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--table") from None
    console = Console(stderr=True)
    steps = sum(job.steps for _, jobs in planned for job in jobs)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=steps)
        report = conduct(
            only,
            tables,
            quick=quick,
            advance=lambda job: progress.update(bar, advance=1, description=job),
        )
    if json_file is not None:
        write_json(report.as_dict(), json_file)
    if json_file is None or json_file.name != sys.stdout.name:
        show(report, new_console())
    if report.signal is not None:
        sys.exit(128 + report.signal)
    sys.exit(1 if report.complaints else 0)
