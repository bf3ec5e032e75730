"""The Redis store while a record moves: what others see, do and end between any two commands.

A :class:`Stepping` store does something else before one of its commands, before each in turn,
on one server and on a cluster, where the two keys lie on two nodes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
import redis

from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import SessionConflictError
from ctxlocal.sessions.headers import NOTHING
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.protocol import HANDLE, USER, Answer, Change, Clear, Incr
from ctxlocal.sessions.stores.redis import RedisStore
from ctxlocal.sessions.stores.redis.scripts import DELETE

from .conftest import cluster_client

pytestmark = pytest.mark.redis

TTL = 600.0
NAME = "5e" * 16
ANNA = {USER: b"anna", HANDLE: NAME.encode(), "a": b"1"}
OLDER, OLD, NEW, NEWER = (letter * 64 for letter in "1234")
ENOUGH = 40  # commands, of which no operation takes so many


class DiedError(Exception):
    pass


def die() -> None:
    raise DiedError


class Sending(RedisStore):
    """Sends each command by ``send``."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._send = self._operations._send
        self._operations._send = self.send  # type: ignore[method-assign]

    async def send(self, asked: Any) -> Any:
        return await self._send(asked)


class Stepping(Sending):
    """Calls ``between`` before the command number ``at``, and in ``lossy`` loses its reply."""

    at = -1
    count = 0
    is_lossy = False

    def between(self) -> object: ...

    async def send(self, asked: Any) -> Any:
        number, self.count = self.count, self.count + 1
        if number != self.at:
            return await super().send(asked)
        self.between()
        reply = await super().send(asked)
        if self.is_lossy:
            raise redis.ConnectionError("lost")
        return reply


class Place(NamedTuple):
    """A server or cluster; ``other`` is another process there."""

    client: Any
    other: RedisStore

    def stepping(self, at: int, between: Callable[[], object] = lambda: None) -> Stepping:
        store = Stepping(self.client)
        store.load(NEWER)  # it has read the epoch
        store.at, store.count = at, 0
        store.between = between  # type: ignore[method-assign]
        return store


