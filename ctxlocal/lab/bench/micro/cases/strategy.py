"""Each identity strategy of ctxlocal in the owner it is for: get and set with 10 attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

from ...rival import load
from ..case import Case, Names
from ..owner import Owner, in_context, in_gevent, in_greenlet, in_task


class Key:
    """An owner as an application may make one up: weakly referenceable."""


_KEY = Key()


def current_key() -> Key:
    """Return the one owner of the callable strategy's rows."""
    return _KEY


def _ctxlocal(ident: object) -> Any:
    return load("ctxlocal").Local(ident=ident)


def _rival(module: str) -> Any:
    return load(module).local()


ROWS: tuple[tuple[str, Callable[[], Any], Owner, tuple[str, ...]], ...] = (
    ("context", partial(_ctxlocal, "context"), in_context, ("ctxlocal",)),
    ("thread", partial(_ctxlocal, "thread"), in_context, ("ctxlocal",)),
    ("greenlet, raw", partial(_ctxlocal, "greenlet"), in_greenlet, ("ctxlocal", "greenlet")),
    ("greenlet, gevent's", partial(_ctxlocal, "greenlet"), in_gevent, ("ctxlocal", "gevent")),
    ("greenlet, main", partial(_ctxlocal, "greenlet"), in_context, ("ctxlocal", "greenlet")),
    ("task", partial(_ctxlocal, "task"), in_task, ("ctxlocal",)),
    ("callable", partial(_ctxlocal, current_key), in_context, ("ctxlocal",)),
    ("threading.local", partial(_rival, "threading"), in_context, ()),
    ("gevent.local, gevent's greenlet", partial(_rival, "gevent.local"), in_gevent, ("gevent",)),
)


def _names(make: Callable[[], Any]) -> Names:
    local = make()
    for number in range(9):
        setattr(local, f"x{number}", number)
    local.x = None
    return {"local": local, "a": object(), "b": object()}


def _variable() -> Names:
    variable: ContextVar[object] = ContextVar("x")
    variable.set(None)
    return {"variable": variable, "a": object(), "b": object()}


def _cases() -> Iterator[Case]:
    for row, make, owner, needs in ROWS:
        names = partial(_names, make)
        yield Case("strategy-get", row, ("local.x",), names, needs, owner)
        yield Case("strategy-set", row, ("local.x = a", "local.x = b"), names, needs, owner)
    yield Case("strategy-get", "ContextVar", ("variable.get()",), _variable)
    yield Case("strategy-set", "ContextVar", ("variable.set(a)", "variable.set(b)"), _variable)


CASES = tuple(_cases())
