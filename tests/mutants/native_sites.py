"""Finds where the native twin can be broken in small ways.

No parser of C: a tokenizer that leaves out comments, strings and the preprocessor's lines, and
knows in which function and statement a token stands. What it offers that is no C, the compiler
refuses.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

SOURCE = "ctxlocal/local/native"
#: docs.h is made by a program, and has no code.
FILES = (
    "module.c",
    *(f"{name}.h" for name in ("arguments", "depth", "holder", "latch", "layout", "local")),
    *(f"{name}.h" for name in ("names", "namespace", "pile", "proxy", "resolver", "stack")),
    "state.h",
)

_TOKEN = re.compile(
    r"""(?P<skip> \s+ | /\*.*?\*/ | //[^\n]* | ^[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])* )
    | (?P<string> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<number> \d[\w.]* )
    | (?P<sign> <<= | >>= | -> | \+\+ | -- | && | \|\| | [-+*/%&|^<>=!]= | << | >> | . )""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_OTHERS = {
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "&&": ("||",),
    "||": ("&&",),
    "++": ("",),
    "--": ("",),
    "0": ("1",),
    "1": ("0",),
}
_RETURNS = {"-1": "return 0;", "NULL": "return Py_NewRef(Py_None);"}
_OPERAND_ENDS = re.compile(r"[\w)\]]$")
_KEYWORDS = {"return", "if", "else", "for", "while", "do", "switch", "goto", "break", "continue"}
_CALL_OR_ASSIGNMENT = {"(", "=", "->", "[", ".", "++", "--", "+=", "-=", "|=", ">>="}


class Site(NamedTuple):
    """One way to break the code.

    :param file: below ``src``.
    :param function: in which the change is.
    :param code: the statement or condition, without comments and needless white space.
    :param becomes: the same, after the change.
    """

    file: str
    function: str
    code: str
    becomes: str
    start: int
    end: int
    new: str
    line: int

    @property
    def address(self) -> tuple[str, str, str, str]:
        """What still finds it when the file has been formatted anew."""
        bare = (re.sub(r"\s", "", text) for text in (self.code, self.becomes))
        return (self.file, self.function, *bare)  # type: ignore[return-value]

    def apply(self, text: str) -> str:
        """Return the file's text with the change."""
        return text[: self.start] + self.new + text[self.end :]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


class _File:
    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.tokens = [
            _Token(str(found.lastgroup), found[0], *found.span())
            for found in _TOKEN.finditer(text)
            if found.lastgroup != "skip"
        ]

    @cached_property
    def _lines(self) -> list[int]:
        return [found.end() for found in re.finditer("\n", self.text)]

    @cached_property
    def _bare(self) -> str:
        """The text with blanks where tokens are not."""
        made, at = [], 0
        for token in self.tokens:
            made += [" " * (token.start - at), token.text]
            at = token.end
        return "".join(made)

    def functions(self) -> Iterator[tuple[str, int, int]]:
        """Yield each function's name, and where the tokens of its body begin and end."""
        at = 0
        while at < len(self.tokens):
            if self.tokens[at].text != "{":
                at += 1
                continue
            end = self.match(at)
            if self.tokens[at - 1].text == ")":
                yield self.tokens[self.opening(at - 1) - 1].text, at + 1, end
            at = end + 1

    def match(self, at: int) -> int:
        """Return where the bracket at a token is closed."""
        depth = 0
        for i in range(at, len(self.tokens)):
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(self.tokens[i].text, 0)
            if depth == 0:
                return i
        raise ValueError(f"{self.name}: a bracket is not closed")

    def opening(self, at: int) -> int:
        """Return where the parenthesis that a token closes was opened."""
        depth = 0
        for i in range(at, -1, -1):
            depth += {")": 1, "(": -1}.get(self.tokens[i].text, 0)
            if depth == 0:
                return i
        raise ValueError(f"{self.name}: a bracket is not opened")

    def statements(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each statement begins and ends: from one ``;``, ``{`` or ``}`` to another."""
        start, depth = first, 0
        for i in range(first, end):
            text = self.tokens[i].text
            depth += {"(": 1, ")": -1}.get(text, 0)
            if depth == 0 and text in (";", "{", "}"):
                if i > start:
                    yield self._after_label(start, i), i
                start = i + 1

    def _after_label(self, start: int, end: int) -> int:
        texts = [token.text for token in self.tokens[start : min(start + 3, end)]]
        if texts[0] == "case":
            return start + 3
        return start + 2 if texts[1:2] == [":"] else start

    def site(self, function: str, span: tuple[int, int], edit: tuple[int, int, str]) -> Site:
        """Make the site of an edit (of characters) in a statement (of tokens)."""
        start, end = self.tokens[span[0]].start, self.tokens[span[1]].end
        begin, stop, new = edit
        code, broken = (
            " ".join(text.split())
            for text in (
                self._bare[start:end],
                self._bare[start:begin] + new + self._bare[stop:end],
            )
        )
        line = bisect_right(self._lines, begin) + 1
        return Site(self.name, function, code, broken, begin, stop, new, line)


def sites(root: Path) -> list[Site]:
    """Return every site, in the order of the files."""
    found = []
    for name in FILES:
        file = _File(name, (root / SOURCE / name).read_text(encoding="utf-8"))
        for function, first, end in file.functions():
            for span in file.statements(first, end):
                found += [file.site(function, span, edit) for edit in _edits(file, *span)]
    return found


def _edits(file: _File, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield the edits of a statement: where characters begin and end, and what comes there."""
    yield from _of_statement(file.tokens, start, end)
    for at in range(start, end):
        yield from _of_token(file.tokens, at)
        if file.tokens[at].text in ("if", "while"):
            close = file.match(at + 1)
            for verdict in ("0", "1") if file.tokens[at].text == "if" else ("0",):
                yield file.tokens[at + 1].end, file.tokens[close].start, verdict


def _of_statement(tokens: list[_Token], start: int, end: int) -> Iterator[tuple[int, int, str]]:
    first, span = tokens[start], (tokens[start].start, tokens[end].end)
    if first.text == "return" and tokens[end].text == ";":
        text = "".join(token.text for token in tokens[start + 1 : end])
        if text in _RETURNS:
            yield (*span, _RETURNS[text])
    elif tokens[end].text == ";" and _may_be_left_out(tokens, start, end):
        yield (*span, ";")


def _may_be_left_out(tokens: list[_Token], start: int, end: int) -> bool:
    """Whether a statement is a call, an assignment, a ``break`` or ``continue``."""
    first = tokens[start].text
    if first in ("break", "continue", "*", "++", "--"):
        return True
    is_known = first not in _KEYWORDS and end > start + 1
    return is_known and tokens[start + 1].text in _CALL_OR_ASSIGNMENT


def _of_token(tokens: list[_Token], at: int) -> Iterator[tuple[int, int, str]]:
    token, before = tokens[at], tokens[at - 1]
    if token.kind == "string":
        return
    is_binary = bool(_OPERAND_ENDS.search(before.text)) and before.text not in _KEYWORDS
    if token.text in ("+", "-") and is_binary:
        yield token.start, token.end, "-" if token.text == "+" else "+"
    elif token.text == "!":
        yield token.start, token.end, ""
    elif token.text in _OTHERS and not (token.kind == "number" and before.text == "-"):
        for other in _OTHERS[token.text]:
            yield token.start, token.end, other
