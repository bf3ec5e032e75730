"""What the plots and the tables of the bench show, out of its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..figures import measured
from . import plot, units
from .plot import Bar, Point

Bench = Mapping[str, Any]
Row = Mapping[str, Any]

# The operation, and the table of the micro benchmarks that measures it.
OPERATIONS = {
    "Local: get": "local-get",
    "Local: set": "local-set-10",
    "LocalStack: push and pop": "stack-1",
    "LocalProxy: attribute": "proxy-attribute",
    "Request: 5 sets, 20 gets": "request",
}
EMPTY_LOOP = "pass"
OURS = "ctxlocal."
OWN, PEER = 0, 7  # colours
MODES = {"plain": PEER, "contexts": 5, "sessions": OWN}
LABEL_LENGTH = 26
SERVERS_IN_A_PLOT = 4
CURVES = {"throughput": "net_ops_per_second", "memory": "bytes_per_owner"}


@dataclass(frozen=True)
class Time:
    """Nanoseconds: the least sample, and how far above it the median of the samples is."""

    ns: float
    spread: float = 0.0

    @property
    def shown(self) -> str:
        """The time with the digits that its spread supports."""
        return units.supported(self.ns, self.spread)

    def over(self, reference: Time) -> Ratio:
        """Return how many times ``reference`` it takes."""
        if self is reference:
            return Ratio(1, 1, 1)
        lowest = self.ns / (reference.ns + reference.spread)
        return Ratio(self.ns / reference.ns, lowest, (self.ns + self.spread) / reference.ns)


@dataclass(frozen=True)
class Ratio:
    """How many times our time something takes, and between what that varies."""

    value: float
    low: float
    high: float

    @property
    def shown(self) -> str:
        """The ratio with the digits that its spread supports; "about 1" where that is noise."""
        if self.low <= 1 <= self.high:
            return f"{units.ABOUT if self.low < self.high else ''}1{units.TIMES}"
        spread = max(self.high - self.value, self.value - self.low)
        return f"{units.supported(self.value, spread)}{units.TIMES}"


@dataclass(frozen=True)
class Comparison:
    """One operation: our time and the peers', the fastest first, ours under ``reference``."""

    title: str
    reference: str
    times: dict[str, Time]

    @property
    def ratios(self) -> dict[str, Ratio]:
        """How many times our time each row takes."""
        ours = self.times[self.reference]
        return {row: time.over(ours) for row, time in self.times.items()}

    @property
    def peers(self) -> dict[str, Ratio]:
        """The ratios of those that are not ours."""
        return {row: ratio for row, ratio in self.ratios.items() if not row.startswith(OURS)}

    def drawn(self, name: str) -> str:
        """Return the plot: the reference, then the peers."""
        shown = {self.reference: self.ratios[self.reference], **self.peers}
        bars = [
            Bar(
                _short(row),
                ratio.value,
                OWN if row == self.reference else PEER,
                ratio.shown,
                (ratio.low, ratio.high),
            )
            for row, ratio in shown.items()
        ]
        listed = ", ".join(f"{row} {ratio.shown}" for row, ratio in shown.items())
        return plot.ratios(bars, name, f"{self.title}, times the time of ctxlocal: {listed}")


def comparisons(bench: Bench) -> list[Comparison]:
    """Return each operation that was measured, ours among others."""
    micro = bench.get("micro") or {}
    found = []
    for title, table in OPERATIONS.items():
        times = _times(micro.get(table) or {})
        ours = [row for row in times if row.startswith(OURS)]
        if ours:
            ordered = dict(sorted(times.items(), key=lambda pair: pair[1].ns))
            found.append(Comparison(title, ours[0], ordered))
    return found


def micro_tables(bench: Bench) -> dict[str, dict[str, Time]]:
    """Return all tables of the micro benchmarks that are in nanoseconds."""
    tables = {name: _times(rows or {}) for name, rows in (bench.get("micro") or {}).items()}
    return {name: times for name, times in tables.items() if times}


def _times(rows: Mapping[str, Row]) -> dict[str, Time]:
    times = {row: _time(found) for row, found in rows.items() if row != EMPTY_LOOP}
    return {row: time for row, time in times.items() if time is not None}


def _time(found: Row) -> Time | None:
    least, median = measured(found.get("ns")), measured(found.get("median_ns"))
    if least is None or least <= 0:
        return None
    return Time(least, max(0.0, median - least) if median else 0.0)


