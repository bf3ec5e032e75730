"""The SQL store on PostgreSQL: isolation levels, races, lost replies, failing servers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from ctxlocal.sessions.errors import CorruptRecordError, SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.protocol import HANDLE, USER, Answer, Change, Clear, Incr, Stats, Take
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.sql.steps import _has_lost
from ctxlocal.testing import check_async_store, check_store
from tests.sessions.stores.proxy import Proxy, proxy_to
from tests.sessions.stores.racing import (
    KEY,
    TTL,
    all_kept,
    race_in_processes,
    race_in_tasks,
    race_in_threads,
    revoke_what_others_renew,
)
from tests.support.patience import PATIENCE_S
from tests.support.services import postgresql_server

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
    return store.commit(KEY, 0, Change(commit_id, sets), TTL, base)


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


@pytest.mark.slow
class TestContract:
    """What ``ctxlocal.testing`` asks of any store, with replies that get lost."""

    def test_is_fulfilled(self, store: SQLStore, proxied: tuple[SQLStore, Proxy]) -> None:
        through, proxy = proxied
        clock = Clock()

        def make() -> SQLStore:
            store.revoke_everyone()
            return SQLStore(through._operations._engine, clock=clock)

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


class Cause(Exception):
    """An error as a driver raises it: with the database's code, or with its number first."""

    def __init__(self, *arguments: object, **codes: str) -> None:
        super().__init__(*arguments)
        vars(self).update(codes)


@pytest.mark.parametrize(
    ("cause", "has_lost"),
    [
        (Cause("could not serialize access", sqlstate="40001"), True),
        (Cause("deadlock detected", pgcode="40P01"), True),
        (Cause(1213, "Deadlock found when trying to get lock"), True),
        (Cause(1020, "Record has changed since last read in table"), True),
        (Cause(1205, "Lock wait timeout exceeded"), False),
        (Cause("canceling statement", sqlstate="57014"), False),
        (Cause(), False),
        (None, False),
    ],
)
def test_a_transaction_that_lost_is_known_whatever_the_database(
    cause: Exception | None, has_lost: bool
) -> None:
    error = DBAPIError("UPDATE", {}, cause)  # type: ignore[arg-type]
    assert _has_lost(error) is has_lost


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


HANDLE_OF_ANNA = "a1" * 16
NEWEST = "1f" * 32

ENDINGS: dict[str, Callable[[SQLStore], object]] = {
    "revoke": lambda store: store.revoke("anna"),
    "revoke but another": lambda store: store.revoke("anna", "another"),
    "revoke by handle": lambda store: store.revoke("anna", None, HANDLE_OF_ANNA),
    "revoke everyone": lambda store: store.revoke_everyone(),
    "delete": lambda store: store.delete(KEY),
}


class Mover:
    """A store whose moves stop where they are told to, and go on when they are told to."""

    def __init__(self, url: str) -> None:
        self.engine = sqlalchemy.create_engine(url, pool_size=20)
        self.store = SQLStore(self.engine)
        self.store.load(KEY)
        self._stop_at = ""
        self.has_stopped, self.may_go_on = threading.Event(), threading.Event()
        event.listen(self.engine, "after_cursor_execute", self._hold)

    def stop_at(self, statement: str) -> None:
        """Stop after the next statement that begins so; its transaction stays open."""
        self.has_stopped.clear()
        self.may_go_on.clear()
        self._stop_at = statement

    def _hold(self, *arguments: Any) -> None:
        if self._stop_at and arguments[2].startswith(self._stop_at):
            self._stop_at = ""
            self.has_stopped.set()
            assert self.may_go_on.wait(60)


