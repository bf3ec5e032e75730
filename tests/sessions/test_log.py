"""What the session layer logs, whole: for the operator, and without any key or value."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ctxlocal.sessions import SignedCookieSessions, scalars
from ctxlocal.sessions.codec import decode, encode
from ctxlocal.sessions.errors import (
    SessionClosedError,
    SessionEndedError,
    StoreUnavailableError,
)
from ctxlocal.sessions.in_cookie.envelope import Envelope
from ctxlocal.sessions.in_store.token import log_name
from ctxlocal.sessions.scalars import _warn_of_unknown_zone
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore

from .conftest import Browser, Make
from .stores.conftest import Clock

Lines = list[tuple[str, str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], Lines]:
    """Return the level and the text of each line of our log since the last time."""
    caplog.set_level(logging.INFO, "ctxlocal.sessions")

    def lines() -> Lines:
        found = [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if record.name == "ctxlocal.sessions"
        ]
        caplog.clear()
        return found

    return lines


def down(*args: Any, **kwargs: Any) -> None:
    raise StoreUnavailableError("memory", "load")


def late_request(browser: Browser) -> tuple[str, Session]:
    """Begin a session, and a request in it; return its name in the log, and the request's."""
    with browser.request() as session:
        session["a"] = 1
    return log_name(browser.key), browser.open()


def test_of_a_session_that_was_ended_meanwhile(make: Make, lines: Callable[[], Lines]) -> None:
    store = MemoryStore()
    browser = Browser(make(store))
    name, late = late_request(browser)
    late["a"] = 2
    store.delete(browser.key)
    browser.save(late)
    assert lines() == [("INFO", f"session {name} was revoked: changes dropped")]


def test_of_a_session_that_was_cleared_meanwhile(make: Make, lines: Callable[[], Lines]) -> None:
    browser = Browser(make())
    name, late = late_request(browser)
    late["a"] = 2
    with browser.request() as session:
        session.clear()
        session["b"] = 1
    browser.save(late)
    assert lines() == [("INFO", f"session {name} was cleared: changes dropped")]


def test_of_a_login_whose_record_is_gone(make: Make, lines: Callable[[], Lines]) -> None:
    store = MemoryStore()
    browser = Browser(make(store))
    name, late = late_request(browser)
    late.user = "ann"
    store.delete(browser.key)
    browser.save(late)
    assert lines() == [("INFO", f"session {name} was revoked: the login begins another")]


def test_of_a_store_that_is_down(
    make: Make, clock: Clock, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store, when_down="anonymous"))
    with browser.request() as session:
        session["a"] = 1
    clock.advance(100)
    error = str(StoreUnavailableError("memory", "load"))
    with monkeypatch.context() as patched, browser.request() as session:
        patched.setattr(MemoryStore, "touch", down)
        assert session["a"] == 1
        browser.save(session)
    assert lines() == [("WARNING", f"session store down, a session was not renewed: {error}")]
    monkeypatch.setattr(MemoryStore, "load", down)
    assert browser.values() == {}
    assert lines() == [("WARNING", f"session store down, going on without a session: {error}")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"a": b"\xc1"}, "DecodeError"),
        ({"a": msgspec.msgpack.encode({1: "a"})}, "a dict whose keys are not str"),
        ({"a": msgspec.msgpack.encode([float("nan")])}, "none that we would store"),
        ({f"\0ma\0{32 * '0'}": msgspec.msgpack.encode([1])}, "an unhashable member"),
        ({f"\0ma\0{32 * '0'}": b"\xc1"}, "DecodeError"),
    ],
)
def test_of_a_record_that_cannot_be_read(
    fields: dict[str, bytes], problem: str, make: Make, lines: Callable[[], Lines]
) -> None:
    store = MemoryStore()
    browser = Browser(make(store))
    with browser.request() as session:
        session["b"] = 1
    record = store.load(browser.key)
    assert record is not None
    store.delete(browser.key)
    store.create(browser.key, {**record.values, **fields}, 60.0)
    session = browser.open()
    assert session.user is None
    assert session.get("a") is None
    name = log_name(browser.key)
    problem = f"not a stored value ({problem})"
    assert lines() == [("ERROR", f"session {name} has a corrupt record, ignored: {problem}")]


