"""What the served application writes down: who is at work, and what went wrong.

No lock is taken: a teardown may run in a finaliser, at any place in any thread. Everything
here is one atomic operation on a container or a counter.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

EXAMPLES = 5  # of what went wrong are kept in words
WRONG = ("foreign_reads", "stale_values", "teardowns_doubled", "teardowns_early")


class Tally:
    """A counter that loses no count between threads."""

    def __init__(self) -> None:
        self._next = itertools.count()
        self._reads = 0

    def add(self) -> None:
        """Count one more."""
        next(self._next)

    def total(self) -> int:
        """Return how many were counted. By one reader only."""
        total = next(self._next) - self._reads  # a read counts too
        self._reads += 1
        return total


class Ledger:
    """Of one server process."""

    def __init__(self) -> None:
        self._open: dict[str, None] = {}
        self._wrong = {kind: Tally() for kind in WRONG}
        self._examples: deque[str] = deque(maxlen=EXAMPLES)
        self._server_leaks = Tally()

    def begin(self, visit: str) -> None:
        """Expect the end of a request, or of what it has started."""
        self._open[visit] = None

    def end(self, visit: str) -> None:
        """Note the end; a second one is wrong."""
        try:
            del self._open[visit]
        except KeyError:
            self.wrong("teardowns_doubled", f"{visit} ended a second time")

    def expect_open(self, visit: str) -> None:
        """A request that is at work cannot have ended."""
        if visit not in self._open:
            self.wrong("teardowns_early", f"{visit} was at work after its teardown")

    def wrong(self, kind: str, example: str) -> None:
        """Count something that must not happen.

        :param kind: one of :data:`WRONG`.
        :param example: what happened, to which request.
        """
        self._wrong[kind].add()
        self._examples.append(example)

    def server_leaked(self) -> None:
        """Count a variable that the server itself kept from one request to another."""
        self._server_leaks.add()

    def report(self) -> dict[str, Any]:
        """Return the counts, for JSON."""
        waiting = list(self._open)
        return {
            **{kind: tally.total() for kind, tally in self._wrong.items()},
            "server_leaks": self._server_leaks.total(),
            "open": len(waiting),
            "examples": [*self._examples, *(f"{one} has not ended" for one in waiting[:EXAMPLES])],
        }
