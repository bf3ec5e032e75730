"""Django with its session engines, and with ctxlocal's.

Connections are kept open between requests, and SQLite writes ahead (WAL, ``synchronous=NORMAL``):
faster than Django's defaults, and what ctxlocal's store does too.

Settings and routes are the process's. The middleware and the engine are read when a handler is
made; the view and the cache are those of the application that was made last.
"""

from __future__ import annotations

from typing import Any

from ctxlocal.lab.bench.rival import load

from .client import HOST
from .ours import KEY
from .place import Place
from .visit import Visit

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
BACKENDS = "django.contrib.sessions.backends"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"

_latest: list[Visit] = []
_response: list[Any] = []  # Django's class, which must not be imported each time


def visit() -> Visit:
    """Return the view."""
    return Visit()


def flashing_visit() -> Visit:
    """Return the view with django.contrib.messages, which need a middleware of their own."""
    messages = load("django.contrib.messages")
    return Visit(messages.info, lambda request: len(messages.get_messages(request)))


def app(place: Place, view: Visit, engine: str | None = None, cache: str = "default") -> Any:
    """Return the application; None: without sessions."""
    settings = load("django.conf").settings
    if not settings.configured:
        _set_up(settings, place)
    settings.MIDDLEWARE = [] if engine is None else [SESSIONS]
    if view.can_flash:
        settings.MIDDLEWARE.append(MESSAGES)
    settings.SESSION_ENGINE = engine
    settings.SESSION_CACHE_ALIAS = cache
    _latest[:] = [view]
    _response[:] = [load("django.http").HttpResponse]
    return load("django.core.handlers.wsgi").WSGIHandler()


def signed(place: Place, view: Visit) -> Any:
    """Return Django with its signed cookie."""
    return app(place, view, f"{BACKENDS}.signed_cookies")


def sqlite(place: Place, view: Visit) -> Any:
    """Return Django with its session table in SQLite."""
    return app(place, view, f"{BACKENDS}.db")


def memory(place: Place, view: Visit) -> Any:
    """Return Django with its cache in memory."""
    return app(place, view, f"{BACKENDS}.cache")


def redis(place: Place, view: Visit) -> Any:
    """Return Django with its cache in Redis."""
    return app(place, view, f"{BACKENDS}.cache", "redis")


def ctxlocal_sqlite(place: Place, view: Visit) -> Any:
    """Return Django with ctxlocal's engine over a SQLite file."""
    return _with_ctxlocal(place, view, place.sqlite_url)


def ctxlocal_redis(place: Place, view: Visit) -> Any:
    """Return Django with ctxlocal's engine over Redis."""
    return _with_ctxlocal(place, view, place.redis_url)


def _with_ctxlocal(place: Place, view: Visit, url: str) -> Any:
    app(place, view)  # sets up what is not yet; the engine asks for its store when it is imported
    load("django.conf").settings.CTXLOCAL = {"STORE": url}
    load("ctxlocal.integrations.django.configuration").forget_sessions()
    return app(place, view, "ctxlocal.integrations.django.sessions")


def _set_up(settings: Any, place: Place) -> None:
    redis_options = {}
    if place.redis_port is not None:
        redis_options = place.redis_options
        del redis_options["url"]
    settings.configure(
        ALLOWED_HOSTS=[HOST],
        SECRET_KEY=KEY,
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.sessions", "django.contrib.messages"],
        MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
        ROOT_URLCONF=(load("django.urls").path("<path:what>", _page),),
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": place.new_path(),
                "CONN_MAX_AGE": None,
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
                },
            }
        },
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            "redis": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": place.redis_url,
                "OPTIONS": redis_options,
            },
        },
    )
    load("django").setup()
    with load("django.db").connection.schema_editor() as editor:
        editor.create_model(load("django.contrib.sessions.models").Session)


def _page(request: Any, what: str) -> Any:
    answer = _latest[0](f"/{what}", lambda: request.session, request)
    return _response[0](answer)
