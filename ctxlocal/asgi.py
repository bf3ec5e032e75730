"""ContextMiddleware: contexts and sessions for any ASGI application (ASGI 3.0).

The application runs in the task that the server called it in, so that cancellation,
timeouts and cancel scopes work as ever; but each of its steps runs in a frame
(:class:`ctxlocal.flow.Frame`) that starts empty. The server's own ``receive`` and ``send``
run outside of it: servers register callbacks in them, and what the application had set
would wait there for the connection's next request (uvicorn#2167).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextvars import Context
from typing import Any, TypeAlias

from .context import AppContext, Host, RequestContext
from .flow import Frame, snapshot
from .session.errors import StoreUnavailableError
from .session.interface import NOTHING, SessionHeaders, SessionInterface
from .session.model import Session

__all__ = ["ContextMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER = 5  #: seconds, what a client is told that meets a store which is down

_log = logging.getLogger("ctxlocal.asgi")

# What carries the response's header; a session has to be saved before it.
_HEADS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class ContextMiddleware(Host):
    """Gives each request, WebSocket and lifespan of an ASGI application a context of its own.

    Every Local that follows the application's default starts empty, under each identity
    strategy; so does every other context variable: nothing that the server, the connection
    or an earlier request left is seen, and nothing that is set inside is seen outside. Put
    it outermost, or pass ``inherit=True`` if variables that middleware around it has set
    are to be seen. Tasks that the application starts keep a copy of what they were started
    with, as tasks do. What was registered with :func:`ctxlocal.context.on_teardown` runs
    once, when the application has ended, however it does; what it raises is logged.

    With ``sessions``, ``scope["session"]`` and ``scope["ctxlocal.session"]`` are the
    :class:`~ctxlocal.session.model.Session`, opened before the application is called and
    saved once, before the response's header is passed on; ``ctxlocal.context.session`` finds the
    same. Afterwards a change raises
    SessionClosedError. The header of a WebSocket is its ``websocket.accept`` (or a denial
    response; one closed before it is accepted saves nothing): what lives for hours should
    not hold what it loaded at its start, so a socket that writes later opens a session for
    that moment, with ``open_async`` and ``await session.save()``. An exception that leaves
    the application saves nothing, nor does a response with status 500 sent while an
    exception is being handled, which is how frameworks answer before they let it pass.
    A store that is down is a 503, if no header was sent.

    :param app: any ASGI 3.0 application, on asyncio or trio.
    :param sessions: how sessions are opened and saved; None for contexts alone.
    :param inherit: let foreign context variables start as a copy of the caller's.

    Safe for any number of requests at once.
    """

    def __init__(
        self,
        app: ASGIApplication,
        sessions: SessionInterface | None = None,
        *,
        inherit: bool = False,
    ) -> None:
        self.app = app
        self.sessions = sessions
        self.inherit = inherit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as ASGI calls it."""
        receive, send = outside(receive, send)
        await in_fresh_frame(self._serve({**scope}, receive, send), inherit=self.inherit)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await _serve_in(AppContext(self), self.app, scope, receive, send)
        elif self.sessions is None:
            await _serve_in(RequestContext(self, scope), self.app, scope, receive, send)
        else:
            await self._serve_with_session(self.sessions, scope, receive, send)

    async def _serve_with_session(
        self, sessions: SessionInterface, scope: Scope, receive: Receive, send: Send
    ) -> None:
        context = RequestContext(self, scope)
        response = _Response(sessions, scope, send)
        try:
            session = await sessions.open_async(cookies_of(scope))
            context.session = response.session = session
            scope["session"] = scope["ctxlocal.session"] = session
            await _serve_in(context, self.app, scope, receive, response.send)
        except StoreUnavailableError as error:
            if response.is_started:
                raise
            await response.refuse(error)


