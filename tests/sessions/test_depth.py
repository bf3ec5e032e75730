"""The depth of any msgpack is told, whatever stands beside its containers."""

from __future__ import annotations

import pytest

from ctxlocal.sessions.depth import TAGS, is_deep

LEVELS = 5
OTHER = 0x63  # an Ext's code that is none of ours
HOLLOW = 0x91  # would be a container, if it were not inside something else


def scalar(*head: int, size: int) -> bytes:
    return bytes(head) + bytes([HOLLOW]) * size


#: One of each format of https://github.com/msgpack/msgpack/blob/master/spec.md, by its name.
SCALARS = {
    "positive fixint": scalar(0x7F, size=0),
    "negative fixint": scalar(0xE0, size=0),
    "empty fixstr": scalar(0xA0, size=0),
    "fixstr": scalar(0xBF, size=31),
    "nil": scalar(0xC0, size=0),
    "false": scalar(0xC2, size=0),
    "true": scalar(0xC3, size=0),
    "bin 8": scalar(0xC4, 7, size=7),
    "bin 16": scalar(0xC5, 1, 2, size=0x102),
    "bin 32": scalar(0xC6, 0, 0, 1, 2, size=0x102),
    "ext 8": scalar(0xC7, 7, OTHER, size=7),
    "ext 16": scalar(0xC8, 1, 2, OTHER, size=0x102),
    "ext 32": scalar(0xC9, 0, 0, 1, 2, OTHER, size=0x102),
    "float 32": scalar(0xCA, size=4),
    "float 64": scalar(0xCB, size=8),
    "uint 8": scalar(0xCC, size=1),
    "uint 16": scalar(0xCD, size=2),
    "uint 32": scalar(0xCE, size=4),
    "uint 64": scalar(0xCF, size=8),
    "int 8": scalar(0xD0, size=1),
    "int 16": scalar(0xD1, size=2),
    "int 32": scalar(0xD2, size=4),
    "int 64": scalar(0xD3, size=8),
    "fixext 1": scalar(0xD4, OTHER, size=1),
    "fixext 2": scalar(0xD5, OTHER, size=2),
    "fixext 4": scalar(0xD6, OTHER, size=4),
    "fixext 8": scalar(0xD7, OTHER, size=8),
    "fixext 16": scalar(0xD8, OTHER, size=16),
    "str 8": scalar(0xD9, 7, size=7),
    "str 16": scalar(0xDA, 1, 2, size=0x102),
    "str 32": scalar(0xDB, 0, 0, 1, 2, size=0x102),
}
#: Heads of containers, with all but the last of what is in them.
CONTAINERS = {
    "fixarray": b"\x92\xc0",
    "full fixarray": b"\x9f" + b"\xc0" * 14,
    "array 16": b"\xdc\x01\x02" + b"\xc0" * 0x101,
    "array 32": b"\xdd\0\0\1\2" + b"\xc0" * 0x101,
    "fixmap": b"\x81\xa1a",
    "full fixmap": b"\x8f" + b"\xc0" * 29,
    "map 16": b"\xde\x01\x02" + b"\xc0" * 0x203,
    "map 32": b"\xdf\0\0\1\2" + b"\xc0" * 0x203,
}
#: Heads of Exts, with the number of bytes that they hold; with more than an empty array's.
TAGGED = {
    "fixext 2": (b"\xd5", 2),
    "fixext 4": (b"\xd6", 4),
    "fixext 8": (b"\xd7", 8),
    "fixext 16": (b"\xd8", 16),
    "ext 8": (b"\xc7\x07", 7),
    "ext 16": (b"\xc8\x00\x07", 7),
    "ext 32": (b"\xc9\x00\x00\x00\x07", 7),
}


def depth_is(raw: bytes, depth: int) -> bool:
    return is_deep(raw, depth - 1) and not is_deep(raw, depth)


@pytest.mark.parametrize("name", SCALARS)
def test_a_scalar_is_as_long_as_its_format_says(name: str) -> None:
    inner = b"\xc0"
    for _ in range(LEVELS):
        inner = b"\x93" + SCALARS[name] + inner + SCALARS[name]
    assert depth_is(inner, LEVELS)
    assert depth_is(b"\x92" + inner + b"\x91" * (LEVELS + 1) + b"\xc0", LEVELS + 2)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_as_many_items_as_it_says(name: str) -> None:
    inner = CONTAINERS[name] * LEVELS + b"\xc0"
    assert depth_is(inner, LEVELS)
    assert depth_is(b"\x92" + inner + b"\x91" * (LEVELS + 1) + b"\xc0", LEVELS + 2)


@pytest.mark.parametrize("code", TAGS)
@pytest.mark.parametrize("name", TAGGED)
def test_a_tag_and_its_array_are_one_container(name: str, code: int) -> None:
    head, size = TAGGED[name]
    tagged = head + bytes([code, 0x8F + size]) + b"\xc0" * (size - 1)
    assert depth_is(b"\x92" + tagged + b"\xc0", 2)
    assert depth_is(b"\x92\xc0" * LEVELS + tagged, LEVELS + 1)


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x90", b"\xa1x"])
def test_what_holds_nothing_has_no_depth(raw: bytes) -> None:
    assert not is_deep(raw, 0)


@pytest.mark.parametrize("name", [*SCALARS, *CONTAINERS, *TAGGED])
def test_what_is_cut_short_is_no_error(name: str) -> None:
    head, size = TAGGED.get(name, (b"", 0))
    whole = SCALARS.get(name) or CONTAINERS.get(name) or head + bytes([TAGS[0]]) + bytes(size)
    for length in range(min(len(whole), 20)):
        assert not is_deep(whole[:length], 1)
