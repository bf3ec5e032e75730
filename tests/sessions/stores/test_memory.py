"""MemoryStore: its limits, and what runs while it works."""

from __future__ import annotations

import gc
import os
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import USER, Change, Incr

from .conftest import KEY, OTHER, Clock


def keys(store: MemoryStore) -> set[str]:
    return {key for key, _ in store.scan()}


def test_at_the_limit_what_was_touched_least_recently_goes() -> None:
    clock = Clock()
    store = MemoryStore(max_sessions=3, clock=clock)
    for key in "abc":
        store.create(key, {}, 100)
        clock.advance(1)
    store.touch("a", 100)
    clock.advance(1)
    store.commit("b", 0, Change("1", {"x": b"1"}), 100)
    store.create("d", {}, 100)
    assert keys(store) == {"a", "b", "d"}
    store.create("e", {}, 100)
    assert keys(store) == {"b", "d", "e"}


def test_at_the_limit_what_has_expired_goes_first() -> None:
    clock = Clock()
    store = MemoryStore(max_sessions=2, clock=clock)
    store.create("long", {}, 100)
    clock.advance(1)
    store.create("short", {}, 1)
    clock.advance(2)
    store.create("new", {}, 100)
    assert keys(store) == {"long", "new"}


def test_bytes_are_limited() -> None:
    clock = Clock()
    store = MemoryStore(max_bytes=1000, clock=clock)
    for key in "abc":
        store.create(key, {"f": b"x" * 299}, 100)
        clock.advance(1)
    store.commit("b", 0, Change("1", {"f": b"y" * 499}), 100)
    assert keys(store) == {"b", "c"}
    assert store.stats().bytes == 800
    store.commit("b", 0, Change("2", {"f": b""}), 100)
    store.create("d", {"f": b"x" * 600}, 100)
    assert keys(store) == {"b", "c", "d"}


def test_what_has_expired_is_swept_without_a_purge() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    for number in range(500):
        store.create(f"old{number}", {}, 1)
    clock.advance(2)
    for number in range(20):
        store.create(f"new{number}", {}, 100)
    assert len(store._places) == 20
    assert len(store._heap) == 20


def test_keys_that_were_moved_with_a_grace_are_swept() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    store.create("0", {}, 1000)
    for number in range(100):
        assert store.move(f"{number}", f"{number + 1}", {}, 1000, 1)
        clock.advance(2)
    store.create("other", {}, 100)
    assert set(store._places) == {"100", "other"}


def test_purge_removes_what_has_expired_and_counts_it() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    for key, ttl in {"ends": 5, "ends too": 4, "lives": 6}.items():
        store.create(key, {}, ttl)
    clock.advance(5)
    assert (store.purge(), set(store._places)) == (2, {"lives"})
    assert store.purge() == 0


@pytest.mark.parametrize("grace", [0, 50])
def test_what_was_moved_is_swept_as_any_other(grace: float) -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    store.create("0", {}, 10)
    assert store.move("0", "1", {}, 10, grace)
    clock.advance(10)
    store.create("new", {}, 100)
    assert (set(store._places), store._old, len(store._heap)) == ({"new"}, {}, 1)


@pytest.mark.parametrize("grace", [0, 50])
def test_at_the_limit_what_was_moved_goes_as_any_other(grace: float) -> None:
    clock = Clock()
    store = MemoryStore(max_sessions=1, clock=clock)
    store.create("0", {}, 10)
    assert store.move("0", "1", {}, 10, grace)
    store.create("new", {}, 100)
    assert (set(store._places), store._old) == ({"new"}, {})


def test_what_is_changed_as_it_is_driven_out_stays_and_goes_when_it_expires() -> None:
    class Raced(MemoryStore):
        """Another thread touches a record in the moment it is to go."""

        def _drop(self, place: Any, state: Any) -> bool:
            if meanwhile:
                meanwhile.pop()()
            return super()._drop(place, state)

    clock = Clock()
    store = Raced(max_sessions=1, clock=clock)
    store.create("changed", {}, 10)
    meanwhile: list[Callable[[], object]] = [lambda: store.touch("changed", 20)]
    store.create("new", {}, 100)
    assert "changed" in keys(store)
    clock.advance(20)
    store.create("newer", {}, 100)
    assert "changed" not in store._places


