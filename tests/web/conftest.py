"""What tests of several files here take."""

from __future__ import annotations

import gc

import pytest

from ctxlocal import ident
from ctxlocal.ident.named import KINDS


@pytest.fixture(params=tuple(KINDS))
def strategy(request: pytest.FixtureRequest) -> str:
    """Each strategy as the application's default."""
    gc.collect()  # Locals of other tests, which a change of the default would have to look at
    ident.set_default(request.param)
    return str(request.param)
