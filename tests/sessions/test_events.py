"""What is sent with each event: the sessions that it is of, the session, and a reason if any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ctxlocal.sessions import EncryptedCookieSessions, SignedCookieSessions
from ctxlocal.sessions import events as event
from ctxlocal.sessions.errors import SessionConflictError
from ctxlocal.sessions.in_cookie.envelope import Envelope
from ctxlocal.sessions.stores.memory import MemoryStore

from .conftest import EVENTS, Browser, Make
from .stores.conftest import Clock

Seen = list[tuple[str, object, object, dict[str, object]]]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """The name, sender, session and reason of each event, in their order."""
    found: Seen = []
    receivers = {}
    for name in EVENTS:

        def receive(sender: object, *, session: object, name: str = name, **more: object) -> None:
            found.append((name, sender, session, more))

        receivers[name] = receive
        getattr(event, name).connect(receive)
    yield found
    for name, receive in receivers.items():
        getattr(event, name).disconnect(receive)


def taken(seen: Seen) -> Seen:
    found = seen.copy()
    seen.clear()
    return found


def test_of_a_stored_session(make: Make, seen: Seen, clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    sessions = make(store, idle_timeout=100, absolute_timeout=1000)
    browser = Browser(sessions)
    with browser.request() as session:
        session["a"] = 1
    assert taken(seen) == [("created", sessions, session, {})]
    with browser.request() as session:
        assert session["a"] == 1
        session.regenerate()
    assert taken(seen) == [
        ("loaded", sessions, session, {}),
        ("regenerated", sessions, session, {}),
    ]
    session = browser.open()
    session["b"] = 2
    (former,) = store._places
    store.delete(former)
    browser.save(session)
    assert taken(seen) == [
        ("loaded", sessions, session, {}),
        ("conflict", sessions, session, {"reason": "revoked"}),
    ]
    dict(browser.open())
    assert taken(seen) == [("rejected", sessions, None, {"reason": "unknown id"})]


def test_of_a_session_that_ends(make: Make, seen: Seen) -> None:
    sessions = make()
    browser = Browser(sessions)
    with browser.request() as session:
        session["a"] = 1
    seen.clear()
    with browser.request() as session:
        session.destroy()
    assert taken(seen)[-1] == ("destroyed", sessions, session, {})
    with browser.request() as session:
        session.user = "ann"
    seen.clear()
    with browser.request() as session:
        session.user = "bob"
    assert ("destroyed", sessions, session, {}) in taken(seen)
    assert sessions.revoke_all("bob") == 1
    assert taken(seen) == [("destroyed", sessions, None, {})]


def test_of_a_key_that_two_requests_changed(make: Make, seen: Seen) -> None:
    sessions = make(same_key="raise")
    browser = Browser(sessions)
    with browser.request() as session:
        session["a"] = 1
    first, second = browser.open(), browser.open()
    first["a"], second["a"] = 2, 3
    browser.save(first)
    seen.clear()
    with pytest.raises(SessionConflictError):
        browser.save(second)
    assert taken(seen) == [("conflict", sessions, second, {"reason": "same key"})]


def test_of_a_session_that_is_past_its_absolute_limit(make: Make, seen: Seen, clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store, idle_timeout=1000, absolute_timeout=1000))
    with browser.request() as session:
        session["a"] = 1
    seen.clear()
    browser.sessions = make(store, idle_timeout=50, absolute_timeout=50)
    clock.advance(60)
    assert browser.values() == {}
    assert taken(seen) == [("expired", browser.sessions, None, {})]


@pytest.mark.parametrize("kind", [SignedCookieSessions, EncryptedCookieSessions])
def test_of_a_session_in_a_cookie(kind: Any, seen: Seen, clock: Clock) -> None:
    sessions = kind(b"k" * 32, clock=clock, idle_timeout=100)
    session = sessions.open("")
    session["a"] = 1
    (cookie,) = sessions.save(session).cookies
    assert taken(seen) == [("created", sessions, session, {})]
    cookie = cookie.partition(";")[0]
    session = sessions.open(cookie)
    assert session["a"] == 1
    assert taken(seen) == [("loaded", sessions, session, {})]
    session.regenerate()
    sessions.save(session)
    assert taken(seen) == [("regenerated", sessions, session, {})]
    session = sessions.open(cookie)
    session.destroy()
    sessions.save(session)
    assert taken(seen)[-1] == ("destroyed", sessions, session, {})
    dict(sessions.open(cookie[:-2]))
    (rejected,) = taken(seen)
    assert rejected[:3] == ("rejected", sessions, None)
    assert set(rejected[3]) == {"reason"}
    clock.advance(101)
    dict(sessions.open(cookie))
    assert taken(seen) == [("expired", sessions, None, {})]


@pytest.mark.parametrize("kind", [SignedCookieSessions, EncryptedCookieSessions])
def test_whoever_is_told_of_a_load_may_read(kind: Any) -> None:
    sessions, found = kind(b"k" * 32), []

    def receive(sender: object, *, session: Any) -> None:
        found.append(dict(session))

    session = sessions.open("")
    session["a"] = 1
    (cookie,) = sessions.save(session).cookies
    with event.loaded.connected_to(receive, sessions):
        assert sessions.open(cookie.partition(";")[0])["a"] == 1
    assert found == [{"a": 1}]


def test_each_event_says_what_it_is() -> None:
    assert {name: (getattr(event, name).name, getattr(event, name).__doc__) for name in EVENTS} == {
        "created": ("session-created", "A record was created; its id is new."),
        "loaded": ("session-loaded", "A record was loaded."),
        "regenerated": ("session-regenerated", "A record got a new id."),
        "destroyed": ("session-destroyed", "A record was removed on purpose."),
        "expired": ("session-expired", "A record was past its idle or absolute limit."),
        "rejected": ("session-rejected", "A cookie or a record was not accepted."),
        "conflict": (
            "session-conflict",
            "Changes were not stored: another request's won.",
        ),
    }


def test_of_what_cannot_be_read(make: Make, seen: Seen, clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    stored = make(store)
    browser = Browser(stored)
    with browser.request() as session:
        session["a"] = 1
    record = store.load(browser.key)
    assert record is not None
    store.delete(browser.key)
    store.create(browser.key, {**record.values, "a": b"\xc1"}, 60.0)
    seen.clear()
    assert browser.open().get("a") is None
    assert taken(seen)[-1] == ("rejected", stored, None, {"reason": "corrupt record"})
    sessions = SignedCookieSessions(b"k" * 32, clock=clock)
    fields = {"a": b"\xc1", "\0born": repr(clock.now).encode()}
    token = sessions._seal.seal(Envelope(clock.now, clock.now + 60, fields))
    assert sessions.open(f"{sessions.cookie.name}={token}").get("a") is None
    assert taken(seen)[-1] == ("rejected", sessions, None, {"reason": "corrupt record"})
