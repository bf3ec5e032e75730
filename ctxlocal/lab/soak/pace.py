"""How fast answers come, in each of a few rounds: one figure would hide how much is noise."""

from __future__ import annotations

import time

ROUNDS = 4  # in a run, of equally many requests


class Pace:
    """Notes answers as they come.

    :param length: how many answers make a round.
    """

    def __init__(self, length: int) -> None:
        self._length = max(1, length)
        self._answered = 0
        self._since = time.monotonic()
        self._rates: list[float] = []

    def begin(self) -> None:
        """Count the time from now on."""
        self._since = time.monotonic()

    def answered(self) -> None:
        """Note one more answer."""
        self._answered += 1
        if self._answered % self._length:
            return
        now = time.monotonic()
        if now > self._since:  # clocks have steps
            self._rates.append(self._length / (now - self._since))
        self._since = now

    @property
    def lowest(self) -> float | None:
        """Answers a second of the slowest round; None where none is complete."""
        return round(min(self._rates), 1) if self._rates else None

    @property
    def highest(self) -> float | None:
        """Answers a second of the fastest round; None where none is complete."""
        return round(max(self._rates), 1) if self._rates else None
