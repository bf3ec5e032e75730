"""The SQL store on MariaDB: drivers, sizes, lax mode, races, lost replies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.forwarding import AtOnce
from ctxlocal.sessions.stores.protocol import Answer, Change
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.testing import check_async_store, check_store
from tests.sessions.stores.proxy import Proxy, proxy_to
from tests.sessions.stores.racing import (
    KEY,
    TTL,
    all_kept,
    race_in_tasks,
    race_in_threads,
    revoke_what_others_renew,
)
from tests.sessions.stores.test_demotion import operations_of
from tests.sessions.stores.test_sql import Clock, commit, values
from tests.support.services import mariadb_server

pytestmark = pytest.mark.mariadb

# mysqlclient where it was installed: it needs MariaDB's library in C.
BLOCKING = ["pymysql", *(["mysqldb"] if find_spec("MySQLdb") else [])]
ASYNC = ["asyncmy"]
SETTINGS = "sql_mode = '', innodb_snapshot_isolation = ON, tx_isolation = 'SERIALIZABLE'"


@pytest.fixture
def engine(mariadb_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(mariadb_url, pool_size=50)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sqlalchemy.Engine) -> SQLStore:
    store = SQLStore(engine)
    store.revoke_everyone()
    return store


@pytest.fixture
def proxy(mariadb_url: str) -> Iterator[Proxy]:
    port = sqlalchemy.make_url(mariadb_url).port
    assert port is not None
    with proxy_to(port) as proxy:
        yield proxy


def through(url: str, driver: str, port: int | None = None) -> str:
    """Return the URL for a driver, or for a proxy's port."""
    target = sqlalchemy.make_url(url).set(drivername=f"mysql+{driver}")
    return str(target if port is None else target.set(port=port))


@pytest.mark.slow
class TestContract:
    """What ``ctxlocal.testing`` asks of any store, with replies that get lost."""

    @pytest.mark.parametrize("driver", BLOCKING)
    def test_is_fulfilled(
        self, store: SQLStore, mariadb_url: str, driver: str, proxy: Proxy
    ) -> None:
        clock = Clock()
        own = SQLStore.from_url(through(mariadb_url, driver, proxy.port))

        def make() -> SQLStore:
            store.revoke_everyone()
            return SQLStore(own._operations._engine, clock=clock)

        check_store(make, advance=clock.advance, lose_reply=proxy.losing(b"COMMIT"))
        own.close()

    @pytest.mark.parametrize("driver", ASYNC)
    def test_is_fulfilled_in_tasks(self, store: SQLStore, mariadb_url: str, driver: str) -> None:
        clock, url = Clock(), through(mariadb_url, driver)

        def make() -> AsyncSQLStore:
            store.revoke_everyone()
            return AsyncSQLStore.from_url(url, clock=clock)

        check_async_store(make, advance=clock.advance)

    def test_is_fulfilled_whatever_the_connections_settings(
        self, store: SQLStore, mariadb_url: str
    ) -> None:
        command = {"init_command": f"SET SESSION {SETTINGS}"}
        engine = sqlalchemy.create_engine(mariadb_url, connect_args=command, pool_size=50)
        clock = Clock()

        def make() -> SQLStore:
            store.revoke_everyone()
            return SQLStore(engine, clock=clock)

        check_store(make, advance=clock.advance)
        engine.dispose()


class TestTable:
    def test_of_64_kb_a_session_is_refused_with_what_mends_it(
        self, engine: sqlalchemy.Engine
    ) -> None:
        store = SQLStore(engine, table="short")
        store.create_table()
        store.create(KEY, {"a": b"1"}, TTL)
        with engine.begin() as connection:
            connection.execute(
                text("ALTER TABLE short MODIFY fields BLOB NOT NULL, MODIFY recent BLOB NOT NULL")
            )
        later = SQLStore(engine, table="short")
        with pytest.raises(StoreUnavailableError) as caught:
            later.load(KEY)
        assert isinstance(caught.value.__cause__, SessionConfigError)
        told, _, mending = str(caught.value.__cause__).partition(" Keep its sessions: ")
        assert told == "table: the table 'short' holds 64 KB of a session, and no more."
        with engine.begin() as connection:
            connection.execute(text(mending))
        assert commit(later, b=b"x" * 70_000) == Answer("committed")
        assert values(later) == {"a": b"1", "b": b"x" * 70_000}

    def test_keys_are_compared_as_they_are(self, store: SQLStore) -> None:
        assert store.create("a", {"a": b"1"}, TTL)
        assert store.create("A", {"a": b"2"}, TTL)
        assert (values(store, "a"), values(store, "A")) == ({"a": b"1"}, {"a": b"2"})

    @pytest.mark.parametrize("mode", ["", "ANSI"])
    @pytest.mark.parametrize("driver", [*BLOCKING, *ASYNC])
    @pytest.mark.asyncio
    async def test_what_is_too_long_is_refused_by_a_store_of_a_url(
        self, engine: sqlalchemy.Engine, mariadb_url: str, driver: str, mode: str
    ) -> None:
        url = through(mariadb_url, driver)
        with lax(engine, mode):
            own = AsyncSQLStore.from_url(url) if driver in ASYNC else AtOnce(SQLStore.from_url(url))
            with pytest.raises(StoreUnavailableError, match="create"):
                await own.create("k" * 65, {}, TTL)
            await own.close()


