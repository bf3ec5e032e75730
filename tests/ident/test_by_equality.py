"""Owners that a callable names: several threads may have one, known by equality, in common."""

from __future__ import annotations

import gc
import itertools
import os
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

from ctxlocal import flow
from ctxlocal.errors import FrameBusyError, IdentCallableError, IdentInUseError
from ctxlocal.flow.swap import SwapByEquality
from ctxlocal.ident.record import Values
from ctxlocal.ident.travel import Travel
from tests.support.patience import PATIENCE_S


def who() -> str:
    return "one"


def test_a_release_inside_a_frame_takes_nothing_from_the_owner(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    inside, outside = impl.Local(), impl.Local()
    outside.value = 1

    def step() -> None:
        inside.value = 1
        impl.release_local(inside)
        inside.value = 2

    flow.Frame().run(step)
    assert not hasattr(inside, "value")
    assert outside.value == 1


def test_a_frame_exchanges_every_local_of_one_function(impl: ModuleType) -> None:
    first, second = impl.Local(ident=who, carry=True), impl.Local(ident=who, carry=True)
    first.value = second.value = 1

    def step() -> None:
        first.value = second.value = 2

    flow.Frame().run(step)
    assert (first.value, second.value) == (1, 1)


def test_the_same_function_again_is_the_same_default(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local = impl.Local()
    local.value = 1
    identity = impl.ident.current()
    impl.ident.set_default(who)
    assert local.value == 1
    assert impl.ident.current() == identity


def test_an_identity_outlives_a_release(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local = impl.Local()
    identity = impl.ident.current()
    local.value = 1
    impl.release_local(local)
    assert impl.ident.current() == identity


def test_identities_tell_owners_and_strategies_apart(impl: ModuleType) -> None:
    one, same, other = (impl.ident.CallableIdent(lambda at=at: at) for at in ("one", "one", "two"))
    identities = {strategy.current() for strategy in (one, one, same, other)}
    assert len(identities) == 3
    assert sorted(map(repr, identities)) == ["<identity of 'one'>"] * 2 + ["<identity of 'two'>"]


def test_nothing_is_left_of_an_owner_after_a_release(impl: ModuleType) -> None:
    class Part:
        pass

    owners = [(Part(),)]
    impl.ident.set_default(lambda: owners[-1])
    local, at_home = impl.Local(), impl.Local(ident=lambda: owners[-1])
    stack = impl.LocalStack()
    local.value = at_home.value = 1
    with impl.scoped(local, value=2), stack.pushed(1):
        flow.snapshot().run(impl.ident.current)
        flow.Frame().run(setattr, local, "value", 3)
    impl.release_local(local)
    impl.release_local(at_home)
    part = weakref.ref(owners[0][0])
    owners[0] = (Part(),)
    assert part() is None


def test_a_value_may_refer_to_its_local(impl: ModuleType) -> None:
    local = impl.Local(ident=who)
    local.itself = local
    reference = weakref.ref(local)
    del local
    gc.collect()
    assert reference() is None


def test_a_dropped_local_releases_its_values_everywhere(impl: ModuleType) -> None:
    class Value:
        pass

    impl.ident.set_default(who)
    local = impl.Local()
    local.value = Value()
    references = [weakref.ref(local.value)]
    frame, captured = flow.Frame(), flow.snapshot()
    frame.run(setattr, local, "value", Value())
    references.append(weakref.ref(frame.run(getattr, local, "value")))
    del local
    assert [reference() for reference in references] == [None, None]
    captured.run(who)


@pytest.mark.parametrize("is_in_frame", [False, True])
def test_a_live_value_keeps_the_default(impl: ModuleType, is_in_frame: bool) -> None:
    impl.ident.set_default(who)
    local = impl.Local(name="settings")
    frame = flow.Frame()
    if is_in_frame:
        frame.run(setattr, local, "value", 1)
    else:
        local.value = 1
    with pytest.raises(IdentInUseError, match=r"Local 'settings'"):
        impl.ident.set_default("thread")
    impl.ident.set_default("thread", discard=True)
    assert not hasattr(local, "value")


def test_what_a_job_changed_is_put_back(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local, gone, stack = impl.Local(), impl.Local(), impl.LocalStack()
    local.changed = local.deleted = local.kept = "before"
    gone.value = "before"
    since = flow.snapshot()

    def job() -> flow.Snapshot:
        local.changed = local.added = "by the job"
        del local.deleted
        impl.release_local(gone)
        stack.push("by the job")
        return flow.snapshot()

    after = since.run(job)
    after.put_back(since)
    assert dict(local) == {
        "changed": "by the job",
        "kept": "before",
        "added": "by the job",
    }
    assert not hasattr(gone, "value")
    assert stack.top == "by the job"


def test_neither_a_snapshot_nor_a_frame_leaves_anything(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local = impl.Local()
    flow.Frame().run(setattr, local, "value", 1)
    flow.snapshot().run(setattr, local, "value", 1)
    assert impl.ident.get_default().travel.inside == {}
    assert not hasattr(local, "value")
    impl.ident.set_default("thread")  # refused if there were a live value


def test_a_second_thread_of_an_owner_is_refused_a_frame(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local = impl.Local()
    local.value = "own"
    entered, leave = threading.Event(), threading.Event()

    def step() -> None:
        local.value = "the frame's"
        entered.set()
        assert leave.wait(PATIENCE_S)

    thread = threading.Thread(target=flow.Frame().run, args=(step,))
    thread.start()
    assert entered.wait(PATIENCE_S)
    with pytest.raises(FrameBusyError, match=r"^Another thread, which has the same owner, "):
        flow.Frame().run(who)
    leave.set()
    thread.join()
    assert local.value == "own"


@pytest.mark.parametrize("owner", ["known by equality", Mock()])
def test_a_second_greenlet_of_an_owner_is_refused_a_frame(impl: ModuleType, owner: Any) -> None:
    import greenlet

    impl.ident.set_default(lambda: owner)
    local = impl.Local()
    local.value = "own"
    main = greenlet.getcurrent()

    def step() -> Any:
        local.value = "first"
        main.switch()
        return local.value

    inside = greenlet.greenlet(lambda: flow.Frame().run(step))
    inside.switch()
    second = greenlet.greenlet(lambda: flow.Frame().run(setattr, local, "value", "second"))
    message = r"^<.*>, which has the same owner as <.*>, is inside a frame: the two would "
    with pytest.raises(FrameBusyError, match=message) as caught:
        second.switch()
    assert caught.value.greenlet is inside
    assert inside.switch() == "first"
    assert local.value == "own"
    flow.Frame().run(setattr, local, "value", "later")
    assert local.value == "own"


def test_who_leaves_takes_away_nothing_but_its_own() -> None:
    travel = Travel()
    values, runner = Values(), (object(), None)
    mine, others = SwapByEquality(travel, "one"), SwapByEquality(travel, "one")
    others.runner = runner
    mine.enter(values, runner)
    assert travel.inside["one"] is mine
    travel.inside["one"] = others  # as a greenlet that works on, past the frame of its parent
    mine.leave()
    assert travel.inside == {"one": others}
    mine.enter(values, runner)
    travel.inside.clear()  # as in a forked process, where the others are gone
    mine.leave()
    assert travel.inside == {}


def test_the_first_value_inside_a_frame_is_the_frames(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local, stack = impl.Local(), impl.LocalStack()
    for holder in (local, stack):
        impl.release_local(holder)  # decides where they keep their values

    def step() -> None:
        local.value = 1
        stack.push(1)
        assert (local.value, stack.top) == (1, 1)

    flow.Frame().run(step)
    assert (hasattr(local, "value"), stack.top) == (False, None)


def test_a_greenlet_may_work_for_the_frame_of_its_parent(impl: ModuleType) -> None:
    import greenlet

    impl.ident.set_default(who)
    local = impl.Local()
    seen: list[str] = []

    def work() -> None:
        flow.Frame().run(setattr, local, "value", "the child's")
        seen.append(local.value)

    def step() -> None:
        local.value = "the parent's"
        greenlet.greenlet(work).switch()

    flow.Frame().run(step)
    assert seen == ["the parent's"]


@pytest.mark.parametrize("owner", ["known by equality", Mock()])
def test_a_greenlet_that_outlasts_the_frame_of_its_parent_leaves_nothing_of_it(
    impl: ModuleType, owner: Any
) -> None:
    import greenlet

    impl.ident.set_default(lambda: owner)
    local = impl.Local()
    local.value = "own"
    main = greenlet.getcurrent()

    def wait() -> str:
        local.value = "the child's"
        main.switch()
        return str(local.value)

    child = greenlet.greenlet(lambda: flow.Frame().run(wait))

    def step() -> None:
        local.value = "the parent's"
        child.switch()

    flow.Frame().run(step)
    assert child.switch() == "the child's"
    assert local.value == "own"


@pytest.mark.parametrize("owner", ["known by equality", Mock()])
def test_frames_of_greenlets_within_greenlets_may_end_in_any_order(
    impl: ModuleType, owner: Any
) -> None:
    import greenlet

    impl.ident.set_default(lambda: owner)
    local = impl.Local()
    local.value = "own"
    main = greenlet.getcurrent()
    second: list[greenlet.greenlet] = []

    def outlast() -> None:
        second.append(greenlet.greenlet(lambda: flow.Frame().run(wait)))
        second[0].switch()

    def wait() -> None:
        local.value = "the innermost's"
        main.switch()

    first = greenlet.greenlet(lambda: flow.Frame().run(outlast))
    flow.Frame().run(first.switch)
    first.switch()
    assert (first.dead, second[0].dead) == (True, False)
    assert local.value == "the innermost's"
    second[0].switch()
    assert local.value == "own"


FORK = """
    import os, threading
    import ctxlocal
    from ctxlocal import Local, flow

    chosen = threading.local()
    ctxlocal.ident.set_default(lambda: chosen.owner)
    local, at_home = Local(), Local(ident=lambda: chosen.owner)
    inside, end = threading.Event(), threading.Event()

    def run():
        chosen.owner = "theirs"
        local.value = at_home.value = 1
        def step():
            local.value = 2
            inside.set()
            end.wait()
        flow.Frame().run(step)

    thread = threading.Thread(target=run)
    thread.start()
    inside.wait()
    chosen.owner = "mine"
    local.value = at_home.value = 3
    pid = os.fork()
    if pid:
        end.set()
        thread.join()
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(dict(local), dict(at_home))
    chosen.owner = "theirs"
    flow.Frame().run(setattr, local, "value", 4)
    print(dict(local), dict(at_home), flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_keeps_what_the_forking_thread_wrote(
    run_python: Callable[..., str],
) -> None:
    assert run_python(FORK) == "{'value': 3} {'value': 3}\n{} {}\n"


class Watched(str):
    """An owner that lets something happen wherever it is looked up, in the midst of all things.

    So it does in one thread, each time, what a switch to another one might do there.
    """

    __slots__ = ()
    happening: Callable[[], object] | None = None

    def __hash__(self) -> int:
        happening, Watched.happening = Watched.happening, None
        if happening is not None:
            happening()
            Watched.happening = happening
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.fixture
def watched() -> Iterator[Watched]:
    yield Watched("one")
    Watched.happening = None


@pytest.mark.parametrize("holds_something", [False, True])
def test_no_write_is_lost_to_a_release_in_the_midst_of_which_it_comes(
    impl: ModuleType, watched: Watched, holds_something: bool
) -> None:
    strategy = impl.ident.CallableIdent(lambda: watched)
    local, other = impl.Local(ident=strategy), impl.Local(ident=strategy)
    stack = impl.LocalStack(ident=strategy)
    written: list[int | None] = [None]
    seen: list[int | None] = []

    def read_and_change() -> None:
        seen.append(getattr(local, "value", None))
        if written[-1] is None:
            local.value = len(written)
            written.append(len(written))
        else:
            impl.release_local(local)
            written.append(None)

    if holds_something:
        read_and_change()
    Watched.happening = read_and_change
    other.value = 1
    impl.release_local(other)
    stack.push(1)
    stack.pop()
    Watched.happening = None
    read_and_change()
    assert seen == written[:-1]
    assert len(seen) > 5


def test_no_write_is_lost_to_another_threads_release(
    impl: ModuleType, switching_often: None
) -> None:
    strategy = impl.ident.CallableIdent(who)
    local, other, stack = (
        impl.Local(ident=strategy),
        impl.Local(ident=strategy),
        impl.LocalStack(ident=strategy),
    )
    stop = threading.Event()

    def release() -> None:
        while not stop.is_set():
            stack.push(1)
            stack.pop()
            other.value = 1
            impl.release_local(other)

    thread = threading.Thread(target=release)
    thread.start()
    lost = 0
    for number in range(5000):
        local.value = number
        lost += getattr(local, "value", None) != number
        impl.release_local(local)
    stop.set()
    thread.join()
    assert lost == 0


@pytest.fixture
def switching_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("lookup", range(1, 7))
def test_two_threads_of_an_owner_are_never_inside_frames_at_once(
    impl: ModuleType, watched: Watched, lookup: int
) -> None:
    """The other thread comes at one of the lookups that entering and leaving a frame do."""
    local = impl.Local(ident=lambda: watched, carry=True)
    local.value = "own"
    inside: list[str] = []
    came: list[str] = []
    decided, leave = threading.Event(), threading.Event()
    until = itertools.count(1)

    def enter_in_thread() -> None:
        with suppress(FrameBusyError):
            flow.Frame().run(stay)
        decided.set()

    def stay() -> None:
        inside.append("another")
        came.append("another")
        local.value = "another's"
        decided.set()
        assert leave.wait(PATIENCE_S)
        inside.remove("another")

    def come() -> None:
        if next(until) == lookup:
            thread.start()
            assert decided.wait(PATIENCE_S)

    def step() -> None:
        inside.append("this")
        came.append("this")
        local.value = "the frame's"
        assert inside == ["this"]
        inside.remove("this")

    thread = threading.Thread(target=enter_in_thread)
    Watched.happening = come
    with suppress(FrameBusyError):
        flow.Frame().run(step)
    Watched.happening = None
    leave.set()
    thread.join()
    assert came  # a refusal of both would keep them apart too
    assert local.value == "own"


def test_a_proxy_as_identity_stands_for_its_target(impl: ModuleType) -> None:
    var: ContextVar[str] = ContextVar("var")
    user = impl.LocalProxy(var)
    local = impl.Local(ident=lambda: user)

    def write() -> None:
        var.set("ada")
        local.secret = "hers"

    def read() -> Any:
        var.set("bob")
        return getattr(local, "secret", None)

    Context().run(write)
    assert Context().run(read) is None


def test_an_error_of_the_function_reaches_a_read(impl: ModuleType) -> None:
    works = [True]

    def fails() -> str:
        if works:
            return "owner"
        raise KeyError("the function's own")

    local = impl.Local(ident=fails)
    local.value = 1
    works.clear()
    with pytest.raises(KeyError, match="the function's own"):
        getattr(local, "value", None)


def test_an_unhashable_owner_is_refused_at_a_read(impl: ModuleType) -> None:
    local = impl.Local(ident=lambda: [])
    message = re.escape("it returned [], which is neither weakly referenceable nor hashable")
    with pytest.raises(IdentCallableError, match=message):
        dict(local)


def test_bind_takes_any_callable(impl: ModuleType) -> None:
    mock = Mock(return_value=1)
    assert flow.bind(mock)() == 1


def test_special_names_stay_the_instances(impl: ModuleType) -> None:
    local, other = impl.Local(), impl.Local()
    setattr(local, "__len__", 3)  # noqa: B010
    setattr(local, "__getattribute__", 4)  # noqa: B010
    other.value = 1
    assert local
    assert other.value == 1
    assert dict(local) == {"__len__": 3, "__getattribute__": 4}


def test_scoped_that_fails_half_way_restores(impl: ModuleType, ident: Any) -> None:
    class Guarded(impl.Local):  # type: ignore[name-defined,misc]
        __slots__ = ("slot",)

        @property
        def fixed(self) -> int:
            return 1

    local = Guarded(ident=ident)
    with (
        pytest.raises(AttributeError),
        impl.scoped(local, secret=1, fixed=2),
    ):
        raise AssertionError
    assert not hasattr(local, "secret")
    local.slot = 1
    with impl.scoped(local, slot=2):
        assert local.slot == 2
    assert local.slot == 1


def test_a_subscripted_proxy_class_leaves_nothing_on_the_target(impl: ModuleType) -> None:
    class User:
        pass

    user = User()
    impl.LocalProxy[User](lambda: user)
    assert vars(user) == {}


def test_cleanup_goes_on_after_an_error(impl: ModuleType) -> None:
    class Failing:
        def __release_local__(self) -> None:
            raise RuntimeError("cannot")

    local = impl.Local()
    local.value = 1
    with pytest.raises(RuntimeError, match=r"^cannot$"):
        impl.LocalManager([Failing(), local]).cleanup()
    assert not hasattr(local, "value")


def test_a_scope_restores_nothing_under_another_default(impl: ModuleType) -> None:
    local = impl.Local()
    local.value = "before"
    with impl.scoped(local, value="inside"):
        impl.ident.set_default("thread", discard=True)
    assert not hasattr(local, "value")
