"""Starlette with its own cookie, with starsessions' stores; FastAPI with ctxlocal's."""

from __future__ import annotations

from typing import Any

from ctxlocal.lab.bench.rival import load

from .ours import KEY
from .place import Place
from .visit import Visit


def app(view: Visit, middleware: Any = None, *, loads: bool = False) -> Any:
    """Return the application; without ``middleware`` it has no sessions.

    :param loads: the session has to be loaded by the view that needs it.
    """
    plain_response = load("starlette.responses").PlainTextResponse
    load_session = load("starsessions").load_session if loads else None

    async def page(request: Any) -> Any:
        async def find() -> Any:
            if load_session is not None:
                await load_session(request)
            return request.session

        return plain_response(await view.in_task(request.url.path, find, request))

    route = load("starlette.routing").Route("/{what:path}", page)
    return load("starlette.applications").Starlette(
        routes=[route], middleware=[] if middleware is None else [middleware]
    )


def signed(place: Place, view: Visit) -> Any:
    """Return Starlette with the signed cookie it comes with."""
    sessions = load("starlette.middleware.sessions").SessionMiddleware
    return app(view, load("starlette.middleware").Middleware(sessions, secret_key=KEY))


def memory(place: Place, view: Visit) -> Any:
    """Return Starlette with starsessions in memory."""
    return _with_starsessions(view, load("starsessions").InMemoryStore())


def redis(place: Place, view: Visit) -> Any:
    """Return Starlette with starsessions in Redis."""
    store = load("starsessions.stores.redis").RedisStore(connection=place.redis_async)
    return _with_starsessions(view, store)


def fastapi(view: Visit, sessions: Any = None) -> Any:
    """Return FastAPI with ctxlocal's sessions; None: without."""
    application = load("fastapi").FastAPI(openapi_url=None)
    plain_response = load("starlette.responses").PlainTextResponse
    if sessions is not None:
        middleware = load("ctxlocal.integrations.starlette").ContextMiddleware
        application.add_middleware(middleware, sessions=sessions)

    async def page(request: Any) -> Any:
        async def find() -> Any:
            return request.session

        return plain_response(await view.in_task(request.url.path, find, request))

    application.add_route("/{what:path}", page)
    return application


def fastapi_visit() -> Visit:
    """Return the view for FastAPI with ctxlocal's sessions."""
    return Visit(
        lambda request, text: request.session.flash(text),
        lambda request: len(request.session.get_flashed()),
    )


def _with_starsessions(view: Visit, store: Any) -> Any:
    sessions = load("starsessions").SessionMiddleware
    middleware = load("starlette.middleware").Middleware(sessions, store=store)
    return app(view, middleware, loads=True)
