"""Which twin of a session's values serves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ...support.session_twins import IS_NATIVE

pytestmark = pytest.mark.skipif(not IS_NATIVE, reason="the native twin is not built")

CASES = {
    "as it is": ("", {}, "native"),
    "asked for": ("", {"CTXLOCAL_PURE": "1"}, "pure"),
    "refused": ("", {"CTXLOCAL_PURE": "0"}, "native"),
    "not built": ("sys.modules['ctxlocal.sessions.values._native'] = None", {}, "pure"),
    "no core": ("sys.modules['ctxlocal.local._native'] = None", {}, "pure"),
}


@pytest.mark.parametrize("twin", ["native"], indirect=True)
@pytest.mark.parametrize("case", CASES)
def test_that_of_the_core_decides(case: str, run_python: Callable[..., str]) -> None:
    before, environment, twin = CASES[case]
    printed = run_python(
        f"""
        import sys
        {before}
        from ctxlocal.sessions import Session
        from ctxlocal.sessions.values import Values, pure
        assert issubclass(Session, Values)
        print("pure" if Values is pure.Values else "native")
        """,
        **environment,
    )
    assert printed == f"{twin}\n"


def test_without_msgspec_it_is_said_what_is_missing(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import sys
        sys.modules["msgspec"] = None
        try:
            import ctxlocal.sessions.values
        except ImportError as error:
            print(type(error).__name__, error)
    """)
    assert printed.startswith("MissingDependencyError ")
