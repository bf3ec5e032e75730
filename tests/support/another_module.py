"""A second module of an extension that is imported: it has a state of its own."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def another_module(name: str) -> Any:
    """Load once more what was imported as ``name``, and leave that where it is."""
    spec = sys.modules[name].__spec__
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
