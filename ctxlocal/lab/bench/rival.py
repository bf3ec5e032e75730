"""The libraries the tables compare with: imported late, because each of them may be missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib import import_module, metadata
from typing import Any

DISTRIBUTIONS = (
    "werkzeug",
    "gevent",
    "greenlet",
    "asgiref",
    "eventlet",
    "wrapt",
    "lazy-object-proxy",
)


def load(module: str) -> Any:
    """Import ``module``.

    :raises ImportError: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet announces its own deprecation
        return import_module(module)


def missing(modules: tuple[str, ...]) -> str | None:
    """Return the first of ``modules`` that cannot be imported, None if all can."""
    for module in modules:
        try:
            load(module)
        except ImportError:
            return module
    return None


def has_native_twin() -> bool:
    """Say whether the native twin is the one in use, so that the pure one has rows of its own."""
    return (
        missing(("ctxlocal",)) is None
        and getattr(load("ctxlocal"), "IMPLEMENTATION", "pure") == "native"
    )


def versions(distributions: Iterable[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Return the version of every rival that is installed, by distribution."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