def test_deleted_records_leave_nothing() -> None:
    store = MemoryStore()
    store.create("idle", {}, 1000)
    for number in range(1000):
        store.create(f"{number}", {"a": b"1"}, 10_000)
        store.delete(f"{number}")
    store.create("last", {}, 1000)
    assert set(store._places) == {"idle", "last"}
    assert len(store._heap) < 100
    assert store._bytes == 0


def test_the_sum_of_bytes_stays_true() -> None:
    store = MemoryStore()
    store.create("a", {"x": b"12345"}, 100)
    store.commit("a", 0, Change("1", {"x": b"1", "y": b"2"}), 100)
    store.commit("a", 0, Change("2", {"z": b"333"}, ("x",), (Incr("n", 10),)), 100)
    store.move("a", "b", {"long": b"x" * 50}, 100, 10)
    store.create("c", {"x": b"1"}, 100)
    assert store._bytes == store.stats().bytes == 65
    store.revoke_everyone()
    store.create("d", {}, 100)
    assert store._bytes == 0


def test_old_commits_are_forgotten() -> None:
    store = MemoryStore()
    store.create(KEY, {}, 100)
    for number in range(1000):
        store.commit(KEY, 0, Change(f"{number}", {"a": b"1"}), 100)
    assert len(store._places[KEY].commits) <= 33


def test_thousands_of_renewals_within_a_grace_cost_nothing_later() -> None:
    store = MemoryStore(max_sessions=2)
    store.create("other", {}, 10_000)
    store.create("0", {USER: b"ann"}, 1000)
    for number in range(8000):
        assert store.move(f"{number}", f"{number + 1}", {}, 1000, 500)
    assert keys(store) == {"other", "8000"}, "old keys are no sessions, and drive none out"
    for number in range(8000):
        assert store.commit(f"{number}", 0, Change(f"{number}", {"a": b"1"}), 1000)
        assert store.load(f"{number}") is not None
    assert [key for key, _ in store.list("ann")] == ["8000"]
    assert store.stats().sessions == 2
    assert store.delete("0")
    assert not store._old
    assert set(store._places) == {"other"}


def test_old_keys_are_swept_when_their_grace_ends() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    store.create("0", {}, 10_000)
    for number in range(300):
        assert store.move(f"{number}", f"{number + 1}", {}, 10_000, 1 if number % 3 else 500)
        clock.advance(2)
    store.create("other", {}, 100)
    assert len(store._old) < 100
    assert len(store._places["300"].latest().keys.olds) < 100
    assert len(store._graces) < 100


def test_a_login_by_an_old_key_meets_a_renewal_in_the_midst() -> None:
    class Stalled(MemoryStore):
        """A mover that was decided waits here before the new key finds the place."""

        def _follow(self, *args: Any) -> None:
            if meanwhile:
                meanwhile.pop()()
            super()._follow(*args)

    meanwhile: list[Callable[[], object]] = []
    store = Stalled()
    for ended in (lambda: store.move("0", "login", {}, 100), lambda: store.delete("0")):
        store.create("0", {USER: b"ann"}, 100)
        meanwhile.append(ended)
        store.move("0", "1", {}, 100, 50)
        assert store.load("0") is store.load("1") is None
        assert keys(store) == {"login"} & set(store._places)
        store.revoke_everyone()
        assert not store._places
        assert not store._old


