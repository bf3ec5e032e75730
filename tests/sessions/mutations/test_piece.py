import ast
import re

import pytest

from .mutation import edit
from .piece import BrokenTableError, Code, File

WSGI = '''
class Middleware:
    def call(self, environ):
        """Answer."""
        if self.is_open and environ:  # a comment
            log("called", environ["PATH"],
                level=1)
            return self.app(environ)
        raise Closed

    def close(self):
        self.is_open = False
        return None
'''
ASGI = "def close(self):\n    return None"
SOURCES = {"web/wsgi.py": WSGI, "web/asgi.py": ASGI}
CODE = Code({path: File(path, ast.parse(source)) for path, source in SOURCES.items()})


def after(old: str, new: str, within: str = "") -> str:
    (changed,) = CODE.edited([edit(old, new, within=within)]).values()
    return ast.unparse(changed)


@pytest.mark.parametrize(
    "piece",
    ["log('called', environ['PATH'], level=1)", 'log(\n"called", (environ["PATH"]), level = 1)'],
)
def test_neither_layout_nor_quotes_matter(piece: str) -> None:
    assert "if self.is_open and environ:\n            pass\n" in after(piece, "pass")


def test_an_expression_is_found_wherever_it_is() -> None:
    assert "if True:" in after("self.is_open and environ", "True")


def test_a_gap_stands_for_an_expression() -> None:
    assert "log('called', environ['PATH'], level=2)" in after(
        "log('called', ..., level=1)", "log('called', ..., level=2)"
    )


def test_a_gap_stands_for_statements_and_for_none() -> None:
    old = "if ...:\n    ...\n    return ...\n    ..."
    new = "while ...:\n    ...\n    yield ...\n    ..."
    made = after(old, new)
    assert "while self.is_open and environ:\n            log(" in made
    assert "yield self.app(environ)\n        raise" in made


def test_a_run_of_statements_is_replaced_by_another() -> None:
    made = after("self.is_open = False\nreturn None", "a = 1\nb = 2\nc = 3")
    assert made.endswith("        a = 1\n        b = 2\n        c = 3")


@pytest.mark.parametrize("within", ["Middleware", "Middleware.close", "wsgi", "web.wsgi"])
def test_what_is_around_it_tells_a_piece_from_others(within: str) -> None:
    assert "return 1" in after("return None", "return 1", within)


@pytest.mark.parametrize(
    ("piece", "times"), [("return None", 2), ("return 5", 0), ("if ...:\n    return ...", 0)]
)
def test_what_is_not_there_once_is_an_error_that_says_where_it_is(piece: str, times: int) -> None:
    with pytest.raises(BrokenTableError, match=f"and is {times} times") as caught:
        after(piece, "pass")
    expected = ["web/wsgi.py:13 in web.wsgi.Middleware.close", "web/asgi.py:2 in web.asgi.close"]
    assert re.findall(r"^  (web/.*)$", str(caught.value), re.MULTILINE) == expected[:times]


def test_edits_are_made_one_after_the_other() -> None:
    edits = [edit("return None", "return 7", within="asgi"), edit("return 7", "return 8")]
    (changed,) = CODE.edited(edits).values()
    assert ast.unparse(changed) == "def close(self):\n    return 8"


def test_an_edit_that_changes_nothing_is_an_error() -> None:
    with pytest.raises(BrokenTableError, match=r"^changes nothing: self\.is_open$"):
        after("self.is_open", "(self.is_open)", "call")
