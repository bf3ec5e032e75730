"""What is remembered of a value is right, and goes with the value."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import flow, scoped, trace
from ctxlocal import ident as ident_module
from ctxlocal.trace import Place, bindings


def line_above() -> int:
    """The line above the one that calls this."""
    return sys._getframe(1).f_lineno - 1


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function, name="worker")
    thread.start()
    thread.join()


def names() -> list[str | None]:
    return [binding.name for binding in bindings()]


@pytest.fixture
def local(traced: ModuleType, ident: Any) -> Any:
    return traced.Local(ident=ident, name="loc", carry=True)


@pytest.fixture
def stack(traced: ModuleType, ident: Any) -> Any:
    return traced.LocalStack(ident=ident, name="pile", carry=True)


def test_a_binding_says_who_holds_what_and_where_it_was_set(local: Any) -> None:
    local.user = "ada"
    at = line_above()
    (binding,) = bindings()
    assert (binding.local, binding.name, binding.type_name) == ("Local 'loc'", "user", "str")
    assert binding.place == Place(__file__, at)
    assert binding.owner == local._ctxlocal_slot.strategy().describe()


def test_a_value_that_is_set_anew_has_its_new_place(local: Any) -> None:
    local.user = "ada"
    local.user = 5
    at = line_above()
    (binding,) = bindings()
    assert (binding.type_name, binding.place.line) == ("int", at)


def test_what_was_deleted_or_released_is_not_bound(local: Any) -> None:
    local.user, local.cart, local.tenant = "ada", [], "shop"
    del local.user
    assert names() == ["cart", "tenant"]
    local.__release_local__()
    assert names() == []


def test_what_was_popped_or_released_is_not_bound(stack: Any) -> None:
    stack.push("one")
    stack.push(2)
    stack.push(None)
    stack.pop()
    assert [binding.type_name for binding in bindings()] == ["str", "int"]
    stack.pop()
    assert [binding.type_name for binding in bindings()] == ["str"]
    stack.__release_local__()
    stack.pop()
    assert bindings() == []


def test_a_scope_leaves_what_was_there(local: Any, stack: Any) -> None:
    local.user = "ada"
    stack.push("one")
    with scoped(local, user=1, cart=2), stack.pushed(3):
        stack.push(4)
        inside = {binding.type_name for binding in bindings()}
    assert inside == {"int", "str"}
    left = [(binding.local, binding.name, binding.type_name) for binding in bindings()]
    assert sorted(left, key=str) == [
        ("Local 'loc'", "user", "str"),
        ("LocalStack 'pile'", None, "str"),
    ]


def test_the_values_of_an_owner_that_ended_are_not_bound(traced: ModuleType) -> None:
    for ident in ("context", "thread", "greenlet", "task"):
        local, stack = traced.Local(ident=ident), traced.LocalStack(ident=ident)
        seen: list[int] = []

        def work(local: Any = local, stack: Any = stack, seen: list[int] = seen) -> None:
            local.user = "ada"
            stack.push(1)
            seen.append(len(bindings()))

        in_thread(work)
        gc.collect()
        assert (seen, bindings()) == ([2], [])


def test_a_local_that_was_dropped_is_not_listed(traced: ModuleType, ident: Any) -> None:
    local = traced.Local(ident=ident)
    local.user = "ada"
    del local
    gc.collect()
    assert bindings() == []


def test_a_binding_keeps_no_value_alive(local: Any) -> None:
    class Secret:
        def __repr__(self) -> str:
            return "the password"

    local.secret = Secret()
    reference = weakref.ref(local.secret)
    assert "the password" not in repr(bindings())
    kept = bindings()
    del local.secret
    gc.collect()
    assert (reference(), len(kept)) == (None, 1)


def test_who_looks_at_a_binding_keeps_it_in_no_list(local: Any) -> None:
    local.user = "ada"
    (binding,) = bindings()
    del local.user
    assert (bindings(), binding.name) == ([], "user")


def test_a_copied_context_has_bindings_of_its_own(traced: ModuleType) -> None:
    local = traced.Local(ident="context")
    local.user = "ada"
    context = copy_context()
    context.run(setattr, local, "user", 5)
    assert [binding.type_name for binding in bindings()] == ["str", "int"]
    del context
    gc.collect()
    assert [binding.type_name for binding in bindings()] == ["str"]


def test_a_snapshot_takes_the_bindings_along(local: Any) -> None:
    local.user = "ada"
    (binding,) = bindings()
    seen: list[Any] = []
    job = flow.bind(lambda: seen.append((bindings(), local._ctxlocal_slot)))
    in_thread(job)
    assert seen[0][0] == [binding]


def test_the_place_is_a_line_of_the_application(traced: ModuleType) -> None:
    local = traced.Local()
    with scoped(local, user=1):
        at = line_above()
        (binding,) = bindings()
    assert binding.place == Place(__file__, at)


def test_an_operation_in_place_is_a_set(local: Any, stack: Any) -> None:
    local.count = 1
    stack.push(1)
    count, top = local("count"), stack()
    count += 1
    top += 0.5
    at = line_above()
    assert [binding.place.line for binding in bindings()] == [at - 1, at]


def test_a_copy_has_what_the_original_has(local: Any, stack: Any) -> None:
    local.user = "ada"
    stack.push(1)
    other, pile = copy.copy(local), copy.copy(stack)
    local.__release_local__()
    stack.__release_local__()
    assert sorted(binding.type_name for binding in bindings()) == ["int", "str"]
    other.__release_local__()
    pile.__release_local__()
    assert bindings() == []


def test_what_a_data_descriptor_takes_is_no_value(traced: ModuleType) -> None:
    class Shop(traced.Local):  # type: ignore[name-defined, misc]
        @property
        def user(self) -> object:
            return None

        @user.setter
        def user(self, value: object) -> None:
            self.other = value

    Shop().user = 1
    shop = Shop()
    shop.user = 1
    assert names() == ["other"]


def test_what_init_sets_in_each_owner_is_traced(traced: ModuleType) -> None:
    class Shop(traced.Local, ident="thread"):  # type: ignore[name-defined, misc, call-arg]
        def __init__(self) -> None:
            self.cart: list[str] = []

    shop = Shop()
    seen: list[int] = []
    in_thread(lambda: seen.append(len(shop.cart) + len(bindings())))
    assert seen == [2]


def test_a_given_variable_is_traced(traced: ModuleType) -> None:
    stack = traced.LocalStack(ContextVar("objects"))
    local = traced.Local(ContextVar("values"))
    stack.push(1)
    local.user = "ada"
    assert [binding.type_name for binding in bindings()] == ["int", "str"]
    stack.pop()
    del local.user
    assert bindings() == []


def test_another_default_forgets(traced: ModuleType) -> None:
    local = traced.Local()
    local.user = "ada"
    ident_module.set_default("thread", discard=True)
    assert bindings() == []
    local.user = 5
    assert [binding.owner for binding in bindings()] == ["thread 'MainThread'"]


def test_many_owners_that_end_leave_nothing(traced: ModuleType) -> None:
    local = traced.Local(ident="greenlet")
    greenlet = pytest.importorskip("greenlet")
    for _ in range(100):
        greenlet.greenlet(lambda: setattr(local, "user", 1)).switch()
    gc.collect()
    assert bindings() == []


def test_disable_puts_everything_back(impl: ModuleType) -> None:
    classes = impl.Local, impl.LocalStack, threading.Thread
    originals = [dict(vars(cls)) for cls in classes]
    trace.begin(impl)
    local = impl.Local()
    local.user = 1
    trace.disable()
    assert [dict(vars(cls)) for cls in classes] == originals
    assert (trace.is_enabled(), bindings()) == (False, [])
    local.user = 2
    del local.user
    assert bindings() == []
