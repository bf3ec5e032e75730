from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctxlocal.sessions.cookie import MAX_AGE, MAX_SIZE, Cookie, clear_site_data, scan
from ctxlocal.sessions.errors import CookieTooLargeError, SessionConfigError

NAME = "__Host-session"


def whole(text: str) -> str:
    return f"^{re.escape(text)}$"


def test_r13_the_default_is_the_strictest() -> None:
    assert Cookie().set("v", None) == "__Host-session=v; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_r13_every_attribute_is_written() -> None:
    cookie = Cookie(
        "s",
        http_only=False,
        same_site="None",
        path="/app",
        domain="example.org",
        partitioned=True,
    )
    assert cookie.set("v", 60) == (
        "s=v; Max-Age=60; Path=/app; Domain=example.org; Secure; SameSite=None; Partitioned"
    )


def test_r13_plain_http_is_an_explicit_switch() -> None:
    development = Cookie.for_development()
    assert development.set("v", None) == "ctxlocal-session=v; Path=/; HttpOnly; SameSite=Lax"
    assert Cookie.for_development("other").name == "other"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": NAME, "secure": False}, "secure: the prefix of '__Host-session' needs it"),
        ({"name": NAME, "path": "/a"}, "path: the prefix of '__Host-session' needs '/'"),
        ({"name": NAME, "domain": "a.b"}, "domain: the prefix of '__Host-session' forbids one"),
        ({"name": "__hOST-s", "domain": "a.b"}, "domain: the prefix of '__hOST-s' forbids one"),
        ({"name": "__Secure-s", "secure": False}, "secure: the prefix of '__Secure-s' needs it"),
        ({"name": "__Http-s", "secure": False}, "secure: the prefix of '__Http-s' needs it"),
        ({"name": "__Http-s", "http_only": False}, "http_only: the prefix of '__Http-s' needs it"),
        (
            {"name": "__Host-Http-s", "http_only": False},
            "http_only: the prefix of '__Host-Http-s' needs it",
        ),
        ({"name": "__Host-Http-s", "path": "/a"}, "path: the prefix of '__Host-Http-s' needs '/'"),
        (
            {"name": "s", "same_site": "None", "secure": False},
            "secure: same_site='None' needs it",
        ),
        ({"name": "s", "partitioned": True, "secure": False}, "secure: partitioned=True needs it"),
        (
            {"name": "s", "same_site": "lax"},
            "same_site: 'lax' is none of 'Lax', 'Strict', 'None'",
        ),
        (
            {"name": "s", "same_site": None},
            "same_site: None is none of 'Lax', 'Strict', 'None'",
        ),
    ],
)
def test_r13_what_browsers_would_drop_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SessionConfigError, match=whole(message)):
        Cookie(**settings)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a,b", 'a"', "a\n", "ä", "a\x00", "(a)"])
def test_r16_the_name_is_a_token(name: str) -> None:
    with pytest.raises(SessionConfigError, match=whole(f"name: {name!r} is no token of RFC 9110")):
        Cookie(name)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", 1),
        ("path", "app"),
        ("path", ""),
        ("path", "/a;b"),
        ("path", "/a\r\nX: y"),
        ("path", "/ä"),
        ("path", None),
        ("domain", ""),
        ("domain", "a b"),
        ("domain", "a;b"),
        ("domain", "a\n"),
        ("domain", "a..b"),
        ("domain", 1),
    ],
)
def test_r16_no_setting_can_hold_a_control_or_end_the_attribute(setting: str, value: Any) -> None:
    with pytest.raises(SessionConfigError) as caught:
        Cookie(**{"name": "s", setting: value})
    assert caught.value.setting == setting


@pytest.mark.parametrize("code", [*range(0x21), *map(ord, '",;\\'), 0x7F, 0xE4, 0x2028])
def test_r16_no_value_can_hold_a_control_or_end_the_cookie(code: int) -> None:
    message = "The value of the cookie '__Host-session' has illegal characters."
    with pytest.raises(ValueError, match=whole(message)):
        Cookie().set(f"a{chr(code)}b", None)


