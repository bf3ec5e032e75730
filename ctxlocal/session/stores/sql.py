"""Sessions in any SQL database that SQLAlchemy speaks to, but SQLite: one row each.

PostgreSQL is what it is tested with. Needs SQLAlchemy and the database's driver:
ctxlocal's extra ``[sql]`` and a driver, psycopg say. For SQLite there is
:class:`~ctxlocal.session.stores.sqlite.SQLiteStore`, which SQLAlchemy would not lock for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import MissingDependencyError

try:
    import sqlalchemy
except ImportError:
    raise MissingDependencyError("The SQL session store", "sqlalchemy", "sql") from None

from sqlalchemy.exc import SQLAlchemyError, StatementError

from ..errors import SessionConfigError, StoreUnavailableError
from ..protocol import USER, Answer, Change, Record, Stats
from ..threaded import refuse_trio
from ._sql_steps import SQLSteps, Steps, make_tables, perform

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncSQLStore", "SQLStore"]

R = TypeVar("R")
_SECONDS = 5  # how long from_url lets a connection take to come about
_PACKAGES = {"MySQLdb": "mysqlclient"}  # of drivers that are named otherwise


class _Twin:
    """What both stores have in common but the way a job gets its connection."""

    def __init__(self, engine: Any, table: str, clock: Callable[[], float], owned: bool) -> None:
        if engine.dialect.name == "sqlite":
            raise SessionConfigError("engine", "it is SQLite's; use SQLiteStore")
        self.name = _name(engine.url)
        self._engine = engine
        self._owned = owned
        self._steps = SQLSteps(self.name, make_tables(table), clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @contextmanager
    def _guarded(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError, SessionConfigError) as error:
            if isinstance(error, StatementError):
                error.hide_parameters = True  # keys and values would be in the traceback
            raise StoreUnavailableError(self.name, operation) from error


class SQLStore(_Twin):
    """Keeps records in a table; a :class:`~ctxlocal.session.protocol.Store`.

    Safe from many threads, greenlets and processes. It always takes a connection of its
    own from the engine's pool, never the application's transaction, and needs two at once
    for nothing. A load is one SELECT, a commit one UPDATE if nobody else changed the
    record since ``base`` was loaded, else one locked merge; transactions that lose
    against others (SQLSTATE 40001, 40P01) are repeated up to 10 times. A commit whose
    answer was lost with its connection is repeated once and counts once.

    The table is created at the first use if it is not there, which needs the right to
    do so; :meth:`create_table` does it beforehand, for instance in a migration. Whatever
    has expired stays until :meth:`purge`.

    :param engine: a SQLAlchemy ``Engine`` of any isolation level; it stays the caller's.
        Its ``pool_timeout`` and the driver's timeouts say how long a request may wait.
    :param table: the table's name, ``"ctxlocal_sessions"``.
    :param clock: returns seconds since the epoch; the processes' clocks should agree.
    :raises SessionConfigError: the engine is SQLite's, or no synchronous engine.
    """

    is_blocking = True

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        *,
        table: str = "ctxlocal_sessions",
        clock: Callable[[], float] = time.time,
        owned: bool = False,
    ) -> None:
        _refuse_url(engine, "SQLStore")
        if not isinstance(engine, sqlalchemy.Engine):
            raise SessionConfigError("engine", "give a sqlalchemy.Engine (see AsyncSQLStore)")
        super().__init__(engine, table, clock, owned)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> SQLStore:
        """Make a store with an engine of its own, which ``close`` disposes of.

        :param url: as SQLAlchemy's ``create_engine`` takes it; ``postgresql://`` without a
            driver means psycopg where that is installed.
        :param options: those of the constructor.
        """
        return cls(_connect(sqlalchemy.create_engine, url, False), owned=True, **options)

    def create_table(self) -> None:
        """Create the tables and indexes that are missing; safe from many processes."""
        self._run("create_table", self._steps.create_table())

    def load(self, key: str) -> Record | None:
        """Return the record, None if there is none; one SELECT."""
        return self._run("load", self._steps.load(key))

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record; False if there is one."""
        return self._run("create", self._steps.create(key, sets, ttl))

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge changes into a record: one UPDATE if ``base`` is still what is there."""
        return self._run("commit", self._steps.commit(key, generation, change, ttl, base))

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, in one transaction."""
        return self._run("move", self._steps.move(old, new, sets, ttl, grace))

    def touch(self, key: str, ttl: float) -> bool:
        """Renew the expiry; one UPDATE."""
        return self._run("touch", self._steps.touch(key, ttl))

    def delete(self, key: str) -> bool:
        """Remove the record, also by a key that was moved with a grace."""
        return self._run("delete", self._steps.delete(key))

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return a user's live records, the one touched longest ago first; one SELECT."""
        return self._run("list", self._steps.list_of(user))

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        """Remove a user's records, or that of one handle; one DELETE. Return how many."""
        return self._run("revoke", self._steps.revoke(user, except_key, handle))

    def revoke_everyone(self) -> int:
        """Remove every record; return how many."""
        return self._run("revoke_everyone", self._steps.revoke_everyone())

    def purge(self) -> int:
        """Remove what has expired; return how many rows."""
        return self._run("purge", self._steps.purge())

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every live record once, 500 with each SELECT."""
        after: int | None = 0
        while after is not None:
            after, page = self._run("scan", self._steps.page(after))
            yield from page

    def stats(self) -> Stats:
        """Count the live records; reads them all."""
        users: set[bytes] = set()
        sessions = size = 0
        for _, record in self.scan():
            sessions += 1
            if USER in record.values:
                users.add(record.values[USER])
            size += sum(len(name.encode()) + len(value) for name, value in record.values.items())
        return Stats(sessions, len(users), size)

    def close(self) -> None:
        """Dispose of the engine if ``from_url`` made it."""
        if self._owned:
            self._engine.dispose()

    def _run(self, operation: str, steps: Steps[R]) -> R:
        with self._guarded(operation):
            try:
                job = next(steps)
                while True:
                    try:
                        with self._engine.connect() as connection:
                            done = perform(job, connection)
                    except SQLAlchemyError as error:
                        job = steps.throw(error)
                    else:
                        job = steps.send(done)
            except StopIteration as end:
                result: R = end.value
        return result


class AsyncSQLStore(_Twin):
    """The same over an ``AsyncEngine``; an :class:`~ctxlocal.session.protocol.AsyncStore`.

    See :class:`SQLStore` for everything else.

    :param engine: a SQLAlchemy ``AsyncEngine``, for instance of ``postgresql+psycopg://``.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        table: str = "ctxlocal_sessions",
        clock: Callable[[], float] = time.time,
        owned: bool = False,
    ) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        _refuse_url(engine, "AsyncSQLStore")
        if not isinstance(engine, AsyncEngine):
            raise SessionConfigError("engine", "give an AsyncEngine (see SQLStore)")
        super().__init__(engine, table, clock, owned)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> AsyncSQLStore:
        """Make a store with an engine of its own; see :meth:`SQLStore.from_url`."""
        from sqlalchemy.ext.asyncio import create_async_engine

        return cls(_connect(create_async_engine, url, True), owned=True, **options)

    async def create_table(self) -> None:
        """Create the tables and indexes that are missing; safe from many processes."""
        await self._run("create_table", self._steps.create_table())

    async def load(self, key: str) -> Record | None:
        """Return the record, None if there is none; one SELECT."""
        return await self._run("load", self._steps.load(key))

    async def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record; False if there is one."""
        return await self._run("create", self._steps.create(key, sets, ttl))

    async def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge changes into a record: one UPDATE if ``base`` is still what is there."""
        return await self._run("commit", self._steps.commit(key, generation, change, ttl, base))

    async def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, in one transaction."""
        return await self._run("move", self._steps.move(old, new, sets, ttl, grace))

    async def touch(self, key: str, ttl: float) -> bool:
        """Renew the expiry; one UPDATE."""
        return await self._run("touch", self._steps.touch(key, ttl))

    async def delete(self, key: str) -> bool:
        """Remove the record, also by a key that was moved with a grace."""
        return await self._run("delete", self._steps.delete(key))

    async def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return a user's live records, the one touched longest ago first; one SELECT."""
        return await self._run("list", self._steps.list_of(user))

    async def revoke(
        self, user: str, except_key: str | None = None, handle: str | None = None
    ) -> int:
        """Remove a user's records, or that of one handle; one DELETE. Return how many."""
        return await self._run("revoke", self._steps.revoke(user, except_key, handle))

    async def revoke_everyone(self) -> int:
        """Remove every record; return how many."""
        return await self._run("revoke_everyone", self._steps.revoke_everyone())

    async def purge(self) -> int:
        """Remove what has expired; return how many rows."""
        return await self._run("purge", self._steps.purge())

    async def close(self) -> None:
        """Dispose of the engine if ``from_url`` made it."""
        if self._owned:
            await self._engine.dispose()

    async def _run(self, operation: str, steps: Steps[R]) -> R:
        refuse_trio(self, "SQLStore")
        with self._guarded(operation):
            try:
                job = next(steps)
                while True:
                    try:
                        async with self._engine.connect() as connection:
                            done = await connection.run_sync(partial(perform, job))
                    except SQLAlchemyError as error:
                        job = steps.throw(error)
                    else:
                        job = steps.send(done)
            except StopIteration as end:
                result: R = end.value
        return result


