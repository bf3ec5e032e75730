"""The current request and application, under names that can be imported anywhere.

``request``, ``session``, ``g`` and ``current_app`` are proxies for what the running owner
has on top of its stacks; see :class:`RequestContext` and :class:`AppContext`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from .. import flow
from .._run_all import run_all
from ..errors import UnboundError
from ..local import LocalProxy, LocalStack, proxy, unwrap
from ..local.unbound import explanation
from .call import call_now, is_async
from .contexts import (
    AppContext,
    Application,
    Globals,
    RequestContext,
    app_stack,
    current_app_context,
    request_stack,
)

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

    from ..sessions.session import Session
    from .app import App

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "AppContext",
    "Application",
    "Globals",
    "RequestContext",
    "after_this_request",
    "call_now",
    "copy_current_request_context",
    "current_app",
    "current_request_context",
    "flash",
    "g",
    "get_flashed_messages",
    "has_app_context",
    "has_request_context",
    "is_async",
    "on_teardown",
    "request",
    "run_all",
    "session",
    "stream_with_context",
]


# What the proxies find


def current_request_context(wanted: str = "This") -> RequestContext:
    """Return the running owner's request context.

    :param wanted: the name of the caller, for the error.
    :raises UnboundError: there is none.
    """
    context = request_stack.top
    if context is None:
        raise _outside("request", wanted, request_stack)
    return context


def _outside(kind: str, wanted: str, stack: LocalStack[Any]) -> UnboundError:
    strategy = stack._slot.strategy()
    owner = strategy.describe()
    return UnboundError(
        f"Working outside of {kind} context: {wanted} needs one, and there is none in {owner} "
        f"(identity strategy {strategy.name!r}). {_OF_TASKS.get(strategy.name, '')}{_remedy(kind)}"
        f"{explanation(stack._slot, None)}",
        proxy=wanted,
        ident=strategy.name,
        owner=owner,
    )


def _remedy(kind: str) -> str:
    for framework, remedy in _REMEDY_INSIDE.items():
        has_context = getattr(sys.modules.get(framework), "has_app_context", None)
        if has_context is not None and has_context():  # a request has one too
            return remedy
    return _REMEDY[kind]


def _remedy_inside(framework: str, entry: str, or_else: str = "") -> str:
    return (
        f"A context of {framework} is active here, but that is another one: {framework}'s own "
        f"test_request_context(), app_context() and shell do not pass app.{entry}, where the "
        f"ContextMiddleware stands. In a test send requests by app.test_client(){or_else}. To "
        f"serve requests, wrap app.{entry} with ContextMiddleware. In a thread use "
        f"copy_current_request_context() of ctxlocal.web.context, not {framework}'s."
    )


_REMEDY_INSIDE = {
    "flask": _remedy_inside(
        "Flask",
        "wsgi_app",
        ", or enter RequestContext(app.wsgi_app, request.environ) of ctxlocal.web.context as well",
    ),
    "quart": _remedy_inside("Quart", "asgi_app"),
}
_OF_TASKS = {
    "task": "Each task has values of its own, and frameworks run parts of a request in others, as "
    "what stands behind Starlette's BaseHTTPMiddleware: the strategy 'context' serves these. "
}
_REMEDY = {
    "request": "In a thread, greenlet or job that a request starts, wrap the function in "
    "copy_current_request_context(); in a test or script use `with app.test_request_context():`; "
    "around an application that is no App put the ContextMiddleware of ctxlocal.web.wsgi or "
    "ctxlocal.web.asgi.",
    "application": "Use `with app.app_context():`, or carry it there with ctxlocal.flow.bind().",
}


def _lookup_req_object(name: str) -> Any:
    context = request_stack.top
    found = getattr(current_request_context(name) if context is None else context, name)
    if found is None:
        raise UnboundError(_MISSING[name], proxy=name)
    return found


_MISSING = {
    "request": "This request context has no request object: the middleware makes none. Use an "
    "App, or make one of what current_request_context().environ holds.",
    "response": "This request context has no response object: the middleware makes none. Use an "
    "App.",
    "session": "This request context has no session: none is configured. Give the middleware "
    "a SessionInterface: ContextMiddleware(app, sessions=...).",
}


def _lookup_app_object(name: str, shown: str) -> Any:
    context = current_app_context()
    if context is None:
        raise _outside("application", shown, app_stack)
    return getattr(context, name)


class ContextProxy(LocalProxy[Any]):
    """A proxy without ``__await__``: ``mock.patch`` takes one that has it for asynchronous."""

    __slots__ = ()
    __await__ = None


request: Request = ContextProxy(partial(_lookup_req_object, "request"))
# Shaped as a dict, so that it can be matched and merged; no session module is loaded for it.
session: Session = proxy(  # type: ignore[assignment]
    partial(_lookup_req_object, "session"), like=dict
)
g: Globals = ContextProxy(partial(_lookup_app_object, "g", "g"))
# An App, as Flask types it; around another application it is the middleware, which has less.
current_app: App = ContextProxy(partial(_lookup_app_object, "app", "current_app"))


def has_request_context() -> bool:
    """Whether the running owner serves a request."""
    return request_stack.top is not None


def has_app_context() -> bool:
    """Whether an application is at work in the running owner."""
    return current_app_context() is not None


# What a view calls


def on_teardown(function: F) -> F:
    """Call ``function(error)`` when the current request ends; ``error`` is None or what ended it.

    With and without an App. Usable as a decorator; the last one registered is called first.

    :raises UnboundError: there is no request.
    """
    current_request_context("on_teardown").on_teardown(function)
    return function


def after_this_request(function: F) -> F:
    """Call ``function(response)`` before the current request's response goes out.

    It returns the response, the same or another. Usable as a decorator.

    :raises UnboundError: there is no request, or one without an App, which has no
        response object.
    """
    context = current_request_context("after_this_request")
    if not context.app.has_responses:
        raise UnboundError(_MISSING["response"], proxy="after_this_request")
    context.after_functions.append(function)
    return function


def flash(message: str, category: str = "message") -> None:
    """Keep a message for the next page; concurrent requests lose none of each other's.

    :raises UnboundError: there is no request, or it has no session.
    """
    session.flash(message, category)


@overload
def get_flashed_messages(
    with_categories: Literal[False] = False, category_filter: Iterable[str] = ()
) -> list[str]: ...
@overload
def get_flashed_messages(
    with_categories: Literal[True], category_filter: Iterable[str] = ()
) -> list[tuple[str, str]]: ...
def get_flashed_messages(
    with_categories: bool = False, category_filter: Iterable[str] = ()
) -> list[str] | list[tuple[str, str]]:
    """Return the messages flashed so far, and forget them; again in this request: the same ones.

    :param with_categories: return ``(category, message)``, else messages.
    :param category_filter: the categories wanted; empty means all. The others are
        forgotten too.
    :raises UnboundError: there is no request, or it has no session.
    """
    context = current_request_context("get_flashed_messages")
    if context.flashes is None:
        unwrap(session)  # which says what is missing, if there is none
        context.flashes = context.take_flashes()
    wanted = set(category_filter)
    found = [pair for pair in context.flashes if not wanted or pair[0] in wanted]
    return found if with_categories else [message for _, message in found]


def copy_current_request_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` so that it runs in a copy of the current request context.

    One wrapper serves any number of threads, greenlets and tasks at once, also when the
    request is over. Each call has the request and its session, a ``g`` of its own, and
    runs the teardowns when it ends; everything else that travels (see :mod:`ctxlocal.flow`) is as
    it was when the wrapper was made. Of an ``async def`` each step runs so; a generator's
    body runs wherever it is iterated.

    The session is the request's own: what is written after the response started raises
    SessionClosedError.

    :raises UnboundError: there is no request.
    """
    context = current_request_context("copy_current_request_context")
    captured = flow.snapshot()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with context.copy():
            return function(*args, **kwargs)

    async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        copied = context.copy()
        copied.async_teardowns = []
        with copied:
            try:
                return await function(*args, **kwargs)  # type: ignore[misc]
            finally:
                await copied.await_teardowns(sys.exc_info()[1])

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return captured.run(call, *args, **kwargs)

    @wraps(function)
    async def drive(*args: P.args, **kwargs: P.kwargs) -> Any:
        return await captured.frame().drive(call_async(*args, **kwargs))

    return drive if is_async(function) else run  # type: ignore[return-value]


def stream_with_context(generator_or_function: T) -> T:
    """Return the argument: every body streams inside its request's context anyway.

    Kept for programs that call it, as a function or as a decorator.
    """
    return generator_or_function
