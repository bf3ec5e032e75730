"""What the committed soak found, for the docs: ``ctxlocal soak --store all --json FILE``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctxlocal.lab.figures import MISSING

from .table import markdown

Soaked = list[dict[str, Any]]


def read_soaks(folder: Path) -> Soaked:
    """Read every soak's results of ``folder``."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def _soak(soaks: Soaked) -> str:
    return "\n".join(f"{_told(soak)}\n\n{_table(soak['runs'])}" for soak in soaks)


def _told(soak: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in soak["versions"].items())
    return (
        f"**{soak['summary']}**, on Python {soak['python']}, {soak['twin']} twin, "
        f"{soak['machine']['cores']} cores, {soak['platform']}, {soak['date']}; {versions}: "
        f"`{soak['settings']['command']}`."
    )


def _table(runs: list[dict[str, Any]]) -> str:
    head = ["server", "strategy", "store", "requests", "per s", "violations", "kept", "KiB/10,000"]
    return markdown(head, (_row(run) for run in runs))


def _row(run: dict[str, Any]) -> list[str]:
    where = [run["server"], f"`{run['strategy']}`", run["store"]]
    if run["outcome"] == "not run":
        return [*where, run["note"], *[MISSING] * 4]
    violations = 0 if run["outcome"] == "clean" else f"{run['outcome']}: {run['note']}"
    memory = run["memory"]
    is_judged = memory["is_flat"] is not None
    return [
        *where,
        f"{run['requests']:,}",
        f"{run['requests_per_second']:,.0f}",
        str(violations),
        f"{run['server_leaks']:,}",
        f"{memory['bytes_per_10000'] / 1024:,.0f}" if is_judged else MISSING,
    ]


BLOCKS: dict[str, Callable[[Soaked], str]] = {"soak": _soak}
