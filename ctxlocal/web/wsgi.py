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
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import FrameBusyError
from ..flow.frame import Frame, frame_of
from ..sessions.errors import SessionError
from ..sessions.interface import NOTHING, SessionHeaders, SessionInterface
from ..sessions.session import Session
from . import insecure_cookie
from .adoption import Lost, adopt, values_of
from .context import RequestContext
from .error_response import behind, is_answer, log_refusal, refusal_of
from .inherit import Inheritance
from .middleware import Middleware
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
_PLACE = "ctxlocal.session"  # in the environ
_END: Any = object()
_TAKEN: Any = object()


def _new_lost() -> Lost:
    return Lost(_log, f"environ[{_PLACE!r}]")


_lost = _new_lost()  # of applications that call serve() themselves


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

    _new_lost = staticmethod(_new_lost)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, as PEP 3333 calls it."""
        context = RequestContext(self, environ)
        exchange = _Request(context, self.app, start_response, self.sessions, self._lost)
        return self._inheritance.begin(exchange.begin)

    def open_session(self, context: RequestContext) -> Session | None:
        """Return the session that the request's cookie names."""
        if self.sessions is None:
            return None
        environ: Environ = context.environ
        session = self.sessions.open(environ.get("HTTP_COOKIE", ""))
        environ[_PLACE] = session
        return session


def serve(
    context: RequestContext,
    application: WSGIApplication,
    start_response: StartResponse,
    inheritance: Inheritance,
    sessions: SessionInterface | None = None,
) -> Iterable[bytes]:
    """Serve the request of ``context`` by ``application``, in a frame of its own.

    :param inheritance: makes the frame.
    :param sessions: saves the context's session; None if the application does.
    :return: what the server has to iterate and close.
    """
    exchange = _Request(context, application, start_response, sessions, _lost)
    return inheritance.begin(exchange.begin)


