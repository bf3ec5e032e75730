"""A mutant: the package with one small mistake, and where in it that is."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .operators import changes

#: Names of what no caller meets: for type checkers, and for those who read.
_UNSEEN = frozenset({"TYPE_CHECKING", "TypeVar", "ParamSpec", "overload", "cast"})


class Mutant(NamedTuple):
    """One change; what names it stays the same when other code moves or is formatted anew."""

    path: str  #: within the package
    scope: str  #: the qualified name of the function or class; "" at the top of the module
    before: str  #: the smallest piece around the change that says something, in one spelling
    after: str
    nth: int  #: which of the changes in the scope that read the same; from 1
    start: int  #: the bytes of the file that are replaced
    end: int
    text: str
    lines: range  #: of the statement
    users: range  #: lines that may run with what the statement defines, where an import runs it

    @property
    def name(self) -> tuple[str, str, str, str, int]:
        """What it is found by again."""
        return self[:5]

    def __str__(self) -> str:
        place = f"{self.path} {self.scope}".strip()
        times = f" (number {self.nth})" if self.nth > 1 else ""
        return f"{place}: {self.before}  ->  {self.after}{times}"

    def apply(self, source: bytes) -> bytes:
        """Return the file with the mistake in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(package: Path, path: str) -> list[Mutant]:
    """Return every mutant of a file, in the order of the file."""
    source = (package / path).read_bytes()
    found = sorted(_File(path, source).walk(), key=lambda mutant: (mutant.start, mutant.after))
    seen: Counter[tuple[str, ...]] = Counter()
    numbered = []
    for mutant in found:
        seen[mutant[:4]] += 1
        numbered.append(mutant._replace(nth=seen[mutant[:4]]))
    return numbered


class _Place(NamedTuple):
    """Where the walk is."""

    scope: str
    lines: range
    users: range


class _File:
    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source
        starts = [0, *(i + 1 for i, byte in enumerate(source) if byte == ord("\n"))]
        self._starts = starts
        self._tree = ast.parse(source)
        self._unused = _unused(self._tree)

    def walk(self) -> Iterator[Mutant]:
        whole = range(1, len(self._starts) + 1)
        return self._children(self._tree, _Place("", range(0), whole))

    def _children(self, parent: ast.AST, place: _Place) -> Iterator[Mutant]:
        named = _named(parent, place)
        for field, value in ast.iter_fields(parent):
            place = _inside(parent, field, named)
            for i, node in enumerate(value if isinstance(value, list) else [value]):
                if node in self._unused or not isinstance(node, ast.AST):
                    continue
                if not _is_unseen(parent, field, i, node):
                    yield from self._node(parent, field, i, node, place)

    def _node(
        self, parent: ast.AST, field: str, i: int, node: ast.AST, place: _Place
    ) -> Iterator[Mutant]:
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            place = place._replace(lines=_own_lines(node))
        for change in changes(node, field):
            yield self._mutant(parent, field, i, node, change, place)
        yield from self._children(node, place)

    def _mutant(
        self,
        parent: ast.AST,
        field: str,
        i: int,
        node: ast.AST,
        change: ast.AST,
        place: _Place,
    ) -> Mutant:
        if isinstance(node, ast.ExceptHandler):
            assert isinstance(change, ast.ExceptHandler)
            return self._mutant(node, "type", 0, _type(node), _type(change), place)
        text = ast.unparse(change)
        before, after = ast.unparse(node), text
        if isinstance(node, ast.Constant) or field in ("type", "decorator_list"):
            before, after = _around(parent, field, i, change)
        if isinstance(node, ast.expr):
            text = f"({text})"
        return Mutant(
            self._path, place.scope, before, after, 0, *self._span(node), text, *place[1:]
        )

    def _span(self, node: ast.AST) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end


def _unused(tree: ast.AST) -> set[ast.AST]:
    """Return the defaults of each ``pop(key, None)`` whose value goes nowhere."""
    calls = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    return {
        call.args[1]
        for call in calls
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".pop")
        if len(call.args) == 2
    }


