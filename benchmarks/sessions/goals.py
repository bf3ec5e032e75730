"""The goals for sessions, as data: what the figures are held against, for each way of serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import ours
from .field import ROWS
from .figures import Figures

WAYS = (ours.WSGI, ours.APP, ours.ASGI)
BARE = {ours.WSGI: ours.WSGI, ours.APP: ours.WSGI, ours.ASGI: ours.ASGI}  # where trips are alone
READ, WRITE, UNTOUCHED = "read", "read+write", "untouched"


@dataclass(frozen=True)
class Goal:
    """A bound on a figure.

    :param figure: finds it in the results, for a way of serving; None: a row is missing.
    :param sign: how the figure has to stand to the bound.
    """

    text: str
    sign: str
    bound: float
    unit: str
    figure: Callable[[Figures, str], float | None]

    def scope(self) -> str:
        """Return the bound as the table shows it."""
        return f"{self.sign} {self.bound:g}{self.unit}"

    def is_met(self, reached: float) -> bool:
        """Say whether ``reached``, as exact as it is shown, is within the bound."""
        shown = round(reached, 1)
        if self.sign == "=":
            return shown == self.bound
        return shown >= self.bound if self.sign == "≥" else shown <= self.bound


def _untouched(figures: Figures, way: str) -> float | None:
    """Return the dearest; where ASGI would load before the view, it is told not to."""
    found = []
    for kind in ("encrypted cookie", "signed cookie", "memory", "SQLite", "Redis"):
        name = f"{way}, {kind}"
        if way == ours.ASGI and kind in ("SQLite", "Redis"):
            name += ", load='explicit'"
        found.append(figures.added(name, UNTOUCHED))
    there = [figure for figure in found if figure is not None]
    return max(there) if len(there) == len(found) else None


def _added(kind: str, mode: str) -> Callable[[Figures, str], float | None]:
    return lambda figures, way: figures.added(f"{way}, {kind}", mode)


def _trips(mode: str) -> Callable[[Figures, str], float | None]:
    return lambda figures, way: figures.trips(f"{way}, Redis", mode)


def _above_trips(figures: Figures, way: str) -> float | None:
    return figures.above_trips(f"{way}, Redis", f"redis-py alone, in {BARE[way]}", WRITE)


def _times(kind: str, group: str) -> Callable[[Figures, str], float | None]:
    """Return how many times as much as ours the cheapest rival of the group adds."""

    def figure(figures: Figures, way: str) -> float | None:
        mine = figures.added(f"{way}, {kind}", WRITE)
        theirs = [figures.added(name, WRITE) for name in RIVALS[group]]
        there = [added for added in theirs if added is not None]
        return min(there) / mine if there and mine else None

    return figure


RIVALS = {
    group: [row.name for row in ROWS if row.group == group and not row.is_ours and not row.is_bare]
    for group in ("cookie", "memory", "file", "redis")
}

GOALS = (
    Goal("untouched, the dearest kind", "≤", 1, " µs", _untouched),
    Goal("encrypted cookie, read+write", "≤", 12, " µs", _added("encrypted cookie", WRITE)),
    Goal("memory, read+write", "≤", 8, " µs", _added("memory", WRITE)),
    Goal("SQLite, read+write", "≤", 30, " µs", _added("SQLite", WRITE)),
    Goal("Redis, read: round trips", "=", 1, "", _trips(READ)),
    Goal("Redis, read+write: round trips", "=", 2, "", _trips(WRITE)),
    Goal("Redis, read+write, above its round trips", "≤", 30, " µs", _above_trips),
    *(
        Goal(f"{kind}, read+write, times cheaper than the field", "≥", 3, "", _times(kind, group))
        for kind, group in (
            ("encrypted cookie", "cookie"),
            ("signed cookie", "cookie"),
            ("memory", "memory"),
            ("SQLite", "file"),
            ("Redis", "redis"),
        )
    ),
)
