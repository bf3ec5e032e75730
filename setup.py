"""Builds the native twin, where there is a compiler for it; all else stands in pyproject.toml.

``CTXLOCAL_REQUIRE_NATIVE=1`` makes a failure of the build an error. ``CTXLOCAL_DEBUG=1`` builds
with assertions and symbols, ``CTXLOCAL_WERROR=1`` with every warning as an error.
"""

import os
import sys
import sysconfig
from glob import glob

from setuptools import Extension, setup


def is_set(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "0") not in ("", "0")


def flags() -> list[str]:
    """Return what the compiler is given."""
    if sys.platform == "win32":
        return ["/std:c11"]
    chosen = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden"]
    chosen += ["-O1", "-g", "-UNDEBUG"] if is_set("CTXLOCAL_DEBUG") else ["-O3", "-g0"]
    if is_set("CTXLOCAL_WERROR"):
        chosen.append("-Werror")
    return chosen


def link_flags() -> list[str]:
    """Return what the linker is given: on Linux, to leave out the table of symbols."""
    return ["-Wl,-s"] if sys.platform == "linux" and not is_set("CTXLOCAL_DEBUG") else []


def extensions() -> list[Extension]:
    """Return the native twin; nothing on a free-threaded Python, which it does not support."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []
    return [
        native("ctxlocal.local._native", "ctxlocal/local/native"),
        native("ctxlocal.sessions.values._native", "ctxlocal/sessions/values/native"),
    ]


def native(name: str, folder: str) -> Extension:
    """Return one extension: its ``module.c`` includes all else in the folder."""
    return Extension(
        name,
        [f"{folder}/module.c"],
        depends=glob(f"{folder}/*.h"),
        extra_compile_args=flags(),
        extra_link_args=link_flags(),
        define_macros=[("CTXLOCAL_DEBUG", "1")] if is_set("CTXLOCAL_DEBUG") else [],
        optional=not is_set("CTXLOCAL_REQUIRE_NATIVE"),
    )


setup(ext_modules=extensions())
