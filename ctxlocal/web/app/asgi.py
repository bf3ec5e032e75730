"""Serving an App over ASGI.

A request runs in its server's task, each step in a frame that starts empty; the App's
steps are those of WSGI (see :mod:`ctxlocal.web.app`), with its synchronous functions called in
a thread that is the request's until it ends. Where the view is one of these, the whole
flow runs there, up to the response. How it ends:

======================= =========================================================
the App is done         the end runs in the same task, also after an exception
a thread still works    the task does not wait for it, and the thread runs the end when it is
                        done; also if the task is cancelled, or the client hangs up, meanwhile
the task is cancelled   the end runs where cancel scopes around the request do not reach,
                        and the cancelled task waits for it
the coroutine is closed the end runs at once: in the request's thread, if it has one
======================= =========================================================

The end is a list of functions, each taken off before it is called: so each is called once,
whether the task, another one or a thread goes on with the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..._async_library import library
from ...flow.frame import Rest, begin
from ...sessions.errors import StoreUnavailableError
from .. import signals
from ..asgi.body import close, send_complete, send_response
from ..asgi.environ import BodyTooLargeError, ClientGoneError, environ_of, read_body
from ..asgi.middleware import Receive, Scope, Send, outside
from ..asgi.thread import Caller
from ..context import RequestContext, call_now
from .complete import WireForm, wire_form

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from ...sessions.interface import SessionInterface
    from ..context import AppContext
    from ..inherit import Inheritance
    from .messages import Request, Response

R = TypeVar("R")

_log = logging.getLogger("ctxlocal.web.asgi")
_SENT_BY_POP = (
    signals.request_tearing_down,
    signals.appcontext_tearing_down,
    signals.appcontext_popped,
)


class Application(Protocol):
    """The part of an App that this module uses; a protocol, because App imports this module."""

    request_class: type[Request]
    session_interface: SessionInterface
    _inheritance: Inheritance
    _startups: list[Callable[..., Any]]
    _shutdowns: list[Callable[..., Any]]
    _request_teardowns: list[Callable[..., Any]]
    _app_teardowns: list[Callable[..., Any]]
    _has_own_ends: bool

    @property
    def executor(self) -> Executor: ...
    def app_context(self) -> AppContext: ...
    def request_context(self, environ: Any) -> RequestContext: ...
    def responds_in_thread(self, context: RequestContext) -> bool: ...
    def respond(self, context: RequestContext) -> Response: ...
    async def respond_async(self, context: RequestContext) -> Response: ...
    async def handle_exception_async(self, error: Exception) -> Response: ...
    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None: ...


async def serve(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection scope: a request, or the lifespan; a WebSocket is refused."""
    if scope["type"] == "http":
        await _Request(app, scope, receive, send).serve()
    elif scope["type"] == "lifespan":
        await _lifespan(app, receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    else:
        raise ValueError(f"{app!r} serves http and lifespan scopes, not {scope['type']!r}")


class ASGIEntry:
    """An App as an ASGI application and nothing else: servers look at how ``__call__`` is made."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as ASGI calls it."""
        await self._app.asgi_app(scope, receive, send)


class _Request:
    """One request, from its first message to its end."""

    def __init__(self, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive, self._send = receive, send
        self._step = app._inheritance.place().step
        self._caller = Caller(app.executor)
        self._call: Callable[..., Awaitable[Any]] = self._caller
        # Each returns what is to be awaited for it, None where that is nothing.
        self._ends: list[Callable[[BaseException | None], Awaitable[None] | None]] = []

    async def serve(self) -> None:
        try:
            await self._respond_and_end()
        except Exception:
            raise  # it has ended already
        except (GeneratorExit, KeyboardInterrupt, SystemExit) as error:
            self._end_at_once(error)
            raise
        except BaseException as error:  # cancelled, in the words of asyncio or trio
            await self._end_apart(error)
            raise
        if self._ends:  # the client has gone while a thread is at work
            await self._end_apart(None)

    async def _respond_and_end(self) -> None:
        """Let the App's steps run in the frame, and the server's own where it called us."""
        try:
            environ, problem = await self._receive_environ()
        except ClientGoneError:
            return
        try:
            response, form = await self._inside(self._respond(environ, problem))
            if form is not None:
                body, headers = form
                await self._caller.away(
                    send_complete(response.status_code, body, headers, self._send)
                )
            else:
                await self._stream(response, environ)
        except Exception as error:
            await self._inside(self._end(error))
            raise
        if not self._caller.left_behind:
            await self._inside(self._end(None))

    async def _receive_environ(self) -> tuple[dict[str, Any], HTTPException | None]:
        """Return the environ with the request's whole body, and what there is against it.

        :raises ClientGoneError: the client hung up meanwhile.
        """
        environ = environ_of(self._scope)
        limit = self._app.request_class.max_content_length
        problem = None
        try:
            body = await read_body(self._receive, environ, limit, self._caller.elsewhere)
        except BodyTooLargeError:
            problem = RequestEntityTooLarge()
            body = environ["wsgi.input"] = BytesIO()
        self._ends.append(lambda error: body.close())
        return environ, problem

    async def _respond(
        self, environ: dict[str, Any], problem: HTTPException | None
    ) -> tuple[Response, WireForm | None]:
        """Return the response, and what is to be sent of it if it is complete."""
        context = self._app.request_context(environ)
        context.call = self._caller
        context.async_teardowns = []
        if problem is not None:
            request: Any = context.request
            request.routing_exception = problem
        response = await self._response(context)
        form = wire_form(response, environ["REQUEST_METHOD"])
        if form is None:
            self._ends.append(lambda error: self._caller.away(close(response, self._call)))
        return response, form

    async def _inside(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Await ``coroutine`` so that each of its steps runs in the request's frame."""
        rest, awaited = self._step(begin, coroutine)
        result: R = awaited if rest is None else await Rest(self._step, rest, awaited)
        return result

    async def _stream(self, response: Response, environ: dict[str, Any]) -> None:
        receive, send = outside(self._receive, self._send)
        sending = send_response(response, environ, receive, send, self._call)
        await self._caller.away(self._inside(sending))

    async def _response(self, context: RequestContext) -> Response:
        app = self._app
        try:
            cookies = context.environ.get("HTTP_COOKIE", "")
            if (session := app.session_interface.open_at_once(cookies)) is None:
                session = await app.session_interface.open_async(cookies)
            context.session = session
        except StoreUnavailableError as error:
            context.session = app.session_interface.null()
            context.error = error
            await self._push(context)
            return await app.handle_exception_async(error)
        await self._push(context)
        if app.responds_in_thread(context):
            response: Response = await self._call(self._respond_in_thread, context)
            return response
        return await app.respond_async(context)

    def _respond_in_thread(self, context: RequestContext) -> Response:
        response = self._app.respond(context)
        if response.is_sequence and not response._on_close and not self._is_torn_down(context):
            self._caller.give_back()  # at once, so that it need not sleep first
        return response

    async def _push(self, context: RequestContext) -> None:
        self._ends.append(lambda error: self._pop(context, error))
        self._ends.append(lambda error: self._await_teardowns(context, error))
        if signals.appcontext_pushed.receivers:
            await self._call(context.push)
        else:  # no function of the application is called
            context.push()

    def _await_teardowns(
        self, context: RequestContext, error: BaseException | None
    ) -> Awaitable[None] | None:
        if context.async_teardowns and self._call is not call_now:  # else no loop is left
            return self._caller.away(context.await_teardowns(error))
        return None

    def _pop(self, context: RequestContext, error: BaseException | None) -> Awaitable[None] | None:
        if self._is_torn_down(context):
            return self._call(context.pop, error)
        if self._app._has_own_ends:
            context.pop(error)
        else:
            context.drop()
        return None

    def _is_torn_down(self, context: RequestContext) -> bool:
        """Whether popping the context calls a function of the application."""
        app = self._app
        if context._teardowns or app._request_teardowns or app._app_teardowns:
            return True
        for signal in _SENT_BY_POP:  # noqa: SIM110 - any() takes three times as long
            if signal.receivers:
                return True
        return False

    # The end.

    async def _end(self, error: BaseException | None) -> None:
        """Run what is left of the end; errors are logged, for the response is made by now."""
        while self._ends:
            end = self._ends.pop()
            try:
                if (rest := end(error)) is not None:
                    await rest
            except Exception:
                _log.exception("The end of a request failed")
            except BaseException:
                if self._caller.was_too_early:
                    self._ends.append(end)
                raise
        self._caller.give_back()

    async def _end_apart(self, error: BaseException | None) -> None:
        if self._caller.left_behind:
            self._end_at_once(error)
            return
        await library().apart(lambda: self._end_unharmed(error))

    async def _end_unharmed(self, error: BaseException | None) -> None:
        try:
            await self._inside(self._end(error))
        except BaseException:  # the loop ends
            self._end_at_once(error)
            raise

    def _end_at_once(self, error: BaseException | None) -> None:
        """Run the end without a loop: in the request's thread after its last function, or here."""
        self._call = call_now

        def finish() -> None:
            while self._ends:
                self._step(_run_to_first_wait, self._end(error))

        self._caller.finish(finish)


def _run_to_first_wait(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        pass
    else:
        coroutine.close()  # no loop is left that could end its wait


async def _lifespan(app: Application, receive: Receive, send: Send) -> None:
    receive, send = outside(receive, send)
    await app._inheritance.frame().drive(_live(app, receive, send))


async def _live(app: Application, receive: Receive, send: Send) -> None:
    await receive()  # lifespan.startup
    try:
        await _call_each(app, app._startups)
    except Exception as error:
        _log.exception("The application cannot start")
        await send({"type": "lifespan.startup.failed", "message": repr(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    failures: list[str] = []
    await _call_each(app, app._shutdowns[::-1], failures)
    if failures:
        await send({"type": "lifespan.shutdown.failed", "message": ", ".join(failures)})
    else:
        await send({"type": "lifespan.shutdown.complete"})


async def _call_each(
    app: Application, functions: list[Callable[..., Any]], failures: list[str] | None = None
) -> None:
    """Call the functions in a context of the application, the synchronous ones in one thread.

    :param failures: takes what they raise; with None the first one that raises is the last.
    """
    call = Caller(app.executor)
    try:
        with app.app_context():
            for function in functions:
                try:
                    await call(function)
                except Exception as error:
                    if failures is None:
                        raise
                    _log.exception("A shutdown function failed")
                    failures.append(repr(error))
    finally:
        call.give_back()
