"""Finds a piece of code by its syntax tree, and puts another in its place.

A piece is an expression or statements. How it is laid out does not matter, nor which file it is in:
where there are several alike, ``within`` names the function, class or module around the one that
is meant, or a path of them, as in ``"Sealer.open"``. ``...`` in a piece stands for any expression,
or for any statements, and for none; in what comes in its place, for what it stood for there.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

from .mutation import Edit

#: What says how a tree is used, or was written, and not what it means.
_UNSAID = frozenset({"ctx", "kind", "type_comment"})

#: What a ``...`` stands for: an expression, or statements.
Gap = ast.expr | list[ast.stmt]


class BrokenTableError(Exception):
    """The table does not fit the code, or a test that bears a number fails without a mutation."""


class Spot(NamedTuple):
    """Where a piece is."""

    path: str
    scope: str  #: the modules, classes and functions around it, with dots
    line: int
    parent: ast.AST
    field: str
    at: int | None  #: which in the field; None where that is no list
    size: int  #: how many statements; 1 for an expression
    gaps: tuple[Gap, ...]


class File:
    """A file of the package as a tree, in which pieces are found by the type of their root."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self.path = path
        self.tree = tree

    @cached_property
    def _nodes(self) -> Mapping[type, Sequence[tuple[str, ast.AST, str, int | None]]]:
        module = self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found: dict[type, list[tuple[str, ast.AST, str, int | None]]] = defaultdict(list)
        for scope, parent, field, at in _places(self.tree, module):
            found[type(_node(parent, field, at))].append((scope, parent, field, at))
        return found

    def spots(self, piece: _Piece) -> Iterator[Spot]:
        """Yield where a piece is in this file."""
        for scope, parent, field, at in self._nodes.get(type(piece[0]), ()):
            gaps: list[Gap] = []
            node: Any = _node(parent, field, at)
            size: int | None = 1
            if at is not None and isinstance(node, ast.stmt):
                size = _length_of_run(piece, getattr(parent, field)[at:], gaps)
            elif not _is_like(piece[0], node, gaps):
                size = None
            if size is not None:
                yield Spot(self.path, scope, node.lineno, parent, field, at, size, tuple(gaps))


#: An expression alone, or statements.
_Piece = Sequence[ast.expr] | Sequence[ast.stmt]


