"""``ctxlocal prove``: show on this machine that nothing leaks, and keep the report."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ..lab.prove.part import PARTS
from .needed import refuse_missing
from .output import new_console
from .result import json_option, write_json

NEEDED = ("matplotlib", "jinja2")
FILE_NAME = "ctxlocal-report.html"
SUFFIXES = (".html", ".htm")
DECISIVE = ("CTXLOCAL_PURE", "CTXLOCAL_IDENT")  # variables that change what is measured


def _report_path(_: click.Context, __: click.Parameter, path: Path) -> Path:
    """Refuse what cannot be written before anything runs; a folder means a file in it."""
    if path.is_dir():
        path /= FILE_NAME
    elif path.suffix not in SUFFIXES:
        raise click.BadParameter(f"{str(path)!r} is neither a folder nor named *.html.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(path.parent)!r}.")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{str(path)!r} cannot be written.")
    return path


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    callback=_report_path,
    default=FILE_NAME,
    show_default=True,
    metavar="DIR|FILE.html",
    help="Where the report is written.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(PARTS),
    help="Only this part; can be given more than once.",
)
@json_option("summary")
def prove(output: Path, only: Sequence[str], json_file: Any) -> None:
    """Measure isolation and cost here, and write an HTML report.

    matrix: what work and its creator see of each other. soak: servers under load. control: a soak
    of what was broken on purpose, which has to be caught. bench: cost.

    The report needs no network and no other file. Exit status 1 when anything leaked, a part
    failed, or the control was not caught. Ctrl-C ends it with what was measured until then in
    the report, and exit status 130.
    """
    refuse_missing("ctxlocal prove", NEEDED, "prove")
    document, status = _measured(only)
    try:
        _write(document, output)
    finally:  # neither is lost because the other cannot be written
        if json_file is not None:
            write_json(document, json_file)
    if json_file is None or json_file.name != sys.stdout.name:
        from ..lab.prove.summary import show

        show(document, new_console())
        click.echo(f"Report: {output}")
    sys.exit(status)


def _measured(only: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Run the parts; return the document and the exit status."""
    from ..lab.prove.document import judge
    from ..lab.prove.origin import origin
    from ..lab.prove.part import run_all
    from ..lab.prove.parts import all_parts

    started, measured = time.monotonic(), origin()
    parts = [part for part in all_parts() if not only or part.name in only]
    outcome = run_all(parts, Console(stderr=True))
    document = {
        "command": _command(only),
        "date": datetime.now(timezone.utc).date().isoformat(),
        **measured,
        "seconds": round(time.monotonic() - started, 1),
        "missing": outcome.missing,
        **outcome.results,
    }
    verdict = judge(document)
    return document, verdict.status if verdict.violations else outcome.status or verdict.status


def _command(only: Sequence[str]) -> str:
    """What a shell would say to measure the same; where the results went is nobody else's."""
    set_here = [(name, os.environ[name]) for name in DECISIVE if os.environ.get(name)]
    return " ".join(
        [
            *(f"{name}={shlex.quote(value)}" for name, value in set_here),
            click.get_current_context().command_path,
            *(f"--only {name}" for name in only),
        ]
    )


def _write(document: dict[str, Any], output: Path) -> None:
    from ..lab.prove.page import page

    try:
        output.write_text(page(document), "utf-8")
    except OSError as error:
        click.echo(f"Error: {output}: {error.strerror or error}", err=True)
        sys.exit(2)