def test_a_revoke_misses_no_record_that_is_being_moved() -> None:
    for _ in range(200):
        store = MemoryStore()
        store.create(KEY, {USER: b"ann"}, 100)
        barrier = threading.Barrier(2)

        def move(store: MemoryStore = store, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            store.move(KEY, OTHER, {}, 100)

        mover = threading.Thread(target=move)
        mover.start()
        barrier.wait()
        revoked = store.revoke("ann")
        mover.join()
        assert (revoked, keys(store)) == (1, set())


def test_a_finaliser_may_use_the_store_at_any_moment() -> None:
    store = MemoryStore(max_sessions=50)
    store.create(KEY, {}, 1000)
    sums: list[object] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            number = len(sums)
            answer = store.commit(KEY, 0, Change(f"f{number}", ops=(Incr("n", 1),)), 2000)
            sums.append(answer.results)
            store.create(f"from finaliser {number}", {}, 100)

    former = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for number in range(500):
            Cycle()
            store.commit(
                KEY, 0, Change(f"{number}", {f"{number}": b"1"}, ops=(Incr("m", 1),)), 2000
            )
            store.create(f"{number}", {}, 100)
    finally:
        gc.set_threshold(*former)
    gc.collect()
    record = store.load(KEY)
    assert record is not None
    assert record.values["m"] == b"500"
    assert record.values["n"] == b"%d" % len(sums) == b"500"
    assert len(store._places) == 50


def test_a_fork_copies_the_records() -> None:
    store = MemoryStore(max_sessions=2)
    store.create(KEY, {"a": b"1"}, 100)
    store._turns[os.getpid()].take()  # as if another thread were evicting
    child = os.fork()
    if child == 0:
        record = store.load(KEY)
        for number in range(5):
            store.create(f"{number}", {}, 100)
        store.delete(KEY)
        os._exit(0 if record and record.values == {"a": b"1"} and len(store._places) <= 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert keys(store) == {KEY}


@pytest.mark.parametrize("first", ["gevent", "store"])
def test_greenlets_lose_nothing(run_python: Callable[..., str], first: str) -> None:
    patch = "from gevent import monkey; monkey.patch_all()"
    load = "from ctxlocal.sessions.stores.memory import MemoryStore"
    order = (patch, load) if first == "gevent" else (load, patch)
    code = f"""
import sys
{order[0]}
{order[1]}
import gevent
from gevent.lock import Semaphore
from ctxlocal.sessions.stores.protocol import Change, Incr
store = MemoryStore()
store.create("k", {{}}, 100)
ready = []
go = gevent.event.Event()
def request(number):
    base = store.load("k")
    ready.append(number)
    go.wait()
    change = Change(f"{{number}}", {{f"f{{number}}": b"1"}}, ops=(Incr("n", 1),))
    store.commit("k", 0, change, 100, base)
jobs = [gevent.spawn(request, number) for number in range(500)]
while len(ready) < 500:
    gevent.sleep(0)
go.set()
gevent.joinall(jobs, raise_error=True)
values = store.load("k").values
print(len(values), values["n"])
"""
    assert run_python(code) == "501 b'500'\n"


@pytest.mark.parametrize("setting", ["max_sessions", "max_bytes"])
def test_a_limit_below_one_is_refused(setting: str) -> None:
    limits: dict[str, Any] = {setting: 0}
    with pytest.raises(SessionConfigError, match=f"^{re.escape(setting)}: 0 is not from 1 on$"):
        MemoryStore(**limits)


def test_close_drops_the_records_and_leaves_a_usable_store() -> None:
    store = MemoryStore()
    store.create(KEY, {}, 100)
    store.close()
    assert store.load(KEY) is None
    assert store.create(KEY, {}, 100)


def test_memory_blocks_nobody() -> None:
    assert not MemoryStore.is_blocking


def test_a_place_that_lags_behind_leads_to_the_latest_state() -> None:
    store = MemoryStore()
    store.create(KEY, {"a": b"1"}, 60)
    place = store._places[KEY]
    before = place.state
    for turn in (b"2", b"3"):
        store.commit(KEY, 0, Change(f"commit {turn!r}", {"a": turn}), 60)
    place.state = before  # as a thread leaves it that was held up in its commit
    record = store.load(KEY)
    assert record is not None
    assert record.values == {"a": b"3"}
    assert store.commit(KEY, 0, Change("last", {"b": b"1"}), 60).outcome == "committed"
    record = store.load(KEY)
    assert record is not None
    assert record.values == {"a": b"3", "b": b"1"}
