"""Which twin serves, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..support.twins import IMPLEMENTATIONS

pytestmark = [
    pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the native twin is not built"),
    pytest.mark.parametrize("twin", ["native"], indirect=True),
]
ASK = """
    import sys
    {before}
    try:
        from ctxlocal.local import IMPLEMENTATION, REASON
        print(f"{{IMPLEMENTATION}}: {{REASON}}")
    except ValueError as error:
        print(repr(error))
"""
NOT_BUILT = "pure: the native twin was not built, or cannot be loaded"
CASES = {
    "as it is": ("", {"CTXLOCAL_NO_INPLACE": ""}, "native: built for this Python"),
    "copies": (
        "",
        {"CTXLOCAL_NO_INPLACE": "1"},
        "native: built for this Python; a Context's values are copied for each write",
    ),
    "asked for": ("", {"CTXLOCAL_PURE": "1"}, "pure: CTXLOCAL_PURE is set"),
    "refused": ("", {"CTXLOCAL_PURE": "0"}, "native: built for this Python"),
    "free-threaded": (
        "sys.abiflags = 't'",
        {},
        "pure: there is no native twin for a free-threaded Python",
    ),
    "not built": (
        "sys.modules['ctxlocal.local._native'] = None",
        {},
        f"{NOT_BUILT} (import of ctxlocal.local._native halted; None in sys.modules)",
    ),
    "broken": (
        """
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "ctxlocal.local._native":
                raise ValueError("broken inside")
    sys.meta_path.insert(0, Finder())
        """.strip(),
        {},
        "ValueError('broken inside')",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_twin_that_serves_says_why(case: str, run_python: Callable[..., str]) -> None:
    before, environment, said = CASES[case]
    assert run_python(ASK.format(before=before), **environment) == f"{said}\n"
