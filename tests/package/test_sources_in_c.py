"""The sources of the native twins, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ctxlocal"
FOLDERS = [PACKAGE / "local" / "native", PACKAGE / "sessions" / "values" / "native"]


@pytest.mark.parametrize("folder", FOLDERS, ids=["local", "sessions"])
@pytest.mark.skipif(not FOLDERS[0].is_dir(), reason="the sources are not beside what is tested")
def test_lines_have_at_most_100_characters(folder: Path) -> None:
    sources = [*folder.glob("*.[ch]")]
    assert sources
    assert [
        f"{path.name}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100
    ] == []
