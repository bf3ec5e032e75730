"""Sealer and Signer: what they make opens, and nothing else does."""

from __future__ import annotations

import base64
import hmac
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ctxlocal.sessions.cookie import MAX_SIZE, Cookie
from ctxlocal.sessions.in_cookie.envelope import (
    HEAD_SIZE,
    Envelope,
    Rejected,
    Seal,
    from_text,
    pack,
    to_text,
)
from ctxlocal.sessions.in_cookie.keyring import Keyring
from ctxlocal.sessions.in_cookie.sealer import NONCE_SIZE, Sealer
from ctxlocal.sessions.in_cookie.signer import Signer, _signature

OLD, NEW, FOREIGN = "old key " * 4, "new key " * 4, "foreign " * 4
NAME, NOW = "__Host-session", 1_700_000_000.0
ENVELOPE = Envelope(NOW - 5, NOW + 60, {"name": b"\xa3ada", "\0born": b"1699999995.0", "n": b"1"})
KINDS = {"sealed": Sealer, "signed": Signer}
Make = Callable[..., Seal]

shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    """Make a seal of each kind; the same keys, name and purpose unless told."""
    kind: Any = KINDS[request.param]

    def seal(*keys: str, name: str = NAME, purpose: str = "session") -> Seal:
        return kind(Keyring(keys or (NEW,)), name, purpose)  # type: ignore[no-any-return]

    return seal


@pytest.fixture
def seal(make: Make) -> Seal:
    return make()


def is_refused(seal: Seal, text: str, now: float = NOW) -> bool:
    return isinstance(seal.open(text, now), Rejected)


@shared_fixture
@given(st.dictionaries(st.text(), st.binary()), st.floats(0, 1e10), st.floats(2e10, 1e11))
def test_what_was_sealed_opens(
    seal: Seal, fields: dict[str, bytes], touched: float, expires: float
) -> None:
    envelope = Envelope(touched, expires, fields)
    token = seal.seal(envelope)
    if len(token) <= MAX_SIZE:
        assert seal.open(token, touched) == envelope


def test_r16_a_token_is_made_of_what_a_cookie_may_hold(seal: Seal) -> None:
    for size in range(100):
        Cookie(NAME).set(seal.seal(Envelope(NOW, NOW + 1, {"k": b"\xff" * size})), None)


def test_r26_the_first_key_signs_and_all_verify(make: Make) -> None:
    old, new, rotated = make(OLD), make(NEW), make(NEW, OLD)
    token = rotated.seal(ENVELOPE)
    assert new.open(token, NOW) == ENVELOPE
    assert old.open(token, NOW) is Rejected.UNKNOWN_KEY
    for each in (old, new):
        assert rotated.open(each.seal(ENVELOPE), NOW) == ENVELOPE
    assert make(OLD, NEW).seal(ENVELOPE)[1:HEAD_SIZE] == Keyring(OLD).ids[0]


def test_r26_the_token_names_its_key(make: Make) -> None:
    assert make(NEW, OLD).seal(ENVELOPE)[:HEAD_SIZE] == "1" + Keyring(NEW).ids[0]


def test_r24_a_key_that_was_taken_away_opens_nothing(make: Make) -> None:
    assert make(NEW).open(make(OLD).seal(ENVELOPE), NOW) is Rejected.UNKNOWN_KEY


def test_r23_the_expiry_is_inside(seal: Seal) -> None:
    token = seal.seal(ENVELOPE)
    assert seal.open(token, ENVELOPE.expires - 0.001) == ENVELOPE
    assert seal.open(token, ENVELOPE.expires) is Rejected.EXPIRED
    assert seal.open(token, float("inf")) is Rejected.EXPIRED


@pytest.mark.parametrize("other", [{"name": "__Host-sessio"}, {"purpose": "flash"}])
def test_r23_a_token_is_for_one_name_and_one_purpose(make: Make, other: dict[str, str]) -> None:
    token = make(**other).seal(ENVELOPE)
    assert make(**other).open(token, NOW) == ENVELOPE
    assert make().open(token, NOW) is Rejected.FORGED


def test_r23_name_and_purpose_cannot_be_shifted_into_each_other(make: Make) -> None:
    assert is_refused(make(name="ab", purpose="c"), make(name="a", purpose="bc").seal(ENVELOPE))


@pytest.mark.parametrize(("one", "other"), [(Sealer, Signer), (Signer, Sealer)])
def test_r24_a_token_of_the_other_kind_is_refused(one: Any, other: Any) -> None:
    keyring = Keyring(NEW)
    assert is_refused(one(keyring, NAME, ""), other(keyring, NAME, "").seal(ENVELOPE))


