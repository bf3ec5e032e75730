"""A proxy that leads back to itself raises RecursionError, whatever is done with it.

Whatever way leads back: the proxy itself, another one, or something in C that hands on without
a Python frame, which no limit of Python's counts. The native twin looks at the machine stack, so
that it holds in small threads and at any recursion limit too.
"""

from __future__ import annotations

import copy
import functools
import math
import operator
import os
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import ident as ident_module

from ..support.twins import IMPLEMENTATIONS

Use = Callable[[Any], object]

needs_native = pytest.mark.skipif(
    "native" not in IMPLEMENTATIONS, reason="the native twin is not built"
)
native = IMPLEMENTATIONS.get("native", IMPLEMENTATIONS["pure"])

# What can be done with a proxy


def method(name: str, *args: object) -> Use:
    return lambda p: getattr(type(p), name)(p, *args)


BINARY = [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "lshift",
    "rshift",
    "and_",
    "xor",
    "or_",
    "pow",
]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
UNARY = ["neg", "pos", "abs", "invert", "index", "length_hint"]

USES: dict[str, Use] = {
    "get": lambda p: p.x,
    "set": lambda p: setattr(p, "x", 1),
    "delete": lambda p: delattr(p, "x"),
    "has": lambda p: hasattr(p, "x"),
    "class": lambda p: p.__class__,
    "doc": lambda p: p.__doc__,
    "wrapped": lambda p: p.__wrapped__,
    "vars": vars,
    "isinstance": lambda p: isinstance(p, int),
    "is a class": lambda p: isinstance(1, p),
    "is a base": lambda p: issubclass(int, p),
    "a base": lambda p: types.new_class("C", (p,)),
    "call": lambda p: p(),
    "call with arguments": lambda p: p(1, a=2),
    "__call__": method("__call__", 1),
    "getitem": lambda p: p[0],
    "setitem": lambda p: operator.setitem(p, 0, 1),
    "delitem": lambda p: operator.delitem(p, 0),
    "contains": lambda p: 1 in p,
    "unpack": lambda p: [*p],
    "__await__": method("__await__"),
    "__aiter__": method("__aiter__"),
    "__anext__": method("__anext__"),
    "__enter__": method("__enter__"),
    "__exit__": method("__exit__", None, None, None),
    "__aenter__": method("__aenter__"),
    "__aexit__": method("__aexit__", None, None, None),
    "__replace__": method("__replace__"),
    "divmod": lambda p: divmod(p, 2),
    "reflected divmod": lambda p: divmod(2, p),
    "pow of three": lambda p: pow(p, 2, 3),
    **{name: getattr(operator, name) for name in UNARY},
    **{f.__name__: f for f in (math.trunc, math.floor, math.ceil, os.fspath, format, round)},
    **{f.__name__: f for f in (repr, str, bool, dir, hash, len, iter, next, reversed)},
    **{f.__name__: f for f in (int, float, complex, bytes, copy.copy, copy.deepcopy, pickle.dumps)},
}
if sys.version_info >= (3, 12):  # before, an object of Python has no buffer
    USES["memoryview"] = memoryview
for each in BINARY + COMPARISONS:
    operate = getattr(operator, each)
    USES[each] = lambda p, operate=operate: operate(p, 1)  # type: ignore[misc]
    USES[f"reflected {each}"] = lambda p, operate=operate: operate(1, p)  # type: ignore[misc]
    USES[f"{each} of both"] = lambda p, operate=operate: operate(p, p)  # type: ignore[misc]
for each in BINARY:
    operate = getattr(operator, f"i{each.rstrip('_')}")
    USES[f"in-place {each}"] = lambda p, operate=operate: operate(p, 1)  # type: ignore[misc]

# Ways that lead back


@pytest.fixture(autouse=True)
def _forget_variables() -> Iterator[None]:
    """Leave no proxy of itself to the tests that follow in this Context."""
    before = set(copy_context())
    yield
    for var in set(copy_context()) - before:
        var.set(None)


def of_itself(impl: ModuleType) -> Any:
    var: ContextVar[Any] = ContextVar("var")
    p = impl.LocalProxy(var)
    var.set(p)
    return p


def of_each_other(impl: ModuleType) -> Any:
    one: ContextVar[Any] = ContextVar("one")
    other: ContextVar[Any] = ContextVar("other")
    first, second = impl.LocalProxy(one), impl.LocalProxy(other)
    one.set(second)
    other.set(first)
    return first


def in_its_local(impl: ModuleType) -> Any:
    local = impl.Local(ident="thread")
    local.x = local("x")
    return local.x


def on_its_stack(impl: ModuleType) -> Any:
    stack = impl.LocalStack()
    stack.push(stack())
    return stack.top


def from_its_function(impl: ModuleType) -> Any:
    p: Any = impl.LocalProxy(lambda: p)
    return p


def from_its_builtin(impl: ModuleType) -> Any:
    var: ContextVar[Any] = ContextVar("var")
    p = impl.LocalProxy(var.get)
    var.set(p)
    return p


def under_a_name(impl: ModuleType) -> Any:
    var: ContextVar[Any] = ContextVar("var")
    p = impl.LocalProxy(var, "x.y")
    var.set(p)
    return p


def of_a_subclass(impl: ModuleType) -> Any:
    class Own(impl.LocalProxy):  # type: ignore[misc, name-defined]
        own = 1

    var: ContextVar[Any] = ContextVar("var")
    p = Own(var)
    var.set(p)
    return p


