"""A pytest plugin: these tests alone, in this order."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

CHOSEN = "CTXLOCAL_MUTANTS_CHOSEN"  #: the file that lists the tests' ids, in the environment


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what was chosen."""
    found = {item.nodeid: item for item in items}
    chosen = json.loads(Path(os.environ[CHOSEN]).read_text(encoding="utf-8"))
    items[:] = [found[name] for name in chosen if name in found]
