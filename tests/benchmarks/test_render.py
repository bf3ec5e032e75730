import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import concurrency, soaked
from benchmarks.goals import GOALS, Goal
from benchmarks.render import BLOCKS, ROOT, main
from ctxlocal.lab.bench.micro.cases import GROUPS
from ctxlocal.lab.soak.report import Run, SoakReport

DOCS = ROOT / "docs/benchmarks.md"


def make_document(**figures: float) -> dict[str, Any]:
    """Return a results file whose Local get table has these rows."""
    rows = {f"{name}.Local": {"ns": ns} for name, ns in figures.items()}
    return {
        "command": "python -m benchmarks.run",
        "date": "2026-01-31",
        "implementation": "pure",
        "python": "3.11.7",
        "machine": {"cpu_model_name": "A CPU", "cpu_count": 2, "platform": "Linux"},
        "versions": {"werkzeug": "3.1.9"},
        "rounds": 100,
        "tables": {"local-get": rows},
        "left_out": {},
    }


class Checkout:
    """A folder with one results file, one page that has one block, and pages with the rest."""

    def __init__(self, root: Path, write_pages: Callable[[Path, str, str], None]) -> None:
        self.root = root
        self._write_pages = write_pages
        self.page = root / "docs/benchmarks.md"
        self.results = root / "benchmarks/results/pure-cpython311.json"
        self.results.parent.mkdir(parents=True)

    def write(self, block: str, **figures: float) -> None:
        self._write_pages(self.root, "docs/benchmarks.md", block)
        self.measure(**figures)

    def measure(self, **figures: float) -> None:
        self.results.write_text(json.dumps(make_document(**figures)))

    def render(self, *arguments: str) -> int:
        return main(["--root", str(self.root), *arguments])


@pytest.fixture
def checkout(tmp_path: Path, write_pages: Callable[[Path, str, str], None]) -> Checkout:
    return Checkout(tmp_path, write_pages)


def test_rendered_files_are_not_stale() -> None:
    assert main(["--check"]) == 0


def test_docs_show_every_block_but_the_readmes() -> None:
    text = DOCS.read_text("utf-8")
    names = [*BLOCKS, *concurrency.BLOCKS]
    absent = [name for name in names if f"<!-- benchmarks:begin {name} -->" not in text]
    assert absent == ["readme"]


def test_block_is_replaced_and_the_text_around_it_kept(checkout: Checkout) -> None:
    checkout.write("local-get", ctxlocal=50, werkzeug=400)
    assert checkout.render() == 0
    assert checkout.page.read_text() == (
        "before\n<!-- benchmarks:begin local-get -->\n\n"
        "| get of 1, ns | pure, 3.11 |\n"
        "| --- | ---: |\n"
        "| ctxlocal.Local | 50 |\n"
        "| werkzeug.Local | 400 |\n"
        "\n"
        "| get of 1000, ns | pure, 3.11 |\n"
        "| --- | ---: |\n"
        "\n<!-- benchmarks:end local-get -->\nafter\n"
    )


def test_python_without_a_gil_has_a_column_but_no_goals(checkout: Checkout) -> None:
    checkout.write("local-get", ctxlocal=50)
    without = {**make_document(ctxlocal=40), "python": "3.11.7", "gil": False}
    (checkout.results.parent / "pure-cpython311t.json").write_text(json.dumps(without))
    assert checkout.render() == 0
    assert "| get of 1, ns | pure, 3.11 | pure, 3.11t |\n" in checkout.page.read_text()
    assert "| ctxlocal.Local | 50 | 40 |\n" in checkout.page.read_text()
    checkout.write("goals", ctxlocal=50, werkzeug=400)
    assert checkout.render() == 0
    assert "| goal | bound | pure, 3.11 |\n" in checkout.page.read_text()


def test_check_passes_after_rendering(checkout: Checkout) -> None:
    checkout.write("local-get", ctxlocal=50)
    checkout.render()
    assert checkout.render("--check") == 0