class _Request:
    """A request and the status that its application gives, on the way to the server.

    Everything here runs inside the frame.
    """

    __slots__ = (
        "_application",
        "_is_started",
        "_lost",
        "_seen",
        "_sessions",
        "_start",
        "_status",
        "_write",
        "context",
    )

    def __init__(
        self,
        context: RequestContext,
        application: WSGIApplication,
        start: StartResponse,
        sessions: SessionInterface | None,
        lost: Lost,
    ) -> None:
        self.context = context
        self._application = application
        self._start = start  # the server's
        self._sessions = sessions
        self._lost = lost
        self._status: tuple[str, Headers, ExcInfo | None] | None = None  # not given to it yet
        self._is_started = False
        self._write: Write | None = None
        self._seen: object = None  # what stood in the session's place when it was saved

    def begin(self, place: Context, values: Values | None) -> Iterable[bytes]:
        """Serve the request as far as the first chunk of its body.

        :param place: with ``values`` what the frame is made of; see :func:`.flow.frame.first_step`.
        """
        try:
            self.context.push()
            body = self._application(self.context.environ, self.start_response)
            if type(body) is list or type(body) is tuple:
                self._give_status()
            else:
                body = self._answer(body, place, values)
        except BaseException as error:
            self.end(error)
            if self._is_started or not is_answer(error):
                raise
            return self._refuse(error)
        if type(body) is not _Body:
            # Nothing of the application runs any more; the server may count or send the body.
            self.end(None)
        return body

    def _answer(
        self, body: Iterable[bytes], place: Context, values: Values | None
    ) -> Iterable[bytes]:
        """Return a body that may not be complete as the server is to see it."""
        wrapper = self.context.environ.get("wsgi.file_wrapper")
        try:
            if isinstance(wrapper, type) and isinstance(body, wrapper):
                self._give_status()
                return body
            iterator = iter(body)
            first = next(iterator, _END)
            self._give_status()
        except BaseException:
            _close_body(body)  # the server never gets it, and cannot
            raise
        return _Body(self, frame_of(place, values), body, iterator, first)

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
        assert self._write is not None
        return self._write(data)

    def _give_status(self) -> None:
        if self._is_started or self._status is None:
            return  # without a status it is the server that complains, as it would of any other
        status, headers, exc_info = self._status
        session = self.context.session
        if session is not None and self._sessions is not None:
            asked = self._end_session(session, self._sessions, status, exc_info)
            if asked is not NOTHING:
                headers = self._with_fields(headers, asked)
        self._is_started = True
        if exc_info is None:
            self._write = self._start(status, headers)
        else:
            self._write = self._start(status, headers, exc_info)
        self._status = None

    def _end_session(
        self, session: Session, sessions: SessionInterface, status: str, exc_info: ExcInfo | None
    ) -> SessionHeaders:
        if exc_info is None and not is_failure(str(status)[:3]):
            self._take_over(session)
            return sessions.save(session)
        reason = behind(exc_info[1] if exc_info else None, session)
        if reason is not None:
            raise reason
        return headers_if_unsaved(session)

    def _with_fields(self, headers: Headers, asked: SessionHeaders) -> Headers:
        headers = list(headers)
        asked.merge_into(headers)
        if asked.cookies and insecure_cookie.is_suspect(self.context.environ):
            insecure_cookie.warn_of(asked.cookies, self.context.environ)
        return headers

    def _take_over(self, session: Session) -> None:
        """Take values over that the application has put in the session's place."""
        environ = self.context.environ
        self._seen = found = environ.get(_PLACE, session)
        if isinstance(found, Session):  # or that of a ContextMiddleware inside, which has saved it
            return
        if (values := values_of(found)) is None:
            self._lost.another(found)
            return
        adopt(session, values)
        self._seen = environ[_PLACE] = session

    def _refuse(self, error: SessionError) -> Iterable[bytes]:
        log_refusal(_log, error)
        status, headers, body = refusal_of(error)
        self._start(f"{status.value} {status.phrase}", headers)
        return [] if self.context.environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def end_stream(self, body: object) -> None:
        """Close a body that was not complete, and end the request."""
        try:
            _close_body(body)
        finally:
            self.end(None)

    def end(self, error: BaseException | None) -> None:
        """Pop the context; errors of its teardowns are logged, for the response is made by now."""
        if self._seen is not None:
            found = self.context.environ.get(_PLACE, self._seen)
            if found is not self._seen and values_of(found) is not None:
                self._lost.late()
        try:
            if error is None:
                self.context.pop_last()  # the frame ends here
            else:
                self.context.pop(error)
        except Exception:
            _log.exception("A teardown of %r failed", self.context)
        session = self.context.session
        if session is not None and self._sessions is not None:
            close(session)


def _close_body(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


class _Body:
    """The body of a response as the server sees it: each step runs inside the frame."""

    __slots__ = ("__weakref__", "_context", "_first", "_frame", "_iterator")

    def __init__(
        self,
        exchange: _Request,
        frame: Frame,
        body: Iterable[bytes],
        iterator: Iterator[bytes],
        first: bytes,
    ) -> None:
        self._context = exchange.context
        self._frame = frame
        self._iterator = iterator
        self._first = first
        frame.callback(exchange.end_stream, body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first = self._first
        if first is not _TAKEN:
            self._first = _TAKEN
            if first is _END:
                raise StopIteration
            return first
        try:
            return self._frame._step(next, self._iterator)
        except (StopIteration, FrameBusyError):
            raise
        except BaseException as error:
            # At once: not every server calls close() now.
            self._context.error = error
            self._frame.close()
            raise

    def close(self) -> None:
        """End the request; again is harmless. While a step runs elsewhere, it ends with that."""
        self._frame.close()

    def __del__(self) -> None:
        try:
            self._frame.close()
        except Exception:
            _log.exception("Ending the abandoned response to %r failed", self._context)
