"""The rules of a store's protocol on many that change a record at once."""

from __future__ import annotations

import threading

from ...sessions.stores.protocol import Answer, Incr, Result, Take
from .._trial import TTL, Trial
from .rule import REVOKED, committed, rule

THREADS = 32


@rule()
def no_update_is_lost(trial: Trial) -> None:
    """Of 32 that load, wait for each other and commit a field each, all are stored."""
    key, barrier = trial.key("K"), threading.Barrier(THREADS)
    trial.create(key)

    def update(number: int) -> Answer:
        base = trial.load(key)
        barrier.wait()
        field = {f"field{number}": b"%d" % number}
        return trial.commit(key, field, commit_id=f"c{number}", base=base)

    answers = trial.at_once(THREADS, update)
    trial.equal(answers, [committed()] * THREADS)
    trial.values(key, {f"field{number}": b"%d" % number for number in range(THREADS)})


@rule()
def no_count_is_lost(trial: Trial) -> None:
    """Of 32 that count in one field at once each gets another sum, and all are counted."""
    key, barrier = trial.key("K"), threading.Barrier(THREADS)
    trial.create(key)

    def count(number: int) -> int:
        base = trial.load(key)
        barrier.wait()
        answer = trial.commit(key, ops=(Incr("n", 1),), commit_id=f"c{number}", base=base)
        trial.equal(answer.outcome, "committed")
        return int(answer.results[0] or 0)

    trial.equal(sorted(trial.at_once(THREADS, count)), list(range(1, THREADS + 1)))
    trial.values(key, {"n": b"%d" % THREADS})


@rule()
def one_alone_takes_a_field(trial: Trial) -> None:
    """Of many that Take a field at once exactly one gets it."""
    key, barrier = trial.key("K"), threading.Barrier(THREADS)
    trial.create(key, {"once": b"\xa1x", "kept": b"1"})

    def take(number: int) -> Result:
        base = trial.load(key)
        barrier.wait()
        answer = trial.commit(key, ops=(Take("once"),), commit_id=f"c{number}", base=base)
        return answer.results[0]

    taken = trial.at_once(THREADS, take)
    trial.equal([value for value in taken if value is not None], [b"\xa1x"])
    trial.values(key, {"kept": b"1"})


@rule()
def a_delete_is_final(trial: Trial) -> None:
    """A delete among concurrent commits leaves no record, whoever comes last."""
    for turn in range(8):
        key, barrier = trial.key(f"K{turn}"), threading.Barrier(4)
        trial.create(key, {"a": b"1"})
        _delete_among_commits(trial, key, barrier)
        trial.absent(key)


def _delete_among_commits(trial: Trial, key: str, barrier: threading.Barrier) -> None:
    def work(number: int) -> None:
        base = trial.load(key)
        barrier.wait()
        if number == 0:
            trial.equal(trial.call("delete", key), True)
            return
        answer = trial.commit(key, {f"f{number}": b"1"}, commit_id=f"c{number}", base=base)
        if answer not in (committed(), REVOKED):
            trial.fail("committed or revoked", answer)

    trial.at_once(4, work)


@rule()
def one_alone_moves_a_record(trial: Trial) -> None:
    """Of many that move a record at once exactly one succeeds, and its key alone has it."""
    old, barrier = trial.key("old"), threading.Barrier(8)
    keys = [trial.key(f"new{number}") for number in range(8)]
    trial.create(old, {"a": b"1"})

    def move(number: int) -> bool:
        barrier.wait()
        return bool(trial.call("move", old, keys[number], {"who": b"%d" % number}, TTL, 0))

    moved = trial.at_once(8, move)
    trial.equal(sum(moved), 1)
    trial.absent(old)
    for number, key in enumerate(keys):
        if moved[number]:
            trial.values(key, {"a": b"1", "who": b"%d" % number})
        else:
            trial.absent(key)
