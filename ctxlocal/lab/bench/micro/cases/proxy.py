"""Proxies: what an operation costs through one. wrapt and lazy-object-proxy look nothing up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

from ...rival import has_native_twin, load
from ..case import Case, Names


class Target:
    """What the proxies stand for: one attribute, one method."""

    def __init__(self) -> None:
        self.x = object()

    def method(self) -> None:
        """Do nothing."""


def _function() -> None:
    """Do nothing."""


TABLES: tuple[tuple[str, str, Callable[[], object]], ...] = (
    ("proxy-attribute", "p.x", Target),
    ("proxy-method", "p.method()", Target),
    ("proxy-call", "p()", lambda: _function),
    ("proxy-item", 'p["x"]', lambda: {"x": 1}),
    ("proxy-add", "p + 1", lambda: 1000),
)


def _over_variable(module: str, value: object) -> Any:
    variable: ContextVar[object] = ContextVar("value")
    variable.set(value)
    return load(module).LocalProxy(variable)


def _over_local(module: str, value: object) -> Any:
    local = load(module).Local()
    local.value = value
    return local("value")


def _over_stack(module: str, value: object) -> Any:
    stack = load(module).LocalStack()
    stack.push(value)
    return stack()


def _like(module: str, value: object) -> Any:
    local = load(module).Local()
    local.value = value
    return load(module).proxy(local, "value", like=type(value))


def _direct(module: str, value: object) -> Any:
    return value


def _pure_over_local(module: str, value: object) -> Any:
    local = load("ctxlocal.local.pure.local").Local()
    local.value = value
    return load(module).LocalProxy(local, "value")


def _wrapt(module: str, value: object) -> Any:
    # The C type itself: since wrapt 2, wrapt.ObjectProxy is a Python subclass of it, and slower.
    kind = "CallableObjectProxy" if value is _function else "ObjectProxy"
    return getattr(load(module), kind)(value)


def _lazy(module: str, value: object) -> Any:
    return load(module).Proxy(lambda: value)


PROXIES: tuple[tuple[str, str, Callable[[str, object], Any]], ...] = (
    ("ctxlocal.LocalProxy over a Local", "ctxlocal", _over_local),
    ("ctxlocal.LocalProxy over a ContextVar", "ctxlocal", _over_variable),
    ("ctxlocal.LocalProxy over a LocalStack", "ctxlocal", _over_stack),
    ("ctxlocal.proxy(like=) over a Local", "ctxlocal", _like),
    *(
        (
            (
                "ctxlocal.LocalProxy (pure) over a Local",
                "ctxlocal.local.pure.proxy",
                _pure_over_local,
            ),
        )
        if has_native_twin()
        else ()
    ),
    ("werkzeug.LocalProxy over a Local", "werkzeug.local", _over_local),
    ("werkzeug.LocalProxy over a ContextVar", "werkzeug.local", _over_variable),
    ("werkzeug.LocalProxy over a LocalStack", "werkzeug.local", _over_stack),
    # The C twins are asked for by module, so that a build without them leaves the row out.
    ("wrapt (C)", "wrapt._wrappers", _wrapt),
    ("lazy-object-proxy (C)", "lazy_object_proxy.cext", _lazy),
)


def _names(make: Callable[[str, object], Any], module: str, target: Callable[[], object]) -> Names:
    return {"p": make(module, target())}


def _cases() -> Iterator[Case]:
    for table, statement, target in TABLES:
        for row, module, make in PROXIES:
            yield Case(
                table,
                row,
                (statement,),
                partial(_names, make, module, target),
                needs=(module,),
            )
        yield Case(table, "direct", (statement,), partial(_names, _direct, "", target))


CASES = tuple(_cases())
