"""All operations from several threads at once: each thread finds its own values, whole.

A value names its thread and what it was stored under, so that one that is another's shows. This is
for a free-threaded Python; elsewhere threads take turns as often as they can.

A longer search: ``CTXLOCAL_THREADS_ROUNDS=10000 CTXLOCAL_MODEL_EXAMPLES=2000``.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from types import FrameType, ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxlocal.local import Latch
from ctxlocal.local.pure import latch as pure_latch

THREADS = 4
ROUNDS = int(os.environ.get("CTXLOCAL_THREADS_ROUNDS", "150"))
EXAMPLES = int(os.environ.get("CTXLOCAL_MODEL_EXAMPLES", "100"))
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


def in_step() -> Callable[[], None]:
    """Return what each of the threads calls: it returns when all have called it as often."""
    calls: list[None] = []
    mine = threading.local()

    def step_together() -> None:
        mine.turn = getattr(mine, "turn", 0) + 1
        calls.append(None)
        spins = 0
        while len(calls) < mine.turn * THREADS:  # a Barrier wakes one after the other
            spins += 1
            if spins % 2000 == 0:
                time.sleep(0)  # to another thread, where there are fewer processors

    return step_together


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


@pytest.mark.parametrize("factory", [None, "eager_task_factory"])
def test_each_task_of_a_loop_in_each_thread_finds_its_own(
    impl: ModuleType, factory: str | None
) -> None:
    if factory is not None and not hasattr(asyncio, factory):
        pytest.skip("eager tasks are of Python 3.12")
    locals_ = [impl.Local(ident=strategy) for strategy in ("context", "task")]

    async def task(number: int, nth: int) -> None:
        for turn in range(max(1, ROUNDS // 10)):
            for local in locals_:
                local.value = (number, nth, turn)
            await asyncio.sleep(0)
            assert [local.value for local in locals_] == [(number, nth, turn)] * 2

    async def main(number: int) -> None:
        make = None if factory is None else getattr(asyncio, factory)
        asyncio.get_running_loop().set_task_factory(make)
        await asyncio.gather(*(task(number, nth) for nth in range(THREADS)))
        assert not any(list(local) for local in locals_)

    at_once(lambda number: asyncio.run(main(number)))


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
    """What another thread's choice has replaced would be lost."""
    locals_ = [impl.Local() for _ in range(ROUNDS)]
    stacks = [impl.LocalStack() for _ in range(ROUNDS)]
    step_together = in_step()

    def work(number: int) -> None:
        for local, stack in zip(locals_, stacks, strict=True):
            step_together()
            local.value = number
            step_together()
            stack.push(number)
        assert [local.value for local in locals_] == [number] * ROUNDS
        assert [stack.top for stack in stacks] == [number] * ROUNDS

    at_once(work)
    assert not any(map(list, locals_))
    assert not any(stack.top for stack in stacks)


