from __future__ import annotations

import copy
import gc
import pickle
import re
import threading
import weakref
from contextvars import ContextVar, copy_context
from types import ModuleType
from typing import Any

import pytest

from ctxlocal.errors import ScopeLostError, UnknownIdentError

from ..support.new_owner import in_new_owner

# Naming the strategy imports eventlet.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Eventlet is deprecated")


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


class Item:
    """Something that can be seen to die."""


def contents(stack: Any) -> list[Any]:
    """Empty a copy of the stack; the top comes first."""
    other = copy.copy(stack)
    found = []
    while other.top is not None:
        found.append(other.pop())
    return found


def test_objects_come_back_in_reverse_order(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    for number in (1, 2, 3):
        stack.push(number)
        assert stack.top == number
    assert [stack.pop(), stack.pop(), stack.pop()] == [3, 2, 1]
    assert stack.top is None


def test_empty_stack_gives_none(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    assert stack.top is None
    assert stack.pop() is None
    stack.push(1)
    stack.pop()
    assert stack.top is None
    assert stack.pop() is None
    stack.push(2)
    assert stack.top == 2


def test_push_returns_none(impl: ModuleType, ident: Any) -> None:
    assert impl.LocalStack(ident=ident).push(1) is None


def test_none_can_be_pushed_as_in_werkzeug(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push(1)
    stack.push(None)
    assert stack.top is None
    assert stack.pop() is None
    assert stack.pop() == 1


def test_top_cannot_be_set(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    with pytest.raises(AttributeError):
        stack.top = 1


def test_new_owner_sees_nothing_and_its_objects_stay_its_own(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push("here")

    def elsewhere() -> tuple[Any, Any, Any]:
        before = (stack.top, stack.pop())
        stack.push("there")
        return (*before, stack.top)

    assert in_new_owner(ident, elsewhere) == (None, None, "there")
    assert contents(stack) == ["here"]


def test_copied_context_has_a_snapshot(impl: ModuleType) -> None:
    stack = impl.LocalStack(ident="context")
    stack.push(1)
    child = copy_context()
    stack.push(2)
    assert child.run(lambda: stack.top) == 1
    child.run(stack.push, 3)
    assert child.run(stack.pop) == 3
    assert child.run(stack.pop) == 1
    assert contents(stack) == [2, 1]


def test_release_empties_the_stack_of_the_current_owner_alone(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push(1)
    stack.push(2)

    def elsewhere() -> Any:
        stack.push(3)
        impl.release_local(stack)
        return stack.top

    assert in_new_owner(ident, elsewhere) is None
    assert stack.top == 2
    impl.release_local(stack)
    assert stack.top is None
    impl.release_local(stack)
    stack.push(4)
    assert contents(stack) == [4]


def test_popped_object_is_no_longer_held(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push(1)
    stack.push(Item())
    reference = weakref.ref(stack.top)
    stack.pop()
    gc.collect()
    assert reference() is None


@pytest.mark.slow
def test_stack_is_usable_a_hundred_thousand_deep(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)

    def fill_and_empty() -> None:
        for number in range(100_000):
            stack.push(number)
        other = copy.copy(stack)
        assert other.top == 99_999
        assert [stack.pop() for _ in range(100_000)] == list(range(99_999, -1, -1))
        assert stack.top is None
        gc.collect()
        impl.release_local(other)

    fill_and_empty()
    in_new_owner(ident, fill_and_empty)


@pytest.mark.slow
def test_deep_stack_can_be_released_whole(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push(Item())
    reference = weakref.ref(stack.top)
    for number in range(100_000):
        stack.push(number)
    with stack.pushed("top"):
        pass
    impl.release_local(stack)
    gc.collect()
    assert stack.top is None
    assert reference() is None


@pytest.mark.slow
def test_deep_stack_dies_with_its_owner(impl: ModuleType, ident: Any) -> None:
    if callable(ident):
        pytest.skip("the owner of the fixture lives on")
    stack = impl.LocalStack(ident=ident)

    def fill() -> weakref.ref[Item]:
        item = Item()
        stack.push(item)
        for number in range(100_000):
            stack.push(number)
        return weakref.ref(item)

    reference = in_new_owner(ident, fill)
    gc.collect()
    assert reference() is None


def test_many_threads_push_at_once_and_stay_apart(impl: ModuleType) -> None:
    impl.ident.set_default("thread")
    stack = impl.LocalStack()
    barrier = threading.Barrier(8)
    seen: list[list[int]] = []

    def work(number: int) -> None:
        barrier.wait()
        for step in range(100):
            stack.push((number, step))
        seen.append([stack.pop() == (number, step) for step in range(99, -1, -1)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(all(row) for row in seen)
    assert stack.top is None


# pushed()


def test_pushed_object_is_on_top_for_the_length_of_the_block(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push("below")
    with stack.pushed("top") as found:
        assert found == "top"
        assert stack.top == "top"
        with stack.pushed("inner"):
            assert stack.top == "inner"
        assert stack.top == "top"
    assert contents(stack) == ["below"]


def test_pushed_on_an_empty_stack_leaves_it_empty(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    with stack.pushed(1):
        pass
    assert stack.top is None


def test_pushed_restores_after_an_error(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    with pytest.raises(KeyError, match="x"), stack.pushed(1):
        raise KeyError("x")
    assert stack.top is None


@pytest.mark.parametrize("inside", ["push", "pop", "pop twice", "release"])
def test_pushed_restores_whatever_the_block_did(impl: ModuleType, ident: Any, inside: str) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push("a")
    stack.push("b")
    with stack.pushed("c"):
        if inside == "push":
            stack.push("d")
        elif inside == "release":
            impl.release_local(stack)
        else:
            stack.pop()
            if inside == "pop twice":
                stack.pop()
    assert contents(stack) == ["b", "a"]


def test_a_pushed_block_that_ended_here_is_not_left_here_again(
    impl: ModuleType, ident: Any
) -> None:
    stack = impl.LocalStack(ident=ident)
    inner = stack.pushed("inner", strict=True)
    with stack.pushed("outer"):
        with inner:
            pass
        in_new_owner(ident, inner.__enter__)
        stack.push("here")
        with pytest.raises(impl.errors.ScopeLostError):
            inner.__exit__(None, None, None)
        assert stack.top == "here"
    assert stack.top is None


def test_pushed_restores_in_a_copied_context_its_own_copy(impl: ModuleType) -> None:
    stack = impl.LocalStack(ident="context")
    block = stack.pushed(1)
    block.__enter__()
    child = copy_context()
    child.run(block.__exit__, None, None, None)
    assert child.run(lambda: stack.top) is None
    assert stack.top == 1


def test_pushed_left_in_another_owner_restores_nothing_there(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    block = stack.pushed("here")
    block.__enter__()

    def elsewhere() -> list[Any]:
        stack.push("there")
        block.__exit__(None, None, None)
        return contents(stack)

    assert in_new_owner(ident, elsewhere) == ["there"]
    assert stack.top == "here"


def test_strict_pushed_left_in_another_owner_raises(impl: ModuleType) -> None:
    stack = impl.LocalStack(ident="context", name="frames")
    block = stack.pushed(1, strict=True)
    block.__enter__()
    text = (
        "A scope of LocalStack 'frames' was left in the Context of thread 'MainThread', where it "
        "is not (or no longer) entered. Nothing was restored there. Leave a scope in the owner "
        "that entered it, and nested scopes in reverse order."
    )
    with pytest.raises(ScopeLostError, match=exactly(text)) as caught:
        in_new_owner("context", lambda: block.__exit__(None, None, None))
    assert caught.value.target == "LocalStack 'frames'"
    assert caught.value.owner == "the Context of thread 'MainThread'"


def test_pushed_block_cannot_be_entered_twice_at_once(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident, name="frames")
    block = stack.pushed(1)
    text = (
        "This scope of LocalStack 'frames' is entered already. Make a new one for each with block."
    )
    with block:
        with pytest.raises(RuntimeError, match=exactly(text)), block:
            pass
        assert contents(stack) == [1]
    with block:
        assert contents(stack) == [1]
    assert stack.top is None


def test_none_cannot_be_pushed_for_a_block(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident, name="users")
    text = "LocalStack 'users'.pushed() takes any object but None, which an empty stack means."
    with pytest.raises(TypeError, match=exactly(text)):
        stack.pushed(None)


# Copies, references, names


def test_copy_is_another_stack_with_the_current_objects(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push(1)
    other = copy.copy(stack)
    assert type(other) is impl.LocalStack
    other.push(2)
    stack.pop()
    assert (stack.top, contents(other)) == (None, [2, 1])
    assert in_new_owner(ident, lambda: other.top) is None


def test_copy_keeps_the_name_and_has_its_own_address(impl: ModuleType, ident: Any) -> None:
    assert repr(copy.copy(impl.LocalStack(ident=ident, name="q"))) == "<LocalStack 'q'>"
    stack = impl.LocalStack(ident=ident)
    other = copy.copy(stack)
    assert repr(other) == f"<LocalStack at {id(other):#x}>"


def test_copy_of_an_empty_stack_is_empty(impl: ModuleType, ident: Any) -> None:
    other = copy.copy(impl.LocalStack(ident=ident))
    assert other.top is None
    other.push(1)
    assert other.top == 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused_and_says_why(impl: ModuleType, protocol: int) -> None:
    text = (
        "cannot pickle 'LocalStack' object: its objects belong to the owners of this process. "
        "copy.copy(stack) makes another stack. "
        "One that is a global of a module can be pickled, by reference."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        pickle.dumps(impl.LocalStack(), protocol)
    text = text.replace("'LocalStack' object", "LocalStack 'frames'")
    with pytest.raises(TypeError, match=exactly(text)):
        pickle.dumps(impl.LocalStack(name="frames"), protocol)


def test_weak_reference_dies_with_the_stack(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push(1)
    reference = weakref.ref(stack)
    assert reference() is stack
    del stack
    gc.collect()
    assert reference() is None


def test_repr_names_the_stack(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    assert repr(stack) == f"<LocalStack at {id(stack):#x}>"
    assert repr(impl.LocalStack(ident=ident, name="frames")) == "<LocalStack 'frames'>"


def test_stack_can_be_subscripted_and_subclassed(impl: ModuleType, ident: Any) -> None:
    class Frames(impl.LocalStack[int]):  # type: ignore[name-defined,misc]
        def depth_of_one(self) -> bool:
            return self.top is not None

    frames = Frames(ident=ident)
    frames.push(1)
    frames.note = "kept by the object"
    assert frames.depth_of_one()
    assert repr(frames) == f"<Frames at {id(frames):#x}>"


def test_calling_a_stack_makes_a_proxy_for_its_top(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    top = stack(unbound_message="nothing is pushed")
    imag = stack("imag")
    assert type(top) is type(imag) is impl.LocalProxy
    assert not top
    assert not imag
    with pytest.raises(impl.UnboundError, match=exactly("nothing is pushed")):
        top._get_current_object()
    stack.push(3 + 4j)
    assert (top, imag) == (3 + 4j, 4)


# A given ContextVar


def test_given_context_var_holds_a_plain_list(impl: ModuleType) -> None:
    var: ContextVar[list[int]] = ContextVar("given")
    stack = impl.LocalStack(var)
    assert stack.top is None
    assert stack.pop() is None
    stack.push(1)
    stack.push(2)
    assert type(var.get()) is list
    assert var.get() == [1, 2]
    assert stack.pop() == 2
    assert var.get() == [1]
    impl.release_local(stack)
    assert var.get() == []


def test_given_list_is_never_changed_in_place(impl: ModuleType) -> None:
    var: ContextVar[list[int]] = ContextVar("given")
    mine = [1, 2]
    var.set(mine)
    stack = impl.LocalStack(var)
    stack.push(3)
    assert (stack.pop(), stack.pop(), stack.pop()) == (3, 2, 1)
    with stack.pushed(4):
        assert var.get() == [4]
    assert mine == [1, 2]
    assert var.get() == []


def test_given_context_var_is_read_as_it_is_now(impl: ModuleType) -> None:
    var: ContextVar[list[int]] = ContextVar("given")
    stack = impl.LocalStack(var)
    stack.push(1)
    token = var.set([7, 8])
    assert stack.top == 8
    var.reset(token)
    assert stack.top == 1


def test_pushed_restores_a_given_list(impl: ModuleType) -> None:
    var: ContextVar[list[int]] = ContextVar("given")
    stack = impl.LocalStack(var)
    with stack.pushed(1):
        assert var.get() == [1]
    assert stack.top is None
    stack.push(2)
    with stack.pushed(3):
        stack.push(4)
    assert var.get() == [2]


def test_copy_of_a_stack_on_a_given_context_var_does_not_share_it(impl: ModuleType) -> None:
    var: ContextVar[list[int]] = ContextVar("given")
    stack = impl.LocalStack(var)
    stack.push(1)
    other = copy.copy(stack)
    other.push(2)
    assert var.get() == [1]
    assert [other.pop(), other.pop(), other.pop()] == [2, 1, None]


# Bad input


def test_context_var_and_ident_together_are_refused(impl: ModuleType, ident: Any) -> None:
    var: ContextVar[list[int]] = ContextVar("given")
    text = (
        "LocalStack 'frames' takes a ContextVar or an ident, not both: with a ContextVar the "
        "strategy is context."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        impl.LocalStack(var, ident=ident, name="frames")


def test_first_argument_that_is_no_context_var_is_refused(impl: ModuleType) -> None:
    text = (
        "The first argument of LocalStack 'frames' has to be a ContextVar, not [1]. "
        "An identity strategy is given by name: ident=..."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        impl.LocalStack([1], name="frames")


def test_unknown_strategy_is_refused(impl: ModuleType) -> None:
    with pytest.raises(UnknownIdentError, match=r"^ident is 'gevnt', which is no identity str"):
        impl.LocalStack(ident="gevnt")


def test_what_a_copied_context_pops_stays_where_it_was_copied_from(
    impl: ModuleType, ident: Any
) -> None:
    stack = impl.LocalStack(ident=ident)
    for each in "abcd":
        stack.push(each)
    copied = copy_context()
    if ident != "context":  # what stands on the objects is then a scope's memory
        with stack.pushed("e"):
            assert [stack.pop() for _ in range(4)] == ["e", "d", "c", "b"]
    else:
        copied.run(stack.push, "e")
        assert [copied.run(stack.pop) for _ in range(4)] == ["e", "d", "c", "b"]
    assert [stack.pop() for _ in range(5)] == ["d", "c", "b", "a", None]
