"""The memory of open sessions and idle connections: that it is measured, and how it is shown."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.footprint import idle, opened
from benchmarks.footprint.tables import BLOCKS
from benchmarks.render import ROOT
from benchmarks.sessions.field import Row
from benchmarks.sessions.place import Place
from benchmarks.table import Document


def test_rows_are_shown_with_every_figure_of_each_python() -> None:
    old = {"bare": {"between": 0, "open": 2936, "peak": 3200}}
    new = {"bare": {"between": 0, "open": 2800}, "ctxlocal": {"peak": 16092}}
    found = [
        Document({"implementation": "native", "python": python, "opened": rows})
        for python, rows in (("3.11.7", old), ("3.14.1", new))
    ]
    assert BLOCKS["footprint-sessions"](found).splitlines()[2:] == [
        "| bare | 0 | 2,936 | 3,200 | 0 | 2,800 | - |",
        "| ctxlocal | - | - | - | - | - | 16,092 |",
    ]


def test_pages_show_every_block() -> None:
    pages = ("sessions-benchmarks.md", "servers-benchmarks.md")
    text = "".join((ROOT / "docs" / page).read_text("utf-8") for page in pages)
    assert [name for name in BLOCKS if f"<!-- benchmarks:begin {name} -->" not in text] == []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    tracemalloc.stop()
    place.loop.close()


@pytest.mark.parametrize("row", opened.OPENED, ids=lambda row: row.name)
def test_requests_of_a_row_are_open_at_once(row: Row, place: Place) -> None:
    assert opened.allocated(place, row, 3)["open"] > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no Linux here")
def test_what_is_resident_at_most_is_no_less_than_what_was_before(place: Place) -> None:
    assert opened.peak(place, opened.OPENED[0], 3)["peak"] >= 0


@pytest.mark.slow
def test_idle_connections_are_measured() -> None:
    wanted = [one for one in idle.WAITING if one.name in ("bare", "ctxlocal App")]
    for one in wanted:
        assert asyncio.run(idle.measure(one, 400)) > 0
