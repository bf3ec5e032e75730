"""Random programs come to the same on both twins, and to what comes of them with werkzeug.local.

What a threading.local can do is compared with that, too.

``CTXLOCAL_DIFFERENTIAL=200000`` runs so many random programs, ``CTXLOCAL_DIFFERENTIAL_SEED=7``
others. The run prints their number, and a program that fails, made as short as it gets.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.twins import IMPLEMENTATIONS
from .accepted import ACCEPTED, Accepted
from .programs import Program, programs, sweep

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("CTXLOCAL_DIFFERENTIAL", "4000"))
SEED = int(os.environ.get("CTXLOCAL_DIFFERENTIAL_SEED", "9"))
EVERY = 1 if COUNT > 20_000 else 5  # of the sweep's programs on what is stood in for
OTHERS = {"native": "", "werkzeug": "sweep|proxy|stack", "threading": "thread_local"}


class Child:
    """One implementation in a process of its own."""

    def __init__(self, name: str) -> None:
        environ = {**os.environ, **({"CTXLOCAL_PURE": "1"} if name == "pure" else {})}
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "tests.differential.run", name],
            cwd=Path(__file__).parents[2],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, program: Program) -> None:
        assert self._process.stdin is not None
        print(json.dumps(program), file=self._process.stdin, flush=True)

    def outcomes(self, program: Program) -> list[Any]:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "the interpreter died of\n" + written(program)
        return json.loads(answer)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._process.communicate()


def written(program: Program) -> str:
    return "\n".join(f"    {step}" for step in program)


def all_programs(other: str) -> Iterator[tuple[str, Program]]:
    swept = sweep() if other == "native" else itertools.islice(sweep(), SEED % EVERY, None, EVERY)
    if other != "threading":
        yield from (("sweep", program) for program in swept)
    yield from programs(SEED, COUNT)


def differs(other: str, ours: Any, theirs: Any) -> bool:
    """Whether outcomes are different: texts count between the twins, kinds of errors everywhere."""
    if ours == theirs:
        return False
    if other == "native" or ours[0] != theirs[0] or ours[0] == "result":
        return True
    # An error that is also one of theirs serves whoever caught theirs.
    return theirs[1][0] not in ours[1]


class Comparison:
    """The pure twin beside another implementation."""

    def __init__(self, other: str) -> None:
        self.other = other
        self.children = Child("pure"), Child(other if other != "threading" else "threading")
        self.accepted = [e for e in ACCEPTED if e.other == other and e.since <= sys.version_info]
        self.used: set[Accepted] = set()

    def first_difference(self, kind: str, program: Program) -> tuple[int, Any, Any] | None:
        """The first step that differs in a way which is not accepted.

        What follows one that is may depend on it, and is not looked at.
        """
        for child in self.children:
            child.start(program)
        ours, theirs = (child.outcomes(program) for child in self.children)
        for at, (one, two) in enumerate(zip(ours, theirs, strict=True)):
            covering = {e for e in self.accepted if e.covers(kind, program, at, one, two)}
            if differs(self.other, one, two):
                self.used |= covering
                return None if covering else (at, one, two)
            if any(each.is_end for each in covering):
                return None
        return None

    def shrunk(self, kind: str, program: Program) -> Program:
        """The program without the steps that the difference does not need."""
        found = self.first_difference(kind, program)
        assert found is not None
        program = program[: found[0] + 1]
        for at in reversed(range(len(program) - 1)):
            shorter = program[:at] + program[at + 1 :]
            if self.first_difference(kind, shorter) is not None:
                program = shorter
        return program

    def close(self) -> None:
        for child in self.children:
            child.close()


@pytest.mark.timeout(0 if COUNT > 20_000 else 600)
@pytest.mark.parametrize("other", OTHERS)
def test_programs_come_to_the_same(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    if other not in ("werkzeug", "threading") and other not in IMPLEMENTATIONS:
        pytest.skip("the native twin is not built")
    if other == "werkzeug":
        pytest.importorskip("werkzeug")
    comparison = Comparison(other)
    count, failed = 0, {}
    try:
        for kind, program in all_programs(other):
            if OTHERS[other] and not any(each in kind for each in OTHERS[other].split("|")):
                continue
            count += 1
            found = comparison.first_difference(kind, program)
            if found is not None and program[found[0]] not in failed:
                shorter = comparison.shrunk(kind, program)
                again = comparison.first_difference(kind, shorter) or found
                failed[program[found[0]]] = (kind, shorter, again)
    finally:
        comparison.close()
    with capsys.disabled():
        print(f"\n{count} programs (seed {SEED}) on the pure twin and {other}")
    for kind, program, (_, ours, theirs) in failed.values():
        print(f"{kind}:\n{written(program)}\n  pure: {ours}\n  {other}: {theirs}\n")
    assert not failed, f"{len(failed)} differences, printed above"
    unused = [e.reason for e in comparison.accepted if e not in comparison.used]
    assert not unused, f"accepted differences that there are no more: {unused}"
