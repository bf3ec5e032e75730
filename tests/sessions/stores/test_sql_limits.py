"""How long a SQL store waits: for a server that is slow, one that answers nothing, the pool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.forwarding import AtOnce
from ctxlocal.sessions.stores.protocol import AsyncStore, Change, Incr
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from tests.support.patience import PATIENCE_S
from tests.support.services import pgbouncer, postgresql_server

from .proxy import proxy_to
from .racing import KEY, TTL

#: Driver and kind; the module is what has to be installed.
DRIVERS = {
    "psycopg": ("postgresql", "psycopg"),
    "psycopg in tasks": ("postgresql", "psycopg"),
    "asyncpg in tasks": ("postgresql", "asyncpg"),
    "pymysql": ("mariadb", "pymysql"),
    "mysqldb": ("mariadb", "MySQLdb"),
    "asyncmy in tasks": ("mariadb", "asyncmy"),
}
#: Tested where they were installed, which is left to whoever uses them.
OPTIONAL = {"asyncpg", "MySQLdb"}
#: That know what a server does for others.
LOCKS = {
    "postgresql": "LOCK TABLE ctxlocal_sessions",
    "mariadb": "LOCK TABLES ctxlocal_sessions WRITE",
}


class Place:
    """A server, and how a driver gets there."""

    def __init__(self, kind: str, server: sqlalchemy.URL) -> None:
        self.database, _ = DRIVERS[kind]
        self.server = server
        self.driver, _, self.is_async = kind.partition(" ")

    def store(self, port: int | None = None) -> AsyncStore:
        url = self.server.set(drivername=f"{self.server.get_backend_name()}+{self.driver}")
        url = (url if port is None else url.set(port=port)).update_query_dict({"timeout": "1"})
        return (
            AsyncSQLStore.from_url(str(url))
            if self.is_async
            else AtOnce(SQLStore.from_url(str(url)))
        )


def empty(url: str) -> None:
    store = SQLStore.from_url(url)
    store.revoke_everyone()
    store.close()


@pytest.fixture(
    params=[
        pytest.param(kind, marks=getattr(pytest.mark, database))
        for kind, (database, module) in DRIVERS.items()
        if module not in OPTIONAL or find_spec(module)
    ]
)
def place(request: pytest.FixtureRequest) -> Place:
    database, _ = DRIVERS[request.param]
    server = sqlalchemy.make_url(request.getfixturevalue(f"{database}_url"))
    empty(str(server))
    return Place(request.param, server)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_server_that_answers_nothing_is_given_up(place: Place) -> None:
    assert place.server.port is not None
    with proxy_to(place.server.port) as proxy:
        store = place.store(proxy.port)
        assert await store.create(KEY, {}, TTL)
        base = await store.load(KEY)
        with proxy.silent():
            with pytest.raises(StoreUnavailableError):  # on the connection that is there
                await store.commit(KEY, 0, Change("a", {"a": b"1"}), TTL, base)
            with pytest.raises(StoreUnavailableError):  # on a new one
                await store.load(KEY)
        answer = await store.commit(KEY, 0, Change("b", {"b": b"1"}), TTL, base)
        assert answer.outcome == "committed"
        await store.close()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_statement_that_waits_for_others_is_given_up_and_changes_nothing(
    place: Place,
) -> None:
    store = place.store()
    assert await store.create(KEY, {}, TTL)
    engine = sqlalchemy.create_engine(place.server)
    with engine.connect() as other:
        other.execute(text(LOCKS[place.database]))
        with pytest.raises(StoreUnavailableError):
            await store.commit(KEY, 0, Change("a", {"a": b"1"}), TTL)
    engine.dispose()
    record = await store.load(KEY)
    assert record is not None
    assert record.values == {}
    await store.close()


@pytest.mark.postgresql
def test_a_full_pool_is_given_up(postgresql_url: str) -> None:
    store = SQLStore.from_url(f"{postgresql_url}?timeout=0.1")
    store.load(KEY)
    with ExitStack() as held:
        for _ in range(15):
            held.enter_context(store._operations._engine.connect())
        with pytest.raises(StoreUnavailableError):
            store.load(KEY)
    store.load(KEY)
    store.close()


@pytest.mark.postgresql
def test_a_shorter_limit_of_the_url_stays(postgresql_url: str) -> None:
    for options, limit in (("", "5s"), ("?options=-c%20statement_timeout%3D700", "700ms")):
        store = SQLStore.from_url(postgresql_url + options)
        with store._operations._engine.connect() as connection:
            assert connection.execute(text("SHOW statement_timeout")).scalar() == limit
        store.close()


@pytest.mark.slow
@pytest.mark.postgresql
def test_what_no_standby_has_is_not_acknowledged_unless_the_url_says_so() -> None:
    with postgresql_server() as server:
        url = f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres?timeout=1"
        admin = sqlalchemy.create_engine(url.partition("?")[0], isolation_level="AUTOCOMMIT")
        store = SQLStore.from_url(url)
        own = SQLStore.from_url(f"{url}&options=-c%20synchronous_commit%3Dlocal")
        store.create(KEY, {}, TTL)
        name_standby(admin, "none_that_is_there")
        change = Change("c", ops=[Incr("n", 1)])
        with pytest.raises(StoreUnavailableError):
            store.commit(KEY, 0, change, TTL, store.load(KEY))
        assert own.create("another", {}, TTL)
        name_standby(admin, "")
        assert store.commit(KEY, 0, change, TTL).results == (1,)  # it was done, and counts once
        for each in (store, own):
            each.close()
        admin.dispose()


def name_standby(admin: sqlalchemy.Engine, name: str) -> None:
    """Let a server's commits wait for a standby, by its name."""
    with admin.connect() as connection:
        connection.execute(text(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'"))
        connection.execute(text("SELECT pg_reload_conf()"))
        end = time.monotonic() + PATIENCE_S
        while connection.execute(text("SHOW synchronous_standby_names")).scalar() != name:
            assert time.monotonic() < end


@pytest.mark.parametrize("kind", [SQLStore, AsyncSQLStore])
@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(kind: Any, timeout: str) -> None:
    with pytest.raises(SessionConfigError) as caught:
        kind.from_url(f"postgresql+psycopg://host/name?timeout={timeout}")
    assert str(caught.value) == f"timeout: it is seconds, more than 0; got {timeout!r}"


@pytest.mark.pgbouncer
class TestPgbouncer:
    """Which shares a few connections among many clients, by transactions."""

    CLIENTS, EACH = 8, 12

    @pytest.fixture
    def url(self, postgresql_url: str) -> Iterator[str]:
        server = sqlalchemy.make_url(postgresql_url)
        assert server.port is not None
        empty(postgresql_url)
        with pgbouncer(server.port) as pooler:
            yield str(server.set(port=pooler.port))

    async def use(self, store: AsyncStore) -> None:
        """Commit more often than a driver does before it prepares."""
        assert await store.create(KEY, {}, TTL)

        async def client(number: int) -> None:
            for turn in range(self.EACH):
                base = await store.load(KEY)
                change = Change(f"{number}.{turn}", ops=[Incr("n", 1)])
                assert (await store.commit(KEY, 0, change, TTL, base)).outcome == "committed"

        await asyncio.gather(*(client(number) for number in range(self.CLIENTS)))
        record = await store.load(KEY)
        assert record is not None
        assert record.values["n"] == b"%d" % (self.CLIENTS * self.EACH)
        await store.close()

    @pytest.mark.asyncio
    async def test_needs_no_option(self, url: str) -> None:
        await self.use(ThreadedStore(SQLStore.from_url(url)))

    @pytest.mark.asyncio
    async def test_needs_no_option_in_tasks(self, url: str) -> None:
        await self.use(AsyncSQLStore.from_url(url))

    def test_others_do_not_get_our_limit(self, url: str) -> None:
        store = SQLStore.from_url(url)
        with store._operations._engine.connect() as connection:
            assert connection.execute(text("SHOW statement_timeout")).scalar() == "0"
        store.close()
