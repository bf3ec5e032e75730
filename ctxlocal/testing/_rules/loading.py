"""The rules of a store's protocol on loading and creating records."""

from __future__ import annotations

import threading

from ...sessions.stores.protocol import Incr, Take
from .._trial import TTL, Trial
from .rule import REVOKED, committed, rule


@rule()
def a_missing_record_is_none(trial: Trial) -> None:
    """Without a record load is None, a commit revoked, move, touch and delete are False."""
    key = trial.key("K")
    trial.absent(key)
    trial.equal(trial.commit(key, {"a": b"1"}), REVOKED)
    trial.absent(key)
    trial.equal(trial.call("move", key, trial.key("L"), {}, TTL, 0), False)
    trial.equal(trial.call("touch", key, TTL), False)
    trial.equal(trial.call("delete", key), False)
    trial.equal(list(trial.call("list", "nobody")), [])
    trial.equal(trial.call("revoke", "nobody"), 0)
    trial.absent(trial.key("L"))


@rule()
def create_stores_a_record(trial: Trial) -> None:
    """A created record is loaded with its fields, generation 0, and touched + ttl = expires."""
    key = trial.key("K")
    trial.create(key, {"a": b"1", "b": b""})
    record = trial.load(key)
    trial.equal(dict(record.values), {"a": b"1", "b": b""})
    trial.equal(record.generation, 0)
    if abs(record.expires - record.touched - TTL) > 0.01:
        trial.fail(f"expires - touched == {TTL}", record.expires - record.touched)


@rule()
def create_leaves_what_is_there(trial: Trial) -> None:
    """``create`` is False if there is a record, which is left as it is."""
    key = trial.key("K")
    trial.create(key, {"a": b"1"})
    trial.equal(trial.call("create", key, {"a": b"2", "b": b"3"}, TTL), False)
    trial.values(key, {"a": b"1"})


@rule()
def create_makes_one_record_of_many(trial: Trial) -> None:
    """Of many that create the same key at once exactly one succeeds, and its fields stay."""
    key, barrier = trial.key("K"), threading.Barrier(8)

    def create(number: int) -> bool:
        barrier.wait()
        return bool(trial.call("create", key, {"who": b"%d" % number}, TTL))

    made = trial.at_once(8, create)
    trial.equal(sum(made), 1)
    trial.values(key, {"who": b"%d" % made.index(True)})


@rule()
def an_empty_record_is_a_record(trial: Trial) -> None:
    """A record without fields is there: at its creation, and when its last field is deleted."""
    key = trial.key("K")
    trial.create(key)
    trial.values(key, {})
    trial.equal(trial.commit(key, {"a": b"1"}), committed())
    trial.equal(trial.commit(key, deletes=("a",)), committed())
    trial.values(key, {})
    trial.equal(trial.commit(key, ops=(Incr("n", 1), Take("n"))), committed(1, b"1"))
    trial.values(key, {})


@rule()
def loaded_values_are_the_callers_own(trial: Trial) -> None:
    """What a caller does to the values of a Record changes nothing in the store or in others'."""
    key = trial.key("K")
    sets = {"a": b"1"}
    trial.create(key, sets)
    sets["a"] = b"2"
    base = trial.load(key)
    base.values["a"] = b"3"
    base.values["b"] = b"4"
    trial.values(key, {"a": b"1"})
    trial.equal(trial.commit(key, {"c": b"5"}, base=base), committed())
    trial.values(key, {"a": b"1", "c": b"5"})


@rule()
def any_bytes_and_names_come_back(trial: Trial) -> None:
    """Names are any text, values any bytes: empty, NUL, invalid UTF-8, long ones."""
    key = trial.key("K")
    fields = {
        "": b"empty name",
        "\0m" + "set\0" + "0" * 64: b"",
        "a b\n\"'%s{}:*?[": bytes(range(256)),
        "ключ \U0001f36a": "\u2028é".encode(),
        "n" * 1000: b"\xff\xfe\0",
        "number": b"-12",
    }
    trial.create(key, fields)
    trial.values(key, fields)
    more = {name + "\0": value + b"\0" for name, value in fields.items()}
    trial.equal(trial.commit(key, more, base=trial.load(key)), committed())
    trial.values(key, {**fields, **more})
    trial.equal(trial.commit(key, deletes=tuple(fields)), committed())
    trial.values(key, more)


@rule()
def a_megabyte_comes_back(trial: Trial) -> None:
    """A value of a million bytes is stored and loaded."""
    key, value = trial.key("K"), bytes(range(250)) * 4000
    trial.create(key, {"a": value})
    trial.equal(trial.commit(key, {"b": value}), committed())
    trial.equal(trial.load(key).values == {"a": value, "b": value}, True)


@rule()
def many_fields_come_back(trial: Trial) -> None:
    """A record may have thousands of fields, and one commit may change them all."""
    key = trial.key("K")
    fields = {f"field{number}": b"%d" % number for number in range(5000)}
    trial.create(key, fields)
    changed = {name: value + b"0" for name, value in fields.items()}
    trial.equal(trial.commit(key, changed), committed())
    trial.equal(trial.load(key).values == changed, True)
