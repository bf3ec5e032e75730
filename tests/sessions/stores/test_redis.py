"""The Redis store: round trips, races, lost replies, clusters, failing servers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import hiredis
import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from ctxlocal.sessions.errors import CorruptRecordError, SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.protocol import (
    HANDLE,
    USER,
    Answer,
    Change,
    Clear,
    Expect,
    Incr,
    Op,
    Stats,
    Take,
)
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.redis.calls import Call
from ctxlocal.sessions.stores.redis.direct import packed
from ctxlocal.sessions.stores.redis.records import INDEX_INTERVAL
from ctxlocal.sessions.stores.redis.scripts import GRACES, INDEXED, KEPT_SECONDS, MEMORY, META, TO
from ctxlocal.testing import check_async_store, check_store
from tests.sessions.stores.proxy import proxy_to
from tests.sessions.stores.racing import (
    KEY,
    TTL,
    all_kept,
    race_in_processes,
    race_in_tasks,
    race_in_threads,
)
from tests.support.services import redis_server

from .conftest import cluster_client

pytestmark = pytest.mark.redis

OTHER = "0f" * 32
RECORD = f"ctxlocal:session:{KEY}"
ANNA = {USER: b"anna"}


@pytest.fixture
def client(redis_port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_port) as client:
        client.flushall()
        yield client


@pytest.fixture
def store(client: redis.Redis) -> RedisStore:
    return RedisStore(client)


@pytest.mark.parametrize("inner", ["ctxlocal:session:", "ctxlocal:user:", "ctxlocal:session:a:"])
def test_a_store_does_not_reach_one_whose_prefix_begins_with_its_own(
    store: RedisStore, client: redis.Redis, inner: str
) -> None:
    other = RedisStore(client, prefix=inner)
    for each in (store, other):
        assert each.create(KEY, ANNA, TTL)
    client.zadd(f"{inner}user:{'0' * 64}", {"gone": 1})
    assert [key for key, _ in store.scan()] == [KEY]
    assert store.stats() == Stats(1, 1, len(USER) + 4)
    store.purge()
    assert client.exists(f"{inner}user:{'0' * 64}")
    assert store.revoke_everyone() == 1
    assert [key for key, _ in other.list("anna")] == [KEY]


@pytest.fixture
def cluster(cluster_ports: list[int]) -> Iterator[redis.RedisCluster]:
    with cluster_client(cluster_ports[0]) as client:
        yield client


class Counted:
    """Which commands the server is sent, by MONITOR's account on another connection."""

    def __init__(self, client: redis.Redis, watch: Any) -> None:
        self._client = client
        self._watch = watch

    def __call__(self, function: Callable[[], object]) -> list[str]:
        with self._watch.monitor() as monitor:
            function()
            self._client.echo("the end")
            seen: list[str] = []
            while True:
                entry = monitor.next_command()
                if entry["client_type"] == "lua":
                    continue
                name = entry["command"].partition(" ")[0]
                if name == "ECHO":
                    return seen
                seen.append(name)


@pytest.fixture
def sent(client: redis.Redis, redis_port: int) -> Iterator[Counted]:
    with redis.Redis(port=redis_port) as watch:
        yield Counted(client, watch)


def commit(store: RedisStore, commit_id: str = "c", **sets: bytes) -> Answer:
    return store.commit(KEY, 0, Change(commit_id, sets), TTL)


def records(store: RedisStore) -> dict[str, bytes]:
    record = store.load(KEY)
    assert record is not None
    return record.values


def age(client: redis.Redis | redis.RedisCluster, seconds: float) -> None:
    """Do to the records what the passing of time does; the times are the server's."""
    by = int(seconds * 1000)
    raw: Any = client
    for key in set(raw.scan_iter("ctxlocal:session:*")):  # of all nodes
        meta, graces, link = raw.hmget(key, META, GRACES, TO)
        if meta:  # an alias has none
            generation, born, touched, expires = map(int, meta.split())
            raw.hset(key, META, f"{generation} {born} {touched - by} {expires - by}")
        if graces:
            raw.hset(key, GRACES, max(0, int(graces) - by))
        if link:
            till, moved, rest = link.split(b" ", 2)
            till, moved = max(0, int(till) - by * 1000), int(moved) - by * 1000
            # 0 would be a move without a grace, which nothing passes
            raw.hset(key, TO, b"%d %d %b" % (till or int(link[:1] != b"0"), moved, rest))
        raw.pexpire(key, raw.pttl(key) - by)  # which removes it at once, if no time is left


@pytest.mark.slow
class TestContract:
    """What ``ctxlocal.testing`` asks of any store, with replies that get lost."""

    def test_is_fulfilled(self, client: redis.Redis, redis_port: int) -> None:
        with proxy_to(redis_port) as proxy:

            def make() -> RedisStore:
                client.flushall()
                return RedisStore.from_url(f"redis://127.0.0.1:{proxy.port}")

            check_store(make, advance=partial(age, client), lose_reply=proxy.losing(b"EVALSHA"))

    def test_is_fulfilled_in_tasks(self, client: redis.Redis, redis_port: int) -> None:
        with proxy_to(redis_port) as proxy:

            def make() -> AsyncRedisStore:
                client.flushall()
                return AsyncRedisStore.from_url(f"redis://127.0.0.1:{proxy.port}")

            lose_reply = proxy.losing(b"EVALSHA")
            check_async_store(make, advance=partial(age, client), lose_reply=lose_reply)


