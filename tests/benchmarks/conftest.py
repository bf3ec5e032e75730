"""The benchmarks are not installed with the package: find them in the checkout."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

WritePages = Callable[[Path, str, str], None]


@pytest.fixture
def write_pages() -> WritePages:
    """Write the pages that the render command wants to a folder.

    One has the block that the test is about, the README all others (docs/benchmarks.md if it is
    the README's).
    """
    from benchmarks.render import FILES, all_blocks

    def marked(block: str) -> str:
        return f"<!-- benchmarks:begin {block} -->\n<!-- benchmarks:end {block} -->\n"

    def write(root: Path, page: str, block: str) -> None:
        rest = "".join(marked(name) for name in all_blocks(root / "nothing") if name != block)
        for name in FILES:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(rest if name == "README.md" else "")
        (root / page).write_text(f"before\n{marked(block)}after\n")

    return write
