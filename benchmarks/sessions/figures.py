"""Figures: what a results file says, and what follows from it by subtraction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.table import Document


class Figures(Document):
    """A results file of sessions."""

    def without(self, framework: str, group: str) -> float | None:
        """Return what a request takes without sessions, in µs, as measured with that group."""
        row = self.document["cost"].get(group, {}).get(framework, {})
        return _us(row, "without")

    def added(self, row: str, mode: str) -> float | None:
        """Return what a session adds to a request, in µs; None where a row is missing."""
        for group, rows in self.document["cost"].items():
            if row in rows:
                whole = _us(rows[row], mode)
                base = self.without(rows[row]["baseline"], group)
                return None if whole is None or base is None else whole - base
        return None

    def above_trips(self, row: str, bare: str, mode: str) -> float | None:
        """Return the same above what the round trips take that ``bare`` makes."""
        added, trips = self.added(row, mode), self.added(bare, mode)
        return None if added is None or trips is None else added - trips

    def trips(self, row: str, mode: str) -> float | None:
        """Return how many round trips a request takes."""
        found: float | None = self.document.get("round-trips", {}).get(row, {}).get(mode)
        return found


def _us(row: dict[str, Any], mode: str) -> float | None:
    found: float | None = row.get(mode, {}).get("us")
    return found


def read_figures(folder: Path) -> list[Figures]:
    """Read every results file of ``folder``, the oldest Python first."""
    documents = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    figures = [Figures(document) for document in documents]
    return sorted(figures, key=lambda one: (one.document["implementation"], one.python))
