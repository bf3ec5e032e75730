"""Each test traces the classes of the twin that it tests."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from ctxlocal import trace


@pytest.fixture
def traced(impl: ModuleType) -> Iterator[ModuleType]:
    """The package under test, traced: without a look for what other tests have left bound."""
    trace.begin(impl)
    yield impl
    trace.disable()
