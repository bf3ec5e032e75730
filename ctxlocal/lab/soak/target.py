"""The application that is soaked: ``wsgi`` and ``asgi``, the same behind every server.

Three layers: the outermost looks around before anything of ours has run; then the
middleware, or an :class:`~ctxlocal.web.App` for paths below ``/app/``, or a framework; inside,
a conversation. ``/report`` tells what the ledger holds.
"""

from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from importlib import import_module
from typing import Any

import psutil

from ... import ident
from ...sessions.cookie import Cookie
from ...sessions.in_store.sessions import StoredSessions
from ...sessions.stores.url import open_async_store, open_store
from ...web import wsgi as wsgi_layer
from ...web.app import App, Response, request
from ...web.asgi import middleware as asgi_layer
from . import SETTINGS
from . import sabotage as broken
from .conversation import CONVERSATIONS, STREAMED, Steps, Visit
from .drive import PIECE, begun, converse, converse_async
from .frameworks import SHOW_VARIABLES
from .kept import Kept
from .ledger import Ledger
from .ours import Ours
from .places import Places

_TEXT = [("Content-Type", "text/plain")]


def _make_sessions(store_url: str, protocol: str, sabotage: str | None) -> StoredSessions[Any]:
    cookie = Cookie.for_development()
    if protocol == "asgi" and sabotage is None:
        return StoredSessions(open_async_store(store_url), cookie=cookie)
    store = open_store(store_url)
    if sabotage == "store-forgets":
        broken.forget_commits(store)
    elif sabotage == "store-confuses":
        broken.confuse_records(store)
    return StoredSessions(store, cookie=cookie)


def _begin(path: str, query: str, kept: Kept = Ours()) -> tuple[Steps, bool]:  # noqa: B008
    """Return a conversation, and whether it is streamed."""
    name = path.rpartition("/")[2]
    return CONVERSATIONS[name](Visit(places, query, register, kept)), name in STREAMED


def _reader(environ: Any) -> Callable[[], bytes]:
    """Return what reads the next piece of a body, and not beyond its end."""
    left = int(environ.get("CONTENT_LENGTH") or 0)

    def read() -> bytes:
        nonlocal left
        piece: bytes = environ["wsgi.input"].read(min(PIECE, left)) if left else b""
        left -= len(piece)
        return piece

    return read


def _report() -> bytes:
    """Return the ledger, the strategy, and the memory in use when the garbage is collected."""
    gc.collect()
    memory = psutil.Process().memory_info().rss
    strategy = ident.get_default().name
    return json.dumps({**ledger.report(), "memory": memory, "strategy": strategy}).encode()


# WSGI


def _view(environ: Any, start_response: Any) -> Iterable[bytes]:
    steps, is_streamed = _begin(environ["PATH_INFO"], environ["QUERY_STRING"])
    start_response("200 OK", _TEXT)
    said = converse(steps, _reader(environ))
    return said if is_streamed else [b"".join(said)]


def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Serve a request of WSGI (PEP 3333)."""
    path = environ["PATH_INFO"]
    if path == "/report":
        report = _report()
        start_response("200 OK", [*_TEXT, ("Content-Length", str(len(report)))])
        return [report]
    _look_around(environ["QUERY_STRING"])
    layer = app if path.startswith("/app/") else _wsgi_middle
    return (framework or layer)(environ, start_response)


def _look_around(query: str) -> None:
    visit = Visit(places, query, register, Ours())
    places.look_around(visit.number, visit.secret)


# ASGI


async def _async_view(scope: Any, receive: Any, send: Any) -> None:
    steps, is_streamed = _begin(scope["path"], scope["query_string"].decode())
    said = _AsyncAnswer(send, is_streamed)
    async with aclosing(converse_async(steps, _async_reader(receive))) as pieces:
        async for piece in pieces:
            await said.say(piece)
    await said.end()


def _async_reader(receive: Any) -> Callable[[], Awaitable[bytes]]:
    """Return what reads the next piece of a body, and not beyond its end."""
    has_more = True

    async def read() -> bytes:
        nonlocal has_more
        while has_more:
            message = await receive()
            has_more = message.get("more_body", False)
            if message.get("body"):
                piece: bytes = message["body"]
                return piece
        return b""

    return read


class _AsyncAnswer:
    """A response in pieces, or in one."""

    def __init__(self, send: Any, is_streamed: bool) -> None:
        self._send = send
        self._is_streamed = is_streamed
        self._is_begun = False

    async def say(self, piece: bytes) -> None:
        """Send a piece; it is the last one where the answer is not streamed."""
        if not self._is_begun:
            self._is_begun = True
            headers = [(b"content-type", b"text/plain")]
            if not self._is_streamed:
                headers.append((b"content-length", str(len(piece)).encode()))
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            await self._send(start)
        body = {"type": "http.response.body", "body": piece, "more_body": self._is_streamed}
        await self._send(body)

    async def end(self) -> None:
        """Send the end of a streamed answer."""
        if self._is_streamed:
            await self._send({"type": "http.response.body", "body": b""})


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Serve a scope of ASGI 3.0."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    if scope["path"] == "/report":
        return await _AsyncAnswer(send, False).say(_report())
    _look_around(scope["query_string"].decode())
    layer = app.asgi if scope["path"].startswith("/app/") else _asgi_middle
    await (framework or layer)(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


# All of it, made once when a server imports this module.

logging.getLogger("ctxlocal").setLevel(logging.CRITICAL)  # views that raise are part of it
_settings = json.loads(os.environ.get(SETTINGS, "{}"))
_sabotage = _settings.get("sabotage")
ledger = Ledger()
places = Places(
    ledger,
    broken.local_maker(_sabotage),
    hides_variables=_settings.get("framework") not in SHOW_VARIABLES,
)
register = broken.registrar(_sabotage)
_sessions = _make_sessions(
    _settings.get("store", "memory:"), _settings.get("protocol", "wsgi"), _sabotage
)
_wsgi_middle: Any = wsgi_layer.ContextMiddleware(_view, _sessions)
_asgi_middle: Any = asgi_layer.ContextMiddleware(_async_view, _sessions)
if broken.keeps_frames(_sabotage):
    _wsgi_middle = broken.FrameKept(_view, _wsgi_middle)
    _asgi_middle = broken.AsyncFrameKept(_async_view, _asgi_middle)
app = App("soak", sessions=_sessions)
framework: Any = None
if _settings.get("framework") is not None:
    _module = import_module(f".frameworks.{_settings['framework']}", __package__)
    framework = _module.make_app(_sessions, _begin)


@app.route("/app/<name>", methods=["GET", "POST"])
def _app_view(name: str) -> Response:
    steps, is_streamed = _begin(request.path, request.query_string.decode())
    said = converse(steps, lambda: request.stream.read(PIECE))
    return Response(begun(said) if is_streamed else b"".join(said), mimetype="text/plain")