def _is_unseen(parent: ast.AST, field: str, i: int, node: ast.AST) -> bool:
    """Tell whether a piece is not run, is not the package's own behaviour, or has no place."""
    if field in ("annotation", "returns", "bases", "type_params", "format_spec"):
        return True
    if isinstance(parent, ast.AnnAssign) and "TypeAlias" in ast.unparse(parent.annotation):
        return True
    if isinstance(node, ast.Constant):
        if isinstance(parent, ast.JoinedStr):
            return True  # a text without quotes
        if isinstance(parent, ast.Compare) and node.value is None:
            return True  # `is None`, which becomes `is not None`
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True  # a docstring; what a type checker is told
        case ast.Raise(exc=ast.Name(id="NotImplementedError")):
            return True  # a method that every subclass has
        case (
            ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Assign(targets=[ast.Name(id="TYPE_CHECKING")])
        ):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _UNSEEN
        case ast.FunctionDef(decorator_list=[ast.Name(id="overload"), *_]):
            return True
        case ast.ClassDef(bases=bases):
            return any("Protocol" in ast.unparse(base) for base in bases)
    return False


def _own_lines(node: ast.stmt | ast.ExceptHandler) -> range:
    """Return the lines of a statement without those of the statements in it."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    end = node.end_lineno or first
    if isinstance(body, list):
        end = max(first, _first_line(body[0]) - 1)
    return range(first, end + 1)


def _first_line(node: ast.AST) -> int:
    return min(each.lineno for each in ast.walk(node) if isinstance(each, ast.stmt | ast.expr))


def _named(parent: ast.AST, place: _Place) -> _Place:
    """Return where the parts of a node are: of a function or class, within what has its name."""
    if not isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return place
    place = place._replace(scope=f"{place.scope}.{parent.name}".lstrip("."))
    if place.users:
        place = place._replace(users=range(parent.lineno, (parent.end_lineno or 0) + 1))
    return place


def _inside(parent: ast.AST, field: str, place: _Place) -> _Place:
    """Return where the parts of a node are that are in this field."""
    if field == "body" and isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
        return place._replace(users=range(0))  # no import runs this
    return place


def _around(parent: ast.AST, field: str, i: int, change: ast.AST) -> tuple[str, str]:
    """Return the parent as it is and as it becomes, without what is beside the change."""
    if isinstance(parent, ast.arguments):
        argument = _argument(parent, field, i)
        return (
            f"{argument}={ast.unparse(getattr(parent, field)[i])}",
            f"{argument}={ast.unparse(change)}",
        )
    if isinstance(parent, ast.Dict):
        parent, i = ast.Dict(parent.keys[i : i + 1], parent.values[i : i + 1]), 0
    bare = type(parent)(**dict(ast.iter_fields(parent)))
    for name in ("body", "orelse", "handlers", "finalbody"):
        if isinstance(getattr(bare, name, None), list) and name != field:
            setattr(bare, name, [ast.Pass()] if name == "body" else [])
    before = _unparse(bare)
    value = getattr(bare, field)
    if isinstance(value, list):
        setattr(bare, field, [*value[:i], change, *value[i + 1 :]])
    else:
        setattr(bare, field, change)
    return before, _unparse(bare)


def _argument(arguments: ast.arguments, field: str, i: int) -> str:
    """Return the name of the argument that has a default."""
    if field == "kw_defaults":
        return arguments.kwonlyargs[i].arg
    named = [*arguments.posonlyargs, *arguments.args]
    return named[len(named) - len(arguments.defaults) + i].arg


def _unparse(node: ast.AST) -> str:
    if isinstance(node, ast.ExceptHandler):
        return f"except {ast.unparse(_type(node))}:"
    return ast.unparse(ast.fix_missing_locations(node))


def _type(node: ast.ExceptHandler) -> ast.expr:
    assert node.type is not None
    return node.type
