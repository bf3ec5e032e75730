"""Signer: tokens that everybody can read and nobody can change; they are the signed cookies."""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from ..errors import MissingDependencyError
from .cookie import MAX_SIZE
from .envelope import HEAD_SIZE, VERSION, Envelope, Rejected, from_text, pack, to_text
from .envelope import unpack as _unpack
from .keyring import Keyring

try:
    import itsdangerous
except ImportError as error:
    raise MissingDependencyError("A signed cookie", "itsdangerous", "web") from error

__all__ = ["Signer"]


class Signer:
    """Signs with the first key of a keyring (HMAC with SHA-256) and verifies with any.

    A token verifies only for the cookie name and purpose it was made for: each has its own
    key. Signer objects are made once. Implements :class:`~ctxlocal.session.envelope.Seal`.

    :param name: of the cookie.
    :param purpose: any text, to tell apart what the same cookie name may hold.
    """

    __slots__ = ("_head", "_sign", "_signatures")

    def __init__(self, keyring: Keyring, name: str, purpose: str) -> None:
        keys = keyring.derive("\0".join(("signed cookie", VERSION, name, purpose)))
        signers = {
            VERSION + key_id: itsdangerous.Signer(
                key, key_derivation="none", digest_method=hashlib.sha256
            )
            for key_id, key in keys.items()
        }
        self._head = VERSION + keyring.ids[0]
        self._sign = signers[self._head].sign
        self._signatures = {head: signer.get_signature for head, signer in signers.items()}

    def seal(self, envelope: Envelope) -> str:
        """Return a token. O(size)."""
        return self._sign(self._head + to_text(pack(envelope))).decode()

    def open(self, token: str, now: float) -> Envelope | Rejected:
        """Return the content of a token that is ours and not expired. Never raises. O(size).

        :param token: any text.
        :param now: seconds since the epoch.
        """
        if len(token) > MAX_SIZE:
            return Rejected.OVERSIZED
        signature_of = self._signatures.get(token[:HEAD_SIZE])
        if signature_of is None:
            return Rejected.UNKNOWN_KEY
        signed, _, signature = token.rpartition(".")
        # Compared as text: itsdangerous' own unsign takes several spellings of a signature.
        if not token.isascii() or not compare_digest(signature_of(signed), signature.encode()):
            return Rejected.FORGED
        content = from_text(signed[HEAD_SIZE:])
        return Rejected.MALFORMED if content is None else _unpack(content, now)
