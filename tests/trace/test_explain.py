"""An UnboundError says who holds a value, and what the value did not pass."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import UnboundError, flow
from ctxlocal.web.context import current_request_context


def line_above() -> int:
    """The line above the one that calls this."""
    return sys._getframe(1).f_lineno - 1


def why(use: Callable[[], object]) -> list[str]:
    """What the error of an unbound proxy says beyond its first line; places are lines of this file.

    A call of the proxy is a use.
    """
    with pytest.raises(UnboundError) as caught:
        use()
    _, *lines = str(caught.value).replace(f"{__file__}:", "line ").splitlines()
    return lines


@pytest.fixture
def local(traced: ModuleType) -> Any:
    return traced.Local(name="loc")


def test_a_thread_was_started_without_a_carrier(local: Any) -> None:
    local.user = "ada"
    at = line_above()
    user = local("user")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(why(user)), name="mailer")
    thread.start()
    started = line_above()
    thread.join()
    assert found == [
        "Traced: others hold a value of it:",
        f"- 'user' of Local 'loc' in the Context of thread 'MainThread': str, set at line {at}",
        f"Thread 'mailer' was started at line {started} by the Context of thread "
        "'MainThread'. For it to have the value, start it with target=ctxlocal.flow.bind"
        "(function).",
    ]


def test_a_job_was_submitted_without_a_carrier(traced: ModuleType) -> None:
    stack = traced.LocalStack(name="pile", ident="thread", carry=True)
    stack.push(1)
    at = line_above()
    with ThreadPoolExecutor(1, "pool") as executor:
        job = executor.submit(why, stack())
        submitted = line_above()
        found = job.result()
    assert found == [
        "Traced: others hold a value of it:",
        f"- LocalStack 'pile' in thread 'MainThread': int, set at line {at}",
        f"This executor job was started at line {submitted} by the Context of thread "
        "'MainThread'. For it to have the value, submit it to a "
        "ctxlocal.flow.ContextThreadPoolExecutor, or submit "
        "ctxlocal.flow.bind(function).",
    ]


def test_the_carriers_that_are_named_carry(local: Any) -> None:
    local.user = "ada"
    user = local("user")
    with flow.ContextThreadPoolExecutor(1) as executor:
        assert executor.submit(lambda: user.upper()).result() == "ADA"
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(flow.bind(lambda: user.upper())).result() == "ADA"


def test_a_job_is_that_of_its_own_submission(local: Any) -> None:
    local.user = "ada"
    user = local("user")
    with ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        job = executor.submit(why, user)
        submitted = line_above()
        assert f"job was started at line {submitted} by" in job.result()[-1]
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(why(user)))
    thread.start()
    thread.join()
    assert found[-1].startswith("Thread")


def test_a_task_was_made_before_the_value_was_set(local: Any) -> None:
    user = local("user")

    async def work() -> list[str]:
        return why(user)

    async def main() -> tuple[list[str], int, int]:
        task = asyncio.create_task(work(), name="mail")
        made = line_above()
        local.user = "ada"
        at = line_above()
        return await task, made, at

    found, made, at = asyncio.run(main())
    assert re.sub("task 'Task-[0-9]+'", "task 'main'", "\n".join(found)).splitlines() == [
        "Traced: others hold a value of it:",
        f"- 'user' of Local 'loc' in the Context of task 'main': str, set at line {at}",
        f"Task 'mail' was started at line {made} by the Context of task 'main', before that "
        "was set. For it to have the value, set it first, and make the task of "
        "ctxlocal.flow.bind(function)().",
    ]


def test_the_tasks_of_a_thread_are_one_owner_to_the_strategy_of_threads(traced: ModuleType) -> None:
    local = traced.Local(name="loc", ident="thread", carry=True)
    local.user = "ada"
    user = local("user")

    async def main() -> list[str]:
        return why(user)

    with ThreadPoolExecutor(1) as executor:
        job = executor.submit(lambda: asyncio.run(main()))
        assert job.result()[-1].startswith("This executor job was started at line")


def test_a_frame_or_a_snapshot_stands_between(local: Any) -> None:
    user = local("user")
    earlier = flow.snapshot()
    local.user = "ada"
    assert flow.Frame().run(why, user)[-1].startswith("This runs in a Frame, which has nothing")
    assert earlier.run(why, user)[-1].startswith("This runs in a snapshot, which was taken")


def test_a_strategy_of_its_own_is_not_carried(traced: ModuleType) -> None:
    local = traced.Local(name="loc", ident="thread")
    local.user = "ada"
    user = local("user")
    found: list[str] = []

    def work() -> None:
        found.extend(why(user))

    thread = threading.Thread(target=flow.bind(work))
    thread.start()
    thread.join()
    assert found[-1] == (
        "Nothing carries a value of Local 'loc' to another owner: it has a strategy of its own. "
        "Set it here, or make it with carry=True."
    )


def test_where_nobody_holds_a_value_it_says_so(local: Any) -> None:
    nobody = ["Traced: no owner that lives holds a value of it."]
    assert why(local("user")) == nobody
    local.other = 1
    local.user = "ada"
    del local.user
    assert why(local("user")) == nobody


def test_other_names_and_other_locals_are_no_value_of_it(traced: ModuleType, local: Any) -> None:
    other = traced.Local(name="other")
    local.tenant = other.user = "ada"
    user = local("user")
    assert flow.Frame().run(why, user) == ["Traced: no owner that lives holds a value of it."]


def test_what_the_owner_itself_holds_is_no_other_value(local: Any) -> None:
    local.user = "ada"
    assert why(local("user.email")) == ["Traced: no owner that lives holds a value of it."]


def test_of_many_owners_five_are_named(traced: ModuleType) -> None:
    owners = [type("Owner", (), {})() for _ in range(9)]
    current = owners[0]
    local = traced.Local(name="loc", ident=lambda: current)
    for current in owners[:8]:  # noqa: B007 - the strategy asks for it
        local.user = "ada"
    current = owners[8]
    found = why(local("user"))
    assert len([each for each in found if each.startswith("- 'user'")]) == 5
    assert found[6] == "- and 3 more; ctxlocal.trace.report() prints all"


def test_a_message_of_ones_own_is_explained_too(local: Any) -> None:
    with pytest.raises(UnboundError, match=r"^Sign in\.\nTraced: no owner"):
        local("user", unbound_message="Sign in.").upper()


def test_who_asks_quietly_hears_nothing(traced: ModuleType, local: Any) -> None:
    local.user = "ada"
    user = local("user")
    assert flow.Frame().run(
        lambda: (bool(user), traced.is_bound(user), hasattr(user, "upper"))
    ) == ((False, False, False))


def test_a_request_is_explained_too(traced: ModuleType) -> None:
    assert why(current_request_context) == ["Traced: no owner that lives holds a value of it."]


GREENLETS = """
    {patch}
    import threading
    import ctxlocal
    from concurrent.futures import ThreadPoolExecutor
    from ctxlocal import flow, trace
    trace.enable()
    local = ctxlocal.Local(ident="greenlet", name="loc", carry=True)
    local.user = "ada"
    user = local("user")
    def why():
        try:
            user.upper()
        except ctxlocal.UnboundError as error:
            print(str(error).splitlines()[-1])
    {start}
