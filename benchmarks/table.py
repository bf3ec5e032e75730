"""What every rendered page is made of: results files, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are figures."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@dataclass(frozen=True)
class Document:
    """A results file: what one implementation gave on one Python."""

    document: dict[str, Any]

    @property
    def python(self) -> tuple[int, int]:
        """The Python's major and minor number."""
        major, minor = self.document["python"].split(".")[:2]
        return int(major), int(minor)

    @property
    def has_gil(self) -> bool:
        """Whether threads took turns; files written before there was the question say nothing."""
        return bool(self.document.get("gil", True))

    @property
    def name(self) -> str:
        """The column's head: implementation and Python, with a t where there is no GIL."""
        suffix = "" if self.has_gil else "t"
        return f"{self.document['implementation']}, {self.python[0]}.{self.python[1]}{suffix}"

    def run(self) -> str:
        """Render what the figures were measured on and with."""
        document = self.document
        machine = document["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
        cpu = f"{machine.get('cpu_model_name', 'unknown')}, {machine.get('cpu_count', '?')} cores"
        where = f"Python {document['python']}, {cpu}, {machine['platform']}, {document['date']}"
        how = f"`{document['command']}`"
        if "rounds" in document:
            how = f"{document['rounds']} rounds: {how}"
        lines = [f"- **{self.name}**: {where}; {versions}; {how}"]
        lines += [f"  - left out: {row} (no {gap})" for row, gap in document["left_out"].items()]
        return "\n".join(lines) + "\n"