class TestRoundTrips:
    def test_load_and_commit_are_one_each(self, store: RedisStore, sent: Counted) -> None:
        store.create(KEY, ANNA, TTL)
        commit(store, commit_id="first")  # the server now knows the script
        ops: list[Op] = [Expect("a", b"1"), Incr("n", 1), Take("a")]
        assert sent(lambda: store.load(KEY)) == ["HGETALL"]
        assert sent(lambda: commit(store, commit_id="second", a=b"1")) == ["EVALSHA"]
        assert sent(lambda: store.commit(KEY, 0, Change("third", deletes=["b"], ops=ops), TTL)) == [
            "EVALSHA"
        ]

    def test_touch_and_delete_are_one_each(self, store: RedisStore, sent: Counted) -> None:
        store.load(KEY)
        store.touch(KEY, TTL)
        store.delete(KEY)
        assert sent(lambda: store.touch(KEY, TTL)) == ["EVALSHA"]
        assert sent(lambda: store.delete(KEY)) == ["EVALSHA"]

    def test_a_server_that_forgot_its_scripts_is_sent_them(
        self, store: RedisStore, client: redis.Redis, sent: Counted
    ) -> None:
        store.create(KEY, {}, TTL)
        client.script_flush()
        assert sent(lambda: commit(store, a=b"1")) == ["EVALSHA", "EVAL"]
        assert records(store) == {"a": b"1"}

    def test_the_epoch_is_read_once_in_its_interval(
        self, client: redis.Redis, sent: Counted
    ) -> None:
        always = RedisStore(client, epoch_interval=0)
        assert sent(lambda: always.load(KEY)) == ["GET", "HGETALL"]
        seldom = RedisStore(client)
        assert sent(lambda: seldom.load(KEY)) == ["GET", "HGETALL"]
        assert sent(lambda: seldom.load(KEY)) == ["HGETALL"]


class TestExactness:
    @pytest.mark.parametrize("decodes", [False, True])
    @pytest.mark.parametrize("protocol", [2, 3])
    def test_any_bytes_come_back(
        self, client: redis.Redis, redis_port: int, decodes: bool, protocol: int
    ) -> None:
        values = {"ä\0{}:é": bytes(range(256)), "": b"", "n": b"7", **ANNA}
        with redis.Redis(port=redis_port, decode_responses=decodes, protocol=protocol) as other:
            store = RedisStore(other)
            assert store.create(KEY, values, TTL)
            assert records(store) == values
            taken = store.commit(KEY, 0, Change("c", ops=[Take("ä\0{}:é"), Incr("n", -8)]), TTL)
            assert taken == Answer("committed", (bytes(range(256)), -1))
            assert [key for key, _ in store.list("anna")] == [KEY]
            assert [key for key, _ in store.scan()] == [KEY]
            moves = [KEY, OTHER, "2" * 64, "3" * 64]
            for old, new in pairwise(moves):
                assert store.move(old, new, {}, TTL, 60)
            assert records(store) == {"n": b"-1", "": b"", **ANNA}
            assert [key for key, _ in store.list("anna")] == moves[-1:]
            assert store.revoke("anna") == 1

    @pytest.mark.parametrize(
        ("start", "amount", "end"),
        [
            (2**53, 1, 2**53 + 1),
            (2**63 - 2, 1, 2**63 - 1),
            (-(2**63) + 1, -1, -(2**63)),
            (2**63 - 1, 1, None),
            (-(2**63), -1, None),
        ],
    )
    def test_counters_are_exact_to_64_bits(
        self, store: RedisStore, start: int, amount: int, end: int | None
    ) -> None:
        store.create(KEY, {"n": b"%d" % start}, TTL)
        answer = store.commit(KEY, 0, Change("c", {"a": b"1"}, ops=[Incr("n", amount)]), TTL)
        if end is None:
            assert answer == Answer("conflict")
            assert records(store) == {"n": b"%d" % start}
        else:
            assert answer == Answer("committed", (end,))
            assert records(store) == {"n": b"%d" % end, "a": b"1"}

    def test_a_conflict_by_a_late_operation_undoes_the_early_ones(self, store: RedisStore) -> None:
        before = {"text": b"\xa1x", "taken": b"1", "n": b"1"}
        store.create(KEY, before, TTL)
        ops: list[Op] = [Clear(), Take("taken"), Incr("n", 1), Incr("text", 1)]
        sets = {"text": b"\xa1y"}
        assert store.commit(KEY, 0, Change("c", sets, ["n"], ops), TTL) == Answer("conflict")
        assert records(store) == before

    def test_at_least_16_commits_are_remembered_and_not_many_more(
        self, store: RedisStore, client: redis.Redis
    ) -> None:
        store.create(KEY, {}, TTL)
        for number in range(200):
            value = b"x" * (number * 7 % 100)
            ops: list[Op] = [Take("t")] if number % 3 else []
            store.commit(KEY, 0, Change(f"c{number}", {"t": value}, ops=ops), TTL)
            held = client.hget(RECORD, b"\xffc")
            assert isinstance(held, bytes)
            assert len(held) < 16 * 130 + 480
            earlier = max(0, number - 15)
            taken = (b"x" * (earlier * 7 % 100),) if earlier % 3 else ()
            again = store.commit(KEY, 99, Change(f"c{earlier}"), TTL)  # else a conflict
            assert again == Answer("committed", taken)

    def test_many_fields_fit_into_one_commit(self, store: RedisStore) -> None:
        many = {f"key{number}": b"%d" % number for number in range(20_000)}
        assert store.create(KEY, many, TTL)
        kept = {"key7": b"new", "other": b"1"}
        answer = store.commit(KEY, 0, Change("c", {**kept, **many}), TTL)
        assert answer == Answer("committed")
        deletes = list(many)
        assert store.commit(KEY, 0, Change("d", kept, deletes), TTL) == Answer("committed")
        assert records(store) == kept

    def test_the_last_commits_are_remembered_through_clear_and_move(
        self, store: RedisStore
    ) -> None:
        store.create(KEY, {"t": b"\n:x;"}, TTL)
        ops: list[Op] = [Take("t"), Incr("n", 1), Take("t"), Clear()]
        first = store.commit(KEY, 0, Change("c", ops=ops), TTL)
        for number in range(15):
            assert store.commit(KEY, 1, Change(f"later{number}"), TTL).outcome == "committed"
        store.move(KEY, OTHER, {}, TTL)
        assert first == Answer("committed", (None, 1, None, None))
        assert store.commit(OTHER, 0, Change("c", ops=ops), TTL) == first


class TestLifetime:
    """One that is over when the server gets to it leaves nothing, least of all for ever."""

    def test_a_create_leaves_nothing(self, store: RedisStore, client: redis.Redis) -> None:
        store.create(KEY, {"name": b"anna"}, 0)
        assert client.exists(RECORD) == 0

    @pytest.mark.parametrize("ops", [(), (Incr("n", 1),)], ids=["fields", "operations"])
    def test_a_commit_leaves_nothing(
        self, store: RedisStore, client: redis.Redis, ops: tuple[Op, ...]
    ) -> None:
        store.create(KEY, {}, TTL)
        store.commit(KEY, 0, Change("a", {"name": b"anna"}, ops=ops), 0)
        assert client.exists(RECORD) == 0