"""
THREAD = "thread = threading.Thread(target=why, name='mail'); thread.start(); thread.join()"
JOB = "ThreadPoolExecutor(1).submit(why).result()"
CARRY = (
    "To carry a value here, call ctxlocal.flow.bind(function) where it is bound, or take a "
    "ctxlocal.flow.snapshot() there and run this in it."
)
PATCHES = {
    "gevent": ("from gevent import monkey, spawn; monkey.patch_all()", "spawn(why).join()"),
    "eventlet": ("import eventlet; eventlet.monkey_patch()", "eventlet.spawn(why).wait()"),
}


@pytest.mark.parametrize("hub", PATCHES)
def test_in_a_patched_process_it_is_known_as_elsewhere(
    hub: str, run_python: Callable[..., str]
) -> None:
    pytest.importorskip(hub)
    patch, spawn = PATCHES[hub]
    printed = run_python(GREENLETS.format(patch=patch, start=f"{THREAD}; {JOB}; {spawn}"))
    thread, job, greenlet = printed.splitlines()
    assert thread.startswith("Thread 'mail' was started at <string>:16 by ")
    assert job.startswith("This executor job was started at <string>:16 by ")
    if hub == "gevent":
        what, _, remedy = greenlet.partition(" was started at <string>:16. For it to ")
        assert what.startswith("<Greenlet at ")
        assert remedy == "have the value, spawn ctxlocal.flow.bind(function)."
    else:
        assert greenlet == CARRY


def test_of_a_raw_greenlet_the_start_is_not_known(run_python: Callable[..., str]) -> None:
    pytest.importorskip("greenlet")
    switch = "greenlet.greenlet(why).switch()"
    start = f"work = lambda: {switch}; thread = threading.Thread(target=work); thread.start()"
    printed = run_python(GREENLETS.format(patch="import greenlet", start=f"{switch}; {start}"))
    assert printed.splitlines() == [CARRY, CARRY]
