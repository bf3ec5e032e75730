"""A mutation: a mistake that somebody could make, or a line that seems not to be needed."""

from __future__ import annotations

from typing import NamedTuple

MODEL = "sessions/session.py"
FIELDS = "sessions/fields.py"
STORED = "sessions/in_store/sessions.py"
RECORD = "sessions/in_store/session.py"
QUICK = "sessions/in_store/quick.py"
SETTINGS = "sessions/in_store/settings.py"
COOKIE = "sessions/cookie.py"
IN_COOKIE = "sessions/in_cookie/sessions.py"
SEALING = "sessions/in_cookie/sealer.py"
SIGNING = "sessions/in_cookie/signer.py"
ENVELOPE = "sessions/in_cookie/envelope.py"
KEYRING = "sessions/in_cookie/keyring.py"
CODEC = "sessions/codec.py"
TOKEN = "sessions/in_store/token.py"
HANDLES = "sessions/handle.py"
HEADERS = "sessions/interface.py"
MEMORY = "sessions/stores/memory.py"
APP = "web/app/application.py"
WSGI = "web/wsgi.py"
ASGI = "web/asgi/middleware.py"


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
