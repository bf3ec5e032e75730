"""What came of a soak: its runs, and what they were measured on."""

from __future__ import annotations

import itertools
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

import psutil

import ctxlocal
from ctxlocal.lab.versions import installed_versions

VIOLATIONS = {  # what a run counts of each kind, and in words
    "foreign_reads": "foreign reads",
    "stale_values": "stale values",
    "teardowns_skipped": "teardowns skipped",
    "teardowns_doubled": "teardowns doubled",
    "teardowns_early": "teardowns too early",
    "lost_updates": "lost updates",
}
Outcome = Literal["clean", "violations", "failed", "not run", "interrupted"]
SERVER_LIBRARIES = (
    "gunicorn",
    "waitress",
    "werkzeug",
    "uvicorn",
    "h11",
    "httptools",
    "hypercorn",
    "redis",
    "flask",
    "django",
    "starlette",
    "fastapi",
)
TELLING_REQUESTS = 20_000  # fewer do not tell whether memory is flat: allocators warm up slowly
WINDOWS = 3  # of the later samples
# For 10,000 requests: about 100 bytes for each, a fifth of what the smallest known leak by
# identity takes (461 bytes for an owner).
FLAT_BYTES = 2**20
WORDS = {"violations": "with violations"}


@dataclass(frozen=True)
class Memory:
    """The server process's resident memory, and how it grew.

    ``samples`` are (requests so far, bytes). ``bytes_per_10000`` is what it grew by at least
    from one window of the later samples to the next; ``is_flat`` is None where there were too
    few requests to tell.
    """

    samples: list[tuple[int, int]] = field(default_factory=list)
    bytes_per_10000: int | None = None
    is_flat: bool | None = None


def grown(samples: list[tuple[int, int]]) -> Memory:
    """Judge the samples.

    A server fills its pools and caches in the first third. After that an allocator still takes
    memory in large steps, now and then; what leaks grows from each window to the next.
    """
    later = samples[len(samples) // 3 :]
    size = len(later) // WINDOWS
    if size == 0 or later[-1][0] == later[0][0]:
        return Memory(samples)
    windows = [later[-size * back :][:size] for back in range(WINDOWS, 0, -1)]
    least = [(window[0][0], min(memory for _, memory in window)) for window in windows]
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(least)]
    growth = round(min(steps) * 10_000)
    is_telling = samples[-1][0] >= TELLING_REQUESTS
    return Memory(samples, growth, growth < FLAT_BYTES if is_telling else None)


@dataclass(frozen=True)
class Run:
    """One server, under one strategy, with one store.

    ``lowest_per_second`` and ``highest_per_second`` are the requests a second of its slowest and
    its fastest round, None where none was complete: between them a rate is noise.

    ``errors`` are answers that were wrong, or did not come; ``server_leaks`` variables that
    the server itself kept from one request to another, which a frame hides from the
    application. ``note`` says why it was not run, or what went wrong first.
    """

    server: str
    strategy: str
    store: str
    sabotage: str | None = None
    outcome: Outcome = "clean"
    note: str = ""
    seconds: float = 0.0
    requests: int = 0
    requests_per_second: float = 0.0
    lowest_per_second: float | None = None
    highest_per_second: float | None = None
    foreign_reads: int = 0
    stale_values: int = 0
    teardowns_skipped: int = 0
    teardowns_doubled: int = 0
    teardowns_early: int = 0
    lost_updates: int = 0
    errors: int = 0
    unanswered: int = 0
    server_leaks: int = 0
    memory: Memory = field(default_factory=Memory)

    @property
    def violations(self) -> int:
        """How often something happened that must not."""
        return (
            self.foreign_reads
            + self.stale_values
            + self.teardowns_skipped
            + self.teardowns_doubled
            + self.teardowns_early
            + self.lost_updates
            + self.errors
            + (self.memory.is_flat is False)
        )


@dataclass(frozen=True)
class SoakReport:
    """All runs, in the order they were planned."""

    runs: Sequence[Run]
    seconds: float
    settings: dict[str, Any]

    @property
    def violations(self) -> int:
        """How often something happened that must not, in all runs."""
        return sum(run.violations for run in self.runs)

    @property
    def is_good(self) -> bool:
        """Whether something was run, without a violation, a failure or an early end."""
        outcomes = {run.outcome for run in self.runs}
        return "clean" in outcomes and outcomes <= {"clean", "not run"}

    def summary(self) -> str:
        """Count, in one line."""
        outcomes = Counter(run.outcome for run in self.runs)
        counted = ", ".join(
            f"{number} {WORDS.get(outcome, outcome)}" for outcome, number in outcomes.most_common()
        )
        requests = sum(run.requests for run in self.runs)
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        return (
            f"{runs} ({counted}): {requests:,} requests, "
            f"{self.violations:,} violations, {self.seconds:.0f} s"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "kind": "soak",
            "date": datetime.now(timezone.utc).date().isoformat(),
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "platform": platform.platform(),
            "machine": {"cores": psutil.cpu_count(), "memory": psutil.virtual_memory().total},
            "twin": ctxlocal.IMPLEMENTATION,
            "versions": installed_versions(SERVER_LIBRARIES),
            "settings": self.settings,
            "summary": self.summary(),
            "seconds": round(self.seconds, 1),
            "violations": self.violations,
            "runs": [asdict(run) for run in self.runs],
        }
