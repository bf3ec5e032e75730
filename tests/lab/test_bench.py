from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

import ctxlocal
from ctxlocal.cli import bench as command
from ctxlocal.cli import commands
from ctxlocal.lab.bench.concurrency import part as concurrency
from ctxlocal.lab.bench.concurrency.crowd import KINDS
from ctxlocal.lab.bench.concurrency.library import CONTROL, OURS, PLAIN, libraries
from ctxlocal.lab.bench.concurrency.measure import Sample, net_ns
from ctxlocal.lab.bench.concurrency.turn import Book
from ctxlocal.lab.bench.conductor import conduct, plan
from ctxlocal.lab.bench.micro import part as micro
from ctxlocal.lab.bench.parts import PARTS
from ctxlocal.lab.bench.servers import load, measure
from ctxlocal.lab.servers.catalogue import BY_NAME
from tests.support.loopback import serving
from tests.support.patience import PATIENCE_S

Runner = Callable[..., Result]
COUNTS = (1, 3)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a quick run be one that shows no figures, only that there are some."""
    monkeypatch.setattr(concurrency, "COUNTS", COUNTS)
    monkeypatch.setattr(concurrency, "QUICK_TURNS", 6)
    monkeypatch.setattr(micro, "QUICK_ROUNDS", 1)
    monkeypatch.setattr(micro, "QUICK_SAMPLE_MS", 0)


@pytest.fixture
def run() -> Runner:
    return lambda *arguments: CliRunner().invoke(
        commands.ctxlocal, ["bench", "--quick", *arguments], env={"COLUMNS": "80"}
    )


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch, run: Runner) -> Runner:
    def run_with(ours: str, *arguments: str) -> Result:
        monkeypatch.setattr(
            command, "conduct", partial(conduct, ours=f"tests.lab.broken_locals:{ours}")
        )
        return run(*arguments)

    return run_with


def findings(document: dict[str, Any], library: str) -> dict[int, dict[str, Any]]:
    return {one["count"]: one for one in document["concurrency"] if one["library"] == library}


class TestConduct:
    def test_report_tells_what_was_measured_and_on_what(self) -> None:
        heard: list[str] = []
        report = conduct(tables=("stack-1", "tasks"), quick=True, advance=heard.append)
        document = report.as_dict()
        assert json.loads(json.dumps(document)) == document
        assert set(document) == {
            *("kind", "command", "date", "python", "implementation", "platform", "machine"),
            *("twin", "versions", "micro", "concurrency", "left_out", "failed", "complete"),
        }
        assert document["kind"] == "bench"
        assert document["command"] == "ctxlocal bench --table stack-1 --table tasks --quick"
        assert document["twin"] == ctxlocal.IMPLEMENTATION
        assert document["versions"]["ctxlocal"] == ctxlocal.__version__
        assert set(document["machine"]) == {"cpu_model_name", "cpu_count"}
        assert set(document["micro"]) == {"stack-1"}
        assert set(document["micro"]["stack-1"]["list"]) == {"ns", "median_ns", "loops"}
        assert (document["failed"], document["complete"]) == ({}, True)
        assert {"micro: stack", "concurrency: tasks"} == set(heard)

    def test_a_finding_of_the_concurrency_benchmark_is_complete(self) -> None:
        document = conduct(tables=["tasks"], quick=True).as_dict()
        found = findings(document, OURS)
        assert tuple(found) == COUNTS
        for number, one in found.items():
            assert one["ops_per_second"] > 0
            assert one["bytes_per_owner"] >= 0
            net = one.pop("net_ops_per_second")
            assert net is None or net > 0
            del one["ops_per_second"], one["bytes_per_owner"], one["bytes_left"]
            assert one == {
                "owners": "tasks",
                "library": OURS,
                "strategy": "context",
                "count": number,
                "foreign_reads": 0,
            }

    def test_it_advances_as_often_as_the_plan_says(self) -> None:
        heard: list[str] = []
        wanted = ("stack-1", "greenlets")
        conduct(tables=wanted, quick=True, advance=heard.append)
        planned = [job for _, jobs in plan(tables=wanted, quick=True) for job in jobs]
        assert len(heard) == sum(job.steps for job in planned)

    @pytest.mark.parametrize("arguments", [{"only": ["speed"]}, {"tables": ["local-gets"]}])
    def test_unknown_names_are_refused(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"^there is no (part 'speed'|table 'local-gets'); "):
            conduct(**arguments)


def test_a_quick_run_has_tables_of_every_part() -> None:
    assert [part.name for part, jobs in plan(quick=True) if jobs] == [part.name for part in PARTS]
    assert [t for part in PARTS for t in part.quick_tables if t not in part.tables] == []


@pytest.mark.parametrize("kind", KINDS)
def test_libraries_isolate_each_kind_of_owner_but_the_control_does_not(kind: str) -> None:
    document = conduct(tables=[kind], quick=True).as_dict()
    assert document["left_out"] == document["failed"] == {}
    names = {one["library"] for one in document["concurrency"]}
    assert names == {row.name for row in libraries(kind, "ctxlocal:Local")}
    leaking = {one["library"] for one in document["concurrency"] if one["foreign_reads"]}
    assert leaking == (set() if kind == "threads" else {CONTROL})
    assert [one["net_ops_per_second"] for one in findings(document, PLAIN).values()] == [None] * 2


class TestSabotage:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_shared_value_gives_foreign_reads(self, sabotage: Runner, kind: str) -> None:
        result = sabotage("SharedLocal", "--table", kind, "--json", "-")
        assert result.exit_code == 1
        found = findings(json.loads(result.stdout), OURS)
        assert found[1]["foreign_reads"] == 0
        assert found[3]["foreign_reads"] > 0

    def test_the_table_says_so(self, sabotage: Runner) -> None:
        text = " ".join(sabotage("SharedLocal", "--table", "tasks").stdout.split())
        assert "ctxlocal.Local among 3 tasks: " in text
        assert text.endswith(" foreign reads")

    def test_what_is_kept_is_counted(self, sabotage: Runner) -> None:
        result = sabotage("KeepingLocal", "--table", "greenlets", "--json", "-")
        one = findings(json.loads(result.stdout), OURS)[3]
        assert one["bytes_per_owner"] > 1000
        assert one["bytes_left"] > 3 * 1000

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_exception_ends_the_job_and_is_named(self, sabotage: Runner, kind: str) -> None:
        result = sabotage("RefusingLocal", "--table", kind, "--json", "-")
        assert result.exit_code == 1
        document = json.loads(result.stdout)
        assert document["failed"] == {
            f"concurrency: {kind}": "the process ended: ValueError: no, thank you"
        }
        assert document["concurrency"] == []


@pytest.mark.parametrize("name", KINDS)
def test_owners_take_turns_in_one_order(name: str) -> None:
    order: list[int] = []
    numbers = count()

    def owner(is_first: bool, book: Book, shared: Any, switch: Any) -> None:
        number = next(numbers)
        assert is_first is (number == 0)
        for _ in range(3):
            order.append(number)
            switch()

    async def coroutine(is_first: bool, book: Book, shared: Any, switch: Any) -> None:
        number = next(numbers)
        assert is_first is (number == 0)
        for _ in range(3):
            order.append(number)
            await switch()

    kind = KINDS[name]
    kind.run(4, coroutine if kind.is_coroutine else owner, Book([], int, []), None)
    assert order == [0, 1, 2, 3] * 3


class TestNet:
    def test_it_is_the_least_of_each_without_the_plain_turns(self) -> None:
        samples = [Sample(100, 130, 0), Sample(105, 131, 0), Sample(101, 150, 0)]
        assert net_ns(samples) == 30

    def test_what_is_no_more_than_noise_is_none(self) -> None:
        assert net_ns([Sample(100, 130, 0), Sample(100, 101, 0)]) is None
        assert net_ns([Sample(100, 99, 0), Sample(100, 98, 0)]) is None

    def test_one_sample_cannot_be_compared(self) -> None:
        assert net_ns([Sample(100, 130, 0)]) is None


def test_json_file_comes_with_the_tables(run: Runner, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    result = run("--only", "micro", "--table", "stack-1", "--json", str(file))
    assert result.exit_code == 0
    assert "ctxlocal.LocalStack" in result.stdout
    document = json.loads(file.read_text())
    assert "concurrency" not in document
    assert str(tmp_path) not in file.read_text()


def test_tables_have_no_colour_and_80_columns_in_a_pipe() -> None:
    arguments = ["bench", "--quick"]
    for name in ("proxy-attribute", "proxy-method", "proxy-call", "local-set-10", "threads"):
        arguments += ["--table", name]
    code = (
        "import sys\n"
        "from ctxlocal.cli import main\n"
        "from ctxlocal.lab.bench.concurrency import part as concurrency\n"
        "from ctxlocal.lab.bench.micro import part as micro\n"
        "concurrency.QUICK_TURNS, micro.QUICK_ROUNDS, micro.QUICK_SAMPLE_MS = 6, 1, 0\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "main()"
    )
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "speed"], "'speed' is not one of 'micro', 'concurrency'"),
        (["--table", "local-gets"], "there is no table 'local-gets'; there are local-get, "),
        (["--only", "micro", "--table", "tasks"], "there is no table 'tasks'; there are local-get"),
        (["--json", "missing/file"], "No such file or directory"),
    ],
)
def test_wrong_usage_is_refused(run: Runner, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_missing_library_is_one_line(
    run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "asgiref.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = run("--table", "tasks", "--table", "local-get")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines() if "asgiref" in line]
    assert lines[1:] == ["asgiref.local cannot be imported; left out: asgiref.Local"]


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_and_keeps_what_was_found(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "bench.json"
    os.mkfifo(pipe)
    arguments = [
        "bench",
        "--quick",
        "--table",
        "stack-1",
        "--table",
        "threads",
        "--json",
        str(file),
    ]
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from functools import partial\n"
        "from ctxlocal.cli import main\n"
        "from ctxlocal.cli import bench as command\n"
        "from ctxlocal.lab.bench.micro import part\n"
        "part.QUICK_ROUNDS, part.QUICK_SAMPLE_MS = 1, 0\n"
        "command.conduct = partial(command.conduct, ours='tests.lab.broken_locals:HangingLocal')\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "main()"
    )
    bench = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "HANGING_LOCAL_PIPE": str(pipe)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        worker = int(pipe.read_text())  # blocks until the worker has written
        assert is_alive(worker)
        bench.send_signal(number)
        shown, _ = bench.communicate(timeout=PATIENCE_S)
    finally:
        bench.kill()
    assert bench.returncode == 128 + number
    assert not is_alive(worker)
    assert "ctxlocal.LocalStack" in shown
    assert f"Ended early by {number.name}" in shown
    document = json.loads(file.read_text())
    assert set(document["micro"]) == {"stack-1"}
    assert document["complete"] is False


class TestServers:
    @pytest.mark.slow
    @pytest.mark.parametrize("server", ["werkzeug", "gunicorn-sync", "uvicorn-asyncio-h11"])
    def test_a_real_server_is_counted_in_each_mode(self, server: str) -> None:
        report = conduct(["servers"], [server], quick=True)
        assert report.complaints == []
        found = report.as_dict()["servers"]
        assert [(one["server"], one["mode"]) for one in found] == [
            (server, mode) for mode in measure.MODES
        ]
        for one in found:
            assert 0 < one["lowest_per_second"] <= one["highest_per_second"]
            assert one["requests_per_second"] == one["highest_per_second"]

    def test_a_server_that_is_not_installed_is_left_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        absent = replace(BY_NAME["werkzeug"], needs=("no_such_server",))
        monkeypatch.setitem(BY_NAME, "werkzeug", absent)
        assert list(measure.run("werkzeug", 1, 0.01)) == [
            {"left_out": {"server werkzeug": "no_such_server"}}
        ]

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_nothing_is_left_of_a_command_that_is_ended(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        bench = subprocess.Popen(
            (
                *(sys.executable, "-m", "ctxlocal", "bench"),
                *("--only", "servers", "--table", "gunicorn-sync"),
            ),
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # The worker; three servers, each with one worker.
            while len(found := psutil.Process(bench.pid).children(recursive=True)) < 7:
                assert bench.poll() is None
            bench.send_signal(number)
            bench.wait(PATIENCE_S)
        finally:
            bench.kill()
        # The kernel tells the worker that the command was killed; it still has to act on that.
        _, alive = psutil.wait_procs(found, PATIENCE_S if number == signal.SIGKILL else 0)
        for process in alive:  # it has ended, and its new parent is to collect it
            with suppress(psutil.NoSuchProcess):
                assert process.status() == psutil.STATUS_ZOMBIE, process
        assert list(tmp_path.iterdir()) == []

    def test_a_server_that_is_silent_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(load, "PATIENCE_S", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]

            async def main() -> None:
                await load.Load(port).warm_up()

            with pytest.raises(load.NoAnswers, match=f"^port {port} gave no answer within 0.05 s"):
                asyncio.run(main())

    def test_a_visitor_keeps_its_session_from_round_to_round(self) -> None:
        asked: list[bytes] = []

        async def main() -> None:
            async def serve(reader: Any, writer: Any) -> None:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                head = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1; Path=/\r\nConnection: close"
                writer.write(head + b"\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
                writer.close()

            async with serving(serve) as port:
                busy = load.Load(port)
                while not all(b"Cookie: " in client._request for client in busy._clients):
                    assert await busy.requests_per_second(0.05) > 0
                asked.clear()
                assert await busy.requests_per_second(0.05) > 0

        asyncio.run(main())
        assert {b"\r\nCookie: s=1\r\n" in request for request in asked} == {True}

    def test_a_round_lasts_until_there_is_an_answer(self) -> None:
        async def main() -> None:
            late = asyncio.Event()
            asked: list[bytes] = []

            async def serve(reader: Any, writer: Any) -> None:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                if len(asked) == load.CONNECTIONS:
                    for _ in range(10):
                        await asyncio.sleep(0)  # by now the time of the round is over
                    late.set()
                await late.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                writer.close()

            async with serving(serve) as port:
                assert await load.Load(port).requests_per_second(0) > 0

        asyncio.run(main())

    def test_a_round_leaves_no_connection_open(self) -> None:
        """Neither those that are busy, nor one that is being opened again."""

        async def main() -> None:
            async def serve(reader: Any, writer: Any) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                writer.close()

            async with serving(serve) as port:
                busy = load.Load(port)
                for _ in range(20):
                    await busy.requests_per_second(0.001)
                    transports = [client._transport for client in busy._clients]
                    assert all(one is None or one.is_closing() for one in transports)

        asyncio.run(main())
