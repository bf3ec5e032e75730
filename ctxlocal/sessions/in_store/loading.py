"""How a request comes to the record of its session."""

from __future__ import annotations

from .. import events
from ..errors import CorruptRecordError
from ..stores.protocol import AsyncStore, Record
from .held import Held
from .settings import StoredSettings
from .token import key_of


async def find_live(
    sessions: StoredSettings, store: AsyncStore, ids: list[str], overdue: list[str] | None = None
) -> Held | None:
    """Return the record of the first of a request's ids that has a live one (R2, R9, R17).

    :param overdue: the keys of records that are over go in here; None: they are removed at once.
    """
    for session_id in ids:
        key = key_of(session_id)
        try:
            record = checked(store, await store.load(key))
        except CorruptRecordError as error:
            sessions.report_corrupt(key, error)
            continue
        if record is None:
            sessions.report_rejected("unknown id")
            continue
        limit = sessions.live_until(record.values, record.touched)
        if limit:
            return Held(session_id, key, record, limit)
        if events.expired.receivers:
            events.expired.send(sessions, session=None)
        if overdue is None:
            await store.delete(key)
        else:
            overdue.append(key)
    return None


async def look_again(sessions: StoredSettings, store: AsyncStore, key: str) -> Record | None:
    """Load a record again; one that cannot be read by now is none."""
    try:
        return checked(store, await store.load(key))
    except CorruptRecordError as error:
        sessions.report_corrupt(key, error)
        return None


def checked(store: AsyncStore, record: object) -> Record | None:
    """Refuse what a store may return that is somebody else's.

    :raises CorruptRecordError: it is neither None nor a Record of fields.
    """
    if record is None or (isinstance(record, Record) and isinstance(record.values, dict)):
        return record
    kind = type(record).__name__
    raise CorruptRecordError(store.name, f"a {kind} is no Record of fields")
