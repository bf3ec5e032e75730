from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import ctxlocal
from ctxlocal.cli import commands
from ctxlocal.lab import process
from ctxlocal.lab.matrix import conductor, probe
from ctxlocal.lab.matrix.conductor import conduct
from ctxlocal.lab.matrix.place import Context, Owner, Place, Process, promise, surprise
from ctxlocal.lab.matrix.probes import all_probes, find_probe
from ctxlocal.lab.matrix.report import Cell, MatrixReport
from ctxlocal.lab.matrix.table import show

Runner = Callable[..., Result]
WAYS = ("  kept", "  broken")


@pytest.fixture
def run() -> Runner:
    return lambda *arguments: CliRunner().invoke(commands.ctxlocal, ["matrix", *arguments])


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch, run: Runner) -> Runner:
    def run_with(kit: str, *arguments: str) -> Result:
        monkeypatch.setattr(
            commands, "conduct", partial(conduct, kit=f"tests.lab.broken_kits:{kit}")
        )
        return run(*arguments)

    return run_with


def cells_of(result: Result) -> dict[tuple[str, str, str], dict[str, Any]]:
    cells = json.loads(result.stdout)["cells"]
    return {(cell["group"], cell["way"], cell["strategy"]): cell for cell in cells}


PROMISING = ("context", "thread", "greenlet", "task", "callable")


def words(place: Place, *, in_task: bool = False) -> list[str]:
    return [promise(place, strategy, in_task=in_task).word for strategy in PROMISING]


class TestPromise:
    # In the order of PROMISING.
    def test_the_creator_itself_shares(self) -> None:
        assert words(Place()) == ["shared"] * 5

    def test_another_thread_is_isolated(self) -> None:
        place = Place(thread=Owner.OTHER, context=Context.OWN)
        assert words(place) == ["isolated"] * 5

    def test_a_task_has_a_snapshot_of_the_context_and_shares_its_thread(self) -> None:
        place = Place(task=Owner.OTHER, context=Context.COPY)
        expected = ["snapshot", "shared", "shared", "isolated", "isolated"]
        assert words(place, in_task=True) == expected

    def test_a_greenlet_shares_its_thread_and_is_no_task(self) -> None:
        place = Place(greenlet=Owner.OTHER, context=Context.OWN)
        assert words(place) == ["isolated", "shared", "isolated", "shared", "isolated"]

    def test_jobs_of_one_worker_share_among_themselves(self) -> None:
        place = Place(thread=Owner.REUSED, context=Context.OWN)
        relation = promise(place, "thread")
        assert (relation.creator, relation.siblings, relation.word) == ("isolated", True, "shared")

    def test_callbacks_of_a_loop_share_the_thread_that_the_task_does_not_use(self) -> None:
        place = Place(task=Owner.NONE, context=Context.COPY)
        relation = promise(place, "task", in_task=True)
        assert (relation.creator, relation.siblings) == ("isolated", True)

    def test_a_forked_process_has_a_snapshot_whatever_the_strategy(self) -> None:
        assert words(Place(process=Process.FORKED)) == ["snapshot"] * 5

    def test_a_new_process_has_nothing(self) -> None:
        assert words(Place(process=Process.NEW)) == ["isolated"] * 5


def test_names_of_probes_are_unique() -> None:
    names = [(probe.group.name, probe.way) for probe in all_probes()]
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_every_cell_is_as_promised(run: Runner) -> None:
    result = run("--json", "-")
    unexpected = [
        cell
        for cell in json.loads(result.stdout)["cells"]
        if not cell["as_promised"] and cell["actual"] != "n/a"
    ]
    assert unexpected == []
    assert result.exit_code == 0


def test_json_tells_what_was_measured(run: Runner) -> None:
    result = run("--only", "create_task", "--strategy", "context", "--json", "-")
    report = json.loads(result.stdout)
    assert report["twin"] == ctxlocal.IMPLEMENTATION
    assert "ctxlocal" in report["versions"]
    assert report["cells"][0] == {
        "group": "asyncio",
        "way": "create_task",
        "strategy": "context",
        "promised": "snapshot",
        "actual": "snapshot",
        "as_promised": True,
        "among_siblings": False,
        "note": "",
        "surprise": "",
    }


def test_json_file_comes_with_the_table(run: Runner, tmp_path: Path) -> None:
    file = tmp_path / "matrix.json"
    result = run("--only", "function call", "--json", str(file))
    assert "function call" in result.stdout
    assert len(json.loads(file.read_text())["cells"]) == 5


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(
    run: Runner, tmp_path: Path
) -> None:
    result = run("--json", str(tmp_path / "missing" / "file"))
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


def test_table_has_no_colour_and_80_columns_in_a_pipe() -> None:
    command = [sys.executable, "-m", "ctxlocal", "matrix", "--only", "threads"]
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert "\x1b" not in done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


