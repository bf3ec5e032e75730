"""What programs may name, beside the builtins: classes that answer every protocol, or none."""

from __future__ import annotations

import asyncio
import copy
import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import operator
import pathlib
import pickle
import types
from collections import OrderedDict, deque
from collections.abc import Coroutine, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

__all__ = ["NAMES"]


class Thing:
    """With a ``__dict__``, class attributes, a property and methods."""

    kind = "class"

    def __init__(self, x: Any = 1) -> None:
        self.x = x

    @property
    def double(self) -> Any:
        return self.x * 2

    @classmethod
    def made(cls) -> str:
        return cls.__name__

    @staticmethod
    def fixed(value: Any = 0) -> Any:
        return value

    def method(self, *args: Any, **kwargs: Any) -> Any:
        return self.x, args, sorted(kwargs.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args, sorted(kwargs.items())

    def __eq__(self, other: object) -> bool:
        return type(other) is Thing and bool(other.x == self.x)

    def __hash__(self) -> int:
        return 7


class Slotted:
    """Without a ``__dict__``."""

    __slots__ = ("x",)

    def __init__(self) -> None:
        self.x = 1


class Dynamic:
    """Whose attributes are made as they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"any {name}"

    def __len__(self) -> int:
        return 0


class Refusing:
    """Has every operator, and knows none."""

    def _refuse(self, *others: Any) -> Any:
        return NotImplemented

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __iadd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __ipow__ = _refuse
    __divmod__ = __rdivmod__ = __and__ = __rand__ = __or__ = __ror__ = __length_hint__ = _refuse
    __hash__ = object.__hash__


class Willing:
    """Has every operator, and tells which was asked, with which operands."""

    def __repr__(self) -> str:
        return "Willing"

    def __bytes__(self) -> bytes:
        return b"willing"

    def __format__(self, spec: str) -> str:
        return f"format {spec}"

    def __length_hint__(self) -> int:
        return 3

    def __index__(self) -> int:
        return 2

    def __complex__(self) -> complex:
        return 2j

    def __float__(self) -> float:
        return 2.5

    def __round__(self, digits: Any = "none") -> Any:
        return ("round", digits)

    def __fspath__(self) -> str:
        return "willing"

    def __contains__(self, item: object) -> bool:
        return item == 1

    def __missing__(self, key: object) -> Any:
        return ("missing", key)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int) and key > 2:
            raise IndexError(key)
        return ("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.stored = (key, value)

    def __delitem__(self, key: Any) -> None:
        self.taken = key

    def __iter__(self) -> Iterator[Any]:
        return iter((1, 2))

    def __reversed__(self) -> Iterator[Any]:
        return iter((2, 1))

    def __hash__(self) -> int:
        return 5


def _answer(name: str) -> Any:
    def answer(self: Any, *others: Any) -> Any:
        return (name, *others)

    return answer


for _name in (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"),
    *("lshift", "rshift", "and", "xor", "or"),
):
    for _form in ("", "r", "i"):
        setattr(Willing, f"__{_form}{_name}__", _answer(f"{_form}{_name}"))
for _name in ("neg", "pos", "abs", "invert", "trunc", "floor", "ceil", "lt", "le", "gt", "ge"):
    setattr(Willing, f"__{_name}__", _answer(_name))


class Manager:
    """A context manager of both kinds."""

    def __enter__(self) -> str:
        return "entered"

    def __exit__(self, *details: Any) -> bool:
        return details[0] is ValueError

    async def __aenter__(self) -> str:
        return "entered"

    async def __aexit__(self, *details: Any) -> bool:
        return details[0] is ValueError

    def __aiter__(self) -> Manager:
        return self

    async def __anext__(self) -> int:
        self.left = getattr(self, "left", 3) - 1
        if self.left:
            return self.left
        raise StopAsyncIteration

    def __await__(self) -> Generator[Any, Any, str]:
        return "awaited"
        yield


class Meta(type):
    """Of a class that answers for others."""

    def __instancecheck__(cls, other: object) -> bool:
        return other == 1

    def __getitem__(cls, key: Any) -> Any:
        if isinstance(key, int) and key > 2:
            raise IndexError(key)
        return ("meta", key)


class Judge(metaclass=Meta):
    """A class with a metaclass."""


class Descriptor:
    """A descriptor that is no data descriptor, until a subclass makes it one."""

    def __get__(self, obj: object, owner: Any = None) -> Any:
        return ("got", owner is not None and owner.__name__)


class Data(Descriptor):
    """A data descriptor."""

    def __set__(self, obj: object, value: object) -> None:
        raise AttributeError(f"set {value!r}")

    def __delete__(self, obj: object) -> None:
        raise AttributeError("delete")


@dataclass
class Point:
    """A dataclass."""

    x: int = 1
    y: int = 2


class Color(enum.Enum):
    """An enumeration."""

    RED = 1


def late(self: object, *args: Any) -> Any:
    """Become a method of a class that has instances already."""
    if args and isinstance(args[0], int) and args[0] > 2:
        raise IndexError(args[0])
    return ("late", args)


def function(*args: Any, **kwargs: Any) -> Any:
    """Return what it was given."""
    return args, sorted(kwargs.items())


async def _coroutine() -> str:
    return "done"


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    return "waits"


class Legacy:
    """A sequence by index alone."""

    def __getitem__(self, index: int) -> int:
        if index > 2:
            raise IndexError(index)
        return index

    def __len__(self) -> int:
        return 3


modules: tuple[types.ModuleType, ...] = (
    *(asyncio, copy, datetime, decimal, enum, fractions, functools, json, math, operator),
    *(pathlib, pickle, types),
)
NAMES: dict[str, Any] = {
    **{module.__name__: module for module in modules},
    **{each.__name__: each for each in (Thing, Slotted, Dynamic, Refusing, Willing, Manager)},
    **{each.__name__: each for each in (Judge, Descriptor, Data, Point, Color, Legacy)},
    **{each.__name__: each for each in (OrderedDict, deque, ContextVar, drive, function, late)},
    "coroutine": _coroutine,
}
