"""Packages that a command needs beyond those of the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec

import click

from ..errors import MissingDependencyError


def refuse_missing(command: str, packages: Iterable[str], extra: str) -> None:
    """End with exit status 2 and one line if a package is not installed.

    :param command: that needs them.
    :param extra: of ours, which brings them.
    """
    for package in packages:
        if find_spec(package) is None:
            click.echo(f"Error: {MissingDependencyError(command, package, extra)}", err=True)
            sys.exit(2)
