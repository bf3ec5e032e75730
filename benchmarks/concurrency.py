"""The concurrency benchmark's tables, as :mod:`benchmarks.render` puts them in the docs.

``ctxlocal bench --only concurrency --json FILE`` measures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctxlocal.lab.figures import MISSING, number

from .table import Document, markdown


class Crowds(Document):
    """A results file of the concurrency benchmark."""

    @property
    def name(self) -> str:
        """The twin, and the Python's version."""
        return f"{self.document['twin']}, {self.python[0]}.{self.python[1]}"

    def run(self) -> str:
        """Render what the figures were measured on and with."""
        document = self.document
        machine = document["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
        cpu = f"{machine['cpu_model_name']}, {machine['cpu_count']} cores"
        where = f"Python {document['python']}, {cpu}, {document['platform']}, {document['date']}"
        return f"- **{self.name}**: {where}; {versions}; `{document['command']}`\n"

    def table(self, owners: str) -> str:
        """Render the table of a kind of owners."""
        found = [one for one in self.document["concurrency"] if one["owners"] == owners]
        counts = list(dict.fromkeys(one["count"] for one in found))
        rows: dict[str, dict[int, dict[str, Any]]] = {}
        for one in found:
            rows.setdefault(one["library"], {})[one["count"]] = one
        head = [f"{owners}, {self.name}", *(f"{count:,}" for count in counts)]
        return markdown(
            [*head, "with switches", "bytes an owner", "bytes left", "foreign reads"],
            ([row, *_cells(by_count, counts)] for row, by_count in rows.items()),
        )

    def tables(self) -> str:
        """Render a table for each kind of owners."""
        kinds = dict.fromkeys(one["owners"] for one in self.document["concurrency"])
        return "\n".join(self.table(kind) for kind in kinds)


def _cells(by_count: dict[int, dict[str, Any]], counts: list[int]) -> list[str]:
    net = [_millions(by_count[count]["net_ops_per_second"]) for count in counts]
    most = by_count[counts[-1]]
    foreign = sum(one["foreign_reads"] for one in by_count.values())
    weights = (most["bytes_per_owner"], most["bytes_left"], foreign)
    return [*net, _millions(most["ops_per_second"]), *(f"{weight:,}" for weight in weights)]


def _millions(a_second: float | None) -> str:
    return MISSING if a_second is None else number(a_second / 1e6)


def read_crowds(folder: Path) -> list[Crowds]:
    """Read every results file of ``folder``, the oldest Python first."""
    documents = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    crowds = [Crowds(document) for document in documents]
    return sorted(crowds, key=lambda one: (one.document["twin"], one.python))


BLOCKS: dict[str, Callable[[list[Crowds]], str]] = {
    "concurrency": lambda crowds: "\n".join(one.tables() for one in crowds),
    "concurrency-runs": lambda crowds: "".join(one.run() for one in crowds),
}
