"""The session benchmarks: that every row works, and that the counting tells right from wrong."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.render import ROOT, main
from benchmarks.sessions import distance
from benchmarks.sessions.client import ASGIClient, FailedRequestError, Jar, WSGIClient
from benchmarks.sessions.cost import BrokenSessionError, Visitor
from benchmarks.sessions.delay import delaying
from benchmarks.sessions.distance import FAR, NEAR
from benchmarks.sessions.field import REDIS, ROWS, Framework, Row
from benchmarks.sessions.figures import Figures
from benchmarks.sessions.goals import GOALS, RIVALS, WAYS, Goal
from benchmarks.sessions.lost import REQUESTS, measure
from benchmarks.sessions.place import Place, Trips
from benchmarks.sessions.run import GROUPS, LOST, TRIPS
from benchmarks.sessions.tables import BLOCKS, DISTANCE_BLOCKS, LOST_BLOCKS
from benchmarks.sessions.visit import CONTENT, MODES, Visit
from tests.support.patience import PATIENCE_S

PAGE = ROOT / "docs/sessions-benchmarks.md"


def make_document(**added: float) -> dict[str, Any]:
    """Return a results file with rows of the WSGI middleware that add so many µs in each mode."""
    rows: dict[str, Any] = {"ctxlocal WSGI": {"without": {"us": 8.0}}}
    for kind, us in added.items():
        name = f"ctxlocal WSGI, {kind.replace('_', ' ')}"
        rows[name] = {mode: {"us": 8.0 + us} for mode in MODES} | {"baseline": "ctxlocal WSGI"}
    return {
        "command": "python -m benchmarks.sessions",
        "date": "2026-01-31",
        "implementation": "pure",
        "python": "3.11.7",
        "machine": {"cpu_model_name": "A CPU", "cpu_count": 2, "platform": "Linux"},
        "versions": {"flask": "3.1.3"},
        "rounds": 150,
        "cost": {"memory": rows},
        "left_out": {"Flask-Session, Redis": "flask_session"},
    }


class Shelf:
    """What sessions of the applications below are kept in, by name."""

    def __init__(self) -> None:
        self.session: dict[str, Any] = {}


def make_merging_app(visit: Visit, shelf: Shelf) -> Any:
    """Return a WSGI application whose one session is a dict that all requests share."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = visit(environ["PATH_INFO"], lambda: shelf.session)
        start_response("200 OK", [("Set-Cookie", "name=value; Path=/")])
        return [body.encode()]

    return app


