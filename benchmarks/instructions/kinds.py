"""What is counted: a request of each kind, served in process, and the work of one with a Local.

The least that a server and an application do is in each of them, and is counted by itself as the
bare rows: what a kind costs is what it has above its bare one. What asks a server is left out: how
many pieces an answer comes in, and how often it is waited for, differs from one run to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.sessions.client import HOST, environ_without_path, scope_without_path
from ctxlocal.lab.bench.micro.cases.request import handle
from ctxlocal.local import Local
from ctxlocal.local.pure.local import Local as PureLocal
from ctxlocal.sessions.in_cookie.sessions import EncryptedCookieSessions, SignedCookieSessions
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.web.app import App
from ctxlocal.web.asgi import ContextMiddleware as ASGIContextMiddleware
from ctxlocal.web.wsgi import ContextMiddleware

Serve = Callable[[int], None]  # serves so many requests
Use = Callable[[Any], object]  # what a view does with its session

KEY = "a benchmark's secret of 32 bytes, or more"
CONTENT = {"name": "u1042", "csrf": "5f" * 32, "theme": "dark", "cart": [11, 42, 7], "count": 0}
SESSION = "ctxlocal.session"
LOCALS = 20
BARE_WSGI, BARE_ASGI = "a bare WSGI application", "a bare ASGI application"


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    :param make: makes what does it, with a folder for its files.
    :param above: the kind that is subtracted; None: nothing is.
    """

    name: str
    make: Callable[[Path], Serve]
    above: str | None = None


# WSGI


