"""What a request sees of the context variables of whoever calls the application."""

from __future__ import annotations

import asyncio
import decimal
import logging
import sys
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from werkzeug.test import Client

import ctxlocal
from ctxlocal import Local, LocalStack
from ctxlocal.web import asgi, inherit, wsgi
from ctxlocal.web.app import App

from .asgi_client import Exchange, call, http_scope, websocket_scope

first: ContextVar[Any] = ContextVar("first")
second: ContextVar[Any] = ContextVar("second", default="default")

KINDS = ("wsgi", "asgi", "App wsgi", "App asgi")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inherit, "_said", {})


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def served(kind: str, look: Callable[[], Any], inherit: Any = False) -> Callable[[], list[Any]]:
    """Return what sends a request to a new application, and returns what ``look`` has seen."""
    seen: list[Any] = []

    def wsgi_view(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(look())
        start_response("200 OK", [])
        return []

    async def asgi_view(scope: Any, receive: Any, send: Any) -> None:
        seen.append(look())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    if kind.startswith("App"):
        app = App("inheriting", inherit=inherit)

        @app.get("/")
        def index() -> str:
            seen.append(look())
            return ""

    application: Any
    if kind.startswith("App"):
        application = app if kind == "App wsgi" else app.asgi
    elif kind == "wsgi":
        application = wsgi.ContextMiddleware(wsgi_view, inherit=inherit)
    else:
        application = asgi.ContextMiddleware(asgi_view, inherit=inherit)

    def send() -> list[Any]:
        seen.clear()
        if kind.endswith("wsgi"):
            assert Client(application).get("/").status_code == 200
        else:
            assert asyncio.run(call(application)).status == 200
        return seen

    return send


def both() -> tuple[Any, Any]:
    return first.get(None), second.get()


@pytest.mark.parametrize(
    ("inherit", "expected"),
    [
        (False, (None, "default")),
        (True, (1, 2)),
        ([first], (1, "default")),
        ((second, first), (1, 2)),
        ((), (None, "default")),
        ({second: "a key"}.keys(), (None, 2)),
    ],
    ids=["False", "True", "one", "two", "none", "view"],
)
def test_a_request_sees_what_it_is_to_inherit(kind: str, inherit: Any, expected: Any) -> None:
    def outside() -> None:
        send = served(kind, both, inherit)
        first.set(1)
        second.set(2)
        assert send() == [expected]
        assert send() == [expected]

    Context().run(outside)


def test_a_variable_that_is_not_set_outside_is_none_inside(kind: str) -> None:
    assert Context().run(served(kind, both, [first, second])) == [(None, "default")]


@pytest.mark.parametrize("inherit", [True, [first]], ids=["True", "list"])
def test_what_is_set_inside_is_not_seen_outside(kind: str, inherit: Any) -> None:
    def outside() -> None:
        first.set("outside")
        assert served(kind, lambda: first.set("inside"), inherit)()
        assert first.get() == "outside"

    Context().run(outside)


@pytest.mark.parametrize("inherit", [True, [first]], ids=["True", "list"])
@pytest.mark.parametrize("strategy", ["context", "thread", "task"])
def test_no_local_is_inherited(strategy: str, inherit: Any) -> None:
    ctxlocal.ident.set_default(strategy)
    local, stack = Local(), LocalStack[int]()
    seen = []

    def view(environ: Any, start_response: Any) -> list[bytes]:
        seen.append((hasattr(local, "value"), stack.top, first.get()))
        start_response("200 OK", [])
        return []

    def outside() -> None:
        local.value = 1
        stack.push(1)
        first.set(1)
        Client(wsgi.ContextMiddleware(view, inherit=inherit)).get("/")
        local.__release_local__()
        stack.__release_local__()

    Context().run(outside)
    assert seen == [(False, None, 1)]


def test_lifespan_and_websocket_inherit_too() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], first.get()))

    async def main() -> None:
        first.set(1)
        middleware = asgi.ContextMiddleware(app, inherit=[first])
        for scope in ({**http_scope(), "type": "lifespan"}, websocket_scope()):
            await Exchange(middleware, scope).run()

    asyncio.run(main())
    assert seen == [("lifespan", 1), ("websocket", 1)]


def test_an_app_inherits_in_its_lifespan_and_its_stream() -> None:
    app = App("inheriting", inherit=[first])
    seen = []

    @app.on_startup
    def start() -> None:
        seen.append(first.get())

    @app.get("/")
    def index() -> Iterator[str]:
        yield first.get()

    async def main() -> None:
        first.set("outside")
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        await Exchange(app.asgi, {"type": "lifespan"}, *messages).run()
        assert (await call(app.asgi)).body == b"outside"

    asyncio.run(main())
    assert seen == ["outside"]


@pytest.mark.parametrize(
    "wrong",
    [first, "first", 1, None, [first, "x"], [Local()]],
    ids=["not in a list", "a name", "a number", "None", "a name in a list", "a Local"],
)
def test_what_is_no_context_variable_is_refused(wrong: Any) -> None:
    for make in (
        lambda: App("x", inherit=wrong),
        lambda: wsgi.ContextMiddleware(lambda e, s: [], inherit=wrong),
        lambda: asgi.ContextMiddleware(None, inherit=wrong),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"^inherit takes "):
            make()


# Decimal contexts


