"""Values become bytes and come back as they were, and any bytes are a value or a ValueError."""

from __future__ import annotations

import copy
import enum
import logging
import re
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from ctxlocal.sessions import codec as codec_module
from ctxlocal.sessions import scalars as scalars_module
from ctxlocal.sessions.codec import MAX_BYTES, MAX_DEPTH, decode, encode, register
from ctxlocal.sessions.depth import TAGS
from ctxlocal.sessions.errors import SessionConfigError, UnstorableValueError
from ctxlocal.sessions.stores.protocol import MAX_INT, MIN_INT

BERLIN = ZoneInfo("Europe/Berlin")
day = timedelta(days=1)
PARTS = [timedelta(microseconds=1), timedelta(seconds=1), timedelta(hours=1, microseconds=1)]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
offsets = st.timedeltas(-day + timedelta(microseconds=1), day - timedelta(microseconds=1))
zones = (
    st.none()
    | st.just(timezone.utc)
    | st.builds(timezone, offsets)
    | st.builds(timezone, offsets, text)
    | st.sampled_from(["Europe/Berlin", "America/St_Johns", "Africa/Monrovia", "UTC"]).map(ZoneInfo)
)
datetimes = st.builds(
    lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold),
    st.datetimes() | st.sampled_from([datetime.min, datetime.max, datetime(2024, 10, 27, 2, 30)]),
    zones,
    st.sampled_from([0, 1]),
)
times = st.builds(
    lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold),
    st.times(),
    zones,
    st.sampled_from([0, 1]),
)
keys = (
    st.none()
    | st.booleans()
    | st.integers(MIN_INT, MAX_INT)
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=20)
    | datetimes
    | times
    | st.dates()
    | st.timedeltas()
    | st.builds(
        lambda number, safe: UUID(int=number, is_safe=safe),
        st.integers(0, 2**128 - 1),
        st.sampled_from(SafeUUID),
    )
    | st.decimals(allow_nan=False)
    | text.map(Markup)
)
hashable = st.recursive(
    keys,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    keys,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(text, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
        | st.frozensets(hashable, max_size=4)
    ),
    max_leaves=10,
)


def is_same(value: Any, back: Any) -> bool:
    """Whether nobody can tell them apart."""
    if type(value) is not type(back) or value != back:
        return False
    if isinstance(value, (list, tuple)):
        return len(value) == len(back) and all(map(is_same, value, back))
    if isinstance(value, dict):
        return is_same([*value.items()], [*back.items()])
    if isinstance(value, (set, frozenset)):
        found = {member: member for member in back}
        return all(is_same(member, found[member]) for member in value)
    if isinstance(value, (datetime, time)) and type(value.tzinfo) is ZoneInfo:
        assert back.tzinfo is value.tzinfo
    if isinstance(value, UUID) and value.is_safe is not back.is_safe:
        return False
    fold = getattr(value, "fold", None), getattr(back, "fold", None)
    return repr(value) == repr(back) and hash(value) == hash(back) and fold[0] == fold[1]


@given(values)
@example(Markup("<b>&</b>"))
@example(datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=-3))))
@example(datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1))
@example([datetime(2024, 1, 1, tzinfo=timezone(sign * part)) for sign in (1, -1) for part in PARTS])
@example([-0.0, float("inf"), Decimal("-0"), Decimal("-Infinity"), Decimal("1E+400")])
@example({1: "int", True + 1: "two", "1": "str", None: 0, (1, ("a",)): {frozenset({1}): {2}}})
@example([2**64 - 1, -(2**63)])
@example({1, "1", b"1", None, (1,), frozenset({1})})
@example(date(1, 1, 1))
@example(UUID(int=0))
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    raw = encode("key", value)
    back = decode(raw)
    assert is_same(value, back)
    assert encode("key", back) == raw  # a set of other history too


def test_a_zoned_datetime_keeps_its_clock() -> None:
    before = datetime(2024, 10, 26, 12, tzinfo=BERLIN)
    assert decode(encode("key", before)) + day == before + day
    assert (decode(encode("key", before)) + day).utcoffset() == timedelta(hours=1)
    repeated = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)
    assert decode(encode("key", repeated)).utcoffset() == timedelta(hours=1)


class NoZones:
    """A machine without a database of time zones."""

    def __init__(self, key: str) -> None:
        raise KeyError(key)