WAYS = (
    *(of_itself, of_each_other, in_its_local, on_its_stack, from_its_function),
    *(from_its_builtin, under_a_name, of_a_subclass),
)


def outcome(use: Use, p: Any) -> str:
    """Return the name of what a use raises."""
    try:
        use(p)
    except RecursionError:
        return "RecursionError"
    except Exception as error:
        return type(error).__name__
    return "nothing"


def outcomes(p: Any) -> dict[str, str]:
    return {name: result for name, use in USES.items() if (result := outcome(use, p))}


@pytest.mark.parametrize("way", WAYS)
def test_a_proxy_that_leads_to_itself_raises_recursion_error_in_every_use(
    impl: ModuleType, way: Callable[[ModuleType], Any]
) -> None:
    found = outcomes(way(impl))
    if way is of_a_subclass:
        assert found.pop("has") in ("nothing", "RecursionError")
    assert {name: found[name] for name in found if found[name] != "RecursionError"} == {}


@pytest.mark.parametrize("way", WAYS)
def test_following_a_proxy_that_leads_to_itself_ends(
    impl: ModuleType, way: Callable[[ModuleType], Any]
) -> None:
    p = way(impl)
    with pytest.raises(RecursionError):
        impl.unwrap(p)
    assert outcome(impl.is_bound, p) == ("RecursionError" if way is under_a_name else "nothing")
    local = impl.Local(ident=lambda: p)
    with pytest.raises(RecursionError):
        local.x = 1


def test_unwrap_names_what_is_wrong(impl: ModuleType) -> None:
    with pytest.raises(
        RecursionError,
        match=f"^more than {sys.getrecursionlimit()} proxies lead to one another; one of them is "
        "its own target, or the target of its target\\.$",
    ):
        impl.unwrap(of_itself(impl))


@pytest.mark.parametrize("target", [int, list, dict, type, types.FunctionType])
def test_a_proxy_like_a_type_that_leads_to_itself_raises_recursion_error(
    impl: ModuleType, target: type
) -> None:
    local = impl.Local()
    local.x = p = impl.proxy(local, "x", like=target)
    found = outcomes(p)
    assert set(found.values()) <= {"RecursionError", "TypeError", "AttributeError", "nothing"}
    for name in ("get", "set", "repr", "eq", "class", "bool", "dir", "copy"):
        assert found[name] == "RecursionError"


# Ways through C code that hands on


class Behind:
    """Leads back by an attribute getter in C."""

    def __init__(self, p: Any) -> None:
        self.inner = p

    x = property(operator.attrgetter("inner.x"))


def chain(impl: ModuleType, length: int, last: object) -> Any:
    for _ in range(length):
        var: ContextVar[Any] = ContextVar("var")
        var.set(last)
        last = impl.LocalProxy(var)
    return last


def chain_of_resolvers(impl: ModuleType, length: int) -> Any:
    p = impl.LocalProxy(lambda: 5)
    for _ in range(length):
        p = impl.LocalProxy(p._get_current_object)
    return p


def use_all() -> None:
    """Use every proxy here in every way; all that matters is that the process lives."""
    impl = native
    for way in WAYS:
        found = outcomes(way(impl))
        assert sum(result == "RecursionError" for result in found.values()) >= len(USES) - 1
    for wrap, name in (
        (weakref.proxy, "get"),
        (functools.partial, "call"),
        (lambda p: types.MethodType(p, 1), "call"),
        (Behind, "get"),
        (types.MappingProxyType, "getitem"),
    ):
        var: ContextVar[Any] = ContextVar("var")
        var.set({})
        p = impl.LocalProxy(var)
        wrapped = wrap(p)
        var.set(wrapped)
        assert outcomes(p)[name] == "RecursionError"
    for last in (5, [1, 2], len):
        outcomes(chain(impl, 5_000, last))
    assert outcome(repr, chain(impl, 20, 5)) == "nothing"
    assert impl.unwrap(chain(impl, 500, 5)) == 5
    outcomes(chain_of_resolvers(impl, 500))


@pytest.mark.slow
@needs_native
def test_nothing_in_c_that_hands_on_crashes(impl: ModuleType) -> None:
    use_all()


@needs_native
@pytest.mark.parametrize("kib", [64, 256])
@pytest.mark.parametrize("limit", [1_000, 1_000_000])
def test_small_stacks_and_high_limits_crash_nothing(kib: int, limit: int) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            use_all()
        except BaseException as error:
            errors.append(error)

    former, size = sys.getrecursionlimit(), threading.stack_size(kib * 1024)
    sys.setrecursionlimit(limit)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(former)
        threading.stack_size(size)
    assert errors == []


@needs_native
def test_a_strategy_that_asks_its_own_local_raises_recursion_error() -> None:
    local: Any = native.Local(ident=lambda: local.owner)
    stack: Any = native.LocalStack(ident=lambda: stack.top)
    for use in (
        lambda: local.x,
        lambda: setattr(local, "x", 1),
        lambda: stack.push(1),
        stack.pop,
        lambda: stack.top,
        lambda: list(local),
    ):
        with pytest.raises(RecursionError):
            use()


@needs_native
def test_a_recursion_that_ends_leaves_everything_usable() -> None:
    p = of_itself(native)
    for _ in range(3):
        assert outcome(USES["get"], p) == "RecursionError"
    ident_module.set_default("thread")
    local = native.Local()
    local.x = 1
    assert native.LocalProxy(local, "x") + 1 == 2
