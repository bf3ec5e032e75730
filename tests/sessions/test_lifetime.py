"""Which lifetimes are taken, and what follows from them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.lifetime import (
    ABSOLUTE_TIMEOUT,
    IDLE_TIMEOUT,
    check_lifetime,
    time_field,
)

DAY = 86400
INFINITE = float("inf")


def test_the_defaults() -> None:
    assert (IDLE_TIMEOUT, ABSOLUTE_TIMEOUT) == (14 * DAY, 90 * DAY)
    assert check_lifetime(IDLE_TIMEOUT, ABSOLUTE_TIMEOUT, None) == 60


@pytest.mark.parametrize(
    ("idle", "touch", "interval"),
    [(1, None, 0.1), (590, None, 59), (610, None, 60), (10, 0, 0), (10, 9.5, 9.5)],
)
def test_a_session_is_renewed_once_in_so_many_seconds(
    idle: float, touch: float | None, interval: float
) -> None:
    assert check_lifetime(idle, idle, touch, idle) == interval


@pytest.mark.parametrize(
    ("idle", "absolute", "touch", "most", "message"),
    [
        (0.9, 10, None, 10, "idle_timeout: 0.9 is not between 1 second and absolute_timeout, 10"),
        (11, 10, None, 10, "idle_timeout: 11 is not between 1 second and absolute_timeout, 10"),
        (5, 10, None, 9, "absolute_timeout: 10 seconds are over 9"),
        (5, INFINITE, None, INFINITE, "absolute_timeout: inf seconds are over inf"),
        (5, 10, 5, 10, "touch_interval: 5 is not from 0 to idle_timeout, 5"),
        (5, 10, -1, 10, "touch_interval: -1 is not from 0 to idle_timeout, 5"),
        (None, 10, None, 10, "idle_timeout: None is no number of seconds"),
    ],
)
def test_times_that_contradict_each_other_are_refused(
    idle: float, absolute: float, touch: float | None, most: float, message: str
) -> None:
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
        check_lifetime(idle, absolute, touch, most)


def test_a_time_is_stored_to_the_millisecond() -> None:
    assert [*map(time_field, (1000, 1764446535.6789))] == [b"1000.0", b"1764446535.678"]


@given(st.floats(0, 1e10))
def test_a_stored_time_is_not_later_than_it_was(when: float) -> None:
    assert 0 <= when - float(time_field(when)) < 0.0021