def test_every_bit_flip_is_refused(seal: Seal) -> None:
    token = seal.seal(ENVELOPE).encode()
    for place in range(len(token)):
        for bit in range(8):
            flipped = bytearray(token)
            flipped[place] ^= 1 << bit
            assert is_refused(seal, flipped.decode("latin-1")), (place, bit)


def test_r24_every_other_character_in_every_place_is_refused(seal: Seal) -> None:
    """Spare bits of Base64 included: a token has one spelling."""
    for size in range(3):
        token = seal.seal(Envelope(NOW, NOW + 60, {"k": b"v" * size}))
        for place in range(len(token) - 4, len(token)):
            for code in {*range(256), 0x3B1, 0x1F600} - {ord(token[place])}:
                assert is_refused(seal, token[:place] + chr(code) + token[place + 1 :])


def test_every_truncation_is_refused(seal: Seal) -> None:
    token = seal.seal(ENVELOPE)
    for size in range(len(token)):
        assert is_refused(seal, token[:size])
        assert is_refused(seal, token[len(token) - size :])


@pytest.mark.parametrize(
    "more", ["=", "==", "A", "AAAA", ".", ".A", " ", "\n", "\0", ";", '"', "ä"]
)
def test_every_extension_is_refused(seal: Seal, more: str) -> None:
    for size in range(3):
        token = seal.seal(Envelope(NOW, NOW + 60, {"k": b"v" * size}))
        for text in (token + more, more + token, token[:9] + more + token[9:]):
            assert is_refused(seal, text)
        middle = len(token) // 2
        assert is_refused(seal, token[:middle] + more + token[middle:])


def test_quotes_are_not_taken_off(seal: Seal) -> None:
    assert is_refused(seal, f'"{seal.seal(ENVELOPE)}"')


def test_parts_of_two_tokens_do_not_make_a_third(make: Make) -> None:
    seal, other = make(NEW, OLD), Envelope(NOW - 9, NOW + 60, {"name": b"\xa3bob", "n": b"2"})
    tokens = [
        seal.seal(ENVELOPE),
        seal.seal(other),
        make(OLD).seal(ENVELOPE),
        make(NEW, purpose="flash").seal(other),
        make(NEW, name="other").seal(ENVELOPE),
    ]
    ours = {*tokens[:3]}
    for one in tokens:
        for two in tokens:
            for cut in range(min(len(one), len(two))):
                text = one[:cut] + two[cut:]
                assert text in ours or is_refused(seal, text)


@shared_fixture
@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_r24_any_text_is_refused(make: Make, text: str) -> None:
    seal = make(NEW, OLD)
    head = "1" + Keyring(NEW).ids[0]
    for candidate in (text, head + text, head + text + "." + text):
        assert is_refused(seal, candidate)


