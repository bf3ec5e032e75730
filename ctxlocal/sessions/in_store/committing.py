"""How changes get into a record that other requests change at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..errors import CorruptRecordError, SessionConflictError, StoreUnavailableError
from ..fields import Changes
from ..session import CURRENT, PERMANENT
from ..stores.protocol import Answer, AsyncStore, Change, Clear, Expect, Incr, Op, Record, Result
from .loading import checked
from .same_key import expectations, settle

if TYPE_CHECKING:
    from .held import Held
    from .session import StoredSession

# Attempts to merge keys that others go on changing: each that fails is another request's success,
# so that many requests at once all come to an end.
MOST_MERGES = 100


class Committed(msgspec.Struct, frozen=True):
    """What was stored."""

    changes: Changes  #: as a merge may have made them
    results: tuple[Result, ...]  #: one for each of their operations
    generation: int  #: of the record that they were made to
    ttl: float
    is_to_send: bool  #: the cookie is to be renewed as well, and may be


class Lost(msgspec.Struct, frozen=True):
    """Nothing was stored: the record is not there any more, or another one by now."""

    reason: str  #: "revoked", "cleared" or "corrupt"


async def commit(
    session: StoredSession, store: AsyncStore, held: Held, changes: Changes, insists: bool = False
) -> Committed | Lost:
    """Offer a request's changes to its record until that takes them, or they are lost.

    :param insists: go on with a record that was cleared, as a Clear does.
    :raises SessionConflictError: by ``same_key``, or others went on changing the same keys.
    :raises StoreUnavailableError: there is no answer, or none that a store gives.
    """
    record = held.record
    clears = Clear in map(type, changes.ops)
    expects = expectations(session._sessions, record, changes)
    offer = _Offer(session, held, changes, expects, record, record, clears, insists or clears)
    for _ in range(MOST_MERGES):
        try:
            answer = await offer.make(store)
            if isinstance(answer, Committed):
                return answer
            theirs = None
            if answer.outcome == "conflict":
                theirs = checked(store, await store.load(held.key))
        except CorruptRecordError as error:
            session._sessions.report_corrupt(held.key, error)
            return Lost("corrupt")
        if theirs is None or not offer.can_go_on_from(theirs):
            return Lost("revoked" if theirs is None else "cleared")
        offer.go_on_from(theirs)
    raise SessionConflictError(tuple(expect.field for expect in offer.expects))


class _Offer(msgspec.Struct):
    """A request's changes, as they are offered to a record that others change meanwhile."""

    session: StoredSession
    held: Held
    changes: Changes
    expects: list[Expect]  # how the keys were that change
    record: Record  # whose generation the changes are made to
    seen: Record  # what is there, as far as is known
    clears: bool
    insists: bool

    async def make(self, store: AsyncStore) -> Committed | Answer:
        """Offer the changes, once."""
        held, changes, expects, record = self.held, self.changes, self.expects, self.record
        is_permanent = PERMANENT in record.values or PERMANENT in changes.sets
        guard = self._guard(is_permanent)
        ops: list[Op] = [*guard, *expects, *changes.ops]
        ttl = self.session._sessions.ttl(held.limit, self.session._idle())
        name = held.name_commit(changes, store.name)
        change = Change(name, changes.sets, changes.deletes, ops)
        base = None if self.seen.version is None else self.seen
        answer = await store.commit(held.key, record.generation, change, ttl, base)
        held.commit = None
        if ops or type(answer) is not Answer:
            _check(answer, ops, store)
        if answer.outcome != "committed":
            return answer
        results = answer.results[len(guard) + len(expects) :]
        is_to_send = is_permanent and bool(held.guard(self.seen))
        return Committed(changes, results, record.generation, ttl, is_to_send)

    def _guard(self, is_permanent: bool) -> tuple[Expect, ...]:
        """Return what has to hold so that the cookie may be sent, where it outlives the browser."""
        seen = self.seen.values
        if self.clears and CURRENT in seen:  # a Clear would drop it
            self.changes.sets[CURRENT] = seen[CURRENT]
            return (Expect(CURRENT, seen[CURRENT]),)
        return self.held.guard(self.seen) if self.clears or is_permanent else ()

    def can_go_on_from(self, theirs: Record) -> bool:
        """Whether the changes may be made to what another request has made of the record."""
        return theirs.generation == self.record.generation or self.insists

    def go_on_from(self, theirs: Record) -> None:
        """Make ready for another offer, to that."""
        if theirs.generation == self.record.generation:
            self.changes, self.expects = settle(self.session, self.changes, self.expects, theirs)
        else:
            self.held.record = self.record = theirs  # also if this offer is not answered
            self.expects = []
        self.seen = theirs


def _check(answer: object, ops: list[Op], store: AsyncStore) -> None:
    """Refuse what a store of somebody else's may return."""
    is_answer = isinstance(answer, Answer)
    if isinstance(answer, Answer) and answer.outcome == "committed":
        is_answer = len(answer.results) == len(ops) and all(
            isinstance(result, int)
            for op, result in zip(ops, answer.results, strict=True)
            if isinstance(op, Incr)
        )
    if not is_answer:
        raise StoreUnavailableError(store.name, "commit")
