"""A session's handle: its lasting name and its user, as text that may be shown and sent back."""

from __future__ import annotations

import re
from typing import NamedTuple

from .stores.protocol import HANDLE, USER, Record

_form = re.compile(r"([0-9a-f]{32})_((?:[0-9a-f]{2})+)").fullmatch


class Named(NamedTuple):
    """What a handle tells: by both a store finds the record."""

    name: str
    user: str


def handle_of(key: str, record: Record) -> str:
    """Return the handle: name, underscore, the user's id as hexadecimal digits of its UTF-8.

    It is the name alone where there is no user, and the key of a record without a name,
    which another program made.
    """
    name, user = record.values.get(HANDLE), record.values.get(USER)
    if name is None:
        return key
    text = name.decode("ascii", "replace")
    return text if user is None else f"{text}_{user.hex()}"


def read_handle(handle: object) -> Named | None:
    """Return what a handle with a user tells; None if it is none, as a form may send."""
    found = _form(handle) if isinstance(handle, str) else None
    if found is None:
        return None
    try:
        return Named(found[1], bytes.fromhex(found[2]).decode())
    except UnicodeDecodeError:
        return None
