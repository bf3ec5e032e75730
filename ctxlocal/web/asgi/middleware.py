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
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ...flow.frame import Place, Rest, begin, carried
from ...sessions.errors import SessionError
from ...sessions.headers import NOTHING, SessionHeaders, lists_cookie
from ...sessions.interface import SessionInterface
from ...sessions.session import Session
from .. import insecure_cookie
from ..adoption import Lost, ScopeSession, adopt
from ..context import AppContext, RequestContext
from ..error_response import behind, is_answer, log_refusal, refusal_of
from ..middleware import Middleware
from ..session_end import headers_if_unsaved, is_failure

if TYPE_CHECKING:
    from ...ident.record import Values

__all__ = ["ContextMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Pop: TypeAlias = Callable[[Any, "BaseException | None"], None]

if sys.version_info >= (3, 11):
    from sys import exception as handled  # which takes half the time
else:

    def handled() -> BaseException | None:
        """Return the exception that is being handled here."""
        return sys.exc_info()[1]


_log = logging.getLogger("ctxlocal.web.asgi")

# The messages with the header of a response; a session is saved before it.
_VARY, _NO_STORE = (b"vary", b"Cookie"), (b"cache-control", b"no-store")
_HEADS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class ContextMiddleware(Middleware[ASGIApplication]):
    """Gives each request, WebSocket and lifespan of an ASGI application a context of its own.

    Every Local that follows the application's default starts empty, under each identity
    strategy; so does every other context variable: nothing that the server, the connection
    or an earlier request left is seen, and nothing that is set inside is seen outside. Put
    it outermost, or name in ``inherit`` the variables of middleware around it that are to
    be seen. Tasks that the application starts keep a copy of what they were started with, as
    tasks do. What was registered with :func:`ctxlocal.web.on_teardown` runs once, when the
    application has ended, however it does; what it raises is logged.

    With ``sessions``, ``scope["session"]`` and ``scope["ctxlocal.session"]`` are the
    :class:`~ctxlocal.sessions.Session`, opened before the application is called and
    saved once, before the response's header is passed on; ``ctxlocal.web.session`` finds the
    same. Afterwards a change raises SessionClosedError. A plain mapping that the application
    puts there instead becomes the session; see docs/sessions.md. The scope is the server's
    own, so that middleware around sees what routing puts into it. The header of a WebSocket
    is its ``websocket.accept`` (or a denial response; one closed before it is accepted saves
    nothing): what lives for hours should not hold what it loaded at its start, so a socket
    that writes later opens a session for that moment, with ``open_async`` and ``await
    session.save()``. An exception that leaves the application saves nothing, nor does a
    response with status 500, which is how frameworks answer one. If no header was sent, a
    store that is down is a 503, and other errors of the session layer have the ``status`` of
    their class.

    :param app: any ASGI 3.0 application, on asyncio or trio.
    :param sessions: how sessions are opened and saved; None for contexts alone.
    :param inherit: the foreign context variables that are seen inside, with the values of
        the caller: True for all, False for none, or an iterable of ContextVars. What is set
        inside is not seen outside. A variable that was set outside and is hidden is logged
        once in this process.
    :raises SessionConfigError: ``sessions`` is a store, or anything else.
    :raises TypeError: ``inherit`` is something else.

    Safe for any number of requests at once.
    """

    @staticmethod
    def _new_lost() -> Lost:
        return Lost(_log, "scope['session']")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as ASGI calls it."""
        receive, send = outside(receive, send)
        rest = self._inheritance.begin(_begin, self._serve(scope, receive, send), None)
        if rest is not None:
            await rest

    def _serve(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] not in ("http", "websocket"):
            return _serve_in(AppContext(self), self.app, scope, receive, send, AppContext.pop)
        context = RequestContext(self, scope)
        context.async_teardowns = []
        if self.sessions is None:
            return _serve_in(context, self.app, scope, receive, send, RequestContext.pop_last)
        return self._serve_with_session(self.sessions, context, receive, send)

    async def _serve_with_session(
        self, sessions: SessionInterface, context: RequestContext, receive: Receive, send: Send
    ) -> None:
        scope, response = context.environ, None
        try:
            cookies = cookies_of(scope)
            if (session := sessions.open_at_once(cookies)) is None:
                session = await sessions.open_async(cookies)
            context.session = session
            response = _Response(sessions, session, scope, send, self._lost)
            pop = RequestContext.pop_last
            await _serve_in(context, self.app, scope, receive, response.send, pop)
        except SessionError as error:
            is_started = response is not None and response.is_started
            if is_started or not is_answer(error):
                raise
            await (_refuse(scope, send, error) if response is None else response.refuse(error))
        finally:
            if response is not None:
                response.close()


def _begin(
    serving: Coroutine[Any, Any, None], _: None, context: Context, values: Values | None
) -> Rest | None:
    """Take the first step; return what awaits the rest of them, None if it was the last."""
    rest, awaited = begin(serving)
    return None if rest is None else Rest(Place(context, values).step, rest, awaited)


async def _serve_in(
    context: AppContext | RequestContext,
    app: ASGIApplication,
    scope: Scope,
    receive: Receive,
    send: Send,
    pop: Pop,
) -> None:
    context.push()
    error: BaseException | None = None
    try:
        await app(scope, receive, send)
    except BaseException as failure:
        error = failure
        raise
    finally:
        try:
            if context.async_teardowns:
                await context.await_teardowns(error)
        finally:
            try:
                pop(context, error)
            except Exception:  # logged, for the response is made by now
                _log.exception("A teardown of %r failed", context)
            del error  # or it would be in a cycle with its own traceback


def outside(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return ``receive`` and ``send`` so that they run with the values that are in place now."""
    server = _Server(copy_context(), carried())
    server._receive, server._send = receive, send
    return server.receive, server.send


class _Server(Place):
    """What the server offers, each step with the values that it has in place itself."""

    __slots__ = ("_receive", "_send")
    _receive: Receive
    _send: Send

    async def receive(self) -> Message:
        rest, awaited = self.step(_begin_receive, self._receive)
        return awaited if rest is None else await Rest(self.step, rest, awaited)  # type: ignore[no-any-return]

    async def send(self, message: Message) -> None:
        rest, awaited = self.step(_begin_send, (self._send, message))
        return awaited if rest is None else await Rest(self.step, rest, awaited)  # type: ignore[no-any-return]


def _begin_receive(receive: Receive) -> tuple[Any, Any]:
    coroutine: Any = receive()
    return begin(coroutine if hasattr(coroutine, "send") else _wait_for(coroutine))


def _begin_send(call: tuple[Send, Message]) -> tuple[Any, Any]:
    send, message = call
    coroutine: Any = send(message)
    return begin(coroutine if hasattr(coroutine, "send") else _wait_for(coroutine))


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class _Response(ScopeSession):
    """The response that an application sends, on its way to the server, and its session."""

    __slots__ = (
        "_handled",
        "_if_not_saved",
        "_is_refused",
        "_send",
        "_sessions",
        "_unsaved",
        "is_started",
    )

    def __init__(
        self,
        sessions: SessionInterface,
        session: Session,
        scope: Scope,
        send: Send,
        lost: Lost,
    ) -> None:
        ScopeSession.__init__(self, scope, session, lost)  # super() would take longer
        self._unsaved: Session | None = session
        self.is_started = False  # the header is passed on, or about to be
        self._is_refused = False  # a response of ours is sent, and the application's dropped
        self._if_not_saved = NOTHING
        self._sessions = sessions
        self._send = send
        self._handled = handled()  # by our caller: no exception of the application

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; the session is saved before the first one with a header."""
        if self.is_started:
            return self._send(message)
        if message["type"] not in _HEADS or self._is_refused:
            return self._send_first(message)
        try:
            asked = self._end_at_once(message)
        except SessionError as failure:
            return self._fail(failure)
        return self._send_first(message) if asked is None else self._send_head(message, asked)

    async def _send_first(self, message: Message) -> None:
        if self._is_refused:
            return
        if message["type"] in _HEADS:
            asked = await self._end_session(message)
            if not self._is_refused:
                await self._send_head(message, asked)
            return
        await self._send(message)

    def _send_head(self, message: Message, asked: SessionHeaders) -> Awaitable[None]:
        self.is_started = True
        if asked is not NOTHING:
            if asked.cookies and insecure_cookie.is_suspect(self._scope):
                insecure_cookie.warn_of(asked.cookies, self._scope)
            message = with_headers(message, asked)
        return self.pass_on(self._send, message)

    async def refuse(self, error: SessionError) -> None:
        """Send the response to ``error``; again is harmless."""
        if not self._is_refused:
            self._is_refused = True
            await _refuse(self._scope, self._send, error)

    def _end_at_once(self, message: Message) -> SessionHeaders | None:
        """Do what :meth:`_end_session` does, if nothing is to be awaited for it; None: it is."""
        session = self._unsaved
        if session is None or is_failure(message.get("status")) or not self.is_settled():
            return None
        try:
            return self._sessions.save_at_once(session)
        except BaseException:
            self._leave_unsaved(session)
            raise

    async def _end_session(self, message: Message) -> SessionHeaders:
        if (session := self._unsaved) is None:
            return self._if_not_saved
        self._leave_unsaved(session)
        if not is_failure(message.get("status")):
            try:
                if (values := self.settle()) is not None:
                    await session.load()
                    adopt(session, values)
                return await self._sessions.save_async(session)
            except SessionError as failure:
                await self._fail(failure)
        error = handled()
        reason = behind(None if error is self._handled else error, session)
        if reason is not None:
            await self.refuse(reason)
        return self._if_not_saved

    def _leave_unsaved(self, session: Session) -> None:
        """Save it no more, whatever header is sent next."""
        self._unsaved, self._if_not_saved = None, headers_if_unsaved(session)

    async def _fail(self, failure: SessionError) -> NoReturn:
        """Raise what a save has raised; answered here, as frameworks would make a 500 of it."""
        if is_answer(failure):
            await self.refuse(failure)
        raise failure


async def _refuse(scope: Scope, send: Send, error: SessionError) -> None:
    log_refusal(_log, error)
    for message in refusal_messages(scope, error):
        await send(message)


def cookies_of(scope: Scope) -> str:
    """Return the Cookie header; HTTP/2 clients may send it in several fields (RFC 9113, 8.2.3)."""
    cookies = ""
    for name, value in scope["headers"]:
        if len(name) == 6 and name.lower() == b"cookie":
            text = value.decode("latin-1")
            cookies = f"{cookies}; {text}" if cookies else text
    return cookies


def with_headers(message: Message, asked: SessionHeaders) -> Message:
    """Return a copy of ``message`` with the header fields that a session asks for.

    What ``asked.merge_into`` does; decoding and encoding them again would take thrice as long.
    """
    vary, cookies = asked
    if not vary and not cookies:
        return message
    headers: list[Any] = []
    for field in message.get("headers") or ():
        size = len(field[0])  # most names have another one than these two
        if size == 4 and bytes(field[0]).lower() == b"vary":
            vary = vary and not lists_cookie(bytes(field[1]).decode("latin-1"))
        elif size == 13 and cookies and bytes(field[0]).lower() == b"cache-control":
            continue
        headers.append(field)
    if vary:
        headers.append(_VARY)
    if cookies:
        headers.append(_NO_STORE)
        for cookie in cookies:
            headers.append((b"set-cookie", cookie.encode("latin-1")))
    return {**message, "headers": headers}


def encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return header fields in ASGI's form: pairs of bytes, the names in lower case."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def refusal_messages(scope: Scope, error: SessionError) -> list[Message]:
    """Return the messages that answer ``error``, or refuse a WebSocket that is not accepted."""
    status, headers, body = refusal_of(error)
    prefix = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            code = 1013 if status == 503 else 1008  # RFC 6455: try again later, policy
            return [{"type": "websocket.close", "code": code, "reason": error.answer}]
        prefix = "websocket.http"
    if scope.get("method") == "HEAD":
        body = b""
    return [
        {"type": f"{prefix}.response.start", "status": status.value, "headers": encoded(headers)},
        {"type": f"{prefix}.response.body", "body": body},
    ]
