"""How long a new interpreter takes to start, import one module and exit, and to import none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ctxlocal

from ..rival import missing
from .case import perf_counter

ROOT = Path(ctxlocal.__file__).parent.parent
TABLE = "import"
MODULES = {
    "ctxlocal": "ctxlocal",
    "werkzeug.local": "werkzeug.local",
    "asgiref.local": "asgiref.local",
    "gevent.local": "gevent.local",
    "eventlet.corolocal": "eventlet.corolocal",
    "contextvars": "contextvars",
    "threading": "threading",
}
BARE = "bare interpreter"


def seconds(module: str | None) -> float:
    """Return how long a new interpreter took to start, import ``module`` and exit."""
    # -I keeps the environment and the current folder out, so the checkout is named here; the bare
    # interpreter names it too.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    if module is not None:
        code += f"; import {module}"
    start = perf_counter()
    subprocess.run([sys.executable, "-I", "-W", "ignore", "-c", code], check=True)
    return perf_counter() - start


def run(rounds: int) -> Iterator[dict[str, Any]]:
    """Time ``rounds`` interleaved rounds; yield for each, then the least milliseconds by row."""
    rows: dict[str, str | None] = {BARE: None}
    rows |= {row: module for row, module in MODULES.items() if missing((module,)) is None}
    seconds(None)
    least = {row: float("inf") for row in rows}
    for _ in range(rounds):
        for row, module in rows.items():
            least[row] = min(least[row], seconds(module) * 1e3)
        yield {}
    yield {"found": {TABLE: {row: {"ms": round(ms, 2)} for row, ms in least.items()}}}
