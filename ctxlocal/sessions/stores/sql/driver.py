"""Which keys of a URL a database's driver takes, as far as it can be asked before it connects."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import sqlalchemy
from sqlalchemy import event

from ...errors import SessionConfigError
from ..query import SQL, refusal

# What makes libpq's connection strings, and refuses a name that it does not know.
_OF_LIBPQ = {
    "psycopg": ("psycopg.conninfo", "make_conninfo"),
    "psycopg2": ("psycopg2.extensions", "make_dsn"),
}


def refuse_unknown(engine: sqlalchemy.Engine) -> None:
    """Refuse a key of an engine's URL that the driver has no option for.

    mysqlclient and aiomysql do not tell before they connect; they are refused then.

    :raises SessionConfigError: the driver has no such option.
    """
    dialect, url = engine.dialect, engine.url
    _, arguments = dialect.create_connect_args(url)
    knows = _judge(dialect)
    if knows is None:
        event.listen(engine, "do_connect", _connect)
        return
    for name in url.query:
        # What is no argument SQLAlchemy has taken, or calls otherwise.
        if name in arguments and not knows(name):
            raise refusal(SQL, name, dialect.driver)


def _judge(dialect: Any) -> Callable[[str], bool] | None:
    """Return what tells whether a driver has an option; None if nobody can."""
    module = dialect.dbapi
    if dialect.driver in _OF_LIBPQ:
        where, name_of = _OF_LIBPQ[dialect.driver]
        make = getattr(import_module(where), name_of)
        return lambda name: _is_taken(make, name, module.ProgrammingError)
    # Around a driver for asyncio SQLAlchemy has one of its own, which passes on what it is given.
    inner = getattr(module, dialect.driver, module)
    parameters = signature(inner.connect).parameters
    if any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values()):
        return None
    return lambda name: name in parameters or name in signature(module.connect).parameters


def _is_taken(make: Callable[..., object], name: str, refuses: type[Exception]) -> bool:
    """Whether libpq has an option."""
    try:
        make(**{name: ""})
    except refuses:
        return False
    return True


def _connect(dialect: Any, _: object, arguments: Any, options: Any) -> Any:
    try:
        return dialect.connect(*arguments, **options)
    except TypeError as error:
        raise SessionConfigError("url", f"{dialect.driver} refuses a key: {error}") from error
