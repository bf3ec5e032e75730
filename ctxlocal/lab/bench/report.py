"""The benchmark's result: what each part found, and what it was measured on."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import ctxlocal

from .part import BenchPart
from .rival import versions


@dataclass
class PartFindings:
    """What the jobs of one part have told so far."""

    part: BenchPart
    found: list[Any] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, step: dict[str, Any]) -> None:
        """Keep what a step of a job told."""
        if "found" in step:
            self.found.append(step["found"])
        self.left_out |= step.get("left_out", {})

    def gathered(self) -> Any:
        """Return what the report has under the part's name."""
        return self.part.gather(self.found)


@dataclass
class BenchReport:
    """All that was found.

    :param findings: by the name of the part.
    :param command: what a shell would say to measure the same.
    :param failed: the jobs that broke, with the reason.
    :param signal: the number of the signal that ended it early; None: it ran to its end.
    """

    findings: dict[str, PartFindings]
    command: str
    failed: dict[str, str] = field(default_factory=dict)
    signal: int | None = None

    @property
    def left_out(self) -> dict[str, str]:
        """The rows that are missing, each with the module that is not installed."""
        return {row: gap for one in self.findings.values() for row, gap in one.left_out.items()}

    @property
    def complaints(self) -> list[str]:
        """What must not be, a line for each: foreign reads of ours, jobs that broke."""
        of_parts = (one.part.complaints(one.gathered()) for one in self.findings.values())
        broken = [f"{job} failed: {reason}" for job, reason in self.failed.items()]
        return [line for lines in of_parts for line in lines] + broken

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "kind": "bench",
            "command": self.command,
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "platform": platform.platform(),
            "machine": machine(),
            "twin": ctxlocal.IMPLEMENTATION,
            "versions": {"ctxlocal": ctxlocal.__version__, **versions()},
            **{name: one.gathered() for name, one in self.findings.items()},
            "left_out": self.left_out,
            "failed": self.failed,
            "complete": self.signal is None,
        }


def machine() -> dict[str, Any]:
    """Return the processor's name and how many of it there are."""
    return {"cpu_model_name": _processor(), "cpu_count": os.cpu_count()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
