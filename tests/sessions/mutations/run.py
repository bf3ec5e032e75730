"""Runs the tests of a requirement against a copy of the package in which it is broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import cache_from_source
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from .bearing import ROOT
from .mutation import Edit, Mutation

TIMEOUT_S = 120  # of the tests of one requirement
TIMEOUT_OF_ALL_S = 600
_PASSED, _FAILED = 0, 1  # pytest's exit codes; all others mean that it could not run the tests
_RED = re.compile(r"^(?:FAILED|ERROR) \S+::(\w+).*?(?: - (\w+).*)?$", re.MULTILINE)
#: What is raised where a mutation is misspelled: a test that is red by it shows nothing.
_MISTAKES = frozenset({"ImportError", "NameError", "SyntaxError", "UnboundLocalError"})


class Outcome(NamedTuple):
    """What became of a mutation."""

    mutation: Mutation
    red: str  #: the first test that failed; "" if none did, and the mutation survived
    problem: str  #: why the tests could not be run, "" if they were
    seconds: float


class BrokenTableError(Exception):
    """The table does not fit the code, or a test that bears a number fails without a mutation."""


def copy_of_the_tree(target: Path) -> Path:
    """Copy what the tests need, so that what they import is the copy."""
    for name in ("ctxlocal", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", target)
    return target


def check_unmutated(tree: Path, tests: Sequence[str]) -> None:
    """Run every test once as things are; this leaves the bytecode for the runs that follow.

    :raises BrokenTableError: one fails.
    """
    done = _pytest(tree, tests, TIMEOUT_OF_ALL_S)
    if done.returncode != _PASSED:
        raise BrokenTableError(f"Without a mutation:\n{done.stdout}{done.stderr}")


def try_mutation(tree: Path, copy: Path, mutation: Mutation, tests: Sequence[str]) -> Outcome:
    """Break a requirement in a copy of ``tree``, and run the tests that bear its number there.

    :raises BrokenTableError: an edit does not fit.
    """
    shutil.copytree(tree, copy)
    try:
        for edit in mutation.edits:
            _apply(edit, copy / "ctxlocal")
        start = perf_counter()
        try:
            done = _pytest(copy, tests, TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return Outcome(mutation, "", f"not done in {TIMEOUT_S} s", perf_counter() - start)
        seconds = perf_counter() - start
    finally:
        shutil.rmtree(copy)
    red = _RED.search(done.stdout)
    if done.returncode == _FAILED and red is not None and red[2] not in _MISTAKES:
        return Outcome(mutation, red[1], "", seconds)
    problem = "" if done.returncode == _PASSED else done.stdout + done.stderr
    return Outcome(mutation, "", problem, seconds)


def occurrences(edit: Edit, package: Path) -> int:
    """Return how often an edit's old text is in its file; once is right."""
    return (package / edit.path).read_text(encoding="utf-8").count(edit.old)


def _apply(edit: Edit, package: Path) -> None:
    path = package / edit.path
    if (found := occurrences(edit, package)) != 1:
        raise BrokenTableError(f"{edit.path} has {edit.old!r} {found} times; it has to be once")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    # Two versions of one size and second would share it.
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _pytest(tree: Path, tests: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    options = ["-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider"]
    only = ["-m", "not (redis or postgresql or browser)"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *only, *tests],
        cwd=tree,
        env={
            **os.environ,
            "COLUMNS": "500",  # or the summary is cut off
            "PYTHONPATH": str(tree),
            "PYTHONDONTWRITEBYTECODE": "",
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )
