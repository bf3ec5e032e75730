"""The contract of stores on each of them; and that the check of it can fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from ctxlocal.local import Latch
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import (
    HANDLE,
    Answer,
    AsyncStore,
    Change,
    Clear,
    Incr,
    Op,
    Record,
    Store,
)
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.testing import StoreContractError, check_async_store, check_store
from ctxlocal.testing._rules import RULES
from ctxlocal.testing._rules.expiry import an_expired_record_is_replaced_once
from ctxlocal.testing._rules.renewals import CLIENTS
from ctxlocal.testing._trial import Trial

from .conftest import KEY, Clock, Kind


def test_store_fulfils_the_contract(kind: Kind) -> None:
    check_store(kind.make, advance=kind.advance, lose_reply=kind.lose_reply)


def test_async_store_fulfils_the_contract(async_kind: Kind) -> None:
    check_async_store(async_kind.make, advance=async_kind.advance, lose_reply=async_kind.lose_reply)


def test_stores_are_instances_of_the_protocol(store: Store) -> None:
    assert isinstance(store, Store)


def test_async_stores_are_instances_of_the_protocol(
    make_async_store: Callable[[], AsyncStore],
) -> None:
    assert isinstance(make_async_store(), AsyncStore)


def test_r4_the_stores_take_keys_as_they_are(store: Store) -> None:
    store.create(KEY, {"a": b"1"}, 100)
    assert KEY not in repr(store)
    assert [key for key, _ in store.scan()] == [KEY]


def test_r7_a_commit_after_delete_makes_nothing(store: Store) -> None:
    store.create(KEY, {"a": b"1"}, 100)
    base = store.load(KEY)
    assert store.delete(KEY)
    assert store.commit(KEY, 0, Change("c", {"b": b"2"}), 100, base) == ("revoked", ())
    assert store.load(KEY) is None


@pytest.mark.parametrize("requests", [50, 500])
def test_no_update_is_lost(store: Store, requests: int) -> None:
    store.create(KEY, {}, 100)
    barrier = threading.Barrier(requests)

    def request(number: int) -> None:
        base = store.load(KEY)
        barrier.wait()
        changes = {f"f{number}": b"%d" % number}
        answers.append(
            store.commit(KEY, 0, Change(f"{number}", changes, ops=(Incr("n", 1),)), 100, base)
        )

    answers: list[Answer] = []
    threads = [threading.Thread(target=request, args=(number,)) for number in range(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.results[0] or 0 for answer in answers) == list(range(1, requests + 1))
    record = store.load(KEY)
    assert record is not None
    expected = {f"f{number}": b"%d" % number for number in range(requests)}
    assert record.values == {**expected, "n": b"%d" % requests}


# That the check can fail: each of these stores is broken in one way.


def named(record: Record) -> str | None:
    """Return a record's lasting name."""
    name = record.values.get(HANDLE)
    return None if name is None else name.decode()


class Commit(NamedTuple):
    """What ``Store.commit`` is called with."""

    key: str
    generation: int
    change: Change
    ttl: float
    base: Record | None


class Broken(MemoryStore):
    """A MemoryStore whose commit can be replaced in part."""

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        return self.changed(super().commit, Commit(key, generation, change, ttl, base))

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        return commit(*asked)


class Forgetful(Broken):
    """Carries a repeated commit out again."""

    numbers = iter(range(10**6))

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        change = replace(asked.change, commit_id=str(next(self.numbers)))
        return commit(*asked._replace(change=change))


