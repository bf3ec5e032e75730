"""Keyring: the application's secret keys, and the keys made from them for each purpose."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..errors import SessionConfigError

__all__ = ["KEY_SIZE", "Keyring", "hkdf"]

KEY_SIZE = 32  #: bytes; of a key that is given at least, of a derived key exactly
ID_SIZE = 8  #: characters of a key's id in a token
_HASH_SIZE = 32  # of SHA-256


class Keyring:
    """The secret keys of an application: the first signs, all verify.

    To rotate, put a new key in front, and take the old one away when the last token made
    with it has expired; a leaked key is taken away at once. A token names its key by an
    id that is derived from the key and tells nothing about it. Immutable; safe from anywhere.

    AES-GCM draws a random nonce of 96 bits for each message, so a key is good for 2^32
    messages (NIST SP 800-38D, 8.3): 100 cookies a second reach that in 16 months.
    Rotate before.

    :param keys: one key or several, each at least 32 bytes (``str`` counts as UTF-8) out of
        a generator: ``python -c "import secrets; print(secrets.token_hex(32))"``.
    :raises SessionConfigError: there is none, one is too short, or one comes twice.
    """

    __slots__ = ("_derived", "_keys")

    def __init__(self, keys: str | bytes | Sequence[str | bytes]) -> None:
        if keys is None:
            raise SessionConfigError("keys", "None; is the variable set?")
        given = [keys] if isinstance(keys, (str, bytes)) else list(keys)
        if not given:
            raise SessionConfigError("keys", "there is none")
        self._keys: dict[str, bytes] = {}
        for number, each in enumerate(given, 1):
            key = _checked(each, number)
            name = urlsafe_b64encode(hkdf(key, b"ctxlocal key id", ID_SIZE * 3 // 4)).decode()
            if name in self._keys:
                raise SessionConfigError("keys", f"number {number} repeats another")
            self._keys[name] = key
        self._derived: dict[str, Mapping[str, bytes]] = {}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._keys)} signing with {next(iter(self._keys))!r}>"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, 8 characters each; the first is the one that signs."""
        return tuple(self._keys)

    def derive(self, purpose: str) -> Mapping[str, bytes]:
        """Return a key of 32 bytes for this purpose from each key, by id, the signing one first.

        What is sealed for one purpose does not verify for another. Cached: a process asks
        for a handful of purposes, each costs some microseconds once.

        :param purpose: any text.
        """
        derived = self._derived.get(purpose)
        if derived is None:
            info = b"ctxlocal purpose " + purpose.encode()
            derived = MappingProxyType(
                {name: hkdf(key, info, KEY_SIZE) for name, key in self._keys.items()}
            )
            self._derived[purpose] = derived
        return derived


def hkdf(key: bytes, info: bytes, size: int) -> bytes:
    """Derive ``size`` bytes from a key (RFC 5869 with SHA-256 and without a salt).

    By the standard library, so that signed cookies do not need cryptography.
    """
    extracted = hmac.digest(bytes(_HASH_SIZE), key, "sha256")
    block = output = b""
    for number in range(1, -(-size // _HASH_SIZE) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        output += block
    return output[:size]


def _checked(key: object, number: int) -> bytes:
    """Return the key as bytes; the error tells its number, never the key."""
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes):
        raise SessionConfigError("keys", f"number {number} is neither str nor bytes")
    if len(key) < KEY_SIZE:
        raise SessionConfigError(
            "keys",
            f"number {number} has {len(key)} bytes; it needs {KEY_SIZE} at least. Make one: "
            'python -c "import secrets; print(secrets.token_hex(32))"',
        )
    return key