def test_threads_end_while_others_use_their_values(impl: ModuleType, strategy: Any) -> None:
    local, stack = impl.Local(ident=strategy), impl.LocalStack(ident=strategy)

    class Value:
        pass

    def short(references: list[weakref.ref[Value]]) -> None:
        local.value = Value()
        stack.push(Value())
        references += [weakref.ref(local.value), weakref.ref(stack.top)]

    def work(number: int) -> None:
        for turn in range(ROUNDS // 5):
            local.value = (number, turn)
            references: list[weakref.ref[Value]] = []
            ending = threading.Thread(target=short, args=(references,))
            ending.start()
            ending.join()
            assert local.value == (number, turn)
            assert stack.top is None
            assert len(references) == 2
            ended.extend(references)

    ended: list[weakref.ref[Value]] = []
    at_once(work)
    gc.collect()
    assert not any(reference() for reference in ended)


def test_locals_in_cycles_are_collected_while_others_are_used(
    impl: ModuleType, strategy: Any
) -> None:
    shared = impl.Local(ident=strategy)

    def work(number: int) -> None:
        for turn in range(ROUNDS // 5):
            dropped, frame = impl.Local(ident=strategy), impl.flow.Frame()
            dropped.itself, dropped.frame = dropped, frame
            frame.run(setattr, dropped, "itself", dropped)
            references.append(weakref.ref(dropped))
            del dropped, frame
            shared.value = (number, turn)
            if turn % 4 == number:
                gc.collect()
            assert shared.value == (number, turn)

    references: list[weakref.ref[Any]] = []
    at_once(work)
    if strategy != "context":  # there a Context keeps what was set in it, and the Local with it
        gc.collect()
        assert not any(reference() for reference in references)


def test_a_changed_default_shows_no_thread_the_value_of_another(impl: ModuleType) -> None:
    local, stack = impl.Local(), impl.LocalStack()
    done = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            for turn in range(ROUNDS):
                impl.ident.set_default(("context", "thread", "task")[turn % 3], discard=True)
            done.set()
            return
        while not done.is_set():
            local.value = number
            stack.push(number)
            assert getattr(local, "value", number) == number
            assert dict(local) in ({}, {"value": number})
            assert stack.top in (None, number)
            assert stack.pop() in (None, number)
            impl.release_local(stack)

    at_once(work)


def test_whatever_is_done_while_the_default_changes_is_done_to_one_of_the_storages(
    impl: ModuleType,
) -> None:
    """In C each step may find that another thread took the storage away which it had found."""
    local, stack = impl.Local(), impl.LocalStack()
    done = threading.Event()

    def work(number: int) -> None:
        def push_within() -> None:
            with stack.pushed(number):
                stack.pop()

        steps: list[Callable[[], object]] = [
            lambda: setattr(local, "value", number),
            lambda: delattr(local, "value"),
            lambda: vars(local).update(value=number),
            lambda: stack.push(number),
            stack.pop,
            push_within,
            lambda: (copy.copy(local), copy.copy(stack)),
            lambda: impl.release_local(local),
            lambda: impl.release_local(stack),
            lambda: impl.flow.Frame().run(stack.push, number),
            lambda: impl.flow.snapshot().run(setattr, local, "value", number),
        ]
        if number == 0:
            for turn in range(2 * ROUNDS):
                impl.ident.set_default(("context", "thread", "task")[turn % 3], discard=True)
            done.set()
            return
        while not done.is_set():
            for step in steps:
                with suppress(AttributeError, RuntimeError):  # no value, or the strategy changed
                    step()
            assert dict(local) in ({}, {"value": number})

    at_once(work)


def test_at_whatever_instruction_the_default_changes_no_step_fails(impl: ModuleType) -> None:
    """What the two tests above find by chance: the change comes before each Python instruction."""
    local, stack = impl.Local(), impl.LocalStack()
    defaults = itertools.cycle(["thread", "task", "context"])

    def remove() -> None:
        try:
            del local.value
        except AttributeError as error:  # the value may be gone; nothing else may be missing
            if error.obj is not local:
                raise

    def run_within() -> None:
        with stack.pushed(1), impl.flow.scoped(local, value=2):
            pass

    steps: list[Callable[[], object]] = [
        lambda: setattr(local, "value", 1),
        lambda: getattr(local, "value", 1),
        remove,
        lambda: vars(local).update(value=1),
        lambda: dict(local),
        lambda: stack.push(1),
        stack.pop,
        lambda: stack.top,
        run_within,
        lambda: (copy.copy(local), copy.copy(stack)),
        lambda: (impl.release_local(local), impl.release_local(stack)),
        lambda: impl.flow.Frame().run(stack.push, 1),
        lambda: impl.flow.snapshot().run(setattr, local, "value", 1),
    ]

    def run(step: Callable[[], object], instruction: int) -> bool:
        local.value = 1
        stack.push(1)
        return changed_at(
            instruction, step, lambda: impl.ident.set_default(next(defaults), discard=True)
        )

    for step in steps:
        instructions = itertools.count()
        while Context().run(run, step, next(instructions)):
            pass


def changed_at(instruction: int, step: Callable[[], object], change: Callable[[], object]) -> bool:
    """Call ``step``, and ``change`` before so many of ctxlocal's instructions; False: at none."""
    left = instruction

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not frame.f_globals.get("__name__", "").startswith("ctxlocal."):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            left -= 1
            if left == -1:
                change()
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        step()
    finally:
        sys.settrace(former)
    return left < 0


def test_a_subclass_is_initialised_once_in_each_thread(impl: ModuleType, strategy: Any) -> None:
    class Counted(impl.Local, ident=strategy):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self, start: int) -> None:
            begun.append(threading.get_ident())
            self.count = start

    begun: list[int] = []
    for turn in range(ROUNDS // 5):
        local = Counted(turn)
        begun.clear()

        def work(number: int, local: Any = local, turn: int = turn) -> None:
            local.count += number
            assert local.count == turn + number
            del local.count
            assert not hasattr(local, "count")

        at_once(work)
        assert len(begun) == len(set(begun)) == THREADS


@pytest.mark.parametrize("kind", [Latch, pure_latch.Latch])
def test_one_thread_gets_a_latch(kind: Callable[[], Latch]) -> None:
    latches = [kind() for _ in range(ROUNDS)]
    taken: list[Latch] = []
    released: list[Latch] = []
    step_together = in_step()

    def take_all(number: int) -> None:
        for latch in latches:
            step_together()
            if latch.take():
                taken.append(latch)

    def release_all(number: int) -> None:
        for latch in latches:
            step_together()
            if latch.release():
                released.append(latch)

    at_once(take_all)
    step_together = in_step()
    at_once(release_all)
    wanted = sorted(map(id, latches))
    assert sorted(map(id, taken)) == wanted
    assert sorted(map(id, released)) == wanted
    assert not any(latch.is_taken for latch in latches)


# Programs that hypothesis writes, one for each thread: each runs as if it were alone.

STEP = st.one_of(
    st.tuples(st.sampled_from(["set", "set", "delete"]), st.sampled_from(NAMES[:4])),
    st.tuples(st.sampled_from(["push", "pop", "release", "copy", "snapshot", "frame", "context"])),
)
PROGRAMS = st.lists(st.lists(STEP, max_size=25), min_size=THREADS, max_size=THREADS)


class Alone:
    """What one thread does, and what it has to find: a dict and a list."""

    def __init__(self, impl: ModuleType, local: Any, stack: Any, number: int) -> None:
        self.impl, self.local, self.stack, self.number = impl, local, stack, number
        self.values: dict[str, Any] = {}
        self.pile: list[Any] = []
        self.serial = 0

    def fresh(self) -> tuple[int, int]:
        self.serial += 1
        return self.number, self.serial

    def step(self, what: str, *names: str) -> None:
        getattr(self, what)(*names)
        self.compare(self.values, self.pile)

    def compare(self, values: dict[str, Any], pile: list[Any]) -> None:
        assert list(self.local) == list(values.items())
        assert {n: getattr(self.local, n) for n in NAMES[:4] if hasattr(self.local, n)} == values
        assert self.stack.top == (pile[-1] if pile else None)

    def set(self, name: str) -> None:
        self.values[name] = value = self.fresh()
        setattr(self.local, name, value)

    def delete(self, name: str) -> None:
        if self.values.pop(name, None) is not None:
            delattr(self.local, name)
            return
        with pytest.raises(AttributeError):
            delattr(self.local, name)

    def push(self) -> None:
        self.pile.append(self.fresh())
        self.stack.push(self.pile[-1])

    def pop(self) -> None:
        assert self.stack.pop() == (self.pile.pop() if self.pile else None)

    def release(self) -> None:
        self.values.clear()
        self.impl.release_local(self.local)

    def copy(self) -> None:
        assert dict(copy.copy(self.local)) == self.values

    def snapshot(self) -> None:
        """See them in a snapshot that another thread runs."""
        captured = self.impl.flow.snapshot()
        seen: list[Any] = []
        elsewhere = threading.Thread(target=lambda: seen.append(captured.run(dict, self.local)))
        elsewhere.start()
        elsewhere.join()
        assert seen == [self.values]

    def frame(self) -> None:
        """Change what is inside a frame; outside nothing changes."""
        frame, value = self.impl.flow.Frame(), self.fresh()
        frame.run(setattr, self.local, NAMES[0], value)
        frame.run(self.stack.push, value)
        frame.run(self.compare, {NAMES[0]: value}, [value])
        frame.close()

    def context(self) -> None:
        """Change what is in a copy of the Context; outside nothing changes but under "thread"."""
        if self.impl.ident.get_default().name == "context":
            copied = copy_context()
            copied.run(setattr, self.local, NAMES[0], self.fresh())
            copied.run(self.stack.push, self.fresh())
            Context().run(self.compare, {}, [])


@pytest.mark.parametrize("default", ["context", "thread", "task"])
def test_programs_of_several_threads_behave_as_if_each_were_alone(
    impl: ModuleType, default: str
) -> None:
    impl.ident.set_default(default)
    local, stack = impl.Local(), impl.LocalStack()

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[*HealthCheck]
    )
    @given(programs=PROGRAMS)
    def search(programs: list[list[tuple[str, ...]]]) -> None:
        def work(number: int) -> None:
            alone = Alone(impl, local, stack, number)
            for _ in range(3):
                for step in programs[number]:
                    alone.step(*step)

        at_once(work)

    search()
