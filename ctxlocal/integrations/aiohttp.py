"""aiohttp's requests in contexts of ours, with a session in each.

::

    from ctxlocal.integrations.aiohttp import SESSION, middleware

    app = web.Application(middlewares=[middleware(StoredSessions(...))])


    async def index(request):
        return web.json_response(request[SESSION].incr("visits"))

``request[SESSION]`` is the :class:`~ctxlocal.Session`, which ``ctxlocal.web.session`` finds too, as
``request`` here finds the request. For aiohttp from 3.11 on.

A request is served as the middleware of :mod:`ctxlocal.web.asgi` serves one: the handler is an
application to it that sends a header and nothing else, and what it does to that header is done to
aiohttp's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from ..sessions import Session
from ..sessions.errors import SessionConfigError
from ..sessions.interface import SessionInterface
from ..web import asgi
from ..web import request as _request
from ..web.inherit import Inherit
from ._versions import require

require("aiohttp", "3.11", "ctxlocal.flow.Frame makes contexts for an older one.")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

request: web.Request = _request  # type: ignore[assignment]

# Keys of a request: str before 3.14, which has a class for them and warns of others.
_Key: Any = getattr(web, "RequestKey", lambda name, kind: f"ctxlocal.{name}")
SESSION: Any = _Key("SESSION", Session)
_EXCHANGE: Any = _Key("EXCHANGE", object)
_MERGED = ("Vary", "Cache-Control")  # fields in which a session changes what is there
_log = logging.getLogger("ctxlocal.integrations.aiohttp")


def middleware(sessions: SessionInterface | None = None, *, inherit: Inherit = False) -> Any:
    """Return a middleware for ``web.Application(middlewares=[...])``; it stands first there.

    A session is saved before the handler's response is sent, or the HTTPException that it raises,
    but for one of status 500. For a response that is prepared in the handler, a stream or a
    WebSocket, see :func:`prepare`.

    :param sessions: how sessions are opened and saved; None for contexts alone.
    :param inherit: as in :class:`ctxlocal.web.asgi.ContextMiddleware`.
    :raises SessionConfigError: ``sessions`` is a store, or anything else.
    """
    contexts = _Contexts(_answer, sessions, inherit=inherit)

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _EXCHANGE in request:
            raise SessionConfigError("middleware", "it stands twice around the handler")
        exchange = request[_EXCHANGE] = _Exchange(request, handler)
        await contexts(exchange.scope, _receive, exchange.take)
        return exchange.outcome()

    return serve


async def prepare(response: web.StreamResponse, request: web.Request) -> Any:
    """Save the session, and do ``await response.prepare(request)``; in a handler.

    Afterwards a change of the session raises SessionClosedError.
    """
    exchange: _Exchange = request[_EXCHANGE]
    await exchange.start(response)
    return await response.prepare(request)


class _Contexts(asgi.ContextMiddleware):
    def create_request(self, environ: Any) -> web.Request:
        found: web.Request = environ["ctxlocal.exchange"].request
        return found


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await scope["ctxlocal.exchange"].answer(send)


async def _receive() -> Any:
    return {"type": "http.disconnect"}


class _Exchange:
    """A request, and the response to it, as the middleware of ASGI sees them."""

    def __init__(self, request: web.Request, handler: Handler) -> None:
        self.request = request
        self.scope: dict[str, Any] = {
            "type": "http",
            "scheme": request.scheme,
            "method": request.method,
            "path": request.path,
            "headers": request.raw_headers,
            "ctxlocal.exchange": self,
        }
        self._handler = handler
        self._send: Any = None
        self._is_started = False
        self._response: web.StreamResponse  # of the handler
        self._head: Any = None  # of a response, when the middleware has seen to it
        self._refusal: web.Response | None = None  # in place of the handler's response

    async def answer(self, send: Any) -> None:
        """Call the handler, in the context."""
        self._send = send
        if "session" in self.scope:
            self.request[SESSION] = self.scope["session"]
        try:
            self._response = await self._handler(self.request)
        except web.HTTPException as answer:
            self._response = answer
        await self.start(self._response)

    async def start(self, response: web.StreamResponse) -> None:
        """Let the session be saved, and put into the header what it asks for."""
        if self._is_started:
            return
        self._is_started = True
        if SESSION in self.request:  # where a handler may have put a dict
            self.scope["session"] = self.request[SESSION]
        fields = [(name, value) for name in _MERGED for value in response.headers.getall(name, ())]
        head = {"type": "http.response.start", "status": response.status}
        await self._send({**head, "headers": _encoded(fields)})
        asked = [(name.decode(), value.decode()) for name, value in self._head["headers"]]
        if not response.prepared:
            for name in _MERGED:
                response.headers.popall(name, None)
            response.headers.extend(asked)
        elif any(name == "set-cookie" for name, _ in asked):
            _log.error(
                "The header of %r was sent before its session was saved, so that the visitor has "
                "no cookie for it. In the handler write `await prepare(response, request)`, of "
                "ctxlocal.integrations.aiohttp, for `await response.prepare(request)`.",
                response,
            )

    async def take(self, message: Any) -> None:
        """Take what the middleware sends: a header, and a body in place of a response alone."""
        if message["type"] == "http.response.start":
            self._head = message
        else:
            headers = {
                name.decode().title(): value.decode() for name, value in self._head["headers"]
            }
            self._refusal = web.Response(
                status=self._head["status"], headers=headers, body=message["body"]
            )

    def outcome(self) -> web.StreamResponse:
        """Return the response, or raise it, as the handler did."""
        # A response without keys is false, in some versions.
        response = self._response if self._refusal is None else self._refusal
        if isinstance(response, web.HTTPException):
            raise response
        return response


def _encoded(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in fields]
