"""The pages of Markdown, and what a reader copies from them.

Two rules, which the pages say at their heads. A block of Python that begins with the name of a
file, ``# shop.py``, is that file; ``# shop.py, continued`` goes on with it. Every other block is a
program of its own, and finds the files of the page that stand above it.
"""

from __future__ import annotations

import builtins
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from symtable import SymbolTable, symtable

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = {"ini", "ipython", "sql", "toml"}  # for other programs, some with tests of their own
LANGUAGES = {"python", "sh", *SHOWN}
ALONE = "block.py"

_FENCE = re.compile(r"```(.*)")
_FILE = re.compile(r"# ([\w.]+\.py)(, continued)?$")
_LIST = re.compile(r" *([-*+]|\d+\.) ")


class PageError(Exception):
    """A page is not written as a reader, or the tests, need it."""


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    place: str
    language: str
    text: str


@dataclass(frozen=True)
class Program:
    """A block of Python with all that its reader has saved before: ``run`` is its file."""

    place: str
    files: dict[str, str]
    run: str

    def arguments(self) -> list[str]:
        """Return what Python is told: a file of its own name is imported, and serves nothing."""
        if self.run == ALONE:
            return [self.run]
        code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name=sys.argv[1][:-3])"
        return ["-c", code, self.run]

    def unmade(self) -> list[str]:
        """Return the names that its functions use and nothing makes, called or not."""
        return sorted(set(_unmade(self.files[self.run])))


@dataclass(frozen=True)
class Shell:
    """The lines of a block of shell with the files of the page above it."""

    place: str
    files: dict[str, str]
    lines: list[str]


def words_of(line: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a line sets for its command, and the command's words."""
    words = shlex.split(line, comments=True)
    start = next(number for number, word in enumerate(words) if "=" not in word)
    return dict(word.split("=", 1) for word in words[:start]), words[start:]


def save(files: dict[str, str], folder: Path) -> None:
    """Save files as a reader does."""
    for name, text in files.items():
        (folder / name).write_text(text)


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks, in order.

    :raises PageError: a fence has no known language or no end, or code has no fence.
    """
    blocks: list[Block] = []
    opened: tuple[str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        place = f"{page.name}:{number}"
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            opened, inside = (place, fence[1]), []
            if fence[1] not in LANGUAGES:
                raise PageError(f"{place}: a block of {fence[1]!r}, not of {sorted(LANGUAGES)}")
        elif opened is not None and line == "```":
            blocks.append(Block(*opened, "".join(inside)))
            opened = None
        elif opened is not None:
            inside.append(f"{line}\n")
        elif re.match(r" *(```|~~~)|    ", line) and not _LIST.match(line):
            raise PageError(f"{place}: code that no fence of its own names the language of")
    if opened is not None:
        raise PageError(f"{opened[0]}: a block without an end")
    return blocks


def programs_of(page: Path) -> list[Program]:
    """Return a page's blocks of Python, each with what it needs."""
    return [made for made in _copied(page) if isinstance(made, Program)]


def shells_of(page: Path) -> list[Shell]:
    """Return a page's blocks of shell, each with what it needs."""
    return [made for made in _copied(page) if isinstance(made, Shell)]


def _copied(page: Path) -> Iterator[Program | Shell]:
    saved: dict[str, str] = {}
    for block in blocks_of(page):
        if block.language in SHOWN:
            continue
        if block.language == "sh":
            lines = [line for line in block.text.splitlines() if line and not line.startswith("#")]
            yield Shell(block.place, dict(saved), lines)
            continue
        head = _FILE.match(block.text.partition("\n")[0])
        if head is None:
            yield Program(block.place, {**saved, ALONE: block.text}, ALONE)
            continue
        name, continued = head.groups()
        if continued and name not in saved:
            raise PageError(f"{block.place}: {name} is continued, and was not begun")
        saved[name] = f"{saved[name]}\n\n{block.text}" if continued else block.text
        yield Program(block.place, dict(saved), name)


def _unmade(source: str) -> Iterator[str]:
    top = symtable(source, "block", "exec")
    made = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()}
    made |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_imported()}
    known = made | set(dir(builtins)) | {"__file__"}
    for table in _within(top):
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.get_name() not in known:
                yield symbol.get_name()


def _within(table: SymbolTable) -> Iterator[SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _within(child)
