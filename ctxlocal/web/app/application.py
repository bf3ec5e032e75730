"""App: from a request to its response, under the names that Flask made known.

A request goes through these, in this order::

    wsgi_app            serve() opens a frame and pushes the context, which opens the session
    respond             an exception that no error handler takes becomes a 500
    full_dispatch_request
      first-request functions, the signal request_started
      preprocess_request    before_request functions; one that returns a value is the view
      dispatch_request      the view that the URL matched
      handle_user_exception error handlers, if anything of that raised
      finalize_request
        make_response
        process_response    after_request functions; then the session is saved
        the signal request_finished
    the body streams inside the context
    RequestContext.pop  do_teardown_request, do_teardown_appcontext

It is written once, for WSGI and ASGI: the steps whose names end in ``_async`` await the
functions of the application by ``RequestContext.call``, which in a synchronous request
never suspends. So the step of the same name without ``_async`` is the same step, run at
once. A subclass overrides the ``_async`` one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property, wraps
from typing import Any, ParamSpec, TypeVar, overload
from urllib.parse import quote

from ..._at_once import at_once
from ...errors import MissingDependencyError, UnboundError
from ...sessions.errors import RETRY_AFTER
from ...sessions.interface import SessionHeaders, SessionInterface, refuse_no_interface
from ...sessions.session import NullSession, Session
from .. import insecure_cookie, signals
from ..context import AppContext, RequestContext, current_request_context, is_async, run_all
from ..contexts import current_app_context, request_stack
from ..error_response import is_answer, log_refusal
from ..inherit import Inherit, Inheritance
from ..session_end import headers_if_unsaved
from ..wsgi import Environ, StartResponse, serve
from .messages import Request, Response, response_of
from .registry import Registry
from .test_client import KEEP, TestClient

try:
    from werkzeug.exceptions import HTTPException, InternalServerError, default_exceptions
    from werkzeug.routing import MapAdapter, RequestRedirect
    from werkzeug.test import EnvironBuilder

    from .complete import wire_form
    from .map import match
except ImportError as error:
    raise MissingDependencyError("ctxlocal.web.app", "werkzeug", "web") from error

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("ctxlocal.web.app")


class _NoSessions(SessionInterface):
    """The sessions of an App that was given none: empty, and closed to every change."""

    def open(self, cookies: str) -> Session:
        return NullSession()

    def save(self, session: Session) -> SessionHeaders:
        return SessionHeaders()

    open_at_once = open

    async def open_async(self, cookies: str) -> Session:
        return NullSession()

    async def save_async(self, session: Session) -> SessionHeaders:
        return SessionHeaders()

    def null(self) -> Session:
        return NullSession()


def _at_once(
    step: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, R]:
    """Return the synchronous twin of an ``_async`` step, which never has to wait."""

    refusal = (
        f"{step.__name__} has to wait, in a request that is served synchronously. Await "
        f"{step.__name__}, or leave RequestContext.call as it is."
    )

    @wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return at_once(step(*args, **kwargs), refusal)

    run.__name__ = step.__name__.removesuffix("_async")
    return run


class App(Registry):
    """An application: its views and hooks, and the flow of its requests.

        app = App(__name__, sessions=StoredSessions(MemoryStore()))

        @app.get("/")
        def index():
            session["visits"] = session.get("visits", 0) + 1
            return f"visit {session['visits']}"

    ``app`` is a WSGI application, ``app.asgi`` an ASGI one. Views and hooks may be
    synchronous or not under both: under WSGI an ``async def`` is run to its end in an event
    loop made for it (about 0.2 ms), under ASGI the synchronous ones of a request run in one
    thread, which no other request has meanwhile.

    :param name: the application's name, mostly ``__name__``.
    :param sessions: how sessions are opened and saved; with None the session is empty and
        refuses every change.
    :param inherit: the foreign context variables that a request sees, with the values of
        the caller of the App: True for all, False for none, or an iterable of ContextVars.
        What is set inside is not seen outside. A variable that was set outside and is hidden
        is logged once in this process.
    :raises SessionConfigError: ``sessions`` is a store, or anything else.
    :raises TypeError: ``inherit`` is something else.

    Safe for any number of requests at once, in threads, greenlets and tasks.
    """

    request_class: type[Request] = Request
    response_class: type[Response] = Response
    test_client_class: type[TestClient] = TestClient
    has_responses = True
    _has_own_ends = False  #: a method that ends its contexts is its own
    testing = False  #: let unhandled exceptions pass instead of making a 500 of them

    def __init__(
        self,
        name: str,
        sessions: SessionInterface | None = None,
        *,
        inherit: Inherit = False,
    ) -> None:
        super().__init__()
        self.name = name
        refuse_no_interface(sessions)
        self.session_interface: SessionInterface = sessions or _NoSessions()
        self._inheritance = Inheritance(inherit)
        #: the application's own settings; of them only url_for() reads any, outside of requests
        self.config: dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_own_ends = any(getattr(cls, name) is not vars(App)[name] for name in _ENDS)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    # How it is served.

    @overload
    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]: ...
    @overload
    def __call__(self, scope: Any, receive: Any, send: Any, /) -> Coroutine[Any, Any, None]: ...
    def __call__(self, first: Any, second: Any = None, send: Any = None, /) -> Any:
        """Serve a request as PEP 3333 calls it with two arguments, or as ASGI 3.0 with three.

        Wrap ``wsgi_app`` or ``asgi_app`` in middleware, not this. Servers that look before
        they call take it for WSGI, or uvicorn for ASGI 2: give them ``app.asgi``.

        :raises TypeError: there is one argument, as ASGI 2 had it.
        """
        if second is None:
            raise TypeError("a server took this App for ASGI 2: run `uvicorn module:app.asgi`")
        if send is None:
            return self.wsgi_app(first, second)
        return self.asgi_app(first, second, send)

    def wsgi_app(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request; see :func:`..wsgi.serve` for how the body streams and ends."""
        context = self.request_context(environ)
        if (keep := environ.get(KEEP)) is not None:
            keep(context)
        return serve(context, self._answer, start_response, self._inheritance)

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve an ASGI scope; see :mod:`ctxlocal.web.asgi`."""
        await self._serve_asgi(self, scope, receive, send)

    @cached_property
    def _serve_asgi(self) -> Callable[[Any, Any, Any, Any], Coroutine[Any, Any, None]]:
        from .asgi import serve  # imports asyncio, which WSGI needs not

        return serve

    @property
    def asgi(self) -> Callable[[Any, Any, Any], Coroutine[Any, Any, None]]:
        """The App as an object that every server takes for ASGI: ``uvicorn module:app.asgi``."""
        from .asgi import ASGIEntry

        return ASGIEntry(self)

    @cached_property
    def executor(self) -> Executor:
        """The threads for synchronous functions under ASGI; set another to replace it.

        A request has one from its first synchronous function to its end. If it awaits
        something else meanwhile, and others wait for a thread, one is started beside these.
        """
        return ThreadPoolExecutor(thread_name_prefix=f"{self.name}-request")

    def responds_in_thread(self, context: RequestContext) -> bool:
        """Whether the flow of a request may run in its thread: the view is synchronous.

        A step that was overridden may await what needs the event loop to be there.
        """
        request: Any = context.request
        rule = request.url_rule
        if rule is None or is_async(self.view_functions.get(rule.endpoint)):
            return False
        kind = type(self)
        return kind is App or all(getattr(kind, step) is getattr(App, step) for step in _STEPS)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        response = self.respond(current_request_context())
        if (form := wire_form(response, environ["REQUEST_METHOD"])) is not None:
            start_response(response.status, form[1])
            return form[0]
        body, status, headers = response.get_wsgi_response(environ)
        start_response(status, headers)
        # Complete, unless something was asked to wait for the body's end.
        return list(body) if response.is_sequence and not response._on_close else body

    # Contexts.

    def app_context(self) -> AppContext:
        """Return a context for work without a request: ``with app.app_context():``."""
        return AppContext(self)

    def request_context(self, environ: Environ) -> RequestContext:
        """Return the context of a request, not pushed yet."""
        return RequestContext(self, environ)

    def test_request_context(self, *args: Any, **kwargs: Any) -> RequestContext:
        """Return the context of a request that the arguments describe, for tests and shells.

        The arguments are those of :class:`werkzeug.test.EnvironBuilder`, the path first.
        """
        return self.request_context(EnvironBuilder(*args, **kwargs).get_environ())

    def test_client(self, **kwargs: Any) -> TestClient:
        """Return werkzeug's test client, with a cookie jar; the arguments are its own.

        In ``with app.test_client() as client:`` the last request can still be looked at.
        """
        return self.test_client_class(self, **kwargs)

    def create_request(self, environ: Any) -> Request:
        """Make the request object."""
        return self.request_class(environ)

    def create_url_adapter(self, request: Any) -> MapAdapter | None:
        """Bind the URL map to the request, and match it; what fails is raised by the dispatch.

        Without a request bind it to what ``config`` says, or return None where that names
        no ``SERVER_NAME``.
        """
        if request is None:
            return self._adapter_by_config()
        adapter = None
        try:
            adapter = self.url_map.bind_to_environ(request.environ)
            request.url_rule, request.view_args = match(adapter)
        except HTTPException as error:
            request.routing_exception = error
        return adapter

    def _adapter_by_config(self) -> MapAdapter | None:
        host = self.config.get("SERVER_NAME")
        if not host:  # an environment variable that is not set may come as ""
            return None
        scheme = self.config.get("PREFERRED_URL_SCHEME") or "http"
        return self.url_map.bind(host, self.config.get("APPLICATION_ROOT"), url_scheme=scheme)

    def open_session(self, context: RequestContext) -> Session:
        """Open the request's session; without one, return a stand-in."""
        opened: Session | None = self.session_interface.open_session(self, context.request)
        return self.session_interface.make_null_session(self) if opened is None else opened

    def did_push_app_context(self) -> None:
        """Send ``appcontext_pushed``."""
        _send(signals.appcontext_pushed, self)

    def did_pop_app_context(self) -> None:
        """Send ``appcontext_popped``."""
        _send(signals.appcontext_popped, self)

    def do_teardown_request(self, error: BaseException | None) -> None:
        """Run the teardown_request functions, and send ``request_tearing_down``."""
        try:
            run_all(list(self._request_teardowns), error)
        finally:
            _send(signals.request_tearing_down, self, exc=error)

    def do_teardown_appcontext(self, error: BaseException | None) -> None:
        """Run the teardown_appcontext functions, and send ``appcontext_tearing_down``."""
        try:
            run_all(list(self._app_teardowns), error)
        finally:
            _send(signals.appcontext_tearing_down, self, exc=error)

    # The flow of a request, from here on in its order.

    async def respond_async(self, context: RequestContext) -> Response:
        """Return the response to the current request, which is that of ``context``."""
        try:
            return await self.full_dispatch_request_async()
        except Exception as error:
            context.error = error
            return await self.handle_exception_async(error)

    async def full_dispatch_request_async(self) -> Response:
        """Handle the request, and the errors for which there are handlers."""
        try:
            if not self._first.is_done:
                await self._first.run(current_request_context())
            if signals.request_started.receivers:
                await _tell(signals.request_started, self)
            rv = await self.preprocess_request_async()
            if rv is None:
                rv = await self.dispatch_request_async()
        except Exception as error:
            rv = await self.handle_user_exception_async(error)
        return await self.finalize_request_async(rv)

    async def preprocess_request_async(self) -> Any:
        """Run the before_request functions; return what one returned, None if none did."""
        call = current_request_context().call
        for function in self._before:
            rv = await call(function)
            if rv is not None:
                return rv
        return None

    async def dispatch_request_async(self) -> Any:
        """Call the view that the URL matched; return what it returns.

        :raises HTTPException: none matched.
        """
        context = current_request_context()
        request: Any = context.request
        if request.routing_exception is not None:
            raise request.routing_exception
        rule = request.url_rule
        if request.method == "OPTIONS" and rule.answers_options:
            return self._answer_options(context.url_adapter)
        return await context.call(self.view_functions[rule.endpoint], **request.view_args)

    def _answer_options(self, adapter: MapAdapter) -> Response:
        response = self.response_class()
        response.allow.update(adapter.allowed_methods())
        return response

    async def handle_user_exception_async(self, error: Exception) -> Any:
        """Return what the handler of ``error`` returns; without one, an HTTPException itself.

        :raises Exception: ``error`` itself, if it is unhandled.
        """
        if isinstance(error, RequestRedirect) or getattr(error, "code", 0) is None:
            return error  # an answer that no handler is for: a redirect, abort(response)
        handler = self.find_error_handler(error)
        if handler is not None:
            return await current_request_context().call(handler, error)
        if isinstance(error, HTTPException):
            return error
        raise error

    async def finalize_request_async(self, rv: Any) -> Response:
        """Make the response of what a view or an error handler returned, and finish it."""
        response = await self.process_response_async(self.make_response(rv))
        if signals.request_finished.receivers:
            await _tell(signals.request_finished, self, response=response)
        return response

    async def process_response_async(self, response: Response) -> Response:
        """Run the after_request functions, those of this request first, and save the session."""
        context = current_request_context()
        if context.after_functions or self._after:
            response = await self._run_after_functions(response)
        sessions = self.session_interface
        if context.session is None or sessions.is_null_session(context.session):
            return response
        if not context.is_async:
            sessions.save_session(self, context.session, response)
        elif context.may_block and sessions.may_save_in_thread:
            await context.call(sessions.save_session, self, context.session, response)
        else:
            asked = await context.call(_save, sessions, context.session)
            asked.merge_into_response(response)
        if insecure_cookie.is_suspect(context.environ):
            insecure_cookie.warn_of(response.headers.getlist("Set-Cookie"), context.environ)
        return response

    async def _run_after_functions(self, response: Response) -> Response:
        context = current_request_context()
        while context.after_functions:
            response = await context.call(context.after_functions.pop(0), response)
        for function in reversed(self._after):
            response = await context.call(function, response)
        return response

    async def handle_exception_async(self, error: Exception) -> Response:
        """Return the response to an exception that nobody handled: a 500, mostly.

        Nothing of the session is saved. A handler of 500 (or InternalServerError) makes the
        page; the exception is its argument's ``original_exception``. An error of the session
        layer has the ``status`` of its class, and the page is that of this status: 503 for a
        store that is down, 409 for a conflict.
        """
        await _tell(signals.got_request_exception, self, exception=error)
        if is_answer(error):
            log_refusal(_log, error)
            page = default_exceptions[error.status](error.answer)
        elif self.testing:
            raise error
        else:
            request: Any = current_request_context().request
            _log.error("Exception on %s %s", request.method, request.path, exc_info=error)
            page = InternalServerError(original_exception=error)
        handler = self.find_error_handler(page)
        rv = page if handler is None else await current_request_context().call(handler, page)
        return await self._finalize_failure(self.make_response(rv), error)

    async def _finalize_failure(self, response: Response, error: Exception) -> Response:
        try:
            response = await self._run_after_functions(response)
        except Exception:
            _log.exception("An after_request function failed for the response to an exception")
        headers_if_unsaved(current_request_context().session).merge_into_response(response)
        if is_answer(error):
            response.headers["Cache-Control"] = "no-store"
            if response.status_code == 503:
                response.headers.setdefault("Retry-After", str(RETRY_AFTER))
        await _tell(signals.request_finished, self, response=response)
        return response

    # The same steps, run at once.

    respond = _at_once(respond_async)
    full_dispatch_request = _at_once(full_dispatch_request_async)
    preprocess_request = _at_once(preprocess_request_async)
    dispatch_request = _at_once(dispatch_request_async)
    handle_user_exception = _at_once(handle_user_exception_async)
    finalize_request = _at_once(finalize_request_async)
    process_response = _at_once(process_response_async)
    handle_exception = _at_once(handle_exception_async)

    def make_response(self, rv: Any) -> Response:
        """Make a response of what a view returned; see :func:`.messages.response_of`."""
        return response_of(rv, self.response_class, current_request_context().environ)


