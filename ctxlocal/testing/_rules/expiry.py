"""The rules of a store's protocol on time: what renews a record, and when it ends."""

from __future__ import annotations

import threading

from ...sessions.stores.protocol import USER
from .._trial import TTL, Trial
from .rule import LONGER, REVOKED, SHORT, committed, rule

TURNS = 8


@rule()
def touch_renews(trial: Trial) -> None:
    """``touch`` renews ``touched`` and ``expires`` and leaves all else."""
    key = trial.key("K")
    trial.create(key, {"a": b"1"}, 10.0)
    base = trial.load(key)
    trial.equal(trial.call("touch", key, 50.0), True)
    record = trial.load(key)
    trial.equal((dict(record.values), record.generation), ({"a": b"1"}, 0))
    if abs(record.expires - record.touched - 50.0) > 0.01:
        trial.fail("expires - touched == 50.0", record.expires - record.touched)
    trial.equal(trial.commit(key, {"b": b"2"}, base=base), committed())
    trial.values(key, {"a": b"1", "b": b"2"})


@rule(clock=True)
def a_record_expires(trial: Trial) -> None:
    """After ``expires`` there is no record for any method, and its key is free."""
    key, other = trial.key("K"), trial.key("L")
    trial.create(key, {USER: b"ann", "a": b"1"}, SHORT)
    trial.create(other, {USER: b"ann"})
    base = trial.load(key)
    trial.advance(LONGER)
    trial.absent(key)
    trial.equal(trial.commit(key, {"a": b"2"}, base=base), REVOKED)
    trial.equal(trial.call("touch", key, TTL), False)
    trial.equal(trial.call("move", key, trial.key("new"), {}, TTL, 0), False)
    trial.equal(trial.call("delete", key), False)
    trial.equal([found for found, _ in trial.call("list", "ann")], [other])
    trial.create(key, {"b": b"3"})
    trial.values(key, {"b": b"3"})
    trial.equal(trial.call("revoke", "ann"), 1)


@rule(clock=True)
def an_expired_record_is_replaced_once(trial: Trial) -> None:
    """Of many that create a record at once where one has expired, exactly one succeeds."""
    keys, barrier = [trial.key(f"K{number}") for number in range(TURNS)], threading.Barrier(8)
    for key in keys:
        trial.create(key, {"a": b"1"}, SHORT)
    trial.advance(LONGER)
    for key in keys:  # each with threads of its own: one that fails leaves nobody waiting

        def create(number: int, key: str = key) -> bool:
            barrier.wait()
            return bool(trial.call("create", key, {"who": b"%d" % number}, TTL))

        answers = trial.at_once(8, create)
        trial.equal(sum(answers), 1)
        trial.values(key, {"who": b"%d" % answers.index(True)})


@rule(clock=True)
def what_is_used_does_not_expire(trial: Trial) -> None:
    """Commit, touch and move each put the end off by their ttl."""
    keys = [trial.key(f"K{number}") for number in range(3)]
    for key in keys:
        trial.create(key, {"a": b"1"}, SHORT)
    trial.equal(trial.commit(keys[0], {"b": b"2"}, base=trial.load(keys[0])), committed())
    trial.equal(trial.call("touch", keys[1], TTL), True)
    trial.equal(trial.call("move", keys[2], trial.key("new"), {}, TTL, 0), True)
    trial.advance(LONGER)
    trial.values(keys[0], {"a": b"1", "b": b"2"})
    trial.values(keys[1], {"a": b"1"})
    trial.values(trial.key("new"), {"a": b"1"})


@rule(clock=True)
def a_ttl_may_shrink(trial: Trial) -> None:
    """A commit or a touch with a shorter ttl brings the end nearer."""
    keys = [trial.key("K"), trial.key("L")]
    for key in keys:
        trial.create(key, {"a": b"1"})
    trial.equal(trial.commit(keys[0], {"b": b"2"}, ttl=SHORT), committed())
    trial.equal(trial.call("touch", keys[1], SHORT), True)
    trial.advance(LONGER)
    trial.absent(keys[0])
    trial.absent(keys[1])


@rule(clock=True)
def purge_removes_what_has_expired(trial: Trial) -> None:
    """``purge`` removes expired records, returns how many (0 if they went by themselves)."""
    for number in range(5):
        trial.create(trial.key(f"K{number}"), {"a": b"1"}, SHORT)
    trial.create(trial.key("L"), {"a": b"1"})
    trial.advance(LONGER)
    if (purged := trial.call("purge")) not in (0, 5):
        trial.fail("5, or 0 from a store that does so itself", purged)
    trial.equal(trial.call("purge"), 0)
    trial.values(trial.key("L"), {"a": b"1"})
