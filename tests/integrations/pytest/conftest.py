"""Suites that use the plugin, each run by a pytest of its own."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from tests.support.patience import PATIENCE_S

INI = """
[pytest]
filterwarnings = error
"""
ASYNCIO = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Run a suite: its files by name, its settings, and further arguments of pytest.

    Its coroutines are pytest-asyncio's, or nobody's. What takes long to load is left out.
    """

    monkeypatch.delenv("CI", raising=False)  # with it pytest says more in its summary

    def run(
        *arguments: str, settings: str = "", is_async: bool = False, **files: str
    ) -> pytest.RunResult:
        pytester.makeini(INI + settings)
        pytester.makepyfile(**{name: dedent(text) for name, text in files.items()})
        plugins = ASYNCIO if is_async else ("-p", "no:asyncio")
        options = ("-rfE", "-p", "no:hypothesispytest", *plugins, *arguments)
        return pytester.runpytest_subprocess(*options, timeout=PATIENCE_S)

    return run
