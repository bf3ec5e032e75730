"""The rules of a store's protocol on looking at all records, and at the store."""

from __future__ import annotations

from ...sessions.stores.protocol import USER
from .._trial import TTL, Trial
from .rule import rule


@rule(sync_only=True)
def scan_yields_every_live_record(trial: Trial) -> None:
    """``scan`` yields each live record once, under its own key."""
    expected = {}
    for number in range(25):
        key = trial.key(f"K{number}")
        expected[key] = {"n": b"%d" % number}
        trial.create(key, expected[key])
    trial.equal(trial.call("delete", trial.key("K0")), True)
    trial.equal(trial.call("move", trial.key("K1"), trial.key("new"), {}, TTL, 100.0), True)
    del expected[trial.key("K0")]
    expected[trial.key("new")] = expected.pop(trial.key("K1"))
    found = list(trial.call("scan"))
    trial.equal(len(found), len(expected))
    trial.equal({key: dict(record.values) for key, record in found} == expected, True)


@rule(sync_only=True)
def stats_count_the_live_records(trial: Trial) -> None:
    """``stats`` counts live records, different users, and the bytes of names and values."""
    trial.equal(tuple(trial.call("stats")), (0, 0, 0))
    trial.create(trial.key("K"), {USER: b"ann", "a": b"12"})
    trial.create(trial.key("L"), {USER: b"ann"})
    trial.create(trial.key("M"), {"bb": b"345"})
    sessions, users, size = trial.call("stats")
    trial.equal((sessions, users), (3, 1))
    expected = 2 * (len(USER) + 3) + 3 + 5
    if not expected <= size <= 4 * expected + 1000:  # what an index takes may be counted in
        trial.fail(f"about {expected} bytes", size)
    trial.equal(trial.call("revoke_everyone"), 3)
    trial.equal(trial.call("stats")[0], 0)


@rule()
def a_name_tells_no_key(trial: Trial) -> None:
    """The store's name and repr are text for people; no key appears in them."""
    key = trial.key("K")
    trial.create(key, {"a": b"1"})
    text = f"{trial.raw.name} {trial.raw!r}"
    if not trial.raw.name or key in text:
        trial.fail("a name without a key in it", "an empty one, or one with a key")