class ResultLess(Broken):
    """Drops the results of a commit that is repeated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seen: set[str] = set()

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        answer = commit(*asked)
        if asked.change.commit_id in self.seen:
            return Answer(answer.outcome)
        self.seen.add(asked.change.commit_id)
        return answer


class Resurrecting(Broken):
    """Recreates a record that was deleted."""

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        if self.load(asked.key) is None:
            self.create(asked.key, asked.change.sets, asked.ttl)
        return commit(*asked)


class Overwriting(Broken):
    """Writes the whole record as it was loaded, with the changes."""

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        if asked.base is None:
            return commit(*asked)
        change = replace(asked.change, sets={**asked.base.values, **asked.change.sets})
        return commit(*asked._replace(change=change))


class Ageless(Broken):
    """Ignores the generation."""

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        record = self.load(asked.key)
        return commit(*asked._replace(generation=record.generation if record else 0))


class ClearLast(Broken):
    """Clears after the fields are set."""

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        if any(isinstance(op, Clear) for op in asked.change.ops):
            asked = asked._replace(change=replace(asked.change, sets={}))
        return commit(*asked)


class Wrapping(Broken):
    """Counts beyond 64 bits by starting again."""

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        answer, ops = commit(*asked), asked.change.ops
        incr = [op for op in ops if isinstance(op, Incr)]
        if answer.outcome == "conflict" and len(incr) == len(ops) == 2:
            nothing = Change(asked.change.commit_id + "!")
            return commit(*asked._replace(change=nothing, base=None))
        return answer


class Sharing(MemoryStore):
    """Hands out its own dict."""

    def load(self, key: str) -> Record | None:
        place = self._places.get(key)
        record = super().load(key)
        if record is None or place is None:
            return record
        return replace(record, values=place.latest().values)


class Lingering(MemoryStore):
    """Moves, and keeps the old key for longer than asked."""

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        return super().move(old, new, sets, ttl, grace or 5)


class Immortal(MemoryStore):
    """Keeps records ten times as long."""

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        return super().create(key, sets, ttl if ttl > 5 else ttl * 10)


class Merciless(MemoryStore):
    """Revokes the record that is to be spared too."""

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        return super().revoke(user, None, handle)


class Unlisted(MemoryStore):
    """Loses a record from its user's list when it is moved."""

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        found = super().list(user)
        return [item for item in found if not self._places[item[0]].latest().keys.former]


class Nameless(MemoryStore):
    """Revokes all of a user's records where one is named."""

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        return super().revoke(user, except_key)


class Overtaken(MemoryStore):
    """Revokes what it listed, by the keys that the records had then."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._others = set(threading.enumerate())  # of services that tests before have started

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        spared = None if except_key is None else self._find(except_key)
        found = [item for item in self.list(user) if handle in (None, named(item[1]))]
        listed = [key for key, _ in found if self._find(key) is not spared]
        if len(set(threading.enumerate()) - self._others) >= CLIENTS:  # they renew them now
            while listed and all(key in self._places for key in listed):
                threading.Event().wait(0.001)
        return sum(map(self.delete, listed))


class Cutting(MemoryStore):
    """Lets a later move's grace shorten those before."""

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        moved = super().move(old, new, sets, ttl, grace)
        olds = self._places[new].latest().keys.olds if moved else {}
        for key in olds:
            olds[key] = min(olds[key], self._clock() + grace)
        return moved


class Shortsighted(MemoryStore):
    """Follows 64 moves."""

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        moved = super().move(old, new, sets, ttl, grace)
        olds = self._places[new].latest().keys.olds if moved else {}
        if len(olds) > 64:
            del olds[next(iter(olds))]
        return moved


class Timid(Broken):
    """Takes from an old key nothing but what cannot collide."""

    def changed(self, commit: Callable[..., Answer], asked: Commit) -> Answer:
        if asked.key in self._old and (asked.change.sets or asked.change.deletes):
            return Answer("revoked")
        return commit(*asked)


class Replacing(MemoryStore):
    """Replaces a record that is there."""

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        self.delete(key)
        return super().create(key, sets, ttl)


