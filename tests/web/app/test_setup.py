"""Mistakes in setting up: each is told where it is made, or at the first request at the latest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

import ctxlocal.sessions
import ctxlocal.web.app
import ctxlocal.web.context
from ctxlocal.local import Latch
from ctxlocal.sessions import Cookie, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import asgi, insecure_cookie, wsgi
from ctxlocal.web.app import App
from ctxlocal.web.context import session

from ..asgi_client import Exchange, http_scope, websocket_scope

MAKERS: dict[str, Callable[[Any], object]] = {
    "App": lambda sessions: App("shop", sessions),
    "WSGI": lambda sessions: wsgi.ContextMiddleware(lambda *_: [], sessions),
    "ASGI": lambda sessions: asgi.ContextMiddleware(_never, sessions),
}


async def _never(scope: Any, receive: Any, send: Any) -> None:
    """Is never called."""


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
class TestSessions:
    def test_a_store_is_no_session_interface(self, make: Callable[[Any], object]) -> None:
        with pytest.raises(
            SessionConfigError,
            match=r"^sessions: a store was given; wrap it: StoredSessions\(\.\.\.\)$",
        ):
            make(MemoryStore())

    @pytest.mark.parametrize("other", [Cookie(), StoredSessions, "memory:", ""], ids=repr)
    def test_nor_is_anything_else(self, make: Callable[[Any], object], other: object) -> None:
        with pytest.raises(
            SessionConfigError,
            match=rf"^sessions: a '{type(other).__name__}' object is no SessionInterface$",
        ):
            make(other)

    def test_those_that_are(self, make: Callable[[Any], object]) -> None:
        assert make(None)
        assert make(StoredSessions(MemoryStore()))
        assert make(SignedCookieSessions(["k" * 32]))


class Quart:
    """Calls a session interface as the framework of this name does."""

    def __init__(self, session_interface: Any) -> None:
        self.session_interface = session_interface

    async def handle_request(self) -> None:
        request = object()  # it has a scope, and no environ
        self.session_interface.open_session(self, request)


@pytest.mark.parametrize(
    "sessions",
    [StoredSessions(MemoryStore()), SignedCookieSessions(["k" * 32])],
    ids=["stored", "signed"],
)
def test_a_session_interface_of_quart_is_refused_with_what_to_do(sessions: Any) -> None:
    with pytest.raises(
        SessionConfigError,
        match=rf"^session_interface: {type(sessions).__name__} cannot be that of a Quart, .*"
        r"app\.asgi_app = ContextMiddleware\(app\.asgi_app, sessions=\.\.\.\) "
        r"of ctxlocal\.web\.asgi",
    ):
        asyncio.run(Quart(sessions).handle_request())


class TestDecorators:
    @pytest.mark.parametrize("name", ["route", "get", "post"])
    def test_the_path_is_missing(self, name: str) -> None:
        app: Any = App("shop")
        with pytest.raises(
            TypeError,
            match=rf'^@app\.{name} needs a path: write `@app\.{name}\("/path"\)`$',
        ):
            getattr(app, name)(_never)

    def test_the_code_is_missing(self) -> None:
        app: Any = App("shop")
        with pytest.raises(
            TypeError,
            match=r"^@app\.errorhandler needs a code or a class: "
            r"write `@app\.errorhandler\(404\)`$",
        ):
            app.errorhandler(_never)


def test_a_server_that_takes_the_app_for_asgi_2() -> None:
    app: Any = App("shop")
    with pytest.raises(
        TypeError,
        match=r"^a server took this App for ASGI 2: run `uvicorn module:app\.asgi`$",
    ):
        app(http_scope())


def test_the_app_module_has_what_views_use() -> None:
    for name in ("request", "session", "g", "current_app", "flash", "get_flashed_messages"):
        assert getattr(ctxlocal.web.app, name) is getattr(ctxlocal.web.context, name)


def test_web_has_what_views_use_and_loads_the_app_when_asked(
    run_python: Callable[..., str],
) -> None:
    printed = run_python(
        """
        import sys
        import ctxlocal.web as web
        print("werkzeug" in sys.modules)
        print(*(name for name in web.__all__ if not hasattr(web, name)))
        print(web.App is web.app.App, set(web.__all__) <= set(dir(web)))
        web.other
    """,
        status=1,
    )
    assert printed == "False\n\nTrue True\n"


def test_the_package_of_sessions_is_not_taken_for_the_proxy() -> None:
    with pytest.raises(ImportError, match=r"^cannot import name 'session' from 'ctxlocal' "):
        exec("from ctxlocal import session")


# A Secure cookie over plain HTTP.


def _visit(environ: Any, start_response: Any) -> list[bytes]:
    session["seen"] = True
    start_response("200 OK", [])
    return []


async def _visit_async(scope: Any, receive: Any, send: Any) -> None:
    session["seen"] = True
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _app(sessions: StoredSessions[Any]) -> App:
    app = App("shop", sessions)

    @app.get("/")
    def index() -> str:
        session["seen"] = True
        return ""

    return app


def _by_wsgi(application: Any, scheme: str, host: str) -> None:
    environ = {"wsgi.url_scheme": scheme, "HTTP_HOST": host, "REQUEST_METHOD": "GET"}
    environ |= {"SERVER_NAME": "behind", "SERVER_PORT": "80", "PATH_INFO": "/"}
    body = application(environ, lambda status, headers, exc_info=None: lambda data: None)
    list(body)


def _by_asgi(application: Any, scheme: str, host: str) -> None:
    scope = http_scope(scheme=scheme, headers=[("host", host)])
    asyncio.run(Exchange(application, scope, {"type": "http.request"}).run())


def _by_asgi_without_scheme(application: Any, scheme: str, host: str) -> None:
    scope = http_scope(scheme=scheme, headers=[("host", host)])
    if scheme == "http":
        del scope["scheme"]  # ASGI: optional, and "http" where there is none
    asyncio.run(Exchange(application, scope, {"type": "http.request"}).run())


def _by_websocket(application: Any, scheme: str, host: str) -> None:
    scope = websocket_scope(headers=[("host", host)])
    scope["scheme"] = {"http": "ws", "https": "wss"}[scheme]
    asyncio.run(Exchange(application, scope, {"type": "http.request"}).run())


SERVED: dict[str, tuple[Callable[[StoredSessions[Any]], Any], Callable[[Any, str, str], None]]] = {
    "WSGI": (lambda sessions: wsgi.ContextMiddleware(_visit, sessions), _by_wsgi),
    "ASGI": (lambda sessions: asgi.ContextMiddleware(_visit_async, sessions), _by_asgi),
    "ASGI without scheme": (
        lambda sessions: asgi.ContextMiddleware(_visit_async, sessions),
        _by_asgi_without_scheme,
    ),
    "WebSocket": (lambda sessions: asgi.ContextMiddleware(_visit_async, sessions), _by_websocket),
    "App by WSGI": (_app, _by_wsgi),
    "App by ASGI": (lambda sessions: _app(sessions).asgi, _by_asgi),
}


@pytest.mark.parametrize(("make", "visit"), SERVED.values(), ids=SERVED)
class TestPlainHTTP:
    @pytest.fixture(autouse=True)
    def nothing_was_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(insecure_cookie, "_said", Latch())

    def test_it_is_said_once(self, make: Any, visit: Any, caplog: pytest.LogCaptureFixture) -> None:
        application = make(StoredSessions(MemoryStore()))
        for _ in range(2):
            visit(application, "http", "shop.example:8000")
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("ctxlocal.sessions", logging.WARNING)
        assert record.getMessage() == (
            "The Secure cookie '__Host-session' went out over plain HTTP for the host "
            "'shop.example:8000': browsers drop it, and no session is kept. Serve HTTPS; behind a "
            "proxy that does, let the server trust its X-Forwarded-Proto; to develop over HTTP, "
            "use cookie=Cookie.for_development(). This is said once."
        )

    @pytest.mark.parametrize(
        ("scheme", "host"),
        [
            ("https", "shop.example"),
            ("http", "localhost:8000"),
            ("http", "shop.localhost"),
            ("http", "127.0.0.1:8000"),
            ("http", "[::1]:8000"),
        ],
    )
    def test_browsers_take_it(
        self, make: Any, visit: Any, scheme: str, host: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        visit(make(StoredSessions(MemoryStore())), scheme, host)
        assert caplog.records == []

    def test_a_cookie_for_development_is_meant_for_it(
        self, make: Any, visit: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = StoredSessions(MemoryStore(), cookie=Cookie.for_development())
        visit(make(sessions), "http", "shop.example")
        assert caplog.records == []
