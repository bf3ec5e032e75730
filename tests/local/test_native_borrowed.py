"""What anybody holds of a Context never changes, however it is held and however little is counted.

The ways of holding are those of tests/support/holding.py; test_native_model.py shows that they
find a native twin that leaves out one of its checks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..support import holding
from ..support.twins import IMPLEMENTATIONS

ROOT = Path(__file__).parents[2]
ROUNDS = os.environ.get("CTXLOCAL_HOLDING_ROUNDS", "60")
TURNS = 20_000  # far beyond what makes CPython specialise and compile

pytestmark = pytest.mark.skipif(
    "native" not in IMPLEMENTATIONS, reason="the native twin is not built"
)

native = sys.modules.get("ctxlocal.local._native")
jit = getattr(sys, "_jit", None)
HAS_JIT = jit is not None and jit.is_available()


@pytest.mark.parametrize("kind", holding.KINDS)
@pytest.mark.parametrize("thing", holding.THINGS)
@pytest.mark.parametrize("way", holding.WAYS)
def test_what_is_held_does_not_change(way: str, thing: str, kind: str) -> None:
    world = holding.World(kind, seed=1, others=40)
    world.run(lambda: world.attack(way, thing))


@pytest.mark.parametrize("kind", holding.KINDS)
@pytest.mark.parametrize("loop", [name for name in holding.LOOPS if name != "in place"])
def test_what_is_held_does_not_change_in_a_long_loop(loop: str, kind: str) -> None:
    world = holding.World(kind, seed=1, others=5)
    world.run(lambda: holding.LOOPS[loop](world, TURNS))


@pytest.mark.skipif(not getattr(native, "IN_PLACE", 0), reason="values are copied here")
@pytest.mark.parametrize("kind", holding.KINDS)
def test_what_nobody_holds_is_changed_in_place(kind: str) -> None:
    world = holding.World(kind, seed=1, others=5)
    world.run(lambda: holding.LOOPS["in place"](world, TURNS))


# Each in a process of its own, for which the JIT is switched on or off.


@pytest.mark.parametrize("jit", ["0", "1"] if HAS_JIT else ["0"], ids=lambda jit: f"jit {jit}")
@pytest.mark.parametrize("threads", ["1", "4"])
def test_what_is_held_in_random_ways_does_not_change(threads: str, jit: str) -> None:
    run("-m", "tests.support.holding", ROUNDS, "0", threads, jit=jit)


@pytest.mark.skipif(not HAS_JIT, reason="this Python has no JIT")
def test_what_is_held_does_not_change_in_a_compiled_loop() -> None:
    loops = f"{Path(__file__).relative_to(ROOT)}::test_what_is_held_does_not_change_in_a_long_loop"
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", loops, jit="1")


def run(*arguments: str, jit: str) -> None:
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", *arguments],
            env={**os.environ, "PYTHON_JIT": jit},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if not (jit == "1" and is_crash_of_cpython(done)):
            break
    assert done.returncode == 0, done.stdout + done.stderr


# Where threads share code, the JIT of 3.15 may crash while it records (CPython's gh-157740), with
# nothing of ours in the process too. A fault of ours would be there again, or on the C stack.
TRIES = 5


def is_crash_of_cpython(done: subprocess.CompletedProcess[str]) -> bool:
    if done.returncode != -signal.SIGSEGV:
        return False
    _, _, stack = done.stderr.partition("Current thread's C stack trace")
    return "_native" not in stack.partition("Extension modules")[0]
