"""Draws the micro benchmarks' tables for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from ...figures import MISSING, number
from ..figure import new_table, style_of, times, titled
from . import import_time


@dataclass(frozen=True)
class Block:
    """Tables that are shown side by side.

    :param ours: the row that the others are compared with.
    :param columns: the head of each table's figures, by the table.
    """

    title: str
    ours: str
    columns: Mapping[str, str]


_PROXY = "ctxlocal.LocalProxy over a Local"
BLOCKS = (
    Block(
        "Local: get an attribute of so many",
        "ctxlocal.Local",
        {"local-get": "1", "local-get-1000": "1000"},
    ),
    Block(
        "Local: set an attribute of so many; in turn: each of them",
        "ctxlocal.Local",
        {"local-set-10": "10", "local-set-1000": "1000", "local-set-turns": "1000 in turn"},
    ),
    Block(
        "LocalStack: push and pop, at depth",
        "ctxlocal.LocalStack",
        {"stack-1": "1", "stack-1000": "1000"},
    ),
    Block(
        "LocalProxy: attribute, method, call",
        _PROXY,
        {"proxy-attribute": "p.x", "proxy-method": "p.m()", "proxy-call": "p()"},
    ),
    Block("LocalProxy: item, operator", _PROXY, {"proxy-item": 'p["x"]', "proxy-add": "p + 1"}),
    Block(
        "A request: 5 sets and 20 gets, in a copied Context where one is needed",
        "ctxlocal.Local",
        {"request": "whole"},
    ),
    Block(
        "Local(ident=...) of 10 attributes, in the owner it is for",
        "context",
        {"strategy-get": "get", "strategy-set": "set"},
    ),
)
LEGEND = (
    "Nanoseconds for each operation, the least of all samples. ×: how many times as long as ours, "
    "the first row.\n"
)


def draw(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Yield a table for each block of which there is something, and what the figures mean."""
    blocks = [block for block in BLOCKS if any(table in tables for table in block.columns)]
    if blocks:
        yield LEGEND
    for block in blocks:
        yield titled(block.title, _drawn(block, tables))
    if import_time.TABLE in tables:
        rows = tables[import_time.TABLE]
        yield titled("Import: a whole interpreter from start to exit, in ms", _imports(rows))


def _drawn(block: Block, tables: Mapping[str, Mapping[str, Any]]) -> Table:
    there = {table: head for table, head in block.columns.items() if table in tables}
    drawn = new_table("")
    for head in there.values():
        drawn.add_column(head, justify="right", no_wrap=True)
        drawn.add_column("×", justify="right", no_wrap=True, style="dim")
    for row in dict.fromkeys(row for table in there for row in tables[table]):
        cells = [cell for table in there for cell in _cells(tables[table], row, block.ours)]
        drawn.add_row(row, *cells, style=style_of(row))
    return drawn


def _cells(rows: Mapping[str, Any], row: str, ours: str) -> tuple[str, str]:
    if row not in rows:
        return MISSING, MISSING
    ns: float = rows[row]["ns"]
    return number(ns), times(ns / rows[ours]["ns"] if ours in rows else None)


def _imports(rows: Mapping[str, Any]) -> Table:
    drawn = new_table("")
    drawn.add_column("ms", justify="right")
    drawn.add_column("above bare", justify="right", style="dim")
    bare = rows[import_time.BARE]["ms"]
    for row, figures in rows.items():
        above = "" if row == import_time.BARE else f"{figures['ms'] - bare:+.1f}"
        drawn.add_row(row, number(figures["ms"]), above, style=style_of(f"{row}."))
    return drawn
