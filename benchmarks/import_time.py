"""How long a new interpreter takes to start, import one module and exit, and to import none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .case import perf_counter
from .rival import missing

ROOT = Path(__file__).parent.parent
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


def measure(rounds: int) -> dict[str, float]:
    """Return the least milliseconds of ``rounds`` interleaved rounds, by row."""
    rows: dict[str, str | None] = {BARE: None}
    rows |= {row: module for row, module in MODULES.items() if missing((module,)) is None}
    seconds(None)
    least = {row: float("inf") for row in rows}
    for _ in range(rounds):
        for row, module in rows.items():
            least[row] = min(least[row], seconds(module) * 1e3)
    return least
