"""The locals and proxies that lie over a context variable, whatever the default is."""

from __future__ import annotations

import gc
import sys
from contextvars import ContextVar
from typing import Any

from ctxlocal import Local, LocalStack
from ctxlocal.local import BaseProxy
from ctxlocal.local.storage import VarStorage

from .named import origin, places

# What a proxy was made for; of werkzeug's locals the ContextVar itself.
_OURS = {BaseProxy: "_ctxlocal_origin", Local: "_ctxlocal_slot", LocalStack: "_slot"}
_WERKZEUGS = {
    "LocalProxy": "_LocalProxy__wrapped",
    "Local": "_Local__storage",
    "LocalStack": "_storage",
}


def context_proxies() -> tuple[str, ...]:
    """Name every Local, LocalStack and LocalProxy, ours or werkzeug's, over a plain ContextVar.

    By ``module.attribute``, the place that assigns it before those that import it; what no module
    has, by its ContextVar. A proxy over a callable is left out: it follows what it calls.
    O(objects of the process).
    """
    holders = _holders()
    known = places(lambda thing: _variable(thing, holders) is not None)
    found = {origin(its).name for its in known.values()}
    for thing in gc.get_objects():
        if id(thing) not in known and (var := _variable(thing, holders)) is not None:
            found.add(f"a {type(thing).__name__} of ContextVar {var.name!r}")
    return tuple(sorted(found))


def _holders() -> dict[type, str]:
    werkzeug = sys.modules.get("werkzeug.local")
    theirs = {getattr(werkzeug, name, None): held for name, held in _WERKZEUGS.items()}
    # Ours may stand in their place: ctxlocal.integrations.werkzeug.
    others = {cls: held for cls, held in theirs.items() if cls and not issubclass(cls, (*_OURS,))}
    return {**_OURS, **others}


def _variable(thing: Any, holders: dict[type, str]) -> ContextVar[Any] | None:
    """Return the ContextVar that a local or proxy leads to, None if it leads to none of its own."""
    source = _source(thing, holders)
    if source is None or type(source) is ContextVar:
        return source
    return _variable(source, holders)


def _source(thing: Any, holders: dict[type, str]) -> Any:
    # By its type: a proxy's __class__ is that of its target.
    held = next((held for cls, held in holders.items() if issubclass(type(thing), cls)), None)
    if held is None:
        return None
    try:
        source = object.__getattribute__(thing, held)
    except AttributeError:  # it is only just being made
        return None
    if held == "_ctxlocal_origin":
        return source[0]
    if held in ("_ctxlocal_slot", "_slot"):
        return source.storage.var if type(source.storage) is VarStorage else None
    return source