def test_a_zone_this_machine_does_not_know_keeps_its_offset_and_its_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    when = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)
    raw = encode("key", {"when": when, "at": time(9, tzinfo=BERLIN), "more": 1})
    scalars_module._warn_of_unknown_zone.cache_clear()
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(scalars_module, "ZoneInfo", NoZones)
        back = decode(raw)
        decode(raw)
        again = encode("key", copy.deepcopy(back))
    there = back["when"]
    assert there == when.astimezone(timezone.utc)
    assert (there.tzinfo.key, there.tzname(), there.fold) == ("Europe/Berlin", "Europe/Berlin", 1)
    assert there.astimezone(timezone.utc).isoformat() == "2024-10-27T01:30:00+00:00"
    assert (back["at"].utcoffset(), back["more"]) == (None, 1)
    assert again == raw
    assert is_same(decode(again)["when"], when)
    assert caplog.text.count("tzdata") == 1


@pytest.mark.parametrize("key", ["Europe", "../../etc/passwd", "Nowhere/Land", "", "a\0b"])
def test_any_key_of_a_zone_is_a_zone_that_is_not_known(key: str) -> None:
    moment = msgspec.msgpack.encode(["2024-01-01T00:00:00", 0, [key, 0]])
    back = decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(1, moment)))
    assert back == datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert encode("key", back) == msgspec.msgpack.encode(msgspec.msgpack.Ext(1, moment))


@pytest.mark.parametrize("zone", [None, timezone.utc, timezone(timedelta(hours=-3))])
def test_a_plain_datetime_is_iso_text(zone: timezone | None) -> None:
    value = datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)
    stored = value.isoformat().encode()
    assert encode("key", value) == b"\xc7%c\x01%s" % (len(stored), stored)


def test_the_context_of_decimals_does_not_show() -> None:
    large = Decimal("1E+30")
    with localcontext() as context:
        context.capitals = 0
        raw = encode("key", large)
    assert raw == encode("key", large)
    assert is_same(decode(raw), large)


def test_a_set_has_one_order_in_every_process(run_python: Callable[..., str]) -> None:
    code = (
        "from ctxlocal.sessions.codec import encode\n"
        "print(encode('', {str(i) for i in range(50)} | {1, 2.5, None, (1, 'x')}).hex())"
    )
    made = {run_python(code, PYTHONHASHSEED=str(seed)) for seed in range(3)}
    assert len(made) == 1


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
@example(b"\xd4\x08\x01")  # a tuple of no array
@example(b"\xd4\x09\xd4\x09\x90")  # a tag in a tag
@example(b"\xd5\x09\x91\x90")  # a set with a list in it
@example(b"\xd5\x0b\x91\x01")  # a key without a value
@example(b"\xd6\x0b\x92\x80\x01\x00")  # a dict for a key, and more than it says
@example(b"\xd4\x0b\xdd")
def test_any_bytes_are_a_value_or_a_value_error(raw: bytes) -> None:
    with suppress(ValueError):
        decode(raw)


@pytest.mark.parametrize("raw", [b"-", b"1secret", b"\xc1secret", b"9" * 30, b"\xa9secret"])
def test_r32_an_error_does_not_show_the_bytes(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a stored value \([a-zA-Z0-9 ]+\)$") as caught:
        decode(raw)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "payload", [b"", b"\x01", b"\xa1x", b"\x80", b"\x91", b"\x90\x90", b"\xc1", b"\xd4\x08\x90"]
)
@pytest.mark.parametrize("code", TAGS)
def test_r32_a_tag_around_anything_but_its_array_is_no_value(code: int, payload: bytes) -> None:
    raw = msgspec.msgpack.encode([1, msgspec.msgpack.Ext(code, payload)])
    with pytest.raises(ValueError, match="not a stored value"):
        decode(raw)


@pytest.mark.parametrize("code", [*range(1, 8), *range(12, 16), 99, -1])
@given(st.binary(max_size=30))
@example(b"")
@example(msgspec.msgpack.encode(["2024-01-01", 7, None]))
@example(msgspec.msgpack.encode(["2024-01-01", 0, []]))
@example(msgspec.msgpack.encode(["2024-01-01", 0, [2**62]]))
@example(msgspec.msgpack.encode(["2024-01-01", 0, ["Europe/Berlin", "x"]]))
@example(msgspec.msgpack.encode(["2024-01-01", 0, ["Nowhere", 86_400_000_000]]))
@example(msgspec.msgpack.encode(["2024-01-01", 0, ["Nowhere", None]]))
@example(msgspec.msgpack.encode([2**62, 0, 0]))
@example(b"NaN")
@example(b"sNaN")
def test_r32_any_payload_is_a_value_or_a_value_error(code: int, payload: bytes) -> None:
    with suppress(ValueError):
        hash(decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, payload))))