class TestRaces:
    @pytest.mark.parametrize("count", [50, 500])
    def test_threads_lose_nothing(self, redis_port: int, client: redis.Redis, count: int) -> None:
        store = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        store.create(KEY, {}, TTL)
        race_in_threads(store, count)
        assert records(store) == all_kept(count)
        store.close()

    def test_processes_lose_nothing(self, store: RedisStore, redis_port: int) -> None:
        store.create(KEY, {}, TTL)
        race_in_processes(RedisStore.from_url, f"redis://127.0.0.1:{redis_port}", 3, 20)
        assert records(store) == all_kept(60)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("count", [50, 500])
    async def test_tasks_lose_nothing(self, store: RedisStore, redis_port: int, count: int) -> None:
        tasks = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        await tasks.create(KEY, {}, TTL)
        await race_in_tasks(tasks, count)
        await tasks.close()
        assert records(store) == all_kept(count)

    def test_greenlets_lose_nothing(
        self, store: RedisStore, redis_port: int, run_python: Callable[..., str]
    ) -> None:
        store.create(KEY, {}, TTL)
        run_python(
            f"""
            from gevent import monkey; monkey.patch_all()
            from ctxlocal.sessions.stores.redis import RedisStore
            from tests.sessions.stores.racing import race_in_threads
            race_in_threads(RedisStore.from_url("redis://127.0.0.1:{redis_port}"), 50)
            """
        )
        assert records(store) == all_kept(50)


class Server(NamedTuple):
    client: Any
    store: RedisStore


@pytest.fixture(params=["one server", "a cluster"])
def server(request: pytest.FixtureRequest) -> Server:
    fixture = "client" if request.param == "one server" else "cluster"
    client = request.getfixturevalue(fixture)
    return Server(client, RedisStore(client))


class TestLostReplies:
    def test_a_commit_counts_once(self, client: redis.Redis, redis_port: int) -> None:
        with proxy_to(redis_port) as proxy:
            store = RedisStore.from_url(f"redis://127.0.0.1:{proxy.port}")
            store.create(KEY, {"t": b"x"}, TTL)
            commit(store)
            proxy.lose_reply_to(b"EVALSHA")
            ops: list[Op] = [Incr("n", 1), Take("t")]
            assert store.commit(KEY, 0, Change("lost", ops=ops), TTL) == Answer(
                "committed", (1, b"x")
            )
            assert proxy.lost == 1
            assert records(store) == {"n": b"1"}
            store.close()

    @pytest.mark.asyncio
    async def test_a_commit_counts_once_in_a_task(self, store: RedisStore, redis_port: int) -> None:
        with proxy_to(redis_port) as proxy:
            tasks = AsyncRedisStore.from_url(f"redis://127.0.0.1:{proxy.port}")
            await tasks.create(KEY, {}, TTL)
            proxy.lose_reply_to(b"EVALSHA")
            answer = await tasks.commit(KEY, 0, Change("lost", ops=[Incr("n", 1)]), TTL)
            assert (answer, proxy.lost) == (Answer("committed", (1,)), 1)
            await tasks.close()
        assert records(store) == {"n": b"1"}

    @pytest.mark.parametrize("others", [20, 40, 1000])
    def test_a_commit_counts_once_after_any_number_of_others(
        self, server: Server, others: int
    ) -> None:
        _, store = server
        store.create(KEY, {"t": b"x"}, TTL)
        ops: list[Op] = [Incr("n", 1), Take("t")]
        first = store.commit(KEY, 0, Change("lost", ops=ops), TTL)
        for number in range(others):
            assert commit(store, f"other{number}", m=b"%d" % number).outcome == "committed"
            if number % 7 == 0:
                again = store.commit(KEY, 0, Change("lost", ops=ops), TTL)
                assert again == first == Answer("committed", (1, b"x"))
        for grace, key, new in ((60, KEY, OTHER), (0, OTHER, "2" * 64)):
            assert store.move(key, new, {}, TTL, grace)  # which takes what is known along
            assert store.commit(key if grace else new, 0, Change("lost", ops=ops), TTL) == first
            assert store.commit(new, 0, Change("other0", {"m": b"0"}), TTL) == Answer("committed")
        record = store.load("2" * 64)
        assert record is not None
        assert record.values == {"n": b"1", "m": b"%d" % (others - 1)}

    @pytest.mark.parametrize("turns", [0, 1])
    def test_fields_are_set_once_after_many_others(
        self, store: RedisStore, client: redis.Redis, turns: int
    ) -> None:
        store.create(KEY, {}, TTL)
        assert commit(store, "lost", m=b"1").outcome == "committed"
        for number in range(40):
            commit(store, f"other{number}", m=b"2")
        for place in sorted(client.scan_iter("ctxlocal:done:*")):  # as if they were put by then
            name, _, turn = place.rpartition(b":")
            client.rename(place, b"%b:%d" % (name, int(turn) - turns))
        memory: Any = client.hget(RECORD, MEMORY)
        client.hset(RECORD, MEMORY, memory[:-10] + b"%010d" % (int(memory[-10:]) - turns))
        assert commit(store, "lost", m=b"1").outcome == "committed"
        assert records(store) == {"m": b"2"}

    def test_commits_that_are_put_by_expire(self, store: RedisStore, client: redis.Redis) -> None:
        store.create(KEY, {}, TTL)
        for number in range(100):
            commit(store, f"c{number}")
        kept = [client.ttl(name) for name in client.scan_iter("ctxlocal:done:*")]
        assert 1 <= len(kept) <= 2  # turns
        assert all(KEPT_SECONDS < seconds <= 2 * KEPT_SECONDS for seconds in kept)

    def test_it_counts_once_though_others_come_before_its_repetition(
        self, client: redis.Redis, redis_port: int
    ) -> None:
        store = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        other = RedisStore(client)
        store.create(KEY, {}, TTL)
        operations: Any = store._operations
        send = operations._send

        async def lose(asked: Any) -> Any:
            reply = await send(asked)
            if "EVALSHA" in asked.arguments:
                operations._send = send
                for number in range(40):
                    commit(other, f"other{number}", m=b"1")
                raise redis.exceptions.ConnectionError
            return reply

        commit(store, "first")
        operations._send = lose
        assert store.commit(KEY, 0, Change("lost", ops=[Incr("n", 1)]), TTL).results == (1,)
        assert records(store) == {"n": b"1", "m": b"1"}
        store.close()

    def test_a_create_knows_its_own_record(self, client: redis.Redis, redis_port: int) -> None:
        with proxy_to(redis_port) as proxy:
            store = RedisStore.from_url(f"redis://127.0.0.1:{proxy.port}")
            store.create(OTHER, {}, TTL)
            proxy.lose_reply_to(b"EVALSHA")
            assert store.create(KEY, ANNA, TTL)
            assert proxy.lost == 1
            assert not store.create(KEY, {}, TTL)
            store.close()