def plain(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Answer."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def generated(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Answer in two pieces."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"o"
    yield b"k"


class WSGI:
    """A server of one application and one visitor, whose cookie stays what it is at first."""

    def __init__(self, app: Any, path: str = "/") -> None:
        self._app = app
        self._headers: list[tuple[str, str]] = []
        self._environ = environ_without_path() | {"PATH_INFO": path}

    def keep_cookie(self) -> None:
        """Make one request, and send the cookie that it sets from now on."""
        self.serve(1)
        self._environ["HTTP_COOKIE"] = _cookie(dict(self._headers)["Set-Cookie"])

    def serve(self, times: int) -> None:
        """Serve so many requests, one after the other."""
        for _ in range(times):
            response = self._app(self._environ.copy(), self._start_response)
            body = b"".join(response)
            close = getattr(response, "close", None)
            if close is not None:
                close()
            if body != b"ok":
                raise AssertionError(f"{body!r} is not what the view returns")

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        self._headers = headers


def _wsgi(app: Any, path: str = "/") -> Callable[[Path], Serve]:
    return lambda folder: WSGI(app, path).serve


def _wsgi_session(
    sessions: Callable[[Path], Any], use: Use, app: Any = plain
) -> Callable[[Path], Serve]:
    def make(folder: Path) -> Serve:
        uses: list[Use] = [begin]

        def view(environ: Any, start_response: Any) -> Iterable[bytes]:
            uses[-1](environ[SESSION])
            return plain(environ, start_response)

        server = WSGI(ContextMiddleware(view, sessions(folder)))
        server.keep_cookie()
        uses.append(use)
        return server.serve

    return make


# ASGI


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer."""
    head = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})


class ASGI:
    """A server of one application and one visitor, whose cookie stays what it is at first."""

    def __init__(self, app: Any, path: str = "/") -> None:
        self._app = app
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._loop = asyncio.new_event_loop()
        self._sent = [(b"host", HOST.encode())]
        self._scope = scope_without_path() | {"path": path, "raw_path": path.encode()}

    def keep_cookie(self) -> None:
        """Make one request, and send the cookie that it sets from now on."""
        self.serve(1)
        cookie = _cookie(dict(self._headers)[b"set-cookie"].decode())
        self._sent.append((b"cookie", cookie.encode()))

    def serve(self, times: int) -> None:
        """Serve so many requests, one after the other."""
        self._loop.run_until_complete(self._serve(times))

    async def _serve(self, times: int) -> None:
        for _ in range(times):
            scope = self._scope.copy()
            scope["headers"] = self._sent.copy()
            await self._app(scope, self._receive, self._send)
            if self._body != b"ok":
                raise AssertionError(f"{self._body!r} is not what the view returns")

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._headers = message["headers"]
        else:
            self._body = message["body"]


def _asgi(app: Any, path: str = "/") -> Callable[[Path], Serve]:
    return lambda folder: ASGI(app, path).serve


def _asgi_session(sessions: Callable[[Path], Any], use: Use) -> Callable[[Path], Serve]:
    def make(folder: Path) -> Serve:
        uses: list[Use] = [begin]

        async def view(scope: Any, receive: Any, send: Any) -> None:
            uses[-1](scope[SESSION])
            await plain_asgi(scope, receive, send)

        server = ASGI(ASGIContextMiddleware(view, sessions(folder)))
        server.keep_cookie()
        uses.append(use)
        return server.serve

    return make


def _cookie(set_cookie: str) -> str:
    return set_cookie.partition(";")[0]


# What a view does with its session


def begin(session: Any) -> None:
    """Begin one."""
    session.update(CONTENT)


def leave(session: Any) -> None:
    """Do nothing with it."""


def read(session: Any) -> None:
    """Read one value."""
    _ = session["name"]


def write(session: Any) -> None:
    """Read two values, and set one."""
    _ = session["name"]
    session["count"] = session["count"] + 1


def memory(folder: Path) -> Any:
    """Return sessions in memory."""
    return StoredSessions(MemoryStore())


def sqlite(folder: Path, *, is_blocking: bool = True) -> Any:
    """Return sessions in a SQLite file."""
    return StoredSessions(SQLiteStore(folder / "sessions.db", is_blocking=is_blocking))


def signed(folder: Path) -> Any:
    """Return sessions in a signed cookie."""
    return SignedCookieSessions(KEY)


def encrypted(folder: Path) -> Any:
    """Return sessions in an encrypted cookie."""
    return EncryptedCookieSessions(KEY)


# An App


def _app() -> Any:
    app = App(__name__)

    @app.get("/blocking")
    def blocking() -> str:
        return "ok"

    @app.get("/blocking/<name>")
    def blocking_variable(name: str) -> str:
        return "ok"

    @app.get("/awaited")
    async def awaited() -> str:
        return "ok"

    @app.get("/awaited/<path:name>")
    async def awaited_variable(name: str) -> str:
        return "ok"

    return app


# A Local


def _request_mix(make: Callable[[], Any]) -> Callable[[Path], Serve]:
    """Return what sets 5 attributes and reads each 4 times, in a Context of its own.

    With several Locals in turn: what a Context does for a variable hangs a little on the address
    that it happens to have.
    """

    def serve(local: Iterator[Any], times: int) -> None:
        for _ in range(times):
            copy_context().run(handle, next(local))

    return lambda folder: partial(serve, cycle([make() for _ in range(LOCALS)]))


KINDS = (
    Kind(BARE_WSGI, _wsgi(plain)),
    Kind(BARE_ASGI, _asgi(plain_asgi)),
    Kind("WSGI, no session", _wsgi(ContextMiddleware(plain)), BARE_WSGI),
    Kind("WSGI, no session, a generator", _wsgi(ContextMiddleware(generated)), BARE_WSGI),
    Kind("ASGI, no session", _asgi(ASGIContextMiddleware(plain_asgi)), BARE_ASGI),
    Kind("WSGI, memory, untouched", _wsgi_session(memory, leave), BARE_WSGI),
    Kind("WSGI, memory, read", _wsgi_session(memory, read), BARE_WSGI),
    Kind("WSGI, memory, read+write", _wsgi_session(memory, write), BARE_WSGI),
    Kind("WSGI, signed cookie, read+write", _wsgi_session(signed, write), BARE_WSGI),
    Kind("WSGI, encrypted cookie, read+write", _wsgi_session(encrypted, write), BARE_WSGI),
    Kind("WSGI, SQLite, read", _wsgi_session(sqlite, read), BARE_WSGI),
    Kind("WSGI, SQLite, read+write", _wsgi_session(sqlite, write), BARE_WSGI),
    Kind("ASGI, memory, untouched", _asgi_session(memory, leave), BARE_ASGI),
    Kind("ASGI, memory, read+write", _asgi_session(memory, write), BARE_ASGI),
    Kind("ASGI, signed cookie, read+write", _asgi_session(signed, write), BARE_ASGI),
    Kind("ASGI, encrypted cookie, read+write", _asgi_session(encrypted, write), BARE_ASGI),
    Kind("ASGI, SQLite, untouched", _asgi_session(sqlite, leave), BARE_ASGI),
    Kind("ASGI, SQLite, read", _asgi_session(sqlite, read), BARE_ASGI),
    Kind("ASGI, SQLite, read+write", _asgi_session(sqlite, write), BARE_ASGI),
    Kind(
        "ASGI, SQLite in the loop, read+write",
        _asgi_session(partial(sqlite, is_blocking=False), write),
        BARE_ASGI,
    ),
    Kind("App, a route", _wsgi(_app(), "/blocking"), BARE_WSGI),
    Kind("App, a variable route", _wsgi(_app(), "/blocking/name"), BARE_WSGI),
    Kind("App, a route to an async view, ASGI", _asgi(_app().asgi, "/awaited"), BARE_ASGI),
    Kind(
        "App, a variable route to an async view, ASGI",
        _asgi(_app().asgi, "/awaited/name/of/it"),
        BARE_ASGI,
    ),
    Kind("Local, 5 sets and 20 gets", _request_mix(Local)),
    Kind("Local of the pure twin, 5 sets and 20 gets", _request_mix(PureLocal)),
)
