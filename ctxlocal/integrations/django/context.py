"""Django's middleware that gives each request a context, and the proxies that find it.

It stands inside of Django's handlers, so that test clients pass it too. Locals are fresh in each
request. Other context variables are Django's matter: translations, the time zone, caches and what
middleware hands on lie in them, so that they are seen inside, and what is set inside is seen by the
middleware around.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ...errors import UnboundError
from ...flow import Frame
from ...ident import get_default
from ...web.context import (
    Application,
    ContextProxy,
    RequestContext,
    current_request_context,
    has_request_context,
)
from ._supported import refuse_old_django

if TYPE_CHECKING:
    from contextvars import ContextVar

    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest

    from ...sessions import Session

MIDDLEWARE = "ctxlocal.integrations.django.ContextMiddleware"
_log = logging.getLogger(__name__)


class ContextMiddleware(Application):
    """Gives each request of a project a context of its own: ``request`` and ``user`` are found.

    Name it first in ``MIDDLEWARE``: what stands before it has no context. It serves WSGI and ASGI,
    and changes to no thread. A context ends with the request, that of a streaming response when it
    is closed; what was registered with :func:`ctxlocal.web.on_teardown` runs then, with what a view
    raised, and what it raises itself is logged.

    :param get_response: what Django gives it: the next middleware, or the view.
    :raises ImproperlyConfigured: it is listed twice, or Django is too old.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        refuse_old_django()
        if settings.MIDDLEWARE.count(MIDDLEWARE) > 1:
            raise ImproperlyConfigured(f"{LISTED_TWICE} {ONCE}")
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            if (strategy := get_default().name) != "context":
                _log.warning("%s %s", out_of_reach(strategy), REMEDY)

    def __call__(self, request: Any) -> Any:
        """Serve a request: return the response, or a coroutine of it, as ``get_response`` does."""
        serving = _Serving(self, request)
        return serving.respond_async() if self._is_async else serving.respond()

    def open_session(self, context: RequestContext) -> Session | None:
        """Return that of a ContextMiddleware around the whole project, if there is one."""
        environ = getattr(context.request, "scope", context.environ)
        session: Session | None = environ.get("ctxlocal.session")
        return session

    def process_exception(self, request: Any, exception: Exception) -> None:
        """Let teardowns know what a view raised; the response to it is Django's."""
        if not has_request_context():  # Django asks in a thread, which not every strategy follows
            return
        context = current_request_context()
        if context.request is request:
            context.error = exception


class _Serving:
    """A request that is served: its steps run in a frame, to whose end the context lives."""

    def __init__(self, middleware: ContextMiddleware, request: Any) -> None:
        self._get_response = middleware.get_response
        self._context = RequestContext(middleware, request.META, request)
        self._frame = Frame()
        self._frame.callback(_end, self._context)

    def respond(self) -> Any:
        before = self._frame.variables()
        try:
            response = self._frame.run(self._begin)
            self._hand_on(before)
            return self._hold_open(response)
        except BaseException as error:
            self._fail(error)
            raise

    async def respond_async(self) -> Any:
        before = self._frame.variables()
        self._context.async_teardowns = []
        try:
            response = await self._frame.drive(self._begin_async())
            self._hand_on(before)
            if not getattr(response, "streaming", False):
                await self._await_teardowns(self._context.error)
            return self._hold_open(response)
        except BaseException as error:
            await self._await_teardowns(error)
            self._fail(error)
            raise

    def _begin(self) -> Any:
        self._context.push()
        return self._get_response(self._context.request)

    async def _begin_async(self) -> Any:
        self._context.push()
        return await self._get_response(self._context.request)

    async def _await_teardowns(self, error: BaseException | None) -> None:
        if self._context.async_teardowns and not self._frame.is_closed:
            await self._frame.drive(self._context.await_teardowns(error))

    def _hand_on(self, before: dict[ContextVar[Any], Any]) -> None:
        """Set here the context variables that were set in the frame."""
        for var, value in self._frame.variables().items():
            if before.get(var, self) is not value:
                var.set(value)

    def _hold_open(self, response: Any) -> Any:
        """End the context, or let that be done by the response whose body is still to be made."""
        if not response.streaming:
            self._frame.close()
            return response
        if getattr(response, "file_to_stream", None) is None:  # else the server may send the file
            steps: Any = self._steps_async if response.is_async else self._steps
            response.streaming_content = steps(response.streaming_content)
        response.close = partial(self._close, response.close)
        return response

    def _steps(self, body: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            try:
                part = self._frame.run(next, body)
            except StopIteration:
                return
            except BaseException as error:
                self._context.error = error
                raise
            yield part

    async def _steps_async(self, body: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                try:
                    part = await self._frame.drive(body.__anext__())
                except StopAsyncIteration:
                    return
                except BaseException as error:
                    self._context.error = error
                    raise
                yield part
        finally:
            await self._await_teardowns(self._context.error)

    def _close(self, close: Callable[[], None]) -> None:
        if self._frame.is_closed:  # again, which Django does not mind
            return close()
        if self._context.async_teardowns and asyncio._get_running_loop() is None:
            # Its body was not sent to the end. Django closes it in a thread whose loop can be had.
            async_to_sync(self._await_teardowns)(self._context.error)
        before = self._frame.variables()
        try:
            self._frame.run(close)
            self._hand_on(before)
        finally:
            self._frame.close()

    def _fail(self, error: BaseException) -> None:
        self._context.error = error
        self._frame.close()


def _end(context: RequestContext) -> None:
    try:
        context.pop()
    except Exception:
        _log.exception("A teardown of %r failed", context)


# What its checks say too.
LISTED_TWICE = f"{MIDDLEWARE} is listed twice in MIDDLEWARE."
ONCE = "Name it once, as the first: in an inner one what was set in the outer one is not seen."
REMEDY = "Take the strategy 'context', which is the default: CTXLOCAL_IDENT=context."


def out_of_reach(strategy: str) -> str:
    """Say what does not work under a strategy, where Django is served as an ASGI application."""
    return (
        f"Under ASGI Django calls synchronous views in other threads, where {strategy!r}, the "
        "identity strategy, knows nothing of the request: 'request', 'user' and Locals are unbound "
        "there."
    )


# The proxies


def _find_request(wanted: str = "request") -> Any:
    found = current_request_context(wanted).request if has_request_context() else None
    if found is None:  # or that of a ContextMiddleware around the project, which makes none
        raise UnboundError(
            f"There is no request here, which {wanted!r} needs: {MIDDLEWARE} gives one to the "
            "views, and to the middleware that comes after it in MIDDLEWARE. In a thread that a "
            "view starts, wrap the function in ctxlocal.web.copy_current_request_context(); in a "
            "test call ContextMiddleware(view)(RequestFactory().get('/')).",
            proxy=wanted,
        )
    return found


def _find_user() -> Any:
    found = _find_request("user")
    try:
        return found.user
    except AttributeError:
        raise UnboundError(
            "The request has no user yet: django.contrib.auth.middleware.AuthenticationMiddleware "
            "gives it one, in views and in the middleware that comes after it.",
            proxy="user",
        ) from None


request: HttpRequest = ContextProxy(_find_request)
user: AbstractBaseUser | AnonymousUser = ContextProxy(_find_user)