class Doubling(MemoryStore):
    """Tells each that creates a record where one has expired that it made one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.made: set[str] = set()
        self.made_again: set[str] = set()

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        if made := super().create(key, sets, ttl):
            (self.made_again if key in self.made else self.made).add(key)
        return made or key in self.made_again


class Stripping(MemoryStore):
    """Strips NUL bytes, as a C string would."""

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        return super().create(key, {n: v.rstrip(b"\0") for n, v in sets.items()}, ttl)


class Failing(MemoryStore):
    """Raises what no store may."""

    def touch(self, key: str, ttl: float) -> bool:
        raise KeyError("no such record")


SABOTAGE = {
    Forgetful: "a_repeated_commit_is_answered_again",
    ResultLess: "a_repeated_commit_is_answered_again",
    Resurrecting: "a_missing_record_is_none",
    Overwriting: "loaded_values_are_the_callers_own",
    Ageless: "a_later_record_inherits_nothing",
    ClearLast: "a_commit_is_done_in_order",
    Wrapping: "incr_is_exact_in_64_bits",
    Sharing: "loaded_values_are_the_callers_own",
    Lingering: "one_alone_moves_a_record",
    Immortal: "a_record_expires",
    Merciless: "revoke_removes_a_users_records",
    Unlisted: "an_old_key_moves_without_a_grace",
    Nameless: "a_handle_names_one_record",
    Overtaken: "a_revoke_ends_what_is_renewed_meanwhile",
    Cutting: "each_grace_ends_at_its_own_time",
    Shortsighted: "a_grace_bears_any_number_of_moves",
    Timid: "an_old_key_commits_like_the_new_one",
    Replacing: "create_leaves_what_is_there",
    Doubling: "an_expired_record_is_replaced_once",
    Stripping: "any_bytes_and_names_come_back",
    Failing: "a_missing_record_is_none",
}


def test_a_client_that_fails_leaves_no_other_waiting() -> None:
    class Unlucky(Doubling):
        def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
            if key in self.made and failed.take():
                raise LookupError("create")
            return super().create(key, sets, ttl)

    rule, clock, failed = an_expired_record_is_replaced_once, Clock(), Latch()
    trial = Trial(rule.check, Unlucky(clock=clock), clock.advance, None)
    with pytest.raises(LookupError):
        rule.check(trial)


@pytest.mark.parametrize("broken", SABOTAGE, ids=lambda broken: broken.__name__)
def test_check_store_finds_what_is_broken(broken: type[MemoryStore]) -> None:
    clock = Clock()
    with pytest.raises(StoreContractError) as caught:
        check_store(lambda: broken(clock=clock), advance=clock.advance)
    assert caught.value.rule == SABOTAGE[broken]
    assert caught.value.did
    assert all(part in str(caught.value) for part in ("done:", "expected:", "got:"))


def test_check_async_store_finds_what_is_broken() -> None:
    with pytest.raises(StoreContractError, match=r"^revoke_removes_a_users_records: "):
        check_async_store(lambda: ThreadedStore(Merciless()))


class Former(MemoryStore):
    """Takes what a commit wants piece by piece."""

    def commit(  # type: ignore[override]
        self,
        key: str,
        generation: int,
        sets: Mapping[str, bytes],
        deletes: Sequence[str],
        ops: Sequence[Op],
        ttl: float,
        commit_id: str,
        base: Record | None = None,
    ) -> Answer:
        raise NotImplementedError


class Graceless(MemoryStore):
    """Cannot be asked to move a record with a grace."""

    def move(  # type: ignore[override]
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float
    ) -> bool:
        raise NotImplementedError


FORMER = (
    "; its commit() takes (key, generation, sets, deletes, ops, ttl, commit_id, base), where "
    "(key, generation, change, ttl, base) is given"
)


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        (Former, FORMER),
        (
            Graceless,
            "; its move() takes (old, new, sets, ttl), where (old, new, sets, ttl, grace) is given",
        ),
    ],
)
def test_check_store_refuses_a_method_of_other_parameters(
    store: type[MemoryStore], problem: str
) -> None:
    with pytest.raises(TypeError, match=f"^<{store.__name__} .*> is no Store{re.escape(problem)}$"):
        check_store(store)


def test_check_async_store_refuses_a_method_of_other_parameters() -> None:
    class Outdated(ThreadedStore):
        commit: Any = Former.commit

    with pytest.raises(TypeError, match=f" is no AsyncStore{re.escape(FORMER)}$"):
        check_async_store(lambda: Outdated(MemoryStore()))


def test_a_failure_says_what_was_done_expected_and_got() -> None:
    with pytest.raises(StoreContractError) as caught:
        check_store(Replacing)
    assert str(caught.value) == (
        "create_leaves_what_is_there: ``create`` is False if there is a record, which is left as "
        "it is.\n"
        "  done:\n"
        "    create('K', {'a': b'1'}, 1000.0) -> True\n"
        "    create('K', {'a': b'2', 'b': b'3'}, 1000.0) -> True\n"
        "  expected: False\n"
        "  got: True"
    )


def _lose(store: Any) -> Any:
    """Make the next commit's answer get lost on its way back."""

    @contextmanager
    def lost() -> Iterator[None]:
        original = store.commit

        def commit(*args: Any) -> Answer:
            del store.commit
            original(*args)
            raise StoreUnavailableError(store.name, "commit")

        store.commit = commit
        yield

    return lost()


def test_a_lost_answer_counts_once(kind: Kind) -> None:
    check_store(kind.make, lose_reply=_lose)


def test_check_store_finds_a_lost_answer_counted_twice() -> None:
    class Retrying(MemoryStore):
        """Repeats what failed under another id."""

    def lose(store: Any) -> Any:
        @contextmanager
        def lost() -> Iterator[None]:
            original = store.commit
            number = iter(range(100))

            def commit(key: str, generation: int, change: Change, *rest: Any) -> Answer:
                renamed = replace(change, commit_id=f"{change.commit_id}{next(number)}")
                answer: Answer = original(key, generation, renamed, *rest)
                return answer

            store.commit = commit
            yield

        return lost()

    with pytest.raises(StoreContractError, match=r"^a_lost_answer_counts_once: "):
        check_store(Retrying, lose_reply=lose)


def test_every_rule_has_a_sentence() -> None:
    assert len(RULES) > 40
    assert all(rule.check.__doc__ for rule in RULES)
