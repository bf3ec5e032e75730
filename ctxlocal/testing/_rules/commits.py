"""The rules of a store's protocol on commits."""

from __future__ import annotations

from ...sessions.errors import StoreUnavailableError
from ...sessions.stores.protocol import (
    KEPT_COMMITS,
    MAX_INT,
    MIN_INT,
    USER,
    Clear,
    Expect,
    Incr,
    Take,
)
from .._trial import TTL, Trial
from .rule import CONFLICT, REVOKED, committed, rule


@rule()
def commits_merge_per_field(trial: Trial) -> None:
    """A commit changes the fields it names and leaves all others, with a stale ``base`` too."""
    key = trial.key("K")
    trial.create(key, {"kept": b"1", "changed": b"2", "deleted": b"3"})
    base = trial.load(key)
    sets = {"changed": b"4", "new": b"5"}
    trial.equal(trial.commit(key, sets, deletes=("deleted", "never there"), base=base), committed())
    trial.values(key, {"kept": b"1", "changed": b"4", "new": b"5"})
    trial.equal(trial.commit(key, {"other": b"6"}, base=base), committed())
    trial.equal(trial.commit(key, deletes=("new",), base=None), committed())
    trial.values(key, {"kept": b"1", "changed": b"4", "other": b"6"})


@rule()
def a_commit_makes_no_record(trial: Trial) -> None:
    """After delete a commit is revoked and makes nothing, whatever it was based on."""
    key = trial.key("K")
    trial.create(key, {"a": b"1"})
    base = trial.load(key)
    trial.equal(trial.commit(key, {"b": b"2"}, commit_id="before", base=base), committed())
    base = trial.load(key)
    trial.equal(trial.call("delete", key), True)
    trial.equal(trial.commit(key, {"c": b"3"}, base=base), REVOKED)
    trial.equal(trial.commit(key, ops=(Incr("n", 1),), base=base), REVOKED)
    trial.equal(trial.commit(key, ops=(Clear(),)), REVOKED)
    trial.equal(trial.call("touch", key, TTL), False)
    trial.absent(key)
    trial.equal(trial.call("delete", key), False)


@rule()
def a_later_record_inherits_nothing(trial: Trial) -> None:
    """A record created where one was deleted has only its own fields, generation and commits."""
    key = trial.key("K")
    trial.create(key, {"old": b"1"})
    trial.equal(trial.commit(key, {"x": b"1"}, commit_id="same", ops=(Clear(),)), committed(None))
    base = trial.load(key)
    trial.call("delete", key)
    trial.create(key, {"new": b"2"})
    record = trial.load(key)
    trial.equal((dict(record.values), record.generation), ({"new": b"2"}, 0))
    trial.equal(trial.commit(key, {"y": b"3"}, commit_id="same"), committed())
    trial.equal(trial.commit(key, {"z": b"4"}, generation=1, base=base), CONFLICT)
    trial.values(key, {"new": b"2", "y": b"3"})


@rule()
def a_commit_renews_the_record(trial: Trial) -> None:
    """A commit sets ``touched`` to now and ``expires`` to its ttl after it; load does not."""
    key = trial.key("K")
    trial.create(key, {}, 10.0)
    before = trial.load(key)
    trial.equal(trial.load(key).expires, before.expires)
    trial.equal(trial.commit(key, {"a": b"1"}, ttl=50.0), committed())
    after = trial.load(key)
    if abs(after.expires - after.touched - 50.0) > 0.01 or after.touched < before.touched:
        trial.fail("expires - touched == 50.0", after)


@rule()
def results_are_in_the_order_of_the_operations(trial: Trial) -> None:
    """A commit answers with one result for each operation: a sum, bytes, or None."""
    key = trial.key("K")
    trial.create(key, {"t": b"\xa1x", "n": b"5"})
    ops = (Incr("n", -7), Take("t"), Expect("n", b"5"), Take("t"), Incr("new", 3), Incr("n", 1))
    trial.equal(trial.commit(key, ops=ops), committed(-2, b"\xa1x", None, None, 3, -1))
    trial.values(key, {"n": b"-1", "new": b"3"})