@pytest.fixture
def mover(store: SQLStore, postgresql_url: str) -> Iterator[Mover]:
    made = Mover(postgresql_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def wait_for_locks(postgresql_url: str) -> Iterator[Callable[[int], None]]:
    """Return when so many transactions wait for another one's lock."""
    engine = sqlalchemy.create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

    def wait(count: int) -> None:
        limit = time.monotonic() + PATIENCE_S
        with engine.connect() as watch:
            while watch.execute(waiting).scalar() != count:
                assert time.monotonic() < limit, f"{count} do not wait"
                threading.Event().wait(0.01)

    yield wait
    engine.dispose()


#: Before the move has changed anything (it has locked the row), when the row is changed, and when
#: nothing but its COMMIT is missing.
STOPS = ("SELECT", "UPDATE", "INSERT")


@pytest.mark.slow
class TestRenewals:
    """What ends a record ends it wherever moves have taken it, or are about to."""

    @pytest.fixture(autouse=True)
    def record(self, store: SQLStore) -> None:
        store.create(KEY, {**ANNA, HANDLE: HANDLE_OF_ANNA.encode()}, TTL)
        store.create("another", {**ANNA, HANDLE: b"b2" * 16}, TTL)

    def ended(self, store: SQLStore) -> bool:
        return all(store.load(key) is None for key in (KEY, OTHER, NEWEST))

    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize("stop", STOPS)
    @pytest.mark.parametrize("grace", [0, 100])
    def test_r8_a_move_that_runs_does_not_hide_from_an_end(
        self,
        store: SQLStore,
        mover: Mover,
        wait_for_locks: Callable[[int], None],
        ending: str,
        stop: str,
        grace: float,
    ) -> None:
        mover.stop_at(stop)
        with ThreadPoolExecutor(2) as pool:
            moved = pool.submit(mover.store.move, KEY, OTHER, {}, TTL, grace)
            mover.has_stopped.wait()
            done = pool.submit(ENDINGS[ending], store)
            wait_for_locks(1)
            mover.may_go_on.set()
            assert moved.result()
            assert done.result()
        assert self.ended(store)

    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize("grace", [0, 100])
    def test_r8_two_moves_do_not_hide_from_an_end(
        self,
        store: SQLStore,
        mover: Mover,
        postgresql_url: str,
        wait_for_locks: Callable[[int], None],
        ending: str,
        grace: float,
    ) -> None:
        """The first is committed when the end begins to look, the second is not."""
        assert mover.store.move(KEY, OTHER, {}, TTL, grace)
        mover.stop_at("INSERT")
        begin = {"delete": lambda store: store.delete(OTHER)}
        with ThreadPoolExecutor(2) as pool:
            moved = pool.submit(mover.store.move, OTHER, NEWEST, {}, TTL, grace)
            mover.has_stopped.wait()
            done = pool.submit(begin.get(ending, ENDINGS[ending]), store)
            wait_for_locks(1)
            mover.may_go_on.set()
            assert moved.result()
            assert done.result()
        assert self.ended(store)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_r8_a_login_by_an_old_key_does_not_hide_from_an_end(
        self,
        store: SQLStore,
        mover: Mover,
        wait_for_locks: Callable[[int], None],
        ending: str,
    ) -> None:
        """It waits for the same renewal as the end does, and comes before it."""
        mover.stop_at("INSERT")
        with ThreadPoolExecutor(3) as pool:
            renewed = pool.submit(mover.store.move, KEY, OTHER, {}, TTL, 100)
            mover.has_stopped.wait()
            moved = pool.submit(store.move, KEY, NEWEST, ANNA, TTL, 0)
            wait_for_locks(1)
            done = pool.submit(ENDINGS[ending], store)
            wait_for_locks(2)
            mover.may_go_on.set()
            assert renewed.result()
            moved.result()
            assert done.result()
        assert self.ended(store)

    def test_r8_the_servers_default_level_hides_nothing(
        self,
        store: SQLStore,
        mover: Mover,
        postgresql_url: str,
        wait_for_locks: Callable[[int], None],
    ) -> None:
        option = "-c default_transaction_isolation=serializable"
        engine = sqlalchemy.create_engine(postgresql_url, connect_args={"options": option})
        ender = SQLStore(engine)
        mover.stop_at("INSERT")
        with ThreadPoolExecutor(2) as pool, statements(engine) as seen:
            moved = pool.submit(mover.store.move, KEY, OTHER, {}, TTL, 0)
            mover.has_stopped.wait()
            done = pool.submit(ender.revoke, "anna")
            wait_for_locks(1)
            mover.may_go_on.set()
            assert (moved.result(), done.result()) == (True, 2)
        assert seen[-1:] == ["DELETE"]
        assert seen.count("DELETE") == 1
        assert self.ended(store)
        engine.dispose()

    def test_r8_what_is_spared_may_be_renewed_meanwhile(
        self, store: SQLStore, mover: Mover, wait_for_locks: Callable[[int], None]
    ) -> None:
        mover.stop_at("INSERT")
        with ThreadPoolExecutor(2) as pool:
            moved = pool.submit(mover.store.move, KEY, OTHER, {}, TTL, 0)
            mover.has_stopped.wait()
            done = pool.submit(store.revoke, "anna", KEY)
            assert done.result() == 1  # it need not wait
            mover.may_go_on.set()
            assert moved.result()
        assert [key for key, _ in store.list("anna")] == [OTHER]

    def test_r11_what_was_listed_is_evicted_wherever_it_went(self, store: SQLStore) -> None:
        oldest = store.list("anna")[0]
        assert oldest[0] == KEY
        assert store.move(KEY, OTHER, {}, TTL)
        assert store.revoke("anna", None, oldest[1].values[HANDLE].decode()) == 1
        assert [key for key, _ in store.list("anna")] == ["another"]

    def test_another_users_login_is_not_ended(
        self, store: SQLStore, mover: Mover, wait_for_locks: Callable[[int], None]
    ) -> None:
        mover.stop_at("INSERT")
        with ThreadPoolExecutor(2) as pool:
            moved = pool.submit(mover.store.move, KEY, OTHER, {USER: b"berta"}, TTL)
            mover.has_stopped.wait()
            done = pool.submit(store.revoke, "anna")
            wait_for_locks(1)
            mover.may_go_on.set()
            assert (moved.result(), done.result()) == (True, 1)
        assert [key for key, _ in store.list("berta")] == [OTHER]

    @pytest.mark.parametrize("stop", STOPS)
    @pytest.mark.parametrize("grace", [0, 100])
    def test_a_request_by_the_old_key_sees_the_record_until_the_move_is_done(
        self, store: SQLStore, mover: Mover, stop: str, grace: float
    ) -> None:
        mover.stop_at(stop)
        with ThreadPoolExecutor(2) as pool:
            moved = pool.submit(mover.store.move, KEY, OTHER, {}, TTL, grace)
            mover.has_stopped.wait()
            assert values(store) is not None
            assert values(store, OTHER) is None
            answer = pool.submit(store.commit, KEY, 0, Change("c", {"a": b"1"}), TTL)
            mover.may_go_on.set()
            assert moved.result()
            assert answer.result() == Answer("committed" if grace else "revoked")
        assert (values(store) is not None) is bool(grace)
        assert ("a" in (values(store, OTHER) or {})) is bool(grace)

    def test_of_two_renewals_the_second_is_told(
        self, store: SQLStore, mover: Mover, wait_for_locks: Callable[[int], None]
    ) -> None:
        mover.stop_at("INSERT")
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(mover.store.move, KEY, OTHER, {}, TTL, 100)
            mover.has_stopped.wait()
            second = pool.submit(store.move, KEY, NEWEST, {}, TTL, 100)
            wait_for_locks(1)
            mover.may_go_on.set()
            assert (first.result(), second.result()) == (True, False)
        assert values(store) == values(store, OTHER)
        assert values(store, NEWEST) is None

    def test_renewals_cost_the_same_however_many_there_were(
        self, store: SQLStore, engine: sqlalchemy.Engine
    ) -> None:
        keys = [KEY, *(f"{number:064}" for number in range(100))]
        for old, new in pairwise(keys):
            with statements(engine) as moved:
                assert store.move(old, new, {}, TTL, 100)
            with statements(engine) as seen:
                assert store.load(KEY) is not None
            assert seen == ["SELECT", "SELECT"]
            assert moved == ["SELECT", "SELECT", "UPDATE", "DELETE", "DELETE", "INSERT"]
        assert store.revoke("anna") == 2
        assert all(store.load(key) is None for key in keys)

    def test_r8_clients_of_other_processes_that_renew_in_a_loop_are_ended(
        self, store: SQLStore, postgresql_url: str
    ) -> None:
        names, graces = ("first", "second"), ("0", "100")
        assert revoke_what_others_renew(store, postgresql_url, "anna", names, graces) == 4


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
            "ix_made_at_once_key",
            "ix_made_at_once_user",
        ]

    @pytest.mark.parametrize("is_session", [True, False])
    def test_of_another_layout_is_refused_and_left_alone(
        self, engine: sqlalchemy.Engine, is_session: bool
    ) -> None:
        table = f"of_old_{is_session}".lower()
        name = table if is_session else f"{table}_old_keys"
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {name} (key text, expires float)"))
        store = SQLStore(engine, table=table)
        uses: list[Callable[[], object]] = [store.create_table, lambda: store.load(KEY)]
        for use in uses:
            with pytest.raises(StoreUnavailableError) as caught:
                use()
            lacking = "id, fields, recent, version, generation, touched, user_hash, handle_hash"
            assert isinstance(caught.value.__cause__, SessionConfigError)
            assert str(caught.value.__cause__) == (
                f"table: the database has a table {name!r} of another layout, without the columns "
                f"{lacking if is_session else 'id, moved_to'}. Drop it, which ends the sessions in "
                "it, or give the store another name: table=..."
            )
        made = set(sqlalchemy.inspect(engine).get_table_names())
        assert made & {table, f"{table}_old_keys"} == {name}
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {name}"))
        assert store.load(KEY) is None

    def test_is_created_beforehand(self, engine: sqlalchemy.Engine) -> None:
        store = SQLStore(engine, table="made_before")
        store.create_table()
        store.create_table()
        assert sqlalchemy.inspect(engine).has_table("made_before")
        assert sqlalchemy.inspect(engine).has_table("made_before_old_keys")

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

    def test_a_commit_does_not_revive_what_a_touch_let_expire(
        self, engine: sqlalchemy.Engine
    ) -> None:
        clock = Clock()
        store = SQLStore(engine, table="clocked", clock=clock)
        store.revoke_everyone()
        store.create(KEY, {}, TTL)
        base = store.load(KEY)
        assert store.touch(KEY, 5)
        clock.now += 5
        assert commit(store, base=base, a=b"1") == Answer("revoked")

    def test_an_old_key_left_by_a_former_record_leads_nowhere(
        self, engine: sqlalchemy.Engine
    ) -> None:
        store = SQLStore(engine, table="clocked")
        store.revoke_everyone()
        for _ in range(2):
            assert store.create(KEY, {}, TTL)
            assert store.move(KEY, OTHER, {}, TTL, 500)
            assert store.delete(OTHER)
            assert store.load(KEY) is None

    def test_a_key_moved_with_a_grace_is_followed_for_so_long(
        self, engine: sqlalchemy.Engine
    ) -> None:
        clock = Clock()
        store = SQLStore(engine, table="clocked", clock=clock)
        store.revoke_everyone()
        store.create(KEY, {"a": b"1"}, TTL)
        assert store.move(KEY, OTHER, {}, TTL, 5)
        assert values(store) == values(store, OTHER) == {"a": b"1"}
        assert store.commit(KEY, 0, Change("n", ops=[Incr("n", 1)]), TTL) == Answer(
            "committed", (1,)
        )
        assert commit(store, b=b"1") == Answer("committed")
        clock.now += 5
        assert store.load(KEY) is None
        assert store.commit(KEY, 0, Change("m", ops=[Incr("n", 1)]), TTL) == Answer("revoked")
        assert values(store, OTHER) == {"a": b"1", "b": b"1", "n": b"1"}
        assert store.purge() == 0
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM clocked_old_keys")).scalar() == 0


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
        answer = store.commit(KEY, 0, Change("lost", ops=self.OPS), TTL, base)
        assert answer == Answer("committed", (1, b"x"))
        assert proxy.lost == 1
        assert values(store) == {"n": b"1"}
        assert store.commit(KEY, 0, Change("lost", ops=self.OPS), TTL, store.load(KEY)) == answer

    @pytest.mark.parametrize("has_base", [True, False])
    @pytest.mark.parametrize(("others", "is_known"), [(15, True), (16, False), (40, False)])
    def test_a_commit_never_counts_twice_whatever_came_before_its_repetition(
        self,
        store: SQLStore,
        engine: sqlalchemy.Engine,
        has_base: bool,
        others: int,
        is_known: bool,
    ) -> None:
        other = SQLStore(engine)
        store.create(KEY, {"t": b"x"}, TTL)
        base = store.load(KEY) if has_base else None
        operations: Any = store._operations
        perform = operations._perform

        async def lose(job: Any) -> Any:
            await perform(job)
            operations._perform = perform
            for number in range(others):
                assert commit(other, f"other{number}", m=b"1").outcome == "committed"
            raise DBAPIError("COMMIT", {}, Cause("gone"), connection_invalidated=True)

        operations._perform = lose
        if is_known:
            answer = store.commit(KEY, 0, Change("lost", ops=self.OPS), TTL, base)
            assert answer == Answer("committed", (1, b"x"))
        else:
            with pytest.raises(StoreUnavailableError):
                store.commit(KEY, 0, Change("lost", ops=self.OPS), TTL, base)
        assert values(store) == {"n": b"1", "m": b"1"}

    @pytest.mark.parametrize("has_base", [True, False])
    def test_a_commit_that_lost_a_race_is_repeated_whatever_came_meanwhile(
        self, store: SQLStore, engine: sqlalchemy.Engine, has_base: bool
    ) -> None:
        other = SQLStore(engine)
        store.create(KEY, {}, TTL)
        base = store.load(KEY) if has_base else None
        operations: Any = store._operations
        perform = operations._perform

        async def lose(job: Any) -> Any:
            def work(connection: sqlalchemy.Connection) -> None:
                job.work(connection)
                raise DBAPIError("UPDATE", {}, Cause(1213, "Deadlock found"))

            operations._perform = perform
            with pytest.raises(DBAPIError) as deadlock:
                await perform(job._replace(work=work, isolation="READ COMMITTED"))
            for number in range(40):
                assert commit(other, f"other{number}", m=b"1").outcome == "committed"
            raise deadlock.value

        operations._perform = lose
        change = Change("mine", ops=[Incr("n", 1)])
        assert store.commit(KEY, 0, change, TTL, base) == Answer("committed", (1,))
        assert values(store) == {"n": b"1", "m": b"1"}

    def test_a_clear_counts_once(self, proxied: tuple[SQLStore, Proxy]) -> None:
        store, proxy = proxied
        store.create(KEY, ANNA, TTL)
        proxy.lose_reply_to(b"UPDATE")
        answer = store.commit(
            KEY, 0, Change("lost", {"a": b"1"}, ops=[Clear()]), TTL, store.load(KEY)
        )
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
        proxy.lose_reply_to(b"COMMIT")
        assert store.move(OTHER, KEY, {}, TTL, 100)
        assert proxy.lost == 2
        assert values(store) == values(store, OTHER) == {"a": b"1"}


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
        own = SQLStore.from_url(f"{postgresql_url}?options=-c%20statement_timeout%3D1000")
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
