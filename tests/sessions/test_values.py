"""What sessions keep comes back as it was, of every kind of session, however it was changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ctxlocal.sessions import EncryptedCookieSessions, SignedCookieSessions
from ctxlocal.sessions.codec import encode
from ctxlocal.sessions.errors import UnstorableValueError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Change

from .conftest import Browser, Make
from .stores.conftest import Clock
from .test_codec import is_same

WHEN = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
KINDS: dict[str, Callable[[], Any]] = {
    "signed": lambda: SignedCookieSessions(b"k" * 32),
    "encrypted": lambda: EncryptedCookieSessions(b"k" * 32),
}
VALUES: dict[str, Any] = {
    "tuple": (1, ["a"], {"b": (2,)}),
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset({frozenset(), "a"}),
    "dict": {1: "int", (2, "b"): {3}, "c": None},
    "timedelta": timedelta(days=-1, microseconds=5),
    "zoned": [WHEN],
    "flashes": [("message", "saved"), ("error", "lost")],
}


class CookieBrowser:
    """A browser of a session that lives in its cookies."""

    def __init__(self, sessions: Any) -> None:
        self.sessions = sessions
        self.jar: dict[str, str] = {}

    def open(self) -> Any:
        return self.sessions.open("; ".join(f"{k}={v}" for k, v in self.jar.items()))

    def save(self, session: Any) -> None:
        for cookie in self.sessions.save(session).cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.jar[name] = value


@pytest.fixture(params=["stored", *KINDS])
def any_browser(request: pytest.FixtureRequest, make: Make) -> Any:
    kind = KINDS.get(request.param)
    return Browser(make()) if kind is None else CookieBrowser(kind())


def test_every_value_comes_back_as_it_was(any_browser: Any) -> None:
    session = any_browser.open()
    session.update(VALUES)
    any_browser.save(session)
    session = any_browser.open()
    for key, value in VALUES.items():
        assert is_same(session[key], value), key
    assert not session.modified


CHANGES: dict[str, Callable[[Any], object]] = {
    "tuple": lambda value: value[1].append("b"),
    "set": lambda value: value.add("b"),
    "dict": lambda value: value[2, "b"].add(4),
    "zoned": lambda value: value.__setitem__(0, value[0].replace(fold=0)),
    "flashes": lambda value: value.pop(),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_change_inside_is_found_and_nothing_else_is_written(browser: Browser, key: str) -> None:
    with browser.request() as session:
        session.update(VALUES)
    with browser.request() as session:
        assert dict(session) == VALUES
        CHANGES[key](session[key])
        assert session._changes().sets.keys() == {key}
        changed = encode("", session[key])
    assert encode("", browser.open()[key]) == changed
    assert changed != encode("", browser.open()["timedelta"])


def test_a_set_that_was_changed_and_changed_back_is_not_written(browser: Browser) -> None:
    with browser.request() as session:
        session["set"] = {str(n) for n in range(100)}
    session = browser.open()
    session["set"].update(map(str, range(100, 2000)))
    assert session.modified
    session["set"].difference_update(map(str, range(100, 2000)))
    assert not session.modified


def test_what_cannot_be_kept_is_refused_where_it_is_assigned_or_saved(browser: Browser) -> None:
    session = browser.open()
    with pytest.raises(UnstorableValueError, match=r"session\['set'\] cannot be stored: an object"):
        session["set"] = {object()}
    session["list"] = [(1,)]
    session["list"].append(({object(): 1},))
    with pytest.raises(UnstorableValueError, match=r"session\['list'\] cannot be stored"):
        browser.save(session)


def test_messages_may_be_tuples(any_browser: Any) -> None:
    session = any_browser.open()
    session.flash(("saved", {"n": (1, 2)}), "info")
    session.flash("plain")
    any_browser.save(session)
    session = any_browser.open()
    assert session.get_flashed() == [("info", ("saved", {"n": (1, 2)})), ("message", "plain")]


def test_members_of_a_set_may_be_any_that_can_be_hashed(browser: Browser) -> None:
    members = {(1, "a"), frozenset({2}), None, WHEN, timedelta(1)}
    with browser.request() as session:
        for member in members:
            session.add_to_set("seen", member)
    with browser.request() as session:
        session.add_to_set("seen", (1, "a"))
        assert not session.modified
        with pytest.raises(TypeError):
            session.add_to_set("seen", (1, []))
    assert is_same(browser.open()["seen"], frozenset(members))


ODD = [
    b"\xd4\x08\x01",  # a tuple of no array
    b"\xd5\x09\x91\x90",  # a set with a list in it
    b"\xd5\x0b\x91\x01",  # a dict's key without a value
    b"\xd6\x0b\x92\x80\x01\x00",  # a dict for a key
    b"\x91\xd4\x0c\x00",  # a code that is nobody's
    b"\x81\xa1a\x81\x01\x02",  # keys that are no str, without a tag
    b"\x91\xd5\x08\x91\x81",
    b"\x91\xcb\x7f\xf8\0\0\0\0\0\0",  # a NaN, which we would not store
]


@pytest.mark.parametrize("raw", ODD)
def test_r32_odd_tags_make_a_corrupt_record(make: Make, clock: Clock, raw: bytes) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["good"] = 1
    store.commit(browser.key, 0, Change("corrupting", {"bad": raw}), 1e6)
    session = browser.open()
    assert session.get("bad") is None
    assert dict(session) == {}
    assert browser.sessions.corrupt_records == 1
