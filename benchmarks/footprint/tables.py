"""The tables of memory, as :mod:`benchmarks.render` puts them in the pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Document, markdown
from ctxlocal.lab.figures import MISSING


def read_footprints(folder: Path) -> list[Document]:
    """Read every results file of ``folder``, the oldest Python first."""
    found = [Document(json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    return sorted(found, key=lambda one: (one.document["implementation"], one.python))


def table(part: str, title: str, **columns: str) -> Callable[[list[Document]], str]:
    """Return what renders a part: its rows by the names of its figures, for each results file.

    :param columns: the head of each figure's column.
    """

    def render(found: list[Document]) -> str:
        names = dict.fromkeys(name for one in found for name in one.document[part])
        shown = [(one, figure) for one in found for figure in columns]
        return markdown(
            [title, *(f"{columns[figure]}: {one.name}" for one, figure in shown)],
            (
                [name, *(_bytes(one.document[part].get(name, {}).get(key)) for one, key in shown)]
                for name in names
            ),
        )

    return render


def _bytes(figure: int | None) -> str:
    return MISSING if figure is None else f"{figure:,}"


BLOCKS: dict[str, Callable[[list[Document]], str]] = {
    "footprint-sessions": table(
        "opened",
        "bytes a session",
        between="between requests",
        open="open, on top",
        peak="resident, on top, at most",
    ),
    "footprint-connections": table("idle", "bytes a connection", idle="resident"),
    "footprint-runs": lambda found: "".join(one.run() for one in found),
}
