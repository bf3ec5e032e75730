"""How a record gets another key, and the session its id (R3)."""

from __future__ import annotations

from ..errors import CorruptRecordError
from ..session import CURRENT
from ..stores.protocol import AsyncStore, Record
from .held import Held, mark
from .settings import StoredSettings
from .token import key_of, new_id


async def move(
    sessions: StoredSettings, store: AsyncStore, held: Held, sets: dict[str, bytes], grace: float
) -> dict[str, bytes] | None:
    """Give the record another key, and ``held`` its id; return the fields set with it.

    None: it was not there, or has a newer key. A move whose answer was lost is made again,
    with the fields of then.
    """
    if held.move is None:
        session_id = new_id()
        held.move = session_id, {**sets, CURRENT: mark(key_of(session_id))}
    session_id, sets = held.move
    key = key_of(session_id)
    fields, now = {**held.record.values, **sets}, sessions.clock()
    limit = sessions.live_until(fields, now)
    ttl = sessions.ttl(limit, sessions.idle_of(fields))
    moved = False
    try:
        moved = await store.move(held.key, key, sets, ttl, grace)
    except CorruptRecordError as error:
        sessions.report_corrupt(held.key, error)
    held.move = None
    if not moved:
        return None
    generation = held.record.generation + (0 if grace else 1)
    held.id, held.key, held.limit = session_id, key, limit
    held.record = Record(fields, generation, now, now + ttl)
    return sets
