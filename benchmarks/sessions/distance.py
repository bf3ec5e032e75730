"""What a request with a session in Redis takes where the server is near and where it is not.

Beside the time that a visitor waits, the processor time that the application's process spends: a
network hides the second from who waits, but not from those whose requests the process serves
meanwhile.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from .cost import BASELINE, Visitor
from .field import Row
from .place import Place
from .visit import MODES

FAR_SECONDS = 0.0005
NEAR, FAR = "on this machine", f"{FAR_SECONDS * 1e3:g} ms away"
REQUESTS = 20  # of a sample


def measure(place: Place, rows: list[Row], rounds: int) -> dict[str, dict[str, float]]:
    """Return what a request that reads and writes takes, in microseconds, by row.

    Each round takes a sample of each row, in an order of its own; a figure is the least.
    """
    samples = {}
    for framework in dict.fromkeys(row.framework for row in rows):
        visitor = Visitor(place, framework, framework.make(place, framework.visit()))
        samples[framework.name] = partial(visitor.spent, BASELINE, REQUESTS)
    for row in rows:
        visitor = Visitor(place, row.framework, row.make(place, row.framework.visit()))
        if not row.is_bare:
            visitor.start(row.name)
        samples[row.name] = partial(visitor.spent, MODES["read+write"], REQUESTS)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in samples}
    for number in range(rounds + 1):
        for name in random.Random(number).sample(list(samples), len(samples)):
            taken[name].append(samples[name]())
    return {name: _least(found[1:]) for name, found in taken.items()}


def _least(found: list[tuple[float, float]]) -> dict[str, Any]:
    waited, processor = map(min, zip(*found, strict=True))
    return {
        "us": round(waited * 1e6 / REQUESTS, 1),
        "cpu_us": round(processor * 1e6 / REQUESTS, 1),
    }
