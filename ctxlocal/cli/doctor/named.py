"""Where a thing lives: the module or class attribute that holds it, and the line that made it."""

from __future__ import annotations

import ast
import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple


class Place(NamedTuple):
    """An attribute of a module, or of a class in it ("Shop.user")."""

    module: ModuleType
    attribute: str

    @property
    def name(self) -> str:
        """The attribute with its module's name."""
        return f"{self.module.__name__}.{self.attribute}"

    @property
    def line(self) -> int | None:
        """The line of the module that assigns it, None where none does (or there is no source)."""
        return _assignments(self.module).get(self.attribute)

    @property
    def position(self) -> str | None:
        """The file's name and the line, for people."""
        file, line = getattr(self.module, "__file__", None), self.line
        return None if file is None or line is None else f"{Path(file).name}:{line}"


def places(wanted: Callable[[Any], object]) -> dict[int, list[Place]]:
    """Return where what is ``wanted`` lives, by its ``id``. O(attributes of all modules)."""
    found: dict[int, list[Place]] = {}
    for place, thing in _attributes():
        if wanted(thing):
            found.setdefault(id(thing), []).append(place)
    return found


def origin(known: list[Place]) -> Place:
    """Return the place that assigns the thing, before those that import it."""
    if len(known) == 1:
        return known[0]
    return next((place for place in known if place.line is not None), known[0])


def holder(thing: Any) -> str | None:
    """Name the class of an object that has ``thing`` as an attribute, None where none is found."""
    for referrer in gc.get_referrers(thing):
        owners = gc.get_referrers(referrer) if type(referrer) is dict else [referrer]
        for owner in owners:
            kind = type(owner)
            if kind.__module__ != "builtins" and any(
                value is thing for value in getattr(owner, "__dict__", {}).values()
            ):
                return f"{kind.__module__}.{kind.__qualname__}"
    return None


def _attributes() -> Iterator[tuple[Place, Any]]:
    for module in list(sys.modules.values()):
        if not issubclass(type(module), ModuleType):  # cffi's say that they are modules
            continue
        # Past a lazy module's own __getattribute__, which would import it.
        for name, thing in list(object.__getattribute__(module, "__dict__").items()):
            yield Place(module, name), thing
            if isinstance(type(thing), type) and issubclass(type(thing), type):
                yield from _class_attributes(module, thing)


def _class_attributes(module: ModuleType, cls: type) -> Iterator[tuple[Place, Any]]:
    if type.__getattribute__(cls, "__module__") == module.__name__:
        for name, thing in list(type.__getattribute__(cls, "__dict__").items()):
            yield Place(module, f"{cls.__qualname__}.{name}"), thing


@lru_cache(maxsize=64)
def _assignments(module: ModuleType) -> dict[str, int]:
    """Return the line of each name that the module assigns, outside of functions."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):  # without a source one cannot tell
        return {}
    return dict(_stores(tree, ""))


def _stores(scope: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.ClassDef):
            yield from _stores(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield prefix + node.id, node.lineno
        else:
            yield from _stores(node, prefix)
