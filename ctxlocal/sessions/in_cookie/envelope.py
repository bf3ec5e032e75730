"""Envelope: what a cookie session holds, and the parts that both kinds of token share.

A token is the version, the id of its key, and the rest in Base64, all of whose characters a
cookie may hold (RFC 6265, 4.1.1, advises it):

    sealed   1 KEYID Base64(nonce, ciphertext, tag)
    signed   1 KEYID Base64(content) . Base64(HMAC)

A token has one spelling: text that decodes to the same bytes but is spelled otherwise is
refused. Nothing is decoded before it is authenticated, but the Base64 of a text that is
no longer than a cookie. There is no compression: it gains little below 4096 bytes, and its
length would tell about the content of an encrypted cookie (as CRIME and BREACH use it).
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from msgspec import MsgspecError, Struct, convert, to_builtins
from msgspec.msgpack import Decoder, Encoder

from .keyring import ID_SIZE

__all__ = ["Envelope", "Rejected", "Seal"]

VERSION = "1"  #: of the format; another one is another token
HEAD_SIZE = len(VERSION) + ID_SIZE  #: characters before the content


class Rejected(Enum):
    """Why a token was not accepted; for events and logs, never for the client."""

    OVERSIZED = "oversized"  #: longer than any cookie
    UNKNOWN_KEY = "unknown key"  #: no token of this version with a key that we have
    MALFORMED = "malformed"  #: it begins as one, and goes on otherwise
    FORGED = "forged"  #: changed, or made for another cookie or purpose
    EXPIRED = "expired"  #: its own time, or one of the limits, is over
    REVOKED = "revoked"  #: the user's login is before ``valid_after``


class Envelope(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """The content of a token. Times are seconds since the epoch."""

    touched: float  #: when it was made
    expires: float  #: from when on it is refused
    fields: dict[str, bytes]


class Seal(Protocol):
    """Makes tokens for one cookie and purpose, and opens them again. Safe from anywhere."""

    def seal(self, envelope: Envelope) -> str:
        """Return a token. O(size)."""

    def open(self, token: str, now: float) -> Envelope | Rejected:
        """Return the content of a token that is ours and not expired. Never raises. O(size).

        :param token: any text.
        :param now: seconds since the epoch.
        """


pack = Encoder().encode
_unpack = Decoder(Envelope).decode


def unpack(content: bytes, now: float) -> Envelope | Rejected:
    """Return the envelope in authenticated bytes."""
    try:
        envelope = _unpack(content)
    except MsgspecError:  # ours, but of another release
        return Rejected.MALFORMED
    return envelope if now < envelope.expires else Rejected.EXPIRED


# Base64 of 2 or 4 bits, the spare ones being 0.
_BEFORE_TWO, _BEFORE_ONE = frozenset("AQgw"), frozenset("AEIMQUYcgkosw048")

# By msgspec, which writes bytes so in JSON: it takes half the time of binascii.


def to_text(content: bytes) -> str:
    """Return Base64 in one line (RFC 4648, 4)."""
    text: str = to_builtins(content)
    return text


def from_text(text: str) -> bytes | None:
    """Return what :func:`to_text` made ``text`` of; None if it made no such text."""
    if text[-1:] == "=":  # the character before the padding is the only one with spare bits
        is_ours = text[-3:-2] in _BEFORE_TWO if text[-2:-1] == "=" else text[-2:-1] in _BEFORE_ONE
        if not is_ours:
            return None
    return from_any_spelling(text)


def from_any_spelling(text: str) -> bytes | None:
    """Return what is in Base64; spare bits may be anything, as in no text of ours.

    For a text that is authenticated itself, and not what is in it.
    """
    try:
        content: bytes = convert(text, bytes)
    except (ValueError, MsgspecError):  # the former of a lone surrogate
        return None
    return content
