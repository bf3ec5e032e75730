"""Which tests bear the number of a requirement: ``test_r7_...`` or ``test_r20_r21_...``."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache

from tests.support.tree import ROOT

#: Where they are looked for. What starts servers, browsers or many processes is left out.
FOLDERS = ("tests/sessions", "tests/web")
LEFT_OUT = frozenset({"test_lost_updates.py"})

_NUMBER = re.compile(r"(?<=_r)\d+(?=_)")


@cache
def bearing_tests() -> dict[int, list[str]]:
    """Return, for each requirement, the tests that bear its number, as pytest names them."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py")):
        if path.name in LEFT_OUT:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for number in _NUMBER.findall(node.name):
                    found[int(number)].append(f"{path.relative_to(ROOT)}::{node.name}")
    return found