@pytest.fixture(params=["server", "cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "server":
        with redis.Redis(port=request.getfixturevalue("redis_port")) as client:
            client.flushall()
            yield Place(client, RedisStore(client))
        return
    with cluster_client(request.getfixturevalue("cluster_ports")[0]) as cluster:
        yield Place(cluster, RedisStore(cluster))


def each_step(place: Place, work: Callable[[int], Stepping], least: int = 2) -> None:
    """Let ``work`` do the same with every number of a command, until there are no more."""
    for at in range(ENOUGH):
        clear(place)
        if work(at).count <= at:
            assert at >= least
            return
    pytest.fail("it never came to an end")


def clear(place: Place) -> None:
    if isinstance(place.client, redis.RedisCluster):
        place.client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
    else:
        place.client.flushall()


def values(store: RedisStore, key: str) -> dict[str, bytes]:
    record = store.load(key)
    assert record is not None
    return record.values


_numbers = itertools.count()


def increase(store: RedisStore, key: str, generation: int = 0) -> Answer:
    return store.commit(key, generation, Change(f"{next(_numbers)}", ops=[Incr("n", 1)]), TTL)


def listed(store: RedisStore) -> list[str]:
    return [key for key, _ in store.list("anna")]


ENDS: dict[str, Callable[[RedisStore], int]] = {
    "revoke": lambda store: store.revoke("anna"),
    "revoke by handle": lambda store: store.revoke("anna", None, NAME),
    "revoke everyone": lambda store: store.revoke_everyone(),
    "delete": lambda store: int(store.delete(OLD)),
}
GRACES = pytest.mark.parametrize("grace", [0, 60], ids=["at once", "grace"])


@pytest.fixture(params=ENDS)
def end(request: pytest.FixtureRequest) -> Callable[[RedisStore], int]:
    return ENDS[request.param]


class TestEnds:
    """After its return no key loads, whoever moves the record meanwhile."""

    @GRACES
    def test_r8_a_move_between_two_commands_of_an_end_escapes_nothing(
        self, place: Place, end: Callable[[RedisStore], int], grace: float
    ) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            moved: list[bool] = []
            ender = place.stepping(at, lambda: moved.extend(self._move_twice(place, grace)))
            count = end(ender)
            if end is ENDS["delete"] and moved and not grace:
                return ender  # it was moved before there was a command to delete it
            assert count == 1
            assert moved in ([True, True], [False, False], [])
            for key in (OLD, NEW, NEWER):
                assert place.other.load(key) is None
            assert listed(place.other) == []
            return ender

        each_step(place, work, least=1)

    def _move_twice(self, place: Place, grace: float) -> list[bool]:
        keys = (OLD, NEW, NEWER)
        return [place.other.move(*pair, {}, TTL, grace) for pair in itertools.pairwise(keys)]

    @GRACES
    def test_r8_an_end_between_two_commands_of_a_move_wins(
        self, place: Place, end: Callable[[RedisStore], int], grace: float
    ) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            counts: list[int] = []
            mover = place.stepping(at, lambda: counts.append(end(place.other)))
            done = mover.move(OLD, NEW, {}, TTL, grace)
            if not counts:
                return mover
            if counts == [0]:  # moved without a grace, the old key deletes nothing
                assert end is ENDS["delete"]
                assert done
                assert not grace
                return mover
            assert counts == [1]
            assert not done
            assert not place.client.exists(f"ctxlocal:session:{NEW}")  # nothing waits for ever
            for key in (OLD, NEW):
                assert place.other.load(key) is None
            assert listed(place.other) == []
            assert place.other.stats().sessions == 0
            return mover

        each_step(place, work)

    def test_r8_a_login_between_two_commands_of_a_logout_by_an_old_key(self, place: Place) -> None:
        def work(at: int) -> Stepping:
            place.client.script_load(DELETE.text)  # else the first command does nothing
            place.other.create(OLDER, ANNA, TTL)
            assert place.other.move(OLDER, OLD, {}, TTL, 60)
            ender = place.stepping(at, lambda: place.other.move(OLD, NEW, {}, TTL))
            is_deleted = ender.delete(OLDER)
            if at == 0:  # it was dead before there was a command to delete it
                return ender
            assert is_deleted
            for key in (OLDER, OLD, NEW):
                assert place.other.load(key) is None
            return ender

        each_step(place, work)

    def test_r8_the_spared_session_stays_whoever_moves_it(self, place: Place) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLDER, ANNA, TTL)
            place.other.move(OLDER, OLD, {}, TTL, 60)
            place.other.create("9", ANNA, TTL)
            ender = place.stepping(at, lambda: place.other.move(OLD, NEW, {}, TTL, 60))
            assert ender.revoke("anna", OLDER) == 1
            assert values(place.other, OLDER) == ANNA
            assert place.other.load("9") is None
            return ender

        each_step(place, work)


class TestWatchers:
    """At every instant the record is where it was, or where it goes."""

    def test_within_a_grace_nobody_notices_a_move(self, place: Place) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)

            def use() -> None:
                assert values(place.other, OLD)["a"] == b"1"
                answer = place.other.commit(
                    OLD, 0, Change("c", {"b": b"2"}, ["a"], [Incr("n", 1)]), TTL
                )
                assert answer == Answer("committed", (1,))
                assert place.other.touch(OLD, TTL)
                assert len(place.other.list("anna")) == place.other.stats().sessions == 1

            mover = place.stepping(at, use)
            assert mover.move(OLD, NEW, {"c": b"3"}, TTL, 60)
            if mover.count > at:
                expected = {USER: b"anna", HANDLE: NAME.encode(), "b": b"2", "c": b"3", "n": b"1"}
                assert values(place.other, NEW) == values(place.other, OLD) == expected
            assert listed(place.other) == [NEW]
            return mover

        each_step(place, work)

    def test_no_answered_commit_is_lost_by_a_move_at_once(self, place: Place) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            answers: list[Answer] = []

            def use() -> None:
                is_there = place.other.load(OLD) is not None
                answers.append(place.other.commit(OLD, 0, Change("c", {"b": b"2"}), TTL))
                assert is_there is (answers[-1].outcome == "committed")
                assert len(place.other.list("anna")) == 1

            mover = place.stepping(at, use)
            assert mover.move(OLD, NEW, {}, TTL)
            is_kept = Answer("committed") in answers
            assert values(place.other, NEW) == {**ANNA, **({"b": b"2"} if is_kept else {})}
            assert place.other.load(OLD) is None
            return mover

        each_step(place, work)

    @GRACES
    def test_a_commit_that_only_sets_goes_where_the_record_is(
        self, place: Place, grace: float
    ) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            answers: list[Answer] = []

            def use() -> None:
                for key, change in (
                    (OLD, Change("c", {"b": b"2"})),
                    (NEW, Change("d", {"c": b"3"})),
                ):
                    answers.append(place.other.commit(key, 0, change, TTL))

            mover = place.stepping(at, use)
            assert mover.move(OLD, NEW, {}, TTL, grace)
            kept = values(place.other, NEW)
            for name, answer in zip("bc", answers, strict=False):
                assert (name in kept) is (answer.outcome == "committed")
            if answers and grace:
                assert answers[0].outcome == "committed"
            return mover

        each_step(place, work)

    @GRACES
    def test_r8_a_commit_by_the_new_key_alone_comes_too_late(
        self, place: Place, grace: float
    ) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            ends: list[tuple[int, Answer]] = []

            def use() -> None:
                count = place.other.revoke("anna")
                ends.append((count, place.other.commit(NEW, 0, Change("c", {"b": b"2"}), TTL)))

            mover = place.stepping(at, use)
            mover.move(OLD, NEW, {}, TTL, grace)
            assert not ends or ends == [(1, Answer("revoked"))]
            return mover

        each_step(place, work)

    def test_a_clear_is_no_obstacle(self, place: Place) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            mover = place.stepping(
                at, lambda: place.other.commit(OLD, 0, Change("c", {"b": b"2"}, ops=[Clear()]), TTL)
            )
            assert mover.move(OLD, NEW, {}, TTL, 60)
            found = place.other.load(OLD)
            assert found == place.other.load(NEW)
            assert found is not None
            if mover.count > at:
                assert (found.values, found.generation) == ({"b": b"2"}, 1)
                assert listed(place.other) == []
            return mover

        each_step(place, work)

    @GRACES
    def test_a_commit_before_each_command_delays_no_move(self, place: Place, grace: float) -> None:
        class Crowded(Sending):
            async def send(self, asked: Any) -> Any:
                answer = place.other.commit(
                    OLD, 0, Change(f"c{len(sums)}", ops=[Incr("n", 1)]), TTL
                )
                sums.append(answer)
                return await super().send(asked)

        sums: list[Answer] = []
        place.other.create(OLD, ANNA, TTL)
        assert Crowded(place.client).move(OLD, NEW, {}, TTL, grace)
        counted = [answer for answer in sums if answer.outcome == "committed"]
        assert values(place.other, NEW)["n"] == b"%d" % len(counted)
        assert len(sums) <= ENOUGH
        assert counted == (sums if grace else sums[: len(counted)])

    @GRACES
    def test_a_list_finds_a_record_that_moves(self, place: Place, grace: float) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            reader = place.stepping(at, lambda: place.other.move(OLD, NEW, {}, TTL, grace))
            assert len(reader.list("anna")) == 1
            return reader

        for at in range(4):
            clear(place)
            work(at)


