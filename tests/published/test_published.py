"""The published test suites of the libraries that ctxlocal replaces, with ctxlocal in their place.

Not a line of theirs is kept here: werkzeug's comes from its source distribution, CPython's
and gevent's are installed with them. Each runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

from .sdist import missing, require, unpacked_tests

HERE = Path(__file__).parent

# The tests that cannot pass, and why. They are expected to fail: a test here that passes,
# or that does not exist, is an error too.
PRIVATE = {"test_local_stack_asyncio": "reads the private attribute _storage of a LocalStack"}
ONE_THREAD = {
    "test_basic_local_asyncio": "wants tasks of one thread apart, which this strategy does not do"
}
NOT_IN_THE_TASK = {
    name: "binds outside of any task, where the thread is the owner, and uses it in a task"
    for name in (
        "test_proxy_await",
        "test_proxy_aiter",
        "test_proxy_async_context_manager",
    )
}
WERKZEUG = {
    "a given ContextVar": PRIVATE,
    "context": PRIVATE,
    "thread": PRIVATE | ONE_THREAD,
    "greenlet": PRIVATE | ONE_THREAD,
    "gevent": PRIVATE | ONE_THREAD,
    "eventlet": PRIVATE | ONE_THREAD,
    "task": PRIVATE | NOT_IN_THE_TASK,
    "callable": PRIVATE | ONE_THREAD,  # threading.current_thread
}
THREADING: dict[str, str] = {}
if sys.version_info >= (3, 14):
    THREADING["test_error"] = "sets an attribute by a name that is no str, for us a TypeError"
GEVENT = {
    "test_create_local_subclass_init_args": "asserts the text of gevent's TypeError; ours differs",
    "test_local_dicts_for_greenlet": "asks gevent.local for the values of its own class",
    "test_locals_collected_when_unreferenced_even_in_running_greenlet": (
        "asserts that a running greenlet has no link; ours keeps one, however many Locals there "
        "are, until it ends"
    ),
    "test_c_extension": "asserts the name of gevent's module",
}


@pytest.fixture(scope="module")
def werkzeug_tests(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of tests/test_local.py of the installed werkzeug."""
    folder = tmp_path_factory.mktemp("sdist")
    return unpacked_tests("werkzeug", folder, "test_local.py").read_text()


def run(arguments: list[str], differences: dict[str, str], folder: Path, ident: str | None) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "STAND_IN_DIFFERENCES": json.dumps(differences),
    }
    environment.pop("CTXLOCAL_IDENT", None)
    environment.pop("PYTEST_ADDOPTS", None)
    if ident is not None:
        environment["CTXLOCAL_IDENT"] = ident
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("strategy", WERKZEUG)
def test_werkzeugs_tests_pass(strategy: str, werkzeug_tests: str, tmp_path: Path) -> None:
    given = strategy == "a given ContextVar"
    if strategy in ("greenlet", "gevent", "eventlet"):
        require(strategy)
    if not given:
        for name in ("Local(_cv_ns)", "LocalStack(_cv_stack)"):
            assert name in werkzeug_tests
            werkzeug_tests = werkzeug_tests.replace(name, f"{name.partition('(')[0]}()")
    (tmp_path / "test_local.py").write_text(werkzeug_tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # not the configuration of ctxlocal
    run(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "stand_in", "test_local.py"],
        WERKZEUG[strategy],
        tmp_path,
        None if given else strategy,
    )


def test_cpythons_tests_pass(tmp_path: Path) -> None:
    if importlib.util.find_spec("test.test_threading_local") is None:
        missing("this Python comes without its tests")
    run([str(HERE / "stand_in.py"), "threading"], THREADING, tmp_path, None)


def test_gevents_tests_pass(tmp_path: Path) -> None:
    require("gevent")
    require("gevent.tests.test__local")
    run([str(HERE / "stand_in.py"), "gevent"], GEVENT, tmp_path, None)
