"""The command line's options; what they do is in the packages beside."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

import ctxlocal as core
from ctxlocal.local import REASON

from ..lab.matrix.conductor import PlannedCell, conduct
from ..lab.matrix.place import STRATEGIES
from ..lab.matrix.probes import GROUPS, all_probes
from ..lab.matrix.report import Cell, MatrixReport
from ..lab.matrix.table import show as show_matrix
from ..lab.servers.kinds import KINDS
from ..lab.versions import hidden_twin
from . import doctor as doctor_
from .bench import bench
from .demo import demo
from .output import new_console
from .prove import prove
from .result import json_option, write_json
from .sessions import sessions
from .soak import soak

MEASURING = ("matrix", "soak", "bench", "prove")  # what the twin makes a difference to


@click.group()
@click.pass_context
@click.version_option(
    core.__version__,
    prog_name="ctxlocal",
    message=f"%(prog)s %(version)s, {core.IMPLEMENTATION} twin ({hidden_twin() or REASON})",
)
def ctxlocal(context: click.Context) -> None:
    """Show what isolates what: on this machine (matrix), in one process (doctor).

    In real servers under load (soak), and what it costs (bench); all of it in a minute, with a
    report to keep (prove). And look after the sessions in a store (sessions), or see them
    work (demo).
    """
    hidden = hidden_twin()
    if hidden and context.invoked_subcommand in MEASURING:
        click.echo(f"Note: {hidden}.", err=True)


ctxlocal.add_command(bench)
ctxlocal.add_command(sessions)
ctxlocal.add_command(demo)
ctxlocal.add_command(soak)
ctxlocal.add_command(prove)


@ctxlocal.command()
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    type=click.Choice(STRATEGIES),
    help="Only this identity strategy; can be given more than once.",
)
@click.option(
    "--only",
    "terms",
    multiple=True,
    metavar="TEXT",
    help="Only groups and ways of starting work whose name contains TEXT.",
)
@click.option(
    "--surprises",
    is_flag=True,
    help="Show only what surprises: what is not as promised, and where a promise is not what one "
    "would expect: values that are shared with other work, or lost.",
)
@json_option("table")
def matrix(
    strategies: Sequence[str], terms: Sequence[str], surprises: bool, json_file: Any
) -> None:
    """Run every way of starting work under every strategy.

    Exit status 1 when a cell is not what its strategy promises.
    """
    report = MatrixReport(_conduct(_plans(strategies or STRATEGIES, terms)))
    if json_file is not None:
        write_json(report.as_dict(), json_file)
    if json_file is None or json_file.name != sys.stdout.name:
        show_matrix(report, new_console(), only_surprises=surprises)
    sys.exit(1 if report.unexpected else 0)


def _plans(strategies: Sequence[str], terms: Sequence[str]) -> list[PlannedCell]:
    wanted = [strategy for strategy in STRATEGIES if strategy in strategies]
    names = {probe: f"{probe.group.name} {probe.way}".casefold() for probe in all_probes()}
    for term in terms:
        if not any(term.casefold() in name for name in names.values()):
            groups = "; ".join(group.name for group in GROUPS)
            raise click.BadParameter(
                f"no way of starting work contains {term!r}. The groups are: {groups}.",
                param_hint="--only",
            )
    chosen = [
        probe
        for probe, name in names.items()
        if not terms or any(term.casefold() in name for term in terms)
    ]
    return [(probe, strategy) for probe in chosen for strategy in wanted]


def _conduct(plans: list[PlannedCell]) -> list[Cell]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("running", total=len(plans))
        return conduct(plans, lambda _: progress.advance(bar))


@ctxlocal.command()
@click.option(
    "--import",
    "module",
    metavar="MODULE",
    help="Import MODULE first, from the current directory too: your application, with its patches.",
)
@click.option(
    "--server",
    type=click.Choice(list(KINDS)),
    help="The kind of worker the application will run in.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(module: str | None, server: str | None, as_json: bool) -> None:
    """Say whether the strategy of a process can isolate there.

    Exit status 1 when it cannot. Inside a running application call
    ctxlocal.cli.doctor.diagnose() instead.
    """
    ours = frozenset(sys.modules)
    if module is not None:
        _import_application(module)
    report = doctor_.diagnose(server=server, ignore=ours)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=1))
    else:
        from .doctor.view import show

        show(report, new_console())
    sys.exit(0 if report.is_healthy else 1)


def _import_application(module: str) -> None:
    sys.path.insert(0, os.getcwd())
    name = module.partition(":")[0]  # module:attribute, as servers take it
    try:
        import_module(name)
    except Exception as error:
        raise click.BadParameter(
            f"importing {name!r} raised {type(error).__name__}: {error}", param_hint="--import"
        ) from error
