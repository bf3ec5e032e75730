"""What a session adds to a request: each application with sessions and without, interleaved."""

from __future__ import annotations

import contextvars
import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .client import ASGIClient, WSGIClient
from .field import Framework, Row
from .place import Place, Trips
from .visit import COUNT, MODES, START

Sample = Callable[[int], float]  # a number of requests, to how many seconds they took

WARM_UP = 4  # part of a sample's requests that is made, untimed, before it
BASELINE = MODES["untouched"]  # what an application without sessions is asked for


class BrokenSessionError(RuntimeError):
    """An application does not keep its session; measuring it would mean nothing."""


class Visitor:
    """One visitor of one application, with a client for its kind."""

    def __init__(self, place: Place, framework: Framework, app: Any) -> None:
        self._loop = place.loop if framework.is_async else None
        self._client: Any = (ASGIClient if framework.is_async else WSGIClient)(app)
        # Its own, and always the same, as a server's thread has: Django keeps its caches in it.
        self._context = contextvars.Context()

    def get(self, path: str) -> str:
        """Return the answer to one request."""
        body: bytes = self._context.run(self._done, self._client.get, path)
        return body.decode()

    def seconds(self, path: str, times: int) -> float:
        """Return how long so many requests take, after some that are not counted."""
        self._context.run(self._done, self._client.seconds, path, times // WARM_UP + 1)
        seconds: float = self._context.run(self._done, self._client.seconds, path, times)
        return seconds

    def spent(self, path: str, times: int) -> tuple[float, float]:
        """Return how long so many requests take, and the processor time of this process."""
        before = time.process_time()
        seconds: float = self._context.run(self._done, self._client.seconds, path, times)
        return seconds, time.process_time() - before

    def start(self, name: str) -> None:
        """Begin a session, and make sure that it is kept."""
        self.get(START)
        self.get(MODES["read+write"])
        self.get(MODES["read+write"])
        if self.get(COUNT) != "2":
            raise BrokenSessionError(f"{name}: a session that was written twice has not kept both")

    def _done(self, function: Callable[..., Any], *args: Any) -> Any:
        result = function(*args)
        return result if self._loop is None else self._loop.run_until_complete(result)


def measure(place: Place, rows: list[Row], rounds: int, sample_seconds: float) -> dict[str, Any]:
    """Return the figures of rows that are all there.

    Each round takes one sample of everything, in an order of its own; a figure is the least of
    its samples, in microseconds a request. Garbage is collected between rounds only.
    """
    samples = dict(_samples(place, rows))
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in samples}
    gc.collect()
    gc.freeze()  # what is there for good need not be looked at again in each round
    gc.disable()
    try:
        times = {key: _times_for(sample, sample_seconds) for key, sample in samples.items()}
        for number in range(rounds):
            gc.collect()
            for key in random.Random(number).sample(list(samples), len(samples)):
                taken[key].append(samples[key](times[key]) * 1e6 / times[key])
    finally:
        gc.enable()
        gc.unfreeze()
    figures: dict[str, Any] = {}
    for (name, mode), all_of_it in taken.items():
        least, median = min(all_of_it), statistics.median(all_of_it)
        figures.setdefault(name, {})[mode] = {"us": round(least, 2), "median_us": round(median, 2)}
    for row in rows:
        figures[row.name]["baseline"] = row.framework.name
    return figures


def _samples(place: Place, rows: list[Row]) -> Iterator[tuple[tuple[str, str], Sample]]:
    for framework in dict.fromkeys(row.framework for row in rows):
        visitor = Visitor(place, framework, framework.make(place, framework.visit()))
        yield (framework.name, "without"), partial(visitor.seconds, BASELINE)
    for row in rows:
        app = row.make(place, row.framework.visit())
        for mode, path in MODES.items():
            visitor = Visitor(place, row.framework, app)
            if not row.is_bare:
                visitor.start(row.name)
            yield (row.name, mode), partial(visitor.seconds, path)


def _times_for(sample: Sample, seconds: float) -> int:
    """Return how many requests take about ``seconds``; 1 for 0."""
    times = 1
    while seconds and (taken := sample(times)) < seconds:
        times = max(times * 2, int(times * seconds / max(taken, 1e-9)) if taken > 1e-4 else 0)
    return times


def count_trips(place: Place, rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return how many round trips to Redis a request of each mode takes, by row."""
    assert place.trips is not None
    counted: dict[str, dict[str, float]] = {}
    for row in rows:
        visitor = Visitor(place, row.framework, row.make(place, row.framework.visit()))
        if not row.is_bare:
            visitor.start(row.name)
        for mode, path in MODES.items():
            counted.setdefault(row.name, {})[mode] = _trips_of(place.trips, visitor, path)
    return counted


def _trips_of(trips: Trips, visitor: Visitor, path: str) -> float:
    requests = 10
    visitor.get(path)
    before = trips.number
    for _ in range(requests):
        visitor.get(path)
    return (trips.number - before) / requests
