"""The matrix's result: its cells, and what they were measured on."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ctxlocal
from ctxlocal.lab.versions import installed_versions

from .place import Relation, surprise
from .probe import Probe

SURPRISES = {
    "shared": "times work that is not its creator's own sees values of others",
    "lost": "times what the creator's own work sets is lost to it",
}
AMONG_SIBLINGS = "shared with the callees before it, not with its creator"


@dataclass(frozen=True)
class Cell:
    """One way of starting work under one strategy.

    ``promised`` is "isolated", "snapshot" or "shared"; ``actual`` one of these,
    "LEAK", "error" or "n/a". ``among_siblings``: what is shared is shared among
    callees only. ``note`` says why, and what speaks against the promise.
    ``surprise`` is what :func:`.place.surprise` says of a promise that was kept.
    """

    group: str
    way: str
    strategy: str
    promised: str
    actual: str
    as_promised: bool
    among_siblings: bool = False
    note: str = ""
    surprise: str = ""

    @property
    def is_applicable(self) -> bool:
        """Whether there was anything to run."""
        return self.actual != "n/a"

    @property
    def is_unexpected(self) -> bool:
        """Whether something else happened than was promised."""
        return self.is_applicable and not self.as_promised

    @property
    def is_surprising(self) -> bool:
        """Whether it is not as promised, or the promise is not what one would expect."""
        return self.is_unexpected or bool(self.surprise)


def measured(probe: Probe, strategy: str, actual: Relation, details: str) -> Cell:
    """Compare what happened with the promise."""
    promised = probe.promise(strategy)
    as_promised = actual == promised
    among_siblings = as_promised and promised.is_among_siblings
    if as_promised:
        word, reasons = actual.word, [AMONG_SIBLINGS if among_siblings else ""]
    else:
        leaked = actual.is_among_siblings and not promised.siblings
        word = "LEAK" if leaked else actual.creator
        reasons = [f"promised: {AMONG_SIBLINGS}" if promised.is_among_siblings else "", details]
    note = "; ".join(filter(None, [probe.note, *reasons]))
    name, way = probe.group.name, probe.way
    surprising = surprise(probe.place, promised) if as_promised else ""
    return Cell(
        *(name, way, strategy, promised.word, word, as_promised, among_siblings, note),
        surprise=surprising,
    )


def failed(probe: Probe, strategy: str, reason: str) -> Cell:
    """A cell whose probe crashed."""
    promised = probe.promise(strategy).word
    return Cell(probe.group.name, probe.way, strategy, promised, "error", False, note=reason)


def not_applicable(probe: Probe, strategy: str, reason: str) -> Cell:
    """A cell that cannot run here."""
    promised = probe.promise(strategy).word
    return Cell(probe.group.name, probe.way, strategy, promised, "n/a", False, note=reason)


def _complaint(where: str, promised: str, note: str) -> str:
    return f"{where}: {promised} was promised" + (f" ({note})" if note else "")


@dataclass(frozen=True)
class MatrixReport:
    """All cells, in the order of the table."""

    cells: Sequence[Cell]

    @property
    def unexpected(self) -> list[Cell]:
        """The cells that are not what was promised."""
        return [cell for cell in self.cells if cell.is_unexpected]

    @property
    def surprising(self) -> list[Cell]:
        """The cells of which one would expect something else; those that broke a promise too."""
        return [cell for cell in self.cells if cell.is_surprising]

    def worth_knowing(self) -> str:
        """Count what was promised and would not be expected, in one line; "" where nothing."""
        counts = Counter(cell.surprise for cell in self.cells if cell.surprise)
        said = [f"{counts[kind]} {text}" for kind, text in SURPRISES.items() if counts[kind]]
        return f"Promised, and worth knowing: {'; '.join(said)}." if said else ""

    def complaints(self) -> list[tuple[str, str]]:
        """Say what is wrong: what happened, and where, against which promise.

        Strategies are in one line where all else is the same.
        """
        alike: dict[tuple[str, ...], list[str]] = {}
        for cell in self.unexpected:
            key = (cell.group, cell.way, cell.actual, cell.promised, cell.note)
            alike.setdefault(key, []).append(cell.strategy)
        return [
            (actual, _complaint(f"{group}: {way}, {', '.join(strategies)}", promised, note))
            for (group, way, actual, promised, note), strategies in alike.items()
        ]

    def summary(self) -> str:
        """Count, in one line."""
        kept = sum(cell.as_promised for cell in self.cells)
        reasons = Counter(cell.note for cell in self.cells if not cell.is_applicable)
        missing = ", ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        return (
            f"{len(self.cells)} cells: {kept} as promised, {len(self.unexpected)} unexpected, "
            f"{reasons.total()} not applicable" + (f" ({missing})" if missing else "")
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "platform": platform.platform(),
            "twin": ctxlocal.IMPLEMENTATION,
            "versions": installed_versions(),
            "summary": self.summary(),
            "unexpected": len(self.unexpected),
            "cells": [asdict(cell) for cell in self.cells],
        }
