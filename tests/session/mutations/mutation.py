"""A mutation: a mistake that somebody could make, or a line that seems not to be needed."""

from __future__ import annotations

from typing import NamedTuple

MODEL = "session/model.py"
FIELDS = "session/fields.py"
STORED = "session/stored.py"
RECORD = "session/stored_session.py"
QUICK = "session/quick_session.py"
SETTINGS = "session/settings.py"
COOKIE = "session/cookie.py"
IN_COOKIE = "session/cookie_sessions.py"
SEALING = "session/sealing.py"
SIGNING = "session/signing.py"
ENVELOPE = "session/envelope.py"
KEYRING = "session/keyring.py"
CODEC = "session/codec.py"
TOKEN = "session/token.py"
HANDLES = "session/handle.py"
HEADERS = "session/interface.py"
MEMORY = "session/stores/memory.py"
APP = "app.py"
WSGI = "wsgi.py"
ASGI = "asgi.py"


class Edit(NamedTuple):
    """A place in a file of the package, and what to put there."""

    path: str
    old: str  #: is in the file exactly once
    new: str


class Mutation(NamedTuple):
    """One way to break a requirement; several edits where one alone is caught by another line."""

    requirement: int
    breaks: str
    edits: tuple[Edit, ...]


def broken(requirement: int, breaks: str, *edits: str) -> Mutation:
    """Return a mutation; each edit is a file, the old text and the new text."""
    grouped = zip(edits[::3], edits[1::3], edits[2::3], strict=True)
    return Mutation(requirement, breaks, tuple(Edit(*edit) for edit in grouped))
