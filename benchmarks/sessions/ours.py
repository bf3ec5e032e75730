"""ctxlocal's sessions: its middleware around a plain application, and its App."""

from __future__ import annotations

from functools import partial
from typing import Any

from ctxlocal.lab.bench.rival import load

from .place import Place
from .visit import Visit

KEY = "a benchmark's secret of 32 bytes, or more"
WSGI, ASGI, APP = "ctxlocal WSGI", "ctxlocal ASGI", "ctxlocal App"


def wsgi(sessions: Any, visit: Visit) -> Any:
    """Return a plain WSGI application in ctxlocal's middleware; None: without sessions."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = visit(environ["PATH_INFO"], partial(environ.get, "ctxlocal.session"), environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]

    return load("ctxlocal.web.wsgi").ContextMiddleware(app, sessions)


def asgi(sessions: Any, visit: Visit) -> Any:
    """Return a plain ASGI application in ctxlocal's middleware; None: without sessions."""
    is_explicit = getattr(sessions, "load", None) == "explicit"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def find() -> Any:
            session = scope["ctxlocal.session"]
            if is_explicit:
                await session.load()
            return session

        body = await visit.in_task(scope["path"], find, scope)
        head = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body.encode()})

    return load("ctxlocal.web.asgi").ContextMiddleware(app, sessions)


def application(sessions: Any, visit: Visit) -> Any:
    """Return an App; None: without sessions."""
    session = load("ctxlocal.web.context").session
    app = load("ctxlocal.web.app").App(__name__, sessions=sessions)

    @app.get("/<path:what>")  # type: ignore[untyped-decorator]
    def view(what: str) -> str:
        return visit(f"/{what}", lambda: session)

    return app


def plain_visit() -> Visit:
    """Return a view for applications that find the session in the environ or the scope."""
    return Visit(
        lambda request, text: request["ctxlocal.session"].flash(text),
        lambda request: len(request["ctxlocal.session"].get_flashed()),
    )


def app_visit() -> Visit:
    """Return a view for an App."""
    context = load("ctxlocal.web.context")
    return Visit(
        lambda request, text: context.flash(text),
        lambda request: len(context.get_flashed_messages()),
    )


def memory(place: Place) -> Any:
    """Return sessions in this process's memory."""
    return _stored(load("ctxlocal.sessions.stores.memory").MemoryStore())


def sqlite(place: Place, is_blocking: bool = True, **settings: Any) -> Any:
    """Return sessions in a SQLite file."""
    store = load("ctxlocal.sessions.stores.sqlite").SQLiteStore
    return _stored(store(place.new_path(), is_blocking=is_blocking), **settings)


def redis(place: Place) -> Any:
    """Return sessions in Redis, for threads; where trips are counted, over the client that does."""
    if place.trips:
        return redis_by_client(place)
    return _stored(load("ctxlocal.sessions.stores.redis").RedisStore.from_url(place.redis_url))


def redis_by_client(place: Place) -> Any:
    """Return sessions in Redis, for threads, over a client of redis-py."""
    return _stored(load("ctxlocal.sessions.stores.redis").RedisStore(place.redis))


def redis_async(place: Place, **settings: Any) -> Any:
    """Return sessions in Redis, for asyncio; where trips are counted as in :func:`redis`."""
    if place.trips:
        return redis_async_by_client(place, **settings)
    store = load("ctxlocal.sessions.stores.redis").AsyncRedisStore
    return _stored(store.from_url(place.redis_url), **settings)


def redis_async_by_client(place: Place, **settings: Any) -> Any:
    """Return sessions in Redis, for asyncio, over a client of redis-py."""
    store = load("ctxlocal.sessions.stores.redis").AsyncRedisStore
    return _stored(store(place.redis_async), **settings)


def postgresql(place: Place) -> Any:
    """Return sessions in PostgreSQL, for threads."""
    return _stored(load("ctxlocal.sessions.stores.sql").SQLStore.from_url(place.postgresql_url))


def postgresql_async(place: Place) -> Any:
    """Return sessions in PostgreSQL, for asyncio."""
    return _stored(
        load("ctxlocal.sessions.stores.sql").AsyncSQLStore.from_url(place.postgresql_url)
    )


def signed(place: Place) -> Any:
    """Return sessions in a signed cookie."""
    return load("ctxlocal.sessions.in_cookie.sessions").SignedCookieSessions(KEY)


def encrypted(place: Place) -> Any:
    """Return sessions in an encrypted cookie."""
    return load("ctxlocal.sessions.in_cookie.sessions").EncryptedCookieSessions(KEY)


def _stored(store: Any, **settings: Any) -> Any:
    return load("ctxlocal.sessions.in_store.sessions").StoredSessions(store, **settings)
