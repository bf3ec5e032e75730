"""The versions of what decides about isolation, without importing it, and which ctxlocal it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import ctxlocal
from ctxlocal.local import IMPLEMENTATION, REASON

PACKAGE = Path(ctxlocal.__file__).parent
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
    others = (Path(str(found.locate_file("ctxlocal"))) for found in distributions(name="ctxlocal"))
    is_hidden = any(_is_built(package / "local") for package in others)
    return HIDDEN if is_hidden and not _is_built(PACKAGE / "local") else ""


def other_builds() -> tuple[str, ...]:
    """Return the files with a native twin that is another Python's, where this one found none."""
    if "not built" not in REASON:
        return ()
    loadable = {f"_native{suffix}" for suffix in EXTENSION_SUFFIXES}
    built = (PACKAGE / "local").glob("_native.*")
    files = (path.name for path in built if path.suffix in (".so", ".pyd"))
    return tuple(sorted(name for name in files if name not in loadable))


def lacks_native_values() -> bool:
    """Return whether the core has its native twin, and the values of sessions have not."""
    return IMPLEMENTATION == "native" and not _is_built(PACKAGE / "sessions" / "values")


def _is_built(folder: Path) -> bool:
    return any((folder / f"_native{suffix}").exists() for suffix in EXTENSION_SUFFIXES)
