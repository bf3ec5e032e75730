"""The report: what is bound where, as a table."""

from __future__ import annotations

import gc
import sys
from typing import Final, TextIO

from . import watch
from .binding import Binding

_HEAD: Final = ("Local", "attribute", "type", "owner", "set at")
_WIDE: Final = 1000  # in a file no line is broken


def report(file: TextIO | None = None) -> None:
    """Print what is bound in every owner that lives: by whom, of which type, and where it was set.

    A table of rich's where rich is installed (ctxlocal's extra ``cli``), else plain columns. Owners
    and Locals that are garbage are collected first.

    :param file: where to; None: standard output.
    """
    gc.collect()
    rows = [_row(binding) for binding in watch.living()]
    out = sys.stdout if file is None else file
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _print_plainly(rows, out)
        return
    table = Table(*_HEAD)
    for row in rows:
        table.add_row(*row)
    width = None if out.isatty() else _WIDE
    Console(file=out, width=width, markup=False, highlight=False).print(table)


def _row(binding: Binding) -> tuple[str, ...]:
    name = "(on the stack)" if binding.name is None else binding.name
    return binding.local, name, binding.type_name, binding.owner, str(binding.place)


def _print_plainly(rows: list[tuple[str, ...]], out: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip(), file=out)
