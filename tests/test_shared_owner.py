"""Owners that a callable names: several threads may have one, known by equality, in common."""

from __future__ import annotations

import re
import threading
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

from ctxlocal import flow
from ctxlocal.errors import FrameBusyError, IdentCallableError


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
    assert impl.ident.current() is identity


def test_an_identity_outlives_a_release(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local = impl.Local()
    identity = impl.ident.current()
    local.value = 1
    impl.release_local(local)
    assert impl.ident.current() is identity


def test_neither_a_snapshot_nor_a_frame_leaves_a_record(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    captured = flow.snapshot()
    assert impl.ident.get_default().find_record(who()) is None
    captured.run(who)
    flow.Frame().run(who)
    assert impl.ident.get_default().find_record(who()) is None


def test_a_second_thread_of_an_owner_is_refused_a_frame(impl: ModuleType) -> None:
    impl.ident.set_default(who)
    local = impl.Local()
    local.value = "own"
    entered, leave = threading.Event(), threading.Event()

    def step() -> None:
        local.value = "the frame's"
        entered.set()
        assert leave.wait(10)

    thread = threading.Thread(target=flow.Frame().run, args=(step,))
    thread.start()
    assert entered.wait(10)
    with pytest.raises(FrameBusyError, match=r"^Another thread, which has the same owner, "):
        flow.Frame().run(who)
    leave.set()
    thread.join()
    assert local.value == "own"


def test_no_write_is_lost_to_another_threads_release(impl: ModuleType) -> None:
    local, other = impl.Local(ident=who), impl.LocalStack(ident=who)
    local_of_other = impl.Local(ident=local._ctxlocal_slot.storage.ident)
    stop = threading.Event()

    def release() -> None:
        while not stop.is_set():
            other.push(1)
            other.pop()
            local_of_other.value = 1
            impl.release_local(local_of_other)

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