@shared_fixture
@given(st.binary(max_size=200))
def test_r24_any_well_spelled_bytes_are_refused(seal: Seal, raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    head = "1" + Keyring(NEW).ids[0]
    for candidate in (head + text, f"{head}{text}.{text}", f"{head}.{text}", f"{head}{text}."):
        assert is_refused(seal, candidate)


@shared_fixture
@given(st.data())
def test_r24_any_mutation_is_refused(seal: Seal, data: st.DataObject) -> None:
    token = seal.seal(ENVELOPE)
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    text = token[:start] + data.draw(st.text()) + token[end:]
    assert text == token or is_refused(seal, text)


def signed(signer: Signer, text: str) -> str:
    """A token with any content that verifies all the same."""
    return f"{text}.{_signature(signer._started[signer._head], text)}"


@given(st.binary(max_size=300), st.text())
def test_a_signature_is_the_standards_hmac(key: bytes, purpose: str) -> None:
    signer = Signer(Keyring(b"k" * 32 + key), NAME, purpose)
    signed_part, _, signature = signer.seal(ENVELOPE).rpartition(".")
    (derived,) = Keyring(b"k" * 32 + key).derive(f"signed cookie\x001\0{NAME}\0{purpose}").values()
    assert (
        signature == base64.b64encode(hmac.digest(derived, signed_part.encode(), "sha256")).decode()
    )


@given(st.binary(max_size=200))
def test_the_text_is_the_standards_base64(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    assert to_text(content) == text
    assert from_text(text) == content


def test_r24_no_other_character_in_any_place_is_the_same_text() -> None:
    for size in range(1, 10):
        content = bytes(range(0x7A, 0x7A + size))
        text = to_text(content)
        for place in range(len(text)):
            for code in {*range(256), 0x3B1, 0x1F600} - {ord(text[place])}:
                other = from_text(text[:place] + chr(code) + text[place + 1 :])
                assert other is None or other != content


@given(st.one_of(st.text(), st.text("AQg0+/= \n-_", max_size=12)))
@example("QR==")
@example("QUJ=")
@example("QQ")
@example("QQ==QUJD")
@example("Q Q==")
def test_r24_a_text_that_is_spelled_otherwise_is_none(text: str) -> None:
    content = from_text(text)
    assert content is None or base64.b64encode(content).decode() == text


@shared_fixture
@given(st.binary(max_size=100))
def test_r32_what_verifies_and_is_no_envelope_is_refused(raw: bytes) -> None:
    """Ours, but of another release: no exception either."""
    keyring = Keyring(NEW)
    sealer, signer = Sealer(keyring, NAME, ""), Signer(keyring, NAME, "")
    nonce = bytes(NONCE_SIZE)
    sealed = nonce + sealer._encrypt(nonce, raw, sealer._context)
    head = "1" + keyring.ids[0]
    assert is_refused(sealer, head + base64.b64encode(sealed).decode())
    assert is_refused(signer, signed(signer, head + base64.b64encode(raw).decode()))
    assert is_refused(signer, signed(signer, head + raw.decode("latin-1")))


def test_r28_nesting_in_what_verifies_is_refused() -> None:
    keyring = Keyring(NEW)
    signer = Signer(keyring, NAME, "")
    deep = b"\x93" + pack(NOW) + pack(NOW + 9) + b"\x81\xa1k" + b"\x91" * 2000 + b"\xc0"
    head = "1" + keyring.ids[0]
    token = signed(signer, head + base64.b64encode(deep).decode())
    assert signer.open(token, NOW) is Rejected.MALFORMED


def test_r28_what_is_longer_than_a_cookie_is_not_looked_at(make: Make) -> None:
    seal = make()
    token = seal.seal(Envelope(NOW, NOW + 60, {"k": bytes(MAX_SIZE)}))
    assert seal.open(token, NOW) is Rejected.OVERSIZED
    assert seal.open("\ud800" * (MAX_SIZE + 1), NOW) is Rejected.OVERSIZED


def test_r28_a_compressed_content_is_not_taken(seal: Seal) -> None:
    """Nothing is ever decompressed, so nothing can blow up."""
    text = base64.b64encode(zlib.compress(bytes(1_000_000))).decode()
    assert is_refused(seal, "1" + Keyring(NEW).ids[0] + text)
    assert is_refused(seal, "." + text)


@pytest.mark.parametrize(
    "text",
    [
        "eyJhIjoxfQ.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb",  # itsdangerous, as Flask writes it
        "gAAAAABmAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",  # Fernet
        "gASVCAAAAAAAAAB9lIwBYZRLAXMu",  # a pickle
        "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.",  # a JWT that is not signed
        "1",
        "1.",
        "",
    ],
)
def test_r24_foreign_tokens_are_refused(seal: Seal, text: str) -> None:
    assert seal.open(text, NOW) is Rejected.UNKNOWN_KEY
    assert is_refused(seal, "1" + Keyring(NEW).ids[0] + text)


def test_r23_a_sealed_token_shows_nothing() -> None:
    sealer = Sealer(Keyring(NEW), NAME, "session")
    raw = base64.b64decode(sealer.seal(ENVELOPE)[HEAD_SIZE:])
    assert b"ada" not in raw
    assert b"born" not in raw


def test_r30_nonces_are_96_bits_and_new_for_each_token() -> None:
    sealer = Sealer(Keyring(NEW), NAME, "session")
    tokens = [sealer.seal(ENVELOPE) for _ in range(1000)]
    nonces = {base64.b64decode(token[HEAD_SIZE:])[:NONCE_SIZE] for token in tokens}
    assert NONCE_SIZE * 8 == 96
    assert len(nonces) == 1000


def test_r30_the_limit_of_a_key_is_documented() -> None:
    assert "2^32" in (Keyring.__doc__ or "")


def test_many_threads_share_a_seal(seal: Seal) -> None:
    def work(number: int) -> bool:
        envelope = Envelope(NOW, NOW + 60, {"n": b"%d" % number})
        return all(seal.open(seal.seal(envelope), NOW) == envelope for _ in range(200))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_r27_signed_cookies_do_not_need_cryptography(run_python: Callable[..., str]) -> None:
    output = run_python("""
        import sys
        sys.modules["cryptography"] = None
        from ctxlocal.sessions.in_cookie.sessions import SignedCookieSessions
        sessions = SignedCookieSessions("k" * 32)
        session = sessions.open("")
        session["a"] = 1
        cookie = sessions.save(session).cookies[0].partition(";")[0]
        print(sessions.open(cookie)["a"])
    """)
    assert output == "1\n"
