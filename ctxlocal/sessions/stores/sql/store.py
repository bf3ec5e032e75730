"""Sessions in any SQL database that SQLAlchemy speaks to, but SQLite: one row each.

Tested with PostgreSQL and MariaDB. Needs SQLAlchemy and the database's driver:
ctxlocal's extra ``[sql]`` and a driver, psycopg say. For SQLite there is
:class:`~ctxlocal.sessions.stores.sqlite.SQLiteStore`, which SQLAlchemy would not lock for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ...._at_once import at_once
from ....errors import MissingDependencyError

try:
    import sqlalchemy
except ImportError:
    raise MissingDependencyError("The SQL session store", "sqlalchemy", "sql") from None

from ...errors import SessionConfigError
from ..forwarding import Blocking
from ..protocol import USER, Record, Stats
from ..threaded import refuse_trio
from .connecting import TIMEOUT, make_engine
from .steps import Job, SQLSteps, perform
from .tables import NAME

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncSQLStore", "SQLStore"]


class SQLStore(Blocking):
    """Keeps records in a table; a :class:`~ctxlocal.sessions.stores.protocol.Store`.

    Safe from many threads, greenlets and processes. It always takes a connection of its
    own from the engine's pool, never the application's transaction, and needs two at once
    for nothing. A load is one SELECT, a commit one UPDATE if nobody else changed the
    record since ``base`` was loaded, else one locked merge; transactions that lose
    against others (SQLSTATE 40001, 40P01) are repeated up to 10 times. A commit whose
    answer was lost with its connection is repeated once and counts once: if more than 15 others
    of that session came in between, so that it is not known any more, it is not repeated but
    raises StoreUnavailableError, and may have been done. Where the server
    takes no writes, as one that was demoted (SQLSTATE 25006; 1290, 1792 and 1836 on MySQL and
    MariaDB), what is idle in the engine's pool is closed, and the transaction repeated on new
    connections, for some 2 seconds: so the store follows an address to the new primary.

    The table is created at the first use if it is not there, which needs the right to
    do so; :meth:`create_table` does it beforehand, or a migration that Alembic makes of
    :func:`~ctxlocal.sessions.stores.sql.make_tables`. Whatever
    has expired stays until :meth:`purge`, which reads the whole table: do that once a day.

    :param engine: a SQLAlchemy ``Engine`` of any isolation level; it stays the caller's.
        Its ``pool_timeout`` and the driver's timeouts say how long a request may wait
        (:meth:`from_url` sets them all).
    :param table: the table's name, ``"ctxlocal_sessions"``; up to 43 characters in PostgreSQL, 44
        in MySQL and MariaDB, whose names for its indexes are longer.
    :param schema: the schema, or the database of MySQL, that it is in; None: the connection's own.
    :param clock: returns seconds since the epoch; the processes' clocks should agree.
    :raises SessionConfigError: the engine is SQLite's, or no synchronous engine; the table's name
        is too long.
    """

    _operations: _AtOnce

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        *,
        table: str = NAME,
        schema: str | None = None,
        clock: Callable[[], float] = time.time,
        owned: bool = False,
    ) -> None:
        _refuse_url(engine, "SQLStore")
        if not isinstance(engine, sqlalchemy.Engine):
            raise SessionConfigError("engine", "give a sqlalchemy.Engine (see AsyncSQLStore)")
        self._operations = _AtOnce(engine, table, schema, clock, owned)
        self.name = self._operations.name

    @classmethod
    def from_url(cls, url: str, *, timeout: float = TIMEOUT, **options: Any) -> SQLStore:
        """Make a store with an engine of its own, which ``close`` disposes of.

        :param url: as SQLAlchemy's ``create_engine`` takes it; ``postgresql://`` without a
            driver means psycopg where that is installed. After the ``?`` may come ``table``,
            ``schema``, ``timeout``, ``pool_size`` (how many connections there are at most, 15), and
            whatever the driver takes, as ``sslmode``. What the URL says counts before the other
            parameters.
        :param timeout: seconds that an operation waits for a place in the pool, for a connection,
            and for each statement; then it raises StoreUnavailableError. The server is told to
            give up a statement (unless a pooler stands between), and 1 second later a server that
            answers nothing is given up; psycopg2, and psycopg before 3.3, cannot do that.
        :param options: those of the constructor.
        :raises SessionConfigError: the URL or ``timeout`` is none, the driver is missing, or knows
            no such key.
        """
        made = make_engine(sqlalchemy.create_engine, url, False, timeout)
        store = cls(made.engine, owned=True, **{**options, **made.options})
        store._operations._timeout = made.timeout
        return store

    def create_table(self) -> None:
        """Create the tables and indexes that are missing; safe from many processes."""
        at_once(self._operations.create_table())

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every live record once, 500 with each SELECT."""
        after: int | None = 0
        while after is not None:
            after, page = at_once(self._operations._scan_page(after))
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


class _AtOnce(SQLSteps):
    """The operations over an engine that blocks."""

    async def _perform(self, job: Job) -> Any:
        with self._engine.connect() as connection:
            return perform(job, connection)

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    async def _drop_idle(self) -> None:
        self._engine.dispose()

    async def close(self) -> None:
        if self._owned:
            self._engine.dispose()


class AsyncSQLStore(SQLSteps):
    """The same over an ``AsyncEngine``; an :class:`~ctxlocal.sessions.stores.protocol.AsyncStore`.

    See :class:`SQLStore` for everything else.

    :param engine: a SQLAlchemy ``AsyncEngine``, for instance of ``postgresql+psycopg://``.
    """

    _limit: float | None = None  # seconds for a job, where the driver has none for an answer

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        table: str = NAME,
        schema: str | None = None,
        clock: Callable[[], float] = time.time,
        owned: bool = False,
    ) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        _refuse_url(engine, "AsyncSQLStore")
        if not isinstance(engine, AsyncEngine):
            raise SessionConfigError("engine", "give an AsyncEngine (see SQLStore)")
        super().__init__(engine, table, schema, clock, owned)

    @classmethod
    def from_url(cls, url: str, *, timeout: float = TIMEOUT, **options: Any) -> AsyncSQLStore:
        """Make a store with an engine of its own; see :meth:`SQLStore.from_url`."""
        from sqlalchemy.ext.asyncio import create_async_engine

        made = make_engine(create_async_engine, url, True, timeout)
        store = cls(made.engine, owned=True, **{**options, **made.options})
        store._timeout = made.timeout
        store._limit = made.limit
        return store

    async def close(self) -> None:
        """Dispose of the engine if ``from_url`` made it."""
        if self._owned:
            await self._engine.dispose()

    def _check_library(self) -> None:
        refuse_trio(self, "SQLStore")

    async def _perform(self, job: Job) -> Any:
        if self._limit is None:
            return await self._performed(job)
        try:
            return await asyncio.wait_for(self._performed(job), self._limit)
        except asyncio.TimeoutError as error:  # before Python 3.11 it is no OSError
            raise TimeoutError(f"no answer within {self._limit:g} seconds") from error

    async def _performed(self, job: Job) -> Any:
        async with self._engine.connect() as connection:
            return await connection.run_sync(partial(perform, job))

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _drop_idle(self) -> None:
        await self._engine.dispose()


def _refuse_url(engine: object, store: str) -> None:
    if isinstance(engine, (str, sqlalchemy.URL)):  # with a password in it, perhaps
        raise SessionConfigError("engine", f"it is a URL; use {store}.from_url(url)")
