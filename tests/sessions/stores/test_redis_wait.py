"""With ``wait`` a write is acknowledged when replicas have it; an error tells if they have not."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import redis
import redis.asyncio

from ctxlocal.sessions import Cookie, StoredSessions
from ctxlocal.sessions.errors import NotReplicatedError, SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.forwarding import AtOnce
from ctxlocal.sessions.stores.protocol import USER, AsyncStore, Change, Clear, Incr
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.testing import check_async_store, check_store
from ctxlocal.web import App, session
from tests.sessions.stores.conftest import cluster_client
from tests.sessions.stores.proxy import Proxy, proxy_to
from tests.sessions.stores.test_demotion import close
from tests.support.patience import PATIENCE_S
from tests.support.services import SLOTS, Server, redis_nodes, redis_replica, redis_server

KEY, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
TTL = 600.0
ONE = Change("c", ops=[Incr("n", 1)])
SHORT = (1, 0.05)  # for what is never confirmed
LONG = (1, PATIENCE_S)  # for what is


class Pair(NamedTuple):
    """A server, and the replica that it has."""

    port: int
    replica: Server
    is_cluster: bool


@pytest.fixture(scope="module")
def single() -> Iterator[Pair]:
    with redis_server() as master, redis_replica(master.port) as replica:
        yield Pair(master.port, replica, False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Pair]:
    with redis_nodes(1, 1) as (master, replica):
        yield Pair(master.port, replica, True)


Make = Callable[..., AsyncStore]


def own(port: int, wait: Any, wait_for: Any) -> AsyncStore:
    url = f"redis://127.0.0.1:{port}?socket_timeout={PATIENCE_S + 1}"
    return AtOnce(RedisStore.from_url(url, wait=wait, wait_for=wait_for))


def client(port: int, wait: Any, wait_for: Any) -> AsyncStore:
    return AtOnce(
        RedisStore(
            redis.Redis(port=port, socket_timeout=PATIENCE_S + 1), wait=wait, wait_for=wait_for
        )
    )


def own_in_tasks(port: int, wait: Any, wait_for: Any) -> AsyncStore:
    url = f"redis://127.0.0.1:{port}?socket_timeout={PATIENCE_S + 1}"
    return AsyncRedisStore.from_url(url, wait=wait, wait_for=wait_for)


def client_in_tasks(port: int, wait: Any, wait_for: Any) -> AsyncStore:
    return AsyncRedisStore(
        redis.asyncio.Redis(port=port, socket_timeout=PATIENCE_S + 1), wait=wait, wait_for=wait_for
    )


def cluster_(port: int, wait: Any, wait_for: Any) -> AsyncStore:
    url = f"redis+cluster://127.0.0.1:{port}?socket_timeout={PATIENCE_S + 1}"
    return AtOnce(RedisStore.from_url(url, wait=wait, wait_for=wait_for))


def cluster_in_tasks(port: int, wait: Any, wait_for: Any) -> AsyncStore:
    url = f"redis+cluster://127.0.0.1:{port}?socket_timeout={PATIENCE_S + 1}"
    return AsyncRedisStore.from_url(url, wait=wait, wait_for=wait_for)


KINDS: dict[str, tuple[str, Make]] = {
    "own": ("single", own),
    "client": ("single", client),
    "own, asyncio": ("single", own_in_tasks),
    "client, asyncio": ("single", client_in_tasks),
    "cluster": ("cluster", cluster_),
    "cluster, asyncio": ("cluster", cluster_in_tasks),
}


class Served(NamedTuple):
    """A kind of store on a server with a replica, both empty."""

    pair: Pair
    make: Make

    def open(self, wait: Any = LONG, wait_for: str = "changes") -> AsyncStore:
        return self.make(self.pair.port, wait, wait_for)


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest) -> Served:
    fixture, make = KINDS[request.param]
    pair: Pair = request.getfixturevalue(fixture)
    with redis.Redis(port=pair.port) as admin:
        admin.flushall()
    return Served(pair, make)


#: Each needs a record by KEY, of the user ann.
OPERATIONS: dict[str, Callable[[AsyncStore], Awaitable[object]]] = {
    "create": lambda store: store.create(OTHER, {USER: b"bob"}, TTL),
    "commit": lambda store: store.commit(KEY, 0, ONE, TTL),
    "clear": lambda store: store.commit(KEY, 0, Change("c", ops=[Clear()]), TTL),
    "move": lambda store: store.move(KEY, OTHER, {}, TTL),
    "move with a grace": lambda store: store.move(KEY, OTHER, {}, TTL, 60),
    "delete": lambda store: store.delete(KEY),
    "delete of nothing": lambda store: store.delete(OTHER),
    "revoke": lambda store: store.revoke("ann"),
    "revoke_everyone": lambda store: store.revoke_everyone(),
}
ENDS = {"clear", "move", "delete", "delete of nothing", "revoke", "revoke_everyone"}
UNWAITED: dict[str, Callable[[AsyncStore], Awaitable[object]]] = {
    "load": lambda store: store.load(KEY),
    "touch": lambda store: store.touch(KEY, TTL),
    "list": lambda store: store.list("ann"),
    "purge": lambda store: store.purge(),
}


@pytest.mark.redis
class TestWait:
    @pytest.mark.asyncio
    async def test_what_a_replica_has_is_acknowledged(self, served: Served) -> None:
        store = served.open()
        assert await store.create(KEY, {USER: b"ann"}, TTL)
        assert (await store.commit(KEY, 0, ONE, TTL)).results == (1,)
        with redis.Redis(port=served.pair.replica.port) as replica:
            if served.pair.is_cluster:
                replica.readonly()
            assert replica.hget(f"ctxlocal:session:{KEY}", "n") == b"1"
            assert await store.move(KEY, OTHER, {}, TTL)
            assert replica.hget(f"ctxlocal:session:{OTHER}", "n") == b"1"
            assert await store.revoke("ann") == 1
            assert replica.exists(f"ctxlocal:session:{OTHER}") == 0
        assert not await store.delete(OTHER)
        assert await store.revoke_everyone() == 0
        await close(store)

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.asyncio
    async def test_what_no_replica_has_is_told(self, served: Served, operation: str) -> None:
        plain, store = served.open(None), served.open(SHORT)
        await plain.create(KEY, {USER: b"ann"}, TTL)
        with served.pair.replica.paused(), pytest.raises(NotReplicatedError) as told:
            await OPERATIONS[operation](store)
        error = told.value
        called = {"clear": "commit"}.get(operation, operation.split()[0])
        assert (error.operation, error.confirmed, error.wanted) == (called, 0, 1)
        assert error.seconds == 0.05
        await close(plain)
        await close(store)

    @pytest.mark.parametrize("operation", UNWAITED)
    @pytest.mark.asyncio
    async def test_what_writes_nothing_of_worth_does_not_wait(
        self, served: Served, operation: str
    ) -> None:
        plain, store = served.open(None), served.open(SHORT)
        await plain.create(KEY, {USER: b"ann"}, TTL)
        with served.pair.replica.paused():
            await UNWAITED[operation](store)
        await close(plain)
        await close(store)

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.asyncio
    async def test_ends_alone_can_wait(self, served: Served, operation: str) -> None:
        plain, store = served.open(None), served.open(SHORT, "ends")
        await plain.create(KEY, {USER: b"ann"}, TTL)
        is_told = False
        with served.pair.replica.paused():
            try:
                await OPERATIONS[operation](store)
            except NotReplicatedError:
                is_told = True
        assert is_told == (operation in ENDS)
        await close(plain)
        await close(store)

    @pytest.mark.asyncio
    async def test_it_is_done_all_the_same(self, served: Served) -> None:
        store = served.open(SHORT)
        with served.pair.replica.paused():
            for key in (KEY, OTHER):
                with pytest.raises(NotReplicatedError):
                    await store.create(key, {USER: b"ann"}, TTL)
            with pytest.raises(NotReplicatedError):
                await store.commit(KEY, 0, ONE, TTL)
            found = await store.load(KEY)
            assert found is not None
            assert found.values == {USER: b"ann", "n": b"1"}
            with pytest.raises(NotReplicatedError):
                await store.move(KEY, THIRD, {}, TTL)
            assert await store.load(KEY) is None
            with pytest.raises(NotReplicatedError):  # after the first it ends the second as well
                await store.revoke("ann")
            assert await store.load(THIRD) is None
            assert await store.load(OTHER) is None
        await close(store)

    @pytest.mark.asyncio
    async def test_a_repetition_counts_once_and_waits_again(self, served: Served) -> None:
        store, patient = served.open(SHORT), served.open()
        await patient.create(KEY, {USER: b"ann"}, TTL)
        with served.pair.replica.paused():
            for _ in range(2):
                with pytest.raises(NotReplicatedError):
                    await store.commit(KEY, 0, ONE, TTL)
            for _ in range(2):
                with pytest.raises(NotReplicatedError):
                    await store.move(KEY, OTHER, {}, TTL)
        assert await patient.move(KEY, OTHER, {}, TTL)
        assert (await patient.commit(OTHER, 1, ONE, TTL)).results == (1,)
        with served.pair.replica.paused():
            for _ in range(2):
                with pytest.raises(NotReplicatedError):
                    await store.delete(OTHER)
        assert not await patient.delete(OTHER)
        await close(patient)
        await close(store)

    @pytest.mark.parametrize("make", [own, client, own_in_tasks, client_in_tasks])
    @pytest.mark.asyncio
    async def test_after_that_the_address_is_asked_anew(self, single: Pair, make: Make) -> None:
        """Replicas that do not answer may have become another master's."""
        with redis.Redis(port=single.port) as admin:
            admin.flushall()
        with proxy_to(single.port) as proxy, redis_server() as other:
            store = make(proxy.port, SHORT, "changes")
            with single.replica.paused():
                with pytest.raises(NotReplicatedError):
                    await store.create(KEY, {}, TTL)
                proxy.target = other.port
                with pytest.raises(NotReplicatedError):
                    await store.create(OTHER, {}, TTL)
            with redis.Redis(port=other.port) as admin:
                assert admin.exists(f"ctxlocal:session:{OTHER}")
            await close(store)

    @pytest.mark.asyncio
    async def test_the_connection_that_wrote_is_asked(self, served: Served) -> None:
        """Any other would answer at once for what it wrote itself, which is nothing."""
        store = served.open()
        for operation in OPERATIONS.values():
            await store.revoke_everyone()
            await store.create(KEY, {USER: b"ann"}, TTL)
            with watching(served.pair.port) as seen:
                await operation(store)
            asked = [at for at, each in enumerate(seen) if each.name == "WAIT"]
            assert asked
            for at in asked:
                before = seen[at - 1]
                assert before.name in ("EVAL", "EVALSHA")
                assert before.connection == seen[at].connection
        await close(store)

    @pytest.mark.asyncio
    async def test_a_script_that_finds_it_done_writes_something(self, served: Served) -> None:
        """From Redis 7.2 on WAIT waits for a connection's last write, not its last command."""
        store = served.open()
        await store.create(KEY, {USER: b"ann"}, TTL)
        await store.commit(KEY, 0, ONE, TTL)
        with redis.Redis(port=served.pair.port) as admin:
            for again in (
                lambda: store.commit(KEY, 0, ONE, TTL),
                lambda: store.delete(OTHER),
            ):
                before = admin.info("replication")["master_repl_offset"]
                changes = admin.info("persistence")["rdb_changes_since_last_save"]
                await again()
                assert admin.info("replication")["master_repl_offset"] > before
                assert admin.info("persistence")["rdb_changes_since_last_save"] > changes
        await close(store)

    @pytest.mark.asyncio
    async def test_nothing_done_is_nothing_to_wait_for(self, served: Served) -> None:
        store = served.open(SHORT)
        plain = served.open(None)
        await plain.create(KEY, {USER: b"ann"}, TTL)
        with served.pair.replica.paused():
            assert (await store.commit(OTHER, 0, ONE, TTL)).outcome == "revoked"
            assert (await store.commit(KEY, 7, ONE, TTL)).outcome == "conflict"
            assert not await store.create(KEY, {}, TTL)
            assert not await store.move(OTHER, THIRD, {}, TTL)
        await close(plain)
        await close(store)


