"""Interpreters that have a GIL each (PEP 684): each twin serves them, several at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="one GIL serves all before 3.12")

#: Runs ``code`` in a new interpreter: ``in_interpreter(code)``.
BEGIN = """
import sys
from textwrap import dedent
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

def in_interpreter(code):
    made = interpreters.create("isolated") if sys.version_info >= (3, 13) else interpreters.create()
    try:
        failed = interpreters.run_string(made, dedent(code))
        assert failed is None, failed
    finally:
        interpreters.destroy(made)
"""


def test_the_same_twin_serves(run_python: Callable[..., str], twin: dict[str, str]) -> None:
    code = "import ctxlocal; print(ctxlocal.IMPLEMENTATION, flush=True)"
    printed = run_python(f"{BEGIN}\nin_interpreter({code!r})\n{code}")
    assert printed == 2 * ("pure\n" if twin["CTXLOCAL_PURE"] else "native\n")


def test_what_one_sets_no_other_has(run_python: Callable[..., str]) -> None:
    code = """
    import ctxlocal
    local, stack = ctxlocal.Local(ident=STRATEGY), ctxlocal.LocalStack(ident=STRATEGY)
    assert not ctxlocal.is_bound(local("x")) and stack.top is None
    local.x = [1]
    stack.push(local.x)
    assert local("x") == [1] and stack.pop() is local.x
    """
    program = f"""{BEGIN}
for strategy in ("context", "thread", "task"):
    code = f"STRATEGY = {{strategy!r}}\\n" + dedent({code!r})
    exec(code)
    in_interpreter(code)
    assert local("x") == [1] and stack.top is None
print("done")
"""
    assert run_python(program) == "done\n"


WORK = """
import contextvars
from ctxlocal import Local, flow

context, thread = Local(ident="context"), Local(ident="thread")
carried = Local(ident="thread", carry=True)
frame = flow.Frame()

def step(number):
    former = getattr(carried, "value", None)
    carried.value = number
    return former

for number in range(2_000):
    context.value = thread.value = number
    carried.value = "outside"
    copy = contextvars.copy_context()
    assert frame.run(step, number) == (number - 1 if number else None)
    assert carried.value == "outside"
    context.value = "changed"
    assert copy.run(lambda: context.value) == thread.value == number
"""


def test_several_exchange_values_at_once(run_python: Callable[..., str]) -> None:
    program = f"""{BEGIN}
import threading
errors = []

def run():
    try:
        in_interpreter({WORK!r})
    except BaseException as error:
        errors.append(error)

threads = [threading.Thread(target=run) for _ in range(3)]
for thread in threads:
    thread.start()
exec({WORK!r}, {{}})
for thread in threads:
    thread.join()
print(errors)
"""
    assert run_python(program) == "[]\n"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor is of 3.14")
def test_each_call_in_an_interpreter_pool_begins_with_nothing(
    run_python: Callable[..., str], twin: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(
        "import ctxlocal\n"
        "local = ctxlocal.Local()\n"
        "def work(number):\n"
        "    former = getattr(local, 'value', None)\n"
        "    local.value = number\n"
        "    return ctxlocal.IMPLEMENTATION, former, local.value\n"
    )
    program = """
    import work
    from concurrent.futures import InterpreterPoolExecutor

    work.work("mine")
    with InterpreterPoolExecutor(1) as pool:
        for found in pool.map(work.work, range(2)):
            print(*found)
    print(work.local.value)
    """
    path = os.pathsep.join(filter(None, [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH")]))
    name = "pure" if twin["CTXLOCAL_PURE"] else "native"
    printed = run_python(program, PYTHONPATH=path)
    assert printed == f"{name} None 0\n{name} None 1\nmine\n"
