from __future__ import annotations

import abc
import asyncio
import builtins
import collections.abc
import copy
import dataclasses
import inspect
import operator
import os
import pickle
import re
import sys
import types
import typing
from collections import UserDict, deque
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterable, Sized
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Protocol, runtime_checkable

import pytest

from ctxlocal.errors import UnboundAttributeError, UnboundError
from ctxlocal.local.like import OPERATORS, OPTIONAL


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def make(impl: ModuleType, like: Any, *value: object) -> Any:
    """A proxy like a type, unbound where no value is given."""
    local = impl.Local(name="web")
    if value:
        (local.value,) = value
    return impl.proxy(local, "value", like=like)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True, order=True)
class Frozen:
    x: int
    inner: Point


class Callback:
    """A callable class."""

    def __call__(self, number: int, /, **keywords: Any) -> tuple[Any, ...]:
        return number, keywords


class Job:
    """Like a coroutine: it can be awaited."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "done"


@runtime_checkable
class Closes(Protocol):
    name: str

    def close(self) -> None: ...

    def __len__(self) -> int: ...


class File:
    name = "file"

    def close(self) -> None:
        self.name = "closed"

    def __len__(self) -> int:
        return 7


VALUES: dict[Any, object] = {
    int: 3,
    float: 1.5,
    str: "text",
    bytes: b"bytes",
    list: [1, 2],
    tuple: (1, 2),
    dict: {"a": 1},
    set: {1},
    deque: deque([1]),
    UserDict: UserDict(a=1),
    range: range(3),
    object: object(),
    Point: Point(1),
    Frozen: Frozen(1, Point(2)),
    Callback: Callback(),
    Job: Job(),
    File: File(),
    Path: Path("a"),
    type: int,
}
if sys.version_info >= (3, 14):
    from string import templatelib

    VALUES[templatelib.Template] = templatelib.Template("to ", templatelib.Interpolation("ann"))
if sys.version_info >= (3, 15):
    frozendict: Any = vars(builtins)["frozendict"]
    VALUES[frozendict] = frozendict(a=1)
    sentinel: Any = vars(builtins)["sentinel"]
    VALUES[sentinel] = sentinel("MISSING")
PROTOCOLS = (
    *(collections.abc.Awaitable, collections.abc.AsyncIterable, collections.abc.AsyncIterator),
    *(collections.abc.Callable, collections.abc.Container, collections.abc.Hashable),
    *(collections.abc.Iterable, collections.abc.Iterator, collections.abc.Reversible),
    *(collections.abc.Sized, collections.abc.Collection, collections.abc.Mapping),
    *(collections.abc.Sequence, typing.SupportsAbs, typing.SupportsBytes, typing.SupportsComplex),
    *(typing.SupportsFloat, typing.SupportsIndex, typing.SupportsInt, typing.SupportsRound),
    *(os.PathLike, collections.abc.Set, collections.abc.MutableMapping),
)
# What is told by registration, or by methods that have no special name, is told by the
# target, and so only while there is one. A str, moreover, must not match a sequence pattern.
_SEQUENCES = (collections.abc.Sequence, collections.abc.Reversible)
BY_THE_TARGET = {
    *((like, collections.abc.Set) for like in VALUES),
    *((like, collections.abc.MutableMapping) for like in VALUES),
    *((like, abstract) for like in (str, bytes) for abstract in _SEQUENCES),
}


@pytest.mark.parametrize("like", [like for like in VALUES if like is not type])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_isinstance_tells_the_truth(impl: ModuleType, like: type, protocol: Any) -> None:
    """docs/evidence.md, 13."""
    truth = isinstance(VALUES[like], protocol)
    assert isinstance(make(impl, like, VALUES[like]), protocol) is truth
    if (like, protocol) not in BY_THE_TARGET:
        assert isinstance(make(impl, like), protocol) is truth


@pytest.mark.parametrize("like", VALUES)
def test_it_has_the_special_methods_of_the_type_and_no_others(impl: ModuleType, like: type) -> None:
    value = VALUES[like]
    p = make(impl, like, value)
    assert callable(p) is callable(value)
    for name in ("__len__", "__iter__", "__getitem__", "__contains__", "__index__", "__enter__"):
        assert hasattr(type(p), name) is hasattr(like, name)
    assert isinstance(p, like)
    assert p.__class__ is type(value)
    assert p == value
    assert repr(p) == repr(value)
    assert impl.unwrap(p) is value
    assert impl.is_bound(p)


@pytest.mark.parametrize("like", VALUES)
def test_unbound_it_is_falsy_and_says_so(impl: ModuleType, like: type) -> None:
    p = make(impl, like)
    assert not p
    assert repr(p) == f"<{like.__name__}Proxy unbound>"
    assert dir(p) == dir(like)  # for completion at a prompt
    assert callable(p) is callable(VALUES[like])
    assert not impl.is_bound(p)
    assert not hasattr(p, "attribute")
    with pytest.raises(UnboundError, match=r"^LocalProxy 'value' of Local 'web' is not bound in "):
        p._get_current_object()
    with pytest.raises(UnboundAttributeError, match=r"^LocalProxy 'value' of Local 'web' is not "):
        _ = p.attribute


def test_unbound_message_takes_the_place_of_the_text(impl: ModuleType) -> None:
    p = impl.proxy(impl.Local(), "value", like=int, unbound_message="outside")
    with pytest.raises(UnboundError, match=exactly("outside")):
        p + 1


@pytest.mark.parametrize("source", ["stack", "var", "callable"])
def test_every_source_can_be_typed(impl: ModuleType, source: str) -> None:
    stack = impl.LocalStack()
    stack.push([1])
    var: ContextVar[list[int]] = ContextVar("var")
    var.set([1])
    p = impl.proxy({"stack": stack, "var": var, "callable": lambda: [1]}[source], like=list)
    assert p == [1]
    assert len(p) == 1
    assert not callable(p)


def test_like_int(impl: ModuleType) -> None:
    local = impl.Local()
    local.value = 3
    p = impl.proxy(local, "value", like=int)
    assert (p + 1, 2**p, p // 2, [0, 1, 2, 3][p], divmod(p, 2)) == (4, 8, 1, 3, (1, 1))
    p += 2
    assert local.value == 5
    assert type(p).__name__ == "intProxy"
    with pytest.raises(TypeError, match="not iterable"):
        iter(p)
    with pytest.raises(TypeError, match="not callable"):
        p()
    with pytest.raises(TypeError, match="not subscriptable"):
        p[0]


def test_like_list(impl: ModuleType) -> None:
    local = impl.Local()
    local.value = items = [1, 2]
    p = impl.proxy(local, "value", like=list)
    p += [3]
    p[0] = 0
    p.append(4)
    assert local.value is items
    assert items == [0, 2, 3, 4]
    assert [*p, *reversed(p)] == [0, 2, 3, 4, 4, 3, 2, 0]
    assert not isinstance(p, Hashable)
    with pytest.raises(TypeError, match=r"unhashable type"):
        hash(p)
    with pytest.raises(TypeError):
        operator.index(p)


def test_like_str_is_no_sequence_in_a_pattern(impl: ModuleType) -> None:
    p = make(impl, str, "ab")
    assert p + "c" == "abc"
    assert f"{p:>3}" == " ab"
    assert p.upper() == "AB"
    match p:
        case [*_]:
            pytest.fail("a str is no sequence to match")
        case str():
            pass
        case _:
            pytest.fail("no match")


MAPPINGS = [like for like in VALUES if isinstance(VALUES[like], collections.abc.Mapping)]


@pytest.mark.parametrize("like", [*MAPPINGS, collections.abc.Mapping, dict[str, int]])
def test_mapping_patterns_match(impl: ModuleType, like: Any) -> None:
    """docs/evidence.md: the pattern that fails with all four of the known proxies."""
    value: Any = like(a=1, b=2) if like in MAPPINGS else {"a": 1, "b": 2}
    match make(impl, like, value):
        case {"c": _}:
            pytest.fail("wrong match")
        case {"a": found, **rest}:
            assert (found, rest) == (1, {"b": 2})
        case _:
            pytest.fail("no match")


@pytest.mark.parametrize(
    "like", [list, tuple, deque, collections.abc.Sequence, list[int], typing.Sequence[int]]
)
def test_sequence_patterns_match(impl: ModuleType, like: Any) -> None:
    value: Any = deque([1, 2, 3]) if like is deque else [1, 2, 3]
    match make(impl, like, value):
        case [1]:
            pytest.fail("wrong match")
        case [1, *rest]:
            assert rest == [2, 3]
        case _:
            pytest.fail("no match")


def test_dataclass_functions_take_a_proxy(impl: ModuleType) -> None:
    """docs/evidence.md: the function that fails with all four of the known proxies."""
    p = make(impl, Frozen, Frozen(1, Point(2, 3)))
    is_dataclass: Callable[[Any], bool] = dataclasses.is_dataclass  # not to narrow the type
    assert is_dataclass(p)
    assert dataclasses.asdict(p) == {"x": 1, "inner": {"x": 2, "y": 3}}
    assert dataclasses.astuple(p) == (1, (2, 3))
    assert [field.name for field in dataclasses.fields(p)] == ["x", "inner"]
    assert dataclasses.replace(p, x=5) == Frozen(5, Point(2, 3))
    assert p < Frozen(2, Point(0))
    match p:
        case Frozen(1, inner=Point(x=2)):
            pass
        case _:
            pytest.fail("no match")


def test_dataclass_functions_take_a_proxy_inside_a_dataclass(impl: ModuleType) -> None:
    assert dataclasses.asdict(Frozen(1, make(impl, Point, Point(2)))) == {
        "x": 1,
        "inner": {"x": 2, "y": 0},
    }


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is of 3.13")
def test_copy_replace_takes_a_dataclass_proxy(impl: ModuleType) -> None:
    replace = copy.replace  # type: ignore[attr-defined,unused-ignore]
    assert replace(make(impl, Point, Point(1)), y=3) == Point(1, 3)


NUMERIC = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("lshift", "rshift", "and", "xor", "or"),
)


@pytest.mark.parametrize("operator", NUMERIC)
@pytest.mark.parametrize("prefix", ["", "r", "i"], ids=["left", "right", "in place"])
def test_like_a_class_with_an_operator(impl: ModuleType, operator: str, prefix: str) -> None:
    name = f"__{prefix}{operator}__"
    Operand = type("Operand", (), {name: lambda self, other: (name, other)})
    p = make(impl, Operand, Operand())
    assert getattr(type(p), name)(p, 7) == (name, 7)


OPERATOR_NAMES = {f"__{prefix}{name}__" for prefix in ("", "r", "i") for name in OPERATORS}
# Of these a class has a default of its own, or they are looked up otherwise.
OTHERWISE = {
    "__buffer__",
    "__instancecheck__",
    "__subclasscheck__",
    "__mro_entries__",
    "__replace__",
}


def test_each_twin_has_the_special_methods_of_the_one_table_and_no_others(
    impl: ModuleType,
) -> None:
    added = {*dir(impl.LocalProxy)} - {*dir(impl.LocalProxy.__mro__[1])}
    assert added - {"__class_getitem__", "__release_buffer__"} == OPTIONAL  # of types themselves


@pytest.mark.parametrize("name", sorted(OPTIONAL - OPERATOR_NAMES - OTHERWISE))
def test_like_a_class_with_a_special_method(impl: ModuleType, name: str) -> None:
    With = type("With", (), {name: lambda self, *_: None})
    Without = type("Without", (), {})
    for kind, expected in ((With, True), (Without, False)):
        bases = type(make(impl, kind, kind())).__mro__
        assert any(name in vars(base) for base in bases) is expected


def test_like_a_callable_class(impl: ModuleType) -> None:
    p = make(impl, Callback, Callback())
    assert p(1, self=2) == (1, {"self": 2})
    assert callable(p)
    assert not isinstance(p, Iterable)
    assert not isinstance(p, Awaitable)
    assert p.__doc__ == "A callable class."
    assert make(impl, Callback).__doc__ == "A callable class."


def test_like_a_coroutine(impl: ModuleType) -> None:
    async def give() -> int:
        return 5

    async def main() -> tuple[Any, ...]:
        job, coroutine = make(impl, Job, Job()), make(impl, types.CoroutineType, give())
        assert inspect.isawaitable(job)
        assert inspect.iscoroutine(coroutine)
        assert not callable(job)
        assert not isinstance(coroutine, Sized)
        return await job, await coroutine

    assert asyncio.run(main()) == ("done", 5)


def test_like_an_async_context_manager_and_iterator(impl: ModuleType) -> None:
    class Stream:
        left = 2

        async def __aenter__(self) -> Stream:
            return self

        async def __aexit__(self, *details: object) -> None:
            self.left = -1

        def __aiter__(self) -> Stream:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    target = Stream()

    async def main() -> list[int]:
        p = make(impl, Stream, target)
        async with p as entered:
            assert entered is target
            return [step async for step in p]

    assert asyncio.run(main()) == [1, 0]
    assert target.left == -1


def test_like_a_protocol(impl: ModuleType) -> None:
    p = make(impl, Closes, File())
    assert len(p) == 7
    p.close()
    assert p.name == "closed"
    assert isinstance(p, Closes)
    assert isinstance(p, Sized)
    assert not callable(p)
    assert not isinstance(p, Iterable)


def test_like_an_abstract_class(impl: ModuleType) -> None:
    class Store(abc.ABC):
        @abc.abstractmethod
        def __getitem__(self, key: str) -> str: ...

    class Upper(Store):
        def __getitem__(self, key: str) -> str:
            return key.upper()

    p = make(impl, Store, Upper())
    assert p["a"] == "A"
    assert isinstance(p, Store)


def test_like_a_path(impl: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    p = make(impl, Path, tmp_path)
    assert os.listdir(p) == ["file"]
    assert os.path.join(p, "file") == str(tmp_path / "file")
    assert (p / "file").read_text() == "content"
    with open(make(impl, Path, tmp_path / "file")) as file:
        assert file.read() == "content"


def test_like_a_class(impl: ModuleType) -> None:
    p = make(impl, type, Point)
    assert p(1) == Point(1)
    assert isinstance(Point(1), p)
    assert issubclass(Point, p)

    class Sub(p):  # type: ignore[misc,valid-type]
        pass

    assert Sub.__bases__ == (Point,)


def test_like_a_context_manager(impl: ModuleType) -> None:
    class Manager:
        depth = 0

        def __enter__(self) -> str:
            self.depth += 1
            return "entered"

        def __exit__(self, *details: object) -> bool:
            self.depth -= 1
            return details[0] is KeyError

    target = Manager()
    with make(impl, Manager, target) as entered:
        assert (entered, target.depth) == ("entered", 1)
        raise KeyError
    assert target.depth == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the buffer protocol (PEP 688) is of 3.12")
def test_buffer_is_there_where_the_type_has_one(impl: ModuleType) -> None:
    assert bytes(memoryview(make(impl, bytes, b"abc"))) == b"abc"
    data = bytearray(b"abc")
    with memoryview(make(impl, bytearray, data)) as view:
        view[0] = ord("x")
    data.append(1)
    assert data == b"xbc\x01"
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        memoryview(make(impl, int, 3))


@pytest.mark.parametrize(
    ("like", "value"),
    [
        (list[int], [1]),
        (typing.List[int], [1]),  # noqa: UP006
        (Iterable[int], [1]),
        (collections.abc.Sequence[int], [1]),
    ],
)
def test_parametrised_type_counts_as_its_class(impl: ModuleType, like: Any, value: Any) -> None:
    p = make(impl, like, value)
    assert list(p) == [1]
    assert not callable(p)


def test_in_place_operators_are_those_of_the_type(impl: ModuleType) -> None:
    local = impl.Local()
    local.value = (1,)
    p = impl.proxy(local, "value", like=tuple)
    p += (2,)
    assert local.value == (1, 2)
    q: Any = impl.proxy(local, "value", like=Callback)
    with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+="):
        q += (3,)


def test_other_operand_is_unwrapped(impl: ModuleType) -> None:
    assert make(impl, list, [1]) + make(impl, list, [2]) == [1, 2]
    assert operator.add([1], make(impl, list, [2])) == [1, 2]
    assert make(impl, int, 1) < make(impl, int, 2)


@pytest.mark.parametrize("like", [int, list, dict, Point, Callback])
def test_copies_and_pickles_are_of_the_target(impl: ModuleType, like: type) -> None:
    value = VALUES[like]
    p = make(impl, like, value)
    for made in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(made) is type(value)


def test_unbound_is_not_taken_for_an_instance(impl: ModuleType) -> None:
    p = make(impl, int)
    assert not isinstance(p, int)
    match p:
        case int():
            pytest.fail("wrong match")
        case _:
            pass


@pytest.mark.parametrize("wrong", [5, "int", None, Optional[int], int | None, [int], len])  # noqa: UP045
def test_like_that_is_no_class_is_refused(impl: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError, match=exactly(f"like has to be a class, not {wrong!r}.")):
        impl.proxy(impl.Local(), "value", like=wrong)


def test_source_that_cannot_be_proxied_is_refused(impl: ModuleType) -> None:
    text = (
        "Don't know how to proxy 5: a Local and a name, a LocalStack, a ContextVar or a callable "
        "without arguments is expected."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        impl.proxy(5, like=int)
    with pytest.raises(
        TypeError, match=exactly("'name' is required when proxying a 'Local' object.")
    ):
        impl.proxy(impl.Local(), like=int)


def test_like_is_required(impl: ModuleType) -> None:
    proxy: Callable[..., Any] = impl.proxy
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'like'"):
        proxy(impl.Local(), "value")
