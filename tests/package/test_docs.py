"""Every block of Python of the README and the docs runs as it is copied; links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

from ..support.pages import PAGES, ROOT, PageError, Program, programs_of, save

# Lists, explanations and tables of figures.
WITHOUT_PYTHON = {
    *("benchmarks.md", "caveats.md", "design.md", "evidence.md", "explanation.md"),
    *("free-threaded.md", "promises.md", "reference.md", "requirements.md"),
    "servers-benchmarks.md",
    "sessions-benchmarks.md",
    "ipython.md",  # its cells: tests/integrations/test_ipython.py
}

# The servers that blocks name, and the suite's own that take their places: mark, fixture, URL.
SERVERS = {
    "redis://localhost:6379": ("redis", "redis_port", "redis://127.0.0.1:{}"),
    "postgresql+psycopg://shop@localhost/shop": ("postgresql", "postgresql_url", "{}"),
}

PROGRAMS = [program for page in PAGES for program in programs_of(page)]

# Sentry's package, imported by others where it is there, looks for eventlet, which warns of itself;
# then what Pyramid imports, and Sanic itself from 3.14 on.
WARNINGS = (
    *("-W", "error", "-W", "ignore:::sentry_sdk.utils"),
    *("-W", "ignore:pkg_resources is deprecated as an API"),
    *("-W", "ignore:Deprecated call to `pkg_resources:DeprecationWarning"),
    *("-W", "ignore:'cgi' is deprecated:DeprecationWarning"),
    *("-W", "ignore:'return' in a 'finally' block:SyntaxWarning"),
    # of a pool that lasts as long as its program; from 3.13 on
    *("-W", "ignore:unclosed database in:ResourceWarning"),
)


def marks_of(program: Program) -> list[pytest.MarkDecorator]:
    text = program.files[program.run]
    return [getattr(pytest.mark, mark) for named, (mark, *_) in SERVERS.items() if named in text]


def run(program: Program, folder: Path) -> str:
    """Run a program as its reader does, in a Python of its own; return what it complains of."""
    if unmade := program.unmade():
        return f"{program.place}: nothing makes {', '.join(unmade)}"
    save(program.files, folder)
    done = subprocess.run(
        [sys.executable, *WARNINGS, *program.arguments()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},  # else it tells how a connection ends
    )
    return done.stderr or f"exit status {done.returncode}" * bool(done.returncode)


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [pytest.param(program, marks=marks_of(program)) for program in PROGRAMS],
    ids=[program.place for program in PROGRAMS],
)
def test_block_runs(program: Program, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for named, (_, fixture, url) in SERVERS.items():
        if named in program.files[program.run]:
            here = url.format(request.getfixturevalue(fixture))
            text = program.files[program.run].replace(named, here)
            program = Program(program.place, {**program.files, program.run: text}, program.run)
    assert run(program, tmp_path) == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_has_blocks_where_they_are_expected(page: Path) -> None:
    assert bool(programs_of(page)) == (page.name not in WITHOUT_PYTHON)


def complaints(folder: Path, text: str) -> list[str]:
    """Return what is found wrong with the blocks of a page."""
    page = folder / "page.md"
    page.write_text(text)
    return [found for program in programs_of(page) if (found := run(program, folder))]


SOUND = """
```python
# shop.py
from math import tau


def turn(): return tau
```
```python
# shop.py, continued
full = turn()
```
```python
from shop import full
assert full > 6
```
"""

WRONG = {
    "a name of a block that is no file": "```python\nx = 1\n```\n```python\nprint(x)\n```\n",
    "a missing import, in a function that is not called": (
        "```python\ndef now():\n    return time.time()\n```\n"
    ),
    "a missing import that the file above has": (
        "```python\n# shop.py\nimport time\n```\n```python\nimport shop\ntime.time()\n```\n"
    ),
    "a name that a later block of the file makes": (
        "```python\n# shop.py\nprint(later)\n```\n```python\n# shop.py, continued\nlater = 1\n```\n"
    ),
    "a file that no block is": "```python\nfrom shop import app\n```\n",
    "a warning": "```python\nimport warnings\nwarnings.warn('old')\n```\n",
}

UNREADABLE = {
    "an unknown language": "```pyhton\nx = 1\n```\n",
    "no language": "```\nx = 1\n```\n",
    "no fence": "So:\n\n    x = 1\n",
    "an indented fence": "- so:\n\n  ```python\n  x = 1\n  ```\n",
    "another fence": "~~~python\nx = 1\n~~~\n",
    "no end": "```python\nx = 1\n",
    "a file that was not begun": "```python\n# shop.py, continued\nx = 1\n```\n",
}


def test_blocks_find_the_files_above_them(tmp_path: Path) -> None:
    assert complaints(tmp_path, SOUND) == []


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_block_that_needs_what_it_does_not_name_is_found(text: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, text) != []


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_code_that_would_not_be_run_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"^page\.md:\d"):
        complaints(tmp_path, text)


DOCUMENTED = (
    "ctxlocal",
    "ctxlocal.ident",
    "ctxlocal.flow",
    "ctxlocal.trace",
    "ctxlocal.errors",
    "ctxlocal.web",
    "ctxlocal.web.context",
    "ctxlocal.web.app",
    "ctxlocal.web.wsgi",
    "ctxlocal.web.asgi",
    "ctxlocal.sessions",
    "ctxlocal.sessions.errors",
    "ctxlocal.sessions.stores",
    "ctxlocal.testing",
    "ctxlocal.sessions.stores.observed",
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
