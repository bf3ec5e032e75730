"""``Session`` over each twin of its values, in one process: both have the same errors and codec."""

from __future__ import annotations

import importlib
import os
import sys
from unittest import mock

import ctxlocal
import ctxlocal.sessions
from ctxlocal.sessions import values
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.values import pure

_OVER_THE_BASE = ("fields", "session")  # modules, in the order in which they import one another


def _over_the_pure_twin() -> type[Session]:
    """Import once more what derives from Values, and leave nothing of that to others."""
    package = ctxlocal.sessions
    names = {name: f"{package.__name__}.{name}" for name in _OVER_THE_BASE}
    former = {name: getattr(package, name) for name in names}
    with mock.patch.object(values, "Values", pure.Values), mock.patch.dict(sys.modules):
        for name in names.values():
            del sys.modules[name]
        try:
            modules = [importlib.import_module(name) for name in names.values()]
        finally:
            for name, module in former.items():
                setattr(package, name, module)
    found: type[Session] = modules[-1].Session
    return found


IS_NATIVE = values.Values is not pure.Values
SESSIONS: dict[str, type[Session]]
SESSIONS = {"native": Session, "pure": _over_the_pure_twin()} if IS_NATIVE else {"pure": Session}

if os.environ.get("CI") and ctxlocal.IMPLEMENTATION == "native" and not IS_NATIVE:
    raise RuntimeError("CI tests the native twin of a session's values too: it was not built")
