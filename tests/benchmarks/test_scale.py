"""The benchmark of scale: that every subject runs, and that it would see what it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.render import ROOT, main
from benchmarks.scale.owners import KINDS
from benchmarks.scale.subjects import SUBJECTS, Subject
from benchmarks.scale.tables import BLOCKS, Growth
from ctxlocal.lab.bench.rival import missing

PAGE = ROOT / "docs/scale.md"


def make_document(**points: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks.scale",
        "date": "2026-01-31",
        "implementation": "pure",
        "python": "3.11.7",
        "machine": {"cpu_model_name": "A CPU", "cpu_count": 2, "platform": "Linux"},
        "versions": {"redis": "8.1.0"},
        "points": points,
        "left_out": {"rate Redis": "redis-server"},
    }


def run(code: str) -> str:
    """Return what code prints in a process of its own, in which the default is its own too."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_docs_show_every_block() -> None:
    text = PAGE.read_text("utf-8")
    assert [name for name in BLOCKS if f"<!-- benchmarks:begin {name} -->" not in text] == []


def test_each_size_is_a_row() -> None:
    points = {"1": {"drop, ms": 0.25}, "100000": {"drop, ms": 1234.5, "refused, ms": 20.0}}
    assert BLOCKS["scale-all-owners"]([Growth(make_document(contexts=points))]) == (
        "| pure, 3.11 | drop the Local, ms | refuse set_default, ms |\n"
        "| --- | ---: | ---: |\n"
        "| contexts: 1 | 0.25 | - |\n"
        "| contexts: 100,000 | 1,234 | 20 |\n"
    )


def test_size_without_figures_of_a_table_is_no_row_of_it() -> None:
    growth = Growth(make_document(contexts={"1": {"drop, ms": 0.25}}))
    assert "contexts" not in BLOCKS["scale-owners-space"]([growth])


def test_runs_say_what_was_left_out_and_no_rounds() -> None:
    rendered = BLOCKS["scale-runs"]([Growth(make_document())])
    assert "redis 8.1.0; `python -m benchmarks.scale`\n" in rendered
    assert "  - left out: rate Redis (no redis-server)\n" in rendered


def test_render_puts_blocks_of_scale_in_their_page(
    tmp_path: Path, write_pages: Callable[[Path, str, str], None]
) -> None:
    page = tmp_path / "docs/scale.md"
    results = tmp_path / "benchmarks/results/scale/pure-cpython311.json"
    results.parent.mkdir(parents=True)
    write_pages(tmp_path, "docs/scale.md", "scale-depth")
    results.write_text(json.dumps(make_document(depth={"1000": {"push+pop": 55.0}})))
    assert main(["--root", str(tmp_path)]) == 0
    assert "| stack depth: 1,000 | 55 | - |" in page.read_text()
    assert main(["--root", str(tmp_path), "--check"]) == 0


def test_part_is_left_out_above_its_largest_size() -> None:
    subject = Subject((1, 10), {"time": lambda size: {}, "space": lambda size: {}}, {"space": 1})
    assert [subject.parts_at(size) for size in subject.sizes] == [["time", "space"], ["time"]]


@pytest.mark.parametrize("kind", KINDS)
def test_each_owner_has_a_value_of_its_own(kind: str) -> None:
    if missing(KINDS[kind].needs) is not None:
        pytest.skip(f"{KINDS[kind].needs} is not installed")
    printed = run(
        "import itertools, ctxlocal\n"
        "from benchmarks.scale.owners import KINDS\n"
        f"kind = KINDS[{kind!r}]; ctxlocal.ident.set_default(kind.strategy)\n"
        "local, owners, numbers = ctxlocal.Local(), kind(), itertools.count()\n"
        "owners.start(3, lambda: setattr(local, 'x', next(numbers)))\n"
        "print([owners.call(number, lambda: local.x) for number in (2, 0, 1, 2)])\n"
        "print(owners.in_new(lambda: hasattr(local, 'x')))\n"
        "owners.end()"
    )
    assert printed == "[2, 0, 1, 2]\nFalse\n"


@pytest.mark.parametrize("kind", ["contexts", "greenlets", "threads"])
def test_what_an_owner_leaves_behind_is_seen(kind: str) -> None:
    """Each owner leaves 2000 bytes, as a table that is keyed by owners would."""
    if missing(KINDS[kind].needs) is not None:
        pytest.skip(f"{KINDS[kind].needs} is not installed")
    printed = run(
        "from benchmarks.scale import holding\n"
        f"clean = holding.space({kind!r}, 100)\n"
        "left, keep = [], holding.Holding.set\n"
        "def leak(self):\n"
        "    keep(self)\n"
        "    left.append(bytearray(2000))\n"
        "holding.Holding.set = leak\n"
        f"print(clean['held left'] < 500, holding.space({kind!r}, 100)['held left'] > 1000)"
    )
    assert printed == "True True\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the servers are started the POSIX way")
@pytest.mark.timeout(900)
def test_every_subject_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyperf")
    output = tmp_path / "results.json"
    command = (sys.executable, "-m", "benchmarks.scale", "--most=1", f"--output={output}")
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, cwd=ROOT, env=environ, check=True)
    document = json.loads(output.read_text())
    assert str(tmp_path) not in output.read_text()
    for name in SUBJECTS:
        if name not in document["left_out"]:
            assert document["points"][name]["1"]
    assert not {"contexts", "threads", "depth", "SQLite"} & set(document["left_out"])
