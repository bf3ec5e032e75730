"""The options of ``ctxlocal soak``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..ident.named import NAMED
from ..lab.servers.catalogue import BY_NAME
from ..lab.soak.plan import PlannedRun, Size
from ..lab.soak.stores import STORES, shown
from .needed import refuse_missing
from .output import new_console
from .result import json_option, write_json

if TYPE_CHECKING:
    from ..lab.soak.report import Run

NEEDED = ("psutil", "werkzeug", "msgspec", "blinker")

SABOTAGES = (
    "shared-dict",
    "ident-keyed-dict",
    "frame-kept",
    "teardown-twice",
    "teardown-early",
    "store-forgets",
    "store-confuses",
)


@click.command()
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    type=click.Choice(list(BY_NAME)),
    help="Only this server; can be given more than once: " + ", ".join(BY_NAME) + ".",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    type=click.Choice(list(NAMED)),
    help=f"Only this identity strategy ({', '.join(NAMED)}), also where it cannot isolate; "
    "else all that can.",
)
@click.option(
    "--store",
    "stores",
    multiple=True,
    default=("sqlite",),
    show_default=True,
    metavar="STORE",
    help=f"Where the sessions are kept: {', '.join(STORES)} (started for it), all, or a URL.",
)
@click.option(
    "--requests",
    default=Size.requests,
    show_default=True,
    type=click.IntRange(1),
    help="About so many to each server, under each strategy, with each store.",
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="At most, of each.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Where each server listens; else any free port."
)
@click.option(
    "--sabotage",
    metavar="NAME",
    type=click.Choice(SABOTAGES),
    help=f"Break what is soaked, and see that it is caught: {', '.join(SABOTAGES)}.",
)
@json_option("table")
def soak(
    servers: Sequence[str],
    strategies: Sequence[str],
    stores: Sequence[str],
    requests: int,
    seconds: float | None,
    port: int | None,
    sabotage: str | None,
    json_file: Any,
) -> None:
    """Load real servers while each request checks what it finds.

    Each request puts a secret of its own into a Local, a LocalStack, g, a context variable
    and its session, lets the others run, and reads it back; at its start nothing may be
    there. Clients keep connections alive, pipeline, POST large bodies, read slowly and hang
    up; views stream, raise, and start work that goes on when the response is over.

    Exit status 1 when something was wrong, or a server failed; 130 after Ctrl-C, with what
    was found until then.
    """
    refuse_missing("ctxlocal soak", NEEDED, "servers")
    from ..lab.soak.report import SoakReport
    from ..lab.soak.table import show as show_table

    plans = make_plans(servers, strategies, stores, sabotage)
    for url in {plan.store for plan in plans} - set(STORES):
        _refuse_unreachable(url)
    size = Size(requests=requests, seconds=seconds, port=port)
    where = {"server": servers, "strategy": strategies, "store": map(shown, stores)}
    command = _command(**where, requests=[requests], seconds=[seconds], sabotage=[sabotage])
    settings = {"command": command, "visitors": size.visitors}
    finished: list[Run] = []
    begun = time.monotonic()
    status = 0
    try:
        _conduct(plans, size, finished)
    except SystemExit as ended:
        status = int(ended.code or 0)
    report = SoakReport(finished, time.monotonic() - begun, settings)
    if json_file is not None:
        write_json(report.as_dict(), json_file)
    if json_file is None or json_file.name != sys.stdout.name:
        show_table(report, new_console())
    sys.exit(status or (0 if report.is_good else 1))


def _command(**options: Iterable[object]) -> str:
    """Return what a shell would say to do the same; of a store's URL only its kind."""
    given = [(name, value) for name, values in options.items() for value in values]
    said = [f"--{name} {value}" for name, value in given if value is not None]
    return " ".join(["ctxlocal soak", *said])


def _refuse_unreachable(url: str) -> None:
    from ..lab.stores import StoreProblem, opened

    try:
        with opened(url) as store:
            store.stats()
    except StoreProblem as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(2)


def make_plans(
    servers: Sequence[str],
    strategies: Sequence[str],
    stores: Sequence[str],
    sabotage: str | None = None,
) -> list[PlannedRun]:
    """Return the runs that are asked for; nothing named means everything that isolates."""
    chosen = [BY_NAME[name] for name in servers] or list(BY_NAME.values())
    wanted = list(dict.fromkeys(name for store in stores for name in _expand(store)))
    return [
        PlannedRun(server, strategy, store, sabotage)
        for store in wanted
        for server in chosen
        for strategy in strategies or server.strategies
    ]


def _expand(store: str) -> Sequence[str]:
    if store == "all":
        return STORES
    if store not in STORES and ":" not in store:
        raise click.BadParameter(
            f"{store!r} is none of {', '.join(STORES)}, all, and no URL.", param_hint="--store"
        )
    return (store,)


def _conduct(plans: Sequence[PlannedRun], size: Size, finished: list[Run]) -> None:
    from ..lab.soak.conductor import conduct

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task("starting", total=len(plans) * size.planned)

        def advance(plan: PlannedRun, requests: int) -> None:
            name = f"{plan.server.name} {plan.strategy} {shown(plan.store)}"
            at = plans.index(plan) * size.planned
            made = progress.tasks[0].completed
            progress.update(bar, description=name, completed=max(made, at) + requests)

        conduct(plans, size, advance, finished)
