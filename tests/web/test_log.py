"""What the web layer logs of what went wrong when the response was made already."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ctxlocal.web import asgi, signals, wsgi
from ctxlocal.web.app import App
from ctxlocal.web.context import on_teardown

from .asgi_client import Exchange, call, http_scope


def fail(*_: object) -> None:
    raise LookupError("lost")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    return [(each.name, each.levelname, each.getMessage()) for each in caplog.records]


def test_of_a_teardown_under_wsgi(caplog: pytest.LogCaptureFixture) -> None:
    contexts = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        from ctxlocal.web.context import current_request_context

        contexts.append(repr(current_request_context()))
        on_teardown(fail)
        start_response("200 OK", [])
        return [b"body"]

    body = wsgi.ContextMiddleware(application)({"PATH_INFO": "/"}, lambda *_: bytes)
    assert b"".join(body) == b"body"
    assert lines(caplog) == [("ctxlocal.web.wsgi", "ERROR", f"A teardown of {contexts[0]} failed")]
    assert caplog.records[0].exc_info[0] is LookupError  # type: ignore[index]


def test_of_a_teardown_under_asgi(caplog: pytest.LogCaptureFixture) -> None:
    contexts = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        from ctxlocal.web.context import current_request_context

        contexts.append(repr(current_request_context()))
        on_teardown(fail)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"body"})

    assert asyncio.run(call(asgi.ContextMiddleware(application))).body == b"body"
    assert lines(caplog) == [("ctxlocal.web.asgi", "ERROR", f"A teardown of {contexts[0]} failed")]
    assert caplog.records[0].exc_info[0] is LookupError  # type: ignore[index]


def test_of_the_end_of_an_apps_request(caplog: pytest.LogCaptureFixture) -> None:
    app = App("shop")
    app.teardown_request(fail)

    @app.get("/")
    def view() -> str:
        return "body"

    assert asyncio.run(call(app.asgi)).body == b"body"
    assert lines(caplog) == [("ctxlocal.web.asgi", "ERROR", "The end of a request failed")]
    app.executor.shutdown()


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_of_a_view_that_raises(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    app = App("shop")

    @app.post("/cart")
    def view() -> str:
        raise LookupError("lost")

    if kind == "wsgi":
        assert app.test_client().post("/cart").status_code == 500
    else:
        assert asyncio.run(call(app.asgi, "/cart", method="POST")).status == 500
        app.executor.shutdown()
    assert lines(caplog) == [("ctxlocal.web.app", "ERROR", "Exception on POST /cart")]
    assert caplog.records[0].exc_info[0] is LookupError  # type: ignore[index]


def test_of_an_application_that_cannot_start_or_stop(caplog: pytest.LogCaptureFixture) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    app = App("shop")
    app.on_startup(fail)
    sent = asyncio.run(Exchange(app.asgi, {"type": "lifespan"}, *messages).run()).sent
    assert sent == [{"type": "lifespan.startup.failed", "message": "LookupError('lost')"}]
    assert lines(caplog) == [("ctxlocal.web.asgi", "ERROR", "The application cannot start")]
    caplog.clear()
    app = App("shop")
    app.on_shutdown(fail)
    app.on_shutdown(fail)
    sent = asyncio.run(Exchange(app.asgi, {"type": "lifespan"}, *messages).run()).sent
    assert sent == [
        {"type": "lifespan.startup.complete"},
        {
            "type": "lifespan.shutdown.failed",
            "message": "LookupError('lost'), LookupError('lost')",
        },
    ]
    assert lines(caplog) == [("ctxlocal.web.asgi", "ERROR", "A shutdown function failed")] * 2


def test_what_an_app_does_not_serve_is_refused() -> None:
    app = App("shop")
    sent = asyncio.run(Exchange(app.asgi, http_scope() | {"type": "websocket"}).run()).sent
    assert sent == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(ValueError, match=r"^<.*> serves http and lifespan scopes, not 'mail'$"):
        asyncio.run(Exchange(app.asgi, {"type": "mail"}).run())


def test_each_signal_says_what_it_is() -> None:
    found = {name: signal for name, signal in vars(signals).items() if hasattr(signal, "receivers")}
    assert {signal.name: signal.__doc__ for signal in found.values()} == {
        "request-started": "A request is about to be handled.",
        "request-finished": "The response= is made, the session saved; the body may still stream.",
        "request-tearing-down": "A request ends; exc= is what went wrong, or None.",
        "got-request-exception": (
            "No error handler took exception=; the response will be a 500 or 503."
        ),
        "appcontext-pushed": "An application context is in place.",
        "appcontext-tearing-down": (
            "An application context ends; exc= is what went wrong, or None."
        ),
        "appcontext-popped": "An application context is gone.",
    }
    assert {name: signal.name for name, signal in found.items()} == {
        name: name.replace("_", "-") for name in found
    }