class TestStoppedMovers:
    """Wherever a mover stops, one of the keys is good, the move can be repeated, or ended."""

    def stop(self, place: Place, at: int, grace: float) -> Stepping:
        place.other.create(OLD, ANNA, TTL)
        mover = place.stepping(at, die)
        with suppress(DiedError):
            assert mover.move(OLD, NEW, {"c": b"3"}, TTL, grace)
        return mover

    @GRACES
    def test_one_key_is_good(self, place: Place, grace: float) -> None:
        def work(at: int) -> Stepping:
            mover = self.stop(place, at, grace)
            loaded = {key for key in (OLD, NEW) if place.other.load(key) is not None}
            assert loaded
            assert OLD in loaded or not grace
            assert grace or len(loaded) == 1
            assert len(place.other.list("anna")) == place.other.stats().sessions == 1
            (key,) = listed(place.other)
            assert key in loaded
            generation = 1 if key == NEW and not grace else 0
            sets = {"b": b"2"}
            assert (
                place.other.commit(key, generation, Change("c", sets), TTL).outcome == "committed"
            )
            for key in loaded:
                assert values(place.other, key)["b"] == b"2"
            return mover

        each_step(place, work)

    @GRACES
    def test_it_can_be_done_again(self, place: Place, grace: float) -> None:
        def work(at: int) -> Stepping:
            mover = self.stop(place, at, grace)
            assert place.other.move(OLD, NEW, {"c": b"3"}, TTL, grace)
            assert values(place.other, NEW) == {**ANNA, "c": b"3"}
            assert place.other.load(OLD) == (place.other.load(NEW) if grace else None)
            assert listed(place.other) == [NEW]
            return mover

        each_step(place, work)

    @GRACES
    def test_another_move_goes_on(self, place: Place, grace: float) -> None:
        def work(at: int) -> Stepping:
            mover = self.stop(place, at, grace)
            came_by = listed(place.other)[0] if not grace else OLD
            assert place.other.move(came_by, NEWER, {}, TTL)
            assert values(place.other, NEWER)["a"] == b"1"
            assert [place.other.load(key) for key in (OLD, NEW)] == [None, None]
            assert listed(place.other) == [NEWER]
            return mover

        each_step(place, work)

    @GRACES
    def test_r8_it_is_ended(
        self, place: Place, end: Callable[[RedisStore], int], grace: float
    ) -> None:
        def work(at: int) -> Stepping:
            mover = self.stop(place, at, grace)
            if end(place.other) == 0:  # by the old key, which is dead
                assert place.other.load(NEW) is not None
                return mover
            for key in (OLD, NEW):
                assert place.other.load(key) is None
                assert place.other.commit(key, 0, Change("c"), TTL) == Answer("revoked")
                assert not place.other.touch(key, TTL)
                assert not place.other.move(key, NEWER, {}, TTL)
            assert place.other.stats().sessions == 0
            return mover

        each_step(place, work)

    @GRACES
    def test_one_that_goes_on_late_finds_what_others_did(self, place: Place, grace: float) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            done: list[bool] = []
            mover = place.stepping(
                at, lambda: done.append(place.other.move(OLD, NEWER, {}, TTL, 0))
            )
            is_first = mover.move(OLD, NEW, {}, TTL, grace)
            assert is_first or done == [True]
            good = [key for key in (OLD, NEW, NEWER) if place.other.load(key) is not None]
            assert good == ([NEWER] if done == [True] else [NEW] if not grace else [OLD, NEW])
            assert listed(place.other) == good[-1:]
            return mover

        each_step(place, work)

    @GRACES
    def test_a_lost_reply_changes_nothing(self, place: Place, grace: float) -> None:
        def work(at: int) -> Stepping:
            place.other.create(OLD, ANNA, TTL)
            mover = place.stepping(at)
            mover.is_lossy = True
            assert mover.move(OLD, NEW, {"c": b"3"}, TTL, grace)
            assert values(place.other, NEW) == {**ANNA, "c": b"3"}
            assert place.other.load(OLD) == (place.other.load(NEW) if grace else None)
            return mover

        each_step(place, work)


