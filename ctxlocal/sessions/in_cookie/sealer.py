"""Sealer: tokens that nobody can read or change (AES-256-GCM); they are the encrypted cookies."""

from __future__ import annotations

import os

from ...errors import MissingDependencyError
from ..cookie import MAX_SIZE
from .envelope import HEAD_SIZE, VERSION, Envelope, Rejected, from_text, pack, to_text
from .envelope import unpack as _unpack
from .keyring import Keyring

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    raise MissingDependencyError("An encrypted cookie", "cryptography", "crypto") from error

__all__ = ["Sealer"]

NONCE_SIZE = 12  #: bytes, random for each token; see Keyring for how many tokens that allows
TAG_SIZE = 16  #: bytes that GCM adds


class Sealer:
    """Seals with the first key of a keyring and opens with any.

    A token opens only for the cookie name and purpose it was made for: they are its
    associated data, with the version. Seal and open cost some microseconds each; keys and
    ciphers are made once. Implements :class:`~ctxlocal.sessions.in_cookie.envelope.Seal`.

    :param name: of the cookie.
    :param purpose: any text, to tell apart what the same cookie name may hold.
    """

    __slots__ = ("_ciphers", "_context", "_encrypt", "_head")

    def __init__(self, keyring: Keyring, name: str, purpose: str) -> None:
        keys = keyring.derive("encrypted cookie")
        self._ciphers = {VERSION + key_id: AESGCM(key).decrypt for key_id, key in keys.items()}
        self._head = VERSION + keyring.ids[0]
        self._encrypt = AESGCM(keys[keyring.ids[0]]).encrypt
        self._context = "\0".join((VERSION, name, purpose)).encode()

    def seal(self, envelope: Envelope) -> str:
        """Return a token. O(size)."""
        nonce = os.urandom(NONCE_SIZE)
        return self._head + to_text(nonce + self._encrypt(nonce, pack(envelope), self._context))

    def open(self, token: str, now: float) -> Envelope | Rejected:
        """Return the content of a token that is ours and not expired. Never raises. O(size).

        :param token: any text.
        :param now: seconds since the epoch.
        """
        if len(token) > MAX_SIZE:
            return Rejected.OVERSIZED
        decrypt = self._ciphers.get(token[:HEAD_SIZE])
        if decrypt is None:
            return Rejected.UNKNOWN_KEY
        sealed = from_text(token[HEAD_SIZE:])
        if sealed is None or len(sealed) < NONCE_SIZE + TAG_SIZE:
            return Rejected.MALFORMED
        try:
            content = decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], self._context)
        except InvalidTag:
            return Rejected.FORGED
        return _unpack(content, now)
