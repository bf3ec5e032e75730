"""Local: get an attribute, and set one of 10 and one of 1000."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

from ...rival import has_native_twin, load
from ..case import Case, Names


def _make(module: str, name: str = "local", **arguments: object) -> Any:
    return getattr(load(module), name)(**arguments)


# Beside the native twin: the pure one, in the same run.
_PURE: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    (
        "ctxlocal.Local (pure)",
        "ctxlocal.local.pure.local",
        partial(_make, "ctxlocal.local.pure.local", "Local"),
    ),
)
LOCALS: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    # row, the module it needs, what makes one
    ("ctxlocal.Local", "ctxlocal", partial(_make, "ctxlocal", "Local")),
    (
        'ctxlocal.Local(ident="thread")',
        "ctxlocal",
        partial(_make, "ctxlocal", "Local", ident="thread"),
    ),
    ("werkzeug.Local", "werkzeug.local", partial(_make, "werkzeug.local", "Local")),
    ("threading.local", "threading", partial(_make, "threading")),
    ("gevent.local", "gevent.local", partial(_make, "gevent.local")),
    ("asgiref.Local", "asgiref.local", partial(_make, "asgiref.local", "Local")),
    ("eventlet.corolocal", "eventlet.corolocal", partial(_make, "eventlet.corolocal")),
    *(_PURE if has_native_twin() else ()),
)


def _filled(make: Callable[[], Any], count: int) -> Names:
    """Make a Local of ``count`` attributes: x, and x0, x1 and so on, set before it."""
    local = make()
    for number in range(count - 1):
        setattr(local, f"x{number}", number)
    local.x = None
    return {"local": local, "a": object(), "b": object()}


def _variables(count: int) -> Names:
    # A ContextVar holds one value: as many attributes are as many variables, and a deeper Context.
    variables = {f"x{number}": ContextVar[object](f"x{number}") for number in range(count - 1)}
    variables["x"] = ContextVar[object]("x")
    for variable in variables.values():
        variable.set(None)
    return {**variables, "a": object(), "b": object()}


def _cases(
    table: str, count: int, of_local: tuple[str, ...], of_variable: tuple[str, ...]
) -> Iterator[Case]:
    for row, module, make in LOCALS:
        yield Case(table, row, of_local, partial(_filled, make, count), (module,))
    yield Case(table, "ContextVar", of_variable, partial(_variables, count))


def _get(table: str, count: int) -> Iterator[Case]:
    return _cases(table, count, ("local.x",), ("x.get()",))


def _set(table: str, count: int) -> Iterator[Case]:
    return _cases(table, count, ("local.x = a", "local.x = b"), ("x.set(a)", "x.set(b)"))


def _set_in_turn(table: str, count: int) -> Iterator[Case]:
    turns = [
        (name, value) for value in "ab" for name in ("x", *map("x{}".format, range(count - 1)))
    ]
    return _cases(
        table,
        count,
        tuple(f"local.{name} = {value}" for name, value in turns),
        tuple(f"{name}.set({value})" for name, value in turns),
    )


GET = (*_get("local-get", 1), Case("local-get", "pass", ("pass",), dict))
GET_1000 = (*_get("local-get-1000", 1000),)
SET_10 = (*_set("local-set-10", 10),)
SET_1000 = (*_set("local-set-1000", 1000), *_set_in_turn("local-set-turns", 1000))