def test_of_a_user_who_cannot_be_read(make: Make, lines: Callable[[], Lines]) -> None:
    store = MemoryStore()
    browser = Browser(make(store))
    with browser.request() as session:
        session.user = "ann"
    record = store.load(browser.key)
    assert record is not None
    store.delete(browser.key)
    store.create(browser.key, {**record.values, "\0user": b"\xff"}, 60.0)
    assert browser.open().user is None
    problem = "the user's id is no UTF-8"
    name = log_name(browser.key)
    assert lines() == [("ERROR", f"session {name} has a corrupt record, ignored: {problem}")]


def test_of_a_zone_that_is_not_known_here(
    lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = encode("", datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")))

    def unknown(key: str) -> None:
        raise KeyError(key)

    monkeypatch.setattr(scalars, "ZoneInfo", unknown)
    _warn_of_unknown_zone.cache_clear()
    for _ in range(2):
        assert str(decode(raw)) == "2024-01-01 00:00:00+01:00"
    assert lines() == [
        (
            "WARNING",
            "a stored datetime is of a time zone that this machine does not know: it keeps its "
            "offset here, and its zone where that is known. Install the package tzdata.",
        )
    ]


def test_of_a_cookie_whose_value_cannot_be_read(clock: Clock, lines: Callable[[], Lines]) -> None:
    sessions = SignedCookieSessions(b"k" * 32, clock=clock)
    fields = {"a": b"\xc1", "\0born": repr(clock.now).encode()}
    token = sessions._seal.seal(Envelope(clock.now, clock.now + 60, fields))
    assert sessions.open(f"{sessions.cookie.name}={token}").get("a") is None
    problem = "not a stored value (DecodeError)"
    assert lines() == [("ERROR", f"a session cookie has a corrupt value, ignored: {problem}")]


# What an operation is called


def assign(name: str, value: Any) -> Callable[[Session], None]:
    return lambda session: setattr(session, name, value)


OPERATIONS: dict[str, Callable[[Session], object]] = {
    "session[...] = ...": lambda session: session.__setitem__("a", 1),
    "del session[...]": lambda session: session.__delitem__("a"),
    "session.clear()": lambda session: session.clear(),
    "session.incr()": lambda session: session.incr("n"),
    "session.pop_once()": lambda session: session.pop_once("a"),
    "session.add_to_set()": lambda session: session.add_to_set("s", 1),
    "session.flash()": lambda session: session.flash("saved"),
    "session.get_flashed()": lambda session: session.get_flashed(),
    "session.user = ...": assign("user", "ann"),
    "session.authenticated_at = ...": assign("authenticated_at", 1.0),
    "session.permanent = ...": assign("permanent", True),
    "session.regenerate()": lambda session: session.regenerate(),
    "session.destroy()": lambda session: session.destroy(),
    "session.refresh()": lambda session: session.refresh(),
    "session.save()": lambda session: session.save(),
}


class Typed(msgspec.Struct):
    a: int = 0
    n: int = 0


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("schema", [None, Typed])
def test_a_closed_session_names_the_operation(operation: str, schema: Any, make: Make) -> None:
    if schema is not None and operation in ("session.add_to_set()", "session.flash()"):
        return
    browser = Browser(make(schema=schema))
    with browser.request() as session:
        session["a"] = 1
        if schema is None:
            session.flash("saved")
    session = browser.open()
    dict(session)
    browser.save(session)
    if schema is not None and operation == "session.get_flashed()":
        return
    with pytest.raises(SessionClosedError) as caught:
        OPERATIONS[operation](session)
    assert caught.value.operation == operation


def test_what_must_be_stored_says_why_it_was_not(make: Make) -> None:
    store = MemoryStore()
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["a"] = 2
    store.delete(browser.key)
    with pytest.raises(SessionEndedError) as caught:
        late.save()
    assert caught.value.reason == "revoked"
