from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import datetime
import functools
import gc
import inspect
import math
import operator
import os
import pickle
import re
import subprocess
import sys
import unittest.mock
import weakref
from collections import namedtuple
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ctxlocal.errors import ResolverError, UnboundAttributeError, UnboundError
from ctxlocal.local.like import OPTIONAL
from tests.support.patience import PATIENCE_S

from .. import conftest
from ..support.new_owner import in_new_owner

# Naming the strategy imports eventlet.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Eventlet is deprecated")


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def bound_to(impl: ModuleType, value: object) -> Any:
    """A proxy for an attribute of a Local."""
    local = impl.Local()
    local.value = value
    return local("value")


def unbound(impl: ModuleType) -> Any:
    return impl.Local(name="nobody")("value")


class Plain:
    """A target with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


# The special methods

# The data model up to Python 3.14 (reference/datamodel.html), with what the standard library
# looks up in a class: copy, pickle, math, os, operator, dataclasses.
NAMES = (
    "new init del repr str bytes format lt le eq ne gt ge hash bool",
    "getattr getattribute setattr delattr dir get set delete set_name objclass slots weakref",
    "init_subclass mro_entries prepare instancecheck subclasscheck subclasshook class_getitem",
    "match_args call enter exit buffer release_buffer",
    "len length_hint getitem setitem delitem missing iter next reversed contains",
    "await aiter anext aenter aexit",
    "copy deepcopy replace reduce reduce_ex getnewargs getnewargs_ex getstate setstate sizeof",
    "neg pos abs invert complex int float index round trunc floor ceil divmod rdivmod fspath",
)
OPERATORS = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("lshift", "rshift", "and", "xor", "or"),
)
DATA_MODEL = [
    *(f"__{name}__" for line in NAMES for name in line.split()),
    *(f"__{prefix}{name}__" for name in OPERATORS for prefix in ("", "r", "i")),
]


def test_the_table_of_special_methods_is_of_the_data_model() -> None:
    assert set(DATA_MODEL) >= OPTIONAL


# Python reaches these through __getattribute__, which is the proxy's.
THROUGH_GETATTRIBUTE = {"__getattr__", "__reduce__"}


@pytest.mark.parametrize("name", DATA_MODEL)
def test_special_method_is_proxied_or_named_with_its_reason(impl: ModuleType, name: str) -> None:
    from ctxlocal.local.pure.proxy import __doc__ as documentation

    assert documentation is not None
    listed = re.findall(r"^``([^`]+)``", documentation, re.MULTILINE)  # its table's left side
    is_named = name in " ".join(listed).split()
    own = any(
        name in vars(cls)
        for cls in impl.LocalProxy.__mro__
        if cls.__module__ in ("ctxlocal", "ctxlocal.local")
    )
    if name in (
        *("__new__", "__init__", "__init_subclass__"),
        *("__slots__", "__weakref__", "__class_getitem__"),
    ):
        assert is_named
        return
    assert own or is_named or name in THROUGH_GETATTRIBUTE
    assert not (own and is_named)


def answer(name: str) -> Any:
    """What the special method ``name`` of a Recorder returns."""
    special: dict[str, Any] = {
        "__bytes__": b"bytes",
        "__str__": "str",
        "__format__": "format",
        "__repr__": "repr",
        "__complex__": 1j,
        "__float__": 1.5,
        "__index__": 5,
        "__int__": 5,
        "__hash__": 5,
        "__length_hint__": 5,
        "__len__": 5,
        "__bool__": False,
        "__contains__": True,
        "__instancecheck__": True,
        "__subclasscheck__": True,
        "__dir__": ["dir"],
        "__fspath__": "path",
        "__exit__": True,
        "__delitem__": None,
        "__setitem__": None,
    }
    return special.get(name, f"result of {name}")


class Recorder:
    """Defines the special methods, and notes the calls of them."""

    calls: list[tuple[Any, ...]]


def recorded(name: str) -> Callable[..., Any]:
    def method(self: Recorder, *args: Any) -> Any:
        self.calls.append((name, *args))
        return answer(name)

    return method


OPERATIONS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "__repr__": (repr, ()),
    "__str__": (str, ()),
    "__bytes__": (bytes, ()),
    "__format__": (lambda p: format(p, ">5"), (">5",)),
    "__hash__": (hash, ()),
    "__bool__": (bool, ()),
    "__dir__": (dir, ()),
    "__call__": (lambda p: p(1, 2), (1, 2)),
    "__len__": (len, ()),
    "__length_hint__": (operator.length_hint, ()),
    "__getitem__": (lambda p: p[1], (1,)),
    "__setitem__": (lambda p: operator.setitem(p, 1, 2), (1, 2)),
    "__delitem__": (lambda p: operator.delitem(p, 1), (1,)),
    "__contains__": (lambda p: 1 in p, (1,)),
    "__next__": (next, ()),
    "__reversed__": (reversed, ()),
    "__neg__": (operator.neg, ()),
    "__pos__": (operator.pos, ()),
    "__abs__": (abs, ()),
    "__invert__": (operator.invert, ()),
    "__complex__": (complex, ()),
    "__int__": (int, ()),
    "__float__": (float, ()),
    "__index__": (operator.index, ()),
    "__round__": (lambda p: round(p, 2), (2,)),
    "__trunc__": (math.trunc, ()),
    "__floor__": (math.floor, ()),
    "__ceil__": (math.ceil, ()),
    "__fspath__": (os.fspath, ()),
    "__divmod__": (lambda p: divmod(p, 7), (7,)),
    "__rdivmod__": (lambda p: divmod(7, p), (7,)),
    "__enter__": (lambda p: type(p).__enter__(p), ()),
    "__exit__": (lambda p: type(p).__exit__(p, None, None, None), (None, None, None)),
    "__await__": (lambda p: type(p).__await__(p), ()),
    "__aiter__": (lambda p: type(p).__aiter__(p), ()),
    "__anext__": (lambda p: type(p).__anext__(p), ()),
    "__aenter__": (lambda p: type(p).__aenter__(p), ()),
    "__aexit__": (lambda p: type(p).__aexit__(p, None, None, None), (None, None, None)),
    **{
        f"__{name}__": (lambda p, name=name: getattr(operator, name)(p, 7), (7,))  # type: ignore[misc]
        for name in ("lt", "le", "eq", "ne", "gt", "ge")
    },
    **{
        f"__{name}__": (lambda p, name=name: getattr(operator, f"__{name}__")(p, 7), (7,))  # type: ignore[misc]
        for name in OPERATORS
    },
    **{
        f"__r{name}__": (lambda p, name=name: getattr(operator, f"__{name}__")(7, p), (7,))  # type: ignore[misc]
        for name in OPERATORS
    },
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_special_method_reaches_the_target_with_its_arguments(impl: ModuleType, name: str) -> None:
    operation, arguments = OPERATIONS[name]
    target = type("Target", (Recorder,), {name: recorded(name)})()
    target.calls = []
    assert operation(bound_to(impl, target)) == answer(name)
    assert target.calls == [(name, *arguments)]


@pytest.mark.parametrize("name", OPERATORS)
def test_in_place_method_of_the_target_is_used(impl: ModuleType, name: str) -> None:
    class Target:
        log: list[Any] = []  # noqa: RUF012

    def method(self: Target, other: Any) -> Target:
        self.log.append(other)
        return self

    setattr(Target, f"__i{name}__", method)
    target = Target()
    p = bound_to(impl, target)
    assert getattr(operator, f"__i{name}__")(p, 7) is p
    assert target.log == [7]
    assert p._get_current_object() is target


@pytest.mark.parametrize("operation", [*OPERATIONS.values()], ids=[*OPERATIONS])
def test_special_method_without_a_counterpart_raises_what_the_target_raises(
    impl: ModuleType, operation: tuple[Callable[[Any], Any], Any]
) -> None:
    def outcome(obj: object) -> Any:
        try:
            result = operation[0](obj)
        except AttributeError:  # the tests call __enter__ and the like by name
            return "AttributeError"
        except Exception as error:
            return (type(error), str(error))
        return "a result" if result is not obj else "itself"

    target = Plain()
    assert outcome(bound_to(impl, target)) == outcome(target)


def test_iteration_indexing_and_containment(impl: ModuleType) -> None:
    p = bound_to(impl, [1, 2, 3])
    assert list(p) == [1, 2, 3]
    assert [*p] == [1, 2, 3]
    assert list(reversed(p)) == [3, 2, 1]
    assert p[1:] == [2, 3]
    assert 2 in p
    assert 7 not in p
    first, *rest = p
    assert (first, rest) == (1, [2, 3])


def test_sequence_without_iter_is_iterated_by_index(impl: ModuleType) -> None:
    class Old:
        def __getitem__(self, index: int) -> int:
            return [1, 2][index]

    p = bound_to(impl, Old())
    assert list(p) == [1, 2]
    assert 2 in p


def test_mapping_is_unpacked(impl: ModuleType) -> None:
    p = bound_to(impl, {"a": 1})
    assert {**p} == {"a": 1}
    assert dict(p) == {"a": 1}
    assert (lambda **given: given)(**p) == {"a": 1}
    assert p | {"b": 2} == {"a": 1, "b": 2}
    assert {"b": 2} | p == {"b": 2, "a": 1}


def test_missing_of_the_target_is_used(impl: ModuleType) -> None:
    class Default(dict[str, str]):
        def __missing__(self, key: str) -> str:
            return f"no {key}"

    assert bound_to(impl, Default())["x"] == "no x"


def test_numbers(impl: ModuleType) -> None:
    p = bound_to(impl, 3)
    assert (p + 1, 1 + p, p**2, 2**p, -p, abs(p), ~p) == (4, 4, 9, 8, -3, 3, -4)
    assert (pow(p, 2, 5), round(bound_to(impl, 2.5)), round(bound_to(impl, 2.25), 1)) == (4, 2, 2.2)
    assert [10, 11, 12, 13][p] == 13
    assert "ab" * p == "ababab"
    assert f"{p:>4}|{p!r}|{p}" == "   3|3|3"
    assert p == 3
    assert p != 4
    assert 2 < p < 4
    assert hash(p) == hash(3)
    assert {3: "three"}[p] == "three"


@pytest.mark.parametrize(
    "value", [5, 0, True, -1, b"ab", bytearray(b"ab"), [1, 2], range(3), "text", 2.5, None]
)
def test_bytes_are_what_they_are_of_the_target(impl: ModuleType, value: Any) -> None:
    def outcome(obj: Any) -> object:
        try:
            return bytes(obj)
        except Exception as error:
            return type(error), str(error)

    expected = outcome(value)
    assert outcome(bound_to(impl, value)) == expected


def test_power_with_a_modulus_asks_the_proxy_where_python_asks_any_class(impl: ModuleType) -> None:
    p, q, m = bound_to(impl, 7), bound_to(impl, 3), impl.LocalProxy(lambda: bound_to(impl, 5))
    assert [pow(p, 3, 5), pow(p, q, 5), pow(p, q, m), pow(p, 3, m)] == [3, 3, 3, 3]
    with pytest.raises(TypeError, match=r"'int', 'int', 'LocalProxy'$"):
        pow(7, 3, m)
    if sys.version_info >= (3, 14):  # asks the exponent's class too
        assert pow(7, q, 5) == 3
        return
    with pytest.raises(TypeError, match=r"'int', 'LocalProxy', 'int'$"):
        pow(7, q, 5)


def test_sequence_operators_of_a_subclass_are_those_of_a_python_class(impl: ModuleType) -> None:
    class Sub(impl.LocalProxy):  # type: ignore[name-defined,misc]
        pass

    local = impl.Local()
    iconcat: Any = operator.iconcat  # typeshed has no type for it
    for cls in (impl.LocalProxy, Sub):
        local.value = target = [1]
        p = cls(local, "value")
        assert operator.concat(p, [2]) == [1, 2]
        assert iconcat(p, [2]) is p
        assert target == [1, 2]
        with pytest.raises(TypeError, match=r"can't be concatenated$"):
            iconcat(p, 1)


def test_other_operand_is_unwrapped_when_it_is_a_proxy_too(impl: ModuleType) -> None:
    class Strict:
        """Refuses everything but its own kind."""

        def __add__(self, other: object) -> object:
            return "sum" if type(other) is Strict else NotImplemented

        __radd__ = __iadd__ = __pow__ = __divmod__ = __add__

        def __eq__(self, other: object) -> bool:
            return type(other) is Strict

        def __lt__(self, other: object) -> object:
            return True if type(other) is Strict else NotImplemented

        __hash__ = None  # type: ignore[assignment]

    p, q = bound_to(impl, Strict()), bound_to(impl, Strict())
    assert p + q == "sum"
    assert Strict() + q == "sum"
    assert p + Strict() == "sum"
    assert p**q == "sum"
    assert divmod(p, q) == "sum"
    assert p == q
    assert p < q
    assert pow(bound_to(impl, 2), bound_to(impl, 3), bound_to(impl, 5)) == 3


def test_proxied_operand_is_unwrapped_through_a_proxy_of_a_proxy(impl: ModuleType) -> None:
    inner = bound_to(impl, 3)
    outer = impl.LocalProxy(lambda: inner)
    assert [1, 2].__add__([3]) == operator.add([1, 2], bound_to(impl, [3]))
    assert bound_to(impl, 2) + outer == 5
    assert outer + inner == 6
    assert bound_to(impl, [1]) + impl.LocalProxy(lambda: bound_to(impl, [2])) == [1, 2]


def test_unsupported_operands_are_named_by_the_targets_types(impl: ModuleType) -> None:
    with pytest.raises(
        TypeError, match=exactly("unsupported operand type(s) for +: 'int' and 'NoneType'")
    ):
        bound_to(impl, 3) + None


def test_class_as_target(impl: ModuleType) -> None:
    p = bound_to(impl, int)
    assert p("5") == 5
    assert isinstance(5, p)
    assert issubclass(bool, p)

    class Sub(p):  # type: ignore[misc,valid-type]
        pass

    assert Sub.__bases__ == (int,)


def test_generic_class_as_target_is_subscripted(impl: ModuleType) -> None:
    assert bound_to(impl, list)[int] == list[int]


def test_call_passes_any_keyword(impl: ModuleType) -> None:
    p = bound_to(impl, lambda *args, **kwargs: (args, kwargs))
    assert p(1, self=2, name=3) == ((1,), {"self": 2, "name": 3})


def test_context_manager_is_entered_and_left_once(impl: ModuleType) -> None:
    log: list[object] = []

    class Manager:
        def __enter__(self) -> str:
            log.append("in")
            return "value"

        def __exit__(self, *details: object) -> bool:
            log.append(details[0])
            return True

    with bound_to(impl, Manager()) as value:
        assert value == "value"
        raise KeyError
    assert log == ["in", KeyError]


def test_exit_stacks_enter_a_proxy(impl: ModuleType) -> None:
    class Manager:
        def __enter__(self) -> str:
            return "entered"

        def __exit__(self, *details: object) -> bool:
            return details[0] is KeyError

        async def __aenter__(self) -> str:
            return "awaited"

        async def __aexit__(self, *details: object) -> bool:
            return details[0] is KeyError

    async def enter(p: Any) -> None:
        async with contextlib.AsyncExitStack() as stack:
            assert stack.enter_context(p) == "entered"
            assert await stack.enter_async_context(p) == "awaited"
            raise KeyError

    # Since Python 3.15 they find special methods without __getattribute__.
    asyncio.run(enter(bound_to(impl, Manager())))
    asyncio.run(enter(impl.proxy(Manager, like=Manager)))


def test_async_protocols_work_through_a_proxy(impl: ModuleType) -> None:
    class Steps:
        left = 2

        def __aiter__(self) -> Steps:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

        async def __aenter__(self) -> str:
            return "entered"

        async def __aexit__(self, *details: object) -> bool:
            return details[0] is KeyError

    async def give() -> int:
        return 5

    async def main() -> tuple[Any, ...]:
        local = impl.Local()
        local.job = give()
        local.steps = local.manager = Steps()
        awaited = await local("job")
        seen = [step async for step in local("steps")]
        async with local("manager") as entered:
            raise KeyError
        return awaited, seen, entered

    assert asyncio.run(main()) == (5, [1, 0], "entered")


def test_with_block_leaves_what_it_entered_when_the_target_changes(impl: ModuleType) -> None:
    """As with any proxy: both are looked up in the class, each at its time."""
    stack = impl.LocalStack()
    stack.push(unittest.mock.MagicMock())
    outer = stack.top
    with stack():
        pass
    outer.__enter__.assert_called_once_with()
    outer.__exit__.assert_called_once_with(None, None, None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the buffer protocol (PEP 688) is of 3.12")
def test_buffer_of_the_target_is_read_and_written(impl: ModuleType) -> None:
    data = bytearray(b"abc")
    p = bound_to(impl, data)
    with memoryview(p) as view:
        view[0] = ord("x")
        assert view.tobytes() == b"xbc"
    assert data == b"xbc"
    data.append(1)  # the buffer is released
    with pytest.raises(TypeError):
        memoryview(bound_to(impl, 3))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is of 3.13")
def test_copy_replace_works_on_the_target(impl: ModuleType) -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int

    replace = copy.replace  # type: ignore[attr-defined,unused-ignore]
    assert replace(bound_to(impl, Point(1, 2)), y=3) == Point(1, 3)
    Pair = namedtuple("Pair", "a b")
    assert replace(bound_to(impl, Pair(1, 2)), b=3) == Pair(1, 3)


def test_replace_is_a_method_of_the_proxys_own_type(impl: ModuleType) -> None:
    class Version:
        def __replace__(self, /, **changes: int) -> dict[str, int]:
            return changes

    p = bound_to(impl, Version())
    assert type(p).__replace__(p, x=1) == {"x": 1}


# Attributes


def test_attributes_are_the_targets(impl: ModuleType) -> None:
    target = Plain(user="ann")
    p = bound_to(impl, target)
    assert p.user == "ann"
    p.user = "bob"
    assert target.user == "bob"  # type: ignore[attr-defined]
    del p.user
    assert not hasattr(target, "user")
    assert not hasattr(p, "user")
    assert getattr(p, "user", "default") == "default"
    assert vars(p) is vars(target)


@pytest.mark.parametrize(
    "name", ["__class__", "__dict__", "__doc__", "__module__", "__hash__", "__init__", "__repr__"]
)
def test_special_attributes_are_the_targets(impl: ModuleType, name: str) -> None:
    target = Plain()
    assert getattr(bound_to(impl, target), name) == getattr(target, name)


def test_error_of_a_missing_attribute_is_the_targets(impl: ModuleType) -> None:
    with pytest.raises(AttributeError, match=exactly("'Plain' object has no attribute 'user'")):
        _ = bound_to(impl, Plain()).user


def test_function_as_target_has_its_name_and_signature(impl: ModuleType) -> None:
    def view(a: int, *, b: str = "x") -> None:
        """Document."""

    p = bound_to(impl, view)
    assert (p.__name__, p.__doc__, p.__module__) == ("view", "Document.", __name__)
    assert inspect.signature(p) == inspect.signature(view)
    assert functools.wraps(p)(lambda: None).__name__ == "view"


@pytest.mark.parametrize("source", ["def target(a: Missing): ...", "class target: a: Missing"])
def test_deferred_annotations_of_the_target_are_found_in_each_format(
    impl: ModuleType, source: str
) -> None:
    annotationlib: Any = pytest.importorskip("annotationlib", reason="it is of Python 3.14")
    names: dict[str, Any] = {}
    exec(compile(source, "deferred", "exec", dont_inherit=True), names)
    p, forms = bound_to(impl, names["target"]), annotationlib.Format
    assert annotationlib.get_annotations(p, format=forms.STRING) == {"a": "Missing"}
    found = annotationlib.get_annotations(p, format=forms.FORWARDREF)
    assert found["a"].__forward_arg__ == "Missing"
    with pytest.raises(NameError):
        _ = p.__annotations__
    names["Missing"] = int
    assert p.__annotations__ == {"a": int}


def test_bound_method_keeps_the_object_of_its_moment(impl: ModuleType) -> None:
    local = impl.Local()
    local.items = first = [1]
    append = local("items").append
    assert append.__self__ is first
    local.items = [2]
    append(5)
    assert first == [1, 5]
    assert local.items == [2]


def test_class_of_a_proxy_is_the_targets_and_its_type_is_not(impl: ModuleType) -> None:
    p = bound_to(impl, 3)
    assert isinstance(p, int)
    assert not isinstance(p, str)
    assert p.__class__ is int
    assert type(p) is impl.LocalProxy


def test_class_patterns_and_value_patterns_match(impl: ModuleType) -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int

    match bound_to(impl, Point(1, 2)):
        case Point(1, y=found):
            assert found == 2
        case _:
            pytest.fail("no match")
    match bound_to(impl, "yes"):
        case "no" | 5:
            pytest.fail("wrong match")
        case str():
            pass
        case _:
            pytest.fail("no match")


def test_singledispatch_follows_the_target(impl: ModuleType) -> None:
    @functools.singledispatch
    def kind(obj: object) -> str:
        return "object"

    kind.register(int)(lambda obj: "int")
    assert kind(bound_to(impl, 3)) == "int"
    assert kind(bound_to(impl, "x")) == "object"


# Sources


def test_proxy_of_a_local_finds_the_owners_value(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    p = impl.LocalProxy(local, "user")
    local.user = "ann"

    def elsewhere() -> list[Any]:
        before = bool(p)
        local.user = "bob"
        return [before, str(p)]

    assert in_new_owner(ident, elsewhere) == [False, "bob"]
    assert p == "ann"
    local.user = "ann the second"
    assert p == "ann the second"
    del local.user
    assert not impl.is_bound(p)


def test_proxy_of_a_local_follows_dots(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    p = impl.LocalProxy(local, "request.user.name")
    assert not p
    local.request = Plain(user=Plain(name="ann"))
    assert p == "ann"
    del local.request.user.name
    assert repr(p) == "<LocalProxy unbound>"


def test_proxy_of_a_local_finds_class_attributes_and_those_of_init(
    impl: ModuleType, ident: Any
) -> None:
    class Conn(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        port = 80

        def __init__(self) -> None:
            self.host = "host"

    conn = Conn()
    host, port = conn("host"), conn("port")
    assert in_new_owner(ident, lambda: (str(host), int(port))) == ("host", 80)


def test_proxy_of_a_stack_finds_the_top(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    top, user = impl.LocalProxy(stack), impl.LocalProxy(stack, "user.name")
    stack.push(Plain(user=Plain(name="ann")))
    assert isinstance(top, Plain)
    assert user == "ann"
    with stack.pushed(Plain(user=Plain(name="bob"))):
        assert user == "bob"
    assert user == "ann"
    assert in_new_owner(ident, lambda: (bool(top), bool(user))) == (False, False)


def test_proxy_of_a_stack_asks_a_subclass_for_its_top(impl: ModuleType, ident: Any) -> None:
    class Hidden(impl.LocalStack):  # type: ignore[misc, name-defined]
        top = None

    class Upper(impl.LocalStack):  # type: ignore[misc, name-defined]
        @property
        def top(self) -> Any:
            return super().top and super().top.upper()

    hidden, upper = Hidden(ident=ident), Upper(ident=ident)
    hidden.push("below")
    upper.push("bob")
    assert not impl.is_bound(hidden())
    with pytest.raises(impl.UnboundError):
        len(hidden())
    assert upper() == "BOB"
    upper.pop()
    assert not impl.is_bound(upper())


def test_none_on_top_of_a_stack_is_no_object(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push("below")
    stack.push(None)
    assert not impl.is_bound(stack())


def test_proxy_of_a_context_var_finds_its_value(impl: ModuleType) -> None:
    var: ContextVar[Any] = ContextVar("request")
    p, user = impl.LocalProxy(var), impl.LocalProxy(var, "user")
    assert not p
    assert not user
    var.set(Plain(user="ann"))
    assert p.user == "ann"
    assert user == "ann"
    with_default: ContextVar[int] = ContextVar("with_default", default=5)
    assert impl.LocalProxy(with_default) == 5


def test_proxy_of_a_callable_calls_it_at_each_use(impl: ModuleType) -> None:
    values = iter([1, 2, Plain(user="ann")])
    p = impl.LocalProxy(lambda: next(values))
    assert p == 1
    assert p == 2
    assert p.user == "ann"
    assert impl.LocalProxy(lambda: Plain(user=Plain(name="bob")), "user.name") == "bob"


def test_bound_none_zero_and_empty_are_bound(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    values: tuple[object, ...] = (None, 0, "", [])
    for value in values:
        local.value = value
        p = local("value")
        assert impl.is_bound(p)
        assert not p
        assert repr(p) == repr(value)
        assert p._get_current_object() is value


def test_proxy_of_a_proxy_reaches_the_innermost_object(impl: ModuleType) -> None:
    target: Any = Plain(user="ann")
    inner = bound_to(impl, target)
    outer = impl.LocalProxy(lambda: inner)
    assert isinstance(outer, Plain)
    assert vars(outer) == {"user": "ann"}
    assert impl.unwrap(outer) is target
    setattr(outer, "user", "bob")  # noqa: B010  # mypy takes it for a Plain
    assert target.user == "bob"
    assert impl.LocalProxy(lambda: inner, "user") == "bob"


def test_proxy_of_an_unbound_proxy_is_unbound(impl: ModuleType) -> None:
    outer = impl.LocalProxy(functools.partial(impl.unwrap, unbound(impl)))
    attribute = impl.LocalProxy(lambda: unbound(impl).user)
    assert not outer
    assert not attribute
    assert not hasattr(outer, "user")
    assert not hasattr(attribute, "user")
    assert repr(attribute) == "<LocalProxy unbound>"
    assert not impl.is_bound(attribute)


# Unbound


def test_unbound_proxy_is_falsy_has_an_empty_dir_and_says_so(impl: ModuleType, ident: Any) -> None:
    for p in (impl.Local(ident=ident)("x"), impl.LocalStack(ident=ident)()):
        assert not p
        assert dir(p) == []
        assert repr(p) == "<LocalProxy unbound>"
        assert p.__class__ is impl.LocalProxy
        assert isinstance(p, impl.LocalProxy)
        assert p.__doc__ == impl.LocalProxy.__doc__
        assert not impl.is_bound(p)


def owner_and_strategy(ident: Any) -> tuple[str, str]:
    if ident == "context":
        return "the Context of thread 'MainThread'", "context"
    if callable(ident):
        return repr(conftest.THE_OWNER), ident.__qualname__
    return "thread 'MainThread'", ident


def test_unbound_local_is_named_with_strategy_owner_and_remedy(
    impl: ModuleType, ident: Any
) -> None:
    p = impl.Local(ident=ident, name="web")("user")
    owner, strategy = owner_and_strategy(ident)
    text = (
        f"LocalProxy 'user' of Local 'web' is not bound in {owner} (identity strategy "
        f"{strategy!r}). Set its attribute 'user' there first, or carry it there with "
        "ctxlocal.flow.bind()."
    )
    with pytest.raises(UnboundError, match=exactly(text)) as caught:
        p._get_current_object()
    assert type(caught.value) is UnboundError
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.proxy == "LocalProxy 'user' of Local 'web'"
    assert (caught.value.ident, caught.value.owner) == (strategy, owner)


def test_unbound_attribute_error_has_the_same_text_and_the_attributes_name(
    impl: ModuleType, ident: Any
) -> None:
    p = impl.LocalStack(ident=ident, name="frames")()
    owner, strategy = owner_and_strategy(ident)
    text = (
        f"LocalProxy of LocalStack 'frames' is not bound in {owner} (identity strategy "
        f"{strategy!r}). Push an object on it there first, or carry it there with "
        "ctxlocal.flow.bind()."
    )
    for use in (
        lambda: p.user,
        lambda: setattr(p, "user", 1),
        lambda: delattr(p, "user"),
    ):
        with pytest.raises(UnboundAttributeError, match=exactly(text)) as caught:
            use()
        assert isinstance(caught.value, AttributeError)
        assert isinstance(caught.value, RuntimeError)
        assert caught.value.name == "user"
        assert caught.value.proxy == "LocalProxy of LocalStack 'frames'"
        assert (caught.value.ident, caught.value.owner) == (strategy, owner)


def test_unbound_named_attribute_of_a_stack_is_named(impl: ModuleType) -> None:
    stack = impl.LocalStack(ident="thread", name="frames")
    p = stack("user")
    text = (
        "LocalProxy 'user' of LocalStack 'frames' is not bound in thread 'MainThread' (identity "
        "strategy 'thread'). Push an object on it there first, or carry it there with "
        "ctxlocal.flow.bind()."
    )
    with pytest.raises(UnboundError, match=exactly(text)):
        p._get_current_object()
    stack.push(Plain())
    text = (
        "LocalProxy 'user' is not bound: the 'Plain' object it leads to has no attribute 'user'. "
        "Set it there first."
    )
    with pytest.raises(UnboundError, match=exactly(text)) as caught:
        p._get_current_object()
    assert isinstance(caught.value.__cause__, AttributeError)
    stack.push(impl.Local(name="app"))
    with pytest.raises(UnboundError, match=exactly(text.replace("'Plain' object", "Local 'app'"))):
        p._get_current_object()


def test_unbound_context_var_is_named(impl: ModuleType) -> None:
    var: ContextVar[int] = ContextVar("request")
    text = (
        "LocalProxy of ContextVar 'request' is not bound in the Context of thread 'MainThread' "
        "(identity strategy 'context'). Set it there first, or carry it there with "
        "ctxlocal.flow.bind()."
    )
    with pytest.raises(UnboundError, match=exactly(text)):
        impl.LocalProxy(var)._get_current_object()


def test_unbound_in_a_task_names_the_task(impl: ModuleType) -> None:
    async def main() -> str:
        with pytest.raises(UnboundError) as caught:
            impl.Local(ident="task", name="web")("user")()
        return str(caught.value)

    async def named() -> str:
        return await asyncio.create_task(main(), name="job 7")

    assert asyncio.run(named()) == (
        "LocalProxy 'user' of Local 'web' is not bound in task 'job 7' (identity strategy "
        "'task'). Set its attribute 'user' there first, or carry it there with "
        "ctxlocal.flow.bind()."
    )


def test_strategy_of_an_undecided_default_is_named_without_deciding_it(impl: ModuleType) -> None:
    p = impl.Local(name="web")("user")
    with pytest.raises(UnboundError, match=r"\(identity strategy 'context'\)"):
        p._get_current_object()
    impl.ident.set_default("thread")
    with pytest.raises(UnboundError, match=r"\(identity strategy 'thread'\)"):
        p._get_current_object()


@pytest.mark.parametrize("kind", ["local", "dotted", "stack", "stack name", "var", "var name"])
def test_unbound_message_takes_the_place_of_the_text(impl: ModuleType, kind: str) -> None:
    var: ContextVar[Any] = ContextVar("var")
    source, name = {
        "local": (impl.Local(), "user"),
        "dotted": (impl.Local(), "user.name"),
        "stack": (impl.LocalStack(), None),
        "stack name": (impl.LocalStack(), "user"),
        "var": (var, None),
        "var name": (var, "user"),
    }[kind]
    p = impl.LocalProxy(source, name, unbound_message="Working outside of a request.")
    with pytest.raises(UnboundError, match=exactly("Working outside of a request.")):
        p._get_current_object()
    with pytest.raises(UnboundAttributeError, match=exactly("Working outside of a request.")):
        _ = p.user


@pytest.mark.parametrize("kind", ["stack", "var"])
def test_unbound_message_serves_where_the_object_lacks_the_named_attribute(
    impl: ModuleType, kind: str
) -> None:
    var: ContextVar[Any] = ContextVar("var")
    stack = impl.LocalStack()
    stack.push(Plain())
    var.set(Plain())
    p = impl.LocalProxy(
        stack if kind == "stack" else var, "user", unbound_message="Nobody is logged in."
    )
    with pytest.raises(UnboundError, match=exactly("Nobody is logged in.")):
        p._get_current_object()


def test_hasattr_and_getattr_with_a_default_work_unbound(impl: ModuleType, ident: Any) -> None:
    """docs/evidence.md, 12."""
    p = impl.Local(ident=ident)("user")
    assert not hasattr(p, "name")
    assert getattr(p, "name", "nobody") == "nobody"


@pytest.mark.parametrize(
    "use",
    [
        *(use for name, (use, _) in OPERATIONS.items() if name not in ("__eq__", "__ne__")),
        iter,
        lambda p: [*p],
        lambda p: p(),
        lambda p: p < 1,
        lambda p: getattr(operator, "iadd")(p, 1),  # noqa: B009  # typeshed has no type for it
        lambda p: p._get_current_object(),
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
    ],
)
def test_unbound_use_raises_the_plain_error(impl: ModuleType, use: Callable[[Any], Any]) -> None:
    if use in (repr, bool, dir):
        pytest.skip("has an answer unbound")
    with pytest.raises(UnboundError) as caught:
        use(unbound(impl))
    assert type(caught.value) is UnboundError


@pytest.mark.parametrize(
    "use",
    [
        *(
            operator.add,
            operator.iadd,
            operator.lt,
            operator.getitem,
            operator.delitem,
            divmod,
            pow,
        ),
        operator.contains,
        operator.matmul,
    ],
)
def test_left_operand_is_looked_for_first(
    impl: ModuleType, use: Callable[[Any, Any], object]
) -> None:
    left, right = (impl.LocalProxy(ContextVar(name)) for name in ("left", "right"))
    with pytest.raises(UnboundError, match="'left'"):
        use(left, right)


def test_unbound_proxy_equals_itself_alone(impl: ModuleType, ident: Any) -> None:
    p, q = unbound(impl), impl.Local(ident=ident)("other")
    bound = bound_to(impl, 3)
    assert (operator.eq(p, p), operator.ne(p, p)) == (True, False)
    for other in (q, bound, 3, None, object()):
        assert (p == other, other == p, p != other, other != p) == (False, False, True, True)
    assert p in [q, p]
    assert q not in [p, bound, 3]


def test_equality_is_no_answer_where_the_resolver_fails(impl: ModuleType) -> None:
    p = impl.LocalProxy(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        _ = p == 1
    with pytest.raises(ZeroDivisionError):
        _ = bound_to(impl, 1) != p


def test_plain_runtime_error_of_a_resolver_means_unbound(impl: ModuleType) -> None:
    def resolve() -> None:
        raise RuntimeError("outside")

    p = impl.LocalProxy(resolve)
    assert not p
    assert dir(p) == []
    assert repr(p) == "<LocalProxy unbound>"
    assert not impl.is_bound(p)
    with pytest.raises(RuntimeError, match=exactly("outside")) as caught:
        p()
    assert type(caught.value) is RuntimeError


@pytest.mark.parametrize("error", [NotImplementedError, RecursionError, ValueError, LookupError])
def test_other_error_of_a_resolver_is_never_taken_for_unbound(
    impl: ModuleType, error: type[Exception]
) -> None:
    def resolve() -> None:
        raise error("broken")

    p = impl.LocalProxy(resolve)
    uses: list[Callable[[Any], object]] = [bool, repr, dir, impl.is_bound, hash]
    uses += [lambda p: p.x, lambda p: p.__class__, lambda p: p == 1, lambda p: p != 1]
    for use in uses:
        with pytest.raises(error, match=exactly("broken")):
            use(p)


def test_attribute_error_of_a_stacks_top_is_raised_as_it_is(impl: ModuleType) -> None:
    class Stack(impl.LocalStack):  # type: ignore[name-defined, misc]
        @property
        def top(self) -> object:
            raise AttributeError("no top")

    p = impl.LocalProxy(Stack())
    for use in (lambda: p.x, lambda: setattr(p, "x", 1), lambda: repr(p)):
        with pytest.raises(AttributeError, match=exactly("no top")):
            use()


def test_a_class_made_of_a_proxy_has_the_bases_that_its_target_stands_for(
    impl: ModuleType,
) -> None:
    class Base:
        pass

    class Alias:
        def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
            assert bases == (p,)
            return (Base,)

    p: Any = bound_to(impl, Alias())

    class OfAlias(p):  # type: ignore[misc]
        pass

    assert OfAlias.__bases__ == (Base,)


def test_a_proxy_that_leads_to_itself_has_no_target(impl: ModuleType) -> None:
    p: Any = impl.LocalProxy(lambda: p)
    message = (
        f"more than {sys.getrecursionlimit()} proxies lead to one another; one of them is its own "
        "target, or the target of its target."
    )
    local = impl.Local(ident=lambda: p)
    for use in (lambda: impl.unwrap(p), lambda: setattr(local, "x", 1)):
        with pytest.raises(RecursionError, match=exactly(message)):
            use()


def test_attribute_error_of_a_resolver_is_never_a_missing_attribute(impl: ModuleType) -> None:
    def resolve() -> Any:
        return Plain().missing  # type: ignore[attr-defined]

    p = impl.LocalProxy(resolve)
    text = (
        f"{resolve!r}, which finds the object behind a proxy, raised AttributeError itself; see "
        "the cause."
    )
    for use in (
        lambda: p.user,
        lambda: hasattr(p, "user"),
        lambda: getattr(p, "user", None),
        lambda: bool(p),
        lambda: repr(p),
        p._get_current_object,
    ):
        with pytest.raises(ResolverError, match=exactly(text)) as caught:
            use()
        assert isinstance(caught.value, RuntimeError)
        assert not isinstance(caught.value, AttributeError)
        assert isinstance(caught.value.__cause__, AttributeError)
        assert caught.value.resolver is resolve


def test_runtime_error_of_the_target_is_not_taken_for_unbound(impl: ModuleType) -> None:
    class Angry:
        def __bool__(self) -> bool:
            raise RuntimeError("my own")

        __repr__ = __dir__ = __bool__  # type: ignore[assignment]

    p = bound_to(impl, Angry())
    for use in (bool, repr, dir):
        with pytest.raises(RuntimeError, match=exactly("my own")):
            use(p)


def test_is_bound_and_unwrap(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    p = local("value")
    assert impl.is_bound(p) is False
    with pytest.raises(UnboundError):
        impl.unwrap(p)
    local.value = target = Plain()
    assert impl.is_bound(p) is True
    assert impl.unwrap(p) is target
    assert impl.unwrap(target) is target
    with pytest.raises(TypeError, match=exactly("is_bound() takes a proxy, not 5.")):
        impl.is_bound(5)


# What asks an unbound proxy (docs/evidence.md, 12)


def test_inspect_unwrap_stops_at_an_unbound_proxy(impl: ModuleType) -> None:
    local, stack = impl.Local(), impl.LocalStack()
    var: ContextVar[int] = ContextVar("var")

    def resolve() -> None:
        raise RuntimeError

    for source, name in ((local, "x"), (stack, None), (var, None)):
        p = impl.LocalProxy(source, name)
        assert p.__wrapped__ is source
        assert inspect.unwrap(p) is source
    # doctest would take the proxy for the function and then fail on it.
    assert not inspect.isroutine(inspect.unwrap(impl.LocalProxy(resolve)))
    local.x = 1
    assert not hasattr(local("x"), "__wrapped__")


@pytest.mark.parametrize("kind", ["local", "stack", "callable"])
def test_mock_takes_an_unbound_proxy(impl: ModuleType, kind: str) -> None:
    def resolve() -> None:
        raise RuntimeError("outside")

    p = {
        "local": lambda: impl.LocalProxy(impl.Local(), "x"),
        "stack": lambda: impl.LocalProxy(impl.LocalStack()),
        "callable": lambda: impl.LocalProxy(resolve),
    }[kind]()
    module = SimpleNamespace(request=p)
    with unittest.mock.patch.object(module, "request") as fake:
        assert module.request is fake
    assert module.request is p
    with unittest.mock.patch.object(module, "request", autospec=True):
        pass
    assert module.request is p
    unittest.mock.Mock(spec=p)
    unittest.mock.create_autospec(p)


def test_inspect_asks_an_unbound_proxy(impl: ModuleType) -> None:
    p = unbound(impl)
    for ask in (
        inspect.isfunction,
        inspect.ismodule,
        inspect.isclass,
        inspect.iscoroutinefunction,
        inspect.isawaitable,
        inspect.isgenerator,
    ):
        assert isinstance(ask(p), bool)
    assert dict(inspect.getmembers(SimpleNamespace(request=p)))["request"] is p


@pytest.mark.parametrize("source", ["Local()('x')", "LocalStack()()", "LocalProxy(outside)"])
def test_pytest_and_doctest_collect_a_module_with_unbound_proxies(
    impl: ModuleType, tmp_path: Path, source: str
) -> None:
    (tmp_path / "test_module.py").write_text(
        f'''"""