@dataclass(frozen=True)
class Concurrency:
    """N owners that share one Local: a row for each kind of owner, library and N."""

    rows: Sequence[Row]

    @property
    def owners(self) -> list[str]:
        """The kinds of owners, in the order of the rows."""
        return _unique(self.rows, "owners")

    @property
    def libraries(self) -> list[str]:
        """The libraries, ours first: their place is their style in every plot."""
        names = _unique(self.rows, "library")
        return sorted(names, key=lambda name: not name.startswith(OURS))

    @property
    def counts(self) -> list[int]:
        """The numbers of owners."""
        return sorted({row["count"] for row in self.rows if measured(row.get("count"))})

    def drawn(self, which: str) -> dict[int, str]:
        """Return the libraries that have a line in the plots of ``which``, under their places."""
        places = {place for kind in self.owners for place in self._points(kind, CURVES[which])}
        return {place: name for place, name in enumerate(self.libraries) if place in places}

    def plots(self, which: str) -> dict[str, str]:
        """Return the plots of "throughput" or "memory" under the kinds of owners."""
        key, unit = CURVES[which], plot.BYTES if which == "memory" else ""
        points = {owners: self._points(owners, key) for owners in self.owners}
        every = [point for lines in points.values() for line in lines.values() for point in line]
        if not every:
            return {}
        limits = _limits(x for x, _ in every), _limits(y for _, y in every)
        return {
            owners: plot.curves(
                lines,
                f"{which}-{place}",
                f"{which} against the number of {owners}: {self._ends(lines, unit)}",
                unit=unit,
                limits=limits,
            )
            for place, (owners, lines) in enumerate(points.items())
            if lines
        }

    def _points(self, owners: str, key: str) -> dict[int, list[Point]]:
        """The points that logarithmic axes can show, under the libraries' places."""
        lines: dict[int, list[Point]] = {}
        for row in self.rows:
            x, y = measured(row.get("count")), measured(row.get(key))
            if row.get("owners") == owners and x and y and min(x, y) > 0:
                lines.setdefault(self.libraries.index(str(row.get("library"))), []).append((x, y))
        return lines

    def _ends(self, lines: Mapping[int, Sequence[Point]], unit: str) -> str:
        write = units.size if unit else units.compact
        return ", ".join(
            f"{self.libraries[place]} {write(max(line)[1])} at {max(line)[0]:,.0f}"
            for place, line in lines.items()
        )

    def afterwards(self) -> dict[str, list[Row]]:
        """Return what each library left behind, under the kinds of owners.

        A row has ``library``, ``reads`` (of foreign values, in all) and ``left`` (bytes, under
        the numbers of owners).
        """
        return {
            owners: [
                self._left(library, rows)
                for library in self.libraries
                if (rows := self._rows(owners, library))
            ]
            for owners in self.owners
        }

    def _rows(self, owners: str, library: str) -> list[Row]:
        wanted = (owners, library)
        return [row for row in self.rows if (row.get("owners"), row.get("library")) == wanted]

    def _left(self, library: str, rows: Sequence[Row]) -> Row:
        reads = sum(measured(row.get("foreign_reads")) or 0 for row in rows)
        left = {row.get("count"): row.get("bytes_left") for row in rows}
        return {"library": library, "reads": reads, "left": left}


def concurrency(bench: Bench) -> Concurrency:
    """Return the concurrency benchmark; without a row where it did not run."""
    return Concurrency(list(bench.get("concurrency") or ()))


@dataclass(frozen=True)
class Rate:
    """Requests a second: of the best round, and of the worst one, where there were more."""

    best: float
    worst: float

    @property
    def shown(self) -> str:
        """What the rounds were between."""
        return units.band(self.worst, self.best)


def servers(bench: Bench) -> dict[str, dict[str, Rate]]:
    """Return the requests a second of each server, under its modes."""
    found: dict[str, dict[str, Rate]] = {}
    for row in bench.get("servers") or ():
        rate = _rate(row)
        if rate is not None and row.get("mode") in MODES:
            found.setdefault(str(row.get("server")), {})[row["mode"]] = rate
    return found


def _rate(row: Row) -> Rate | None:
    best, worst = measured(row.get("requests_per_second")), row.get("lowest_per_second")
    if best is None or best < 0:
        return None
    return Rate(best, min(best, max(0.0, measured(worst) or best)))


def servers_plots(rates: Mapping[str, Mapping[str, Rate]]) -> list[str]:
    """Draw the servers, a group of bars each; a few in a plot, all to one scale."""
    every = [rate.best for by_mode in rates.values() for rate in by_mode.values()]
    limit = max(every, default=0) or 1
    names = list(rates)
    plots = []
    for first in range(0, len(names), SERVERS_IN_A_PLOT):
        shown = names[first : first + SERVERS_IN_A_PLOT]
        rows = [(_short(server), _bars(rates[server])) for server in shown]
        listed = "; ".join(f"{server} {_listed(rates[server])}" for server in shown)
        said = f"requests a second: {listed}"
        plots.append(plot.grouped(rows, f"servers-{first}", said, limit=limit))
    return plots


def _bars(by_mode: Mapping[str, Rate]) -> list[Bar]:
    return [
        Bar(mode, rate.best, colour, rate.shown, (rate.worst, rate.best))
        for mode, colour in MODES.items()
        if (rate := by_mode.get(mode)) is not None
    ]


def _listed(by_mode: Mapping[str, Rate]) -> str:
    return ", ".join(f"{mode} {rate.shown}" for mode, rate in by_mode.items())


def _short(label: str) -> str:
    label = label.replace(".LocalProxy over a ", " over ")
    return label if len(label) <= LABEL_LENGTH else f"{label[: LABEL_LENGTH - 1]}…"


def _unique(rows: Iterable[Row], key: str) -> list[str]:
    return list(dict.fromkeys(str(row.get(key)) for row in rows))


def _limits(values: Iterable[float]) -> Point:
    found = list(values)
    return min(found), max(found)
