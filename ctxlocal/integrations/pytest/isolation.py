"""Isolation: each test begins with the Locals that travel as they were before the first one.

What a fixture of a wider scope has set is there for every test as long as that fixture lives. Tests
run where they always do, in the same Context: nothing else of it changes.
"""

from __future__ import annotations

from collections.abc import Generator
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import pytest

from ... import flow
from .in_frames import Steps, framed


class Isolation:
    """The plugin that ``ctxlocal_isolate = true`` registers."""

    def __init__(self) -> None:
        self._at_first: flow.Snapshot | None = None
        # Of each of the wider fixtures that live, what was set before and after it was set up. The
        # difference is its own: a narrower one may live already, and end before it.
        self._wider: dict[Any, tuple[flow.Snapshot, flow.Snapshot]] = {}
        self._steps: dict[Any, Steps] = {}  # of anyio's fixtures

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        """Take away what a test leaves."""
        if self._at_first is None:
            self._at_first = flow.snapshot()
        try:
            return (yield)
        finally:
            self._renew()

    def _renew(self) -> None:
        """Have what is set outside of tests: at first, and by the wider fixtures that live."""
        assert self._at_first is not None
        self._at_first.restore()
        for before, after in list(self._wider.values()):
            after.put_back(before)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        """Remember what a fixture sets that other tests share; run anyio's fixtures in frames."""
        if fixturedef.scope == "function":
            return (yield from self._set_up(fixturedef, request))
        here = flow.snapshot()
        self._renew()  # what the test has set already is none of its business
        before = flow.snapshot()
        result = yield from self._set_up(fixturedef, request)
        after = flow.snapshot()
        self._wider[fixturedef] = before, after
        fixturedef.addfinalizer(self._renew)  # its end finds what it set, not what a test did
        here.restore()
        after.put_back(before)
        return result

    def _set_up(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        steps = self._steps_of(fixturedef) if "anyio_backend" in request.fixturenames else None
        if steps is None:
            return (yield)
        steps.begin(request.instance)
        result = yield
        steps.end()
        return result

    def _steps_of(self, fixturedef: Any) -> Steps | None:
        """Return what drives a fixture that is a coroutine function or the like; else None."""
        function = fixturedef.func
        if fixturedef in self._steps:  # for good: anyio may have put something around it
            return self._steps[fixturedef]
        if not iscoroutinefunction(function) and not isasyncgenfunction(function):
            return None
        steps = self._steps[fixturedef] = Steps(function)
        fixturedef.func = steps.fixture()
        return steps

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        """Forget what a wider fixture has set when it ends."""
        self._wider.pop(fixturedef, None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run asynchronous tests in frames: of anyio's task, and of the owner that a task is."""
        test = getattr(item, "obj", None)
        if not iscoroutinefunction(test):
            return (yield)
        item.obj = framed(test)  # type: ignore[attr-defined]
        try:
            return (yield)
        finally:
            item.obj = test  # type: ignore[attr-defined]
