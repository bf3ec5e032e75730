"""The committed figures: what they were taken on, what they say, and how new ones compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.table import Document, markdown
from ctxlocal.lab.figures import number

TOLERANCE = 0.03  # of a figure; repetitions differ by less than a tenth of that


class Counts(Document):
    """A results file of instructions."""

    @property
    def name(self) -> str:
        """Twin, Python, and the machine's architecture."""
        return f"{super().name}, {self.document['architecture']}"

    @property
    def costs(self) -> dict[str, float]:
        """What each kind takes above its bare one, in instructions."""
        counted, above = self.document["counted"], self.document["above"]
        return {name: count - counted.get(above.get(name), 0) for name, count in counted.items()}


def read_counts(folder: Path) -> list[Counts]:
    """Read every results file of ``folder``, the oldest Python first."""
    found = [Counts(json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    return sorted(found, key=lambda one: (one.document["implementation"], one.python, one.name))


def differences(before: Counts, now: Counts) -> Iterator[str]:
    """Yield each way in which figures of the same code may differ: another interpreter, say."""
    old, new = _circumstances(before), _circumstances(now)
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield f"{name} {new.get(name)}, where the figures have {old.get(name)}"


def _circumstances(counts: Counts) -> dict[str, Any]:
    document = counts.document
    return {
        "Python": document["build"],
        "processor": document["machine"].get("cpu_model_name"),
        "libc": document["libc"],
        **document["versions"],
    }


def changes(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each cost has changed that has changed by more than the tolerance."""
    ratios = {name: now[name] / before[name] - 1 for name in now if name in before}
    return {name: change for name, change in ratios.items() if abs(change) > TOLERANCE}


def table(found: list[Counts]) -> str:
    """Render what each kind takes."""
    names = dict.fromkeys(name for one in found for name in one.costs)
    return markdown(
        ["instructions", *(one.name for one in found)],
        ([name, *(number(one.costs.get(name)) for one in found)] for name in names),
    )


BLOCKS: dict[str, Callable[[list[Counts]], str]] = {
    "instructions": table,
    "instructions-runs": lambda found: "".join(one.run() for one in found),
}
