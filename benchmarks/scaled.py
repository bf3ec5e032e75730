"""The table of what two threads do, for the docs: ``python -m benchmarks.scaling`` measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ctxlocal.lab.figures import number

from .table import Document, markdown


class Scaling(Document):
    """A results file of one and two threads."""

    def table(self) -> str:
        """Render what one thread takes for an operation, and how much more two do at once."""
        heads = (
            f"{operation}{what}" for operation in ("get", "set") for what in (", ns", " by two")
        )
        rows = (
            [name, *(cell for operation in ("get", "set") for cell in _cells(*found[operation]))]
            for name, found in self.document["points"].items()
        )
        return markdown([self.name, *heads], rows)


def _cells(one: float, two: float) -> tuple[str, str]:
    return number(one * 1e9), f"{2 * one / two:.2f}×"


def read_scaling(folder: Path) -> list[Scaling]:
    """Read every results file of ``folder``; those without a GIL come first."""
    results = [Scaling(json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    return sorted(results, key=lambda one: (one.has_gil, one.name))


BLOCKS: dict[str, Callable[[list[Scaling]], str]] = {
    "scaling": lambda results: "\n".join(one.table() for one in results),
    "scaling-runs": lambda results: "".join(one.run() for one in results),
}
