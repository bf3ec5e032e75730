"""Values become bytes and come back equal, and any bytes are a value or a ValueError."""

from __future__ import annotations

import enum
from collections import OrderedDict, defaultdict
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from ctxlocal.session.codec import MAX_BYTES, MAX_DEPTH, decode, encode, register
from ctxlocal.session.errors import SessionConfigError, UnstorableValueError
from ctxlocal.session.protocol import MAX_INT, MIN_INT

text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(MIN_INT, MAX_INT)
    | st.floats(allow_nan=False)
    | text
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(timezone.utc))
    | st.dates()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner))


@given(values)
@example(Markup("<b>&</b>"))
@example(datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=-3))))
@example(date(1, 1, 1))
@example(UUID(int=0))
def test_a_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    back = decode(encode("key", value))
    assert back == value
    assert type(back) is type(value)


@given(values)
def test_only_integers_look_like_integers(value: Any) -> None:
    looks_so = encode("key", value)[:1] in b"-0123456789"
    assert looks_so == (type(value) is int)


@given(st.binary(max_size=300))
@example(b"")
@example(b"-")
@example(b"1" * 5000)
@example(b"\x91" * 100_000)
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc7\x00\x63")
@example(b"\xd6\x01abcd")
def test_any_bytes_are_a_value_or_a_value_error(raw: bytes) -> None:
    with suppress(ValueError):
        decode(raw)


@pytest.mark.parametrize("raw", [b"-", b"1secret", b"\xc1secret", b"9" * 30, b"\xa9secret"])
def test_r32_an_error_does_not_show_the_bytes(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a stored value \([a-zA-Z0-9 ]+\)$") as caught:
        decode(raw)
    assert "secret" not in str(caught.value)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_what_can_be_stored_can_be_read_however_deep() -> None:
    assert decode(encode("key", nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(UnstorableValueError, match="nested deeper"):
        encode("key", nested(MAX_DEPTH + 1))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnstorableValueError, match="contains itself"):
        encode("key", endless)


def test_r28_depth_and_size_are_checked_before_decoding() -> None:
    with pytest.raises(ValueError, match="nested deeper"):
        decode(b"\x91" * (MAX_DEPTH + 1) + b"\xc0")
    with pytest.raises(ValueError, match="are over"):
        decode(b"\xc6" + (MAX_BYTES).to_bytes(4, "big") + bytes(MAX_BYTES))
    flat = encode("key", [[]] * 1000 + ["\u0490" * 1000])
    assert len(decode(flat)) == 1001


class Shade(str, enum.Enum):
    DARK = "dark"


class Level(enum.IntEnum):
    LOW = 1


class Names(list[str]):
    pass


class Name(str):
    pass


class user:  # as some write it
    pass


STORABLE = (
    "Store str, int, float, bool, None, bytes, datetime, date, UUID, Decimal, Markup, and lists "
    "and dicts (with str keys) of these, or register the type with ctxlocal.session.register()."
)
REGISTER = ", or register the type with ctxlocal.session.register()."


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Shade.DARK, f"a Shade would come back as a str. Store its .value{REGISTER}"),
        (Level.LOW, f"a Level would come back as an int. Store its .value{REGISTER}"),
        (Name("x"), f"a Name would come back as a str. Store str() of it{REGISTER}"),
        (Names("x"), f"a Names would come back as a list. Store list() of it{REGISTER}"),
        (
            OrderedDict(a=1),
            f"an OrderedDict would come back as a dict. Store dict() of it{REGISTER}",
        ),
        (
            [defaultdict(list)],
            f"a defaultdict would come back as a dict. Store dict() of it{REGISTER}",
        ),
        ((1, 2), "a tuple would come back as a list. Use a list."),
        (
            {1},
            "a set does not come back as it was. Use a list, or session.add_to_set(), which loses "
            "nothing others add.",
        ),
        ({1: 2}, "a dict's key is an int, not a str. Use keys of str."),
        ([float("nan")], "a NaN does not equal itself. Use None."),
        (Decimal("NaN"), "a NaN does not equal itself. Use None."),
        (2**63, "an int beyond 64 bits. Store it as a str."),
        (user(), f"a user does not come back as it was. {STORABLE}"),
        (object(), f"an object does not come back as it was. {STORABLE}"),
        ("\ud800", "the str holds a lone surrogate."),
    ],
)
def test_a_refusal_says_why_and_what_to_do(value: Any, why: str) -> None:
    with pytest.raises(UnstorableValueError) as caught:
        encode("key", value)
    assert str(caught.value) == f"session['key'] cannot be stored: {why}"


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1},
        frozenset(),
        {1: 2},
        {("a",): 1},
        [(1,)],
        float("nan"),
        [float("nan")],
        Decimal("NaN"),
        Decimal("sNaN"),
        2**63,
        -(2**63) - 1,
        [2**64],
        "\ud800",
        ["\ud800"],
        {"\ud800": 1},
        object(),
        lambda: None,
        bytearray(b"x"),
        ValueError("x"),
    ],
)
def test_what_does_not_come_back_equal_is_refused(value: Any) -> None:
    with pytest.raises(UnstorableValueError, match=r"^session\['key'\] cannot be stored: "):
        encode("key", value)


@pytest.mark.parametrize(("kind", "code"), [(complex, 15), (complex, 128), (complex, -1)])
def test_a_type_is_registered_under_a_free_code(kind: Any, code: int) -> None:
    with pytest.raises(SessionConfigError, match="16 to 127"):
        register(kind, code, bytes, str)


@pytest.mark.parametrize("kind", [str, int, datetime, UUID])
def test_a_type_is_registered_once(kind: Any) -> None:
    with pytest.raises(SessionConfigError, match="registered already"):
        register(kind, 100, bytes, str)


@pytest.mark.parametrize("raw", [None, "text", 1, bytearray(b"1"), memoryview(b"1"), [1]])
def test_what_is_not_even_bytes_is_a_value_error(raw: Any) -> None:
    with pytest.raises(ValueError, match="not a stored value"):
        decode(raw)
