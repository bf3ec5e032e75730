"""The ids of the tests: one names the same test in each run and each process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COLLECT = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]


def start_collecting(seed: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONHASHSEED": seed}
    root = Path(__file__).parents[2]
    return subprocess.Popen(COLLECT, stdout=subprocess.PIPE, text=True, cwd=root, env=environ)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # under load
def test_every_process_collects_the_same_ids_in_the_same_order() -> None:
    """As pytest-xdist requires, and whoever runs a test again by its id."""
    processes = [start_collecting(seed) for seed in ("1", "2")]
    try:
        one, other = (
            [line for line in process.communicate()[0].splitlines() if "::" in line]
            for process in processes
        )
    finally:
        for process in processes:
            process.kill()
    assert sorted({*one} ^ {*other}) == []
    assert one == other
    assert any("test_collection.py" in line for line in one)
