"""Tracing begins before the first value, costs nothing before that, and reports what is bound."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from ctxlocal import trace


def test_the_environment_enables_it(run_python: Callable[..., str]) -> None:
    code = """
        import sys, ctxlocal
        on = "ctxlocal.trace" in sys.modules and ctxlocal.trace.is_enabled()
        local = ctxlocal.Local(name="loc")
        local.user = "ada"
        print(on, [str(binding.place) for binding in ctxlocal.trace.bindings()])
    """
    assert run_python(code, CTXLOCAL_TRACE="1") == "True ['<string>:5']\n"
    assert run_python(code, CTXLOCAL_TRACE="0") == "False []\n"


def test_names_that_were_imported_before_are_traced(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        from ctxlocal import Local, trace
        class Shop(Local): pass
        shop, local = Shop(name="shop"), Local(name="loc")
        local.user = "ada"
        del local.user
        trace.enable()
        trace.enable()
        shop.user = local.user = "ada"
        print([binding.local for binding in trace.bindings()])
    """)
    assert printed == "[\"Shop 'shop'\", \"Local 'loc'\"]\n"


def test_too_late_is_an_error(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import ctxlocal
        owner = type("Owner", (), {})()
        for ident in None, "context", "thread", "task", lambda: owner, lambda: 7:
            local = ctxlocal.Local(ident=ident, name="loc")
            pile = ctxlocal.LocalStack(ident=ident, name="pile")
            untouched = ctxlocal.Local(ident=ident, name="untouched")
            local.user = "ada"
            pile.push(1)
            try:
                ctxlocal.trace.enable()
            except RuntimeError as error:
                print(error)
            local.__release_local__()
            pile.pop()
        owners = [owner, type("Owner", (), {})(), 7, 8]
        current = owners[0]
        for begin in 0, 2:
            local = ctxlocal.Local(ident=lambda: current, name="of another owner")
            current = owners[begin]
            local.user = "ada"
            current = owners[begin + 1]
            try:
                ctxlocal.trace.enable()
            except RuntimeError as error:
                print(str(error).partition(", and nobody")[0])
            current = owners[begin]
            ctxlocal.release_local(local)
        print(ctxlocal.trace.is_enabled())
        ctxlocal.trace.enable()
        print(ctxlocal.trace.is_enabled())
    """)
    late = (
        "trace.enable() came too late: values are bound in Local 'loc', LocalStack 'pile', and "
        "nobody knows where they were set. Call it before the first value, or set CTXLOCAL_TRACE=1 "
        "in the environment."
    )
    late_too = "trace.enable() came too late: values are bound in Local 'of another owner'"
    assert printed.splitlines() == [*[late] * 6, late_too, late_too, "False", "True"]


def report_of(traced: ModuleType) -> list[list[str]]:
    local, stack = traced.Local(name="loc", ident="thread"), traced.LocalStack(name="pile")
    local.user = "the password"
    stack.push(1)
    out = io.StringIO()
    trace.report(out)
    assert "the password" not in out.getvalue()
    lines = out.getvalue().replace("│", " ").replace("┃", " ").splitlines()
    return [found for line in lines if (found := line.split()) and found[0].isalpha()]


ROWS = [
    ["Local", "attribute", "type", "owner", "set", "at"],
    ["Local", "'loc'", "user", "str", "thread", "'MainThread'"],
    ["LocalStack", "'pile'", "(on", "the", "stack)", "int"],
]


def test_the_report_is_a_table(traced: ModuleType) -> None:
    pytest.importorskip("rich")
    found = report_of(traced)
    assert [row[:6] for row in found] == ROWS
    assert found[1][-1].startswith(f"{__file__}:")


def test_the_report_is_one_without_rich_too(
    traced: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert [row[:6] for row in report_of(traced)] == ROWS


def test_a_report_of_nothing_has_its_head(
    traced: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    trace.report()
    assert capsys.readouterr().out == "Local  attribute  type  owner  set at\n"
