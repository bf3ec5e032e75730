"""Flask with its own signed cookie, with Flask-Session's stores, and with ctxlocal's."""

from __future__ import annotations

from typing import Any

from ctxlocal.lab.bench.rival import load

from .ours import KEY
from .place import Place
from .visit import Visit


def visit() -> Visit:
    """Return the view."""
    flask = load("flask")
    return Visit(
        lambda request, text: flask.flash(text),
        lambda request: len(flask.get_flashed_messages()),
    )


def app(view: Visit, key: str | None = None) -> Any:
    """Return the application; without a key Flask opens no session."""
    flask = load("flask")
    application = flask.Flask(__name__)
    application.secret_key = key

    @application.get("/<path:what>")  # type: ignore[untyped-decorator]
    def page(what: str) -> str:
        return view(f"/{what}", lambda: flask.session)

    return application


def signed(place: Place, view: Visit) -> Any:
    """Return Flask with the sessions it comes with."""
    return app(view, KEY)


def redis(place: Place, view: Visit) -> Any:
    """Return Flask with Flask-Session's Redis."""
    application = app(view, KEY)
    interface = load("flask_session.redis").RedisSessionInterface
    application.session_interface = interface(application, client=place.redis)
    return application


def memory(place: Place, view: Visit) -> Any:
    """Return Flask with Flask-Session over cachelib's dict."""
    return _with_cachelib(view, load("cachelib").SimpleCache())


def files(place: Place, view: Visit) -> Any:
    """Return Flask with Flask-Session over cachelib's files."""
    return _with_cachelib(view, load("cachelib").FileSystemCache(str(place.new_path())))


def ctxlocal_sqlite(place: Place, view: Visit) -> Any:
    """Return Flask whose session is ctxlocal's, in a SQLite file."""
    return _with_ctxlocal(view, place.sqlite_url)


def ctxlocal_redis(place: Place, view: Visit) -> Any:
    """Return Flask whose session is ctxlocal's, in Redis."""
    return _with_ctxlocal(view, place.redis_url)


def _with_ctxlocal(view: Visit, url: str) -> Any:
    application = app(view, KEY)
    load("ctxlocal.integrations.flask").Sessions(application, store=url)
    return application


def _with_cachelib(view: Visit, cache: Any) -> Any:
    application = app(view, KEY)
    interface = load("flask_session.cachelib").CacheLibSessionInterface
    application.session_interface = interface(application, client=cache)
    return application
