"""Logs which lines of the package run, in every Python that finds this at its start.

Also in the processes that a test starts, and whatever switches or patches there: monitoring
(PEP 669) belongs to no thread and no frame. Each line is logged once a test and at once, so that a
process that is killed loses nothing.
"""

from __future__ import annotations

import os
import sys
from types import CodeType
from typing import Any

TEST = "CTXLOCAL_MUTANTS_TEST"  #: the number of the test that runs, in the environment
LOG = "CTXLOCAL_MUTANTS_LOG"  #: the file that is appended to
PACKAGE = "CTXLOCAL_MUTANTS_PACKAGE"  #: the folder whose lines count

_monitoring: Any = vars(sys).get("monitoring")  # from Python 3.12 on
current = os.environ.get(TEST, "")


def begin(test: str) -> None:
    """Let what runs from now on belong to this test."""
    global current
    current = os.environ[TEST] = test
    _monitoring.restart_events()


def _watch(log: str, package: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    once = _monitoring.DISABLE  # until the next test
    tool = _monitoring.COVERAGE_ID
    cut = len(package) + 1

    def line_runs(code: CodeType, line: int) -> object:
        path = code.co_filename
        if path.startswith(package):
            os.write(file, f"{current}\t{path[cut:]}\t{line}\n".encode())
        return once

    _monitoring.use_tool_id(tool, "ctxlocal mutants")
    _monitoring.register_callback(tool, _monitoring.events.LINE, line_runs)
    _monitoring.set_events(tool, _monitoring.events.LINE)


if LOG in os.environ:
    _watch(os.environ[LOG], os.environ[PACKAGE])
