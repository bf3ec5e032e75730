"""The tests of an installed library, out of its source distribution: wheels have none."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NoReturn

import pytest


def unpacked_tests(package: str, folder: Path, part: str = "") -> Path:
    """Return ``tests``, or a part of it, of the version that is installed, unpacked in a folder."""
    require(package)
    requirement = f"{package}=={importlib.metadata.version(package)}"
    options = ["--quiet", "--no-deps", "--no-binary", package, "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement],
        capture_output=True,
        text=True,
    )
    found = list(folder.glob("*.tar.gz"))
    if done.returncode or not found:
        missing(f"the source distribution of {requirement} cannot be had:\n{done.stderr}")
    with tarfile.open(found[0]) as archive:
        root = archive.getnames()[0].partition("/")[0]
        wanted = f"{root}/tests/{part}".rstrip("/")
        members = [it for it in archive.getmembers() if f"{it.name}/".startswith(f"{wanted}/")]
        archive.extractall(folder, members)
    return folder / wanted


def require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        missing(f"{package} is not installed")


def missing(what: str) -> NoReturn:
    """Skip, with the reason; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
