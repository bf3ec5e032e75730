"""What becomes of a key that two requests change at once: the setting ``same_key``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import events
from ..codec import decode
from ..errors import SessionConflictError
from ..fields import Changes
from ..stores.protocol import MAX_INT, MIN_INT, RESERVED, Clear, Expect, Incr, Record

if TYPE_CHECKING:
    from .session import StoredSession
    from .settings import StoredSettings


def expectations(sessions: StoredSettings, record: Record, changes: Changes) -> list[Expect]:
    """Return how the keys were that change, unless the last one wins."""
    policy = sessions.same_key
    if policy == "last-wins" or Clear in map(type, changes.ops):
        return []
    keys = [key for key in (*changes.sets, *changes.deletes) if key[:1] != RESERVED]
    if isinstance(policy, Mapping):
        keys = [key for key in keys if key in policy]
    return [Expect(key, record.values.get(key)) for key in keys]


def settle(
    session: StoredSession, changes: Changes, expects: list[Expect], theirs: Record
) -> tuple[Changes, list[Expect]]:
    """Settle which value a key gets that another request changed too, by the policy.

    :raises SessionConflictError: the policy is to raise, or what was counted is no counter.
    """
    disputed = [e for e in expects if theirs.values.get(e.field) != e.value]
    lost = [e.field for e in disputed] or _not_to_be_added_to(theirs, changes)
    if not lost:  # it is as it was, by now
        return changes, expects
    policy = session._sessions.same_key
    if not disputed or isinstance(policy, str):
        if events.conflict.receivers:
            events.conflict.send(session._sessions, session=session, reason="same key")
        raise SessionConflictError(tuple(lost))
    sets, deletes = dict(changes.sets), list(changes.deletes)
    for key, loaded in disputed:
        mine, other = sets.pop(key, None), theirs.values.get(key)
        seen = [None if raw is None else session._taken(key, raw) for raw in (loaded, other, mine)]
        merge = policy[key] if isinstance(policy, Mapping) else policy
        merged = merge(key, *seen)
        if key in deletes:
            deletes.remove(key)
        if merged is None:
            deletes.append(key)
        else:
            sets[key] = session._encode(key, merged)
        session._take_merged(key, merged)
    expects = [Expect(e.field, theirs.values.get(e.field)) for e in expects]
    return Changes(sets, deletes, changes.ops), expects


def _not_to_be_added_to(record: Record, changes: Changes) -> list[str]:
    """Return the fields of counters that are none any more, or full."""
    sums = {
        op.field: (value_of(record.values.get(op.field, b"0")), op.amount)
        for op in changes.ops
        if isinstance(op, Incr)
    }
    return [
        field
        for field, (value, amount) in sums.items()
        if type(value) is not int or not MIN_INT <= value + amount <= MAX_INT
    ]


def value_of(raw: bytes | None) -> Any:
    """Return the value of a stored field, None where there is none or it cannot be read."""
    try:
        return None if raw is None else decode(raw)
    except ValueError:
        return None