def make_losing_app(visit: Visit, shelf: Shelf) -> Any:
    """Return one that loads a copy and stores it whole, as most libraries do."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        loaded = dict(shelf.session)
        body = visit(environ["PATH_INFO"], lambda: loaded)
        shelf.session = loaded
        start_response("200 OK", [])
        return [body.encode()]

    return app


def make_row(make: Callable[[Visit, Shelf], Any]) -> Row:
    shelf = Shelf()
    framework = Framework("none", lambda place, visit: make(visit, shelf), Visit, ())
    return Row("memory", "none", framework, framework.make)


@pytest.fixture
def place(tmp_path: Path) -> Any:
    place = Place(tmp_path)
    yield place
    place.loop.close()


def test_page_shows_every_block() -> None:
    blocks = (*BLOCKS, *LOST_BLOCKS, *DISTANCE_BLOCKS)
    text = PAGE.read_text("utf-8")
    assert [name for name in blocks if f"<!-- benchmarks:begin {name} -->" not in text] == []


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS] + list({row.framework.name for row in ROWS})
    assert len(set(names)) == len(names)


def test_every_kind_of_ours_has_a_rival() -> None:
    groups = {row.group for row in ROWS if row.is_ours and row.is_timed}
    assert groups - {"integrated-sqlite", "integrated-redis"} == RIVALS.keys()
    assert all(RIVALS.values())


def test_updates_that_are_merged_are_kept(place: Place) -> None:
    assert measure(place, make_row(make_merging_app)) == {
        "requests": REQUESTS,
        "kept": REQUESTS,
        "failed": 0,
        "flashes_kept": None,
    }


def test_updates_that_overwrite_each_other_are_counted_as_lost(place: Place) -> None:
    assert measure(place, make_row(make_losing_app))["kept"] == 1


def test_session_that_keeps_nothing_is_not_measured(place: Place) -> None:
    def make_forgetful_app(visit: Visit, shelf: Shelf) -> Any:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            body = visit(environ["PATH_INFO"], lambda: dict(CONTENT))
            start_response("200 OK", [])
            return [body.encode()]

        return app

    row = make_row(make_forgetful_app)
    visitor = Visitor(place, row.framework, row.make(place, Visit()))
    with pytest.raises(
        BrokenSessionError, match=r"^forgetful: a session that was written twice has not kept both$"
    ):
        visitor.start("forgetful")


def test_untouched_request_does_not_ask_for_the_session() -> None:
    def find() -> Any:
        raise AssertionError("asked")

    assert Visit()(MODES["untouched"], find) == "ok"


def test_client_sends_back_the_cookies_it_got() -> None:
    seen = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ.get("HTTP_COOKIE"))
        start_response("200 OK", [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Secure")])
        return [b""]

    client = WSGIClient(app)
    client.get("/")
    client.get("/")
    assert seen == [None, "a=1; b=2"]


def test_asgi_client_sends_back_the_cookies_it_got() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]).get(b"cookie"))
        head = [(b"set-cookie", b"a=1; Path=/")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"x"})

    async def run() -> None:
        client = ASGIClient(app)
        await client.get("/")
        await client.get("/")

    asyncio.run(run())
    assert seen == [None, b"a=1"]


def test_deleted_cookie_is_not_sent_any_more() -> None:
    jar = Jar({"a": "1", "b": "2"})
    jar.keep("a=; Max-Age=0; Path=/")
    assert jar.header == "b=2"


def test_response_that_is_no_success_raises() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("503 Service Unavailable", [])
        return [b""]

    with pytest.raises(FailedRequestError, match=r"^/read: 503 Service Unavailable$"):
        WSGIClient(app).get("/read")


def test_round_trips_are_counted_once_for_each_time_that_something_is_sent() -> None:
    class Connection:
        def send_packed_command(self, command: object) -> object:
            return command

    trips = Trips()
    connection = trips.counting(Connection)()
    assert connection.send_packed_command(["GET", "SET"]) == ["GET", "SET"]
    connection.send_packed_command("GET")
    assert trips.number == 2


def test_what_is_delayed_arrives_whole_both_ways_and_so_does_its_end() -> None:
    sent = bytes(range(256)) * 1000
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        delaying(listener.getsockname()[1], 0.001) as port,
    ):
        near = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        far, _ = listener.accept()
        with near, far:
            far.settimeout(PATIENCE_S)
            for source, target in ((near, far), (far, near)):
                sending = threading.Thread(target=source.sendall, args=(sent,))
                sending.start()
                with target.makefile("rb") as received:
                    assert received.read(len(sent)) == sent
                sending.join()
            far.shutdown(socket.SHUT_WR)
            assert near.recv(1) == b""
            near.shutdown(socket.SHUT_WR)
            assert far.recv(1) == b""


def test_distance_takes_the_time_of_who_waits_and_of_the_process(place: Place) -> None:
    row = replace(make_row(make_merging_app), name="merging")
    figures = distance.measure(place, [row], rounds=2)
    assert figures.keys() == {row.framework.name, row.name}
    assert all(found.keys() == {"us", "cpu_us"} for found in figures.values())


def test_distance_has_both_times_of_both_ways_on_each_python() -> None:
    near = {"ctxlocal WSGI, Redis": {"us": 183.4, "cpu_us": 116.0}}
    far = {"ctxlocal WSGI, Redis": {"us": 1531.0, "cpu_us": 213.0}}
    found = {"3.11.7": {NEAR: near, FAR: far}, "3.14.1": {NEAR: near}}
    figures = [
        Figures(make_document() | {"python": version, "distance": ways})
        for version, ways in found.items()
    ]
    head, _, row = DISTANCE_BLOCKS["sessions-distance"](figures).splitlines()
    assert row == "| ctxlocal WSGI, Redis | 183 | 116 | 1,531 | 213 | 183 | 116 |"
    heads = head.strip("| ").split(" | ")
    assert len(set(heads)) == 7
    assert heads[-1] == f"CPU, µs, {NEAR}: pure, 3.14"


@pytest.mark.parametrize(
    ("us", "cell"), [(8.0, "8.0 met"), (8.2, "8.2 **not met**")], ids=["met", "not met"]
)
def test_goal_shows_what_was_reached(us: float, cell: str) -> None:
    figures = [Figures(make_document(memory=us))]
    assert f"| memory, read+write | ≤ 8 µs | {cell} | - | - |\n" in BLOCKS["sessions-goals"](
        figures
    )


def test_goal_of_untouched_needs_every_kind() -> None:
    goal = GOALS[0]
    kinds = {"encrypted_cookie": 0.5, "signed_cookie": 0.7, "memory": 0.6, "SQLite": 0.4}
    assert goal.figure(Figures(make_document(**kinds)), WAYS[0]) is None
    document = make_document(**kinds, Redis=0.9)
    assert goal.figure(Figures(document), WAYS[0]) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("sign", "reached", "is_met"),
    [("≤", 1.04, True), ("≤", 1.06, False), ("≥", 2.96, True), ("=", 2.0, True), ("=", 2.1, False)],
)
def test_goal_is_judged_by_the_figure_that_is_shown(
    sign: str, reached: float, is_met: bool
) -> None:
    bound = {"≤": 1, "≥": 3, "=": 2}[sign]
    assert Goal("", sign, bound, "", lambda figures, way: None).is_met(reached) is is_met


def test_runs_name_what_was_left_out() -> None:
    rendered = BLOCKS["sessions-runs"]([Figures(make_document())])
    assert "  - left out: Flask-Session, Redis (no flask_session)\n" in rendered


def test_render_puts_session_blocks_in_their_page(
    tmp_path: Path, write_pages: Callable[[Path, str, str], None]
) -> None:
    page = tmp_path / "docs/sessions-benchmarks.md"
    results = tmp_path / "benchmarks/results/sessions/pure-cpython311.json"
    results.parent.mkdir(parents=True)
    write_pages(tmp_path, "docs/sessions-benchmarks.md", "sessions-memory")
    results.write_text(json.dumps(make_document(memory=5.5)))
    assert main(["--root", str(tmp_path)]) == 0
    assert "| ctxlocal WSGI, memory | 5.5 | 5.5 | 5.5 |\n" in page.read_text()
    assert main(["--root", str(tmp_path), "--check"]) == 0


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the servers are started the POSIX way")
def test_every_row_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyperf")
    output = tmp_path / "results.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.sessions"),
            *("--rounds=1", "--sample-ms=0", f"--output={output}"),
            *(f"--only={part}" for part in (*GROUPS, TRIPS, LOST)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=True,
    )
    document = json.loads(output.read_text())
    assert str(tmp_path) not in output.read_text()
    for row in ROWS:
        if row.name in document["left_out"]:
            continue
        assert row.is_bare or row.name in document["lost"]
        if row.is_timed:
            assert document["cost"][row.group][row.name].keys() == {*MODES, "baseline"}
        if row.is_ours and row.group != "cookie":
            lost = document["lost"][row.name]
            assert (lost["kept"], lost["flashes_kept"], lost["failed"]) == (REQUESTS, REQUESTS, 0)
    embedded = ("memory", "file", "integrated-sqlite")
    ours = [row for row in ROWS if row.is_ours and row.group in embedded]
    assert {row.name for row in ours if REDIS not in row.needs}.isdisjoint(document["left_out"])
