"""The tables of ``docs/servers-benchmarks.md``, as :mod:`benchmarks.render` puts them there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Document, markdown
from ctxlocal.lab.figures import number

from .applications import BARE


class Loads(Document):
    """A results file of servers."""

    def table(self, server: str) -> str:
        """Render what each application does under a server."""
        rows = self.document["servers"][server]
        bare = rows[BARE]
        return markdown(
            [
                f"{server}: {self.name}",
                *("requests a second", "of bare's", "CPU, µs a request", "above bare, µs"),
            ],
            (
                [
                    title,
                    number(row["requests_per_second"]),
                    f"{row['requests_per_second'] / bare['requests_per_second']:.2f}",
                    number(row["cpu_us"]),
                    number(row["cpu_us"] - bare["cpu_us"]),
                ]
                for title, row in rows.items()
            ),
        )


def read_loads(folder: Path) -> list[Loads]:
    """Read every results file of ``folder``, the oldest Python first."""
    found = [Loads(json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    return sorted(found, key=lambda one: (one.document["implementation"], one.python))


def tables(found: list[Loads]) -> str:
    """Render a table for each server."""
    return "\n".join(one.table(server) for one in found for server in one.document["servers"])


BLOCKS: dict[str, Callable[[list[Loads]], str]] = {
    "servers": tables,
    "servers-runs": lambda found: "".join(one.run() for one in found),
}
