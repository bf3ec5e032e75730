"""Which mutants no test can notice, and why: survivors.toml."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .mutant import Mutant

PATH = Path(__file__).with_name("survivors.toml")
Name = tuple[str, str, str, str, int]


def read_survivors() -> dict[Name, str]:
    """Return the reasons by the mutants' names."""
    assert sys.version_info >= (3, 11)
    import tomllib

    listed = tomllib.loads(PATH.read_text(encoding="utf-8")).get("survivor", [])
    return {
        (
            each["file"],
            each.get("in", ""),
            each["before"],
            each["after"],
            each.get("number", 1),
        ): each["why"]
        for each in listed
    }


def as_entry(mutant: Mutant) -> str:
    """Return what the list has to say of a mutant, but for the reason."""
    texts = {
        "file": mutant.path,
        "in": mutant.scope,
        "before": mutant.before,
        "after": mutant.after,
    }
    lines = [f"{key} = {_quoted(text)}" for key, text in texts.items() if text]
    number = [f"number = {mutant.nth}"] if mutant.nth > 1 else []
    return "\n".join(["[[survivor]]", *lines, *number, 'why = ""'])


def _quoted(text: str) -> str:
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)
