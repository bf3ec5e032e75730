"""Takes times: of something hot in a loop, and of single operations on things found cold."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any

_SAMPLE_S, _MOST_LOOPS, _ROUNDS = 1e-3, 200, 20
_COPIES = 10


def hot_ns(statement: str, **names: Any) -> float:
    """Return the least time of a statement over some rounds; loops and nothing else subtracted.

    :param names: what the statement refers to; ``a`` and ``b`` are two objects.
    """
    copied = "; ".join([statement] * _COPIES)
    timer = timeit.Timer(copied, globals={"a": object(), "b": object(), **names})
    loops = min(_MOST_LOOPS, 1 + int(_SAMPLE_S / timer.timeit(1)))
    return min(timer.repeat(_ROUNDS, loops)) * 1e9 / loops / _COPIES


def once_ns(function: Callable[[], object]) -> int:
    """Return the time of one call, less that of reading the clock."""
    start = perf_counter_ns()
    function()
    return perf_counter_ns() - start - _READING


def middle(samples: Iterable[float]) -> float:
    """Return the median: one slow sample says something of the machine, not of the operation."""
    return statistics.median(samples)


def late(samples: Iterable[float]) -> float:
    """Return the 99th percentile, which says something of the operation too."""
    ordered = sorted(samples)
    return ordered[len(ordered) * 99 // 100]


def _nothing() -> None:
    pass


_READING = 0
_READING = int(middle(once_ns(_nothing) for _ in range(2000)))
