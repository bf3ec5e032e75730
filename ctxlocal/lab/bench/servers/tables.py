"""Draws the servers' table for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from ...figures import MISSING, number
from ..figure import new_table, times, titled
from .load import CONNECTIONS
from .measure import MODES

TITLE = f"Servers, one process, {CONNECTIONS} busy connections: requests a second"
LEGEND = (
    "contexts: inside the middleware; sessions: with a session in SQLite that each request reads "
    "and writes; ×, how many times as long a request takes as plain. The best of a few rounds: "
    "servers are noisy, and a ratio below 1 is noise. --quick takes a few servers, for a moment.\n"
)


def draw(found: Sequence[dict[str, Any]]) -> Iterator[RenderableType]:
    """Yield the table, and what the figures mean."""
    if not found:
        return
    drawn = new_table("server")
    for mode in MODES:
        drawn.add_column(mode, justify="right", no_wrap=True)
        if mode != MODES[0]:
            drawn.add_column("×", justify="right", no_wrap=True, style="dim")
    by_server: dict[str, dict[str, float]] = {}
    for one in found:
        by_server.setdefault(one["server"], {})[one["mode"]] = one["requests_per_second"]
    for server, speeds in by_server.items():
        drawn.add_row(server, *_cells(speeds))
    yield titled(TITLE, drawn, LEGEND)


def _cells(speeds: dict[str, float]) -> Iterator[str]:
    plain = speeds.get(MODES[0])
    for mode in MODES:
        speed = speeds.get(mode)
        yield MISSING if speed is None else number(speed)
        if mode != MODES[0]:
            yield times(plain / speed if plain and speed else None)
