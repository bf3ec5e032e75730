"""A pytest plugin for Starlette's own tests of its SessionMiddleware, in whose place is ours."""

from __future__ import annotations

import sys
from typing import Any

import httpx
import starlette.middleware.sessions
from stand_in import (  # type: ignore[import-not-found]
    pytest_collection_modifyitems as pytest_collection_modifyitems,
)

from ctxlocal.integrations.starlette import SessionMiddleware

sys.modules.setdefault("httpx2", httpx)  # the new name, which their types are imported from


class _Ours(SessionMiddleware):
    def __init__(self, app: Any, secret_key: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(app, secret_key.ljust(32, "."), *args, **kwargs)  # theirs is too short


def pytest_configure() -> None:
    starlette.middleware.sessions.SessionMiddleware = _Ours  # type: ignore[assignment, misc]
