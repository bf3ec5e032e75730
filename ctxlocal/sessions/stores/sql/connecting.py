"""The engine that a SQL store makes of a URL: its limits of time, and how its connections begin."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from math import ceil
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from ...errors import SessionConfigError
from ..query import SQL, take
from .beginning import begin_mysql, begin_postgresql
from .driver import refuse_unknown
from .tables import MYSQL
from .within import within

TIMEOUT = 5.0  #: seconds for a connection, a place in the pool and a statement
_LATER = 1.0  # seconds: the server's own limit, which keeps the connection, comes first
_UNLIMITED = ("asyncpg", "aiomysql")  # they leave a limit to asyncio
_PACKAGES = {"MySQLdb": "mysqlclient"}  # of drivers that are named otherwise


class Made(NamedTuple):
    """An engine, and the limits by which it was made."""

    engine: Any
    timeout: float
    limit: float | None  #: of the wait for an answer, where the driver has none
    options: dict[str, Any]  #: the store's own that stand in the URL


def make_engine(create: Callable[..., Any], url: str, is_async: bool, timeout: float) -> Made:
    """Make an engine of a URL.

    :param create: ``create_engine`` of SQLAlchemy, or ``create_async_engine``.
    :param timeout: seconds, unless the URL says ``timeout=``.
    """
    target, options = _read(url)
    timeout = options.pop("timeout", timeout)
    _refuse_wrong_kind(target, is_async)
    # Most jobs are done in AUTOCOMMIT: MySQL's drivers tell the server of another level.
    settings: dict[str, Any] = {"pool_timeout": timeout, "isolation_level": "AUTOCOMMIT"}
    if (pool_size := options.pop("pool_size", None)) is not None:
        settings |= {"pool_size": pool_size, "max_overflow": 0}
    try:
        driver = target.get_dialect().driver
        limits = _limits(driver, ceil(timeout), ceil(timeout + _LATER)).items()
        arguments = {name: value for name, value in limits if name not in target.query}
        engine = create(target, connect_args=arguments, **settings)
    except ImportError as error:
        name = error.name or target.drivername
        problem = f"its driver {name} is not installed: pip install {_PACKAGES.get(name, name)}"
        raise SessionConfigError("url", problem) from error
    except SQLAlchemyError as error:  # of what asyncio cannot use, for instance
        raise SessionConfigError("url", f"{target.drivername} cannot be used here") from error
    plain: sqlalchemy.Engine = getattr(engine, "sync_engine", engine)
    refuse_unknown(plain)
    _prepare(plain, driver, timeout)
    limit = timeout + _LATER if driver in _UNLIMITED else None
    return Made(engine, timeout, limit, options)


def _limits(driver: str, connect: int, answer: int) -> dict[str, int]:
    """Return what lets a driver's ``connect`` give up, and each wait for an answer."""
    by_driver = {
        "psycopg": {"connect_timeout": connect},
        "psycopg2": {  # it gives up a machine that is gone, not one that is silent
            "connect_timeout": connect,
            "tcp_user_timeout": answer * 1000,
            "keepalives_idle": connect,
            "keepalives_interval": 1,
        },
        "asyncpg": {"timeout": connect},
        "pg8000": {"timeout": answer},
        "mysqldb": {"connect_timeout": connect, "read_timeout": answer, "write_timeout": answer},
        "pymysql": {"connect_timeout": connect, "read_timeout": answer, "write_timeout": answer},
        "asyncmy": {"connect_timeout": connect, "read_timeout": answer},
        "aiomysql": {"connect_timeout": connect},
    }
    return by_driver.get(driver, {})


def _prepare(engine: sqlalchemy.Engine, driver: str, timeout: float) -> None:
    """Let each connection of an engine begin with the limit."""
    if driver == "psycopg":
        event.listen(engine, "do_connect", within(timeout + _LATER))
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", begin_postgresql(timeout))
    elif engine.dialect.name in MYSQL:
        event.listen(engine, "connect", begin_mysql(timeout))


def _read(url: str) -> tuple[sqlalchemy.URL, dict[str, Any]]:
    """Return what the driver is to connect to, and our own options."""
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
    options, of_driver = take(SQL, target.query)
    return target.set(query=of_driver), options


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
