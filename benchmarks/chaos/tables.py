"""The table of the chaos run, as :mod:`benchmarks.render` puts it into the docs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.table import Document, markdown
from ctxlocal.lab.figures import number

_COLUMNS = {
    "commits": "acknowledged",
    "lost": "lost",
    "doubled": "doubled",
    "logouts": "ended",
    "undone": "returned",
    "errors": "errors",
}


class Chaos(Document):
    """A results file of the chaos run."""


def read_chaos(folder: Path) -> list[Chaos]:
    """Read every results file of ``folder``."""
    return [Chaos(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


def _found(results: list[Chaos]) -> str:
    head = [*_COLUMNS, "longest wait, s"]
    return "\n".join(
        markdown(["what happens", *head], map(_row, one.document["scenes"].values()))
        for one in results
    )


def _row(scene: dict[str, Any]) -> list[str]:
    counts = [f"{scene[field]:,}" for field in _COLUMNS.values()]
    return [scene["what"], *counts, number(scene["longest_s"])]


def _runs(results: list[Chaos]) -> str:
    return "".join(one.run() for one in results)


BLOCKS: dict[str, Callable[[list[Chaos]], str]] = {"chaos": _found, "chaos-runs": _runs}
