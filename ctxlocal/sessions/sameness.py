"""Whether a value came back as it was: equal, of the same types, all the way down."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from .codec import PLAIN
from .scalars import SCALARS


def is_same(value: Any, back: Any) -> bool:
    """Whether ``back`` is ``value`` again. O(size).

    An int that came back as a float is the same, as PEP 484 has it.

    :raises RecursionError: ``value`` contains itself, or is nested too deep.
    """
    kind = type(value)
    if kind is not type(back):
        return kind is int and type(back) is float and bool(value == back)
    if kind in PLAIN:
        return bool(value == back)
    if kind is list or kind is tuple:
        return _are_same(value, back)
    if kind is dict:
        return _are_same([*value], [*back]) and _are_same([*value.values()], [*back.values()])
    if kind is set or kind is frozenset:
        found = {member: member for member in back}
        return bool(value == back) and all(is_same(member, found[member]) for member in value)
    if isinstance(value, msgspec.Struct):
        return _hold_same(value, back, value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return _hold_same(value, back, [field.name for field in dataclasses.fields(value)])
    if (scalar := SCALARS.get(kind)) is not None:  # equal are 12:00 in Oslo and 11:00 in London
        return scalar.pack(value) == scalar.pack(back)
    return bool(value == back)


def _are_same(values: Any, back: Any) -> bool:
    kinds = set(map(type, values))
    if len(kinds) == 1 and PLAIN.issuperset(kinds) and kinds == set(map(type, back)):
        return bool(values == back)  # the same, quicker
    return len(values) == len(back) and all(map(is_same, values, back))


def _hold_same(value: Any, back: Any, names: Any) -> bool:
    return all(is_same(getattr(value, name), getattr(back, name)) for name in names)
