"""The versions of what decides about isolation, without importing it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import ctxlocal

LIBRARIES = ("greenlet", "gevent", "eventlet", "asgiref", "trio", "anyio", "uvloop")


def installed_versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Return the version of ctxlocal and of each installed library, and of ``more``."""
    found = {"ctxlocal": ctxlocal.__version__}
    for name in (*LIBRARIES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
