"""The versions of what decides about isolation, without importing it, and which ctxlocal it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import ctxlocal
from ctxlocal.local import REASON

LIBRARIES = ("greenlet", "gevent", "eventlet", "asgiref", "trio", "anyio", "uvloop")
HIDDEN = (
    "these are sources without the native twin, which hide an installed ctxlocal that has it: "
    "leave the folder of the checkout, or type ctxlocal in place of python -m ctxlocal"
)


def installed_versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Return the version of ctxlocal and of each installed library, and of ``more``."""
    found = {"ctxlocal": ctxlocal.__version__}
    for name in (*LIBRARIES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def has_gil() -> bool:
    """Return whether one thread at a time runs Python code: a GIL that is there may be off."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def hidden_twin() -> str:
    """Say so where the imported package hides an installed one that has the native twin, or "".

    In the folder of a checkout Python finds the sources first, and nothing else tells.
    """
    if "not built" not in REASON:  # built, or not wanted
        return ""
    package = Path(ctxlocal.__file__).parent
    others = (Path(str(found.locate_file("ctxlocal"))) for found in distributions(name="ctxlocal"))
    return HIDDEN if not _is_built(package) and any(map(_is_built, others)) else ""


def other_builds() -> tuple[str, ...]:
    """Return the files with a native twin that is another Python's, where this one found none."""
    if "not built" not in REASON:
        return ()
    folder = Path(ctxlocal.__file__).parent / "local"
    loadable = {f"_native{suffix}" for suffix in EXTENSION_SUFFIXES}
    files = (path.name for path in folder.glob("_native.*") if path.suffix in (".so", ".pyd"))
    return tuple(sorted(name for name in files if name not in loadable))


def _is_built(package: Path) -> bool:
    return any((package / "local" / f"_native{suffix}").exists() for suffix in EXTENSION_SUFFIXES)
