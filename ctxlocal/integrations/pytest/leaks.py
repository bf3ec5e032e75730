"""Leaks: a test that leaves a value bound is an error, which says who set it, and where."""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import pytest

from ... import trace


class Leaks:
    """The plugin that ``ctxlocal_leaks = error`` registers."""

    def __init__(self) -> None:
        self._was_enabled = trace.is_enabled()
        try:
            trace.enable()
        except RuntimeError as error:
            raise pytest.UsageError(f"ctxlocal_leaks = error: {error}") from None
        self._before: set[int] = set()  # the serials of what was bound before the test
        self._wide: dict[Any, set[int]] = {}  # by fixture: of what it has set
        self._has_failed = False

    def pytest_unconfigure(self) -> None:
        """Trace no longer."""
        if not self._was_enabled:
            trace.disable()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        """Note what is bound before a test: that is not its own."""
        self._before = _bound().difference(*self._wide.values())
        self._has_failed = False
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Note a failure: its traceback keeps alive what it will, and one error is enough."""
        report = yield
        self._has_failed = self._has_failed or report.failed
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """Note what a fixture sets that other tests share: it lasts as long as the fixture."""
        if fixturedef.scope == "function":
            return (yield)
        before = _bound()
        result = yield
        self._wide[fixturedef] = _bound() - before
        return result

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        """From the end of the fixture on it should be gone."""
        self._wide.pop(fixturedef, None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, Any, Any]:
        """Look what is left when all fixtures of the test have ended."""
        result = yield
        if not self._has_failed and (left := self._left()):
            lines = "\n".join(f"- {binding}" for binding in left)
            pytest.fail(
                f"The test left values bound:\n{lines}\nRelease them where they were set, as by "
                "`with ctxlocal.scoped(...)`, `with stack.pushed(...)` or release_local().",
                pytrace=False,
            )
        return result

    def _left(self) -> list[trace.Binding]:
        known = self._before.union(*self._wide.values())
        if _bound() <= known:
            return []
        gc.collect()  # an owner that is garbage holds nothing
        return [binding for binding in trace.bindings() if binding.serial not in known]


def _bound() -> set[int]:
    return {binding.serial for binding in trace.bindings()}
