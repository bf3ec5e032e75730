"""A session store by its URL, for a command: what goes wrong is one line without secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from .._at_once import at_once
from ..errors import CtxLocalError

if TYPE_CHECKING:
    from ..sessions.stores.protocol import Store
    from ..sessions.stores.sql import SQLStore


class StoreProblem(Exception):
    """A store cannot be asked; the text is one line for the person who gave its URL."""


@contextmanager
def opened(url: str, *, must_exist: bool = False) -> Iterator[Store]:
    """Open the store, and close it at the end of the block.

    :param must_exist: neither a file nor a table is made where there is none.
    :raises StoreProblem: it cannot be opened, or fails within the block.
    """
    try:
        from ..sessions.stores.url import open_store

        with closing(open_store(url)) as store:
            if must_exist:
                _refuse_missing(store)
            yield store
    except (CtxLocalError, ImportError) as error:  # ImportError: SQLAlchemy misses a driver
        raise StoreProblem(explain(error, url)) from error


def _refuse_missing(store: Store) -> None:
    from ..sessions.stores.memory import MemoryStore

    if isinstance(store, MemoryStore):
        raise StoreProblem("memory: is in one process, and no other can look into it")
    path = getattr(store, "path", None)
    if path is not None and not os.path.exists(path):
        raise StoreProblem(f"there is no file {path!r}")
    if path is not None and os.path.getsize(path) == 0:
        raise StoreProblem(f"the file {path!r} is empty: nobody has kept sessions in it")
    sql = sys.modules.get("ctxlocal.sessions.stores.sql")  # loaded if the store is one of its
    if sql is not None and isinstance(store, sql.SQLStore):
        _refuse_missing_table(store)


def _refuse_missing_table(store: SQLStore) -> None:
    table = store._operations._table.name
    if not at_once(store._operations._has_table()):
        raise StoreProblem(f"{store.name} has no table {table}: nobody has kept sessions in it")


def explain(error: Exception, url: str) -> str:
    """Return one line: ours, or what the driver said, whose message may be many lines long.

    :param url: the store's, of which no secret is repeated.
    """
    from ..sessions.errors import SessionConfigError, StoreUnavailableError
    from ..sessions.stores.query import KEYS

    cause = error.__cause__
    for each in (error, cause):
        if isinstance(each, SessionConfigError):
            said = str(each) if each.setting in KEYS else str(each).partition(": ")[2]
            return _without_secrets(f"the store's URL: {said}", url)
    if isinstance(error, ModuleNotFoundError) and not isinstance(error, CtxLocalError):
        return f"this store needs {error.name}, which is not installed"
    if not isinstance(error, StoreUnavailableError) or cause is None:
        return _without_secrets(str(error), url)
    said = (str(cause).splitlines() or ["no reason given"])[0].strip()
    text = f"{error.store} failed in {error.operation}: {type(cause).__name__}: {said}"
    return _without_secrets(text, url)


def _without_secrets(text: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        given = [parts.password or ""]
    except ValueError:
        return "the URL is malformed"
    given += [value for name, value in parse_qsl(parts.query) if "pass" in name.casefold()]
    for secret in sorted({*given, *map(unquote, given)} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
