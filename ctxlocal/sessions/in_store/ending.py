"""How a record is ended, wherever another request has moved it."""

from __future__ import annotations

from collections.abc import Mapping

from ..stores.protocol import HANDLE, USER, AsyncStore


async def end(store: AsyncStore, key: str, fields: Mapping[str, bytes]) -> bool:
    """End a record, also if another request gave it a new key that nobody told this one."""
    if await store.delete(key):
        return True
    user, handle = fields.get(USER), fields.get(HANDLE)
    if user is None or handle is None:
        return False
    return bool(await store.revoke(text(user), None, text(handle)))


async def end_listed(store: AsyncStore, user: str, key: str, fields: Mapping[str, bytes]) -> bool:
    """End a user's record, also if its id was renewed since it was listed."""
    handle = fields.get(HANDLE)
    if handle is None:
        return bool(await store.delete(key))
    return bool(await store.revoke(user, None, text(handle)))


def text(raw: bytes) -> str:
    """Return what a field of the session layer's own says."""
    return raw.decode("utf-8", "replace")