def test_the_colour_of_a_cell_says_only_whether_the_promise_was_kept() -> None:
    words = ("isolated", "snapshot", "shared")
    kept = [Cell("g", "kept", word, word, word, True) for word in words]
    broken = [Cell("g", "broken", word, "isolated", "shared", False) for word in words]
    written = io.StringIO()
    show(MatrixReport([*kept, *broken]), Console(file=written, force_terminal=True, width=100))
    lines = {way: line for line in written.getvalue().splitlines() for way in WAYS if way in line}
    colours = {way: re.findall(r"\x1b\[([\d;]+)m(?:\w+) *\x1b", lines[way]) for way in WAYS}
    green, alarm = "32", "1;37;41"
    assert colours == {"  kept": [green] * 3, "  broken": [alarm] * 3}


def test_summary_counts_and_gives_reasons() -> None:
    cells = [
        Cell("g", "w", "context", "snapshot", "snapshot", True),
        Cell("g", "w", "thread", "isolated", "LEAK", False),
        Cell("g", "w", "task", "isolated", "n/a", False, note="trio is not installed"),
    ]
    assert MatrixReport(cells).summary() == (
        "3 cells: 1 as promised, 1 unexpected, 1 not applicable (1: trio is not installed)"
    )


@pytest.mark.parametrize(
    ("place", "strategy", "said"),
    [
        (Place(), "context", ""),
        (Place(task=Owner.OTHER, context=Context.COPY), "context", ""),
        (Place(task=Owner.OTHER, context=Context.COPY), "thread", "shared"),
        (Place(task=Owner.NONE, context=Context.COPY), "greenlet", "shared"),
        (Place(thread=Owner.OTHER, context=Context.OWN), "thread", ""),
        (Place(thread=Owner.REUSED, context=Context.OWN), "thread", "shared"),
        (Place(thread=Owner.REUSED, context=Context.COPIED_BACK), "context", "shared"),
        (Place(context=Context.COPY), "context", "lost"),
        (Place(context=Context.COPY), "thread", ""),
        (Place(process=Process.FORKED), "thread", ""),
    ],
)
def test_surprise_is_what_is_shared_with_other_work_or_lost_to_ones_own(
    place: Place, strategy: str, said: str
) -> None:
    assert surprise(place, promise(place, strategy, in_task=True)) == said


def drawn(report: MatrixReport, *, only_surprises: bool) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(report, console, only_surprises=only_surprises)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_matrix_ends_with_what_is_worth_knowing_and_can_show_that_alone() -> None:
    cells = [
        Cell("g", "usual", "context", "isolated", "isolated", True),
        Cell("g", "shares", "context", "snapshot", "snapshot", True),
        Cell("g", "shares", "thread", "shared", "shared", True, surprise="shared"),
        Cell("g", "breaks", "context", "isolated", "LEAK", False),
        Cell("g", "absent", "context", "isolated", "n/a", False, note="old"),
    ]
    whole, surprises = (drawn(MatrixReport(cells), only_surprises=only) for only in (False, True))
    counts = "Promised, and worth knowing: 1 times work that is not its creator's own sees values"
    for shown in (whole, surprises):
        *_, complaint, known, summary = shown.splitlines()
        assert complaint.startswith("LEAK g: breaks, context: isolated was promised")
        assert known.startswith(counts)
        assert summary.startswith("5 cells: 3 as promised, 1 unexpected, 1 not applicable")
    assert all(way in whole for way in ("  usual", "  shares", "  breaks", "  absent"))
    rows = [
        line.split() for line in surprises.splitlines() if line.startswith("  ") and line.strip()
    ]
    assert rows[:2] == [["shares", "shared"], ["breaks", "LEAK"]]
    assert "usual" not in surprises
    assert "absent" not in surprises


def test_surprises_are_measured(run: Runner) -> None:
    result = run("--only", "create_task", "--only", "function call", "--surprises")
    table, legend, _ = result.stdout.split("\n\n", 3)[1:]
    assert "create_task" in table
    assert "function call" not in table
    assert "isolated" in legend
    assert "Promised, and worth knowing: " in result.stdout


def test_unknown_strategy_is_refused(run: Runner) -> None:
    result = run("--strategy", "gevnt")
    assert result.exit_code == 2
    assert "'gevnt' is not one of 'context', 'thread', 'greenlet', 'task'" in result.stderr


def test_only_without_a_match_is_refused(run: Runner) -> None:
    result = run("--only", "threads", "--only", "twisted")
    assert result.exit_code == 2
    assert "no way of starting work contains 'twisted'" in result.stderr


def test_a_missing_library_is_not_applicable(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "find_spec", lambda name: None)
    result = run("--only", "gevent", "--only", "function call")
    assert result.exit_code == 0
    summary = " ".join(result.stdout.split())
    assert "5 as promised, 0 unexpected" in summary
    assert "(80: gevent is not installed)" in summary


def test_a_missing_library_of_the_strategy_is_not_applicable(sabotage: Runner) -> None:
    result = sabotage("MissingKit", "--only", "function call", "--json", "-")
    assert result.exit_code == 0
    assert (
        cells_of(result)["in the caller", "function call", "context"]["note"]
        == "unobtainium is not installed"
    )


