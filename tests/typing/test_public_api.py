"""Every public call, as type checkers see it: mypy --strict and pyright check this file.

It also runs, so that what is said of the types is true of the values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from typing_extensions import assert_type

from ctxlocal import (
    Local,
    LocalManager,
    LocalProxy,
    LocalStack,
    UnboundError,
    errors,
    flow,
    ident,
    is_bound,
    proxy,
    release_local,
    scoped,
    unwrap,
)


class Request:
    path = "/"


class Connection(Local, ident="thread"):
    def __init__(self, url: str) -> None:
        self.url = url


def double(number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


async def double_later(number: int) -> int:
    return 2 * number


def test_local() -> None:
    local = Local(ident="context", name="app", carry=True)
    local.x = 1
    assert_type(getattr(local, "x"), Any)  # noqa: B009
    assert_type(list(local), list[tuple[str, Any]])
    assert_type(Connection("sqlite://").url, str)
    var: ContextVar[dict[str, Any]] = ContextVar("var")
    Local(var)
    release_local(local)
    with scoped(local, strict=True, x=2) as scope:
        assert_type(scope, Local)


def test_wire() -> None:
    local = Local(name="typed", wire=("user",))
    assert_type(flow.export(local, limit=100), dict[str, dict[str, Any]])
    assert_type(flow.imported({}, local, limit=100), flow.Frame)
    assert_type(flow.imported({}).run(double, 1), int)


def test_stack() -> None:
    stack: LocalStack[Request] = LocalStack(name="requests", ident=lambda: 1)
    request = Request()
    assert_type(stack.push(request), None)
    assert_type(stack.top, "Request | None")
    assert_type(stack.pop(), "Request | None")
    with stack.pushed(request) as top:
        assert_type(top, Request)
    release_local(stack)


def test_proxy() -> None:
    stack: LocalStack[Request] = LocalStack()
    current = LocalProxy(stack)
    assert_type(current, LocalProxy[Request])
    var: ContextVar[int] = ContextVar("var", default=1)
    assert_type(LocalProxy(var)._get_current_object(), int)
    assert_type(LocalProxy(lambda: "text")._get_current_object(), str)
    assert_type(is_bound(current), bool)
    request = proxy(stack, like=Request)
    assert_type(request, Request)
    with stack.pushed(Request()):
        assert_type(request.path, str)
        assert_type(unwrap(current), Request)
        assert_type(unwrap(stack()), Request)
        assert_type(unwrap(Request()), Request)
    assert_type(stack(), LocalProxy[Request])
    assert_type(stack("path"), LocalProxy[Any])
    stand_in: Request = stack()  # it fits where its target does
    with stack.pushed(Request()):
        assert stand_in.path + "a" == "/a"
    assert LocalProxy(lambda: [1])[0] + 1 == 2


def test_ident() -> None:
    assert_type(ident.get_default(), ident.Ident)
    assert_type(ident.default_source(), str)
    ident.set_default("thread", discard=True)
    ident.set_default(ident.ThreadIdent())
    ident.set_default(lambda: 1)
    ident.set_default(None)
    hash(ident.current("task"))


def test_flow() -> None:
    snapshot = flow.snapshot()
    assert_type(snapshot.run(double, 1, plus=2), int)
    bound = flow.bind(double)
    assert_type(bound(1, plus=2), int)
    assert asyncio.run(flow.bind(double_later)(2)) == 4
    frame = flow.Frame()
    assert_type(frame.run(double, 2), int)
    assert_type(asyncio.run(frame.drive(double_later(2))), int)
    frame.callback(double, 1)
    frame.close()
    assert_type(frame.is_closed, bool)
    assert_type(frame.variables(), dict[ContextVar[Any], Any])
    with flow.ContextThreadPoolExecutor(1) as pool:
        assert_type(pool.submit(double, 1).result(), int)
    hook: Callable[[errors.ScopeLostError], None] = print
    flow.set_lost_scope_hook(hook)
    flow.set_lost_scope_hook(None)


def test_manager_and_errors() -> None:
    local = Local()
    manager = LocalManager([local])
    manager.cleanup()
    LocalManager(local)
    assert_type(UnboundError("text").owner, "str | None")
