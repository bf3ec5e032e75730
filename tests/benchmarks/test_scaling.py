"""The benchmark of two threads: that every row runs, and what its table says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.render import ROOT
from benchmarks.scaled import BLOCKS, Scaling

PAGE = ROOT / "docs/free-threaded.md"


def make_document(*, gil: bool, **points: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks.scaling",
        "date": "2026-01-31",
        "implementation": "pure",
        "python": "3.13.5",
        "gil": gil,
        "machine": {"cpu_model_name": "A CPU", "cpu_count": 2, "platform": "Linux"},
        "versions": {"werkzeug": "3.1.9"},
        "points": points,
        "left_out": {},
    }


def test_docs_show_every_block() -> None:
    text = PAGE.read_text("utf-8")
    assert [name for name in BLOCKS if f"<!-- benchmarks:begin {name} -->" not in text] == []


def test_two_threads_in_the_time_of_one_do_twice_the_work() -> None:
    found = Scaling(make_document(gil=False, Mine={"get": [5e-8, 5e-8], "set": [1e-7, 2e-7]}))
    assert found.table().splitlines()[0].startswith("| pure, 3.13t | get, ns | ")
    assert found.table().splitlines()[2] == "| Mine | 50 | 2.00× | 100 | 1.00× |"


def test_with_a_gil_the_python_is_an_ordinary_one() -> None:
    assert Scaling(make_document(gil=True)).name == "pure, 3.13"


@pytest.mark.slow
def test_every_row_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyperf")
    output = tmp_path / "results.json"
    command = (sys.executable, "-m", "benchmarks.scaling", "--rounds=1", f"--output={output}")
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, cwd=ROOT, env=environ, check=True)
    document = json.loads(output.read_text())
    assert str(tmp_path) not in output.read_text()
    for row in document["points"].values():
        assert all(seconds > 0 for both in row.values() for seconds in both)
