"""What holds state in this process: each Local and LocalStack, and plain thread-local objects."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctxlocal import Local, LocalStack
from ctxlocal.ident.greenlet import HUBS
from ctxlocal.ident.named import kind_of
from ctxlocal.local.storage import VarStorage

from .named import Place, holder, origin, places

# Whose own are made knowing what they are for.
_EXEMPT = (*sys.stdlib_module_names, "ctxlocal", "greenlet", *HUBS)


@dataclass(frozen=True)
class Holding:
    """A Local or LocalStack.

    ``name`` is the attribute that holds it, or what its messages call it; ``position`` the file
    and line that assign it, where that is known. ``strategy`` and ``kind`` are None where it
    follows the application's default.
    """

    name: str
    type: str
    position: str | None
    strategy: str | None
    kind: str | None
    hub: str | None = None


@dataclass(frozen=True)
class ThreadLocal:
    """A ``threading.local`` no monkey-patch has replaced; ``is_library`` if pip put it there."""

    name: str
    position: str | None
    is_library: bool


def holdings() -> tuple[Holding, ...]:
    """Return every living Local and stack but ctxlocal's own and those over a ContextVar.

    O(objects of the process).
    """
    known = places(_is_local)
    things = {id(thing): thing for thing in gc.get_objects() if _is_local(thing)}
    found = []
    for key, thing in things.items():
        place = origin(known[key]) if key in known else None
        if place is not None and place.module.__name__.partition(".")[0] == "ctxlocal":
            continue
        slot = _slot_of(thing)
        if slot is not None and type(slot.storage) is not VarStorage:
            found.append(_holding(thing, slot, place))
    return tuple(sorted(found, key=lambda one: one.name))


def thread_locals(ignore: frozenset[str]) -> tuple[ThreadLocal, ...]:
    """Return the ``threading.local`` objects that modules, or classes in them, hold.

    :param ignore: modules that are none of the application's.
    """
    found = []
    for its in places(_is_thread_local).values():
        place = origin(its)
        name = place.module.__name__
        if name.partition(".")[0] not in _EXEMPT and name not in ignore:
            library = _is_installed(place)
            found.append(ThreadLocal(place.name, place.position, library))
    return tuple(sorted(found, key=lambda one: one.name))


def _is_local(thing: Any) -> bool:
    return issubclass(type(thing), (Local, LocalStack))  # a proxy's __class__ is its target's


def _slot_of(thing: Any) -> Any:
    held = "_ctxlocal_slot" if issubclass(type(thing), Local) else "_slot"
    try:
        return object.__getattribute__(thing, held)
    except AttributeError:  # it is only just being made
        return None


def _holding(thing: Any, slot: Any, place: Place | None) -> Holding:
    kind = "Local" if issubclass(type(thing), Local) else "LocalStack"
    if place is None:
        whose = holder(thing)
        name, position = f"{slot.label}{f' of a {whose}' if whose else ''}", None
    else:
        name, position = place.name, place.position
    if slot.follows:
        return Holding(name, kind, position, None, None)
    strategy = slot.strategy()
    hub = getattr(strategy, "hub", None)
    return Holding(name, kind, position, strategy.name, kind_of(strategy), hub)


def _is_thread_local(thing: Any) -> bool:
    """Whether it is the interpreter's own kind: a monkey-patch puts another one in its place."""
    return any(
        (cls.__module__, cls.__name__) == ("_thread", "_local")
        for cls in type.__getattribute__(type(thing), "__mro__")
    )


def _is_installed(place: Place) -> bool:
    file = getattr(place.module, "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
