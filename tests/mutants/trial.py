"""Tries a mutant: does a test notice it."""

from __future__ import annotations

import re
from time import perf_counter
from typing import NamedTuple

from tests.support.tree import NO_TEST, PASSED

from .covering import Covering
from .mutant import Mutant
from .tree import WatchedTree

_GRACE_S = 40.0  # to start pytest, and for a machine that is busy
_LATE = re.compile(r"Timeout \(>|\+ Timeout \+")  # what pytest-timeout says


class Verdict(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    tests: int  #: how many were chosen
    killer: str  #: the test that failed, or how it ended otherwise; "" if the mutant survived
    seconds: float
    is_late: bool = False  #: that it took too long is all that was noticed


def try_mutant(tree: WatchedTree, covering: Covering, mutant: Mutant, budget: float) -> Verdict:
    """Run the tests that may notice, with the mistake in the tree, which is mended after."""
    chosen = covering.choose(mutant, budget)
    if not chosen:
        return Verdict(mutant, 0, "", 0.0)
    start = perf_counter()
    source = (tree.package / mutant.path).read_bytes()
    tree.write(mutant.path, mutant.apply(source))
    try:
        done = tree.run(chosen, _GRACE_S + 3 * budget)
    finally:
        tree.write(mutant.path, source)
    seconds = perf_counter() - start
    if done.status in (PASSED, NO_TEST):
        return Verdict(mutant, len(chosen), "", seconds)
    how = "took too long" if done.status is None else f"pytest ended with {done.status}"
    is_late = done.status is None or bool(_LATE.search(done.output))
    return Verdict(mutant, len(chosen), done.red[0].test if done.red else how, seconds, is_late)
