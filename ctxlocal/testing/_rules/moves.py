"""The rules of a store's protocol on records that move to another key."""

from __future__ import annotations

from itertools import pairwise

from ...sessions.stores.protocol import USER, Clear, Expect, Incr, Take
from .._trial import TTL, Trial
from .rule import CONFLICT, LONGER, REVOKED, SHORT, committed, rule


@rule()
def move_gives_a_new_key(trial: Trial) -> None:
    """A record moved without a grace has the new key, the next generation, and ``sets``."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1", "b": b"2"})
    base = trial.load(old)
    trial.equal(trial.call("move", old, new, {"b": b"3", "c": b"4"}, 50.0, 0), True)
    record = trial.load(new)
    trial.equal(dict(record.values), {"a": b"1", "b": b"3", "c": b"4"})
    trial.equal(record.generation, 1)
    if abs(record.expires - record.touched - 50.0) > 0.01:
        trial.fail("expires - touched == 50.0", record.expires - record.touched)
    trial.equal(trial.commit(new, {"d": b"5"}, base=base), CONFLICT)
    trial.equal(trial.commit(new, {"d": b"5"}, generation=1, base=record), committed())


@rule()
def a_moved_key_is_dead(trial: Trial) -> None:
    """Without a grace the old key is dead at once, for every method."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    base = trial.load(old)
    trial.equal(trial.call("move", old, new, {}, TTL, 0), True)
    trial.absent(old)
    trial.equal(trial.commit(old, {"a": b"2"}, base=base), REVOKED)
    trial.equal(trial.commit(old, ops=(Incr("n", 1),), generation=1), REVOKED)
    trial.equal(trial.call("touch", old, TTL), False)
    trial.equal(trial.call("delete", old), False)
    trial.equal(trial.call("move", old, trial.key("newer"), {}, TTL, 0), False)
    trial.values(new, {"a": b"1"})
    trial.absent(trial.key("newer"))


@rule()
def a_repeated_move_is_true(trial: Trial) -> None:
    """The same move again is True and changes nothing; a move of the old key elsewhere is not."""
    for grace in (0, 100.0):
        old, new = trial.key(f"old{grace}"), trial.key(f"new{grace}")
        trial.create(old, {"a": b"1"})
        trial.equal(trial.call("move", old, new, {"b": b"2"}, TTL, grace), True)
        trial.equal(trial.commit(new, {"b": b"3"}, generation=0 if grace else 1), committed())
        trial.equal(trial.call("move", old, new, {"b": b"2"}, TTL, grace), True)
        trial.equal(trial.call("move", old, trial.key("newer"), {}, TTL, grace), False)
        trial.values(new, {"a": b"1", "b": b"3"})
        trial.absent(trial.key("newer"))


@rule()
def a_move_takes_no_key_that_is_in_use(trial: Trial) -> None:
    """A move to the key of another record is False, and both records stay as they are."""
    key, other = trial.key("K"), trial.key("L")
    trial.create(key, {"a": b"1"})
    trial.create(other, {"b": b"2"})
    for grace in (0, 100.0):
        trial.equal(trial.call("move", key, other, {"c": b"3"}, TTL, grace), False)
    trial.values(key, {"a": b"1"})
    trial.values(other, {"b": b"2"})


