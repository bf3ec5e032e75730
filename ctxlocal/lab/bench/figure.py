"""Figures as a terminal shows them, and the table they stand in."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..figures import MISSING, number

OURS = "ctxlocal."


def times(ratio: float | None) -> str:
    """Return a ratio to ours."""
    return MISSING if ratio is None else f"{number(ratio)}×"


def new_table(first: str) -> Table:
    """Return a table without lines, whose first column is text."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def titled(title: str, *drawn: RenderableType) -> Padding:
    """Return ``drawn`` under a title and above an empty line."""
    return Padding(Group(Text(title, style="bold"), *drawn), (0, 0, 1, 0))


def style_of(row: str) -> str:
    """Return the style of a row: ours stands out."""
    return "green" if row.startswith(OURS) else ""
