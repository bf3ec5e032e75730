"""Fixtures: each test runs on every implementation, and where it says so under every strategy."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Generator, Iterator
from contextvars import copy_context
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import ident as ident_module
from ctxlocal.ident.named import NAMED
from ctxlocal.local import Latch
from ctxlocal.web import inherit

from .support.free_threaded import FILES, FREE_THREADED, is_left_out
from .support.patience import PATIENCE_S
from .support.twins import IMPLEMENTATIONS

pytest_plugins = ["tests.support.services", "pytester"]

_WANT = re.compile("could not import|is not installed")  # as importorskip says it, and as we do

STRATEGIES = (*NAMED, "callable")
collect_ignore = FILES if FREE_THREADED else ()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out by name what cannot run on a free-threaded Python."""
    if not FREE_THREADED:
        return
    config.hook.pytest_deselected(items=[item for item in items if is_left_out(item.name)])
    items[:] = [item for item in items if not is_left_out(item.name)]


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Spare every ``gc.collect()`` of the tests what pytest is made of, 300,000 objects."""
    gc.collect()
    gc.freeze()
    try:
        return (yield)
    finally:
        gc.unfreeze()


@pytest.fixture(autouse=True)
def _close_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the files of sessions: from 3.13 on sqlite3 warns of one that is dropped open."""
    module = sys.modules.get("ctxlocal.sessions.stores.sqlite")
    if module is None:
        yield
        return
    made: list[Any] = []
    begin = module.SQLiteStore.__init__

    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(module.SQLiteStore, "__init__", remember)
    yield
    for store in made:
        store.close()


@pytest.fixture(scope="module", autouse=True)
def _spare_collections() -> None:
    """Spare them the reports of the modules before, too: thousands of tests collect all garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Fail in CI what is skipped for want of a package: there everything is installed."""
    report = yield
    skipped = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
    if skipped and os.environ.get("CI") and _WANT.search(str(call.excinfo)):
        report.outcome = "failed"
    return report


class Owner:
    """What the callable strategy of the tests returns."""


THE_OWNER = Owner()


@pytest.fixture(params=IMPLEMENTATIONS)
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The package under test, with each of its twins."""
    return IMPLEMENTATIONS[request.param]


@pytest.fixture(params=STRATEGIES)
def ident(request: pytest.FixtureRequest) -> Any:
    """What ``Local(ident=...)`` takes, for each strategy."""
    if request.param == "callable":
        return lambda: THE_OWNER
    return request.param


@pytest.fixture(autouse=True)
def _default_strategy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start and end each test with an undecided default."""
    monkeypatch.delenv("CTXLOCAL_IDENT", raising=False)
    ident_module.set_default(None, discard=True)
    yield
    ident_module.set_default(None, discard=True)


@pytest.fixture(autouse=True)
def _variables_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no log speak of what earlier tests have set in the Context of all tests."""
    said = {var: Latch() for var in copy_context()}
    for latch in said.values():
        latch.take()
    monkeypatch.setattr(inherit, "_said", said)


@pytest.fixture(params=IMPLEMENTATIONS)
def twin(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that lets a Python of its own choose each of the twins."""
    return {"CTXLOCAL_PURE": "1" if request.param == "pure" else ""}


@pytest.fixture
def run_python(twin: dict[str, str]) -> Callable[..., str]:
    """Run code in a Python of its own and return what it prints; for whatever monkey-patches."""

    def run(code: str, *, status: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
            env={**os.environ, **twin, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return run