class TestRenewals:
    """Any number of renewals within a grace, and each grace its own."""

    def test_8000_cost_an_old_key_a_few_commands(self, redis_port: int) -> None:
        with redis.Redis(port=redis_port) as client:
            client.flushall()
            own = RedisStore.from_url(f"redis://127.0.0.1:{redis_port}")
            keys = [f"{number:064x}" for number in range(8001)]
            own.create(keys[0], ANNA, TTL)
            for old, new in itertools.pairwise(keys):
                assert own.move(old, new, {}, TTL, 300)
            counting = Place(client, own).stepping(-1)
            for key in (keys[0], keys[1], keys[4000], keys[7990], keys[7999]):
                for use in (counting.load, lambda key: increase(counting, key)):
                    before = counting.count
                    assert use(key)
                    assert counting.count - before <= 8  # a script may have to be sent
            for act in (lambda: counting.list("anna"), lambda: counting.revoke("anna")):
                before = counting.count
                act()
                assert counting.count - before <= 4
            assert [counting.load(key) for key in keys[::1000]] == [None] * 9
            before = counting.count
            assert counting.revoke_everyone() == 0
            assert counting.count - before < 500  # pages of the database, and what they lead to
            own.close()

    def test_a_move_at_once_ends_the_graces_before_for_good(self, place: Place) -> None:
        keys = [f"{number:064x}" for number in range(6)]
        place.other.create(keys[0], ANNA, TTL)
        for number, grace in enumerate((60, 60, 0, 60, 60)):
            assert place.other.move(keys[number], keys[number + 1], {}, TTL, grace)
        for key in keys[:3]:
            assert place.other.load(key) is None
            assert not place.other.delete(key)
        for key in keys[3:]:
            assert values(place.other, key) == ANNA

    def test_r8_a_renewing_client_is_ended_by_revoke_all(self, redis_port: int) -> None:
        url = f"redis://127.0.0.1:{redis_port}"
        worker, admin = (
            StoredSessions(RedisStore.from_url(url), cookie=Cookie.for_development("s"))
            for _ in range(2)
        )
        escaped = sum(
            self._escapes(worker, admin, grace) for _ in range(15) for grace in (0.0, 60.0)
        )
        assert escaped == 0
        for sessions in (worker, admin):
            sessions.store.close()

    def _escapes(self, worker: Any, admin: Any, grace: float) -> bool:
        def cookie(headers: Any) -> str:
            (line,) = headers.cookies
            return str(line).partition(";")[0]

        def renew() -> None:
            try:
                while not is_over.is_set():
                    session = worker.open(cookies[-1])
                    if session.user is None:
                        break
                    session.regenerate(grace=grace)
                    headers = NOTHING
                    with suppress(SessionConflictError):  # it was ended meanwhile
                        headers = worker.save(session)
                    if not headers.cookies:
                        break
                    cookies.append(cookie(headers))
                    is_renewing.set()
            finally:
                is_renewing.set()

        is_renewing, is_over = threading.Event(), threading.Event()
        first = worker.open("")
        first.user = "mallory"
        cookies = [cookie(worker.save(first))]
        thread = threading.Thread(target=renew)
        thread.start()
        is_renewing.wait()
        assert admin.revoke_all("mallory") == 1
        is_over.set()
        thread.join()
        return any(worker.open(one).user is not None for one in cookies[-3:])


