"""What is left of a request that was answered, while its server waits for the connection's next.

Nothing: context, session and what the view had are gone without the garbage collector, which may
come late. Only where a server keeps the scope of the last request, as uvicorn does, the
session stands in there (see ScopeSession), and goes with it.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from ctxlocal.sessions.in_cookie.sessions import EncryptedCookieSessions, SignedCookieSessions
from ctxlocal.sessions.in_store.quick import QuickSession
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionInterface
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.web.app import App
from ctxlocal.web.asgi import ContextMiddleware as ASGIContextMiddleware
from ctxlocal.web.context import current_request_context, session
from ctxlocal.web.wsgi import ContextMiddleware

from .asgi_client import Exchange, call, cookie_of, http_scope
from .test_wsgi import OK, TEXT, Server

KEY = "a test's secret of 32 bytes, or more"
KINDS: dict[str, Callable[[Path], SessionInterface]] = {
    "memory": lambda folder: StoredSessions(MemoryStore()),
    "SQLite": lambda folder: StoredSessions(SQLiteStore(folder / "sessions.db")),
    "SQLite in the loop": lambda folder: StoredSessions(
        SQLiteStore(folder / "sessions.db", is_blocking=False)
    ),
    "signed cookie": lambda folder: SignedCookieSessions(KEY),
    "encrypted cookie": lambda folder: EncryptedCookieSessions(KEY),
}


@pytest.fixture(params=KINDS)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> SessionInterface:
    return KINDS[request.param](tmp_path)


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Local:
    """An object that a view has in a variable."""


class Seen:
    """What requests had, which does not keep it."""

    def __init__(self) -> None:
        self.things: list[weakref.ref[Any]] = []
        self.executor: Executor | None = None

    def visit(self) -> Local:
        """Do what a view does, and return an object for a variable of it."""
        session["visits"] = session.get("visits", 0) + 1
        context = current_request_context()
        local = Local()
        # An App's request object waits for the collector: werkzeug puts it into its own environ.
        self.things += map(weakref.ref, (context, context.session, local))
        return local

    async def settle(self) -> None:
        """Let tasks that are over end, and threads whose work is done come to their next."""
        for _ in range(3):
            await asyncio.sleep(0)
        if self.executor is not None:
            await asyncio.wrap_future(self.executor.submit(int))

    def alive(self) -> list[Any]:
        assert self.things
        return [thing for ref in self.things if (thing := ref()) is not None]


# Ways of serving: each makes an application and returns what serves a request of it.


def wsgi_list(sessions: SessionInterface, seen: Seen) -> Any:
    def view(environ: Any, start_response: Any) -> list[bytes]:
        _ = seen.visit()
        start_response(OK, TEXT)
        return [b"ok"]

    return ContextMiddleware(view, sessions)


def wsgi_stream(sessions: SessionInterface, seen: Seen) -> Any:
    def view(environ: Any, start_response: Any) -> Iterator[bytes]:
        _ = seen.visit()
        start_response(OK, TEXT)
        yield b"o"
        yield b"k"

    return ContextMiddleware(view, sessions)


def app(sessions: SessionInterface, seen: Seen) -> App:
    app = App(__name__, sessions=sessions)
    app.executor = ThreadPoolExecutor(1)

    @app.get("/")
    def complete() -> str:
        _ = seen.visit()
        return "ok"

    @app.get("/stream")
    def stream() -> Iterator[str]:
        _ = seen.visit()
        return iter(("o", "k"))

    @app.get("/awaited")
    async def awaited() -> str:
        _ = seen.visit()
        await asyncio.sleep(0)
        return "ok"

    return app


def asgi_middleware(sessions: SessionInterface, seen: Seen) -> Any:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        _ = seen.visit()
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return ASGIContextMiddleware(view, sessions)


def asgi_app(sessions: SessionInterface, seen: Seen) -> Any:
    made = app(sessions, seen)
    seen.executor = made.executor
    return made.asgi


@pytest.mark.parametrize(
    ("make", "path"),
    [(wsgi_list, "/"), (wsgi_stream, "/"), (app, "/"), (app, "/stream"), (app, "/awaited")],
)
def test_nothing_is_left_under_wsgi(
    make: Callable[..., Any], path: str, sessions: SessionInterface
) -> None:
    seen, cookie = Seen(), ""
    application = make(sessions, seen)
    for _ in range(2):
        server = Server(application, cookie, PATH_INFO=path, **{"wsgi.url_scheme": "https"})
        assert server.run() == b"ok"
        cookie = cookie or server.values("Set-Cookie")[0].partition(";")[0]
        del server
        assert seen.alive() == []


WAYS = [(asgi_middleware, "/"), (asgi_app, "/"), (asgi_app, "/stream"), (asgi_app, "/awaited")]


@pytest.mark.asyncio
@pytest.mark.parametrize(("make", "path"), WAYS)
async def test_nothing_is_left_under_asgi(
    make: Callable[..., Any], path: str, sessions: SessionInterface
) -> None:
    seen, cookie = Seen(), ""
    application = make(sessions, seen)
    for _ in range(2):  # in one task, as servers may
        exchange = await call(application, path, cookie=cookie)
        assert exchange.body == b"ok"
        cookie = cookie or cookie_of(exchange)
        del exchange
        await seen.settle()
        assert seen.alive() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("make", "path"), WAYS)
async def test_the_scope_keeps_the_session_alone(
    make: Callable[..., Any], path: str, sessions: SessionInterface
) -> None:
    seen = Seen()
    scope = http_scope(path)
    await Exchange(make(sessions, seen), scope, {"type": "http.request", "body": b""}).run()
    await seen.settle()
    assert all(isinstance(thing, Session) for thing in seen.alive())
    assert len(seen.alive()) == ("session" in scope)
    del scope
    assert seen.alive() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["h11", "httptools"])
@pytest.mark.parametrize(("make", "path"), WAYS)
async def test_an_idle_connection_of_uvicorn_keeps_no_context(
    make: Callable[..., Any], path: str, protocol: Any, tmp_path: Path
) -> None:
    seen = Seen()
    config = Config(
        make(KINDS["memory"](tmp_path), seen), http=protocol, ws="none", log_config=None
    )
    config.load()
    state = ServerState()
    kind: Any = config.http_protocol_class
    connect = partial(kind, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1")
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n" % path.encode())
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    await asyncio.gather(*state.tasks)
    await seen.settle()
    kept = seen.alive()
    writer.close()
    server.close()
    (connection,) = state.connections  # it was idle, not closed
    assert connection.transport is not None
    assert [type(thing) for thing in kept] in ([], [QuickSession])
