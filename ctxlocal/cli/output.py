"""The standard output of the commands: whole lines without trailing blanks, or one that says why.

All that prints goes through it: click's echo, rich's tables, JSON.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

T = TypeVar("T")


class NotWritten(click.ClickException):
    """The result could not be written; exit status 2, which tells nothing of the result."""

    exit_code = 2


class Output:
    """A text stream whose failures are :class:`NotWritten`.

    A reader that wants no more stays a BrokenPipeError, for which click ends without a word.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> Any:
        """Write the text."""
        return self._tell(self._stream.write, text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._tell(self._stream.flush)

    def _tell(self, function: Callable[..., T], *arguments: str) -> T:
        try:
            return function(*arguments)
        except BrokenPipeError:
            self.is_broken = True
            raise
        except OSError as error:
            self.is_broken = True
            raise not_written(self._stream, error) from error


def not_written(file: Any, error: OSError) -> NotWritten:
    """Return the error that names the file and says why."""
    return NotWritten(f"{file.name}: {error.strerror or error}")


@contextmanager
def told_output() -> Iterator[None]:
    """Let :class:`Output` be the standard output.

    What a broken one still holds is dropped: at its end Python would complain of it once more.
    """
    if sys.stdout is None:
        click.echo("Error: the standard output is closed", err=True)
        raise SystemExit(NotWritten.exit_code)
    stream, output = sys.stdout, Output(sys.stdout)
    sys.stdout = output
    try:
        yield
        output.flush()
    except NotWritten as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    finally:
        sys.stdout = stream
        if output.is_broken:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Trimmed:
    def __init__(self, drawn: ConsoleRenderable) -> None:
        self._drawn = drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = Segment.split_lines(console.render(self._drawn, options))
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            while line and not line[-1].control and not line[-1].text.rstrip(" "):
                line.pop()
            if line and not line[-1].control:
                text, style, control = line.pop()
                line.append(Segment(text.rstrip(" "), style, control))
            yield from line
        yield Segment.line()


class _Trimming(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Trimmed(drawn) for drawn in renderables]


def new_console(width: int | None = None) -> Console:
    """Return a console on the standard output, whose tables have no trailing blanks.

    :param width: columns; None takes the terminal's, or COLUMNS, or 80.
    """
    console = Console(highlight=False, width=width)
    console.push_render_hook(_Trimming())
    return console
