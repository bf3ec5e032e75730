"""Signer: tokens that everybody can read and nobody can change; they are the signed cookies.

The signature is one call of the standard library's HMAC. itsdangerous makes the same one in
seventeen calls of Python, and derives the key as it goes, which a Keyring has done already.
"""

from __future__ import annotations

from hmac import compare_digest, digest

from ..cookie import MAX_SIZE
from .envelope import HEAD_SIZE, VERSION, Envelope, Rejected, from_text, pack, to_text
from .envelope import unpack as _unpack
from .keyring import Keyring

__all__ = ["Signer"]


class Signer:
    """Signs with the first key of a keyring (HMAC with SHA-256) and verifies with any.

    A token verifies only for the cookie name and purpose it was made for: each has its own
    key. Keys are derived once. Implements :class:`~ctxlocal.sessions.in_cookie.envelope.Seal`.

    :param name: of the cookie.
    :param purpose: any text, to tell apart what the same cookie name may hold.
    """

    __slots__ = ("_head", "_keys")

    def __init__(self, keyring: Keyring, name: str, purpose: str) -> None:
        keys = keyring.derive("\0".join(("signed cookie", VERSION, name, purpose)))
        self._keys = {VERSION + key_id: key for key_id, key in keys.items()}
        self._head = VERSION + keyring.ids[0]

    def seal(self, envelope: Envelope) -> str:
        """Return a token. O(size)."""
        signed = self._head + to_text(pack(envelope))
        return f"{signed}.{_signature(self._keys[self._head], signed)}"

    def open(self, token: str, now: float) -> Envelope | Rejected:
        """Return the content of a token that is ours and not expired. Never raises. O(size).

        :param token: any text.
        :param now: seconds since the epoch.
        """
        if len(token) > MAX_SIZE:
            return Rejected.OVERSIZED
        key = self._keys.get(token[:HEAD_SIZE])
        if key is None:
            return Rejected.UNKNOWN_KEY
        signed, _, signature = token.rpartition(".")
        # Compared as text, so that a signature has one spelling.
        if not token.isascii() or not compare_digest(_signature(key, signed), signature):
            return Rejected.FORGED
        content = from_text(signed[HEAD_SIZE:])
        return Rejected.MALFORMED if content is None else _unpack(content, now)


def _signature(key: bytes, signed: str) -> str:
    return to_text(digest(key, signed.encode(), "sha256"))
