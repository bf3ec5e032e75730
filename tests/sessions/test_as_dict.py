"""A session where a dict is expected: it is one, or an error says in one line what to write."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from unittest import TestCase

import msgspec
import pytest
from starlette.responses import JSONResponse

from ctxlocal import unwrap
from ctxlocal.sessions.fields import Fields
from ctxlocal.sessions.in_store.session import StoredSession
from ctxlocal.sessions.session import NullSession, Session
from ctxlocal.web.app import App
from ctxlocal.web.context import session as current_session

from .conftest import Browser, Make

HELD: dict[str, Any] = {"a": 1, "l": [1, {"b": (2, 3)}], "s": {2, 1}}
WRITE = r"^Object of type Session \(write session\.to_dict\(\)\) is not JSON serializable"


@pytest.fixture
def session(browser: Browser) -> StoredSession:
    with browser.request() as first:
        first.update(HELD)
    return browser.open()


def test_it_is_a_dict_to_all_that_ask(session: StoredSession) -> None:
    assert isinstance(session, dict)
    assert isinstance(session, MutableMapping)
    assert isinstance(session, Session)
    assert isinstance(session, StoredSession)
    assert not isinstance(session, (list, NullSession))
    assert type(session) is not dict
    assert not session.accessed


def test_a_copy_is_a_plain_dict(session: StoredSession) -> None:
    for copied in (session.copy(), copy.copy(session), dict(session), {**session}):
        assert type(copied) is dict
        assert copied == HELD
    copied["a"] = 2
    assert session["a"] == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_deep_copy_shares_nothing(session: StoredSession, copied: Any) -> None:
    again = copied(session)
    assert (type(again), again) == (dict, HELD)
    again["l"].append(2)
    assert not session.modified


def test_it_merges_with_mappings(session: StoredSession) -> None:
    for more in ({"a": 2, "z": 3}, MappingProxyType({"a": 2, "z": 3})):
        assert session | more == HELD | {"a": 2, "z": 3}
        merged = more | session
        assert merged == {"z": 3} | HELD
        assert [*merged] == ["a", "z", "l", "s"]
        assert type(merged) is type(session | more) is dict
    assert session | session == HELD
    for other in (5, [("a", 1)]):
        with pytest.raises(TypeError, match="unsupported operand"):
            session | other  # type: ignore[operator]
        with pytest.raises(TypeError, match="unsupported operand"):
            other | session  # type: ignore[operator]
    assert not session.modified


def test_it_takes_in_what_is_merged_into_it(session: StoredSession) -> None:
    before = session
    session |= {"a": 2}
    session |= [("z", 3)]
    assert session is before
    assert session == HELD | {"a": 2, "z": 3}
    assert session._changes().sets.keys() == {"a", "z"}


def test_so_does_the_proxy_of_it(make: Make) -> None:
    with App("test", make()).test_request_context():
        proxied = current_session
        proxied |= {"a": 1}
        current_session.update(z=2)
        assert proxied is current_session or proxied is unwrap(current_session)
        for merged in (current_session | {"b": 3}, {"b": 3} | current_session):
            assert merged == {"a": 1, "b": 3, "z": 2}
        assert [*reversed(current_session)] == ["z", "a"]
        assert isinstance(current_session, dict)
        match current_session:
            case {"a": first, **rest}:
                assert (first, rest) == (1, {"z": 2})
            case _:
                raise AssertionError


def test_it_equals_a_dict_with_the_same_values(session: StoredSession) -> None:
    assert session == HELD
    assert session == dict(HELD)
    assert HELD == session  # noqa: SIM300
    assert session != {**HELD, "a": 2}
    TestCase().assertDictEqual(session, HELD)  # noqa: PT009


def test_its_order_is_that_of_a_dict(session: StoredSession) -> None:
    session["z"] = 1
    assert [*session] == ["a", "l", "s", "z"]
    assert [*reversed(session)] == ["z", "s", "l", "a"]


def test_whatever_a_dict_has_a_session_has() -> None:
    assert {name for name in dir(dict) if name not in dir(Fields)} == {
        "fromkeys",  # makes one
        "__class_getitem__",
    } - set(dir(Fields))


class Color(enum.Enum):
    RED = "red"


class Item(msgspec.Struct):
    sizes: set[int]
    price: Decimal


@dataclass
class Cart:
    items: list[Item]


class Schema(msgspec.Struct):
    cart: Cart = msgspec.field(default_factory=lambda: Cart([Item({2, 1}, Decimal("1.5"))]))
    color: Color = Color.RED


def test_to_dict_has_containers_that_json_has(session: StoredSession, make: Make) -> None:
    session.add_to_set("seen", "x")
    plain = session.to_dict()
    assert plain == {"a": 1, "l": [1, {"b": [2, 3]}], "s": [1, 2], "seen": ["x"]}
    assert json.loads(json.dumps(plain)) == plain
    plain["l"][1]["b"] = 3
    assert session["l"] == HELD["l"]
    price = Decimal("1.5")
    typed = make(schema=Schema).open("").to_dict()
    assert typed == {"cart": {"items": [{"sizes": [1, 2], "price": price}]}, "color": "red"}


def test_to_dict_leaves_other_values_as_they_are(browser: Browser) -> None:
    values = {"when": datetime(2026, 1, 1, tzinfo=timezone.utc), "day": date(2026, 1, 1)}
    session = browser.open()
    session.update(values, n={1: b"x"})
    assert session.to_dict() == {**values, "n": {1: b"x"}}


@pytest.mark.parametrize("content", [lambda s: s, lambda s: {"session": s}, lambda s: [s]])
@pytest.mark.parametrize("settings", [{}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_json_says_what_to_write(session: StoredSession, content: Any, settings: Any) -> None:
    with pytest.raises(TypeError, match=WRITE):
        json.dumps(content(session), **settings)
    assert not session.accessed
    with App("test").test_request_context(), pytest.raises(TypeError, match=WRITE):
        json.dumps(content(current_session), **settings)


def test_a_response_of_starlette_says_so_too(session: StoredSession) -> None:
    with pytest.raises(TypeError, match=WRITE):
        JSONResponse({"session": session})
    body = JSONResponse({"session": session.to_dict()}).body
    assert json.loads(bytes(body)) == {"session": {"a": 1, "l": [1, {"b": [2, 3]}], "s": [1, 2]}}
