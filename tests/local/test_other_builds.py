"""An extension that another Python was built with: it is not loaded, and the doctor says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import ctxlocal
from tests.support.patience import PATIENCE_S
from tests.support.twins import IMPLEMENTATIONS

PACKAGE = Path(ctxlocal.__file__).parent
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
OTHERS_NAME = "_native.cpython-399-x86_64-linux-gnu.so"
SAY = "from ctxlocal.local import IMPLEMENTATION, REASON; print(f'{IMPLEMENTATION}: {REASON}')"
DIAGNOSE = """
from ctxlocal.cli.doctor import diagnose
print(*(finding.text for finding in diagnose().findings), sep='\\n')
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with ctxlocal as it is installed, without a native twin."""
    ignored = shutil.ignore_patterns("__pycache__", "_native*")
    shutil.copytree(PACKAGE, tmp_path / "ctxlocal", ignore=ignored)
    return tmp_path


def said(code: str, site: Path, **environ: str) -> str:
    """Return what a process that finds the ctxlocal of ``site`` prints; it may not crash."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site), "CTXLOCAL_PURE": "", **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("suffix", EXTENSION_SUFFIXES)
def test_what_cannot_be_loaded_lets_the_pure_twin_serve(site: Path, suffix: str) -> None:
    (site / f"ctxlocal/local/_native{suffix}").write_bytes(b"\x7fELF of another machine")
    wanted = "there is no native twin for a free-threaded" if FREE_THREADED else "was not built, or"
    assert wanted in said(SAY, site)
    assert said(SAY, site).startswith("pure: ")


@pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the native twin is not built")
def test_the_extension_of_another_version_refuses_to_be_loaded_under_any_name(site: Path) -> None:
    own = Path(sys.modules["ctxlocal.local._native"].__file__ or "").read_bytes()
    version = b"\0%d.%d.\0" % sys.version_info[:2]
    assert own.count(version) == 1
    others = own.replace(version, b"\0" + b"9" * (len(version) - 3) + b".\0")
    (site / f"ctxlocal/local/_native{EXTENSION_SUFFIXES[-1]}").write_bytes(others)
    reason = f"it is of Python {'9' * (len(version) - 3)}.x, and this is {sys.version.split()[0]}"
    assert f"cannot be loaded ({reason}" in said(SAY, site)


@pytest.mark.skipif(FREE_THREADED, reason="no build of the native twin would serve")
def test_the_doctor_names_the_extension_of_another_python(site: Path) -> None:
    (site / "ctxlocal/local" / OTHERS_NAME).touch()
    found = said(DIAGNOSE, site)
    assert f"The native twin here is that of another Python: {OTHERS_NAME}. Install" in found


def test_the_doctor_says_nothing_of_it_where_it_was_not_looked_for(site: Path) -> None:
    (site / "ctxlocal/local" / OTHERS_NAME).touch()
    found = said(f"{SAY}{DIAGNOSE}", site, CTXLOCAL_PURE="1")
    assert found.startswith("pure: CTXLOCAL_PURE is set\n")
    assert "another Python" not in found


@pytest.mark.skipif(not FREE_THREADED, reason="the GIL cannot be switched off")
@pytest.mark.parametrize("gil", ["0", "1"])
def test_the_pure_twin_serves_whether_or_not_the_gil_is_switched_on(site: Path, gil: str) -> None:
    wanted = "pure: there is no native twin for a free-threaded Python\n"
    assert said(SAY, site, PYTHON_GIL=gil) == wanted
    shown = "from ctxlocal.cli.doctor import diagnose; print(diagnose().facts.gil)"
    assert said(shown, site, PYTHON_GIL=gil) == f"{gil == '1'}\n"
