"""All operations from several threads at once: each thread finds its own values, whole.

A value names its thread and what it was stored under, so that one that is another's shows. This is
for a free-threaded Python; elsewhere threads take turns as often as they can.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import ModuleType
from typing import Any

import pytest

THREADS = 4
ROUNDS = 150
NAMES = [f"name{number}" for number in range(20)]


@pytest.fixture(autouse=True)
def _take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(params=["context", "thread", "greenlet", "task"])
def strategy(request: pytest.FixtureRequest) -> Any:
    return request.param


def at_once(work: Callable[[int], None]) -> None:
    """Call ``work`` with the number of each thread, in all of them, and raise what any raises."""
    start, failures = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_each_thread_finds_its_own_attributes(impl: ModuleType, strategy: Any) -> None:
    local = impl.Local(ident=strategy)
    proxies = {name: local(name) for name in NAMES}

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            wanted = {name: (number, turn, name) for name in NAMES[: 1 + turn % len(NAMES)]}
            for name, value in wanted.items():
                setattr(local, name, value)
            assert dict(local) == wanted
            assert {name: impl.unwrap(proxies[name]) for name in wanted} == wanted
            assert copy_context().run(lambda: dict(local)) == wanted
            assert dict(copy.copy(local)) == wanted
            for name in wanted:
                delattr(local, name)
            assert not any(impl.is_bound(proxy) for proxy in proxies.values())

    at_once(work)
    assert list(local) == []


def test_each_thread_finds_its_own_stack(impl: ModuleType, strategy: Any) -> None:
    stack = impl.LocalStack(ident=strategy)
    top = stack()

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            pushed = [(number, turn, depth) for depth in range(turn % 20)]
            for one in pushed:
                stack.push(one)
                assert stack.top is one
            with stack.pushed((number, turn)):
                assert top == (number, turn)
            assert [stack.pop() for _ in pushed] == pushed[::-1]
            assert stack.pop() is None

    at_once(work)


def test_steps_of_frames_keep_their_values_in_any_thread(impl: ModuleType) -> None:
    local, stack = impl.Local(), impl.LocalStack()

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            local.value = number
            frame = impl.flow.Frame()
            frame.run(setattr, local, "value", (number, turn))
            frame.run(stack.push, (number, turn))
            captured = frame.run(impl.flow.snapshot)
            assert frame.run(lambda: (local.value, stack.top)) == ((number, turn),) * 2
            assert captured.run(lambda: local.value) == (number, turn)
            frame.close()
            assert (local.value, stack.top) == (number, None)

    at_once(work)


def test_locals_come_and_go_while_others_are_used(impl: ModuleType, strategy: Any) -> None:
    shared = impl.Local(ident=strategy)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            shared.value = (number, turn)
            own = impl.Local(ident=strategy)
            own.value = (turn, number)
            setattr(shared, f"of{number}x{turn % 7}", turn)
            assert (own.value, shared.value) == ((turn, number), (number, turn))
            if turn % 10 == 9:
                impl.release_local(shared)
                assert not list(shared)

    at_once(work)


def test_a_first_write_by_several_threads_chooses_one_strategy(impl: ModuleType) -> None:
    for _ in range(ROUNDS // 5):
        local = impl.Local()
        seen: list[int] = []

        def work(number: int, local: Any = local, seen: list[int] = seen) -> None:
            local.value = number
            seen.append(local.value)

        at_once(work)
        assert sorted(seen) == list(range(THREADS))
        assert list(local) == []