def _refuse_wrong_kind(target: sqlalchemy.URL, is_async: bool) -> None:
    """Refuse a driver that awaits where nothing does, or blocks where it must not."""
    try:
        dialect = target.get_dialect()
    except (SQLAlchemyError, ImportError):
        return  # the engine says so
    if is_async and not dialect.get_async_dialect_cls(target).is_async:
        problem = (
            "is not for asyncio; name a driver that is, as postgresql+psycopg or mysql+aiomysql"
        )
    elif dialect.is_async and not is_async:
        problem = "is for asyncio alone; use open_async_store(url), or another driver"
    else:
        return
    raise SessionConfigError("url", f"{target.drivername} {problem}")


def _name(url: Any) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def _refuse_url(engine: object, store: str) -> None:
    if isinstance(engine, (str, sqlalchemy.URL)):  # with a password in it, perhaps
        raise SessionConfigError("engine", f"it is a URL; use {store}.from_url(url)")


def _connect(create: Callable[..., Any], url: str, is_async: bool) -> Any:
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
    settings: dict[str, Any] = {"pool_timeout": _SECONDS}
    if "psycopg" in target.drivername and "connect_timeout" not in target.query:
        settings["connect_args"] = {"connect_timeout": _SECONDS}
    try:
        return create(target, **settings)
    except ImportError as error:
        name = error.name or target.drivername
        problem = f"its driver {name} is not installed: pip install {_PACKAGES.get(name, name)}"
        raise SessionConfigError("url", problem) from error
    except SQLAlchemyError as error:  # of what asyncio cannot use, for instance
        raise SessionConfigError("url", f"{target.drivername} cannot be used here") from error
