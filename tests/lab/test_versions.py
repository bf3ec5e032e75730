"""A checkout in the current folder, and another ctxlocal that is installed: which one runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import ctxlocal
from ctxlocal.lab.versions import HIDDEN
from tests.support.patience import PATIENCE_S
from tests.support.session_twins import IS_NATIVE

PACKAGE = Path(ctxlocal.__file__).parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the sources, as git clones them."""
    ignored = shutil.ignore_patterns(
        "__pycache__", *(f"*{suffix}" for suffix in EXTENSION_SUFFIXES)
    )
    shutil.copytree(PACKAGE, tmp_path / "clone" / "ctxlocal", ignore=ignored)
    return tmp_path / "clone"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed ctxlocal that has the native twin, though it cannot be loaded."""
    info = tmp_path / "site" / "ctxlocal-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ctxlocal\nVersion: 0.1.0\n")
    twin = info.parent / "ctxlocal" / "local" / f"_native{EXTENSION_SUFFIXES[0]}"
    twin.parent.mkdir(parents=True)
    twin.touch()
    return info.parent


def ran(arguments: list[str], folder: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "COLUMNS": "1000"}
    return subprocess.run(
        [sys.executable, "-m", "ctxlocal", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_version_says_that_an_installed_native_twin_is_hidden(checkout: Path, site: Path) -> None:
    assert f"pure twin ({HIDDEN})\n" in ran(["--version"], checkout, site).stdout


def test_measuring_says_it_in_one_line_beside_the_result(checkout: Path, site: Path) -> None:
    done = ran(["matrix", "--only", "function call", "--json", "-"], checkout, site)
    assert done.stderr == f"Note: {HIDDEN}.\n"
    assert done.stdout.startswith("{")


def test_doctor_notes_it(checkout: Path, site: Path) -> None:
    done = ran(["doctor"], checkout, site)
    assert f"The wrong ctxlocal may be meant: {HIDDEN}." in done.stdout
    assert "Install a C compiler" not in done.stdout


def test_sources_that_were_built_hide_nothing(checkout: Path, site: Path) -> None:
    (checkout / "ctxlocal" / "local" / f"_native{EXTENSION_SUFFIXES[0]}").touch()
    assert HIDDEN not in ran(["--version"], checkout, site).stdout


@pytest.mark.skipif(not IS_NATIVE, reason="the native twin is not built")
def test_doctor_notes_that_the_core_alone_was_built(checkout: Path) -> None:
    """As where an installed checkout came to have the other twin, and was not installed anew."""
    for twin, note in {"local": True, "sessions/values": False}.items():
        built = next(PACKAGE.joinpath(twin).glob(f"_native*{EXTENSION_SUFFIXES[0]}"))
        shutil.copy(built, checkout / "ctxlocal" / twin)
        done = ran(["doctor"], checkout, checkout)
        assert ("Sessions have the pure Python twin of their values" in done.stdout) is note