class TestUserIndex:
    def test_is_written_before_the_record(self, store: RedisStore, sent: Counted) -> None:
        store.create(OTHER, ANNA, TTL)
        assert sent(lambda: store.create(KEY, ANNA, TTL)) == ["GET", "EVALSHA", "EVALSHA"]
        assert len(store.list("anna")) == 2

    def test_is_healed_by_list_and_purge(self, store: RedisStore, client: redis.Redis) -> None:
        (index,) = self._orphans(store, client, KEY)
        assert store.list("anna") == []
        assert client.zcard(index) == 0
        self._orphans(store, client, KEY, OTHER)
        assert store.purge() == 2
        assert not client.exists(index)

    def test_is_gone_some_day_though_nothing_purges_it(
        self, store: RedisStore, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        longest = 400 * 86400
        store.create(KEY, ANNA, TTL)
        (index,) = client.keys("ctxlocal:user:*")
        assert longest - 60 < client.ttl(index) <= longest
        client.delete(index)
        monkeypatch.setattr("ctxlocal.sessions.stores.redis.records.INDEX_INTERVAL", 0)
        store.load(KEY)
        assert longest - 60 < client.ttl(index) <= longest

    def test_those_of_many_users_are_purged_at_once(
        self, store: RedisStore, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def send(asked: Any) -> Any:
            round_trips.append(asked)
            return await once(asked)

        for number in range(100):
            client.zadd(f"ctxlocal:user:{number}", {f"gone{number}": 1, f"gone too{number}": 1})
        store.create(KEY, ANNA, TTL)
        round_trips: list[Any] = []
        once = store._operations._send
        monkeypatch.setattr(store._operations, "_send", send)
        assert store.purge() == 200
        assert len(round_trips) <= 10
        assert len(client.keys("ctxlocal:user:*")) == 1
        assert len(store.list("anna")) == 1

    def test_an_entry_whose_record_is_under_way_is_kept(
        self, store: RedisStore, client: redis.Redis
    ) -> None:
        store.create(KEY, ANNA, TTL)
        client.delete(RECORD)
        assert store.list("anna") == []
        assert store.purge() == 0
        (index,) = client.keys("ctxlocal:user:*")
        assert client.zcard(index) == 1

    def test_of_a_user_who_is_never_listed_stays_small(
        self, store: RedisStore, client: redis.Redis
    ) -> None:
        keys = [f"{number:064x}" for number in range(63)]
        (index,) = self._orphans(store, client, *keys)
        store.create(KEY, ANNA, TTL)
        assert client.zcard(index) == 1

    def _orphans(self, store: RedisStore, client: redis.Redis, *keys: str) -> list[bytes]:
        for key in keys:
            store.create(key, ANNA, TTL)
            client.delete(f"ctxlocal:session:{key}")
        found: Any = client.keys("ctxlocal:user:*")
        for key in keys:
            client.zadd(found[0], {key: 1})
        return list(found)

    def test_r8_revoke_spares_one_and_takes_aliases_along(self, store: RedisStore) -> None:
        store.create("old", ANNA, TTL)
        store.move("old", OTHER, {}, TTL, 60)
        store.create(KEY, ANNA, TTL)
        store.create("bert", {USER: b"bert"}, TTL)
        assert store.revoke("anna", OTHER) == 1
        assert store.load("old") == store.load(OTHER) != None  # noqa: E711
        assert store.revoke("anna") == 1
        assert store.load("old") is None
        assert store.load("bert") is not None


def lose_index(client: Any) -> None:
    """Do what an eviction does, or a failover that the index alone did not survive."""
    (index,) = set(client.scan_iter("ctxlocal:user:*"))  # of all nodes
    assert client.delete(index) == 1


def let_pass(client: Any, key: str, seconds: float = INDEX_INTERVAL) -> None:
    """Let a record have been looked for in its user's index so long ago."""
    name = f"ctxlocal:session:{key}"
    since, seen = map(int, client.hget(name, INDEXED).split())
    by = int(seconds * 1e6)
    client.hset(name, INDEXED, f"{since} {seen - by}")


class TestLostIndex:
    """A user's index is a key of its own, which a server may lose while the sessions live."""

    def test_r8_a_revocation_ends_what_the_index_has_lost(self, server: Server) -> None:
        client, store = server
        for key in (KEY, OTHER):
            assert store.create(key, ANNA, TTL)
        lose_index(client)
        assert store.create("2" * 64, ANNA, TTL)  # there is an index again, without those
        store.create("b" * 64, {USER: b"bert"}, TTL)
        assert store.revoke("anna") == 1
        for key in (KEY, OTHER):
            assert store.load(key) is None
        left = set(client.scan_iter("ctxlocal:session:*"))
        assert left == {f"ctxlocal:session:{'b' * 64}".encode()}
        assert store.load("b" * 64) is not None

    def test_r8_other_processes_end_it_within_the_interval(self, server: Server) -> None:
        client, store = server
        other = RedisStore(client)
        store.create(KEY, ANNA, TTL)
        lose_index(client)
        assert store.revoke("anna") == 0
        let_pass(client, KEY)
        assert other.load(KEY) is None
        assert other.load(KEY) is None

    def test_r8_a_renewal_does_not_carry_it_out_of_reach(self, server: Server) -> None:
        client, store = server
        other = RedisStore(client)
        store.create(KEY, ANNA, TTL)
        lose_index(client)
        assert store.revoke("anna") == 0
        assert other.move(KEY, OTHER, {}, TTL, 60)
        let_pass(client, OTHER)
        assert other.load(KEY) is None
        assert other.load(OTHER) is None

    def test_r8_who_is_spared_lives_on(self, server: Server) -> None:
        client, store = server
        for key in (KEY, OTHER):
            store.create(key, ANNA, TTL)
        lose_index(client)
        assert store.revoke("anna", KEY) == 0
        assert store.load(KEY) is not None
        assert store.load(OTHER) is None
        assert [key for key, _ in store.list("anna")] == [KEY]

    def test_r8_one_is_ended_by_its_handle_alone(self, server: Server) -> None:
        client, store = server
        store.create(KEY, {**ANNA, HANDLE: b"h1"}, TTL)
        store.create(OTHER, {**ANNA, HANDLE: b"h2"}, TTL)
        lose_index(client)
        assert store.revoke("anna", None, "") == 0
        assert store.revoke("anna", None, "h1") == 0
        assert store.load(KEY) is None
        assert store.load(OTHER) is not None

    @pytest.mark.parametrize("is_cleared", [False, True])
    def test_a_later_login_lives_though_its_record_is_older(
        self, server: Server, is_cleared: bool
    ) -> None:
        client, store = server
        store.create(KEY, {}, TTL)  # a visitor's
        store.revoke("anna")
        assert store.move(KEY, OTHER, ANNA, TTL)
        if is_cleared:
            assert store.commit(OTHER, 1, Change("c", ANNA, ops=[Clear()]), TTL).results == (None,)
        let_pass(client, OTHER)
        assert store.load(OTHER) is not None

    def test_the_index_heals_when_a_session_is_used(self, server: Server) -> None:
        client, store = server
        for key in (KEY, OTHER):
            store.create(key, ANNA, TTL)
        lose_index(client)
        let_pass(client, KEY)
        assert store.load(KEY) is not None
        assert [key for key, _ in store.list("anna")] == [KEY]
        let_pass(client, OTHER)
        assert store.load(OTHER) is not None
        assert {key for key, _ in store.list("anna")} == {KEY, OTHER}

    def test_a_load_asks_no_more_but_once_in_the_interval(
        self, store: RedisStore, client: redis.Redis, sent: Counted
    ) -> None:
        store.create(KEY, ANNA, TTL)
        assert sent(lambda: store.load(KEY)) == ["HGETALL"]
        let_pass(client, KEY)
        assert sent(lambda: store.load(KEY)) == ["HGETALL", "EVAL", "EVAL"]  # in one batch
        assert sent(lambda: store.load(KEY)) == ["HGETALL"]
        store.revoke("anna", KEY)
        assert sent(lambda: store.load(KEY)) == ["HGETALL", "EVAL", "EVAL"]
        assert sent(lambda: store.load(KEY)) == ["HGETALL"]

    @pytest.mark.parametrize("held", [None, b"", b"1", b"now and then"])
    def test_a_record_that_does_not_say_is_looked_for(
        self, store: RedisStore, client: redis.Redis, held: bytes | None
    ) -> None:
        store.create(KEY, ANNA, TTL)
        if held is None:  # as former versions left it
            client.hdel(RECORD, INDEXED)
        else:
            client.hset(RECORD, INDEXED, held)
        lose_index(client)
        assert store.load(KEY) is not None
        assert [key for key, _ in store.list("anna")] == [KEY]

    def test_a_full_server_lets_sessions_be_read_and_ended(
        self, store: RedisStore, client: redis.Redis
    ) -> None:
        store.create(KEY, ANNA, TTL)
        let_pass(client, KEY)
        client.config_set("maxmemory", 1)
        try:
            assert store.load(KEY) is not None
            assert store.revoke("anna") == 1
        finally:
            client.config_set("maxmemory", 0)

    def test_what_evicts_is_told(self, server: Server) -> None:
        assert server.store.eviction_policies() == set()

    @pytest.mark.asyncio
    async def test_tasks_end_it_too(self, client: redis.Redis, redis_port: int) -> None:
        store = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        await store.create(KEY, ANNA, TTL)
        lose_index(client)
        assert await store.revoke("anna") == 0
        assert await store.load(KEY) is None
        await store.close()


class TestCluster:
    def test_fulfils_the_contract(self, cluster: redis.RedisCluster) -> None:
        def make() -> RedisStore:
            cluster.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
            return RedisStore(cluster)

        check_store(make, advance=lambda seconds: age(cluster, seconds))

    def test_its_own_connections_are_closed(self, cluster_ports: list[int]) -> None:
        store = RedisStore.from_url(f"redis+cluster://127.0.0.1:{cluster_ports[0]}")
        store.load(KEY)
        clients = [node.redis_connection for node in store._operations._client.get_nodes()]
        pools = [client.connection_pool for client in clients if client is not None]
        connections = [each for pool in pools for each in pool._available_connections]
        assert any(connection._sock for connection in connections)
        store.close()
        assert not any(connection._sock for connection in connections)

    def test_every_operation_works(self, cluster: redis.RedisCluster) -> None:
        store = RedisStore(cluster)
        keys = [f"{number:064x}" for number in range(30)]
        for key in keys:
            assert store.create(key, ANNA, TTL)
        assert store.commit(keys[0], 0, Change("c", ops=[Incr("n", 2)]), TTL).results == (2,)
        assert store.move(keys[0], KEY, {}, TTL, 60)
        assert store.load(keys[0]) == store.load(KEY) != None  # noqa: E711
        assert store.touch(KEY, TTL)
        assert len(store.list("anna")) == 30
        assert len(dict(store.scan())) == 30
        assert store.stats() == Stats(30, 1, 30 * 9 + 2)
        assert store.delete(keys[1])
        assert store.revoke("anna", KEY) == 28
        assert store.purge() == 0
        for key in keys[1:]:
            store.create(key, {}, TTL)
        assert store.revoke_everyone() == 30
        assert list(store.scan()) == []

    @pytest.mark.asyncio
    async def test_every_operation_works_in_tasks(
        self, cluster: redis.RedisCluster, cluster_ports: list[int]
    ) -> None:
        store = AsyncRedisStore.from_url(f"redis+cluster://127.0.0.1:{cluster_ports[1]}")
        keys = [f"{number:064x}" for number in range(30)]
        for key in keys:
            assert await store.create(key, ANNA, TTL)
        await store.create(KEY, {}, TTL)
        await race_in_tasks(store, 50)
        record = await store.load(KEY)
        assert record is not None
        assert record.values == all_kept(50)
        assert await store.move(KEY, OTHER, {}, TTL)
        assert await store.touch(OTHER, TTL)
        assert await store.delete(OTHER)
        assert len(await store.list("anna")) == 30
        assert await store.revoke("anna", keys[0]) == 29
        assert await store.purge() == 0
        assert await store.revoke_everyone() == 1
        await store.close()

    def test_threads_lose_nothing(
        self, cluster_ports: list[int], cluster: redis.RedisCluster
    ) -> None:
        store = RedisStore.from_url(f"redis+cluster://127.0.0.1:{cluster_ports[0]}")
        store.create(KEY, {}, TTL)
        race_in_threads(store, 50)
        assert records(store) == all_kept(50)
        assert store.name.startswith("redis+cluster://127.0.0.1:")
        store.close()


def put_string(client: redis.Redis) -> None:
    client.set(RECORD, "somebody else's")


def put_hash(client: redis.Redis) -> None:
    client.delete(RECORD)
    client.hset(RECORD, "somebody", "else's")


def break_meta(client: redis.Redis) -> None:
    client.hset(RECORD, b"\xffm", "0 0 now later")


def break_name(client: redis.Redis) -> None:
    client.hset(RECORD, b"\xff\xfe", "1")


class TestCorruptRecords:
    """R32: what lies under a session's key and is no record harms nothing else."""

    KINDS = (
        (put_string, "its key holds no hash"),
        (put_hash, "the hash has no meta field of ours"),
        (break_meta, "the hash has no meta field of ours"),
    )

    @pytest.fixture(params=[False, True], ids=["a client", "from_url"])
    def own(
        self, request: pytest.FixtureRequest, client: redis.Redis, redis_port: int
    ) -> Iterator[RedisStore]:
        url = f"redis://127.0.0.1:{redis_port}"
        own = RedisStore.from_url(url) if request.param else RedisStore(client)
        own.create(KEY, ANNA, TTL)
        own.create(OTHER, ANNA, TTL)
        yield own
        own.close()

    @pytest.mark.parametrize(("spoil", "problem"), [*KINDS, (break_name, "a field's name is no")])
    def test_r32_load_tells_them_from_a_missing_one(
        self, own: RedisStore, client: redis.Redis, spoil: Callable[[Any], None], problem: str
    ) -> None:
        spoil(client)
        with pytest.raises(CorruptRecordError, match=f"holds a record it cannot read: {problem}"):
            own.load(KEY)

    @pytest.mark.parametrize(("spoil", "problem"), KINDS)
    def test_r32_nothing_changes_them_but_delete(
        self, own: RedisStore, client: redis.Redis, spoil: Callable[[Any], None], problem: str
    ) -> None:
        spoil(client)
        before = client.dump(RECORD)
        for ops in ([], [Incr("n", 1)]):
            assert own.commit(KEY, 0, Change("c", ops=ops), TTL) == Answer("revoked")
        assert not own.touch(KEY, TTL)
        assert not own.move(KEY, "new", {}, TTL)
        assert not own.create(KEY, {}, TTL)
        assert client.dump(RECORD) == before
        assert own.delete(KEY)
        assert own.load(KEY) is None
        assert not own.delete(KEY)

    @pytest.mark.parametrize(("spoil", "problem"), [*KINDS, (break_name, "a field's name is no")])
    def test_r32_list_and_scan_leave_them_out_with_a_line_each(
        self,
        own: RedisStore,
        client: redis.Redis,
        caplog: pytest.LogCaptureFixture,
        spoil: Callable[[Any], None],
        problem: str,
    ) -> None:
        spoil(client)
        assert [key for key, _ in own.list("anna")] == [OTHER]
        (line,) = caplog.messages
        assert line.startswith(f"record left out: The session store {own.name} holds a record")
        assert problem in line
        assert KEY not in line
        caplog.clear()
        assert [key for key, _ in own.scan()] == [OTHER]
        assert len(caplog.messages) == (0 if spoil is put_string else 1)  # SCAN asks for hashes
        assert own.stats() == Stats(1, 1, 9)

    @pytest.mark.parametrize(("spoil", "problem"), KINDS)
    def test_r8_others_are_revoked_all_the_same(
        self, own: RedisStore, client: redis.Redis, spoil: Callable[[Any], None], problem: str
    ) -> None:
        spoil(client)
        assert own.revoke("anna") == 1
        own.create(OTHER, ANNA, TTL)
        assert own.revoke_everyone() == 1
        assert own.load(OTHER) is None

    def test_r32_commits_that_cannot_be_read_end_the_record(
        self, own: RedisStore, client: redis.Redis
    ) -> None:
        client.hset(RECORD, b"\xffc", "rubbish " * 100)
        assert commit(own, a=b"1") == Answer("revoked")
        assert own.delete(KEY)

    @pytest.mark.asyncio
    async def test_r32_a_task_is_told_too(
        self, own: RedisStore, client: redis.Redis, redis_port: int
    ) -> None:
        tasks = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        put_string(client)
        with pytest.raises(CorruptRecordError):
            await tasks.load(KEY)
        assert [key for key, _ in await tasks.list("anna")] == [OTHER]
        assert await tasks.delete(KEY)
        await tasks.close()

    def test_another_error_of_the_servers_is_no_corrupt_record(
        self, own: RedisStore, client: redis.Redis, redis_port: int
    ) -> None:
        may_not = ["-hgetall", "-hmget"]
        client.acl_setuser(
            "few", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=may_not
        )
        few = RedisStore.from_url(f"redis://few:x@127.0.0.1:{redis_port}")
        for operation in (few.load, lambda key: few.list("anna"), lambda key: commit(few)):
            with pytest.raises(StoreUnavailableError):
                operation(KEY)
        few.close()
        client.acl_deluser("few")


class TestDirectConnections:
    """What ``from_url`` does without a client."""

    def test_no_more_are_opened_than_allowed(self, client: redis.Redis, redis_port: int) -> None:
        store = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}?max_connections=3")
        before = len(client.client_list())
        store.create(KEY, {}, TTL)
        race_in_threads(store, 20)
        assert records(store) == all_kept(20)
        assert 1 <= len(client.client_list()) - before <= 3
        store.close()
        assert records(store) == all_kept(20)  # a closed one opens again
        store.close()

    def test_when_all_are_busy_it_is_unavailable(self, store: RedisStore, redis_port: int) -> None:
        own = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}?max_connections=1")
        direct = own._operations._direct
        assert direct is not None
        direct._timeout = 0.01
        taken = direct._idle.pop()
        with pytest.raises(StoreUnavailableError) as caught:
            own.load(KEY)
        direct._idle.append(taken)
        assert str(caught.value.__cause__) == "All connections are busy."
        assert own.load(KEY) is None
        own.close()

    def test_one_that_was_interrupted_is_not_used_again(
        self, store: RedisStore, redis_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        own.create(KEY, {"a": b"1"}, TTL)
        direct = own._operations._direct
        assert direct is not None
        connection = direct._idle[-1]
        with monkeypatch.context() as patch:
            patch.setattr(connection, "read_response", interrupt)
            with pytest.raises(KeyboardInterrupt):
                own.load(OTHER)  # its reply is not taken for the next one's
        assert connection not in direct._idle
        assert records(own) == {"a": b"1"}
        own.close()

    def test_a_forked_child_opens_its_own(self, store: RedisStore, redis_port: int) -> None:
        own = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        own.create(KEY, {}, TTL)
        direct = own._operations._direct
        assert direct is not None
        whose = Call(("CLIENT", "ID"))
        mine = direct.ask(whose)
        child = os.fork()
        if not child:
            os._exit(0 if direct.ask(whose) != mine and records(own) == {} else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert direct.ask(whose) == mine
        own.close()

    def test_those_the_server_has_closed_are_passed_over(
        self, store: RedisStore, client: redis.Redis, redis_port: int
    ) -> None:
        own = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        own.create(KEY, {"a": b"1"}, TTL)
        direct = own._operations._direct
        assert direct is not None
        pool = redis.ConnectionPool(port=redis_port)
        opened: list[Any] = [pool.make_connection() for _ in range(4)]
        for connection in opened:
            connection.connect()
            direct._idle.append(connection)
        client.client_kill_filter(_type="normal", skipme=True)
        assert records(own)["a"] == b"1"
        assert not set(opened) & set(direct._idle)
        own.close()


@pytest.mark.parametrize("arguments", [("PING",), ("SET", "ä", b"\r\n\0", -7, "")])
def test_a_command_is_packed_as_hiredis_does(arguments: tuple[str | bytes | int, ...]) -> None:
    assert packed(arguments) == hiredis.pack_command(arguments)  # type: ignore[arg-type]


class TestDirectConnectionsInTasks:
    @pytest.mark.asyncio
    async def test_no_more_are_opened_than_allowed(
        self, client: redis.Redis, redis_port: int
    ) -> None:
        own = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}?max_connections=3")
        before = len(client.client_list())
        await own.create(KEY, {}, TTL)
        await race_in_tasks(own, 20)
        record = await own.load(KEY)
        assert record is not None
        assert record.values == all_kept(20)
        assert 1 <= len(client.client_list()) - before <= 3
        await own.close()

    @pytest.mark.asyncio
    async def test_when_all_are_busy_it_is_unavailable(
        self, store: RedisStore, redis_port: int
    ) -> None:
        own = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}?max_connections=1")
        assert await own.load(KEY) is None
        direct = own._direct
        assert direct is not None
        direct._timeout = 0.01
        async with direct._free:
            with pytest.raises(StoreUnavailableError) as caught:
                await own.load(KEY)
        assert str(caught.value.__cause__) == "All connections are busy."
        assert await own.load(KEY) is None
        await own.close()

    @pytest.mark.asyncio
    async def test_one_that_was_cancelled_is_not_used_again(
        self, store: RedisStore, redis_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        await own.create(KEY, {"a": b"1"}, TTL)
        direct = own._direct
        assert direct is not None
        (connection,) = direct._idle
        with monkeypatch.context() as patch:
            patch.setattr(connection, "read_response", cancel)
            with pytest.raises(asyncio.CancelledError):
                await own.load(OTHER)  # its reply is not taken for the next one's
        assert connection not in direct._idle
        record = await own.load(KEY)
        assert record is not None
        assert record.values == {"a": b"1"}
        await own.close()

    @pytest.mark.asyncio
    async def test_those_the_server_has_closed_are_passed_over(
        self, store: RedisStore, client: redis.Redis, redis_port: int
    ) -> None:
        own = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
        await own.create(KEY, {}, TTL)
        await race_in_tasks(own, 4)
        direct = own._direct
        assert direct is not None
        opened = list(direct._idle)
        assert len(opened) > 2
        client.client_kill_filter(_type="normal", skipme=True)
        assert await own.load(KEY) is not None
        assert not set(opened) & set(direct._idle)
        await own.close()

    @pytest.mark.asyncio
    async def test_a_silent_server_is_unavailable(
        self, client: redis.Redis, redis_port: int
    ) -> None:
        url = f"redis://127.0.0.1:{redis_port}?socket_timeout=1"
        own = AsyncRedisStore.from_url(url)
        assert not await own.touch(KEY, TTL)
        client.client_pause(60_000, all=False)  # what may write waits, as scripts
        try:
            with pytest.raises(StoreUnavailableError) as caught:
                await own.touch(KEY, TTL)
        finally:
            client.client_unpause()
        assert isinstance(caught.value.__cause__, redis.TimeoutError)
        assert not await own.touch(KEY, TTL)
        await own.close()

    def test_another_event_loop_opens_its_own(self, store: RedisStore, redis_port: int) -> None:
        own = AsyncRedisStore.from_url(f"redis://127.0.0.1:{redis_port}")

        async def use() -> bool:
            created = await own.create(KEY, {}, TTL)
            await own.close()
            return created

        assert asyncio.run(use())
        assert not asyncio.run(use())


def interrupt(**options: object) -> None:
    raise KeyboardInterrupt


async def cancel(**options: object) -> None:
    raise asyncio.CancelledError


class TestFailure:
    def test_a_killed_server_is_unavailable_until_it_is_back(self) -> None:
        with redis_server() as server:
            store = RedisStore.from_url(f"redis://127.0.0.1:{server.port}")
            store.create(KEY, {}, TTL)
            server.stop(signal.SIGKILL)
            for operation in (lambda: store.load(KEY), lambda: commit(store)):
                with pytest.raises(StoreUnavailableError) as caught:
                    operation()
                assert isinstance(caught.value.__cause__, redis.ConnectionError)
            server.start()
            assert store.load(KEY) is None
            assert store.create(KEY, {}, TTL)
            store.close()

    def test_a_silent_server_is_unavailable(self) -> None:
        never = Retry(NoBackoff(), 0)
        with (
            redis_server() as server,
            # What it can answer has to come within that on a busy machine too.
            redis.Redis(port=server.port, socket_timeout=2, retry=never) as client,
        ):
            store = RedisStore(client)
            store.create(KEY, {}, TTL)
            with server.paused(), pytest.raises(StoreUnavailableError) as caught:
                store.load(KEY)
            assert isinstance(caught.value.__cause__, redis.TimeoutError)
            assert store.load(KEY) is not None

    def test_a_full_server_refuses_the_whole_commit(self, client: redis.Redis) -> None:
        store = RedisStore(client)
        before = {"a": b"1", "n": b"1"}
        store.create(KEY, before, TTL)
        client.config_set("maxmemory", "1")
        try:
            ops: list[Op] = [Incr("n", 1), Take("a")]
            for sets, deletes in (({"b": b"1"}, ["a"]), ({}, ["a"])):
                with pytest.raises(StoreUnavailableError) as caught:
                    store.commit(KEY, 0, Change("c", sets, deletes, ops), TTL)
                assert "maxmemory" in str(caught.value.__cause__)
            with pytest.raises(StoreUnavailableError):
                store.create(OTHER, {}, TTL)
            with pytest.raises(StoreUnavailableError):
                store.move(KEY, OTHER, {}, TTL)
            assert records(store) == before
            assert store.delete(KEY)  # a logout still works
        finally:
            client.config_set("maxmemory", "0")

    def test_a_read_only_server_is_unavailable(self, client: redis.Redis) -> None:
        store = RedisStore(client)
        store.create(KEY, {}, TTL)
        client.replicaof("127.0.0.1", "1")
        try:
            assert store.load(KEY) is not None
            with pytest.raises(StoreUnavailableError):
                commit(store)
        finally:
            client.replicaof("NO", "ONE")

    @pytest.mark.asyncio
    async def test_a_task_is_told_too(self) -> None:
        with redis_server() as server:
            store = AsyncRedisStore.from_url(f"redis://127.0.0.1:{server.port}")
            await store.create(KEY, {}, TTL)
            server.stop(signal.SIGKILL)
            with pytest.raises(StoreUnavailableError):
                await store.load(KEY)
            server.start()
            assert await store.load(KEY) is None
            await store.close()

    @pytest.mark.parametrize(
        "url",
        [
            "redis://:s3cr/et@127.0.0.1:1",
            "redis://user:s3cret@[::1",
            "http://:s3cret@127.0.0.1",
            "redis://user:s3cret@127.0.0.1:port",
        ],
    )
    def test_a_bad_url_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(SessionConfigError) as caught:
            RedisStore.from_url(url)
        assert str(caught.value) == "url: it is no URL of a Redis server"
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("rubbish", [b"abc", b"1e30"])
    def test_an_epoch_that_is_no_number_is_told_by_the_stores_own_error(
        self, client: redis.Redis, rubbish: bytes
    ) -> None:
        store = RedisStore(client, epoch_interval=0)
        store.create(KEY, ANNA, TTL)
        client.set("ctxlocal:epoch", rubbish)
        for call in (
            lambda: store.load(KEY),
            lambda: store.create(OTHER, {}, TTL),
            lambda: commit(store, a=b"1"),
            lambda: store.touch(KEY, TTL),
            lambda: store.move(KEY, OTHER, {}, TTL),
            lambda: store.revoke("anna"),
            store.revoke_everyone,
        ):
            with pytest.raises(StoreUnavailableError) as caught:
                call()
            assert str(caught.value.__cause__) == "ctxlocal:epoch holds no number: delete it"
        client.delete("ctxlocal:epoch")
        assert store.load(KEY) is not None

    def test_the_password_is_in_no_name_and_no_message(self) -> None:
        with redis_server("--requirepass", "other") as server:
            store = RedisStore.from_url(f"redis://user:s3cret@127.0.0.1:{server.port}/0")
            with pytest.raises(StoreUnavailableError) as caught:
                store.load(KEY)
            texts = (store.name, repr(store), str(caught.value), str(caught.value.__cause__))
            assert not any(re.search("s3cret|user:", text) for text in texts)
            assert store.name == f"redis://127.0.0.1:{server.port}/0"
            store.close()

    def test_a_client_of_the_other_kind_is_refused(self, client: redis.Redis) -> None:
        with pytest.raises(SessionConfigError, match=r"^client: it is not asyncio's; use RedisSt"):
            AsyncRedisStore(client)  # type: ignore[arg-type]
        with pytest.raises(SessionConfigError, match=r"^client: it is asyncio's; use AsyncRedisSt"):
            RedisStore(redis.asyncio.Redis())  # type: ignore[arg-type]
        with pytest.raises(SessionConfigError, match=r"^epoch_interval: give seconds, 0 or more$"):
            RedisStore(client, epoch_interval=-1)

    def test_a_given_client_stays_open(self, store: RedisStore, client: redis.Redis) -> None:
        store.close()
        assert client.ping()
