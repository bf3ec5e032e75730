"""Every Python block of the README and the docs runs, page by page, in a Python of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


# Lists, explanations and tables of figures.
WITHOUT_BLOCKS = {
    *("benchmarks.md", "caveats.md", "explanation.md", "reference.md", "sessions-benchmarks.md"),
}


def blocks_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path) -> None:
    blocks = blocks_of(page)
    assert blocks or page.name in WITHOUT_BLOCKS
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


DOCUMENTED = (
    "ctxlocal",
    "ctxlocal.ident",
    "ctxlocal.flow",
    "ctxlocal.errors",
    "ctxlocal.context",
    "ctxlocal.app",
    "ctxlocal.wsgi",
    "ctxlocal.asgi",
    "ctxlocal.session",
    "ctxlocal.session.errors",
    "ctxlocal.testing",
)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_reference_names_everything_public(module: str) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    names: list[str] = vars(import_module(module))["__all__"]
    assert [name for name in names if f"`{name}`" not in reference] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^):]+)\)", page.read_text())
    assert [link for link in links if not leads_somewhere(page, *link.partition("#")[::2])] == []


def leads_somewhere(page: Path, file: str, heading: str) -> bool:
    target = page.parent / file if file else page
    return target.exists() and (not heading or heading in map(anchor, headings_of(target)))


def headings_of(page: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return the anchor that renderers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
