"""Draws the concurrency benchmark's tables for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...figures import MISSING, number
from ..figure import new_table, style_of, times, titled
from .library import CONTROL, OURS, PLAIN
from .turn import READS, SETS

LEGEND = (
    f"N owners share one object. In its turn an owner reads its value {READS} times, verifies each "
    f"read and sets another value {SETS} times; then all others have a turn. Under N: millions of "
    "reads and sets a second, without the switches; - where that is not more than noise.\n"
    "For the greatest N: whole, with the switches; ×, how many times as long as ours without them; "
    "bytes, what an owner adds to the memory; left, what a second crowd of N leaves in it.\n"
    "A foreign read gave another owner's value.\n"
)
SHORT = {1_000: "1k", 10_000: "10k"}


def draw(found: Sequence[dict[str, Any]]) -> Iterator[RenderableType]:
    """Yield a table for each kind of owner, and what the figures mean."""
    if found:
        yield LEGEND
    for kind in dict.fromkeys(one["owners"] for one in found):
        of_kind = [one for one in found if one["owners"] == kind]
        strategy = next((one["strategy"] for one in of_kind if one["strategy"]), "")
        title = f'{kind.capitalize()}, ctxlocal.Local(ident="{strategy}"): millions a second'
        yield titled(title, _drawn(of_kind), _notes(of_kind))


def _drawn(found: Sequence[dict[str, Any]]) -> Table:
    counts = list(dict.fromkeys(one["count"] for one in found))
    drawn = new_table("N")
    for count in counts:
        drawn.add_column(SHORT.get(count, str(count)), justify="right", no_wrap=True)
    for head in ("whole", "×", "bytes", "left"):
        drawn.add_column(head, justify="right", no_wrap=True, style="dim" if head == "×" else "")
    by_row: dict[str, dict[int, dict[str, Any]]] = {}
    for one in found:
        by_row.setdefault(one["library"], {})[one["count"]] = one
    ours = by_row.get(OURS, {})
    for row, by_count in by_row.items():
        net = [_millions(by_count.get(count, {}).get("net_ops_per_second")) for count in counts]
        cells = [*net, *_at_most(by_count, ours)]
        drawn.add_row(row, *cells, style=_style(row, by_count))
    return drawn


def _at_most(by_count: dict[int, dict[str, Any]], ours: dict[int, dict[str, Any]]) -> list[str]:
    """Return the cells of the greatest number of owners."""
    most = max(by_count)
    one, mine = by_count[most], ours.get(most, {})
    speed, of_ours = one["net_ops_per_second"], mine.get("net_ops_per_second")
    return [
        _millions(one["ops_per_second"]),
        times(of_ours / speed if speed and of_ours else None),
        f"{one['bytes_per_owner']:,}",
        f"{one['bytes_left']:,}",
    ]


def _millions(a_second: float | None) -> str:
    return MISSING if a_second is None else number(a_second / 1e6)


def _style(row: str, by_count: dict[int, dict[str, Any]]) -> str:
    if any(one["foreign_reads"] for one in by_count.values()):
        return "red"
    return "dim" if row == PLAIN else style_of(row)


def _notes(found: Sequence[dict[str, Any]]) -> Text:
    """Say who read what was not its own, and that nobody else did."""
    foreign: dict[str, int] = {}
    for one in found:
        foreign[one["library"]] = foreign.get(one["library"], 0) + one["foreign_reads"]
    lines = []
    for row, reads in foreign.items():
        if reads:
            why = " isolates threads alone" if row == CONTROL else ""
            lines.append(Text(f"{row}{why}: {reads:,} foreign reads.", "red"))
    return Text("\n").join(
        [*lines, Text("No other foreign read." if lines else "No foreign read.")]
    )