@rule()
def an_old_key_commits_like_the_new_one(trial: Trial) -> None:
    """Within the grace both keys load the record and merge into it whatever a commit may hold."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1", "once": b"\xa1x", "gone": b"1"})
    base = trial.load(old)
    trial.equal(trial.call("move", old, new, {"m": b"0"}, 50.0, 100.0), True)
    for key in (old, new):
        trial.equal(trial.load(key).generation, 0)
        trial.values(key, {"a": b"1", "once": b"\xa1x", "gone": b"1", "m": b"0"})
    trial.equal(trial.commit(old, {"b": b"2"}, deletes=("gone",), base=base), committed())
    ops = (Expect("a", b"1"), Incr("n", 2), Take("once"))
    for key in (old, new, old):
        answer = trial.commit(key, {"a": b"3"}, ops=ops, commit_id="c", base=base)
        trial.equal(answer, committed(None, 2, b"\xa1x"))
    trial.equal(trial.commit(old, {"a": b"4"}, ops=(Expect("a", b"1"),)), CONFLICT)
    trial.equal(trial.commit(old, {"a": b"4"}, generation=1), CONFLICT)
    trial.equal(trial.commit(new, {"c": b"5"}, base=base), committed())
    for key in (old, new):
        trial.values(key, {"a": b"3", "b": b"2", "c": b"5", "m": b"0", "n": b"2"})


@rule()
def an_old_key_renews_the_record(trial: Trial) -> None:
    """Within the grace ``touch`` and ``commit`` by the old key put the record's end off."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, 10.0, 100.0), True)
    trial.equal(trial.call("touch", old, 50.0), True)
    for key in (old, new):
        record = trial.load(key)
        if abs(record.expires - record.touched - 50.0) > 0.01:
            trial.fail("expires - touched == 50.0", record.expires - record.touched)
    trial.equal(trial.commit(old, {"a": b"2"}, ttl=60.0), committed())
    record = trial.load(new)
    if abs(record.expires - record.touched - 60.0) > 0.01:
        trial.fail("expires - touched == 60.0", record.expires - record.touched)


@rule()
def a_clear_reaches_both_keys(trial: Trial) -> None:
    """A Clear by either key makes commits of the former generation a conflict by both."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, TTL, 100.0), True)
    for generation, (clearing, other) in enumerate([(new, old), (old, new)]):
        base = trial.load(other)
        answer = trial.commit(clearing, {"b": b"2"}, ops=(Clear(),), generation=generation)
        trial.equal(answer, committed(None))
        for key in (old, new):
            trial.equal(trial.commit(key, {"a": b"3"}, generation=generation, base=base), CONFLICT)
            trial.values(key, {"b": b"2"})
            trial.equal(trial.load(key).generation, generation + 1)
    trial.equal(trial.commit(old, {"c": b"4"}, generation=2), committed())
    trial.values(new, {"b": b"2", "c": b"4"})


@rule()
def an_old_key_is_not_renewed(trial: Trial) -> None:
    """A move of an old key with a grace is False and changes nothing; it goes on as it was."""
    old, new, newer = trial.key("old"), trial.key("new"), trial.key("newer")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, TTL, 100.0), True)
    trial.equal(trial.call("move", old, newer, {"a": b"2"}, TTL, 100.0), False)
    trial.absent(newer)
    for key in (old, new):
        trial.values(key, {"a": b"1"})
    trial.equal(trial.commit(old, {"b": b"3"}), committed())
    trial.values(new, {"a": b"1", "b": b"3"})


@rule()
def an_old_key_moves_without_a_grace(trial: Trial) -> None:
    """A move without a grace by an old key moves the record on; every key before is dead."""
    keys = [trial.key(f"K{number}") for number in range(4)]
    trial.create(keys[0], {"a": b"1"})
    trial.equal(trial.call("move", keys[0], keys[1], {}, TTL, 100.0), True)
    trial.equal(trial.call("move", keys[1], keys[2], {}, TTL, 100.0), True)
    trial.equal(trial.call("move", keys[0], keys[3], {USER: b"ann"}, TTL, 0), True)
    for key in keys[:3]:
        trial.absent(key)
        trial.equal(trial.commit(key, {"a": b"2"}), REVOKED)
        trial.equal(trial.commit(key, {"a": b"2"}, generation=1), REVOKED)
        trial.equal(trial.call("touch", key, TTL), False)
        trial.equal(trial.call("delete", key), False)
    trial.values(keys[3], {USER: b"ann", "a": b"1"})
    trial.equal(trial.load(keys[3]).generation, 1)
    trial.equal([key for key, _ in trial.call("list", "ann")], [keys[3]])


@rule()
def a_grace_bears_any_number_of_moves(trial: Trial) -> None:
    """Within its grace a key leads to the record after 200 moves, and so does each one since."""
    keys = [trial.key(f"K{number}") for number in range(201)]
    trial.create(keys[0], {USER: b"ann"})
    for old, new in pairwise(keys):
        trial.equal(trial.call("move", old, new, {}, TTL, 100.0), True)
    for number, key in enumerate(keys):
        trial.equal(
            trial.commit(key, {f"f{number}": b"1"}, ops=(Incr("n", 1),)).outcome, "committed"
        )
    for key in keys:
        trial.equal(len(trial.load(key).values), 203)
    trial.equal([key for key, _ in trial.call("list", "ann")], [keys[-1]])
    trial.equal(trial.call("touch", keys[0], TTL), True)
    trial.equal(trial.call("delete", keys[0]), True)
    for key in keys:
        trial.absent(key)


@rule()
def an_old_key_tells_no_newer_one(trial: Trial) -> None:
    """No answer to an old key holds the new one."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, TTL, 100.0), True)
    answers = [trial.load(old), trial.commit(old, {"b": b"2"}), trial.call("touch", old, TTL)]
    if new in repr(answers):
        trial.fail("answers without the new key in them", "one that holds it")


