"""What the frameworks of this process do: where they run code, and which sessions they keep.

Nothing is imported for it; only what the application has loaded is looked at.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# What runs synchronous code of a request in threads, outside of any task.
_IN_THREADS = {
    "fastapi": "FastAPI (def endpoints and dependencies)",
    "starlette": "Starlette (def endpoints and background tasks)",
    "django": "Django (synchronous views and middleware)",
    "litestar": "Litestar (sync_to_thread handlers)",
    "quart": "Quart (synchronous views)",
    "asgiref": "asgiref (sync_to_async)",
}
# asgiref itself comes with Django, and with this package's benchmarks.
_NAMED_ALONE = "asgiref"


@dataclass(frozen=True)
class Doubled:
    """Sessions that are kept beside ctxlocal's. ``is_lost``: what is stored there is."""

    text: str
    is_lost: bool = False


@dataclass(frozen=True)
class ScopedSession:
    """A scoped_session of SQLAlchemy, and how it finds its owner.

    ``scope``: "threads", "greenlets", "ctxlocal", "callable"; "integrated": it is ours.
    """

    scope: str


def in_threads(ignore: frozenset[str]) -> tuple[str, ...]:
    """Name the loaded frameworks that run parts of a request in threads."""
    found = [name for name in _IN_THREADS if name in sys.modules and name not in ignore]
    if len(found) > 1 and _NAMED_ALONE in found:
        found.remove(_NAMED_ALONE)
    return tuple(_IN_THREADS[name] for name in found)


def doubled_sessions() -> tuple[Doubled, ...]:
    """Tell which sessions there are beside ctxlocal's, if ctxlocal's are used at all."""
    interface = _attribute("ctxlocal.sessions.interface", "SessionInterface")
    if interface is None or not any(True for _ in _instances(interface)):
        return ()
    return (*_starlette_inside(), *_flask_beside(), *_django_beside())


def scoped_sessions() -> tuple[ScopedSession, ...]:
    """Tell how each of SQLAlchemy's scoped_sessions finds its owner."""
    found = []
    for name in ("scoped_session", "async_scoped_session"):
        module = "sqlalchemy.ext.asyncio" if name.startswith("async") else "sqlalchemy.orm"
        for session in _instances(_attribute(module, name)):
            function = getattr(session.registry, "scopefunc", None)
            found.append(ScopedSession(_scope(session.registry, function)))
    return tuple(found)


def _scope(registry: Any, function: Any) -> str:
    if function is None:  # over threading.local: gevent's and eventlet's, if they have patched it
        patched = type(registry.registry).__module__ != "_thread"
        return "greenlets" if patched else "threads"
    module = getattr(function, "__module__", None) or ""
    if module == "ctxlocal.integrations.sqlalchemy":
        return "integrated"
    return "ctxlocal" if module.partition(".")[0] == "ctxlocal" else "callable"


def _starlette_inside() -> Iterator[Doubled]:
    """Find SessionMiddleware that stands anywhere inside ours, if ours has sessions."""
    theirs = _attribute("starlette.middleware.sessions", "SessionMiddleware")
    if theirs is not None and any(issubclass(kind, theirs) for kind in _inside_ours()):
        yield Doubled(
            "Starlette's SessionMiddleware stands inside ContextMiddleware: request.session is "
            "the one in its cookie, and what is stored there is not in ctxlocal's. Remove it.",
            is_lost=True,
        )


def _inside_ours() -> Iterator[type]:
    """Yield the classes of what a ContextMiddleware with sessions has inside."""
    ours = _attribute("ctxlocal.web.asgi", "ContextMiddleware")
    for wrapper in _instances(ours):
        if wrapper.sessions is not None:
            yield from _inside(wrapper.app)
    for application in _instances(_attribute("starlette.applications", "Starlette")):
        added = application.user_middleware  # the outermost first; none is made yet
        for at, middleware in enumerate(added):
            given = (*middleware.args, middleware.kwargs.get("sessions"))
            if ours in getattr(middleware.cls, "__mro__", ()) and given != (None,):
                yield from _classes(added[at + 1 :])
                yield from _inside(application.router)


def _inside(application: Any) -> Iterator[type]:
    """Yield the classes of an ASGI application and of all that it calls: others, and routes."""
    todo, seen = [application], set()
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield type(thing)
        held = getattr(thing, "__dict__", {})  # what a __getattr__ makes up may have no end
        yield from _classes(held.get("user_middleware"))
        todo += [held[name] for name in ("app", "router") if name in held]
        todo += held["routes"] if isinstance(held.get("routes"), list) else []


def _classes(added: Any) -> Iterator[type]:
    for middleware in added or ():
        if isinstance(getattr(middleware, "cls", None), type):  # it may be any callable
            yield middleware.cls


def _flask_beside() -> Iterator[Doubled]:
    applications = list(_instances(_attribute("flask.app", "Flask")))
    theirs = [app for app in applications if not _is_integrated(app.session_interface)]
    if len(theirs) < len(applications):
        yield from _middleware_around_flask()
    if not theirs:
        return
    yield Doubled(
        "flask.session is another session than ctxlocal's, in Flask's own cookie: templates, "
        "flash() and extensions use that one. ctxlocal.integrations.flask.Sessions(app) makes it "
        "ctxlocal's; else import ctxlocal.web.session where ctxlocal's is meant."
    )
    if "flask_login" in sys.modules:
        yield Doubled(
            "Flask-Login keeps the login in flask.session: list_sessions() and revoke_all() know "
            "nothing of it. ctxlocal.integrations.flask.Sessions(app) tells them; else set "
            "session.user at login_user(), and call session.destroy() at logout_user()."
        )


def _is_integrated(interface: Any) -> bool:
    return type(interface).__module__ == "ctxlocal.integrations.flask"


def _middleware_around_flask() -> Iterator[Doubled]:
    ours = _attribute("ctxlocal.web.wsgi", "ContextMiddleware")
    if any(wrapper.sessions is not None for wrapper in _instances(ours)):
        yield Doubled(
            "flask.session is ctxlocal's, by ctxlocal.integrations.flask, and a ContextMiddleware "
            "has sessions too: ctxlocal.web.session is another one, with another cookie. Give "
            "the middleware no sessions."
        )


def _django_beside() -> Iterator[Doubled]:
    settings = _attribute("django.conf", "settings")
    if settings is None or not settings.configured:
        return
    if settings.SESSION_ENGINE.startswith("ctxlocal."):
        return
    if any("SessionMiddleware" in name for name in settings.MIDDLEWARE):
        yield Doubled(
            "Django's SessionMiddleware keeps sessions of its own: request.session is Django's, "
            "and login() and logout() change that one alone. SESSION_ENGINE = "
            "'ctxlocal.integrations.django.sessions' makes it ctxlocal's; else call "
            "session.destroy() of ctxlocal's at logout too."
        )


def _attribute(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _instances(kind: Any) -> Iterator[Any]:
    """Yield the living objects of a class; by their type, as a proxy's class is its target's."""
    if kind is not None:
        yield from [thing for thing in gc.get_objects() if issubclass(type(thing), kind)]
