"""Frameworks under real servers: that each is served, and how the figures are shown."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.render import ROOT
from benchmarks.servers import load
from benchmarks.servers.applications import APPLICATIONS, BARE, NO_SESSION, SIGNED
from benchmarks.servers.run import SERVERS, measure
from benchmarks.servers.tables import BLOCKS, Loads
from ctxlocal.lab.servers.catalogue import BY_NAME


def test_rows_of_a_protocol_have_names_of_their_own_and_one_is_bare() -> None:
    for protocol in ("wsgi", "asgi"):
        titles = [one.title for one in APPLICATIONS if one.protocol == protocol]
        assert len(set(titles)) == len(titles)
        assert BARE in titles
    assert all(name in BY_NAME for name in SERVERS)


def test_a_row_is_shown_beside_the_bare_application() -> None:
    figures = {"bare": (2000, 100.0), "Flask": (500, 350.0)}
    rows = {
        title: {"requests_per_second": rate, "cpu_us": us} for title, (rate, us) in figures.items()
    }
    document = {"implementation": "native", "python": "3.11.7", "servers": {"uvicorn": rows}}
    assert BLOCKS["servers"]([Loads(document)]).splitlines()[2:] == [
        "| bare | 2,000 | 1.00 | 100 | 0.00 |",
        "| Flask | 500 | 0.25 | 350 | 250 |",
    ]


def test_page_shows_every_block() -> None:
    text = (ROOT / "docs/servers-benchmarks.md").read_text("utf-8")
    assert [name for name in BLOCKS if f"<!-- benchmarks:begin {name} -->" not in text] == []


@pytest.mark.parametrize(
    "said", ["Non-2xx or 3xx responses: 7", "Socket errors: connect 0, read 3"]
)
def test_a_load_that_is_not_answered_with_success_is_no_figure(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrk = tmp_path / "wrk"
    wrk.write_text(
        f"#!/bin/sh\necho '  100 requests in 1.00s'\necho '{said}'\necho 'Requests/sec: 1'"
    )
    wrk.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(load.LoadError, match=said):
        load.put(1, tmp_path, 1)


ANSWERS = """
import sys
from benchmarks.servers.applications import APPLICATIONS
from benchmarks.sessions.cost import Visitor
from benchmarks.sessions.field import Framework
from benchmarks.sessions.place import Place
from pathlib import Path

place = Place(Path(sys.argv[1]))
for one in APPLICATIONS:
    visitor = Visitor(place, Framework("", None, None, (), is_async=one.protocol == "asgi"),
                      one.make(place))
    if one.session == "no session":
        assert visitor.get(one.path) == "ok", one
    else:
        visitor.start(one.title)  # raises if the session does not keep what is written
"""


@pytest.mark.slow
def test_every_application_answers_and_keeps_its_session(tmp_path: Path) -> None:
    # A process of its own: Django's settings are the process's.
    command = [sys.executable, "-W", "ignore", "-c", ANSWERS, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("wrk") is None and "CI" not in os.environ, reason="wrk is not installed"
)
def test_applications_are_measured_side_by_side() -> None:
    found = BY_NAME[SERVERS[0]]
    wanted = [
        one
        for one in APPLICATIONS
        if one.protocol == found.protocol
        and (one.name, one.session) in ((BARE, NO_SESSION), ("ctxlocal middleware", SIGNED))
    ]
    figures = asyncio.run(measure(found, wanted, rounds=1, seconds=1))
    assert list(figures) == [one.title for one in wanted]
    assert len(figures) == 2
    assert all(row["requests_per_second"] > 0 < row["cpu_us"] for row in figures.values())
