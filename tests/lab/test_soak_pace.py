from __future__ import annotations

import time

import pytest

from ctxlocal.lab.soak.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is, in its only element."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_each_round_has_a_rate_of_its_own(clock: list[float]) -> None:
    pace = Pace(10)
    clock[0] += 50  # until the server is there
    pace.begin()
    for seconds in (1, 5, 2):
        clock[0] += seconds
        for _ in range(10):
            pace.answered()
    assert (pace.lowest, pace.highest) == (2.0, 10.0)


def test_a_round_that_is_not_complete_has_none(clock: list[float]) -> None:
    pace = Pace(10)
    clock[0] += 1
    for _ in range(9):
        pace.answered()
    assert (pace.lowest, pace.highest) == (None, None)


def test_a_clock_that_stands_still_measures_nothing(clock: list[float]) -> None:
    pace = Pace(0)
    pace.answered()
    assert pace.highest is None