class TestRaces:
    def test_500_threads_lose_nothing(self, store: SQLStore) -> None:
        store.create(KEY, {}, TTL)
        race_in_threads(store, 500)
        assert values(store) == all_kept(500)

    @pytest.mark.parametrize("driver", ASYNC)
    @pytest.mark.asyncio
    async def test_tasks_lose_nothing(self, store: SQLStore, mariadb_url: str, driver: str) -> None:
        engine = create_async_engine(through(mariadb_url, driver), pool_size=5, max_overflow=0)
        tasks = AsyncSQLStore(engine)
        await tasks.create(KEY, {}, TTL)
        await race_in_tasks(tasks, 200)
        await engine.dispose()
        assert values(store) == all_kept(200)

    @pytest.mark.slow
    def test_r8_no_revocation_is_escaped_by_renewals(
        self, store: SQLStore, mariadb_url: str
    ) -> None:
        names, graces = ("first", "second"), ("0", "100")
        assert revoke_what_others_renew(store, mariadb_url, "anna", names, graces) == 2


@pytest.mark.parametrize("driver", [*BLOCKING, *ASYNC])
@pytest.mark.asyncio
async def test_a_restarted_server_is_used_again_at_once(
    store: SQLStore, mariadb_url: str, driver: str
) -> None:
    with mariadb_server() as server:
        url = through(mariadb_url, driver, server.port)
        own = AsyncSQLStore.from_url(url) if driver in ASYNC else AtOnce(SQLStore.from_url(url))
        await asyncio.gather(*(own.load(KEY) for _ in range(4)))  # as many connections
        assert await own.create(KEY, {}, TTL)
        base = await own.load(KEY)
        for what in (base, None):
            server.stop()
            with pytest.raises(StoreUnavailableError):
                await own.delete(KEY)
            server.start()
            answer = await own.commit(KEY, 0, Change(f"{what}", {"a": b"1"}), TTL, what)
            assert answer.outcome == "committed"
            server.stop()
            server.start()
            assert await own.load(KEY) is not None
        await own.close()


@contextmanager
def lax(engine: sqlalchemy.Engine, mode: str) -> Iterator[None]:
    """Let the server's new connections have this mode."""
    with engine.begin() as connection:
        former = connection.execute(text("SELECT @@GLOBAL.sql_mode")).scalar()
        connection.execute(text("SET GLOBAL sql_mode = :mode"), {"mode": mode})
        yield
        connection.execute(text("SET GLOBAL sql_mode = :mode"), {"mode": former})


@pytest.mark.parametrize("driver", [*BLOCKING, *ASYNC])
@pytest.mark.asyncio
async def test_a_connection_that_is_lost_when_all_is_done_takes_no_answer_along(
    engine: sqlalchemy.Engine, mariadb_url: str, driver: str
) -> None:
    """Nor a place in the pool, of which there are 15."""
    SQLStore(engine).revoke_everyone()
    url = mariadb_url.replace("pymysql", driver)
    store = AsyncSQLStore.from_url(url) if driver in ASYNC else AtOnce(SQLStore.from_url(url))
    dialect = operations_of(store)._engine.dialect
    really_reset = dialect.do_rollback
    lost = 0

    def reset_and_lose(connection: Any) -> None:
        nonlocal lost
        really_reset(connection)
        with engine.connect() as admin:
            driven = getattr(connection, "_connection", connection)
            admin.execute(text(f"KILL {driven.thread_id()}"))
        lost += 1

    await store.load(KEY)
    for number in range(20):
        key = f"{number:064d}"
        assert await store.create(key, {}, TTL)
        dialect.do_rollback = reset_and_lose
        assert await store.delete(key)
        dialect.do_rollback = really_reset
    assert lost >= 20
    await store.close()