>>> 1 + 1
2
"""
from ctxlocal import Local, LocalProxy, LocalStack

def outside():
    raise RuntimeError("outside")

request = {source}
test_request = {source}
TestRequest = {source}
pytest_plugins_like = [request]

class TestClass:
    request = {source}
    test_attribute = {source}

    def test_method(self):
        assert not self.request

def test_function():
    """
    >>> bool(request)
    False
    """
    assert not request
'''
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    package = Path(str(impl.__file__)).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--doctest-modules", "-q", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


# In-place operations


def test_in_place_result_goes_back_to_the_local(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.count = 1
    p = name = local("count")
    p += 2
    assert p is name
    assert local.count == 3
    p **= 2
    p //= 2
    assert local.count == 4


def test_in_place_result_goes_back_to_a_dotted_attribute_of_the_local(
    impl: ModuleType, ident: Any
) -> None:
    local = impl.Local(ident=ident)
    local.request = Plain(user=Plain(visits=1))
    p = local("request.user.visits")
    p += 1
    assert local.request.user.visits == 2
    assert dict(local) == {"request": local.request}


def test_in_place_result_over_a_class_attribute_is_the_owners(impl: ModuleType, ident: Any) -> None:
    class Counter(impl.Local):  # type: ignore[name-defined,misc]
        count = 1

    local = Counter(ident=ident)
    p = local("count")
    p += 1
    assert local.count == 2
    assert Counter.count == 1


def test_in_place_result_goes_back_to_the_context_var(impl: ModuleType) -> None:
    var: ContextVar[int] = ContextVar("var")
    var.set(1)
    p = impl.LocalProxy(var)
    p += 1
    assert var.get() == 2


def test_in_place_result_goes_back_to_the_top_of_the_stack(impl: ModuleType, ident: Any) -> None:
    stack = impl.LocalStack(ident=ident)
    stack.push("below")
    stack.push((1,))
    p = stack()
    p += (2,)
    assert stack.pop() == (1, 2)
    assert stack.pop() == "below"
    assert stack.pop() is None


def test_in_place_result_goes_back_to_a_given_list(impl: ModuleType) -> None:
    var: ContextVar[list[int]] = ContextVar("var")
    var.set([1, 2])
    p = impl.LocalStack(var)()
    p += 1
    assert var.get() == [1, 3]


@pytest.mark.parametrize("kind", ["stack", "var", "callable"])
@pytest.mark.parametrize("name", ["count", "inner.count"])
def test_in_place_result_goes_back_to_a_named_attribute(
    impl: ModuleType, kind: str, name: str
) -> None:
    target = Plain(count=1, inner=Plain(count=1))
    stack = impl.LocalStack()
    stack.push(target)
    var: ContextVar[Plain] = ContextVar("var")
    var.set(target)
    source = {"stack": stack, "var": var, "callable": lambda: target}[kind]
    p = impl.LocalProxy(source, name)
    p += 1
    assert operator.attrgetter(name)(target) == 2
    assert stack.top is target
    assert var.get() is target


def test_in_place_result_that_has_no_place_is_refused(impl: ModuleType) -> None:
    def resolve() -> int:
        return 1

    p = name = impl.LocalProxy(resolve)
    text = (
        f"The in-place operation made a new object, 'int', and {resolve!r}, which finds the "
        "object behind this proxy, offers no place to store it. Operate on an object that "
        "changes in place, or proxy a Local, LocalStack or ContextVar."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        p += 1
    assert p is name
    assert p == 1


def test_in_place_result_that_its_place_refuses_raises(impl: ModuleType) -> None:
    class Fixed:
        @property
        def count(self) -> int:
            return 1

    stack = impl.LocalStack()
    stack.push(Fixed())
    p = stack("count")
    with pytest.raises(AttributeError):
        p += 1


def test_in_place_operation_on_the_object_itself_stores_nothing(
    impl: ModuleType, ident: Any
) -> None:
    local = impl.Local(ident=ident)
    local.items = items = [1]
    p = local("items")
    p += [2]
    p *= 2
    assert local.items is items
    assert items == [1, 2, 1, 2]
    from_callable = impl.LocalProxy(lambda: items)
    from_callable += [3]
    assert items[-1] == 3


def test_in_place_operation_with_a_proxy_operand(impl: ModuleType) -> None:
    local = impl.Local()
    local.count, local.step = 1, 2
    p, step = local("count"), local("step")
    p += step
    assert type(local.count) is int
    assert local.count == 3


def test_in_place_operation_through_a_proxy_of_a_proxy(impl: ModuleType) -> None:
    local = impl.Local()
    local.count = 1
    inner = local("count")
    outer = impl.LocalProxy(lambda: inner)
    outer += 2
    assert local.count == 3
    assert type(outer) is impl.LocalProxy


def test_in_place_operation_that_fails_changes_nothing(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.count = 1
    p = local("count")
    with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+=: 'int' and "):
        p += None
    assert local.count == 1


def test_in_place_operation_on_an_unbound_proxy_raises(impl: ModuleType) -> None:
    p = unbound(impl)
    with pytest.raises(UnboundError):
        p += 1


# Copies and pickles


def test_copies_are_of_the_target(impl: ModuleType) -> None:
    inner: list[int] = []
    target = [inner]
    p = bound_to(impl, target)
    shallow, deep = copy.copy(p), copy.deepcopy(p)
    assert type(shallow) is type(deep) is list
    assert shallow is not target
    assert shallow[0] is inner
    assert deep == [[]]
    assert deep[0] is not inner


def test_deep_copy_of_a_holder_copies_the_target_once(impl: ModuleType) -> None:
    target = Plain()
    p = bound_to(impl, target)
    first, second, third = copy.deepcopy([p, target, p])
    assert type(first) is Plain
    assert first is second is third


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_is_of_the_target(impl: ModuleType, protocol: int) -> None:
    target = {"a": [1, 2]}
    p = bound_to(impl, target)
    loaded = pickle.loads(pickle.dumps([p, p], protocol))
    assert loaded == [target, target]
    assert type(loaded[0]) is dict
    assert loaded[0] is loaded[1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_of_a_class_or_function_is_by_its_name(impl: ModuleType, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(bound_to(impl, Plain), protocol)) is Plain
    assert pickle.loads(pickle.dumps(bound_to(impl, exactly), protocol)) is exactly
    assert pickle.loads(pickle.dumps(bound_to(impl, None), protocol)) is None


def test_pickle_by_the_python_pickler(impl: ModuleType) -> None:
    dumped = pickle._dumps(bound_to(impl, [1]))  # type: ignore[attr-defined]
    assert pickle.loads(dumped) == [1]


def test_pickled_proxy_loads_without_ctxlocal(
    impl: ModuleType, run_python: Callable[..., str]
) -> None:
    dumped = pickle.dumps(bound_to(impl, {"a": 1}))
    assert b"ctxlocal" not in dumped
    code = f"""
        import pickle, sys
        print(pickle.loads({dumped!r}), "ctxlocal" in sys.modules)
    """
    assert run_python(code) == "{'a': 1} False\n"


# Proxy classes and proxies as objects


def test_subclass_has_methods_and_class_attributes_of_its_own(impl: ModuleType) -> None:
    class Tagged(impl.LocalProxy):  # type: ignore[name-defined,misc]
        tag = "mine"

        def shout(self) -> str:
            return str(self).upper()

        @property
        def size(self) -> int:
            return len(self)

    local = impl.Local()
    p = Tagged(local, "value")
    assert p.tag == "mine"
    assert repr(p) == "<Tagged unbound>"
    local.value = "ann"
    assert (p.shout(), p.size, p.tag, p.title()) == ("ANN", 3, "mine", "Ann")
    assert isinstance(p, str)
    local.value = Plain(tag="the target's", user="ann")
    assert (p.tag, p.user) == ("mine", "ann")


@pytest.mark.parametrize(
    "name",
    [
        *("__parameters__", "__type_params__"),  # of class Typed[T](LocalProxy[T]), Python 3.12
        *("__static_attributes__", "__firstlineno__"),  # of every class, Python 3.13
    ],
)
def test_what_every_class_has_hides_nothing_of_the_target(impl: ModuleType, name: str) -> None:
    Typed = type("Typed", (impl.LocalProxy,), {name: ("the subclass's",)})
    target = Plain(**{name: ("the target's",)})
    assert getattr(Typed(lambda: target), name) == ("the target's",)


def test_attribute_that_a_subclass_defines_is_set_on_the_proxy(impl: ModuleType) -> None:
    class Counting(impl.LocalProxy):  # type: ignore[name-defined,misc]
        __slots__ = ("uses",)

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.uses = 0

    local = impl.Local()
    p = Counting(local, "value")
    assert p.uses == 0
    local.value = target = Plain()
    p.uses += 1
    p.other = 2
    assert p.uses == 1
    assert vars(target) == {"other": 2}
    del p.uses
    assert not hasattr(p, "uses")


def test_class_attribute_of_a_subclass_is_seen_whenever_it_is_set(impl: ModuleType) -> None:
    class Sub(impl.LocalProxy):  # type: ignore[name-defined,misc]
        pass

    local = impl.Local()
    target: Any = Plain(tag="the target's")
    local.value = target
    cls: Any = Sub
    p = cls(local, "value")
    assert p.tag == "the target's"
    cls.tag = "set"
    assert p.tag == "set"
    cls.tag = property(lambda self: f"a property of {self.__class__.__name__}")
    assert p.tag == "a property of Plain"
    cls.shout = lambda self: "shouted"
    assert p.shout() == "shouted"
    del cls.tag, cls.shout
    assert p.tag == "the target's"
    assert not hasattr(p, "shout")
    p.shout = 1
    assert target.shout == 1


def test_special_method_of_a_subclass_is_seen_whenever_it_is_set(impl: ModuleType) -> None:
    class Sub(impl.LocalProxy):  # type: ignore[name-defined,misc]
        pass

    local = impl.Local()
    local.value = [1, 2]
    cls: Any = Sub
    p = cls(local, "value")
    cls.__len__ = lambda self: 42
    cls.__mul__ = lambda self, other: "product"
    assert (len(p), p.__len__(), p * 2) == (42, 42, "product")
    del cls.__len__, cls.__mul__
    assert (len(p), p.__len__(), p * 2) == (2, 2, [1, 2, 1, 2])


def test_class_that_a_subclass_claims_is_believed(impl: ModuleType) -> None:
    class Sub(impl.LocalProxy):  # type: ignore[name-defined,misc]
        __class__ = property(lambda self: dict)

    p: Any = Sub(lambda: 5)
    assert isinstance(p, dict)
    assert not isinstance(p, int)
    assert type(p) is Sub
    assert operator.add(p, 1) == 6


def test_new_of_a_subclass_may_call_init_itself(impl: ModuleType) -> None:
    class Sub(impl.LocalProxy):  # type: ignore[name-defined,misc]
        def __new__(cls, *args: Any) -> Any:
            self = super().__new__(cls)
            self.__init__(*args)
            assert self.upper() == "TEXT"
            return self

    assert Sub(lambda: "text").title() == "Text"


def test_object_setattr_sets_what_is_a_subclass_proxys_own(impl: ModuleType) -> None:
    class Sub(impl.LocalProxy):  # type: ignore[name-defined,misc]
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            object.__setattr__(self, "note", "mine")

    local = impl.Local()
    target: Any = Plain(note="the target's")
    local.value = target
    p = Sub(local, "value")
    assert (p.note, object.__getattribute__(p, "note")) == ("mine", "mine")
    p.note = "changed"
    assert (p.note, target.note) == ("changed", "the target's")
    object.__delattr__(p, "note")
    assert p.note == "the target's"
    plain = impl.LocalProxy(local, "value")
    with pytest.raises(AttributeError, match="other"):
        object.__setattr__(plain, "other", 1)
    plain.other = 1
    assert target.other == 1


def test_attribute_access_of_a_subclass_finds_what_the_subclass_defines(impl: ModuleType) -> None:
    class Watched(impl.LocalProxy):  # type: ignore[name-defined,misc]
        tag = "mine"

        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

    local = impl.Local()
    local.value = Plain(tag="the target's", user="ann")
    p = Watched(local, "value")
    assert (p.tag, p.user) == ("mine", "ann")
    assert impl.LocalProxy(local, "value").tag == "the target's"


def test_alias_of_a_proxy_class_leaves_nothing_on_the_target(impl: ModuleType) -> None:
    local = impl.Local()
    local.value = target = Plain()
    p = impl.LocalProxy[Plain](local, "value")
    assert vars(target) == {}
    p.x = 1
    assert vars(target) == {"x": 1}


def test_subclass_overrides_special_methods(impl: ModuleType) -> None:
    class Loud(impl.LocalProxy):  # type: ignore[name-defined,misc]
        def __str__(self) -> str:
            return f"{super().__str__()}!"

        def __add__(self, other: object) -> str:
            return "added"

    local = impl.Local()
    local.value = 3
    p = Loud(local, "value")
    assert str(p) == "3!"
    assert p + 1 == "added"
    assert p - 1 == 2


def test_subclass_has_its_own_attribute_access(impl: ModuleType) -> None:
    class Watched(impl.LocalProxy):  # type: ignore[name-defined,misc]
        def __getattribute__(self, name: str) -> Any:
            return "watched" if name == "special" else super().__getattribute__(name)

    class Fallback(impl.LocalProxy):  # type: ignore[name-defined,misc]
        def __getattr__(self, name: str) -> str:
            return f"no {name}"

    local = impl.Local()
    local.value = Plain(user="ann")
    watched = Watched(local, "value")
    assert (watched.special, watched.user) == ("watched", "ann")
    assert (Fallback(local, "value").other, Fallback(local, "value").user) == ("no other", "ann")


def test_proxy_class_can_be_subscripted(impl: ModuleType) -> None:
    class Typed(impl.LocalProxy[int]):  # type: ignore[name-defined,misc]
        pass

    assert impl.LocalProxy[int](lambda: 3) == 3
    assert Typed(lambda: 3) == 3


def test_weak_reference_is_to_the_proxy(impl: ModuleType) -> None:
    p = bound_to(impl, 3)
    reference = weakref.ref(p)
    assert reference() is p
    del p
    gc.collect()
    assert reference() is None


def test_proxy_in_a_class_body_is_no_descriptor(impl: ModuleType) -> None:
    p = bound_to(impl, property(lambda self: 1))

    class Holder:
        attribute = p

    assert Holder().attribute is p
    assert not hasattr(type(p), "__get__")
    assert not hasattr(type(p), "__set__")


# Bad input


@pytest.mark.parametrize("wrong", [5, "local", None, [1], object()])
def test_what_cannot_be_proxied_is_refused(impl: ModuleType, wrong: object) -> None:
    text = (
        f"Don't know how to proxy {wrong!r}: a Local and a name, a LocalStack, a ContextVar or a "
        "callable without arguments is expected."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        impl.LocalProxy(wrong)


def test_local_without_a_name_is_refused(impl: ModuleType) -> None:
    with pytest.raises(
        TypeError, match=exactly("'name' is required when proxying a 'Local' object.")
    ):
        impl.LocalProxy(impl.Local())


@pytest.mark.parametrize("wrong", [5, b"user", ["user"]])
def test_name_that_is_no_string_is_refused(impl: ModuleType, wrong: object) -> None:
    for source in (impl.Local(), impl.LocalStack(), lambda: 1):
        with pytest.raises(
            TypeError, match=exactly(f"A proxy's name has to be a str or None, not {wrong!r}.")
        ):
            impl.LocalProxy(source, wrong)


def test_callable_that_needs_arguments_raises_at_use(impl: ModuleType) -> None:
    p = impl.LocalProxy(lambda request: request)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        p._get_current_object()


def test_date_can_be_replaced_and_compared(impl: ModuleType) -> None:
    p = bound_to(impl, datetime.date(2024, 1, 2))
    assert p.replace(day=3) == datetime.date(2024, 1, 3)
    assert datetime.date(2024, 1, 1) < p
    assert p - datetime.date(2024, 1, 1) == datetime.timedelta(1)
    assert datetime.date(2024, 1, 3) - p == datetime.timedelta(1)
    assert f"{p:%Y}" == "2024"
