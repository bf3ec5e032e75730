"""Stores by URL, for settings files and the command line. No message shows the URL itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from ..errors import SessionConfigError
from .memory import MemoryStore
from .protocol import AsyncStore, Store
from .query import SQLITE, refusal, take
from .threaded import ThreadedStore

_REDIS = ("redis", "rediss", "unix")
_EXAMPLES = (
    "Use memory:, sqlite:///relative.db, sqlite:////absolute.db, redis://host, "
    "postgresql+psycopg://host/name, or another URL of SQLAlchemy"
)


def open_store(url: str) -> Store:
    """Return the store that a URL names; it connects when it is first used.

    :param url: ``memory:``; ``sqlite:///relative.db`` or ``sqlite:////absolute.db``;
        ``redis://``, ``rediss://``, ``redis+unix://``, ``redis+cluster://host,host`` or
        ``redis+sentinel://host,host/service``, as :meth:`RedisStore.from_url
        <ctxlocal.sessions.stores.redis.RedisStore.from_url>` takes them;
        ``postgres://`` and ``postgresql://``, which mean psycopg where that is installed; any
        other as SQLAlchemy takes it, as ``postgresql+pg8000://`` or ``mysql+pymysql://``.
        After the ``?`` may come the options of the store that :mod:`.query` names, as
        ``timeout=2&prefix=shop:``, and those of its driver.
    :raises SessionConfigError: no such kind of store, nothing after the scheme, a key that is
        nobody's, or the database's driver is not installed.
    :raises MissingDependencyError: the store's package is not installed.
    :raises StoreUnavailableError: a cluster cannot be reached.
    """
    scheme = _scheme(url)
    if scheme == "memory":
        return MemoryStore()
    if scheme == "sqlite":
        from .sqlite import SQLiteStore

        path, options = _file(url)
        return SQLiteStore(path, **options)
    if scheme.partition("+")[0] in _REDIS:
        from .redis import RedisStore

        return RedisStore.from_url(url)
    from .sql import SQLStore

    _refuse_unknown(scheme, url)
    return SQLStore.from_url(url)


def open_async_store(url: str) -> AsyncStore:
    """Return the asynchronous store that a URL names; see :func:`open_store`.

    SQLite is run in threads; a database of SQLAlchemy needs an asynchronous driver, as
    ``postgresql+psycopg``.
    """
    scheme = _scheme(url)
    if scheme in ("memory", "sqlite"):
        return ThreadedStore(open_store(url))
    if scheme.partition("+")[0] in _REDIS:
        from .redis import AsyncRedisStore

        return AsyncRedisStore.from_url(url)
    from .sql import AsyncSQLStore

    _refuse_unknown(scheme, url)
    return AsyncSQLStore.from_url(url)


def _scheme(url: str) -> str:
    scheme, colon, rest = url.partition(":")
    if not colon or (scheme != "memory" and not rest.startswith("//")):
        raise SessionConfigError("url", f"it names no kind of store. {_EXAMPLES}")
    if scheme == "memory" and rest:
        raise SessionConfigError("url", "memory: takes nothing after the colon")
    return scheme


def _file(url: str) -> tuple[str, dict[str, Any]]:
    path, _, query = url.removeprefix("sqlite:///").partition("?")
    if not url.startswith("sqlite:///") or not path:
        raise SessionConfigError(
            "url", "a path has to follow: sqlite:///relative.db, sqlite:////absolute.db"
        )
    options, unknown = take(SQLITE, dict(parse_qsl(query, keep_blank_values=True)))
    for name in unknown:
        raise refusal(SQLITE, name)
    return path, options


def _refuse_unknown(scheme: str, url: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if scheme == "postgres":  # which SQLAlchemy does not know
        url = f"postgresql{url.removeprefix(scheme)}"
    # The errors' own text may hold the URL, with the password.
    try:
        make_url(f"{url.partition(':')[0]}://").get_dialect()
    except (ArgumentError, ValueError):
        problem = f"there is no kind of store {scheme!r}. {_EXAMPLES}"
        raise SessionConfigError("url", problem) from None
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        problem = f"what follows {scheme}:// is malformed; it is user:password@host:port/name"
        raise SessionConfigError("url", problem) from None