@pytest.mark.parametrize("code", TAGS)
def test_r28_tags_within_tags_are_no_way_around_the_depth(code: int) -> None:
    bare, full = b"\x90", b"\x90"
    for _ in range(MAX_DEPTH + 1):
        full = msgspec.msgpack.encode([msgspec.msgpack.Ext(code, full)])
    for _ in range(20_000 if code == TAGS[0] else 500):
        bare = msgspec.msgpack.encode(msgspec.msgpack.Ext(code, bare))
    with pytest.raises(ValueError, match="nested deeper"):
        decode(full)
    with pytest.raises(ValueError, match="not a stored value"):
        decode(bare)


def test_a_full_stack_is_not_a_corrupt_record() -> None:
    with pytest.raises(RecursionError):
        dive(encode("key", [((((1,),),),)]))


def dive(raw: bytes) -> Any:
    """Decode at every depth, down to where the stack ends."""
    decode(raw)
    return dive(raw)


def of_list(inner: Any) -> Any:
    return [inner]


def of_tuple(inner: Any) -> Any:
    return (inner,)


def of_set(inner: Any) -> Any:
    return frozenset([inner])


def of_dict(inner: Any) -> Any:
    return {1: inner}


@pytest.mark.parametrize("around", [of_list, of_tuple, of_set, of_dict])
def test_what_can_be_stored_can_be_read_however_deep(around: Callable[[Any], Any]) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = around(value)
    assert decode(encode("key", value)) == value
    with pytest.raises(UnstorableValueError, match="nested deeper"):
        encode("key", around(value))


def test_what_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append((endless,))
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


class Color(enum.Enum):
    RED = 1


class Names(list[str]):
    pass


class Name(str):
    pass


class Safe(Markup):
    pass


class Stamp(datetime):
    pass


class Day(date):
    pass


class Price(Decimal):
    pass


class Number(UUID):
    pass


class Delta(timedelta):
    pass


class Zone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str:
        return "Zone"


class Struct(msgspec.Struct):
    x: int = 1


@dataclass
class Data:
    x: int = 1


class Model:
    def model_dump(self) -> None: ...


class user:  # as some write it
    pass


