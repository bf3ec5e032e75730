"""A case: one row of one table, and how one sample of it is taken.

A case is a few statements and a factory for the names they use. Both run inside the case's owner
(a fresh Context, greenlet or task for every sample), so no case sees another's values and none runs
in a Context that others have filled. The statements are repeated inside the loop, so that the loop
itself costs a few nanoseconds per operation at most; the row ``pass`` shows how many. Nothing is
subtracted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .owner import Owner, in_context

# pyperf.perf_counter is this function too; the cases themselves stay importable without pyperf.
perf_counter = time.perf_counter

OPERATIONS_PER_LOOP = 10
WARM_UP = 16  # part of the loops run, untimed, before each sample: specialisation, caches

Names = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One row of one table.

    :param statements: one operation each, run in turn; a set needs two, with different values,
        because ``ContextVar.set`` of the value that is already there does less.
    :param names: makes the names that the statements use; runs in the owner.
    :param needs: modules without which the row is left out, and named as left out.
    """

    table: str
    row: str
    statements: tuple[str, ...]
    names: Callable[[], Names]
    needs: tuple[str, ...] = ()
    owner: Owner = in_context


class CaseError(RuntimeError):
    """A case failed; the message names it."""


class Sampler:
    """Takes samples of one case; its loop is compiled once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        repeat = max(1, OPERATIONS_PER_LOOP // len(case.statements))
        self.operations = repeat * len(case.statements)
        self._body = list(case.statements) * repeat
        self._loop: Callable[..., float] | None = None

    def seconds(self, loops: int) -> float:
        """Return how long ``loops`` loops took, in an owner of their own."""

        def run() -> float:
            names = self.case.names()
            loop = self._compiled(names)
            loop(range(loops // WARM_UP + 1), perf_counter, **names)
            return loop(range(loops), perf_counter, **names)

        try:
            return self.case.owner(run)
        except Exception as error:
            raise CaseError(f"{self.case.table}: {self.case.row}: {error!r}") from error

    def loops_for(self, seconds: float) -> int:
        """Return how many loops take about ``seconds``; 1 for 0."""
        loops = 1
        while seconds and (taken := self.seconds(loops)) < seconds:
            loops = max(loops * 2, int(loops * seconds / max(taken, 1e-9)) if taken > 1e-4 else 0)
        return loops

    def _compiled(self, names: Names) -> Callable[..., float]:
        # The names become parameters, so that the loop reads locals and not globals.
        if self._loop is None:
            lines = [
                f"def loop(_loops, _time, {', '.join(names)}):",
                "    _start = _time()",
                "    for _ in _loops:",
                *(f"        {statement}" for statement in self._body),
                "    return _time() - _start",
            ]
            space: dict[str, Any] = {}
            exec(compile("\n".join(lines), f"<{self.case.table}: {self.case.row}>", "exec"), space)
            self._loop = space["loop"]
        assert self._loop is not None
        return self._loop
