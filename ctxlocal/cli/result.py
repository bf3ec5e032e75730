"""Writing what a command has found."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .output import not_written

F = TypeVar("F", bound=Callable[..., Any])


def json_option(shown: str) -> Callable[[F], F]:
    """Return the option --json of a command, which gets an open file, or None, as ``json_file``.

    :param shown: what the terminal gets otherwise.
    """
    text = f"Write the result as JSON; - is the standard output, then without the {shown}."
    return click.option("--json", "json_file", type=click.File("w", lazy=False), help=text)


def write_json(found: object, file: Any) -> None:
    """Write ``found`` to an open file, to the end.

    :raises NotWritten: it cannot be written: the disk is full, say. Left to the closing
        of the file, that would be silent.
    """
    try:
        file.write(json.dumps(found, indent=1) + "\n")
        file.flush()
    except BrokenPipeError:  # whoever read it wants no more
        raise
    except OSError as error:
        raise not_written(file, error) from error
