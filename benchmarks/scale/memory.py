"""Counts memory: what Python's allocators handed out, and what the process has of the machine."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path


def allocated_bytes() -> int:
    """Return what is allocated now and was since tracing began, without what is garbage."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def resident_bytes() -> int | None:
    """Return the memory that is this process's alone; None where Linux does not tell."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
