"""Stores by URL, for settings files and the command line. No message shows the URL itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from ..errors import SessionConfigError
from .grouped import threaded
from .memory import MemoryStore
from .plugins import GROUP, Opener, is_ours, known, opener_of
from .protocol import AsyncStore, Store
from .query import SQLITE, refusal, take

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
        A scheme that is none of these is a plug-in's:
        :func:`~ctxlocal.sessions.stores.register_store`.
    :raises SessionConfigError: no such kind of store, nothing after the scheme, a key that is
        nobody's, the database's driver is not installed, or a plug-in cannot be imported.
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
    if (opener := _opener(scheme)) is not None:
        return opener.open_store(url)
    _refuse_unknown(scheme, url)
    from .sql import SQLStore

    return SQLStore.from_url(url)


def open_async_store(url: str) -> AsyncStore:
    """Return the asynchronous store that a URL names; see :func:`open_store`.

    SQLite is run in threads; a database of SQLAlchemy needs an asynchronous driver, as
    ``postgresql+psycopg``.
    """
    scheme = _scheme(url)
    if scheme in ("memory", "sqlite"):
        return threaded(open_store(url))
    if scheme.partition("+")[0] in _REDIS:
        from .redis import AsyncRedisStore

        return AsyncRedisStore.from_url(url)
    if (opener := _opener(scheme)) is not None:
        open_async: Callable[[str], AsyncStore] | None = getattr(opener, "open_async_store", None)
        return threaded(opener.open_store(url)) if open_async is None else open_async(url)
    _refuse_unknown(scheme, url)
    from .sql import AsyncSQLStore

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


def _opener(scheme: str) -> Opener | None:
    """Return what others have brought for a scheme that is not ours."""
    return None if is_ours(scheme) else opener_of(scheme)


def _refuse_unknown(scheme: str, url: str) -> None:
    """Refuse what SQLAlchemy does not take; its errors' own text may hold the URL's password."""
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        if is_ours(scheme):
            return  # the store says what is missing
        raise _unknown(scheme) from None
    if scheme == "postgres":  # which SQLAlchemy does not know
        url = f"postgresql{url.removeprefix(scheme)}"
    try:
        make_url(f"{url.partition(':')[0]}://").get_dialect()
    except (ArgumentError, ValueError):
        raise _unknown(scheme) from None
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        problem = f"what follows {scheme}:// is malformed; it is user:password@host:port/name"
        raise SessionConfigError("url", problem) from None


def _unknown(scheme: str) -> SessionConfigError:
    others = ", ".join(f"{name}://" for name in known()) or "there is none"
    return SessionConfigError(
        "url",
        f"there is no kind of store {scheme!r}. {_EXAMPLES}, or of a plug-in ({others}): "
        f"register_store(scheme, ...), or a package with an entry point of the group {GROUP}",
    )
