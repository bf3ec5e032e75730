"""The SQL store on PostgreSQL: isolation levels, races, lost replies, failing servers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from ctxlocal.session.errors import (
    CorruptRecordError,
    SessionConfigError,
    StoreUnavailableError,
)
from ctxlocal.session.protocol import USER, Answer, Clear, Incr, Stats, Take
from ctxlocal.session.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.testing import check_async_store, check_store
from tests.services import postgresql_server
from tests.session.stores.proxy import Proxy, proxy_to
from tests.session.stores.racing import (
    KEY,
    TTL,
    all_kept,
    race_in_processes,
    race_in_tasks,
    race_in_threads,
)

pytestmark = pytest.mark.postgresql

LEVELS = ("AUTOCOMMIT", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
OTHER = "0f" * 32
ANNA = {USER: b"anna"}


@pytest.fixture
def engine(postgresql_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(postgresql_url, pool_size=50)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sqlalchemy.Engine) -> SQLStore:
    store = SQLStore(engine)
    store.revoke_everyone()
    return store


@pytest.fixture
def proxied(store: SQLStore, postgresql_url: str) -> Iterator[tuple[SQLStore, Proxy]]:
    url = sqlalchemy.make_url(postgresql_url)
    assert url.port is not None
    with proxy_to(url.port) as proxy:
        through = SQLStore.from_url(str(url.set(port=proxy.port)))
        through.load(KEY)
        yield through, proxy
        through.close()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def commit(store: SQLStore, commit_id: str = "c", base: Any = None, **sets: bytes) -> Answer:
    return store.commit(KEY, 0, sets, [], [], TTL, commit_id, base)


def values(store: SQLStore, key: str = KEY) -> dict[str, bytes] | None:
    record = store.load(key)
    return None if record is None else record.values


@contextmanager
def statements(engine: sqlalchemy.Engine) -> Iterator[list[str]]:
    seen: list[str] = []

    def listen(*arguments: Any) -> None:
        seen.append(arguments[2].split()[0])

    event.listen(engine, "before_cursor_execute", listen)
    yield seen
    event.remove(engine, "before_cursor_execute", listen)


class TestContract:
    """What ``ctxlocal.testing`` asks of any store, with replies that get lost."""

    def test_is_fulfilled(self, store: SQLStore, proxied: tuple[SQLStore, Proxy]) -> None:
        through, proxy = proxied
        clock = Clock()

        def make() -> SQLStore:
            store.revoke_everyone()
            return SQLStore(through._engine, clock=clock)

        check_store(make, advance=clock.advance, lose_reply=proxy.losing(b"COMMIT"))

    def test_is_fulfilled_in_tasks(self, store: SQLStore, postgresql_url: str) -> None:
        clock = Clock()

        def make() -> AsyncSQLStore:
            store.revoke_everyone()
            return AsyncSQLStore.from_url(postgresql_url, clock=clock)

        check_async_store(make, advance=clock.advance)


class TestStatements:
    def test_load_and_commit_are_one_each(self, store: SQLStore, engine: sqlalchemy.Engine) -> None:
        store.create(KEY, ANNA, TTL)
        with statements(engine) as seen:
            base = store.load(KEY)
            assert commit(store, base=base, a=b"1").outcome == "committed"
        assert seen == ["SELECT", "UPDATE"]

    def test_a_conflict_takes_one_locked_merge(
        self, store: SQLStore, engine: sqlalchemy.Engine
    ) -> None:
        store.create(KEY, {}, TTL)
        base = store.load(KEY)
        commit(store, "other", base, a=b"1")
        with statements(engine) as seen:
            assert commit(store, "mine", base, b=b"2").outcome == "committed"
        assert seen == ["UPDATE", "SELECT", "UPDATE"]
        assert values(store) == {"a": b"1", "b": b"2"}

    def test_a_base_that_was_changed_by_its_owner_does_no_harm(self, store: SQLStore) -> None:
        store.create(KEY, {"a": b"1"}, TTL)
        base = store.load(KEY)
        assert base is not None
        base.values["a"] = b"9"
        commit(store, base=base, b=b"2")
        assert values(store) == {"a": b"1", "b": b"2"}

    def test_a_base_of_a_former_record_is_not_taken_for_this_one(self, store: SQLStore) -> None:
        store.create(KEY, {"a": b"1"}, TTL)
        base = store.load(KEY)
        store.delete(KEY)
        store.create(KEY, {"b": b"2"}, TTL)
        commit(store, base=base, c=b"3")
        assert values(store) == {"b": b"2", "c": b"3"}


class TestIsolation:
    @pytest.fixture(params=LEVELS)
    def own(self, request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[SQLStore]:
        engine = sqlalchemy.create_engine(
            postgresql_url, isolation_level=request.param, pool_size=50
        )
        store = SQLStore(engine)
        store.revoke_everyone()
        yield store
        engine.dispose()

    def test_threads_lose_nothing(self, own: SQLStore) -> None:
        own.create(KEY, {}, TTL)
        race_in_threads(own, 50)
        assert values(own) == all_kept(50)

    @pytest.mark.parametrize("level", ["repeatable read", "serializable"])
    def test_the_servers_default_level_loses_nothing(
        self, store: SQLStore, postgresql_url: str, level: str
    ) -> None:
        option = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
        engine = sqlalchemy.create_engine(
            postgresql_url, pool_size=50, connect_args={"options": option}
        )
        own = SQLStore(engine)
        own.create(KEY, {}, TTL)
        race_in_threads(own, 50)
        assert values(own) == all_kept(50)
        engine.dispose()

    def test_it_never_joins_the_applications_transaction(
        self, store: SQLStore, engine: sqlalchemy.Engine
    ) -> None:
        store.create(KEY, {}, TTL)
        with engine.connect() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE mine (a int)"))
            commit(store, a=b"1")
            connection.rollback()
            assert connection.get_isolation_level() == connection.default_isolation_level
        assert values(store) == {"a": b"1"}

    def test_a_connection_goes_back_with_the_engines_level(self, postgresql_url: str) -> None:
        engine = sqlalchemy.create_engine(
            postgresql_url, isolation_level="SERIALIZABLE", pool_size=1, max_overflow=0
        )
        SQLStore(engine).load(KEY)
        with engine.connect() as connection:
            assert connection.get_isolation_level() == "SERIALIZABLE"
        engine.dispose()


class TestRaces:
    def test_500_threads_lose_nothing(self, store: SQLStore) -> None:
        store.create(KEY, {}, TTL)
        race_in_threads(store, 500)
        assert values(store) == all_kept(500)

    def test_processes_lose_nothing(self, store: SQLStore, postgresql_url: str) -> None:
        store.create(KEY, {}, TTL)
        race_in_processes(SQLStore.from_url, postgresql_url, 2, 15)
        assert values(store) == all_kept(30)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("count", [50, 500])
    async def test_tasks_lose_nothing(
        self, store: SQLStore, postgresql_url: str, count: int
    ) -> None:
        engine = create_async_engine(postgresql_url, pool_size=5, max_overflow=0)
        tasks = AsyncSQLStore(engine)
        await tasks.create(KEY, {}, TTL)
        await race_in_tasks(tasks, count)
        await engine.dispose()
        assert values(store) == all_kept(count)

    def test_a_new_record_is_made_by_one_of_many(self, store: SQLStore) -> None:
        barrier = threading.Barrier(20)

        def create(number: int) -> bool:
            barrier.wait()
            return store.create(KEY, {"n": b"%d" % number}, TTL)

        with ThreadPoolExecutor(20) as pool:
            made = list(pool.map(create, range(20)))
        assert made.count(True) == 1
        assert values(store) == {"n": b"%d" % made.index(True)}

    def test_r8_a_move_that_runs_does_not_hide_from_a_revocation(
        self, store: SQLStore, engine: sqlalchemy.Engine
    ) -> None:
        store.create(KEY, ANNA, TTL)
        is_locked, is_waiting = threading.Event(), threading.Event()

        def listen(*arguments: Any) -> None:
            if arguments[2].startswith("INSERT"):
                is_locked.set()
                is_waiting.wait()

        event.listen(engine, "before_cursor_execute", listen)
        with ThreadPoolExecutor(2) as pool, engine.connect() as watch:
            moved = pool.submit(store.move, KEY, OTHER, {}, TTL)
            is_locked.wait()
            revoked = pool.submit(store.revoke, "anna")
            waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            while watch.execute(waiting).scalar() == 0:
                watch.rollback()
            is_waiting.set()
            assert (moved.result(), revoked.result()) == (True, 1)
        assert store.load(OTHER) is None


class TestTable:
    def test_is_created_by_many_at_once(self, engine: sqlalchemy.Engine) -> None:
        stores = [SQLStore(engine, table="made_at_once") for _ in range(20)]
        barrier = threading.Barrier(20)

        def use(store: SQLStore) -> None:
            barrier.wait()
            store.load(KEY)

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(use, stores))
        indexes = sqlalchemy.inspect(engine).get_indexes("made_at_once")
        assert sorted(index["name"] or "" for index in indexes) == [
            "ix_made_at_once_expires",
            "ix_made_at_once_user",
        ]

    def test_is_created_beforehand(self, engine: sqlalchemy.Engine) -> None:
        store = SQLStore(engine, table="made_before")
        store.create_table()
        store.create_table()
        assert sqlalchemy.inspect(engine).has_table("made_before")

    @pytest.mark.asyncio
    async def test_is_created_by_a_task(self, postgresql_url: str) -> None:
        store = AsyncSQLStore.from_url(postgresql_url, table="made_by_a_task")
        await store.create_table()
        assert await store.load(KEY) is None
        await store.close()

    def test_without_the_right_to_make_one_it_is_unavailable(
        self, store: SQLStore, engine: sqlalchemy.Engine, postgresql_url: str
    ) -> None:
        with engine.begin() as connection:
            connection.execute(text("DROP ROLE IF EXISTS reader"))
            connection.execute(text("CREATE ROLE reader LOGIN"))
        url = sqlalchemy.make_url(postgresql_url).set(username="reader")
        reader = SQLStore.from_url(str(url), table="not_made")
        with pytest.raises(StoreUnavailableError):
            reader.load(KEY)
        reader.close()


class TestTimes:
    def test_r9_what_has_expired_is_gone_and_purged(self, engine: sqlalchemy.Engine) -> None:
        clock = Clock()
        store = SQLStore(engine, table="clocked", clock=clock)
        store.create(KEY, ANNA, 10)
        clock.now += 9
        assert commit(store, a=b"1").outcome == "committed"
        clock.now += TTL
        base = store.list("anna")
        assert (base, values(store), store.stats()) == ([], None, Stats(0, 0, 0))
        assert commit(store, "d") == Answer("revoked")
        assert not store.touch(KEY, TTL)
        assert not store.delete(KEY)
        assert not store.move(KEY, OTHER, {}, TTL)
        assert store.revoke("anna") == 0
        assert store.purge() == 1
        store.create(KEY, {}, 10)
        clock.now += 10
        assert store.create(KEY, {"new": b"1"}, 10)
        assert store.revoke_everyone() == 1

    def test_a_key_moved_with_a_grace_is_followed_for_so_long(
        self, engine: sqlalchemy.Engine
    ) -> None:
        clock = Clock()
        store = SQLStore(engine, table="clocked", clock=clock)
        store.revoke_everyone()
        store.create(KEY, {"a": b"1"}, TTL)
        assert store.move(KEY, OTHER, {}, TTL, 5)
        assert store.load(KEY) == store.load(OTHER)
        assert store.commit(KEY, 0, {}, [], [Incr("n", 1)], TTL, "n") == Answer("committed", (1,))
        assert commit(store, b=b"1") == Answer("revoked")
        clock.now += 5
        assert store.load(KEY) is None
        assert store.commit(KEY, 0, {}, [], [Incr("n", 1)], TTL, "m") == Answer("revoked")
        assert values(store, OTHER) == {"a": b"1", "n": b"1"}
        assert store.purge() == 1


class TestLostReplies:
    OPS = (Incr("n", 1), Take("t"))

    @pytest.mark.parametrize(("has_base", "where"), [(True, b"UPDATE"), (False, b"COMMIT")])
    def test_a_commit_counts_once(
        self, proxied: tuple[SQLStore, Proxy], has_base: bool, where: bytes
    ) -> None:
        store, proxy = proxied
        store.create(KEY, {"t": b"x"}, TTL)
        base = store.load(KEY) if has_base else None
        proxy.lose_reply_to(where)
        answer = store.commit(KEY, 0, {}, [], self.OPS, TTL, "lost", base)
        assert answer == Answer("committed", (1, b"x"))
        assert proxy.lost == 1
        assert values(store) == {"n": b"1"}
        assert store.commit(KEY, 0, {}, [], self.OPS, TTL, "lost", store.load(KEY)) == answer

    def test_a_clear_counts_once(self, proxied: tuple[SQLStore, Proxy]) -> None:
        store, proxy = proxied
        store.create(KEY, ANNA, TTL)
        proxy.lose_reply_to(b"UPDATE")
        answer = store.commit(KEY, 0, {"a": b"1"}, [], [Clear()], TTL, "lost", store.load(KEY))
        assert answer == Answer("committed", (None,))
        record = store.load(KEY)
        assert record is not None
        assert (record.generation, record.values, proxy.lost) == (1, {"a": b"1"}, 1)
        assert store.list("anna") == []

    def test_a_create_knows_its_own_record(self, proxied: tuple[SQLStore, Proxy]) -> None:
        store, proxy = proxied
        proxy.lose_reply_to(b"INSERT")
        assert store.create(KEY, {}, TTL)
        assert proxy.lost == 1
        assert not store.create(KEY, {}, TTL)

    def test_a_move_is_known_again(self, proxied: tuple[SQLStore, Proxy]) -> None:
        store, proxy = proxied
        store.create(KEY, {"a": b"1"}, TTL)
        proxy.lose_reply_to(b"COMMIT")
        assert store.move(KEY, OTHER, {}, TTL)
        assert proxy.lost == 1
        assert (values(store), values(store, OTHER)) == (None, {"a": b"1"})


class TestFailure:
    @pytest.fixture
    def failing(self, store: SQLStore) -> Callable[[Callable[[], object]], BaseException | None]:
        def fails(operation: Callable[[], object]) -> BaseException | None:
            with pytest.raises(StoreUnavailableError) as caught:
                operation()
            return caught.value.__cause__

        return fails

    def test_a_restarted_server_is_used_again_at_once(
        self, failing: Callable[[Callable[[], object]], BaseException | None]
    ) -> None:
        with postgresql_server() as server:
            url = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
            store = SQLStore.from_url(url)
            store.create(KEY, {}, TTL)
            server.stop(signal.SIGINT)
            assert isinstance(failing(lambda: store.load(KEY)), DBAPIError)
            assert isinstance(failing(lambda: commit(store)), DBAPIError)
            server.start()
            assert commit(store, a=b"1").outcome == "committed"
            server.stop(signal.SIGINT)
            server.start()
            assert values(store) == {"a": b"1"}
            store.close()

    def test_a_statement_timeout_is_unavailable(
        self,
        store: SQLStore,
        engine: sqlalchemy.Engine,
        postgresql_url: str,
        failing: Callable[[Callable[[], object]], BaseException | None],
    ) -> None:
        store.create(KEY, {}, TTL)
        own = SQLStore.from_url(f"{postgresql_url}?options=-c%20statement_timeout%3D50")
        own.load(KEY)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE ctxlocal_sessions"))
            cause = failing(lambda: commit(own, a=b"1"))
        assert isinstance(cause, DBAPIError)
        assert "statement timeout" in str(cause)
        assert KEY not in str(cause)
        assert commit(own, a=b"1").outcome == "committed"
        own.close()

    def test_a_full_pool_is_unavailable(
        self,
        store: SQLStore,
        postgresql_url: str,
        failing: Callable[[Callable[[], object]], BaseException | None],
    ) -> None:
        engine = sqlalchemy.create_engine(
            postgresql_url, pool_size=1, max_overflow=0, pool_timeout=0.01
        )
        own = SQLStore(engine)
        with engine.connect():
            assert isinstance(failing(lambda: own.load(KEY)), TimeoutError)
        assert own.load(KEY) is None
        engine.dispose()

    def test_the_password_is_in_no_name_and_no_message(
        self, failing: Callable[[Callable[[], object]], BaseException | None]
    ) -> None:
        store = SQLStore.from_url("postgres://user:s3cret@127.0.0.1:1/db?application_name=s3cret")
        cause = failing(lambda: store.load(KEY))
        assert store.name == "postgresql://127.0.0.1:1/db"
        assert repr(store) == "<SQLStore postgresql://127.0.0.1:1/db>"
        assert "s3cret" not in str(cause)
        store.close()

    @pytest.mark.asyncio
    async def test_a_task_is_told_too(self) -> None:
        store = AsyncSQLStore.from_url("postgresql://user:s3cret@127.0.0.1:1/db")
        with pytest.raises(StoreUnavailableError) as caught:
            await store.load(KEY)
        assert "s3cret" not in str(caught.value) + str(caught.value.__cause__)
        await store.close()


class TestCorruptRecords:
    """R32: a row whose blobs cannot be read harms nothing else."""

    @pytest.fixture(
        params=[
            "fields = 'rubbish'",
            "fields = '\\x81a1ffc40161'",
            "fields = ''",
            "recent = '\\xc1'",
        ]
    )
    def spoiled(
        self, request: pytest.FixtureRequest, store: SQLStore, engine: sqlalchemy.Engine
    ) -> str:
        """What came of the columns; the record of KEY is spoiled, that of OTHER is not."""
        store.create(KEY, ANNA, TTL)
        store.create(OTHER, ANNA, TTL)
        change = f"UPDATE ctxlocal_sessions SET {request.param} WHERE key = '{KEY}'"
        with engine.begin() as connection:
            connection.execute(text(change))
        return change

    def test_r32_load_tells_it_from_a_missing_one(self, store: SQLStore, spoiled: str) -> None:
        with pytest.raises(CorruptRecordError) as caught:
            store.load(KEY)
        assert str(caught.value) == (
            f"The session store {store.name} holds a record it cannot read: "
            "a row's blob is no msgpack of ours."
        )

    def test_r32_nothing_changes_it_but_delete(self, store: SQLStore, spoiled: str) -> None:
        assert commit(store, a=b"1") == Answer("revoked")
        assert not store.move(KEY, "new", {}, TTL)
        assert not store.create(KEY, {}, TTL)
        assert store.delete(KEY)
        assert store.load(KEY) is None

    def test_r32_list_and_scan_leave_it_out_with_a_line_each(
        self, store: SQLStore, spoiled: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert [key for key, _ in store.list("anna")] == [OTHER]
        assert [key for key, _ in store.scan()] == [OTHER]
        line = (
            f"record left out: The session store {store.name} holds a record it cannot read: "
            "a row's blob is no msgpack of ours."
        )
        assert caplog.messages == [line, line]
        assert store.revoke("anna") == 2

    @pytest.mark.asyncio
    async def test_r32_a_task_is_told_too(
        self, store: SQLStore, spoiled: str, postgresql_url: str
    ) -> None:
        tasks = AsyncSQLStore.from_url(postgresql_url)
        with pytest.raises(CorruptRecordError):
            await tasks.load(KEY)
        await tasks.close()


class TestConfiguration:
    def test_a_url_of_nothing_is_refused_without_its_password(self) -> None:
        with pytest.raises(SessionConfigError) as caught:
            SQLStore.from_url("s3cret")
        assert str(caught.value) == "url: it is no URL that SQLAlchemy takes"
        assert caught.value.__suppress_context__

    def test_sqlite_is_refused(self) -> None:
        with pytest.raises(SessionConfigError, match=r"^engine: it is SQLite's; use SQLiteStore$"):
            SQLStore(sqlalchemy.create_engine("sqlite://"))
        with pytest.raises(SessionConfigError, match=r"^url: it is SQLite's; use SQLiteStore$"):
            SQLStore.from_url("sqlite://")

    def test_an_engine_of_the_other_kind_is_refused(
        self, engine: sqlalchemy.Engine, postgresql_url: str
    ) -> None:
        with pytest.raises(SessionConfigError, match=r"^engine: give an AsyncEngine \("):
            AsyncSQLStore(engine)  # type: ignore[arg-type]
        with pytest.raises(SessionConfigError, match=r"^engine: give a sqlalchemy.Engine \("):
            SQLStore(create_async_engine(postgresql_url))  # type: ignore[arg-type]

    def test_a_given_engine_stays_open(self, store: SQLStore, engine: sqlalchemy.Engine) -> None:
        store.load(KEY)
        store.close()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
