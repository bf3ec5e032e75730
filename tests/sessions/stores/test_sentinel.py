"""A store whose master is named by sentinels, of a URL and of a client: it follows a failover."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import redis
import redis.asyncio.retry
import redis.retry
import redis.sentinel
from redis.backoff import NoBackoff

from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.forwarding import AtOnce
from ctxlocal.sessions.stores.protocol import AsyncStore, Change, Incr
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.redis.sentinel import AsyncDiscovery, Discovery
from ctxlocal.sessions.stores.url import open_async_store, open_store
from ctxlocal.testing import check_async_store, check_store
from tests.support.patience import PATIENCE_S
from tests.support.services import Server, redis_sentinels, redis_server

from .conftest import KEY
from .test_redis import age

pytestmark = pytest.mark.redis

TTL = 600.0


class Watched(NamedTuple):
    """A master and its replica, and who watches them."""

    master: Server
    replica: Server
    sentinels: list[Server]

    @property
    def url(self) -> str:
        """The store's URL; nobody is at the first address."""
        ports = [1, *(each.port for each in self.sentinels)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"redis+sentinel://{hosts}/shop/0"


@pytest.fixture
def watched() -> Iterator[Watched]:
    with (
        redis_server("--repl-diskless-sync-delay", "0") as master,
        redis_server("--replicaof", "127.0.0.1", f"{master.port}") as replica,
        redis_sentinels(3, "shop", master.port) as sentinels,
    ):
        yield Watched(master, replica, sentinels)


@pytest.fixture(scope="module")
def alone() -> Iterator[Watched]:
    with redis_server() as master, redis_sentinels(1, "shop", master.port, 0) as sentinels:
        yield Watched(master, master, sentinels)


KINDS: dict[str, Callable[[str], AsyncStore]] = {
    "blocking": lambda url: AtOnce(open_store(url)),
    "asyncio": open_async_store,
}


def commit(number: int) -> Change:
    return Change(f"{number}", ops=[Incr("n", 1)])


@pytest.mark.slow
class TestFailover:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.asyncio
    async def test_a_master_that_gives_way_is_left_without_an_error(
        self, kind: str, watched: Watched
    ) -> None:
        store = KINDS[kind](watched.url)
        assert await store.create(KEY, {}, TTL)
        replicate(watched.master)
        with redis.Redis(port=watched.sentinels[0].port) as sentinel:
            sentinel.execute_command("SENTINEL FAILOVER", "shop")
        number = 0
        while not is_master(watched.replica) or is_master(watched.master):
            number += 1
            assert (await store.commit(KEY, 0, commit(number), TTL)).outcome == "committed"
        answer = await store.commit(KEY, 0, commit(number + 1), TTL)
        assert answer.outcome == "committed"
        record = await store.load(KEY)
        assert record is not None
        with redis.Redis(port=watched.replica.port) as client:
            assert client.hget(f"ctxlocal:session:{KEY}", "n") == record.values["n"]
        await store.close()

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.asyncio
    async def test_one_that_dies_is_followed_by_its_replica(
        self, kind: str, watched: Watched
    ) -> None:
        store = KINDS[kind](watched.url)
        assert await store.create(KEY, {}, TTL)
        replicate(watched.master)
        watched.master.stop(signal.SIGKILL)
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await store.commit(KEY, 0, commit(1), TTL)
                break
            except StoreUnavailableError:
                assert time.monotonic() < end
        assert answer.results == (1,)
        assert is_master(watched.replica)
        await store.close()


@pytest.mark.slow
class TestContract:
    def test_is_fulfilled(self, watched: Watched) -> None:
        with redis.Redis(port=watched.master.port) as client:

            def make() -> RedisStore:
                client.flushall()
                return RedisStore.from_url(watched.url)

            check_store(make, advance=partial(age, client))

    def test_is_fulfilled_in_tasks(self, watched: Watched) -> None:
        with redis.Redis(port=watched.master.port) as client:

            def make() -> AsyncRedisStore:
                client.flushall()
                return AsyncRedisStore.from_url(watched.url)

            check_async_store(make, advance=partial(age, client))


class TestMaster:
    """What is asked of sentinels, on one that watches a server without a replica."""

    def test_the_name_says_which_service_and_no_password(self, alone: Watched) -> None:
        url = alone.url.replace("//", "//shop:s3cret@")
        store = open_store(f"{url}?sentinel_password=s3cret")
        hosts = f"127.0.0.1:1,127.0.0.1:{alone.sentinels[0].port}"
        assert store.name == f"redis+sentinel://{hosts}/shop/0"
        with pytest.raises(StoreUnavailableError) as caught:
            store.load(KEY)
        assert "s3cret" not in f"{caught.value}{caught.value.__cause__}"
        store.close()

    def test_a_client_of_redis_py_has_the_same_name(self, alone: Watched) -> None:
        port = alone.sentinels[0].port
        untyped: Any = redis.sentinel
        sentinel = untyped.Sentinel([("127.0.0.1", port)])
        store = RedisStore(sentinel.master_for("shop", db=3))
        assert store.name == f"redis+sentinel://127.0.0.1:{port}/shop/3"

    def test_a_service_that_nobody_knows_is_unavailable(
        self, alone: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store: Any = open_store(alone.url.replace("shop", "shoe"))
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(StoreUnavailableError) as caught:
            store.load(KEY)
        assert isinstance(caught.value.__cause__, redis.sentinel.MasterNotFoundError)
        store.close()

    def test_what_is_idle_is_closed_when_the_master_is_another(
        self, alone: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store: Any = open_store(alone.url)
        store.load(KEY)
        direct = store._operations._direct
        assert any(direct._idle)
        monkeypatch.setattr(Discovery, "discover_master", lambda *_: ("127.0.0.1", 1))
        direct._pool.get_master_address()
        assert not any(direct._idle)
        store.close()

    @pytest.mark.asyncio
    async def test_what_is_idle_is_closed_in_a_task_too(
        self, alone: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def discover(*_: object) -> tuple[str, int]:
            return "127.0.0.1", 1

        store: Any = open_async_store(alone.url)
        await store.load(KEY)
        assert len(store._direct._idle) == 1
        monkeypatch.setattr(AsyncDiscovery, "discover_master", discover)
        await store._direct._pool.get_master_address()
        assert not store._direct._idle
        await store.close()

    def test_the_sentinel_that_knew_comes_first(self, alone: Watched) -> None:
        nodes = [("127.0.0.1", 1), ("127.0.0.1", alone.sentinels[0].port)]
        discovery = Discovery(nodes, {"retry": redis.retry.Retry(NoBackoff(), 0)})
        assert discovery.discover_master("shop") == ("127.0.0.1", alone.master.port)
        assert list(discovery.nodes) == nodes[::-1]

    @pytest.mark.asyncio
    async def test_no_sentinel_is_lost_where_many_look_at_once(self, alone: Watched) -> None:
        nodes = [("127.0.0.1", 1), ("127.0.0.1", alone.sentinels[0].port)]
        discovery = AsyncDiscovery(nodes, {"retry": redis.asyncio.retry.Retry(NoBackoff(), 0)})
        found = await asyncio.gather(*(discovery.discover_master("shop") for _ in range(10)))
        assert set(found) == {("127.0.0.1", alone.master.port)}
        assert set(discovery.nodes) == set(nodes)

    def test_each_loop_asks_over_connections_of_its_own(self, alone: Watched) -> None:
        store: Any = open_async_store(alone.url)

        async def load() -> None:
            assert await store.load(KEY) is None
            await store._direct.close()

        for _ in range(2):
            asyncio.run(load())


def replicate(master: Server) -> None:
    """Wait until a replica has what was written by now."""
    with redis.Redis(port=master.port, socket_timeout=PATIENCE_S) as client:
        client.set("written", 1)  # a connection's own writes are waited for
        assert client.wait(1, 0) == 1


def is_master(server: Server) -> bool:
    with redis.Redis(port=server.port) as client:
        raw: Any = client
        return bool(raw.role()[0] == b"master")
