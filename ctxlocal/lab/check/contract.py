"""Tries a store that others use: with new random keys, of no user, which are removed at once.

It asks the part of ``ctxlocal.testing.check_store`` that leaves nothing behind in any store. A
renewed id would: the store remembers the former one. So would a user, whose index outlives him.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

from ...sessions.errors import StoreUnavailableError
from ...sessions.stores.observed import StoreCall, observed
from ...sessions.stores.protocol import Answer, Change, Expect, Incr, Record, Store, Take

ROUNDS = 5
TTL = 60.0  # seconds, after which a record goes that could not be removed


class Broken(Exception):
    """A store broke the contract; the text is the rule."""


@dataclass(frozen=True)
class RoundTrip:
    """How long the calls of one name took."""

    call: str
    calls: int
    median_seconds: float
    worst_seconds: float


@dataclass
class Trial:
    """What came of a trial."""

    calls: list[StoreCall] = field(default_factory=list)
    ahead: float = 0.0  #: seconds that the store's clock is ahead of this machine's
    broken: str | None = None  #: the rule that does not hold
    error: StoreUnavailableError | None = None

    @property
    def repeats(self) -> int:
        """How often the store asked its server again."""
        return sum(call.repeats for call in self.calls)

    def round_trips(self) -> list[RoundTrip]:
        """Return how long each kind of call took, where it succeeded."""
        seconds: dict[str, list[float]] = {}
        for call in self.calls:
            if call.error is None:
                seconds.setdefault(call.call, []).append(call.seconds)
        return [
            RoundTrip(name, len(each), median(each), max(each)) for name, each in seconds.items()
        ]


def try_contract(store: Store) -> Trial:
    """Let some records live and end in a store; about 65 calls."""
    trial = Trial()
    try:
        store.load(_new_key())  # connects, which no round trip is
        for _ in range(ROUNDS):
            _live(store, trial)
    except Broken as broken:
        trial.broken = str(broken)
    except StoreUnavailableError as error:
        trial.error = error
    return trial


def _new_key() -> str:
    return os.urandom(32).hex()


def _live(store: Store, trial: Trial) -> None:
    key, seen = _new_key(), observed(store, trial.calls.append)
    try:
        trial.ahead = _begin(seen, key)
        _change(seen, key)
        _end(seen, key)
    finally:
        with suppress(StoreUnavailableError):
            store.delete(key)


def _begin(store: Store, key: str) -> float:
    """Create a record; return how far ahead the clock is by which that was done."""
    before = time.time()
    _expect(store.create(key, {"a": b"1", "b": b"\0\xff"}, TTL), True, "a record is created")
    after = time.time()
    _expect(store.create(key, {"a": b"2"}, TTL), False, "create leaves a record that is there")
    record = _loaded(store, key)
    _expect(record.values, {"a": b"1", "b": b"\0\xff"}, "what was created is loaded")
    if before <= record.touched <= after:
        return 0.0
    return record.touched - (before if record.touched < before else after)


def _change(store: Store, key: str) -> None:
    base = _loaded(store, key)
    first = Change(_new_key(), {"c": b"3"}, ("b",), (Incr("n", 2),))
    done = Answer("committed", (2,))
    _expect(store.commit(key, 0, first, TTL, base), done, "a commit is done")
    _expect(store.commit(key, 0, first, TTL, base), done, "a commit that is repeated counts once")
    other = Change(_new_key(), {"d": b"4"}, (), (Incr("n", 3), Take("c")))
    answer = store.commit(key, 0, other, TTL, base)
    _expect(answer, Answer("committed", (5, b"3")), "a commit from an older state is merged")
    refused = Change(_new_key(), {"a": b"9"}, (), (Expect("a", b"8"),))
    _expect(store.commit(key, 0, refused, TTL).outcome, "conflict", "what is expected is compared")
    values = {"a": b"1", "n": b"5", "d": b"4"}
    _expect(_loaded(store, key).values, values, "no update is lost")


def _end(store: Store, key: str) -> None:
    _expect(store.touch(key, TTL), True, "a record is renewed")
    _expect(store.delete(key), True, "a record is removed")
    late = Change(_new_key(), {"a": b"1"})
    _expect(store.commit(key, 0, late, TTL).outcome, "revoked", "a commit brings nothing back")
    _expect(store.load(key), None, "what was removed is gone")


def _loaded(store: Store, key: str) -> Record:
    record = store.load(key)
    if record is None:
        raise Broken("what was created is loaded")
    return record


def _expect(got: object, wanted: object, rule: str) -> None:
    if got != wanted:
        raise Broken(rule)