@pytest.mark.slow
@pytest.mark.redis
class TestContract:
    def url(self, proxy: Proxy) -> str:
        return f"redis://127.0.0.1:{proxy.port}?socket_timeout={PATIENCE_S + 1}"

    def test_is_fulfilled(self, single: Pair) -> None:
        with redis.Redis(port=single.port) as admin, proxy_to(single.port) as proxy:

            def make() -> RedisStore:
                admin.flushall()
                return RedisStore.from_url(self.url(proxy), wait=LONG)

            check_store(make, lose_reply=proxy.losing(b"EVALSHA"))

    def test_is_fulfilled_in_tasks(self, single: Pair) -> None:
        with redis.Redis(port=single.port) as admin, proxy_to(single.port) as proxy:

            def make() -> AsyncRedisStore:
                admin.flushall()
                return AsyncRedisStore.from_url(self.url(proxy), wait=LONG)

            check_async_store(make, lose_reply=proxy.losing(b"EVALSHA"))

    def test_is_fulfilled_by_a_cluster(self, cluster: Pair) -> None:
        with cluster_client(cluster.port) as admin:

            def make() -> RedisStore:
                admin.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
                return RedisStore(admin, wait=(1, 4.0))

            check_store(make)


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("make", [cluster_, cluster_in_tasks])
@pytest.mark.asyncio
async def test_a_slot_that_moves_is_followed_to_its_node(make: Make) -> None:
    with redis_nodes(2, 1) as (one, two, *_):
        store = make(one.port, LONG, "changes")
        await store.create(KEY, {}, TTL)
        name = f"ctxlocal:session:{KEY}"
        nodes: list[Any] = [redis.Redis(port=node.port) for node in (one, two)]
        slot = nodes[0].execute_command("CLUSTER KEYSLOT", name)
        if slot >= SLOTS // 2:
            nodes.reverse()
        here, there = nodes
        ids = [node.execute_command("CLUSTER MYID") for node in nodes]
        there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        port = there.connection_pool.connection_kwargs["port"]
        here.execute_command("MIGRATE", "127.0.0.1", port, name, 0, 5000)
        assert (await store.commit(KEY, 0, ONE, TTL)).results == (1,)  # by ASK
        for node in (there, here):
            node.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])
        two_more = Change("d", ops=[Incr("n", 2)])
        assert (await store.commit(KEY, 0, two_more, TTL)).results == (3,)  # by MOVED
        for node in nodes:
            node.close()
        await close(store)


