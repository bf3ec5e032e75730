"""What another program, or another version, left in a store."""

from __future__ import annotations

import copy
import pickle
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from ctxlocal.sessions.codec import decode, encode, encode_again
from ctxlocal.sessions.depth import TAGS
from ctxlocal.sessions.jsonable import jsonable
from ctxlocal.sessions.scalars import UnknownZone

pack = msgspec.msgpack.encode
TUPLE, SET, FROZENSET, DICT = TAGS


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def tagged(code: int, items: list[Any]) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, pack(items))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**18, -(10**18), 0])
def test_an_integer_of_64_bits_is_one(number: int) -> None:
    assert decode(b"%d" % number) == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**20, -(10**20), 10**30])
def test_a_larger_one_is_none(number: int) -> None:
    message = exactly("not a stored value (an integer beyond 64 bits)")
    with pytest.raises(ValueError, match=message):
        decode(b"%d" % number)


@pytest.mark.parametrize("raw", [b"-", b"1a", b"--1", b"1.5"])
def test_what_begins_as_an_integer_and_is_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match=exactly("not a stored value (no integer)")) as caught:
        decode(raw)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "foreign",
    [{1: "a"}, [{1: "a"}], {"a": {1: "b"}}, {"a": [0, [{None: 1}]]}, [[], {"a": {2: 3}}]],
)
def test_a_dict_with_other_keys_that_has_no_tag_is_foreign(foreign: Any) -> None:
    raw = pack(foreign)
    with pytest.raises(
        ValueError, match=exactly("not a stored value (a dict whose keys are not str)")
    ):
        encode_again("key", decode(raw), raw)


@pytest.mark.parametrize(
    "other",
    [
        tagged(SET, [3, 1, 2]),  # not in the order that we write
        [tagged(FROZENSET, [3, 1, 2])],
        {"a": tagged(SET, [2, 1]), "b": tagged(TUPLE, [1, 2])},
        tagged(TUPLE, [1, tagged(SET, [2, 1])]),
        tagged(DICT, [1, tagged(SET, [2, 1])]),
    ],
)
def test_what_another_order_has_is_written_in_ours(other: Any) -> None:
    raw = pack(other)
    value = decode(raw)
    again = encode_again("key", value, raw)
    assert again == encode("key", value) != raw


def test_a_foreign_dict_inside_a_tag_is_foreign() -> None:
    raw = pack(tagged(TUPLE, [{1: "a"}]))
    with pytest.raises(ValueError, match="whose keys are not str"):
        encode_again("key", decode(raw), raw)


def test_a_zone_that_is_not_known_here_keeps_its_offset() -> None:
    zone = UnknownZone("Mars/Olympus", timedelta(hours=3))
    when = datetime(2024, 7, 1, tzinfo=zone)
    assert (when.utcoffset(), when.dst(), when.tzname()) == (
        timedelta(hours=3),
        timedelta(0),
        "Mars/Olympus",
    )
    assert repr(zone) == "UnknownZone('Mars/Olympus', datetime.timedelta(seconds=10800))"
    for again in (copy.deepcopy(zone), pickle.loads(pickle.dumps(zone))):
        assert (again.key, again.utcoffset(None)) == (zone.key, zone.utcoffset(None))


def test_a_set_that_cannot_be_stored_is_a_list_in_some_order() -> None:
    members = {object(), object()}
    assert set(jsonable(members)) == members
    assert jsonable({3, 1, 2}) == [1, 2, 3]