@rule()
def the_next_move_ends_a_grace(trial: Trial) -> None:
    """When a record is moved on without a grace, the keys before it are dead too."""
    keys = [trial.key(f"K{number}") for number in range(3)]
    trial.create(keys[0], {"a": b"1"})
    trial.equal(trial.call("move", keys[0], keys[1], {}, TTL, 100.0), True)
    trial.equal(trial.call("move", keys[1], keys[2], {}, TTL, 0), True)
    trial.absent(keys[0])
    trial.absent(keys[1])
    trial.equal(trial.commit(keys[0], ops=(Incr("n", 1),)), REVOKED)
    trial.values(keys[2], {"a": b"1"})


@rule()
def an_end_ends_the_grace(trial: Trial) -> None:
    """When a moved record is deleted its old key loads nothing, and nothing can be counted."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, TTL, 100.0), True)
    trial.equal(trial.call("delete", new), True)
    trial.absent(old)
    trial.equal(trial.commit(old, ops=(Incr("n", 1),)), REVOKED)
    trial.absent(new)


@rule()
def delete_reaches_a_moved_record(trial: Trial) -> None:
    """By a key that was moved with a grace delete removes the record."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, TTL, 100.0), True)
    trial.equal(trial.call("delete", old), True)
    trial.absent(old)
    trial.absent(new)
    trial.equal(trial.call("delete", new), False)


@rule(clock=True)
def a_grace_is_over_in_time(trial: Trial) -> None:
    """After the grace the old key is dead for every method; the record lives on."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, TTL, SHORT), True)
    trial.values(old, {"a": b"1"})
    trial.advance(LONGER)
    trial.absent(old)
    trial.equal(trial.commit(old, ops=(Incr("n", 1),)), REVOKED)
    trial.equal(trial.call("touch", old, TTL), False)
    trial.equal(trial.call("delete", old), False)
    for grace in (0, 100.0):
        trial.equal(trial.call("move", old, trial.key("newer"), {}, TTL, grace), False)
    trial.equal(trial.call("purge"), 0)
    trial.values(new, {"a": b"1"})


@rule(clock=True)
def each_grace_ends_at_its_own_time(trial: Trial) -> None:
    """A later move's grace makes an earlier one neither shorter nor longer."""
    for turn, graces in enumerate([(SHORT, 100.0), (100.0, SHORT)]):
        keys = [trial.key(f"K{turn}{number}") for number in range(3)]
        trial.create(keys[0], {"a": b"1"})
        trial.equal(trial.call("move", keys[0], keys[1], {}, TTL, graces[0]), True)
        trial.equal(trial.call("move", keys[1], keys[2], {}, TTL, graces[1]), True)
        trial.advance(LONGER)
        for key, grace in zip(keys, graces, strict=False):
            if grace == SHORT:
                trial.absent(key)
                trial.equal(trial.commit(key, {"b": b"2"}), REVOKED)
            else:
                trial.equal(trial.commit(key, {"b": b"2"}), committed())
        trial.values(keys[2], {"a": b"1", "b": b"2"})


@rule(clock=True)
def a_records_end_in_time_ends_the_grace(trial: Trial) -> None:
    """When a moved record expires its old key is dead, however long its grace."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old, {"a": b"1"})
    trial.equal(trial.call("move", old, new, {}, SHORT, 100.0), True)
    trial.advance(LONGER)
    for key in (old, new):
        trial.absent(key)
        trial.equal(trial.commit(key, {"b": b"2"}), REVOKED)
        trial.equal(trial.call("touch", key, TTL), False)
        trial.equal(trial.call("delete", key), False)