class TestSabotage:
    @pytest.mark.slow
    def test_a_shared_dict_is_noticed(self, sabotage: Runner) -> None:
        result = sabotage(
            "SharedDictKit", "--only", "threads", "--only", "processes", "--json", "-"
        )
        cells = cells_of(result)
        assert result.exit_code == 1
        assert cells["threads", "Thread", "thread"]["promised"] == "isolated"
        assert cells["threads", "Thread", "thread"]["actual"] == "shared"
        assert cells["processes", "multiprocessing, spawn", "thread"]["as_promised"]

    def test_a_reused_number_is_a_leak(self, sabotage: Runner) -> None:
        result = sabotage("NumberKeyedKit", "--only", "100 Threads", "--json", "-")
        cell = cells_of(result)["threads", "100 Threads, one after another", "thread"]
        assert result.exit_code == 1
        assert cell["actual"] == "LEAK"
        assert re.match(r"callee 99 saw 'callee \d+', its creator then 'creator 99'", cell["note"])

    def test_a_reused_address_of_a_greenlet_is_a_leak(self, sabotage: Runner) -> None:
        result = sabotage("GreenletNumberKit", "--only", "100 ", "--json", "-")
        cells = json.loads(result.stdout)["cells"]
        # Where exactly is up to the memory allocator.
        assert any(c["actual"] == "LEAK" for c in cells if c["group"] in ("greenlet", "gevent"))

    def test_a_mutable_value_in_a_context_variable_is_noticed(self, sabotage: Runner) -> None:
        result = sabotage("MutableContextKit", "--only", "asyncio create_task", "--json", "-")
        cell = cells_of(result)["asyncio", "create_task", "context"]
        assert (cell["promised"], cell["actual"]) == ("snapshot", "shared")

    def test_the_table_names_the_leak(self, sabotage: Runner) -> None:
        arguments = ("--only", "100 Threads", "--strategy", "thread")
        text = " ".join(sabotage("NumberKeyedKit", *arguments).stdout.split())
        assert "LEAK threads: 100 Threads, one after another, thread" in text
        assert "isolated was promised" in text
        assert "1 unexpected" in text

    def test_objects_that_disagree_are_a_leak(self, sabotage: Runner) -> None:
        result = sabotage("QuarrellingKit", "--only", "threads Timer", "--json", "-")
        cell = cells_of(result)["threads", "Timer", "thread"]
        assert result.exit_code == 1
        assert cell["actual"] == "LEAK"
        assert cell["note"] == "Local: shared; LocalStack: isolated"

    def test_an_exception_is_an_error(self, sabotage: Runner) -> None:
        result = sabotage("RefusingKit", "--only", "create_task", "--json", "-")
        cell = cells_of(result)["asyncio", "create_task", "task"]
        assert result.exit_code == 1
        assert (cell["actual"], cell["note"]) == ("error", "ValueError: no, thank you")

    def test_a_crash_costs_one_cell(self, sabotage: Runner) -> None:
        result = sabotage("CrashingKit", "--only", "function call", "--json", "-")
        cells = cells_of(result)
        assert cells["in the caller", "function call", "thread"]["actual"] == "error"
        assert cells["in the caller", "function call", "thread"]["note"] == "the process ended"
        assert cells["in the caller", "function call", "callable"]["actual"] == "shared"


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setenv("HANGING_KIT_PIPE", str(path))
    return path


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_cell_that_hangs_is_ended(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging: list[str] = []

    async def once_it_hangs(seconds: float, answer: Any) -> Any:
        hanging.append(await asyncio.to_thread(pipe.read_text))
        return await within(seconds, answer)

    within = process.within
    monkeypatch.setattr(process, "within", once_it_hangs)
    monkeypatch.setattr(conductor, "SILENCE_S", 0.1)
    plans = [(find_probe("in the caller", "function call"), "thread")]
    cells = conduct(plans, lambda _: None, "tests.lab.broken_kits:HangingKit")
    assert cells[0].actual == "error"
    assert cells[0].note == "no answer within 0.1 s"
    (worker,) = hanging
    assert not is_alive(int(worker))


def test_a_terminated_command_leaves_no_process(pipe: Path) -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from functools import partial\n"
        "from ctxlocal.cli import commands, main\n"
        "commands.conduct = partial(commands.conduct, kit='tests.lab.broken_kits:HangingKit')\n"
        "sys.argv[1:] = ['matrix', '--only', 'function call']\n"
        "main()"
    )
    command = subprocess.Popen([sys.executable, "-c", code])
    worker = int(pipe.read_text())  # blocks until the worker has written
    assert is_alive(worker)
    command.terminate()
    assert command.wait() == 143
    assert not is_alive(worker)


@pytest.mark.parametrize("module", ["ctxlocal", "ctxlocal.cli"])
def test_runs_as_a_module(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    twin, reason = ctxlocal.IMPLEMENTATION, ctxlocal.local.REASON
    assert done.stdout == f"ctxlocal {ctxlocal.__version__}, {twin} twin ({reason})\n"


def test_without_click_it_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['click'] = None; from ctxlocal.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "The command ctxlocal needs click: pip install click\n"


def test_importing_the_core_does_not_import_the_command_line() -> None:
    code = "import sys, ctxlocal; print({'ctxlocal.cli', 'click', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
