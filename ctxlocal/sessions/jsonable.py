"""What a session holds, in containers that JSON has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from .codec import encode
from .errors import UnstorableValueError

_KEPT = (bytes, datetime, date, time, timedelta, Decimal, UUID)


def jsonable(value: Any) -> Any:
    """Return ``value`` with lists for tuples, sets and frozensets, and dicts for objects.

    What no container holds any more is as it was, as are the keys of dicts. O(size).

    :raises TypeError: an object of a Struct or a dataclass holds what msgspec does not know.
    """
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [jsonable(member) for member in in_order(value)]
    if isinstance(value, (Enum, msgspec.Struct)) or (
        is_dataclass(value) and not isinstance(value, type)
    ):
        return jsonable(msgspec.to_builtins(value, builtin_types=_KEPT))
    return value


def in_order(members: Iterable[Any]) -> list[Any]:
    """Return the members of a set in the order of their stored bytes, if they can be stored."""
    members = list(members)
    try:
        return sorted(members, key=lambda member: encode("", member))
    except UnstorableValueError:
        return members