class Code:
    """The files in which pieces are looked for."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self.files = files

    @classmethod
    def read(cls, package: Path, folders: Iterable[str]) -> Code:
        """Read what is in these folders of a package."""
        paths = sorted(path for name in folders for path in (package / name).rglob("*.py"))
        names = {path: path.relative_to(package).as_posix() for path in paths}
        return cls({name: File(name, ast.parse(path.read_bytes())) for path, name in names.items()})

    def find(self, edit: Edit) -> Spot:
        """Return where the piece is.

        :raises BrokenTableError: it is nowhere, or in several places.
        """
        old, _ = _parsed(edit)
        spots = [
            spot
            for file in self.files.values()
            for spot in file.spots(old)
            if f".{edit.within}." in f".{spot.scope}." or not edit.within
        ]
        if len(spots) != 1:
            places = "".join(f"\n  {each.path}:{each.line} in {each.scope}" for each in spots)
            raise BrokenTableError(
                f"has to be there once, and is {len(spots)} times"
                f"{f' within {edit.within}' if edit.within else ''}:\n{edit.old}{places}"
            )
        return spots[0]

    def edited(self, edits: Iterable[Edit]) -> dict[str, ast.Module]:
        """Return what becomes of each file that the edits change, one after the other.

        :raises BrokenTableError: as :meth:`find` says, or an edit changes nothing.
        """
        changed: dict[str, ast.Module] = {}
        code = self
        for edit in edits:
            spot = code.find(edit)
            parent = _changed(spot, _parsed(edit)[1])
            if ast.dump(parent) == ast.dump(spot.parent):
                raise BrokenTableError(f"changes nothing: {edit.old}")
            after = _with(code.files[spot.path].tree, spot.parent, parent)
            changed[spot.path] = after
            code = Code({**code.files, spot.path: File(spot.path, after)})
        return changed


def _parsed(edit: Edit) -> tuple[_Piece, _Piece]:
    """Return both pieces as expressions, or as statements where one is no expression."""
    old, new = dedent(edit.old).strip(), dedent(edit.new).strip()
    try:
        return [ast.parse(old, mode="eval").body], [ast.parse(new, mode="eval").body]
    except SyntaxError:
        return ast.parse(old).body, ast.parse(new).body


def _places(parent: ast.AST, scope: str) -> Iterator[tuple[str, ast.AST, str, int | None]]:
    """Yield the place of each expression and statement: the scope, and where in which parent."""
    if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        scope = f"{scope}.{parent.name}"
    for field, value in ast.iter_fields(parent):
        many = isinstance(value, list)
        for at, node in enumerate(value if many else [value]):
            if isinstance(node, ast.expr | ast.stmt):
                yield scope, parent, field, at if many else None
            if isinstance(node, ast.AST):
                yield from _places(node, scope)


def _node(parent: ast.AST, field: str, at: int | None) -> Any:
    value = getattr(parent, field)
    return value if at is None else value[at]


def _is_like(piece: object, node: object, gaps: list[Gap]) -> bool:
    """Tell whether a tree is what a piece says; ``gaps`` takes what each ``...`` stands for."""
    if isinstance(piece, list) and isinstance(node, list):
        if any(isinstance(each, ast.stmt) for each in piece):
            return _length_of_run(piece, node, gaps, is_whole=True) is not None
        both = zip(piece, node, strict=False)
        return len(piece) == len(node) and all(_is_like(*pair, gaps) for pair in both)
    if _is_gap(piece) and isinstance(node, ast.expr):
        gaps.append(node)
        return True
    if not isinstance(piece, ast.AST):
        return type(piece) is type(node) and piece == node
    return type(piece) is type(node) and all(
        _is_like(getattr(piece, field, None), getattr(node, field, None), gaps)
        for field in piece._fields
        if field not in _UNSAID
    )


def _length_of_run(
    piece: Sequence[ast.AST], nodes: list[Any], gaps: list[Gap], *, is_whole: bool = False
) -> int | None:
    """Return how many of the first statements are what the piece says, None if they are not."""
    if not piece:
        return None if is_whole and nodes else 0
    first, others = piece[0], piece[1:]
    is_gap = isinstance(first, ast.Expr) and _is_gap(first.value)
    for length in range(len(nodes) + 1) if is_gap else (1,):
        new: list[Gap] = [nodes[:length]] if is_gap else []
        if is_gap or (nodes and _is_like(first, nodes[0], new)):
            rest = _length_of_run(others, nodes[length:], new, is_whole=is_whole)
            if rest is not None:
                gaps += new
                return length + rest
    return None


def _is_gap(node: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _changed(spot: Spot, new: _Piece) -> Any:
    """Return a copy of the parent with another piece there."""
    filled = _Filling(spot.gaps)
    made = [filled.visit(each) for each in deepcopy(new)]
    parent = copy(spot.parent)
    if spot.at is None:
        setattr(parent, spot.field, made[0])
    else:
        flat = [node for each in made for node in (each if isinstance(each, list) else [each])]
        beside = getattr(parent, spot.field)
        flat = [*beside[: spot.at], *flat, *beside[spot.at + spot.size :]]
        setattr(parent, spot.field, flat)
    return parent


def _with(tree: Any, old: ast.AST, new: ast.AST) -> Any:
    """Return a copy of the tree with another node in the place of ``old``; all else is shared."""
    if tree is old:
        return new
    if isinstance(tree, list):
        made = [_with(each, old, new) for each in tree]
        return made if any(a is not b for a, b in zip(made, tree, strict=True)) else tree
    if not isinstance(tree, ast.AST):
        return tree
    for field, value in ast.iter_fields(tree):
        if (changed := _with(value, old, new)) is not value:
            tree = copy(tree)
            setattr(tree, field, changed)
            break
    return tree


class _Filling(ast.NodeTransformer):
    """Puts in the place of each ``...`` what the one of its number stood for."""

    def __init__(self, gaps: Sequence[Gap]) -> None:
        self._gaps = iter(gaps)

    def visit_Expr(self, node: ast.Expr) -> Any:
        return next(self._gaps) if _is_gap(node.value) else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> Any:
        return next(self._gaps) if _is_gap(node) else node
