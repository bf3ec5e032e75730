"""Runs the cells of one group in a process of its own; ``conductor`` starts it.

Reads a specification from stdin, writes one line of JSON for each cell.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import Any

from ctxlocal.errors import MissingDependencyError
from ctxlocal.lab.process import die_when_orphaned

from .probe import Probe

ORPHANED_AFTER_S = 120
CORE_KIT = "ctxlocal.lab.matrix.exchange:CoreKit"

_thread = threading.local()


def innermost_owner() -> object:
    """Return the asyncio task, else the greenlet, else something of the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return task
    try:
        from greenlet import getcurrent
    except ImportError:
        return _thread.__dict__.setdefault("owner", type("ThreadOwner", (), {})())
    return getcurrent()


def ident_of(strategy: str) -> Any:
    """What a Local takes as its ``ident``."""
    return innermost_owner if strategy == "callable" else strategy


def load_kit(path: str) -> Callable[[Any], Any]:
    """Return the class of the objects under test, given as ``module:name``."""
    module, _, name = path.partition(":")
    make: Callable[[Any], Any] = getattr(import_module(module), name)
    return make


def main() -> None:
    """Run what stdin asks for."""
    from ctxlocal.lab.matrix.probes import find_probe

    spec = json.load(sys.stdin)
    make = load_kit(spec["kit"])
    # All kits come first, so that those of a group which patches late exist before the patch.
    cells = [
        (find_probe(group, way), _make(make, strategy)) for group, way, strategy in spec["cells"]
    ]
    for probe, kit in cells:
        die_when_orphaned(ORPHANED_AFTER_S)
        print(json.dumps(_run(probe, kit)), flush=True)


def _make(make: Callable[[Any], Any], strategy: str) -> Any:
    try:
        return make(ident_of(strategy))
    except Exception as error:
        return error


def _run(probe: Probe, kit: Any) -> dict[str, Any]:
    if isinstance(kit, MissingDependencyError):
        return {"unavailable": f"{kit.package} is not installed"}
    try:
        if isinstance(kit, Exception):
            raise kit
        relation, details = probe.run(kit)
    except MissingDependencyError as error:  # of another interpreter
        return {"unavailable": f"{error.package} cannot be loaded there"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"relation": asdict(relation), "details": details}