Point = namedtuple("Point", "x y")
STORABLE = (
    "Store str, int, float, bool, None, bytes, datetime, date, time, timedelta, UUID, Decimal, "
    "Markup, and lists, tuples, dicts, sets and frozensets of these, or register the type with "
    "ctxlocal.sessions.register()."
)
REGISTER = ", or register the type with ctxlocal.sessions.register()."
ZONE = "does not come back as it was. Use zoneinfo.ZoneInfo(key) or datetime.timezone."


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Shade.DARK, f"a Shade would come back as a str. Store its .value{REGISTER}"),
        (Level.LOW, f"a Level would come back as an int. Store its .value{REGISTER}"),
        (Color.RED, f"a Color does not come back as it was. Store its .value{REGISTER}"),
        (Name("x"), f"a Name would come back as a str. Store str() of it{REGISTER}"),
        (Safe("x"), f"a Safe would come back as a Markup. Store Markup() of it{REGISTER}"),
        (Names("x"), f"a Names would come back as a list. Store list() of it{REGISTER}"),
        (Point(1, 2), f"a Point would come back as a tuple. Store tuple() of it{REGISTER}"),
        (
            OrderedDict(a=1),
            f"an OrderedDict would come back as a dict. Store dict() of it{REGISTER}",
        ),
        (
            [defaultdict(list)],
            f"a defaultdict would come back as a dict. Store dict() of it{REGISTER}",
        ),
        ({Level.LOW: 1}, f"a Level would come back as an int. Store its .value{REGISTER}"),
        ({Name("x"): 1}, f"a Name would come back as a str. Store str() of it{REGISTER}"),
        ({Shade.DARK}, f"a Shade would come back as a str. Store its .value{REGISTER}"),
        (
            Stamp(2026, 1, 1),
            f"a Stamp would come back as a datetime. Store a plain one{REGISTER}",
        ),
        (Day(2026, 1, 1), f"a Day would come back as a date. Store a plain one{REGISTER}"),
        (Price(1), f"a Price would come back as a Decimal. Store a plain one{REGISTER}"),
        (Number(int=1), f"a Number would come back as a UUID. Store a plain one{REGISTER}"),
        (Delta(1), f"a Delta would come back as a timedelta. Store a plain one{REGISTER}"),
        (datetime(2026, 1, 1, tzinfo=Zone()), f"a datetime's tzinfo, 'Zone', {ZONE}"),
        (time(1, tzinfo=Zone()), f"a time's tzinfo, 'Zone', {ZONE}"),
        (
            datetime(2026, 1, 1, tzinfo=ZoneInfo.no_cache("Europe/Berlin")),
            f"a datetime's tzinfo, 'ZoneInfo', {ZONE}",
        ),
        (
            datetime(2026, 1, 1, tzinfo=timezone(day / 2, Name("x"))),
            f"a datetime's tzinfo, 'timezone', {ZONE}",
        ),
        ([float("nan")], "a NaN does not equal itself. Use None."),
        ({float("nan"): 1}, "a NaN does not equal itself. Use None."),
        (Decimal("NaN"), "a NaN does not equal itself. Use None."),
        (Decimal("sNaN123"), "a NaN does not equal itself. Use None."),
        (2**63, "an int beyond 64 bits. Store it as a str."),
        ([2**64], "an int beyond 64 bits. Store it as a str."),
        (bytearray(), f"a bytearray does not come back as it was. Store bytes() of it{REGISTER}"),
        (
            MappingProxyType({}),
            f"a mappingproxy does not come back as it was. Store dict() of it{REGISTER}",
        ),
        (
            memoryview(b""),
            f"a memoryview does not come back as it was. Store bytes() of it{REGISTER}",
        ),
        (
            Struct(),
            "a Struct does not come back as it was. Store msgspec.structs.asdict() of "
            f"it{REGISTER}",
        ),
        (
            Data(),
            f"a Data does not come back as it was. Store dataclasses.asdict() of it{REGISTER}",
        ),
        (Model(), f"a Model does not come back as it was. Store its .model_dump(){REGISTER}"),
        (user(), f"a user does not come back as it was. {STORABLE}"),
        (object(), f"an object does not come back as it was. {STORABLE}"),
        ("\ud800", "a str holds a lone surrogate."),
        ([{"\ud800": 1}], "a str holds a lone surrogate."),
        (Markup("\ud800"), "a str holds a lone surrogate."),
    ],
)
def test_a_refusal_says_why_and_what_to_do(value: Any, why: str) -> None:
    with pytest.raises(UnstorableValueError) as caught:
        encode("key", value)
    assert str(caught.value) == f"session['key'] cannot be stored: {why}"


@pytest.mark.parametrize(
    "value",
    [
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
        {(1, "\ud800")},
        {2**64: 1},
        (object(),),
        {object()},
        {object(): 1},
        object(),
        lambda: None,
        bytearray(b"x"),
        ValueError("x"),
    ],
)
def test_what_does_not_come_back_as_it_was_is_refused(value: Any) -> None:
    with pytest.raises(UnstorableValueError, match=r"^session\['key'\] cannot be stored: "):
        encode("key", value)


@pytest.mark.parametrize(("kind", "code"), [(complex, 15), (complex, 128), (complex, -1)])
def test_a_type_is_registered_under_a_free_code(kind: Any, code: int) -> None:
    with pytest.raises(SessionConfigError, match="16 to 127"):
        register(kind, code, bytes, str)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ValueError(), UnstorableValueError("a", "its pack raised a ValueError")),
        (ZeroDivisionError("0"), ZeroDivisionError("0")),
        (KeyboardInterrupt(), KeyboardInterrupt()),
    ],
)
def test_what_the_pack_of_a_registered_type_raises_is_told(
    monkeypatch: pytest.MonkeyPatch, raised: BaseException, expected: BaseException
) -> None:
    def pack(value: complex) -> bytes:
        raise raised

    for table in ("_by_type", "_by_code"):
        monkeypatch.setattr(codec_module, table, getattr(codec_module, table).copy())
    register(complex, 99, pack, lambda raw: 1j)
    with pytest.raises(type(expected), match=f"^{re.escape(str(expected))}$"):
        encode("a", [1j])


@pytest.mark.parametrize(
    "kind", [str, int, datetime, UUID, list, tuple, set, frozenset, dict, timedelta, time]
)
def test_a_type_is_registered_once(kind: Any) -> None:
    with pytest.raises(SessionConfigError, match="registered already"):
        register(kind, 100, bytes, str)


@pytest.mark.parametrize("raw", [None, "text", 1, bytearray(b"1"), memoryview(b"1"), [1]])
def test_what_is_not_even_bytes_is_a_value_error(raw: Any) -> None:
    with pytest.raises(ValueError, match="not a stored value"):
        decode(raw)