async def _serve_in(
    context: AppContext | RequestContext,
    app: ASGIApplication,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    context.push()
    error: BaseException | None = None
    try:
        await app(scope, receive, send)
    except BaseException as failure:
        error = failure
        raise
    finally:
        end(context, error)
        del error  # or it would be in a cycle with its own traceback


def end(context: AppContext | RequestContext, error: BaseException | None) -> None:
    """Run the teardowns; what they raise is logged, for the response is made by now."""
    try:
        context.pop(error)
    except Exception:
        _log.exception("A teardown of %r failed", context)


async def in_fresh_frame(serving: Coroutine[Any, Any, None], *, inherit: bool = False) -> None:
    """Await ``serving`` in a frame with a Context of its own, or a copy of the caller's."""
    await (Frame() if inherit else fresh_frame()).drive(serving)


def fresh_frame() -> Frame:
    """Return a frame in whose Context there is nothing at all."""
    return Context().run(Frame)


def outside(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return them so that they run with what is in place now, whoever calls them."""
    captured = snapshot().frame()

    async def receive_inside() -> Message:
        return await receive()

    async def send_inside(message: Message) -> None:
        await send(message)

    async def receive_outside() -> Message:
        return await captured.drive(receive_inside())

    async def send_outside(message: Message) -> None:
        await captured.drive(send_inside(message))

    return receive_outside, send_outside


class _Response:
    """The response that an application sends, on its way to the server."""

    def __init__(self, sessions: SessionInterface, scope: Scope, send: Send) -> None:
        self.session: Session | None = None
        self.is_started = False  # the header is passed on, or about to be
        self._is_refused = False  # by a response of ours; what the application sends is dropped
        self._if_not_saved = NOTHING
        self._sessions = sessions
        self._scope = scope
        self._send = send
        self._handled = sys.exc_info()[1]  # by whoever called us: none of the application's

    async def send(self, message: Message) -> None:
        """Pass a message on; the session is saved before the first one with a header."""
        if message["type"] in _HEADS and not self.is_started and not self._is_refused:
            asked = await self._end_session(message)
            message = with_headers(message, asked)
            self.is_started = not self._is_refused
        if not self._is_refused:
            await self._send(message)

    async def refuse(self, error: StoreUnavailableError) -> None:
        """Answer that the store is down; again is harmless."""
        if not self._is_refused:
            self._is_refused = True
            _log.error("%s", error, exc_info=error)
            for message in unavailable(self._scope):
                await self._send(message)

    async def _end_session(self, message: Message) -> SessionHeaders:
        session, self.session = self.session, None
        if session is None:
            return self._if_not_saved
        self._if_not_saved = SessionHeaders(vary=session.accessed)
        error = self._unhandled(message)
        if error is None:
            try:
                return await self._sessions.save_async(session)
            except StoreUnavailableError as failure:
                # Answered here, because frameworks would make a 500 of it.
                await self.refuse(failure)
                raise
        if isinstance(error, StoreUnavailableError):
            await self.refuse(error)
        return self._if_not_saved

    def _unhandled(self, message: Message) -> BaseException | None:
        # Outermost handlers answer inside their `except`, and raise again afterwards.
        error = sys.exc_info()[1]
        return error if message.get("status") == 500 and error is not self._handled else None


def cookies_of(scope: Scope) -> str:
    """Return the Cookie header; HTTP/2 clients may send it in several fields (RFC 9113, 8.2.3)."""
    return "; ".join(
        value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"cookie"
    )


def with_headers(message: Message, asked: SessionHeaders) -> Message:
    """Return ``message`` with what a session asks for in its header; it itself is not changed."""
    if not asked.vary and not asked.cookies:
        return message
    headers = [
        (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
        for name, value in message.get("headers") or ()
    ]
    asked.merge_into(headers)
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {**message, "headers": encoded}


def unavailable(scope: Scope) -> list[Message]:
    """Return the messages that answer 503, or refuse a WebSocket that is not accepted."""
    prefix = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            return [{"type": "websocket.close", "code": 1013, "reason": "Try again later"}]
        prefix = "websocket.http"
    body = b"The session store is unavailable.\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"retry-after", b"%d" % RETRY_AFTER),
    ]
    return [
        {"type": f"{prefix}.response.start", "status": 503, "headers": headers},
        {
            "type": f"{prefix}.response.body",
            "body": b"" if scope.get("method") == "HEAD" else body,
        },
    ]
