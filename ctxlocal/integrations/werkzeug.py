"""ctxlocal's locals in the place of werkzeug's: Flask's and Quart's proxies follow the strategy.

::

    from ctxlocal.integrations import werkzeug

    werkzeug.install()

    from flask import Flask, request  # from here on whoever imports werkzeug.local gets ours

``request``, ``session``, ``g`` and ``current_app`` belong to owners of the application's strategy,
and go with ``flow.bind`` and executors. Flask keeps them in context variables that it makes itself,
so a proxy alone would not do: its module ``flask.globals`` is given variables of ours.
"""

from __future__ import annotations

import builtins
import contextvars
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import ctxlocal

from ..errors import CtxLocalError, MissingDependencyError
from ..local import LocalStack

NAMES = ("Local", "LocalStack", "LocalProxy", "LocalManager", "release_local")
GLOBALS = ("flask.globals", "quart.globals")  # which make the variables of their frameworks


class InstalledTooLateError(CtxLocalError, RuntimeError):
    """Others have taken werkzeug's locals before ours came; ``taken`` are the modules that have."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.taken = tuple(taken)
        super().__init__(
            f"werkzeug's locals are in use already, in {', '.join(taken)}, and stay. Call "
            "ctxlocal.integrations.werkzeug.install() before Flask, Quart and whatever imports "
            "from werkzeug.local: first thing in the application's main module, and not under the "
            "command flask, which imports Flask first."
        )


def install() -> None:
    """Put ctxlocal's Local, LocalStack, LocalProxy, LocalManager and release_local into place.

    For the whole process, for good; again is harmless. The strategy may be chosen later, up to the
    first request.

    :raises InstalledTooLateError: somebody has the names already; nothing was changed.
    :raises MissingDependencyError: werkzeug is not installed.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if taken := _taken():
        raise InstalledTooLateError(taken)
    try:
        import werkzeug.local
    except ImportError as error:
        raise MissingDependencyError("ctxlocal.integrations.werkzeug", "werkzeug", "web") from error
    for name in NAMES:
        setattr(werkzeug.local, name, getattr(ctxlocal, name))
    sys.meta_path.insert(0, _Finder())


def _taken() -> list[str]:
    """Name the modules that have a name of werkzeug.local, or a thing made by it."""
    if frameworks := [name for name in GLOBALS if name in sys.modules]:
        return frameworks
    theirs = sys.modules.get("werkzeug.local")
    originals = {id(getattr(theirs, name, None)) for name in NAMES} - {id(None)}

    def has_one(module: ModuleType) -> bool:
        values = list(getattr(module, "__dict__", {}).values())
        return any({id(value), id(type(value))} & originals for value in values)

    return [
        name for name, found in list(sys.modules.items()) if found is not theirs and has_one(found)
    ]


class OwnerVar(LocalStack[Any]):
    """What a ContextVar does, for the owners of the application's strategy.

    As a LocalStack it is what proxies are made for. A reset in another owner than the set was in,
    which is an error of a ContextVar, changes nothing. None counts as unset.

    :param name: names it in messages.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.name = name

    def get(self, *default: Any) -> Any:
        """Return the current owner's value, or the default.

        :raises LookupError: there is neither.
        """
        if (top := self.top) is not None:
            return top
        if default:
            return default[0]
        raise LookupError(self)

    def set(self, value: Any) -> OwnerToken:
        """Set the current owner's value; return what :meth:`reset` takes."""
        token = OwnerToken(self.pop(), value)
        self.push(value)
        return token

    def reset(self, token: OwnerToken) -> None:
        """Go back to what was before a set, if what it set is still there."""
        if self.top is token.value:
            self.pop()
            if token.old_value is not None:
                self.push(token.old_value)


class OwnerToken:
    """What was set, and what it took the place of."""

    __slots__ = ("old_value", "value")

    def __init__(self, old_value: Any, value: Any) -> None:
        self.old_value = old_value
        self.value = value


class _Finder(MetaPathFinder):
    """Finds the modules that make a framework's variables, and lets them make ours."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in GLOBALS else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads a module whose ``import contextvars`` finds an OwnerVar in the place of ContextVar.

    By an ``__import__`` of the module's own, so that nobody else meets it meanwhile.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # for inspect, which asks for the source
        values: dict[str, Any] = vars(module)
        values["__builtins__"] = {**vars(builtins), "__import__": _import}
        self._loader.exec_module(module)
        values["__builtins__"] = builtins


def _import(name: str, *arguments: Any, **keywords: Any) -> Any:
    return _variables() if name == "contextvars" else __import__(name, *arguments, **keywords)


def _variables() -> ModuleType:
    stand_in = ModuleType("contextvars")
    vars(stand_in).update(vars(contextvars), ContextVar=OwnerVar, Token=OwnerToken)
    return stand_in
