"""ContextMiddleware: contexts and sessions for any WSGI application (PEP 3333).

A request is served in a frame (:class:`ctxlocal.flow.Frame`) that starts empty, whatever
the server, its worker or an earlier request left there: the call of the application, each
step of its body, and the end, which may come from another thread, from the garbage
collector, or not by ``close`` at all.

The first chunk of a body is asked for before the server is told the status, so that the
session is saved, and its cookie set, as late as it can be. A body that is complete (a
list, a tuple, the server's own file wrapper) needs no frame any more: the request ends
there, and the server gets the object itself, with whatever it can make of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import FrameBusyError
from ..flow.frame import Frame
from ..sessions.errors import SessionError
from ..sessions.headers import NOTHING, SessionHeaders
from ..sessions.interface import SessionInterface
from ..sessions.session import Session
from . import insecure_cookie
from .adoption import Lost, adopt, values_of
from .context import RequestContext
from .error_response import behind, is_answer, log_refusal, refusal_of
from .inherit import Inheritance
from .middleware import PLACE, Middleware
from .session_end import close, headers_if_unsaved, is_failure

if TYPE_CHECKING:
    from ..ident.record import Values

__all__ = ["ContextMiddleware", "serve"]

Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]
ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]"
)
Write: TypeAlias = Callable[[bytes], object]
StartResponse: TypeAlias = Callable[..., Write]
WSGIApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
# The type that is accepted: of an application without types, as Django's is, checkers infer an
# answer that is no Iterable of bytes.
AnyWSGIApplication: TypeAlias = Callable[[Any, Any], Any]

_log = logging.getLogger("ctxlocal.web.wsgi")
_END: Any = object()
_TAKEN: Any = object()


class ContextMiddleware(Middleware[AnyWSGIApplication]):
    """Gives each request to a WSGI application a context of its own.

    Every Local that follows the application's default starts empty, under each identity
    strategy; so does every other context variable: nothing that the server, its worker or an
    earlier request left is seen, and nothing that is set inside is seen outside. Put it
    outermost, or name in ``inherit`` the variables of middleware around it that are to be
    seen. What was registered with :func:`ctxlocal.web.on_teardown` runs once, when the
    body is closed, dropped, or complete; what it raises is logged and changes no response.

    With ``sessions``, ``environ["ctxlocal.session"]`` is the
    :class:`~ctxlocal.sessions.Session`, which ``ctxlocal.web.session`` finds too. It
    is loaded at the first touch and saved once, before the status goes to the server:
    when the application has returned a complete body, or produced its first chunk, or
    called ``write``. A plain mapping that the application puts in its place in the environ
    becomes the session; see docs/sessions.md. Nothing is saved if an exception leaves the
    application before, if it calls ``start_response`` with an ``exc_info``, or if the status
    is 500, which is how frameworks answer an exception. If no status went to the server yet,
    a store that is down is a 503, and other errors of the session layer have the ``status``
    of their class.

    A body has to be iterated by one thread at a time, any thread. Under the strategy
    "thread" two greenlets of one thread cannot serve requests at once: the second gets a
    FrameBusyError, which says what to choose instead.

    :param app: any WSGI application.
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
        return Lost(_log, f"environ[{PLACE!r}]")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, as PEP 3333 calls it."""
        request = _MiddlewareRequest(self, environ)
        request._application = self.app
        request._start = start_response
        request._sessions = self.sessions
        return self._inheritance.begin(_begin, request, request)


def serve(
    context: RequestContext,
    application: WSGIApplication,
    start_response: StartResponse,
    inheritance: Inheritance,
) -> Iterable[bytes]:
    """Serve the request of ``context`` by ``application``, which saves its session itself.

    :param inheritance: makes the frame of the request.
    :return: what the server has to iterate and close.
    """
    request = _AppRequest()
    request.environ = context.environ
    request._application = application
    request._start = start_response
    return inheritance.begin(_begin, request, context)


def _begin(
    request: _Request, context: RequestContext, place: Context, values: Values | None
) -> Iterable[bytes]:
    """Serve a request as far as the first chunk of its body.

    :param place: with ``values`` what the frame is made of; see :func:`.flow.frame.first_step`.
    """
    request._status = request._seen = None
    request._is_started = False
    try:
        context.push()
        application = request._application  # a method of it would be looked for at first
        body = application(context.environ, request.start_response)
        if (kind := type(body)) is list or kind is tuple:
            request._give_status()
        else:
            body = request._answer(body, context, place, values)
            if type(body) is _Body:
                return body
    except BaseException as error:
        request.end(context, error)
        if request._is_started or not is_answer(error):
            raise
        return request._refuse(error)
    # Nothing of the application runs any more; the server may count or send the body.
    request.end(context, None)
    return body


class _Request:
    """A request and the status that its application gives, on the way to the server.

    Everything here runs inside the frame.
    """

    if not TYPE_CHECKING:  # checkers take it for all that one has: the two below have the rest
        __slots__ = ()

    app: Any  # with sessions: the middleware
    environ: Environ
    session: Session | None
    _application: WSGIApplication
    _start: StartResponse  # the server's
    _sessions: SessionInterface | None  # by which the session is saved here
    _status: tuple[str, Headers, ExcInfo | None] | None  # not given to the server yet
    _is_started: bool
    _write: Write  # the server's, once it is started
    _seen: object  # what stood in the session's place when it was saved

    def _answer(
        self, body: Iterable[bytes], context: RequestContext, place: Context, values: Values | None
    ) -> Iterable[bytes]:
        """Return a body that may not be complete as the server is to see it."""
        wrapper = self.environ.get("wsgi.file_wrapper")
        try:
            if isinstance(wrapper, type) and isinstance(body, wrapper):
                self._give_status()
                return body
            iterator = iter(body)
            first = _next_chunk(iterator)
            self._give_status()
        except BaseException:
            _close_body(body)  # the server never gets it, and cannot
            raise
        end = partial(self.end_stream, context, body)
        return _Body(place, values, context, first, iterator, end)

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Write:
        """Keep the status and headers of the application until the session is saved."""
        if exc_info is None and (self._is_started or self._status is not None):
            raise AssertionError(
                "start_response was called a second time without exc_info; PEP 3333 allows that "
                "in an error handler only, with sys.exc_info()."
            )
        if self._is_started:  # the server decides whether it is too late
            return self._start(status, headers, exc_info)
        self._status = status, headers, exc_info
        return self._write_first

    def _write_first(self, data: bytes) -> object:
        self._give_status()
        return self._write(data)

    def _give_status(self) -> None:
        if self._is_started or self._status is None:
            return  # without a status it is the server that complains, as it would of any other
        status, headers, exc_info = self._status
        if self._sessions is not None and (session := self.session) is not None:
            asked = self._end_session(session, self._sessions, status, exc_info)
            if asked is not NOTHING:
                headers = self._with_fields(headers, asked)
        self._is_started = True
        start = self._start
        if exc_info is None:
            self._write = start(status, headers)
        else:
            self._write = start(status, headers, exc_info)
        self._status = None

    def _end_session(
        self, session: Session, sessions: SessionInterface, status: str, exc_info: ExcInfo | None
    ) -> SessionHeaders:
        if exc_info is None and not is_failure(f"{status}"[:3]):
            self._take_over(session)
            return sessions.save(session)
        reason = behind(exc_info[1] if exc_info else None, session)
        if reason is not None:
            raise reason
        return headers_if_unsaved(session)

    def _with_fields(self, headers: Headers, asked: SessionHeaders) -> Headers:
        headers = list(headers)
        asked.merge_into(headers)
        if asked.cookies and insecure_cookie.is_suspect(self.environ):
            insecure_cookie.warn_of(asked.cookies, self.environ)
        return headers

    def _take_over(self, session: Session) -> None:
        """Take values over that the application has put in the session's place."""
        environ = self.environ
        self._seen = found = environ.get(PLACE, session)
        if found is session or isinstance(found, Session):
            return  # the latter: of a ContextMiddleware inside, which has saved it
        if (values := values_of(found)) is None:
            self.app._lost.another(found)
            return
        adopt(session, values)
        self._seen = environ[PLACE] = session

    def _refuse(self, error: SessionError) -> Iterable[bytes]:
        log_refusal(_log, error)
        status, headers, body = refusal_of(error)
        self._start(f"{status.value} {status.phrase}", headers)
        return [] if self.environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def end_stream(self, context: RequestContext, body: object) -> None:
        """Close a body that was not complete, and end the request."""
        try:
            _close_body(body)
        finally:
            self.end(context, None)

    def end(self, context: RequestContext, error: BaseException | None) -> None:
        """Pop the context; errors of its teardowns are logged, for the response is made by now."""
        if self._seen is not None:
            found = self.environ.get(PLACE, self._seen)
            if found is not self._seen and values_of(found) is not None:
                self.app._lost.late()
        try:
            context.pop_last(error)  # the frame ends here
        except Exception:
            _log.exception("A teardown of %r failed", context)
        if self._sessions is not None and (session := self.session) is not None:
            close(session)


