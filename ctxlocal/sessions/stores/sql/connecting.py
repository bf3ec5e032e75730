"""The engine that a SQL store makes of a URL, and how each of its connections begins."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from ...errors import SessionConfigError
from .tables import MYSQL

_SECONDS = 5  # how long from_url lets a connection take to come about
_PACKAGES = {"MySQLdb": "mysqlclient"}  # of drivers that are named otherwise
# What is too long for its column is refused, not cut off.
_STRICT = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"


def make_engine(create: Callable[..., Any], url: str, is_async: bool) -> Any:
    """Make an engine of a URL.

    :param create: ``create_engine`` of SQLAlchemy, or ``create_async_engine``.
    """
    scheme, found, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        is_older_there = find_spec("psycopg2") and not find_spec("psycopg")
        scheme = "postgresql+psycopg2" if is_older_there else "postgresql+psycopg"
    try:
        target = sqlalchemy.make_url(scheme + found + rest)
    except (SQLAlchemyError, ValueError):  # its text may hold a part of the password
        raise SessionConfigError("url", "it is no URL that SQLAlchemy takes") from None
    if target.get_backend_name() == "sqlite":
        raise SessionConfigError("url", "it is SQLite's; use SQLiteStore")
    _refuse_wrong_kind(target, is_async)
    # Which is what most jobs are done in: MySQL's drivers tell the server of another.
    settings: dict[str, Any] = {"pool_timeout": _SECONDS, "isolation_level": "AUTOCOMMIT"}
    if "psycopg" in target.drivername and "connect_timeout" not in target.query:
        settings["connect_args"] = {"connect_timeout": _SECONDS}
    try:
        engine = create(target, **settings)
    except ImportError as error:
        name = error.name or target.drivername
        problem = f"its driver {name} is not installed: pip install {_PACKAGES.get(name, name)}"
        raise SessionConfigError("url", problem) from error
    except SQLAlchemyError as error:  # of what asyncio cannot use, for instance
        raise SessionConfigError("url", f"{target.drivername} cannot be used here") from error
    if target.get_backend_name() in MYSQL:
        event.listen(getattr(engine, "sync_engine", engine), "connect", _begin)
    return engine


def _begin(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(_STRICT)
    cursor.close()


def _refuse_wrong_kind(target: sqlalchemy.URL, is_async: bool) -> None:
    """Refuse a driver that awaits where nothing does, or blocks where it must not."""
    try:
        dialect = target.get_dialect()
    except (SQLAlchemyError, ImportError):
        return  # the engine says so
    if is_async and not dialect.get_async_dialect_cls(target).is_async:
        problem = (
            "is not for asyncio; name a driver that is, as postgresql+psycopg or mysql+asyncmy"
        )
    elif dialect.is_async and not is_async:
        problem = "is for asyncio alone; use open_async_store(url), or another driver"
    else:
        return
    raise SessionConfigError("url", f"{target.drivername} {problem}")