@pytest.mark.redis
class TestConfiguration:
    @pytest.mark.parametrize(
        "wait", [1, (1,), (0, 1), (1, 0), (1, -1), (1, 0.0001), ("1", 1), (1, "1"), (1.5, 1), "1,1"]
    )
    @pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
    def test_what_cannot_be_waited_for_is_refused(self, kind: Any, wait: object) -> None:
        message = "wait: give how many replicas, and seconds of 0.001 or more: (1, 0.5)"
        with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
            kind.from_url("redis://127.0.0.1", wait=wait)

    @pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
    def test_the_client_has_to_listen_longer(self, kind: Any) -> None:
        message = "wait: 5 seconds are not less than the client's socket_timeout, 5"
        with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
            kind.from_url("redis://127.0.0.1", wait=(1, 5))

    @pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
    def test_what_to_wait_for_is_one_of_two(self, kind: Any) -> None:
        message = 'wait_for: it is "changes" or "ends"'
        with pytest.raises(SessionConfigError, match=f"^{message}$"):
            kind.from_url("redis://127.0.0.1", wait=(1, 1), wait_for="commits")

    def test_a_server_without_a_replica_is_told_at_the_first_write(self, redis_port: int) -> None:
        store = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}", wait=SHORT)
        message = (
            f"The session store redis://127.0.0.1:{redis_port}/0 has done create, but 0 of 1 "
            "replicas confirmed it within 0.05 s: a failover now may lose it. Asked again it does "
            "nothing twice, and waits again. Look with INFO replication whether so many replicas "
            "are connected and keep up; else give wait fewer, or more seconds."
        )
        with pytest.raises(NotReplicatedError, match=f"^{re.escape(message)}$"):
            store.create("f" * 64, {}, TTL)
        store.close()


@pytest.mark.redis
def test_a_request_gets_what_it_gets_when_the_store_is_down(redis_port: int) -> None:
    store = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}", wait=SHORT)
    sessions = StoredSessions(store, cookie=Cookie("shop", secure=False))
    app = App("shop", sessions=sessions)

    @app.get("/")
    def visit() -> str:
        session["a"] = 1
        return "done"

    response = app.test_client().get("/")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert issubclass(NotReplicatedError, StoreUnavailableError)
    store.close()


class Sent(NamedTuple):
    name: str
    connection: tuple[str, str]


@contextmanager
def watching(port: int) -> Iterator[list[Sent]]:
    """Collect what a server is sent, and on which connection, by MONITOR's account."""
    seen: list[Sent] = []
    with redis.Redis(port=port) as watch, redis.Redis(port=port) as admin, watch.monitor() as all_:
        yield seen
        admin.echo("the end")
        while True:
            entry = all_.next_command()
            name = entry["command"].partition(" ")[0]
            if name == "ECHO":
                return
            if entry["client_type"] != "lua":
                seen.append(Sent(name, (entry["client_address"], entry["client_port"])))
