"""An address moves to another server, and the former one lives on without taking writes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
import sqlalchemy
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.forwarding import AtOnce
from ctxlocal.sessions.stores.patience import PAUSES
from ctxlocal.sessions.stores.protocol import USER, AsyncStore, Change, Incr
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.sql.steps import _is_refused
from tests.sessions.stores.proxy import proxy_to
from tests.sessions.stores.test_sql import Cause
from tests.support.patience import PATIENCE_S
from tests.support.services import redis_server

KEY, OTHER = "a" * 64, "b" * 64
TTL = 600.0
ONE = Change("c", ops=[Incr("n", 1)])

REDIS: dict[str, Callable[[int], AsyncStore]] = {
    "own": lambda port: AtOnce(RedisStore.from_url(f"redis://127.0.0.1:{port}")),
    "client": lambda port: AtOnce(RedisStore(redis.Redis(port=port))),
    "blocking pool": lambda port: AtOnce(
        RedisStore(
            redis.Redis.from_pool(
                redis.BlockingConnectionPool.from_url(f"redis://127.0.0.1:{port}")
            )
        )
    ),
    "own, asyncio": lambda port: AsyncRedisStore.from_url(f"redis://127.0.0.1:{port}"),
    "client, asyncio": lambda port: AsyncRedisStore(redis.asyncio.Redis(port=port)),
}
SQL: dict[str, Callable[[str], AsyncStore]] = {
    "blocking": lambda url: AtOnce(SQLStore.from_url(url)),
    "asyncio": lambda url: AsyncSQLStore.from_url(url),
}


@pytest.mark.slow
@pytest.mark.redis
class TestRedis:
    @pytest.mark.parametrize("kind", REDIS)
    @pytest.mark.asyncio
    async def test_a_demoted_master_is_left_for_the_new_one(self, kind: str) -> None:
        with redis_server() as old, redis_server() as new, proxy_to(old.port) as proxy:
            former, later = redis.Redis(port=old.port), redis.Redis(port=new.port)
            later.replicaof("127.0.0.1", old.port)
            store = REDIS[kind](proxy.port)
            assert await store.create(KEY, {USER: b"ann"}, TTL)
            wait_until(lambda: later.exists(f"ctxlocal:session:{KEY}") == 1)
            later.replicaof("NO", "ONE")
            former.replicaof("127.0.0.1", new.port)
            proxy.target = new.port
            for _ in range(2):  # the second time the commit is remembered
                assert (await store.commit(KEY, 0, ONE, TTL)).results == (1,)
            proxy.target = old.port  # which follows: what is done in batches is told, too
            later.replicaof("127.0.0.1", old.port)
            former.replicaof("NO", "ONE")
            assert await store.move(KEY, OTHER, {}, TTL)
            assert await store.revoke("ann") == 1
            await close(store)
            former.close()
            later.close()

    @pytest.mark.parametrize(
        "refusal",
        [
            BusyLoadingError("Redis is loading the dataset in memory"),
            ClusterDownError("The cluster is down"),
            MasterDownError("Link with MASTER is down"),
            ReadOnlyError("You can't write against a read only replica."),
            TryAgainError("Multiple keys request during rehashing of slot"),
            ResponseError("NOREPLICAS Not enough good replicas to write."),
            ResponseError("Error running script (call to f_1): @user_script:1: -READONLY You"),
        ],
        ids=lambda error: f"{type(error).__name__} {str(error)[:10]}",
    )
    def test_whoever_is_not_the_one_to_ask_is_asked_again_for_a_while(
        self, refusal: Exception, redis_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = redis.Redis(port=redis_port)
        client.flushall()
        store = RedisStore(client)
        store.create(KEY, {}, TTL)
        paused: list[float] = []
        monkeypatch.setattr(store._operations, "_pause", awaited(paused.append))
        with refusing(store, refusal, len(PAUSES)):
            assert store.commit(KEY, 0, ONE, TTL).results == (1,)
        assert paused == list(PAUSES[1:])
        with refusing(store, refusal, len(PAUSES)):
            assert store.revoke("ann") == 0  # where a batch is asked
        with (
            refusing(store, refusal, len(PAUSES) + 1),
            pytest.raises(StoreUnavailableError) as told,
        ):
            store.commit(KEY, 0, ONE, TTL)
        assert told.value.__cause__ is refusal
        client.close()

    def test_any_other_error_is_told_at_once(self, redis_port: int) -> None:
        client = redis.Redis(port=redis_port)
        store = RedisStore(client)
        with (
            refusing(store, ResponseError("OOM command not allowed"), 1),
            pytest.raises(StoreUnavailableError),
        ):
            store.load(KEY)
        client.close()


@pytest.mark.postgresql
class TestSQL:
    @pytest.mark.parametrize("kind", SQL)
    @pytest.mark.asyncio
    async def test_a_read_only_primary_is_left_for_the_new_one(
        self, kind: str, postgresql_url: str
    ) -> None:
        with demoted(postgresql_url) as (url, promote):
            store = SQL[kind](url)
            await store.load(KEY)  # what a standby does as well
            promote()
            assert await store.create(KEY, {}, TTL)
            base = await store.load(KEY)
            assert (await store.commit(KEY, 0, ONE, TTL, base)).results == (1,)
            await store.close()

    @pytest.mark.asyncio
    @pytest.mark.parametrize("kind", SQL)
    async def test_one_that_stays_read_only_is_unavailable(
        self, kind: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with demoted(postgresql_url) as (url, _):
            store: Any = SQL[kind](url)
            paused: list[float] = []
            monkeypatch.setattr(operations_of(store), "_pause", awaited(paused.append))
            with pytest.raises(StoreUnavailableError):
                await store.create(KEY, {}, TTL)
            assert paused == list(PAUSES[1:])
            await store.close()


@pytest.mark.parametrize(
    ("cause", "is_refused"),
    [
        (Cause("cannot execute UPDATE in a read-only transaction", sqlstate="25006"), True),
        (Cause("cannot execute UPDATE in a read-only transaction", pgcode="25006"), True),
        (Cause("the database system is starting up", sqlstate="57P03"), True),
        (Cause(1290, "running with the --read-only option"), True),
        (Cause(1836, "Running in read-only mode"), True),
        (Cause(1792, "Cannot execute statement in a READ ONLY transaction"), True),
        (Cause(1205, "Lock wait timeout exceeded"), False),
        (Cause("canceling statement", sqlstate="57014"), False),
        (None, False),
    ],
)
def test_a_server_that_takes_no_writes_is_known_whatever_the_database(
    cause: Exception | None, is_refused: bool
) -> None:
    assert _is_refused(DBAPIError("UPDATE", {}, cause)) is is_refused  # type: ignore[arg-type]


@contextmanager
def demoted(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Let the connections of a role be read-only, unless they are opened after a call."""
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    SQLStore(admin).revoke_everyone()

    def do(statement: str) -> None:
        with admin.connect() as connection:
            connection.execute(text(statement))

    do("CREATE ROLE mover LOGIN SUPERUSER")
    try:
        do("ALTER ROLE mover SET default_transaction_read_only = on")
        through = sqlalchemy.make_url(url).set(username="mover")
        yield str(through), lambda: do("ALTER ROLE mover RESET default_transaction_read_only")
    finally:
        do("DROP ROLE mover")
        admin.dispose()


@contextmanager
def refusing(store: RedisStore, refusal: Exception, times: int) -> Iterator[None]:
    """Let the server refuse what it is asked so often."""
    operations: Any = store._operations
    send, left = operations._send, [refusal] * times

    async def refuse(asked: Any) -> Any:
        if not left:
            return await send(asked)
        raise left.pop()

    operations._send = refuse
    try:
        yield
    finally:
        del operations._send
        assert not left


async def close(store: Any) -> None:
    """Close a store, and the client that it was given."""
    await store.close()
    client = operations_of(store)._client
    if hasattr(client, "aclose"):
        await client.aclose()
    else:
        client.close()


def operations_of(store: Any) -> Any:
    return getattr(getattr(store, "store", store), "_operations", store)


def awaited(function: Callable[[float], None]) -> Callable[[float], Awaitable[None]]:
    async def call(seconds: float) -> None:
        function(seconds)

    return call


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
