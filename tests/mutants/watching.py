"""A pytest plugin: which test runs which line, what it takes and whether it passes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

TESTS = "CTXLOCAL_MUTANTS_TESTS"  #: the file that the tests are written to

_tests: list[dict[str, Any]] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let the lines that run belong to the test, its fixtures too."""
    begin = sys.modules["sitecustomize"].begin  # found by Python at its start
    begin(str(len(_tests)))
    _tests.append({"id": item.nodeid, "seconds": 0.0, "passed": True})
    try:
        return (yield)
    finally:
        begin("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what setup, call and teardown took."""
    _tests[-1]["seconds"] += report.duration
    _tests[-1]["passed"] &= report.passed


def pytest_sessionfinish() -> None:
    """Write the tests, in the order of their numbers."""
    Path(os.environ[TESTS]).write_text(json.dumps(_tests), encoding="utf-8")
