"""The model of context semantics on the native twin's other ways, and without each of its checks.

test_model.py runs on the native twin as it is. Here it runs where values are copied for each
write (``CTXLOCAL_NO_INPLACE``), and on a debug build in which one of the checks of
native/layout.h is dropped: then it has to fail, or it would not show that the check is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..support.twins import IMPLEMENTATIONS

ROOT = Path(__file__).parents[2]
MODEL = """
import sys
from contextlib import redirect_stdout
from ctxlocal.local import _native
from tests.local.test_model import ContextModel, CtxlocalFamily, _run
from tests.support.twins import IMPLEMENTATIONS

class DeepModel(ContextModel):
    # Begins with so many variables in each Context that there are nodes to share.

    def __init__(self):
        super().__init__()
        for who in range(4):
            self.set_foreign(who, 0, 60)

print("in place" if _native.IN_PLACE else "copied", flush=True)
try:
    with redirect_stdout(sys.stderr):  # where hypothesis may tell what it found
        family = CtxlocalFamily(IMPLEMENTATIONS["native"])
        _run(family, int(sys.argv[1]), find_only=True, machine=DeepModel)
except Exception as error:  # where it does not fail again in the same way, a group
    found = getattr(error, "exceptions", [error])
    assert all(isinstance(each, AssertionError) for each in found) or "Flaky" in repr(error), error
    print("found")
else:
    print("passed")
"""

pytestmark = [
    pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the native twin is not built"),
    pytest.mark.timeout(0),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def debug_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and a native twin that has assertions."""
    if shutil.which("cc") is None and not os.environ.get("CI"):
        pytest.skip("there is no compiler here")
    folder = tmp_path_factory.mktemp("debug")
    command = [sys.executable, "setup.py", "-q", "build_ext", f"--build-lib={folder}"]
    subprocess.run(
        [*command, f"--build-temp={folder / 'temp'}"],
        cwd=ROOT,
        env={**os.environ, "CTXLOCAL_DEBUG": "1", "CTXLOCAL_REQUIRE_NATIVE": "1"},
        check=True,
        capture_output=True,
    )
    for source in (ROOT / "ctxlocal").rglob("*.py"):
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return folder


def run_model(examples: int, folder: Path = ROOT, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MODEL, str(examples)],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_locals_whose_values_are_copied_behave_as_the_model_says() -> None:
    assert run_model(50, CTXLOCAL_NO_INPLACE="1") == ["copied", "passed"]


def test_a_debug_build_behaves_as_the_model_says(debug_build: Path) -> None:
    assert run_model(50, debug_build) == ["in place", "passed"]


@pytest.mark.parametrize("check", ["hamt", "node", "leaf"])  # found after 5, 150 and 100 examples
def test_the_model_fails_without_each_check_of_sharing(debug_build: Path, check: str) -> None:
    assert run_model(2_000, debug_build, CTXLOCAL_DROP_CHECK=check) == ["in place", "found"]


@pytest.mark.parametrize("check", ["hamt", "node", "leaf"])  # found in the first round
def test_what_is_held_changes_without_each_check_of_sharing(debug_build: Path, check: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.holding", "200"],
        env={
            **os.environ,
            "PYTHONPATH": f"{debug_build}{os.pathsep}{ROOT}",
            "CTXLOCAL_DROP_CHECK": check,
        },
        cwd=debug_build,
        capture_output=True,
        text=True,
    )
    assert re.search("^round .* is not ", done.stdout), done.stdout + done.stderr


def test_nothing_is_changed_in_place_where_that_is_switched_off(
    run_python: Callable[..., str],
) -> None:
    code = "from ctxlocal.local import REASON, _native; print(_native.IN_PLACE, REASON)"
    printed = run_python(code, CTXLOCAL_NO_INPLACE="1", CTXLOCAL_PURE="")
    assert printed == "0 built for this Python; a Context's values are copied for each write\n"