@pytest.mark.parametrize("inherit", [True, False], ids=repr)
def test_decimal_settings_are_inherited_and_stay_inside(kind: str, inherit: bool) -> None:
    def look() -> int:
        found = decimal.getcontext().prec
        decimal.getcontext().prec = 5
        return found

    def outside() -> None:
        decimal.getcontext().prec = 50
        assert served(kind, look, inherit)() == [50 if inherit else 28]
        assert decimal.getcontext().prec == 50

    Context().run(outside)


def test_decimal_settings_can_be_named() -> None:
    def outside() -> None:
        decimal.getcontext().prec = 50
        named = [var for var in copy_context() if var.name == "decimal_context"]
        assert served("wsgi", lambda: decimal.getcontext().prec, named)() == [50]

    Context().run(outside)


# What is said of those that are hidden


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "ctxlocal.web.context"]


def test_each_hidden_variable_is_said_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def outside() -> None:
        first.set("its value")
        send = served(kind, both)
        send()
        send()
        second.set(1)
        send()
        served(kind, both)()

    Context().run(outside)
    assert said(caplog) == [
        f"The context variable {name!r} was set outside and is hidden from the application: a "
        "request starts without what its caller, or an earlier request on the same worker, has "
        "set. If it is to be seen, name it: inherit=[the variable]; inherit=True lets all of them "
        "in. This is said once for each variable."
        for name in ("first", "second")
    ]
    assert caplog.records[0].levelno == logging.WARNING


def test_nothing_is_said_of_what_is_inherited(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def outside() -> None:
        first.set(1)
        served(kind, both, [first])()
        served(kind, both, True)()
        assert said(caplog) == []
        served(kind, both, [second])()
        assert len(said(caplog)) == 1

    Context().run(outside)


def test_each_of_many_hidden_variables_is_said(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    seen, hidden = ([ContextVar[int](f"{what} {i}") for i in range(20)] for what in "sh")

    def outside() -> None:
        for var in (*seen, *hidden):
            var.set(1)
        served(kind, both, seen)()

    Context().run(outside)
    assert len(said(caplog)) == len(hidden)


def test_nothing_is_said_of_what_nobody_misses(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def outside() -> None:
        decimal.getcontext()  # a context of the settings that every thread begins with
        ContextVar[Any]("current_async_library_cvar").set("asyncio")  # sniffio's
        local = Local()
        local.value = 1
        with App("around").app_context():
            served(kind, both)()
        local.__release_local__()

    Context().run(outside)
    assert said(caplog) == []


@pytest.mark.parametrize(
    "name",
    [
        *("current_async_library_cvar", "async_single_thread_context", "thread_sensitive_context"),
        *("deadlock_context", "warnings_context"),
    ],
)
def test_nothing_is_said_of_a_librarys_own_variable(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def outside() -> None:
        ContextVar[Any](name).set(1)
        served("wsgi", both)()

    Context().run(outside)
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("field", "value"), [("prec", 9), ("rounding", decimal.ROUND_UP), ("Emin", -9), ("Emax", 9)]
)
def test_a_hidden_decimal_context_that_was_changed_is_said(
    field: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def outside() -> None:
        setattr(decimal.getcontext(), field, value)
        served("wsgi", both)()

    Context().run(outside)
    assert len(said(caplog)) == 1


def test_a_hidden_decimal_context_whose_traps_were_changed_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def outside() -> None:
        decimal.getcontext().traps[decimal.Inexact] = True
        served("wsgi", both)()

    Context().run(outside)
    assert len(said(caplog)) == 1


def test_variables_made_by_the_thousand_are_not_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inheritance = inherit.Inheritance(False)

    def outside(number: int) -> None:
        ContextVar[int](f"number {number}").set(1)
        inheritance.frame()

    for number in range(2 * inherit.MOST):
        Context().run(outside, number)
    assert len(inheritance._known) <= inherit.MOST + 1
    assert len(said(caplog)) <= inherit.MOST + 1


# Tracing


@pytest.fixture(scope="module")
def tracer() -> Any:
    return TracerProvider().get_tracer("tests")


def span_id() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_a_span_of_opentelemetry_is_current_inside(
    kind: str, tracer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    token = otel_context.attach(otel_context.Context())
    tracing = [var for var in copy_context() if var.name == "current_context"]
    otel_context.detach(token)
    assert len(tracing) == 1

    def look() -> int:
        with tracer.start_as_current_span("view"):
            pass
        return span_id()

    with tracer.start_as_current_span("server") as span:
        mine = span.get_span_context().span_id
        for inherit in (False, True, tracing):
            assert served(kind, look, inherit)() == [mine]
        assert span_id() == mine
    assert served(kind, look, False)() == [0]
    assert "current_context" not in "".join(said(caplog))


@pytest.mark.skipif(sys.version_info < (3, 14), reason="warnings know Contexts since Python 3.14")
def test_filters_of_a_block_around_are_hidden_with_the_other_variables(
    run_python: Callable[..., str],
) -> None:
    code = """
        import warnings
        from werkzeug.test import Client
        from ctxlocal.web.wsgi import ContextMiddleware

        def warning(environ, start_response):
            warnings.warn("careful")
            start_response("200 OK", [])
            return []

        for inherit in (False, True):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                Client(ContextMiddleware(warning, inherit=inherit)).get("/")
            print(len(caught))
    """
    assert run_python(code, PYTHON_CONTEXT_AWARE_WARNINGS="1") == "0\n1\n"
    assert run_python(code, PYTHON_CONTEXT_AWARE_WARNINGS="0") == "1\n1\n"
