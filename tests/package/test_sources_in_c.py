"""The sources of the native twin, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "ctxlocal" / "local" / "native"


@pytest.mark.skipif(not NATIVE.is_dir(), reason="the sources are not beside what is tested")
def test_lines_have_at_most_100_characters() -> None:
    sources = [*NATIVE.glob("*.[ch]")]
    assert sources
    assert [
        f"{path.name}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100
    ] == []
