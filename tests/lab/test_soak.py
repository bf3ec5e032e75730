"""``ctxlocal soak``: real servers are clean, sabotage is caught, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from ctxlocal.cli.commands import ctxlocal
from ctxlocal.cli.soak import SABOTAGES
from ctxlocal.lab.servers.catalogue import BY_NAME, FRAMEWORKS, Server
from ctxlocal.lab.servers.process import ServerProblem, running
from ctxlocal.lab.soak import client, conductor, stores
from ctxlocal.lab.soak.client import Answer, Unanswered
from ctxlocal.lab.soak.conductor import Advance, conduct
from ctxlocal.lab.soak.ledger import Ledger
from ctxlocal.lab.soak.plan import PER_SESSION, PlannedRun, Size
from ctxlocal.lab.soak.report import FLAT_BYTES, Run, SoakReport, grown
from ctxlocal.lab.soak.visitor import ClientFindings, Visitor
from tests.support import services
from tests.support.loopback import serving
from tests.support.patience import PATIENCE_S

SMALL = Size(requests=2 * PER_SESSION, visitors=2)
WSGI, ASGI = "werkzeug", "uvicorn-asyncio-h11"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    left = set(psutil.Process().children(recursive=True)) - before
    assert [process.cmdline() for process in left if process.is_running()] == []


def soak(
    server: Server | str,
    strategy: str = "context",
    store: str = "memory",
    sabotage: str | None = None,
    *,
    size: Size = SMALL,
    advance: Advance = lambda plan, requests: None,
) -> Run:
    found = BY_NAME[server] if isinstance(server, str) else server
    finished: list[Run] = []
    conduct([PlannedRun(found, strategy, store, sabotage)], size, advance, finished)
    (run,) = finished
    return run


def command(*arguments: str) -> Result:
    return CliRunner().invoke(ctxlocal, ["soak", *arguments])


@pytest.mark.slow
class TestServers:
    @pytest.mark.parametrize(
        ("server", "strategy"),
        [(server.name, strategy) for server in BY_NAME.values() for strategy in server.strategies],
    )
    def test_requests_of_a_real_server_are_isolated(self, server: str, strategy: str) -> None:
        run = soak(server, strategy, "sqlite")
        assert (run.outcome, run.violations, run.note) == ("clean", 0, "")
        assert run.requests + run.unanswered == SMALL.requests

    @pytest.mark.redis
    @pytest.mark.parametrize("server", [WSGI, ASGI])
    def test_sessions_in_redis(self, server: str) -> None:
        assert soak(server, store="redis").outcome == "clean"

    def test_what_a_servers_workers_keep_is_counted_apart(self) -> None:
        run = soak("waitress")
        assert run.outcome == "clean"
        assert run.server_leaks > 0


@pytest.mark.slow
class TestSabotage:
    CAUGHT_BY = (
        ("shared-dict", "foreign_reads"),
        ("shared-dict", "stale_values"),
        ("ident-keyed-dict", "stale_values"),
        ("frame-kept", "stale_values"),
        ("frame-kept", "teardowns_skipped"),
        ("teardown-twice", "teardowns_doubled"),
        ("teardown-early", "teardowns_early"),
        ("store-forgets", "lost_updates"),
        ("store-confuses", "foreign_reads"),
    )

    def test_each_mode_is_listed(self) -> None:
        assert {mode for mode, _ in self.CAUGHT_BY} == set(SABOTAGES)

    @pytest.mark.parametrize("server", ["waitress", ASGI])
    @pytest.mark.parametrize("mode", SABOTAGES)
    def test_each_mode_is_caught(self, server: str, mode: str) -> None:
        run = soak(server, sabotage=mode)
        assert run.outcome == "violations"
        assert run.note
        for sabotage, counted in self.CAUGHT_BY:
            if sabotage == mode:
                assert getattr(run, counted) > 0, counted

    @pytest.mark.parametrize(
        ("mode", "counted"), [("shared-dict", "foreign_reads"), ("store-forgets", "lost_updates")]
    )
    @pytest.mark.parametrize("server", FRAMEWORKS, ids=lambda server: server.name)
    def test_frameworks_are_soaked_through_what_is_broken(
        self, server: Server, mode: str, counted: str
    ) -> None:
        assert getattr(soak(server, sabotage=mode), counted) > 0

    @pytest.mark.parametrize("server", FRAMEWORKS, ids=lambda server: server.name)
    def test_a_middleware_that_a_framework_does_not_have_cannot_be_broken(
        self, server: Server
    ) -> None:
        run = soak(server, sabotage="frame-kept")
        assert (run.outcome, run.requests) == ("not run", 0)

    def test_a_strategy_that_cannot_isolate_there_is_caught(self) -> None:
        run = soak("gevent.pywsgi", "thread")
        assert run.outcome == "violations"
        assert run.errors > 0  # greenlets that would share a thread's values are refused


class TestVisitors:
    def test_all_of_them_are_there_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here: set[Visitor] = set()
        most = 0
        visit = Visitor.run

        async def run(self: Visitor) -> None:
            nonlocal most
            here.add(self)
            most = max(most, len(here))
            await visit(self)
            here.remove(self)

        monkeypatch.setattr(Visitor, "run", run)
        soak(WSGI, size=Size(requests=4 * PER_SESSION, visitors=4))
        assert most == 4


class TestTrouble:
    def test_a_server_that_does_not_start_says_why(self) -> None:
        broken = replace(BY_NAME[WSGI], command=("ctxlocal.cli.no_such_module",))
        run = soak(broken)
        assert run.outcome == "failed"
        assert run.note.startswith("it ended with status 1: ")
        assert run.note.endswith("No module named ctxlocal.cli.no_such_module")

    def test_a_missing_library_is_named(self) -> None:
        run = soak(replace(BY_NAME[WSGI], needs=("no_such_server", "neither")))
        assert (run.outcome, run.note) == ("not run", "no_such_server and neither not installed")

    def test_a_missing_store_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        run = soak(WSGI, store="redis")
        assert (run.outcome, run.note) == ("not run", "redis-server not installed")

    def test_a_port_in_use_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            run = soak(WSGI, size=replace(SMALL, port=port))
        assert (run.outcome, run.note) == ("failed", f"port {port} of 127.0.0.1 is in use")

    @pytest.mark.slow
    def test_a_server_that_is_killed_leaves_what_was_found(self) -> None:
        others = set(psutil.Process().children(recursive=True))  # the suite's own servers

        def kill_it(plan: PlannedRun, requests: int) -> None:
            for process in set(psutil.Process().children(recursive=True)) - others:
                with suppress(psutil.NoSuchProcess):  # an answer before has had it killed
                    process.kill()

        run = soak(WSGI, advance=kill_it)
        assert run.outcome == "failed"
        assert run.note == "it ended with status -9" or re.match("it went away: .", run.note)
        assert run.requests > 0

    def test_a_server_that_never_answers_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "PATIENCE_S", 0.2)
        silent = "import socket, time; s = socket.create_server(('127.0.0.1', int('{port}')))"
        monkeypatch.setattr(
            Server,
            "arguments",
            lambda _, app, port: [
                sys.executable,
                "-c",
                f"{silent.format(port=port)}; time.sleep(60)",
            ],
        )
        run = soak(WSGI)
        assert (run.outcome, run.note) == ("failed", "it went away: TimeoutError")

    @pytest.mark.parametrize(
        ("said", "note"),
        [
            (b"garbage\r\n\r\n", "its answer is no HTTP: "),
            (b"x" * 200_000, "its answer is no HTTP: "),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "its answer is no"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>", "another program answers on"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "another program answers on"),
        ],
    )
    def test_another_program_on_the_port_is_told(
        self, monkeypatch: pytest.MonkeyPatch, said: bytes, note: str
    ) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            await writer.drain()
            writer.close()

        async def ask() -> None:
            async with serving(answer) as port:
                await conductor._ask(port)

        with pytest.raises((ServerProblem, client.NoHTTP)) as told:
            asyncio.run(ask())
        assert str(told.value).startswith(note)

    @pytest.mark.slow
    @pytest.mark.redis
    @pytest.mark.skipif(sys.platform != "linux", reason="no other kernel tells children")
    def test_nothing_is_left_of_a_command_that_is_killed(self, tmp_path: Any) -> None:
        soak = subprocess.Popen(
            [sys.executable, "-m", "ctxlocal", "soak", "--store", "redis", "--server", WSGI],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while len(found := psutil.Process(soak.pid).children(recursive=True)) < 2:
                assert soak.poll() is None
        finally:
            soak.kill()
            soak.wait(PATIENCE_S)
        assert psutil.wait_procs(found, PATIENCE_S)[1] == []

    @pytest.mark.slow
    @pytest.mark.redis
    @pytest.mark.parametrize("server", [WSGI, ASGI])
    def test_a_redis_that_goes_away_leaves_what_was_found(self, server: str) -> None:
        with services.redis_server() as redis:
            made = 0

            def stop_it(plan: PlannedRun, requests: int) -> None:
                nonlocal made
                made += requests
                if made == PER_SESSION // 2:
                    redis.stop(signal.SIGKILL)

            size = replace(SMALL, requests=10 * PER_SESSION)
            store = f"redis://127.0.0.1:{redis.port}"
            run = soak(server, store=store, size=size, advance=stop_it)
        assert run.outcome == "failed"
        assert run.note.startswith("its session store went away: ")
        assert run.store == "redis"
        assert run.requests > 0

    @pytest.mark.slow
    @pytest.mark.parametrize("server", ["gunicorn-gthread", ASGI])
    def test_ctrl_c_leaves_what_was_found_and_no_process(self, server: str) -> None:
        finished: list[Run] = []
        plans = [PlannedRun(BY_NAME[server], "context", "memory")] * 2
        with pytest.raises(SystemExit) as ended:
            conduct(plans, SMALL, lambda *_: os.kill(os.getpid(), signal.SIGINT), finished)
        assert ended.value.code == 128 + signal.SIGINT
        assert [run.outcome for run in finished] == ["interrupted"]
        assert finished[0].requests > 0

    @pytest.mark.slow
    @pytest.mark.parametrize("server", [WSGI, ASGI, "gunicorn-gthread"])
    def test_servers_import_this_ctxlocal_in_the_folder_of_another(
        self, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "ctxlocal" / "__init__.py"
        other.parent.mkdir()
        other.write_text("raise ImportError('the other ctxlocal')")
        monkeypatch.chdir(tmp_path)
        finished: list[Run] = []
        plans = [PlannedRun(BY_NAME[server], "context", "sqlite:///relative.db")]
        conduct(plans, SMALL, lambda *_: None, finished)
        assert [(run.outcome, run.note) for run in finished] == [("clean", "")]
        assert (tmp_path / "relative.db").exists()

    def test_two_servers_on_one_port_are_refused(self) -> None:
        async def both() -> None:
            application = "ctxlocal.lab.soak.target:wsgi"
            async with running(BY_NAME[WSGI], application, {}) as first:
                with pytest.raises(ServerProblem, match=f"^port {first.port} of "):
                    async with running(BY_NAME[WSGI], application, {}, port=first.port):
                        pass

        asyncio.run(both())


class TestCommand:
    ONE = ("--server", "waitress", "--strategy", "thread", "--requests", str(PER_SESSION))

    def test_it_prints_a_table_and_writes_json(self, tmp_path: Any) -> None:
        file = tmp_path / "soak.json"
        result = command(*self.ONE, "--json", str(file))
        assert result.exit_code == 0, result.output
        assert f"1 run (1 clean): {PER_SESSION} requests, 0 violations" in result.stdout
        told = json.loads(file.read_text())
        assert told["kind"] == "soak"
        assert told["violations"] == 0
        where = "--server waitress --strategy thread --store sqlite"
        assert told["settings"]["command"] == f"ctxlocal soak {where} --requests {PER_SESSION}"
        (run,) = told["runs"]
        assert (run["server"], run["strategy"], run["store"]) == ("waitress", "thread", "sqlite")
        assert run["memory"]["samples"][0][0] == 0

    def test_json_on_the_standard_output_stands_alone(self) -> None:
        assert json.loads(command(*self.ONE, "--json", "-").stdout)["kind"] == "soak"

    def test_a_violation_is_exit_status_1(self) -> None:
        result = command(*self.ONE, "--sabotage", "teardown-twice")
        assert result.exit_code == 1
        assert "teardowns doubled" in result.stdout

    def test_an_unknown_store_is_refused(self) -> None:
        result = command("--store", "cloud")
        assert result.exit_code == 2
        assert "'cloud' is none of memory, sqlite, redis, all, and no URL." in result.stderr

    def test_a_store_that_cannot_be_reached_is_refused_before_anything_runs(self) -> None:
        result = command("--store", f"postgresql://u:hunter2@127.0.0.1:{services.free_port()}/x")
        assert result.exit_code == 2
        assert re.fullmatch(r"Error: postgresql://127\.0\.0\.1:\d+/x failed in .*\n", result.stderr)
        assert "hunter2" not in result.output

    def test_a_url_of_no_store_is_refused(self) -> None:
        result = command("--store", "bogus://x")
        assert result.exit_code == 2
        assert "there is no kind of store 'bogus'" in result.stderr

    def test_a_stores_url_is_shown_by_its_kind(self) -> None:
        assert stores.shown("redis://user:hunter2@host") == "redis"

    def test_all_the_time_there_is(self) -> None:
        for seconds in (0.5, 2.0, 8.0, 32.0):  # a busy machine may need more for one answer
            run = soak(WSGI, size=replace(SMALL, requests=10_000_000, seconds=seconds))
            assert run.outcome == "clean"
            if run.requests:
                break
        assert 0 < run.requests < 1_000_000


class TestReport:
    def test_memory_that_grows_with_requests_is_not_flat(self) -> None:
        memory = grown([(n * 2000, 10_000_000 + n * FLAT_BYTES) for n in range(13)])
        assert (memory.bytes_per_10000, memory.is_flat) == (5 * FLAT_BYTES, False)
        assert Run("s", "context", "memory", memory=memory).violations == 1

    def test_memory_that_was_filled_at_the_start_is_flat(self) -> None:
        memory = grown([(n * 2000, 10_000_000 + min(n, 4) * FLAT_BYTES) for n in range(13)])
        assert (memory.bytes_per_10000, memory.is_flat) == (0, True)

    @pytest.mark.parametrize("at", range(13))
    def test_a_single_step_is_no_growth(self, at: int) -> None:
        memory = grown([(n * 2000, 10_000_000 + (n >= at) * 4 * FLAT_BYTES) for n in range(13)])
        assert memory.is_flat

    def test_a_few_requests_do_not_tell(self) -> None:
        assert grown([(n, 10_000_000 + n * 1000) for n in range(13)]).is_flat is None
        assert grown([(0, 1), (20_000, 1)]).is_flat is None

    @pytest.mark.parametrize(
        ("outcomes", "is_good"),
        [
            (["clean"], True),
            (["clean", "not run"], True),
            (["not run"], False),
            ([], False),
            (["clean", "failed"], False),
            (["clean", "violations"], False),
            (["clean", "interrupted"], False),
        ],
    )
    def test_it_is_good_if_something_ran_and_all_that_ran_was_clean(
        self, outcomes: list[Any], is_good: bool
    ) -> None:
        runs = [Run("a", "context", "memory", outcome=outcome) for outcome in outcomes]
        assert SoakReport(runs, 0, {}).is_good is is_good


class TestLedger:
    def test_it_knows_who_has_not_ended_and_who_did_twice(self) -> None:
        ledger = Ledger()
        for visit in ("1", "2"):
            ledger.begin(visit)
        ledger.end("1")
        ledger.end("1")
        report = ledger.report()
        assert (report["open"], report["teardowns_doubled"]) == (1, 1)
        assert report["examples"] == ["1 ended a second time", "2 has not ended"]
        assert ledger.report()["teardowns_doubled"] == 1


class TestAudit:
    @pytest.fixture
    def visitor(self) -> Visitor:
        visitor = Visitor("v", 0, ClientFindings(), lambda: None)
        visitor._saved = {"1": "a"}
        visitor._perhaps = {"2": "b"}
        visitor._never = {"3": "c"}
        return visitor

    @pytest.mark.parametrize(
        ("values", "hits", "flashes", "problems"),
        [
            ({"k1": "a"}, 1, ["1"], []),
            ({"k1": "a", "k2": "b"}, 2, ["1", "2"], []),
            ({}, 1, ["1"], ["the key of 1 is missing"]),
            ({"k1": "other"}, 1, ["1"], ["the key of 1 is missing"]),
            ({"k1": "a"}, 1, [], ["the message of 1 is missing"]),
            ({"k1": "a", "k3": "c"}, 1, ["1"], ["3 failed, and was saved"]),
            ({"k1": "a"}, 3, ["1"], ["3 hits were counted, of 1 to 2"]),
            ({"k1": "a"}, 0, ["1"], ["0 hits were counted, of 1 to 2"]),
        ],
    )
    def test_what_the_session_holds_is_compared_with_what_was_saved(
        self,
        visitor: Visitor,
        values: Any,
        hits: int | None,
        flashes: list[str],
        problems: list[str],
    ) -> None:
        assert list(visitor._problems(values, hits, flashes)) == problems


class TestClient:
    """Against a server that says exactly these bytes, and closes."""

    HEAD = b"HTTP/1.1 200 OK\r\n"

    def ask(self, said: bytes, **how: Any) -> Answer:
        answer: Answer = self.converse(said, lambda connection: connection.answer(**how))
        return answer

    def converse(self, said: bytes, talk: Callable[[client.Connection], Any]) -> Any:
        async def main() -> Any:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(said)
                await writer.drain()
                writer.close()

            async with serving(serve) as port:
                connection = await client.connect(port)
                connection.send("/", None)
                try:
                    return await talk(connection)
                finally:
                    connection.hang_up()

        return asyncio.run(main())

    @pytest.mark.parametrize("slowly", [False, True])
    def test_a_body_of_a_known_length(self, slowly: bool) -> None:
        said = self.HEAD + b"Content-Length: 2\r\nSet-Cookie: s=1; Path=/\r\n\r\nokrest"
        assert self.ask(said, slowly=slowly) == Answer(200, "s=1", b"ok", True, False)

    def test_a_body_in_chunks(self) -> None:
        said = self.HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
        assert self.ask(said) == Answer(200, None, b"ok", True, False)

    @pytest.mark.parametrize("chunks", [b"1\r\no\r\n", b"5\r\no", b"1\r\no\r\n0", b"nonsense\r\n"])
    def test_chunks_that_break_off(self, chunks: bytes) -> None:
        answer = self.ask(self.HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert not answer.is_complete
        assert answer.is_last

    def test_a_body_until_the_end(self) -> None:
        answer = self.ask(self.HEAD + b"Connection: close\r\n\r\nok")
        assert answer == Answer(200, None, b"ok", True, True)

    def test_a_body_that_is_too_short(self) -> None:
        answer = self.ask(self.HEAD + b"Content-Length: 3\r\n\r\nok")
        assert answer == Answer(200, None, b"ok", False, True)

    def test_no_more_than_was_wanted(self) -> None:
        answer = self.ask(self.HEAD + b"Content-Length: 200000\r\n\r\n" + bytes(200000), most=10)
        assert not answer.is_complete
        assert 10 <= len(answer.body) < 200000

    def test_several_answers_at_once(self) -> None:
        async def talk(connection: client.Connection) -> list[bytes]:
            return [(await connection.answer()).body for _ in range(2)]

        one = self.HEAD + b"Content-Length: 1\r\n\r\n"
        assert self.converse(one + b"a" + one + b"b", talk) == [b"a", b"b"]

    def test_no_answer(self) -> None:
        with pytest.raises(Unanswered, match=r"^no answer$"):
            self.ask(b"")

    @pytest.mark.parametrize("rest", [b"", b"\r\n", b"\r\nServer: x"])
    def test_an_answer_that_breaks_off_says_what_came(self, rest: bytes) -> None:
        count = len(b"HTTP/1.1 200" + rest)
        text = rf"^no answer: {count} bytes came, and the first line is b'HTTP/1\.1 200'$"
        with pytest.raises(Unanswered, match=text):
            self.ask(b"HTTP/1.1 200" + rest)

    def test_a_bare_line_feed_ends_a_line(self) -> None:
        """So gunicorn's own 500 ends its head since Python 3.14, whose dedent takes the CR."""
        said = self.HEAD + b"Connection: close\r\nContent-Length: 2\r\n\nok"
        assert self.ask(said) == Answer(200, None, b"ok", True, True)
        said = b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"
        assert self.ask(said) == Answer(200, None, b"ok", True, False)
        chunks = b"1\no\n1\r\nk\n0\n\n"
        answer = self.ask(self.HEAD + b"Transfer-Encoding: chunked\r\n\n" + chunks)
        assert answer == Answer(200, None, b"ok", True, False)

    @pytest.mark.parametrize("said", [b"+PONG\r\n\r\n", b"SSH-2.0 x y\n\n", b"\n"])
    def test_what_is_no_http_is_shown(self, said: bytes) -> None:
        first = said.partition(b"\n")[0].rstrip(b"\r")
        with pytest.raises(client.NoHTTP) as told:
            self.ask(said)
        assert str(told.value).startswith("its answer is no HTTP: ")
        assert str(told.value).endswith(f"the first line is {first!r}")

    def test_an_answer_that_comes_before_its_request_was_read(self) -> None:
        """The server closes with a body unread, which resets the connection behind the answer."""
        head = self.HEAD + b"Content-Length: 2\r\n\r\nok"

        async def talk() -> Answer:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n")
                writer.write(head)
                await writer.drain()
                writer.close()

            async with serving(serve) as port:
                connection = await client.connect(port)
                connection.send("/", None, bytes(2**20))
                with connection:
                    return await connection.answer()

        assert asyncio.run(talk()).body == b"ok"