class _MiddlewareRequest(_Request, RequestContext):
    """That of the middleware, and its context: one object to make, not two."""

    __slots__ = (
        "_application",
        "_is_started",
        "_seen",
        "_sessions",
        "_start",
        "_status",
        "_write",
    )

    def __repr__(self) -> str:
        return f"<RequestContext of {self.app!r}>"


class _AppRequest(_Request):
    """That of an App, which has made the context before."""

    __slots__ = ("_application", "_is_started", "_seen", "_start", "_status", "_write", "environ")

    session = _sessions = None


def _next_chunk(iterator: Iterator[bytes]) -> bytes:
    """Return the next chunk of a body, or what stands for its end."""
    return next(iterator, _END)


def _close_body(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


class _Body(Frame):
    """The body of a response as the server sees it: a frame, whose steps are its chunks."""

    __slots__ = ("_chunks", "_first", "_request")

    def __init__(
        self,
        place: Context,
        values: Values | None,
        request: RequestContext,
        first: bytes,
        chunks: Iterator[bytes],
        end: Callable[[], None],
    ) -> None:
        self._hold(place, values)
        self._teardowns.append(end)
        self._request: RequestContext | None = request
        self._first = first
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = self._first
        if chunk is _TAKEN:
            try:
                chunk = self._step(_next_chunk, self._chunks)
            except FrameBusyError:
                raise
            except BaseException as error:
                # At once: not every server calls close() now.
                if self._request is not None:
                    self._request.error = error
                Frame.close(self)
                raise
        else:
            self._first = _TAKEN
        if chunk is _END:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """End the request; again is harmless. While a step runs elsewhere, it ends with that."""
        Frame.close(self)
        self._request = None  # which knows the server's start_response, and so may lead to us

    def __del__(self) -> None:
        if not self._teardowns:
            return
        try:
            Frame.close(self)
        except Exception:
            _log.exception("Ending the abandoned response to %r failed", self._request)
