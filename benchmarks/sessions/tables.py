"""The tables of ``docs/sessions-benchmarks.md``, as :mod:`benchmarks.render` puts them there."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.table import markdown
from ctxlocal.lab.figures import number

from .field import ROWS
from .figures import Figures
from .goals import GOALS, WAYS, Goal
from .visit import MODES


def goals(figures: list[Figures]) -> str:
    """Render every goal with what was reached, by way of serving and Python."""
    columns = [(way, one) for one in figures for way in WAYS]
    return markdown(
        ["goal", "bound", *(f"{way}: {one.name}" for way, one in columns)],
        (
            [goal.text, goal.scope(), *(_verdict(goal, one, way) for way, one in columns)]
            for goal in GOALS
        ),
    )


def _verdict(goal: Goal, one: Figures, way: str) -> str:
    reached = goal.figure(one, way)
    if reached is None:
        return number(None)
    return f"{reached:.1f} {'met' if goal.is_met(reached) else '**not met**'}"


def without(figures: list[Figures]) -> str:
    """Render what a request takes without any session."""
    groups = {row.framework.name: row.group for row in reversed(ROWS) if row.is_timed}
    rows = (
        [name, *(number(one.without(name, groups[name])) for one in figures)]
        for name in dict.fromkeys(row.framework.name for row in ROWS if row.is_timed)
    )
    return markdown(["no session, µs", *(one.name for one in figures)], rows)


def cost(group: str) -> Callable[[list[Figures]], str]:
    """Return what renders what the sessions of a group add to a request."""

    def render(figures: list[Figures]) -> str:
        columns = [(mode, one) for one in figures for mode in MODES]
        return markdown(
            ["µs above no session", *(f"{mode}: {one.name}" for mode, one in columns)],
            (
                [row.name, *(number(one.added(row.name, mode)) for mode, one in columns)]
                for row in ROWS
                if row.group == group
            ),
        )

    return render


def trips(figures: list[Figures]) -> str:
    """Render the round trips to Redis, which are the same on every Python."""
    one = figures[-1] if figures else None
    return markdown(
        ["round trips", *MODES],
        (
            [row.name, *(_whole(one.trips(row.name, mode)) for mode in MODES)]
            for row in ROWS
            if one is not None and row.group == "redis"
        ),
    )


def lost(figures: list[Figures]) -> str:
    """Render what concurrent requests lost, on the newest Python of these files."""
    rows = []
    found = figures[-1].document["lost"] if figures else {}
    for name, one in found.items():
        keys = one["requests"] - one["kept"]
        kept = one["flashes_kept"]
        flashes = number(None) if kept is None else str(one["requests"] - kept)
        rows.append([name, str(keys), flashes, str(one["failed"])])
    return markdown(["of 50 requests at once", "keys lost", "flashes lost", "failed"], rows)


def distance(figures: list[Figures]) -> str:
    """Render what a request takes where Redis is near, and where it is not."""
    columns = [
        (f"{where}: {one.name}", rows)
        for one in figures
        for where, rows in one.document.get("distance", {}).items()
    ]
    kinds = {"µs": "us", "CPU, µs": "cpu_us"}
    heads = [f"{kind}, {where}" for where, _ in columns for kind in kinds]
    names = dict.fromkeys(name for _, rows in columns for name in rows)
    return markdown(
        ["read+write", *heads],
        (
            [
                name,
                *(
                    number(rows.get(name, {}).get(key))
                    for _, rows in columns
                    for key in kinds.values()
                ),
            ]
            for name in names
        ),
    )


def runs(figures: list[Figures]) -> str:
    """Render what the figures were measured on and with."""
    return "".join(one.run() for one in figures)


def _whole(trips: float | None) -> str:
    return number(None) if trips is None else f"{trips:g}"


# What is lost does not hang on how busy the machine is: it is measured by itself.
LOST_BLOCKS = {"sessions-lost": lost}
DISTANCE_BLOCKS: dict[str, Callable[[list[Figures]], str]] = {
    "sessions-distance": distance,
    "sessions-distance-runs": runs,
}
BLOCKS: dict[str, Callable[[list[Figures]], str]] = {
    "sessions-goals": goals,
    "sessions-runs": runs,
    "sessions-without": without,
    "sessions-cookie": cost("cookie"),
    "sessions-memory": cost("memory"),
    "sessions-file": cost("file"),
    "sessions-redis": cost("redis"),
    "sessions-round-trips": trips,
    "sessions-integrated-sqlite": cost("integrated-sqlite"),
    "sessions-integrated-redis": cost("integrated-redis"),
}
