"""The rules of a store's protocol on records whose key changes at that moment.

A :class:`_Client` renews a record's key again and again, in a thread of its own, until it
is told that there is no record any more. What ends records has to end these.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ...sessions.stores.protocol import HANDLE, USER, Answer, Expect, Incr
from .._trial import TTL, Trial
from .rule import rule

GRACE = 100.0
TURNS = 6
CLIENTS = 4
MOST_MOVES = 500  # after which a client gives up: then its record was not ended
CALLS = 25


class _Client:
    """Somebody who renews a record by ``graces`` in turn; ``keys`` are all it ever had."""

    def __init__(self, trial: Trial, name: str, graces: Sequence[float]) -> None:
        self.trial = trial
        self.name = name
        self.graces = graces
        self.keys = [trial.key(f"{name}.0")]
        self.handle = trial.key(name)[:32]
        self.is_renewing, self.goes_on = threading.Event(), threading.Event()
        self.is_told_to_stop = False
        trial.create(self.keys[0], {USER: b"ann", HANDLE: self.handle.encode()})

    def renew(self) -> None:
        """Move the record on until it is gone."""
        try:
            for number in range(1, MOST_MOVES):
                new = self.trial.key(f"{self.name}.{number}")
                grace = self.graces[number % len(self.graces)]
                if not self.trial.call("move", self.keys[-1], new, {}, TTL, grace):
                    break
                self.keys.append(new)
                self.is_renewing.set()
                self.goes_on.wait()
                if self.is_told_to_stop:
                    break
        finally:
            self.is_renewing.set()  # whatever happened, nobody is kept waiting

    def expect_ended(self) -> None:
        """Expect that none of the keys leads anywhere."""
        for key in self.keys:
            self.trial.absent(key)


def _clients(trial: Trial, turn: int, *graces: float) -> list[_Client]:
    return [_Client(trial, f"{turn}.{number}", graces) for number in range(CLIENTS)]


def _while_renewing(trial: Trial, clients: Sequence[_Client], act: Callable[[], None]) -> None:
    """Run ``act`` while each client renews; tell them to stop at its end."""

    def work(number: int) -> None:
        if number < len(clients):
            clients[number].renew()
            return
        try:
            for client in clients:
                client.is_renewing.wait()
            for client in clients:
                client.goes_on.set()
            act()
        finally:
            for client in clients:
                client.is_told_to_stop = True
                client.goes_on.set()

    trial.at_once(len(clients) + 1, work)


@rule()
def a_revoke_ends_what_is_renewed_meanwhile(trial: Trial) -> None:
    """After ``revoke`` no key loads that a user's record had, has, or gets, whoever renews it."""
    for turn, graces in enumerate([(0,), (GRACE,), (0, GRACE)] * (TURNS // 3)):
        clients = _clients(trial, turn, *graces)

        def act(clients: Sequence[_Client] = clients) -> None:
            trial.equal(trial.call("revoke", "ann"), CLIENTS)

        _while_renewing(trial, clients, act)
        for client in clients:
            client.expect_ended()
        trial.equal(list(trial.call("list", "ann")), [])


@rule()
def revoke_everyone_ends_what_is_renewed_meanwhile(trial: Trial) -> None:
    """After ``revoke_everyone`` no key loads that a record had, has, or gets."""
    for turn, graces in enumerate([(0,), (GRACE,), (0, GRACE)] * (TURNS // 3)):
        clients = _clients(trial, turn, *graces)

        def act(clients: Sequence[_Client] = clients) -> None:
            trial.equal(trial.call("revoke_everyone"), CLIENTS)

        _while_renewing(trial, clients, act)
        for client in clients:
            client.expect_ended()


@rule()
def a_handle_ends_what_is_renewed_meanwhile(trial: Trial) -> None:
    """``revoke`` with a handle ends the record, whoever renews it, and leaves the others."""
    for turn, graces in enumerate([(0,), (GRACE,), (0, GRACE)] * (TURNS // 3)):
        clients = _clients(trial, turn, *graces)

        def act(chosen: _Client = clients[0]) -> None:
            trial.equal(trial.call("revoke", "ann", None, chosen.handle), 1)
            chosen.expect_ended()

        _while_renewing(trial, clients, act)
        clients[0].expect_ended()
        for client in clients[1:]:
            trial.load(client.keys[-1])
        trial.equal(trial.call("revoke", "ann"), CLIENTS - 1)


@rule()
def a_spared_record_may_be_renewed_meanwhile(trial: Trial) -> None:
    """The record that ``except_key`` leads to when ``revoke`` is called stays, if renewed too."""
    for turn in range(TURNS):
        clients = _clients(trial, turn, GRACE)

        def act(spared: _Client = clients[0]) -> None:
            trial.equal(trial.call("revoke", "ann", spared.keys[0]), CLIENTS - 1)

        _while_renewing(trial, clients, act)
        for client in clients[1:]:
            client.expect_ended()
        for key in (clients[0].keys[0], clients[0].keys[-1]):
            trial.load(key)
        trial.equal([key for key, _ in trial.call("list", "ann")], [clients[0].keys[-1]])
        trial.equal(trial.call("revoke", "ann"), 1)


@rule()
def a_delete_ends_what_is_renewed_meanwhile(trial: Trial) -> None:
    """``delete`` by an old key ends the record, however often it is renewed meanwhile."""
    for turn in range(TURNS):
        client = _Client(trial, f"{turn}", [GRACE])

        def act(client: _Client = client) -> None:
            trial.equal(trial.call("delete", client.keys[0]), True)

        _while_renewing(trial, [client], act)
        client.expect_ended()


@rule()
def a_delete_meets_a_move_before_or_after(trial: Trial) -> None:
    """Of a delete and a move at once: no key loads, or the move was done first, without a grace."""
    for turn in range(4 * TURNS):
        old, new = trial.key(f"old{turn}"), trial.key(f"new{turn}")
        barrier, grace = threading.Barrier(2), GRACE * (turn % 2)
        trial.create(old, {USER: b"ann"})

        def work(
            number: int,
            old: str = old,
            new: str = new,
            barrier: threading.Barrier = barrier,
            grace: float = grace,
        ) -> bool:
            barrier.wait()
            if number == 0:
                return bool(trial.call("move", old, new, {}, TTL, grace))
            return bool(trial.call("delete", old))

        moved, deleted = trial.at_once(2, work)
        trial.equal(deleted or (moved and not grace), True)
        trial.equal(trial.call("load", new) is not None, not deleted)
        trial.equal(len(trial.call("list", "ann")), 0 if deleted else 1)
        trial.call("revoke", "ann")


@rule()
def a_list_is_whole_while_keys_are_renewed(trial: Trial) -> None:
    """``list`` gives each of a user's records once, whoever renews them meanwhile."""
    for turn, graces in enumerate([(0,), (GRACE,)]):
        clients = _clients(trial, turn, *graces)
        expected = sorted(client.handle.encode() for client in clients)

        def act(expected: Sequence[bytes] = expected) -> None:
            for _ in range(CALLS):
                listed = trial.call("list", "ann")
                trial.equal(sorted(record.values[HANDLE] for _, record in listed), expected)

        _while_renewing(trial, clients, act)
        trial.equal(trial.call("revoke", "ann"), CLIENTS)


@rule()
def a_request_under_way_does_not_see_a_renewal(trial: Trial) -> None:
    """By the key that a request came with, it loads and commits whenever others renew it."""
    client = _Client(trial, "client", [GRACE])
    key = client.keys[0]

    def act() -> None:
        for number in range(CALLS):
            trial.load(key)
            answer = trial.commit(key, {f"f{number}": b"1"}, ops=(Incr("n", 1),))
            trial.equal(answer, Answer("committed", (number + 1,)))
            trial.equal(trial.call("touch", key, TTL), True)

    _while_renewing(trial, [client], act)
    trial.equal(len(trial.load(client.keys[-1]).values), CALLS + 3)
    trial.equal(trial.call("delete", client.keys[-1]), True)
    client.expect_ended()


@rule()
def a_move_without_a_grace_loses_no_commit(trial: Trial) -> None:
    """What was answered ``"committed"`` by the old key before it died is in the moved record."""
    for turn in range(TURNS):
        old, new = trial.key(f"old{turn}"), trial.key(f"new{turn}")
        barrier = threading.Barrier(3)
        trial.create(old)

        def work(
            number: int, old: str = old, new: str = new, barrier: threading.Barrier = barrier
        ) -> int:
            barrier.wait()
            if number == 0:
                trial.equal(trial.call("move", old, new, {}, TTL, 0), True)
                return 0
            counted = 0
            while counted < CALLS:
                if trial.commit(old, ops=(Incr("n", 1),)).outcome != "committed":
                    break
                counted += 1
            return counted

        counted = sum(trial.at_once(3, work))
        trial.absent(old)
        trial.values(new, {"n": b"%d" % counted} if counted else {})


@rule()
def of_many_renewals_one_is_done(trial: Trial) -> None:
    """Of many moves with a grace at once one is True; the others' commits by the old key merge."""
    old, barrier = trial.key("old"), threading.Barrier(8)
    keys = [trial.key(f"new{number}") for number in range(8)]
    trial.create(old, {"a": b"1"})

    def renew(number: int) -> bool:
        base = trial.load(old)
        barrier.wait()
        moved = bool(trial.call("move", old, keys[number], {}, TTL, GRACE))
        own = keys[number] if moved else old
        ops = (Expect("a", b"1"), Incr("n", 1))
        answer = trial.commit(own, {f"f{number}": b"1"}, ops=ops, commit_id=f"c{number}", base=base)
        trial.equal(answer.outcome, "committed")
        return moved

    moved = trial.at_once(8, renew)
    trial.equal(sum(moved), 1)
    expected = {"a": b"1", "n": b"8"} | {f"f{number}": b"1" for number in range(8)}
    trial.values(old, expected)
    for key, has_moved in zip(keys, moved, strict=True):
        if has_moved:
            trial.values(key, expected)
        else:
            trial.absent(key)
