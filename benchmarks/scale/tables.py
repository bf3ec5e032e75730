"""The tables of ``docs/scale.md``, as :mod:`benchmarks.render` puts them there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.table import Document, markdown
from ctxlocal.lab.figures import number

OWNERS = {
    "contexts": "contexts",
    "tasks-context": "tasks, strategy context",
    "tasks": "tasks, strategy task",
    "greenlets": "raw greenlets",
    "gevent": "gevent greenlets",
    "threads": "threads",
}
LOCALS = {
    "locals-context": "Locals, strategy context",
    "locals-thread": "Locals, strategy thread",
}
ENGINES = ("SQLite", "Redis", "PostgreSQL", "MariaDB")
STORES = {kind: f"sessions in {kind}" for kind in ENGINES}
WORN = {f"worn {kind}": f"{kind}, sessions" for kind in ("SQLite", "Redis", "Redis, compact")}
RATES = {f"rate {kind}": f"{kind}, processes" for kind in ENGINES}

Column = tuple[str, str]  # head, figure


class Growth(Document):
    """A results file of scale."""

    def rows(self, subjects: dict[str, str], figures: Sequence[str], least: int) -> list[list[str]]:
        """Return a row for each size of the subjects, from ``least``, that has such a figure."""
        return [
            [f"{label}: {int(size):,}", *(amount(found.get(figure)) for figure in figures)]
            for subject, label in subjects.items()
            for size, found in self.document["points"].get(subject, {}).items()
            if int(size) >= least and not found.keys().isdisjoint(figures)
        ]


def amount(value: float | None) -> str:
    """Return a figure as the other pages do, and large ones with their thousands apart."""
    return number(value) if value is None or value < 1000 else f"{value:,.0f}"


def table(
    subjects: dict[str, str], *columns: Column, least: int = 1
) -> Callable[[list[Growth]], str]:
    """Return what renders a table of each results file: sizes from ``least`` on are its rows."""

    def render(results: list[Growth]) -> str:
        figures = [figure for _, figure in columns]
        return "\n".join(
            markdown([one.name, *(head for head, _ in columns)], one.rows(subjects, figures, least))
            for one in results
        )

    return render


def runs(results: list[Growth]) -> str:
    """Render what the figures were measured on and with."""
    return "".join(one.run() for one in results)


def read_growth(folder: Path) -> list[Growth]:
    """Read every results file of ``folder``, the oldest Python first."""
    documents = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    results = [Growth(document) for document in documents]
    return sorted(results, key=lambda one: (one.document["implementation"], one.python))


BLOCKS: dict[str, Callable[[list[Growth]], str]] = {
    "scale-owners": table(
        OWNERS,
        ("get, ns", "get"),
        ("set, ns", "set"),
        ("cold get, ns", "cold get"),
        ("first set, ns", "first set"),
        ("release, ns", "release"),
        ("end, µs", "held end, us"),
        ("end without a value, µs", "bare end, us"),
    ),
    "scale-all-owners": table(
        OWNERS, ("drop the Local, ms", "drop, ms"), ("refuse set_default, ms", "refused, ms")
    ),
    "scale-owners-space": table(
        OWNERS,
        ("bytes each", "held"),
        ("without a value", "bare"),
        ("resident", "resident"),
        ("kept for the next", "held kept"),
        ("left by the next", "held left"),
        least=100,  # an owner or two are lost among what the process does besides
    ),
    "scale-locals": table(
        LOCALS,
        ("get, ns", "get"),
        ("set, ns", "set"),
        ("cold get, ns", "cold get"),
        ("set in a copied Context, ns", "set in a copy"),
        ("new Frame, ns", "new frame"),
        ("step of a Frame, ns", "frame step"),
        ("snapshot, ns", "snapshot"),
    ),
    "scale-locals-space": table(
        {"locals": "Locals"}, ("bytes a Local", "bytes a Local"), ("bytes a value", "bytes a value")
    ),
    "scale-default": table({"default": "released Locals"}, ("set_default, ms", "change, ms")),
    "scale-attributes": table(
        {"attributes": "attributes"},
        ("get, ns", "get"),
        ("set, ns", "set"),
        ("set in a copied Context, ns", "set in a copy"),
        ("iterate, ns", "iterate"),
        ("release, ns", "release"),
        ("bytes each", "bytes"),
    ),
    "scale-depth": table(
        {"depth": "stack depth"},
        ("push+pop, ns", "push+pop"),
        ("top, ns", "top"),
        ("push in a copied Context, ns", "push in a copy"),
        ("release, ns", "release"),
        ("bytes each", "bytes"),
    ),
    "scale-sessions": table(
        STORES,
        ("load, µs", "load"),
        ("commit, µs", "commit"),
        ("commit, 99th percentile", "commit p99"),
        ("create, µs", "create"),
        ("list a user's, µs", "list"),
        ("revoke a user's, µs", "revoke"),
        ("purge of none, ms", "purge of none, ms"),
        ("purge of a tenth, ms", "purge of a tenth, ms"),
        ("bytes each", "bytes"),
    ),
    "scale-worn": table(WORN, ("bytes each, new", "fresh"), ("bytes after 16 commits", "worn")),
    "scale-rates": table(
        RATES, ("load and commit, a second", "a second"), ("99th percentile, ms", "p99, ms")
    ),
    "scale-runs": runs,
}