_ENDS = ("do_teardown_request", "do_teardown_appcontext", "did_pop_app_context")
_STEPS = [name for name in vars(App) if name.endswith("_async")]


def _send(signal: Any, app: App, **arguments: Any) -> None:
    if signal.receivers:
        signal.send(app, **arguments)


async def _save(sessions: SessionInterface, session: Session) -> SessionHeaders:
    asked = sessions.save_at_once(session)
    return await sessions.save_async(session) if asked is None else asked


async def _tell(signal: Any, app: App, **arguments: Any) -> None:
    """Send a signal in the thread of the request's synchronous functions."""
    if signal.receivers:
        await current_request_context().call(signal.send, app, **arguments)


def url_for(
    endpoint: str,
    *,
    _external: bool | None = None,
    _anchor: str | None = None,
    _scheme: str | None = None,
    _method: str | None = None,
    **values: Any,
) -> str:
    """Return the URL of a view; values that its rule does not have become the query.

    In a request it is seen from there. In an application context alone, of a script or a
    job, it is that of ``app.config``: ``SERVER_NAME`` is the host, with its port if it is no
    usual one; ``PREFERRED_URL_SCHEME`` is "http" and ``APPLICATION_ROOT`` "/" if not set.

    :param endpoint: the view's name.
    :param _external: with the scheme and the host. By default if there is no request, or a
        ``_scheme``.
    :param _scheme: the scheme of an external URL.
    :param _anchor: what follows ``#``.
    :param _method: chooses among rules that differ in their methods.
    :raises werkzeug.routing.BuildError: no rule of that name fits.
    :raises UnboundError: there is neither; or no request, and no ``SERVER_NAME``.
    :raises ValueError: a ``_scheme``, and ``_external=False``.
    """
    adapter, is_request = _adapter()
    if _external is None:
        _external = _scheme is not None or not is_request
    if _scheme is not None and not _external:
        raise ValueError("url_for: _scheme is for an external URL; leave out _external=False")
    url: str = adapter.build(
        endpoint, values, method=_method, force_external=_external, url_scheme=_scheme
    )
    return url if _anchor is None else f"{url}#{quote(_anchor, safe=_SAFE_IN_ANCHORS)}"


_SAFE_IN_ANCHORS = "%!#$&'()*+,/:;=?@"  # RFC 3986, 3.5


def _adapter() -> tuple[MapAdapter, bool]:
    """Return the adapter that builds the application's URLs, and whether it is a request's."""
    at_work, context = current_app_context(), request_stack.top
    if at_work is None:
        context = current_request_context("url_for")  # which raises
    elif context is None or context.app is not at_work.app:
        adapter = at_work.app.create_url_adapter(None)
        if adapter is None:
            raise UnboundError(_NO_SERVER_NAME, proxy="url_for")
        return adapter, False
    if context.url_adapter is None:
        raise UnboundError(_NO_URLS, proxy="url_for")
    return context.url_adapter, True


_NO_SERVER_NAME = (
    "url_for was called outside of a request, and nothing says for which host. Set "
    "app.config['SERVER_NAME'], and 'PREFERRED_URL_SCHEME' and 'APPLICATION_ROOT' as needed; in a "
    "test or script that plays a request use `with app.test_request_context():`."
)
_NO_URLS = (
    "url_for finds no URLs: the request is served by a middleware, which has none (use your "
    "framework's own), or its host or path cannot be bound."
)