@rule()
def a_commit_is_done_in_order(trial: Trial) -> None:
    """Expect sees what was there before; then Clear, deletes, sets, then Incr and Take."""
    key = trial.key("K")
    trial.create(key, {"a": b"1", "n": b"10", "gone": b"x"})
    ops = (Incr("n", 1), Take("b"), Clear(), Expect("gone", b"x"), Expect("b", None))
    answer = trial.commit(key, {"n": b"5", "b": b"new"}, deletes=("b",), ops=ops)
    trial.equal(answer, committed(6, b"new", None, None, None))
    trial.values(key, {"n": b"6"})
    trial.equal(trial.load(key).generation, 1)


@rule()
def incr_is_exact_in_64_bits(trial: Trial) -> None:
    """Incr adds exactly from -2**63 to 2**63 - 1; a sum beyond is a conflict."""
    key = trial.key("K")
    trial.create(key, {"other": b"1"})
    trial.equal(trial.commit(key, ops=(Incr("n", MAX_INT - 1),)), committed(MAX_INT - 1))
    trial.equal(trial.commit(key, ops=(Incr("n", 1),)), committed(MAX_INT))
    ops = (Incr("other", 1), Incr("n", 1))
    trial.equal(trial.commit(key, {"set": b"1"}, deletes=("other",), ops=ops), CONFLICT)
    trial.values(key, {"other": b"1", "n": b"%d" % MAX_INT})
    trial.equal(trial.commit(key, ops=(Incr("m", MIN_INT),)), committed(MIN_INT))
    trial.equal(trial.commit(key, ops=(Incr("m", -1),)), CONFLICT)
    trial.equal(trial.commit(key, ops=(Incr("n", -(2**53) - 1),)), committed(MAX_INT - 2**53 - 1))
    trial.equal(trial.commit(key, ops=(Incr("n", 0),)), committed(MAX_INT - 2**53 - 1))


@rule()
def incr_refuses_what_is_no_integer(trial: Trial) -> None:
    """Incr on a field that holds no ASCII decimal is a conflict, and nothing is done."""
    for number, value in enumerate((b"", b"\xa1x", b"1.5", b"12a", b"a1", b"%d" % (MAX_INT + 1))):
        key = trial.key(f"K{number}")
        trial.create(key, {"n": value, "m": b"1"})
        ops = (Incr("m", 1), Take("m"), Incr("n", -1))
        trial.equal(trial.commit(key, {"a": b"1"}, deletes=("m",), ops=ops), CONFLICT)
        trial.values(key, {"n": value, "m": b"1"})


@rule()
def incr_works_on_a_field_that_was_set(trial: Trial) -> None:
    """An integer that was set as ASCII decimal is what Incr adds to, and the other way round."""
    key = trial.key("K")
    trial.create(key, {"n": b"-41"})
    trial.equal(trial.commit(key, ops=(Incr("n", 40),), base=trial.load(key)), committed(-1))
    trial.values(key, {"n": b"-1"})
    trial.equal(trial.commit(key, {"n": b"0"}, ops=(Incr("n", 1),)), committed(1))


@rule()
def expect_guards_a_commit(trial: Trial) -> None:
    """A failing Expect is a conflict that changes nothing; None expects absence."""
    key = trial.key("K")
    trial.create(key, {"a": b"1", "empty": b""})
    held = trial.load(key)
    for guard in (
        Expect("a", b"2"), Expect("a", None), Expect("b", b"1"), Expect("empty", None),
        Expect("b", b""), Expect("a", b""),
    ):  # fmt: skip
        ops = (Incr("n", 1), Take("a"), Clear(), guard)
        trial.equal(trial.commit(key, {"x": b"9"}, deletes=("a",), ops=ops, base=held), CONFLICT)
        trial.equal(trial.commit(key, {"x": b"9"}, deletes=("a",), ops=(guard,)), CONFLICT)
    after = trial.load(key)
    trial.equal(dict(after.values), {"a": b"1", "empty": b""})
    trial.equal((after.generation, after.touched, after.expires), (0, held.touched, held.expires))
    kept = (Expect("a", b"1"), Expect("empty", b""), Expect("b", None))
    trial.equal(trial.commit(key, {"a": b"2"}, ops=kept), committed(None, None, None))
    trial.equal(trial.commit(key, {"a": b"3"}, ops=(Expect("a", b"1"),), base=held), CONFLICT)
    trial.values(key, {"a": b"2", "empty": b""})


