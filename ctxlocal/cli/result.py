"""Writing what a command has found."""

from __future__ import annotations

import json
from typing import Any

import click


class NotWritten(click.ClickException):
    """The result could not be written; exit status 2, which tells nothing of the result."""

    exit_code = 2


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
        raise NotWritten(f"{file.name}: {error.strerror or error}") from error
