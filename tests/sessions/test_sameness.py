from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
from markupsafe import Markup

from ctxlocal.sessions.sameness import is_same

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
ONE = timezone(timedelta(hours=1))


class Colour(Enum):
    RED = 1
    BLUE = 2


class Point(msgspec.Struct):
    x: Any
    y: Any = 0


@dataclass
class Pair:
    x: Any
    y: Any = 0


SAME: list[tuple[Any, Any]] = [
    (1, 1),
    (1, 1.0),  # PEP 484
    ([1, 2], [1, 2]),
    ([1], [1.0]),
    ([1, "a", None], [1, "a", None]),
    ((), ()),
    ((1, [2]), (1, [2])),
    ({"a": 1, "b": [2]}, {"a": 1, "b": [2]}),
    ({1, (2, "a")}, {(2, "a"), 1}),
    (frozenset({1}), frozenset({1})),
    ({(1, 2)}, {(1, 2)}),
    (Point(1, [2]), Point(1, [2])),
    (Pair(1, [2]), Pair(1, [2])),
    (NOON, NOON),
    (Decimal("1.0"), Decimal("1.0")),
    (Colour.RED, Colour.RED),
]
OTHER: list[tuple[Any, Any]] = [
    (1, 2),
    (1, 2.0),
    (1.0, 1),
    (1, True),
    ("1", 1),
    ("a", b"a"),
    (None, 0),
    ([1, 2], [2, 1]),
    ([1, 2], [1]),
    ([1], [1, 2]),
    ([1, "a"], [1, "a", 2]),
    ([1], (1,)),
    ([1, True], [True, 1]),
    ([1, True], [1, 1]),
    ([0.0, 1], [0, 1]),
    ([[1]], [[True]]),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"b": 1}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1: "a"}, {True: "a"}),
    ({1}, {2}),
    ({1, 2}, {1}),
    ({1}, {True}),
    ({1}, frozenset({1})),
    (Point(1), Point(2)),
    (Point(1, 2), Point(1, 3)),
    (Point([1]), Point([True])),
    (Point(1), Pair(1)),
    (Pair(1), Pair(2)),
    (Pair(1, 2), Pair(1, 3)),
    (NOON, NOON.astimezone(ONE)),  # equal, by another clock
    (Decimal("1.0"), Decimal("1.00")),
    (date(2024, 1, 1), date(2024, 1, 2)),
    (Markup("a"), "a"),
    (Colour.RED, Colour.BLUE),
]


@pytest.mark.parametrize(("value", "back"), SAME)
def test_what_came_back_as_it_was_is_the_same(value: Any, back: Any) -> None:
    assert is_same(value, back) is True


@pytest.mark.parametrize(("value", "back"), OTHER)
def test_what_came_back_otherwise_is_not(value: Any, back: Any) -> None:
    assert is_same(value, back) is False


def test_what_contains_itself_is_compared_to_no_end() -> None:
    value: list[Any] = []
    value.append(value)
    back: list[Any] = [[]]
    back[0] = back
    with pytest.raises(RecursionError):
        is_same(value, back)
