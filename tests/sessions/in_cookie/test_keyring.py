from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.in_cookie.keyring import Keyring, hkdf

OLD, NEW = "old key " * 4, b"new key " * 4
MAKE_ONE = 'Make one: python -c "import secrets; print(secrets.token_hex(32))"'


def test_hkdf_gives_what_rfc_5869_says() -> None:
    expected = (  # A.3: no salt, no info
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    assert hkdf(b"\x0b" * 22, b"", 42).hex() == expected


@given(st.binary(min_size=1), st.binary(), st.integers(1, 200))
def test_hkdf_gives_what_cryptography_gives(key: bytes, info: bytes, size: int) -> None:
    assert hkdf(key, info, size) == HKDF(SHA256(), size, None, info).derive(key)


@pytest.mark.parametrize("key", ["", "x" * 31, b"x" * 31, "ä" * 15])
def test_r27_a_key_under_32_bytes_is_refused(key: str | bytes) -> None:
    size = len(key.encode() if isinstance(key, str) else key)
    message = f"keys: number 1 has {size} bytes; it needs 32 at least. {MAKE_ONE}"
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
        Keyring(key)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "keys: there is none"),
        (None, "keys: None; is the variable set?"),
        ([OLD, "short secret"], f"keys: number 2 has 12 bytes; it needs 32 at least. {MAKE_ONE}"),
        ([OLD, None], "keys: number 2 is neither str nor bytes"),
        ([OLD, NEW, OLD.encode()], "keys: number 3 repeats another"),
    ],
)
def test_r27_what_cannot_serve_as_keys_is_refused(keys: Any, message: str) -> None:
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$") as caught:
        Keyring(keys)
    assert caught.value.setting == "keys"


def test_r27_32_bytes_are_enough() -> None:
    assert len(Keyring("x" * 32).ids) == len(Keyring(["ä" * 16]).ids) == 1


def test_r26_ids_are_of_the_keys_in_their_order() -> None:
    ids = Keyring([NEW, OLD]).ids
    assert ids == (*Keyring(NEW).ids, *Keyring(OLD).ids)
    assert all(re.fullmatch(r"[\w-]{8}", each) for each in ids)


def test_r27_each_purpose_has_keys_of_its_own() -> None:
    keyring = Keyring([NEW, OLD])
    derived = [key for purpose in "ab" for key in keyring.derive(purpose).values()]
    assert len({*derived, OLD.encode(), NEW}) == 6
    assert all(len(key) == 32 for key in derived)
    assert tuple(keyring.derive("a")) == keyring.ids


def test_r27_derived_keys_are_cached() -> None:
    keyring = Keyring(OLD)
    assert keyring.derive("a") is keyring.derive("a")


def test_keys_are_never_shown() -> None:
    keyring = Keyring([OLD, NEW])
    keyring.derive("a")
    assert repr(keyring) == f"<Keyring of 2 signing with {keyring.ids[0]!r}>"
    assert "key " not in repr(keyring)


def test_an_error_does_not_show_the_key() -> None:
    with pytest.raises(SessionConfigError) as caught:
        Keyring("short s3cret")
    assert "s3cret" not in str(caught.value)
