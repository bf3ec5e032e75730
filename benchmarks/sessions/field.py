"""The field: every kind of session that is measured, ours and the others', by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import django_apps, flask_apps, ours, starlette_apps
from .bare import visit_redis, visit_redis_async
from .place import Place
from .visit import Visit

Make = Callable[[Place, Visit], Any]
REDIS, POSTGRESQL = "redis-server", "postgresql"  # servers, beside the modules in ``needs``


@dataclass(frozen=True)
class Framework:
    """What sessions are added to.

    :param make: makes its least application, without sessions.
    :param visit: makes the view for it.
    :param flashing: makes the view for its messages to the next page, if it has them.
    """

    name: str
    make: Make
    visit: Callable[[], Visit]
    needs: tuple[str, ...]
    flashing: Callable[[], Visit] | None = None
    is_async: bool = False


@dataclass(frozen=True)
class Row:
    """One kind of session.

    :param group: rows of a group are measured together, in one process.
    :param make: makes the framework's application with it.
    :param needs: modules, and servers, without which it is left out, named as left out.
    :param is_ours: it is ctxlocal's.
    :param is_bare: no session at all, but the round trips to Redis that one needs.
    :param is_timed: its cost is measured, and not only what it loses.
    """

    group: str
    name: str
    framework: Framework
    make: Make
    needs: tuple[str, ...] = ()
    is_ours: bool = False
    is_bare: bool = False
    is_timed: bool = True

    @property
    def all_needs(self) -> tuple[str, ...]:
        """What it needs with what its framework does."""
        return (*self.framework.needs, *self.needs)


def _with(build: Callable[[Any, Visit], Any], sessions: Callable[[Place], Any]) -> Make:
    return lambda place, visit: build(sessions(place), visit)


def _without(build: Callable[[Any, Visit], Any]) -> Make:
    return lambda place, visit: build(None, visit)


_WSGI = Framework(
    ours.WSGI, _without(ours.wsgi), ours.plain_visit, ("ctxlocal.web.wsgi",), ours.plain_visit
)
_ASGI = Framework(
    ours.ASGI,
    _without(ours.asgi),
    ours.plain_visit,
    ("ctxlocal.web.asgi",),
    ours.plain_visit,
    is_async=True,
)
_APP = Framework(
    ours.APP, _without(ours.application), ours.app_visit, ("ctxlocal.web.app",), ours.app_visit
)
_FLASK = Framework(
    "Flask",
    lambda place, visit: flask_apps.app(visit),
    flask_apps.visit,
    ("flask",),
    flask_apps.visit,
)
_DJANGO = Framework(
    "Django", django_apps.app, django_apps.visit, ("django",), django_apps.flashing_visit
)
_STARLETTE = Framework(
    "Starlette",
    lambda place, visit: starlette_apps.app(visit),
    Visit,
    ("starlette",),
    is_async=True,
)
_FASTAPI = Framework(
    "FastAPI",
    _without(lambda sessions, visit: starlette_apps.fastapi(visit, sessions)),
    starlette_apps.fastapi_visit,
    ("fastapi",),
    starlette_apps.fastapi_visit,
    is_async=True,
)


def _integrated(
    store: str, flask: Make, django: Make, sessions: Callable[[Place], Any], *needs: str
) -> tuple[Row, ...]:
    """Return the rows of a kind of session in the frameworks that people have.

    A group of their own, and so a process, because Django has one store in each.
    """
    ways = (
        (_FLASK, flask),
        (_DJANGO, django),
        (_FASTAPI, lambda place, visit: starlette_apps.fastapi(visit, sessions(place))),
    )
    return tuple(
        Row(
            f"integrated-{store.lower()}",
            f"ctxlocal in {framework.name}, {store}",
            framework,
            make,
            needs,
            is_ours=True,
        )
        for framework, make in ways
    )


def _ours(
    group: str,
    kind: str,
    blocking: Callable[[Place], Any],
    awaited: Callable[[Place], Any],
    *needs: str,
    is_timed: bool = True,
) -> tuple[Row, ...]:
    """Return our three rows of a kind of session."""
    ways = ((_WSGI, ours.wsgi, blocking), (_APP, ours.application, blocking))
    return tuple(
        Row(
            group,
            f"{framework.name}, {kind}",
            framework,
            _with(build, sessions),
            needs,
            is_ours=True,
            is_timed=is_timed,
        )
        for framework, build, sessions in (*ways, (_ASGI, ours.asgi, awaited))
    )


def _bare(framework: Framework, build: Callable[[Any, Visit], Any], is_async: bool) -> Row:
    """Return the row of an application whose view asks Redis itself, at a session's pace.

    Its round trips are the least there can be; in a tight loop they would be faster, because
    the server and its processor would not fall asleep in between.
    """
    view = visit_redis_async if is_async else visit_redis
    name = f"redis-py alone, in {framework.name}"
    make: Make = lambda place, visit: build(None, view(place))  # noqa: E731
    return Row("redis", name, framework, make, ("redis", REDIS), is_bare=True)


def _by_client(framework: Framework, build: Callable[[Any, Visit], Any], sessions: Any) -> Row:
    """Return our row whose store asks Redis by the client it was given, and not directly."""
    name = f"{framework.name}, Redis by redis-py"
    return Row("redis", name, framework, _with(build, sessions), ("redis", REDIS), is_ours=True)


def _variant(
    group: str, kind: str, sessions: Callable[..., Any], *needs: str, **setting: Any
) -> Row:
    """Return our row under ASGI with one setting changed."""
    ((key, value),) = setting.items()
    make = _with(ours.asgi, partial(sessions, **setting))
    return Row(group, f"{ours.ASGI}, {kind}, {key}={value!r}", _ASGI, make, needs, is_ours=True)


ROWS: tuple[Row, ...] = (
    *_ours("cookie", "encrypted cookie", ours.encrypted, ours.encrypted, "cryptography"),
    *_ours("cookie", "signed cookie", ours.signed, ours.signed),
    Row("cookie", "Flask, signed cookie", _FLASK, flask_apps.signed),
    Row("cookie", "Django, signed cookie", _DJANGO, django_apps.signed),
    Row("cookie", "Starlette, signed cookie", _STARLETTE, starlette_apps.signed, ("itsdangerous",)),
    *_ours("memory", "memory", ours.memory, ours.memory),
    Row(
        "memory",
        "Flask-Session, cachelib in memory",
        _FLASK,
        flask_apps.memory,
        ("flask_session", "cachelib"),
    ),
    Row("memory", "Django, cache in memory", _DJANGO, django_apps.memory),
    Row("memory", "starsessions, memory", _STARLETTE, starlette_apps.memory, ("starsessions",)),
    *_ours("file", "SQLite", ours.sqlite, ours.sqlite),
    _variant("file", "SQLite", ours.sqlite, load="explicit"),
    _variant("file", "SQLite", ours.sqlite, is_blocking=False),
    Row(
        "file",
        "Flask-Session, cachelib in files",
        _FLASK,
        flask_apps.files,
        ("flask_session", "cachelib"),
    ),
    Row("file", "Django, database in SQLite", _DJANGO, django_apps.sqlite),
    *_ours("redis", "Redis", ours.redis, ours.redis_async, "redis", REDIS),
    _variant("redis", "Redis", ours.redis_async, "redis", REDIS, load="explicit"),
    _by_client(_WSGI, ours.wsgi, ours.redis_by_client),
    _by_client(_ASGI, ours.asgi, ours.redis_async_by_client),
    Row(
        "redis", "Flask-Session, Redis", _FLASK, flask_apps.redis, ("flask_session", "redis", REDIS)
    ),
    Row("redis", "Django, cache in Redis", _DJANGO, django_apps.redis, ("redis", REDIS)),
    Row(
        "redis",
        "starsessions, Redis",
        _STARLETTE,
        starlette_apps.redis,
        ("starsessions", "redis", REDIS),
    ),
    _bare(_WSGI, ours.wsgi, is_async=False),
    _bare(_ASGI, ours.asgi, is_async=True),
    *_ours(
        "sql",
        "PostgreSQL",
        ours.postgresql,
        ours.postgresql_async,
        "sqlalchemy",
        "psycopg",
        POSTGRESQL,
        is_timed=False,
    ),
    *_integrated("SQLite", flask_apps.ctxlocal_sqlite, django_apps.ctxlocal_sqlite, ours.sqlite),
    *_integrated(
        "Redis",
        flask_apps.ctxlocal_redis,
        django_apps.ctxlocal_redis,
        ours.redis_async,
        "redis",
        REDIS,
    ),
)