def test_check_names_the_stale_file_and_leaves_it(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write("local-get", ctxlocal=50)
    checkout.render()
    before = checkout.page.read_text()
    checkout.measure(ctxlocal=60)
    assert checkout.render("--check") == 1
    assert "docs/benchmarks.md: stale" in capsys.readouterr().err
    assert checkout.page.read_text() == before


def test_unknown_block_fails_the_check(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write("no-such-block", ctxlocal=50)
    assert checkout.render("--check") == 1
    assert "no block is named 'no-such-block'" in capsys.readouterr().err


def test_unclosed_block_fails_the_check(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write("local-get", ctxlocal=50)
    checkout.page.write_text("<!-- benchmarks:begin local-get -->\n")
    assert checkout.render("--check") == 1
    assert "no end marker" in capsys.readouterr().err


def test_a_block_that_is_gone_fails_the_check(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write("local-get", ctxlocal=50)
    assert checkout.render() == 0
    for gone in ("", "<!--benchmarks:begin local-get -->\n"):
        checkout.page.write_text(gone)
        assert checkout.render("--check") == 1
        assert "no page has the block 'local-get'" in capsys.readouterr().err


def test_a_page_that_is_gone_fails_the_check(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write("local-get", ctxlocal=50)
    assert checkout.render() == 0
    (checkout.root / "docs/scale.md").unlink()
    assert checkout.render("--check") == 1
    assert "docs/scale.md: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ns", "cell"), [(50, "8.00 met"), (100, "4.00 **not met**")], ids=["met", "not met"]
)
def test_goal_shows_what_was_reached(checkout: Checkout, ns: float, cell: str) -> None:
    checkout.write("goals", ctxlocal=ns, werkzeug=400)
    checkout.render()
    assert f"| get, times werkzeug's speed | ≥ 6 (to 3.11) | {cell} |" in checkout.page.read_text(
        "utf-8"
    )


def test_goal_without_its_rows_is_not_called_met(checkout: Checkout) -> None:
    checkout.write("goals", werkzeug=400)
    checkout.render()
    assert "| get, times werkzeug's speed | ≥ 6 (to 3.11) | - |" in checkout.page.read_text("utf-8")


def test_concurrency_is_rendered_from_its_own_files(checkout: Checkout) -> None:
    checkout.write("concurrency", ctxlocal=50)
    figures = {"strategy": None, "bytes_left": 0, "foreign_reads": 0}
    found = [
        {
            "owners": "tasks",
            "library": "ctxlocal.Local",
            "count": count,
            "ops_per_second": 9_400_000,
            "net_ops_per_second": net,
            "bytes_per_owner": 1234,
            **figures,
        }
        for count, net in ((1, 125_300_000), (1000, None))
    ]
    measured_on = {"machine": {"cpu_model_name": "A CPU", "cpu_count": 2}, "platform": "Linux"}
    document = {
        **{"twin": "native", "python": "3.11.7", "concurrency": found, **measured_on},
        **{"date": "2026-01-31", "command": "ctxlocal bench", "versions": {}},
    }
    file = checkout.results.parent / "concurrency/native-cpython311.json"
    file.parent.mkdir()
    file.write_text(json.dumps(document))
    assert checkout.render() == 0
    assert checkout.page.read_text() == (
        "before\n<!-- benchmarks:begin concurrency -->\n\n"
        "| tasks, native, 3.11 | 1 | 1,000 | with switches | bytes an owner | bytes left |"
        " foreign reads |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| ctxlocal.Local | 125 | - | 9.4 | 1,234 | 0 | 0 |\n"
        "\n<!-- benchmarks:end concurrency -->\nafter\n"
    )


@pytest.mark.parametrize("goal", GOALS["pure"], ids=lambda goal: goal.text)
def test_goal_names_rows_that_are_measured(goal: Goal) -> None:
    measured = {(case.table, case.row) for cases in GROUPS.values() for case in cases}
    measured |= {("import", "ctxlocal"), ("import", "bare interpreter")}
    assert {goal.over, goal.under} <= measured


@pytest.mark.parametrize("group", GROUPS)
def test_rows_of_a_table_have_names_of_their_own(group: str) -> None:
    names = [(case.table, case.row) for case in GROUPS[group]]
    assert len(set(names)) == len(names)


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_every_case_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyperf")
    output = tmp_path / "results.json"
    # A process of its own, because some of the rivals change the one they are imported in.
    subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.run",
            "--rounds=1",
            "--sample-ms=0",
            f"--output={output}",
        ],
        cwd=ROOT,
        check=True,
    )
    document = json.loads(output.read_text())
    ran = {(table, row) for table, rows in document["tables"].items() for row in rows}
    for cases in GROUPS.values():
        for case in cases:
            assert (case.table, case.row) in ran or case.row in document["left_out"]
    assert "ctxlocal" not in document["left_out"].values()
    assert str(tmp_path) not in output.read_text()


def test_a_soak_is_a_row_for_each_run() -> None:
    run = Run("waitress", "thread", "sqlite", requests=1234, requests_per_second=56.7)
    runs = [
        run,
        replace(run, outcome="violations", note="3 foreign reads"),
        replace(run, outcome="not run", note="redis-server not installed"),
    ]
    rendered = soaked.BLOCKS["soak"](
        [SoakReport(runs, 1.0, {"command": "ctxlocal soak"}).as_dict()]
    )
    rows = [line for line in rendered.splitlines() if line.startswith("| waitress")]
    assert rows == [
        "| waitress | `thread` | sqlite | 1,234 | 57 | 0 | 0 | - |",
        "| waitress | `thread` | sqlite | 1,234 | 57 | violations: 3 foreign reads | 0 | - |",
        "| waitress | `thread` | sqlite | redis-server not installed | - | - | - | - |",
    ]
    assert (
        "**3 runs (1 clean, 1 with violations, 1 not run): 3,702 requests, 0 violations" in rendered
    )
