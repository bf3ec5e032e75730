"""Runs the tests of a requirement against a copy of the package in which it is broken."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from tests.support.tree import FAILED, PASSED, Ended, Tree

from .mutation import Mutation
from .piece import BrokenTableError, Code

FOLDERS = ("sessions", "web")  #: of the package, in which pieces are looked for
TIMEOUT_S = 120  # of the tests of one requirement
TIMEOUT_OF_ALL_S = 600
#: What is raised where a mutation is misspelled: a test that is red by it shows nothing.
_MISTAKES = frozenset({"ImportError", "NameError", "SyntaxError", "UnboundLocalError"})


class Outcome(NamedTuple):
    """What became of a mutation."""

    mutation: Mutation
    red: str  #: the first test that failed; "" if none did, and the mutation survived
    problem: str  #: why the tests could not be run, "" if they were
    seconds: float


def unmutated(folder: Path, code: Code, tests: Sequence[str]) -> Tree:
    """Copy the tree, and run every test once as things are.

    The code is spelled as trees are, so that a mutation is all that another copy has different.
    The run leaves the bytecode for those that follow.

    :raises BrokenTableError: a test fails.
    """
    tree = Tree(folder, leaving=("__pycache__",))
    for path, file in code.files.items():
        _write(tree, path, file.tree)
    ended = _run(tree, tests, TIMEOUT_OF_ALL_S)
    if ended.status != PASSED:
        raise BrokenTableError(f"Without a mutation:\n{ended.output}")
    return tree


def try_mutation(
    tree: Tree, folder: Path, code: Code, mutation: Mutation, tests: Sequence[str]
) -> Outcome:
    """Break a requirement in a copy of ``tree``, and run the tests that bear its number there.

    :param code: what is in ``tree``.

    :raises BrokenTableError: an edit does not fit.
    """
    copy = Tree(folder, source=tree.folder)
    try:
        for path, changed in code.edited(mutation.edits).items():
            _write(copy, path, changed)
        start = perf_counter()
        ended = _run(copy, tests, TIMEOUT_S)
        seconds = perf_counter() - start
    finally:
        shutil.rmtree(folder)
    if ended.status is None:
        return Outcome(mutation, "", f"not done in {TIMEOUT_S} s", seconds)
    if ended.status == FAILED and ended.red and ended.red[0].error not in _MISTAKES:
        return Outcome(mutation, ended.red[0].test.rpartition("::")[2], "", seconds)
    return Outcome(mutation, "", "" if ended.status == PASSED else ended.output, seconds)


def _write(tree: Tree, path: str, changed: ast.Module) -> None:
    tree.write(path, ast.unparse(changed).encode())


def _run(tree: Tree, tests: Sequence[str], limit_s: float) -> Ended:
    only = ("-m", "not (redis or postgresql or pgbouncer or mariadb or browser)")
    return tree.run_pytest(["-x", *only, *tests], limit_s=limit_s)