class TestEpoch:
    """Everyone's end is remembered by each process, and by the server until it loses it."""

    @pytest.fixture
    def client(self, redis_port: int) -> Iterator[redis.Redis]:
        with redis.Redis(port=redis_port) as client:
            client.flushall()
            yield client

    def hidden(self, client: redis.Redis, store: RedisStore, key: str) -> bytes:
        store.create(key, ANNA, TTL)
        dumped = client.dump(f"ctxlocal:session:{key}")
        assert isinstance(dumped, bytes)
        return dumped

    def restore(self, client: redis.Redis, key: str, dumped: bytes) -> None:
        client.restore(f"ctxlocal:session:{key}", 0, dumped, replace=True)

    def test_ends_what_the_scan_did_not_find(self, client: redis.Redis) -> None:
        store = RedisStore(client, epoch_interval=0)
        dumped = self.hidden(client, store, OLD)
        assert store.revoke_everyone() == 1
        self.restore(client, OLD, dumped)
        assert store.load(OLD) is None
        assert store.commit(OLD, 0, Change("c", {"a": b"1"}), TTL) == Answer("revoked")
        assert not store.touch(OLD, TTL)
        assert not store.move(OLD, NEW, {}, TTL)
        assert store.list("anna") == []
        assert list(store.scan()) == []
        assert store.revoke("anna") == 0

    def test_a_process_that_knows_the_old_one_takes_notice_in_its_interval(
        self, client: redis.Redis
    ) -> None:
        here, there = RedisStore(client, epoch_interval=0), RedisStore(client, epoch_interval=1e9)
        dumped = self.hidden(client, there, OLD)
        here.revoke_everyone()
        self.restore(client, OLD, dumped)
        assert there.load(OLD) is not None
        assert there.create(NEW, {}, TTL)  # reads it, and is not hurt by it
        assert there.load(OLD) is None
        assert there.load(NEW) is not None

    def test_a_second_one_is_later_even_if_the_first_was_lost(self, client: redis.Redis) -> None:
        store = RedisStore(client, epoch_interval=0)
        store.revoke_everyone()
        dumped = self.hidden(client, store, OLD)
        client.delete("ctxlocal:epoch")
        fresh = RedisStore(client, epoch_interval=0)
        assert fresh.revoke_everyone() == 1
        self.restore(client, OLD, dumped)
        assert fresh.load(OLD) is None

    @pytest.mark.parametrize("loss", ["flushall", "the key"])
    @pytest.mark.parametrize("interval", [0, 1e9], ids=["reads it", "has read it"])
    def test_after_its_loss_nobody_rejects_what_others_create(
        self, client: redis.Redis, loss: str, interval: float
    ) -> None:
        stores = [RedisStore(client, epoch_interval=interval) for _ in range(3)]
        for store in stores[:2]:  # each remembers another one, the third none
            store.revoke_everyone()
        client.flushall() if loss == "flushall" else client.delete("ctxlocal:epoch")
        stores.append(RedisStore(client, epoch_interval=interval))
        for number, creator in enumerate(stores):
            key = f"{number:064x}"
            assert creator.create(key, ANNA, TTL)
            assert [store.load(key) is not None for store in stores] == [True] * 4
            answers = [store.commit(key, 0, Change(str(id(store))), TTL) for store in stores]
            assert answers == [Answer("committed")] * 4
        assert [len(store.list("anna")) for store in stores] == [4] * 4

    def test_after_its_loss_what_was_revoked_stays_revoked(self, client: redis.Redis) -> None:
        knowing, ignorant = (RedisStore(client, epoch_interval=0) for _ in range(2))
        dumped = self.hidden(client, knowing, OLD)
        knowing.revoke_everyone()
        client.delete("ctxlocal:epoch")
        self.restore(client, OLD, dumped)
        ignorant.create(NEW, ANNA, TTL)
        assert knowing.load(OLD) is None  # it has read the epoch, and written its own back
        assert ignorant.load(OLD) is None
        assert [store.load(NEW) is not None for store in (knowing, ignorant)] == [True, True]

    def test_one_that_is_later_than_the_servers_clock_is_forgotten(
        self, client: redis.Redis
    ) -> None:
        """A server whose clock was set back loses its epoch: nothing it holds is of that time."""
        ahead, other = (RedisStore(client, epoch_interval=0) for _ in range(2))
        client.set("ctxlocal:epoch", 2**52)
        assert ahead.load(OLD) is None
        client.flushall()
        assert other.create(OLD, ANNA, TTL)
        assert ahead.load(OLD) is not None
        assert other.load(OLD) is not None

    def test_a_server_that_takes_no_writes_is_read_all_the_same(self, client: redis.Redis) -> None:
        store, other = (RedisStore(client, epoch_interval=0) for _ in range(2))
        store.revoke_everyone()
        client.delete("ctxlocal:epoch")
        other.create(OLD, ANNA, TTL)
        client.replicaof("127.0.0.1", "1")
        try:
            assert store.load(OLD) is not None
        finally:
            client.replicaof("NO", "ONE")
        assert not client.exists("ctxlocal:epoch")
        assert store.load(OLD) is not None
        assert client.exists("ctxlocal:epoch")
