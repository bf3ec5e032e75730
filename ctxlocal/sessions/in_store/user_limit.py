"""How many sessions a user may have, and which one gives way (R11)."""

from __future__ import annotations

from collections.abc import Mapping

from .. import events
from ..errors import SessionLimitError
from ..stores.protocol import HANDLE, USER, AsyncStore, Record
from .ending import end_listed, text
from .held import Held
from .settings import StoredSettings


async def refuse_when_full(
    sessions: StoredSettings, store: AsyncStore, held: Held | None, fields: Mapping[str, bytes]
) -> None:
    """Refuse a login whose fields these are, if the user has all the sessions he may have.

    :raises SessionLimitError: that is so.
    """
    limit = sessions.max_sessions
    if limit is None or sessions.when_full != "refuse" or USER not in fields:
        return
    others = await _others(store, held, text(fields[USER]))
    if len(others) >= limit:
        raise SessionLimitError(limit)


async def evict(
    sessions: StoredSettings, store: AsyncStore, held: Held | None, user: str | None
) -> None:
    """End the user's other sessions that are too many."""
    limit = sessions.max_sessions
    if limit is None or user is None or sessions.when_full != "evict":
        return
    others = await _others(store, held, user)
    for key, record in others[: max(0, len(others) + 1 - limit)]:
        removed = await end_listed(store, user, key, record.values)
        if removed and events.destroyed.receivers:
            events.destroyed.send(sessions, session=None)


async def _others(store: AsyncStore, held: Held | None, user: str) -> list[tuple[str, Record]]:
    """Return the user's other sessions, the one unused the longest first."""
    listed = await store.list(user)
    if held is None:
        return list(listed)
    mine = held.record.values.get(HANDLE)
    return [
        (key, record)
        for key, record in listed
        if key != held.key and (mine is None or record.values.get(HANDLE) != mine)
    ]