def test_a_cookie_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cookie().secure = False  # type: ignore[misc]


@pytest.mark.parametrize(
    "cookie",
    [
        Cookie(),
        Cookie.for_development(),
        Cookie("s", domain="a.b", path="/p", same_site="Strict", http_only=False),
        Cookie("s", same_site="None", partitioned=True),
    ],
)
def test_r14_the_deletion_repeats_every_attribute(cookie: Cookie) -> None:
    assert cookie.delete() == cookie.set("v", 1).replace("=v; Max-Age=1", "=; Max-Age=0")


def test_r15_name_and_value_fill_4096_bytes_and_no_more() -> None:
    room = MAX_SIZE - len(NAME)
    Cookie().set("v" * room, None)
    message = (
        "The cookie '__Host-session' would be 4097 bytes long; browsers drop one over 4096. "
        "Keep less in the session, or use StoredSessions, which sends only an id."
    )
    with pytest.raises(CookieTooLargeError, match=whole(message)) as caught:
        Cookie().set("v" * (room + 1), None)
    assert (caught.value.name, caught.value.size, caught.value.limit) == (NAME, 4097, 4096)


@pytest.mark.parametrize("max_age", [0, -1, MAX_AGE + 1])
def test_r15_max_age_is_at_most_400_days(max_age: int) -> None:
    assert f"; Max-Age={400 * 86400};" in Cookie().set("v", MAX_AGE)
    message = f"max_age is {max_age}; it is 1 to 34560000 seconds."
    with pytest.raises(ValueError, match=whole(message)):
        Cookie().set("v", max_age)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        ("s=1", ["1"]),
        ("a=0; s=1; b=2", ["1"]),
        ("a=0;s=1;b=2", ["1"]),
        (";; s=1 ;;", ["1"]),
        ("\ts= 1 \t", ["1"]),
        ("s=", [""]),
        ("s=a=b==", ["a=b=="]),
        ("s", []),
        ("s; s=1", ["1"]),
        ("xs=1; sx=2; S=3", []),
        ("xs=s=1", []),
        ("a=s=1; s=2", ["2"]),
        ("s=1; a=s=2", ["1"]),
        ("a=1; ", []),
        ("a=b s=1", []),
        ("=s=1", []),  # CVE-2023-23934: a cookie without a name is not the one its value spells
        ("s =1", []),
        ("s=1; s=2; s=3", ["1", "2", "3"]),
        ('s="1"', ['"1"']),
        ('s="1\\";2"', ['"1\\"']),
        ("s=1\x00\xa0", ["1\x00\xa0"]),
        ("\xa0s=1", []),
        ("a=1, s=2", []),
    ],
)
def test_r17_every_value_of_the_name_is_found(header: str, values: list[str]) -> None:
    assert scan(header, "s") == values


def test_r18_a_quote_does_not_swallow_the_next_cookie() -> None:
    assert scan('a="x; session=S; y="', "session") == ["S"]
    assert scan('session="x; a=b; session=S"', "session") == ['"x', 'S"']


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["s", "=", ";", " ", "\t", '"', ",", "x", "\\", "ss", "\n"])).map(
            "".join
        ),
    ),
    st.sampled_from(["s", "ss", NAME]),
)
@example("s=" * 5000, "s")
@example(";" * 5000 + "s=1", "s")
def test_r18_any_text_is_scanned_as_browsers_wrote_it(header: str, name: str) -> None:
    expected = [
        value
        for key, equals, value in (part.partition("=") for part in header.split(";"))
        if equals and key.lstrip(" \t") == name
    ]
    assert scan(header, name) == [value.strip(" \t") for value in expected]


def test_r22_the_field_that_makes_the_browser_forget() -> None:
    assert clear_site_data() == ("Clear-Site-Data", '"cache", "cookies", "storage"')
    assert clear_site_data("*") == ("Clear-Site-Data", '"*"')
    with pytest.raises(ValueError, match=whole("Clear-Site-Data has no directive 'cookie'.")):
        clear_site_data("cookie")