@rule()
def clear_begins_a_generation(trial: Trial) -> None:
    """Clear drops every field; commits of an older (or a later) generation are a conflict."""
    key = trial.key("K")
    trial.create(key, {"a": b"1", USER: b"ann"})
    base = trial.load(key)
    trial.equal(trial.commit(key, {"b": b"2"}, ops=(Clear(),), base=base), committed(None))
    trial.values(key, {"b": b"2"})
    trial.equal(trial.load(key).generation, 1)
    trial.equal(trial.commit(key, {"a": b"3"}, base=base), CONFLICT)
    trial.equal(trial.commit(key, ops=(Incr("n", 1),), base=base), CONFLICT)
    trial.equal(trial.commit(key, {"a": b"3"}, generation=2), CONFLICT)
    trial.values(key, {"b": b"2"})
    trial.equal(trial.commit(key, {"c": b"4"}, generation=1, base=trial.load(key)), committed())
    trial.values(key, {"b": b"2", "c": b"4"})


@rule()
def a_repeated_commit_is_answered_again(trial: Trial) -> None:
    """A repeated ``commit_id`` gets the first answer, with its results, and changes nothing.

    Also after 15 other commits, after the record changed, and with a stale or a new ``base``.
    """
    key = trial.key("K")
    trial.create(key, {"once": b"\xa1x"})
    base = trial.load(key)
    ops = (Incr("n", 2), Take("once"), Incr("n", 1), Take("never"))
    first = committed(2, b"\xa1x", 3, None)
    for _ in range(2):
        trial.equal(trial.commit(key, {"a": b"1"}, ops=ops, commit_id="c", base=base), first)
    for number in range(KEPT_COMMITS - 1):
        changes = {"a": b"2", "once": b"\xa1y"}
        trial.equal(trial.commit(key, changes, commit_id=f"other{number}"), committed())
    trial.equal(trial.commit(key, {"a": b"1"}, ops=ops, commit_id="c", base=base), first)
    trial.equal(trial.commit(key, {"a": b"1"}, ops=ops, commit_id="c", base=trial.load(key)), first)
    trial.values(key, {"a": b"2", "once": b"\xa1y", "n": b"3"})


@rule()
def a_repeated_clear_is_answered_again(trial: Trial) -> None:
    """A repeated commit gets its answer though its own generation is over."""
    key = trial.key("K")
    trial.create(key, {"a": b"1"})
    for _ in range(3):
        answer = trial.commit(key, {"b": b"2"}, ops=(Clear(),), commit_id="c" * 64)
        trial.equal(answer, committed(None))
    record = trial.load(key)
    trial.equal((dict(record.values), record.generation), ({"b": b"2"}, 1))


@rule()
def a_moved_record_remembers_its_commits(trial: Trial) -> None:
    """A commit that is repeated by the record's new key gets its first answer."""
    old, new = trial.key("old"), trial.key("new")
    trial.create(old)
    trial.equal(trial.commit(old, ops=(Incr("n", 1),), commit_id="c"), committed(1))
    trial.equal(trial.call("move", old, new, {}, TTL, 0), True)
    trial.equal(trial.commit(new, ops=(Incr("n", 1),), commit_id="c", generation=1), committed(1))
    trial.values(new, {"n": b"1"})


@rule(loss=True)
def a_lost_answer_counts_once(trial: Trial) -> None:
    """If the answer to a commit is lost it counts once, and its repetition has its results.

    The store repeats it itself, or raises StoreUnavailableError and is asked again.
    """
    assert trial.lose_reply is not None
    key = trial.key("K")
    trial.create(key, {"once": b"\xa1x"})
    base = trial.load(key)
    ops = (Incr("n", 1), Take("once"))
    with trial.lose_reply(trial.raw):
        try:
            trial.equal(
                trial.commit(key, ops=ops, commit_id="c", base=base), committed(1, b"\xa1x")
            )
        except StoreUnavailableError:
            trial.did.append("(that was the lost answer)")
    answer = trial.commit(key, ops=ops, commit_id="c", base=base)
    trial.equal(answer, committed(1, b"\xa1x"))
    trial.values(key, {"n": b"1"})
