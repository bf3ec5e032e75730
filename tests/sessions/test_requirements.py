"""One test or more for each requirement on stored sessions; its number is in the name."""

from __future__ import annotations

import base64
import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from hashlib import sha256
from typing import Any

import pytest

from ctxlocal import is_bound, unwrap
from ctxlocal.sessions.errors import (
    FreshLoginRequiredError,
    SessionClosedError,
    SessionEndedError,
    SessionLimitError,
    StoreUnavailableError,
)
from ctxlocal.sessions.in_store.session import AsyncStoredSession, StoredSession
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.in_store.token import new_id
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import USER, Answer, Change, Record
from ctxlocal.web.app import App
from ctxlocal.web.context import session as current_session

from .conftest import Browser, Make
from .stores.conftest import Clock

Sessions = StoredSessions[Any]


class Recorder(MemoryStore):
    """A memory store that notes what it is told."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.seen: list[object] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not inspect.ismethod(found):
            return found

        def note(*arguments: object) -> Any:
            self.seen.append((name, arguments))
            return found(*arguments)

        return note

    @property
    def calls(self) -> list[str]:
        return [call[0] for call in self.seen if isinstance(call, tuple)]


class DownStore(MemoryStore):
    """A memory store whose methods named in ``down`` cannot reach it."""

    def __init__(self, clock: Clock, is_blocking: bool = False) -> None:
        super().__init__(clock=clock)
        self.is_blocking = is_blocking
        self.down: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if name[0] != "_" and name != "down" and name in self.down:
            raise StoreUnavailableError("memory", name)
        return super().__getattribute__(name)


ALL = {"load", "create", "commit", "move", "touch", "delete", "list", "revoke"}


# Identifiers


def test_r1_ids_are_256_random_bits(sessions: Sessions) -> None:
    ids = set()
    for _ in range(50):
        browser = Browser(sessions)
        with browser.request() as session:
            session["a"] = 1
        session_id = browser.cookie.partition("=")[2]
        assert len(base64.urlsafe_b64decode(session_id + "=")) == 32
        ids.add(session_id)
    assert len(ids) == 50


@pytest.mark.parametrize(
    "value",
    [new_id(), "", "short", "x" * 5000, "\0" * 43, "ä" * 43, new_id() + "=", '"' * 43],
    ids=["unknown", "empty", "short", "long", "NUL", "not ASCII", "padded", "quotes"],
)
def test_r2_an_unknown_or_malformed_id_gets_a_new_one_and_no_record(
    value: str, make: Make, clock: Clock
) -> None:
    store = Recorder(clock)
    browser = Browser(make(store), f"__Host-session={value}")
    with browser.request() as session:
        assert dict(session) == {}
    assert store.stats().sessions == 0
    with browser.request() as session:
        session["a"] = 1
    assert value == "" or value not in browser.cookie
    assert browser.values() == {"a": 1}


def test_r2_an_expired_id_gets_a_new_one(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["a"] = 1
    old = browser.cookie
    clock.advance(15 * 86400)
    with browser.request() as session:
        assert session.new
        session["b"] = 1
    assert browser.cookie != old
    assert browser.values() == {"b": 1}


def planted(sessions: Sessions) -> tuple[Browser, Browser]:
    """An attacker's browser, and a victim's that was given the attacker's cookie."""
    attacker = Browser(sessions)
    with attacker.request() as session:
        session["planted"] = True
    return attacker, Browser(sessions, attacker.cookie)


@pytest.mark.parametrize("grace", [None, 60.0])
def test_r3_after_a_login_the_planted_id_is_anonymous(sessions: Sessions, grace: Any) -> None:
    attacker, victim = planted(sessions)
    with victim.request() as session:
        if grace is not None:
            session.regenerate(grace=grace)
        session.user = "alice"
        session["secret"] = "hers"
    assert attacker.values() == {}
    assert attacker.open().user is None
    assert victim.open().user == "alice"
    assert victim.values() == {"planted": True, "secret": "hers"}


def test_r3_an_id_that_still_reads_by_its_grace_dies_with_the_login(sessions: Sessions) -> None:
    attacker, victim = planted(sessions)
    with victim.request() as session:
        session.regenerate(grace=60)
    assert attacker.values() == {"planted": True}
    with victim.request() as session:
        session.user = "alice"
    assert attacker.values() == {}
    assert attacker.open().user is None


def test_r3_the_planted_id_is_anonymous_between_the_calls_of_a_login(
    make: Make, clock: Clock
) -> None:
    seen: list[str | None] = []

    class Watched(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in ("move", "commit", "create", "delete") and watchers:
                seen.append(watchers[0].open().user)
            return super().__getattribute__(name)

    watchers: list[Browser] = []
    sessions = make(Watched(clock=clock), same_key="raise", max_sessions=1)
    attacker, victim = planted(sessions)
    session = victim.open()
    session.user = "alice"
    session["secret"] = 1
    del session["planted"]
    session.incr("n")
    watchers.append(attacker)
    victim.save(session)
    seen.append(attacker.open().user)
    assert seen == [None] * len(seen)
    assert len(seen) > 2
    assert "secret" not in attacker.values()
    assert victim.values() == {"secret": 1, "n": 1}


@pytest.mark.parametrize("when", [1.0, None])
def test_r3_a_change_of_authenticated_at_ends_the_old_id(browser: Browser, when: Any) -> None:
    with browser.request() as session:
        session["a"] = 1
        session.authenticated_at = 5.0
    old = Browser(browser.sessions, browser.cookie)
    with browser.request() as session:
        session.regenerate(grace=60)
        session.authenticated_at = when
    assert old.cookie != browser.cookie
    assert old.values() == {}
    assert browser.open().authenticated_at == when
    assert browser.values() == {"a": 1}


def test_r3_clearing_what_was_authenticated_ends_the_old_id(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
        session.authenticated_at = 5.0
    old = Browser(browser.sessions, browser.cookie)
    with browser.request() as session:
        session.clear()
        session["b"] = 1
    assert old.values() == {}
    assert browser.values() == {"b": 1}


def test_r3_another_user_begins_with_nothing_of_the_former(browser: Browser) -> None:
    with browser.request() as session:
        session.user = "alice"
        session["secret"] = 1
        session.add_to_set("seen", "x")
        session.flash("hello alice")
    alice = Browser(browser.sessions, browser.cookie)
    with browser.request() as session:
        session.user = "bob"
        assert dict(session) == {}
        session["own"] = 1
    assert alice.open().user is None
    assert (browser.open().user, browser.values()) == ("bob", {"own": 1})
    assert browser.open().get_flashed() == []


def test_r3_through_a_grace_a_request_under_way_loses_nothing(browser: Browser) -> None:
    with browser.request() as session:
        session["a"], session["n"] = 1, 1
    late = Browser(browser.sessions, browser.cookie)
    under_way, counting = late.open(), late.open()
    under_way["a"] = 2
    counting.incr("n")
    with browser.request() as session:
        session.regenerate(grace=30)
    assert late.values() == {"a": 1, "n": 1}
    late.save(under_way)
    late.save(counting)
    assert late.headers.cookies == ()
    assert browser.values() == late.values() == {"a": 2, "n": 2}


def test_r3_of_two_renewals_at_once_the_second_adopts_the_first(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = Browser(browser.sessions, browser.cookie)
    first, second = browser.open(), late.open()
    for number, session in enumerate((first, second)):
        session[f"own{number}"] = True
        session.incr("n")
        session.regenerate(grace=30)
    browser.save(first)
    late.save(second)
    assert len(browser.headers.cookies) == 1
    assert late.headers.cookies == ()
    assert browser.values() == late.values() == {"a": 1, "own0": True, "own1": True, "n": 2}


def test_r3_a_login_by_an_id_in_its_grace_ends_every_id_before(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = Browser(browser.sessions, browser.cookie)
    under_way = late.open()
    under_way.user = "alice"
    with browser.request() as session:
        session.regenerate(grace=30)
    ids = [browser.cookie, late.cookie]
    late.save(under_way)
    assert (late.open().user, late.values()) == ("alice", {"a": 1})
    assert late.cookie not in ids
    assert [Browser(browser.sessions, cookie).values() for cookie in ids] == [{}, {}]


def test_r3_no_response_to_an_old_id_carries_the_new_one(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["n"] = 1
        session.permanent = True
    old = browser.cookie
    with browser.request() as session:
        session.regenerate(grace=3600)
    new = browser.cookie.partition("=")[2]
    clock.advance(120)
    changes: tuple[Callable[[StoredSession], object], ...] = (
        lambda s: s.incr("n"),
        lambda s: s.update(a=1),
        lambda s: s.regenerate(60),
        lambda s: s.refresh(),
        lambda s: s.get("n"),
        lambda s: s.flash("x"),
    )
    for change in changes:
        late = Browser(browser.sessions, old)
        with late.request() as session:
            assert session["n"] >= 1
            change(session)
        assert late.headers.cookies == ()
        assert new not in repr(late.headers)
    clock.advance(3600)
    assert Browser(browser.sessions, old).values() == {}


def test_r4_the_store_sees_only_hashes(make: Make, clock: Clock) -> None:
    store = Recorder(clock)
    browser = Browser(make(store, max_sessions=2))
    ids = []
    for step in range(6):
        with browser.request() as session:
            session["step"] = step
            if step == 2:
                session.regenerate(grace=5)
            if step == 3:
                session.user = "alice"
            if step == 5:
                session.destroy()
        ids.append(browser.cookie.partition("=")[2])
    assert set(store.calls) > {"load", "create", "commit", "move", "delete"}
    for session_id in filter(None, ids):
        assert session_id not in repr(store.seen)
        assert sha256(session_id.encode()).hexdigest() in repr(store.seen)


def test_r5_logs_carry_no_id_and_no_key(
    make: Make, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["a"] = 2
    with caplog.at_level(logging.DEBUG):
        store.delete(browser.key)
        browser.save(late)
    assert "changes dropped" in caplog.text
    assert browser.key not in caplog.text
    assert browser.cookie.partition("=")[2] not in caplog.text


def test_r6_an_untouched_session_costs_nothing(make: Make, clock: Clock) -> None:
    store = Recorder(clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    store.seen.clear()
    with browser.request() as session:
        assert "loaded" in repr(session)
    assert store.calls == []
    assert browser.headers == (False, ())


EMPTY: dict[str, Callable[[Any], object]] = {
    "read": lambda s: s.get("a"),
    "cleared": lambda s: s.clear(),
    "set and deleted": lambda s: (s.update(a=1), s.pop("a")),
    "flashed and shown": lambda s: (s.flash("x"), s.get_flashed()),
    "set made and deleted": lambda s: (s.add_to_set("a", 1), s.pop("a")),
    "counted and deleted": lambda s: (s.incr("a"), s.pop("a")),
    "permanent": lambda s: setattr(s, "permanent", True),
    "regenerated": lambda s: s.regenerate(),
    "refreshed": lambda s: s.refresh(),
    "destroyed": lambda s: s.destroy(),
    "saved": lambda s: s.save(),
}


@pytest.mark.parametrize("how", EMPTY)
def test_r6_an_empty_session_makes_neither_record_nor_cookie(
    how: str, make: Make, clock: Clock
) -> None:
    store = Recorder(clock)
    browser = Browser(make(store), "other=1")
    with browser.request() as session:
        EMPTY[how](session)
    assert browser.headers == (True, ())
    assert store.calls == []


# Termination


CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda s: s.update(a=2),
    "deleted": lambda s: s.pop("a"),
    "nested": lambda s: s["list"].append(1),
    "incr": lambda s: s.incr("n"),
    "add_to_set": lambda s: s.add_to_set("set", 1),
    "pop_once": lambda s: s.pop_once("a"),
    "flash": lambda s: s.flash("x"),
    "clear": lambda s: (s.clear(), s.update(a=3)),
    "regenerate": lambda s: s.regenerate(),
    "grace": lambda s: s.regenerate(60),
    "refresh": lambda s: s.refresh(),
    "permanent": lambda s: setattr(s, "permanent", True),
}
TOLD = {"clear", "regenerate", "grace"}  # a view that was told so is told that it is not so


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("ended", ["destroy", "revoke", "revoke_everyone"])
def test_r7_a_save_after_the_end_recreates_nothing(
    how: str, ended: str, sessions: Sessions, events: list[str]
) -> None:
    browser = Browser(sessions)
    with browser.request() as session:
        session["a"], session["list"], session["n"] = 1, [], 0
    late = browser.open()
    CHANGES[how](late)
    tab = Browser(sessions, browser.cookie)
    if ended == "destroy":
        with tab.request() as session:
            session.destroy()
    elif ended == "revoke":
        assert sessions.revoke(browser.key)
    else:
        assert sessions.revoke_everyone() == 1
    headers = SessionHeaders()
    with pytest.raises(SessionEndedError) if how in TOLD else nullcontext():
        headers = browser.save(late)
    assert sessions.store.stats().sessions == 0  # type: ignore[union-attr]
    assert headers.cookies == ()
    assert browser.values() == {}
    assert ("conflict: revoked" in events) == (how != "refresh")


def test_r7_a_login_after_the_end_begins_a_session_with_nothing_of_it(browser: Browser) -> None:
    with browser.request() as session:
        session["a"], session["list"], session["n"] = 1, [], 5
        session.permanent = True
    late = browser.open()
    old = browser.cookie
    late["list"].append(1)
    late.incr("n")
    late["own"] = 1
    late.user = "alice"
    browser.sessions.revoke_everyone()
    browser.save(late)
    assert browser.cookie != old
    assert (browser.open().user, browser.values()) == ("alice", {"own": 1, "n": 1})
    assert not browser.open().permanent
    assert Browser(browser.sessions, old).values() == {}


def test_r7_after_a_save_that_failed_the_request_stores_nothing_more(
    browser: Browser, events: list[str]
) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["a"] = 2
    browser.sessions.revoke(browser.key)
    with pytest.raises(SessionEndedError):
        late.save()
    assert (dict(late), late.new) == ({}, True)
    late["b"] = 1
    late.incr("n")
    assert browser.save(late).cookies == ()
    assert browser.sessions.store.stats().sessions == 0  # type: ignore[union-attr]
    assert events.count("conflict: revoked") == 1, "the store was asked again"


def test_r7_a_login_after_a_save_that_failed_stores_nothing_of_before(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["a"], late["own"] = 2, 2
    browser.sessions.revoke(browser.key)
    with pytest.raises(SessionEndedError):
        late.save()
    late.user = "alice"
    late["b"] = 1
    browser.save(late)
    assert (browser.open().user, browser.values()) == ("alice", {"b": 1})


def test_r7_destroy_also_ends_a_record_that_was_lost_to_a_clear(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["a"] = 2
    with browser.request() as session:
        session.clear()
        session["b"] = 1
    with pytest.raises(SessionEndedError):
        late.save()
    late.destroy()
    late["fresh"] = 1
    Browser.save(browser, late)
    assert browser.values() == {"fresh": 1}
    assert browser.sessions.store.stats().sessions == 1  # type: ignore[union-attr]


def test_r8_a_users_sessions_are_listed_and_revoked(sessions: Sessions, clock: Clock) -> None:
    devices = [Browser(sessions) for _ in range(3)]
    for number, device in enumerate(devices):
        clock.advance(1)
        with device.request() as session:
            session.user = "alice"
            session["device"] = number
    here = devices[1].open()
    listed = sessions.list_sessions("alice", here)
    assert [(info.values, info.is_current) for info in listed] == [
        ({"device": 2}, False),
        ({"device": 1}, True),
        ({"device": 0}, False),
    ]
    assert all(device.cookie.partition("=")[2] not in repr(listed) for device in devices)
    assert not sessions.revoke(listed[0].handle, user="mallory")
    assert sessions.revoke(listed[0].handle, user="alice")
    assert not sessions.revoke(listed[0].handle)
    assert devices[2].open().user is None
    assert sessions.revoke_all("alice", here) == 1
    assert [device.open().user for device in devices] == [None, "alice", None]
    assert sessions.revoke_all("alice") == 1


def test_r8_revoke_all_keeps_a_session_that_was_not_looked_at_yet(browser: Browser) -> None:
    with browser.request() as session:
        session.user = "alice"
    assert browser.sessions.revoke_all("alice", browser.open()) == 0
    assert browser.open().user == "alice"


@pytest.mark.parametrize("grace", [0, 60])
@pytest.mark.parametrize("renewals", [1, 3])
def test_r8_a_handle_names_the_session_whatever_its_id_is_by_now(
    sessions: Sessions, grace: float, renewals: int, events: list[str]
) -> None:
    here, there = Browser(sessions), Browser(sessions)
    for browser in (here, there):
        with browser.request() as session:
            session.user = "alice"
    handles = {
        info.is_current: info.handle for info in sessions.list_sessions("alice", here.open())
    }
    for _ in range(renewals):
        with there.request() as session:
            session.regenerate(grace)
    assert {info.handle for info in sessions.list_sessions("alice")} == set(handles.values())
    assert there.key not in "".join(handles.values())
    assert not sessions.revoke(handles[False], user="mallory")
    assert sessions.revoke(handles[False], user="alice")
    assert events[-1] == "destroyed"
    assert not sessions.revoke(handles[False], user="alice")
    assert (here.open().user, there.open().user) == ("alice", None)


def test_r8_a_handle_outlives_a_clear_and_a_login(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    with browser.request() as session:
        session.clear()
        session["b"] = 2
    with browser.request() as session:
        session.user = "alice"
    (before,) = browser.sessions.list_sessions("alice", browser.open())
    with browser.request() as session:
        session.user = "alice"
    (after,) = browser.sessions.list_sessions("alice", browser.open())
    assert before.handle == after.handle
    assert before.is_current
    assert browser.sessions.revoke(before.handle)
    assert browser.values() == {}


def test_r8_another_programs_record_is_named_by_its_key(sessions: Sessions) -> None:
    key = "0" * 64
    sessions.store.create(key, {USER: b"alice"}, 100)
    (info,) = sessions.list_sessions("alice")
    assert info.handle == key
    assert not sessions.revoke(key, user="mallory")
    assert sessions.revoke(key, user="alice")
    assert sessions.list_sessions("alice") == []


@pytest.mark.parametrize("user", ["é", "a.b", "\0", " ", "x" * 300])
def test_r8_a_handle_is_plain_text_for_any_user(sessions: Sessions, user: str) -> None:
    with Browser(sessions).request() as session:
        session.user = user
    (info,) = sessions.list_sessions(user)
    assert info.handle.replace("_", "").isalnum()
    assert sessions.revoke(info.handle, user=user)


@pytest.mark.parametrize(
    "handle", ["0" * 32, "0" * 32 + "_", "0" * 32 + "_ff", "0" * 32 + "_6", "0" * 32 + "_61_61"]
)
def test_r8_a_handle_of_no_user_ends_nothing(sessions: Sessions, handle: str) -> None:
    assert not sessions.revoke(handle)


@pytest.mark.parametrize("handle", ["", "x", "\0" * 64, "A" * 64, "é" * 64, None, 7, ["a"]])
def test_r8_a_handle_that_is_none_ends_nothing(sessions: Sessions, handle: Any) -> None:
    assert not sessions.revoke(handle)
    assert not sessions.revoke(handle, user="alice")


def test_r9_a_session_ends_when_it_is_idle(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["a"] = 1
    for _ in range(4):
        clock.advance(13 * 86400)
        with browser.request() as session:
            assert session["a"] == 1
    clock.advance(14 * 86400)
    assert browser.values() == {}


def test_r9_a_session_ends_however_much_it_is_used(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["a"] = 0
    for day in range(1, 90):
        clock.advance(86400)
        with browser.request() as session:
            assert session["a"] == day - 1
            session["a"] = day
    clock.advance(86400)
    assert browser.values() == {}


def test_r9_limits_are_checked_at_load_from_stored_times(
    make: Make, clock: Clock, events: list[str]
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    clock.advance(3600)
    stricter = make(store, idle_timeout=3600, touch_interval=0)
    assert Browser(stricter, browser.cookie).values() == {}
    assert events[-1] == "expired"
    assert store.stats().sessions == 0


def test_r9_a_clear_keeps_the_absolute_limit(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["a"] = 1
    for day in range(1, 90):
        clock.advance(86400)
        with browser.request() as session:
            assert day == 1 or session["day"] == day - 1
            session.clear()
            session["day"] = day
    clock.advance(86400)
    assert browser.values() == {}


def test_r9_a_login_begins_the_absolute_limit_anew(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["a"] = 1
    for _ in range(8):
        clock.advance(10 * 86400)
        with browser.request() as session:
            assert session["a"] == 1
    with browser.request() as session:
        session.user = "alice"
    for _ in range(8):
        clock.advance(10 * 86400)
        with browser.request() as session:
            assert session.user == "alice"
    clock.advance(10 * 86400)
    assert browser.open().user is None


def test_r9_a_touch_is_sent_at_most_once_in_its_interval(make: Make, clock: Clock) -> None:
    store = Recorder(clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    store.seen.clear()
    for _ in range(24):
        clock.advance(10)
        with browser.request() as session:
            assert session["a"] == 1
    assert store.calls.count("touch") == 4
    assert store.calls.count("commit") == 0
    with browser.request() as session:
        session.refresh()
    assert store.calls[-1] == "touch"


def test_a_login_stores_what_it_set_in_the_step_that_changes_the_id(
    make: Make, clock: Clock
) -> None:
    store = Recorder(clock)
    browser = Browser(make(store))
    for deletes, calls in ((False, ["load", "move"]), (True, ["load", "move", "commit"])):
        with browser.request() as session:
            session["a"], session["b"] = 1, 1
        store.seen.clear()
        with browser.request() as session:
            session.user, session["a"] = "alice", 2
            if deletes:
                del session["b"]
        assert store.calls == calls
        assert browser.values() == {"a": 2} | ({} if deletes else {"b": 1})


def login(sessions: Sessions, user: str = "alice") -> Browser:
    browser = Browser(sessions)
    with browser.request() as session:
        session.user = user
    return browser


def test_r11_the_session_unused_the_longest_gives_way(make: Make, clock: Clock) -> None:
    sessions = make(max_sessions=2, touch_interval=0)
    first = login(sessions)
    clock.advance(1)
    second = login(sessions)
    login(sessions, "bob")
    clock.advance(1)
    with first.request() as session:
        session["a"] = 1
    clock.advance(1)
    third = login(sessions)
    assert [b.open().user for b in (first, second, third)] == ["alice", None, "alice"]


@pytest.mark.parametrize("grace", [0, 60])
def test_r11_who_has_to_give_way_may_be_renewed_at_that_moment(
    make: Make, clock: Clock, grace: float
) -> None:
    class Overtaken(MemoryStore):
        """Between a list and what is made of it another request renews the first."""

        def list(self, user: str) -> Any:
            listed = super().list(user)
            if listed and first.cookie:
                with first.request() as session:
                    session.regenerate(grace)
            return listed

    store = Overtaken(clock=clock)
    sessions = make(store, max_sessions=1)
    first, second = Browser(make(store)), Browser(sessions)
    for browser in (first, second):
        clock.advance(1)
        with browser.request() as session:
            session.user = "alice"
    assert (first.open().user, second.open().user) == (None, "alice")


def test_r11_a_session_does_not_count_or_end_itself_after_a_renewal(
    make: Make, clock: Clock
) -> None:
    browser = Browser(make(max_sessions=1, when_full="refuse"))
    with browser.request() as session:
        session.user = "alice"
    late = browser.open()
    with browser.request() as session:
        session.regenerate(grace=60)
    late.user = "alice"
    browser.save(late)
    assert browser.open().user == "alice"


def test_r11_a_login_over_the_limit_is_refused(make: Make) -> None:
    sessions = make(max_sessions=2, when_full="refuse")
    first, second = login(sessions), login(sessions)
    visitor = Browser(sessions)
    with visitor.request() as session:
        session["cart"] = [1]
    session = visitor.open()
    session.user = "alice"
    with pytest.raises(SessionLimitError) as caught:
        visitor.save(session)
    assert caught.value.limit == 2
    assert (visitor.values(), visitor.open().user) == ({"cart": [1]}, None)
    assert [b.open().user for b in (first, second)] == ["alice", "alice"]
    with first.request() as session:
        session.destroy()
    with visitor.request() as session:
        session.user = "alice"
    assert visitor.open().user == "alice"


def test_r11_who_logs_in_again_takes_no_place_but_his_own(make: Make) -> None:
    sessions = make(max_sessions=1, when_full="refuse")
    browser = login(sessions)
    with browser.request() as session:
        session.user = "alice"
    assert browser.open().user == "alice"


def test_r11_a_refused_change_of_user_leaves_the_former(make: Make) -> None:
    sessions = make(max_sessions=1, when_full="refuse")
    login(sessions, "bob")
    browser = login(sessions, "alice")
    session = browser.open()
    session.user = "bob"
    with pytest.raises(SessionLimitError):
        browser.save(session)
    assert browser.open().user == "alice"


def test_r12_require_fresh_lets_pass_a_recent_login_only(browser: Browser, clock: Clock) -> None:
    with pytest.raises(FreshLoginRequiredError):
        browser.open().require_fresh(60)
    with browser.request() as session:
        session.user = "alice"
        session.require_fresh(0)
    assert browser.open().authenticated_at == clock()
    clock.advance(60)
    browser.open().require_fresh(60)
    clock.advance(1)
    with pytest.raises(FreshLoginRequiredError) as caught:
        browser.open().require_fresh(60)
    assert caught.value.max_age == 60
    with browser.request() as session:
        session.user = "alice"
    browser.open().require_fresh(0)


# Caching


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "__getitem__": ("a",),
    "__setitem__": ("a", 1),
    "__delitem__": ("a",),
    "__contains__": ("a",),
    "__eq__": ({},),
    "__ne__": ({},),
    "__or__": ({},),
    "__ror__": ({},),
    "__ior__": ({"a": 1},),
    "get": ("a",),
    "pop": ("a",),
    "setdefault": ("a",),
    "update": ({"a": 1},),
    "incr": ("n",),
    "add_to_set": ("set", 1),
    "pop_once": ("a",),
    "flash": ("hello",),
    "require_fresh": (1,),
    "expire_after": (100,),
}
VALUES: dict[str, Any] = {
    "user": "alice",
    "authenticated_at": 1.0,
    "permanent": True,
    "modified": True,
}
#: What tells nothing of the session and changes nothing in it.
UNTOUCHING = {"accessed", "is_loaded", "is_null", "modified", "load", "__init__", "__repr__"}
SPECIAL = {
    name
    for name in dir(Session)
    if name.startswith("__")
    and name not in dir(type("", (), {}))
    and callable(inspect.getattr_static(Session, name))
}


def members(kind: type[Session]) -> set[str]:
    public = {name for name in dir(kind) if not name.startswith("_")}
    return (public | SPECIAL | {"__eq__", "__ne__"}) - UNTOUCHING


async def use(session: Any, name: str) -> None:
    """Call a method, or look at a property, by its name."""
    if isinstance(inspect.getattr_static(type(session), name), property):
        getattr(session, name)
        return
    try:
        result = getattr(session, name)(*ARGUMENTS.get(name, ()))
        if inspect.isawaitable(result):
            await result
    except (KeyError, FreshLoginRequiredError):
        pass


def test_r20_every_member_is_known_to_these_tests() -> None:
    assert {"get", "keys", "items", "values", "incr", "user", "save"} <= members(StoredSession)
    assert {"__getitem__", "__iter__", "__len__", "__contains__"} <= SPECIAL


@pytest.mark.parametrize("has_cookie", [False, True])
@pytest.mark.parametrize("name", sorted(members(StoredSession)))
@pytest.mark.asyncio
async def test_r20_every_use_asks_for_vary(browser: Browser, name: str, has_cookie: bool) -> None:
    if has_cookie:
        with browser.request() as first:
            first["a"], first["n"] = 1, 1
    session = browser.open()
    await use(session, name)
    assert session.accessed
    assert browser.save(session).vary


@pytest.mark.parametrize("name", sorted(members(StoredSession)))
def test_r20_every_use_through_the_proxy_asks_for_vary(sessions: Sessions, name: str) -> None:
    app = App("test", sessions=sessions)
    with app.test_request_context("/") as context:
        target = unwrap(current_session)
        is_property = isinstance(inspect.getattr_static(StoredSession, name), property)
        member = getattr(current_session, name)
        if not is_property:
            with suppress(KeyError, FreshLoginRequiredError):
                member(*ARGUMENTS.get(name, ()))
        assert context.session is target
        assert isinstance(target, Session)
        assert target.accessed
        assert sessions.save(target).vary


def test_r20_finding_the_session_through_the_proxy_is_no_use(sessions: Sessions) -> None:
    with App("test", sessions=sessions).test_request_context("/"):
        assert is_bound(current_session)
        assert "not loaded" in repr(current_session)
        assert not unwrap(current_session).accessed


@pytest.mark.parametrize("name", sorted(VALUES))
def test_r20_every_assignment_asks_for_vary(browser: Browser, name: str) -> None:
    session = browser.open()
    setattr(session, name, VALUES[name])
    assert browser.save(session).vary


@pytest.mark.parametrize("has_cookie", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("name", sorted(members(AsyncStoredSession)))
@pytest.mark.asyncio
async def test_r20_every_use_asks_for_vary_under_asgi(
    make: Make, clock: Clock, name: str, has_cookie: bool, blocking: bool
) -> None:
    browser = Browser(make(DownStore(clock, blocking)))
    if has_cookie:
        with browser.request() as first:
            first["a"], first["n"] = 1, 1
    session = await browser.open_async()
    assert not session.accessed
    await use(session, name)
    assert session.accessed
    assert (await browser.save_async(session)).vary


@pytest.mark.parametrize("name", sorted(UNTOUCHING - {"load", "__init__"}))
def test_r20_what_tells_nothing_asks_for_nothing(browser: Browser, name: str) -> None:
    with browser.request() as session:
        session["a"] = 1
    session = browser.open()
    member = getattr(session, name)
    if callable(member):
        member()
    assert not session.accessed
    assert browser.save(session) == (False, ())


def test_r21_any_session_cookie_forbids_to_store_the_response(browser: Browser) -> None:
    changes: tuple[Callable[[StoredSession], object], ...] = (
        lambda s: s.update(a=1),
        lambda s: s.regenerate(),
        lambda s: setattr(s, "permanent", True),
        lambda s: s.destroy(),
    )
    for change in changes:
        with browser.request() as session:
            change(session)
        headers = [("cache-control", "public, max-age=60"), ("Vary", "Accept")]
        browser.headers.merge_into(headers)
        assert len(browser.headers.cookies) == 1
        assert [v for k, v in headers if k.lower() == "cache-control"] == ["no-store"]
        assert ("Vary", "Cookie") in headers


def test_r21_without_a_cookie_the_response_may_be_stored(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    with browser.request() as session:
        session["a"] = 2
    headers = [("Cache-Control", "max-age=60")]
    browser.headers.merge_into(headers)
    assert headers == [("Cache-Control", "max-age=60"), ("Vary", "Cookie")]


def test_r17_the_cookie_that_has_a_record_is_taken(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    name, _, value = browser.cookie.partition("=")
    for others in (["junk"], [new_id()], [new_id(), "", new_id()]):
        before = "; ".join(f"{name}={other}" for other in others)
        header = f"x=1; {before}; {browser.cookie}; y=2"
        assert dict(browser.sessions.open(header)) == {"a": 1}
    assert dict(browser.sessions.open(f'a="x; {browser.cookie}; y="')) == {"a": 1}
    assert dict(browser.sessions.open(f"not{name}={value}")) == {}


# Robustness


@pytest.fixture
def down(clock: Clock) -> DownStore:
    return DownStore(clock)


def test_r31_a_store_that_is_down_raises_where_it_is_touched(make: Make, down: DownStore) -> None:
    browser = Browser(make(down))
    with browser.request() as session:
        session["a"] = 1
    down.down = ALL
    with browser.request():
        pass  # a page that does not touch the session
    session = browser.open()
    with pytest.raises(StoreUnavailableError):
        session.get("a")
    assert browser.save(session) == (True, ())  # an error handler made a response
    down.down = set()
    assert browser.values() == {"a": 1}


def test_r31_a_load_is_tried_again(make: Make, down: DownStore) -> None:
    browser = Browser(make(down))
    with browser.request() as session:
        session["a"] = 1
    session = browser.open()
    down.down = ALL
    with pytest.raises(StoreUnavailableError):
        session.get("a")
    down.down = set()
    assert session["a"] == 1


def test_r31_anonymous_is_never_authenticated_and_refuses_changes(
    make: Make, down: DownStore
) -> None:
    browser = Browser(make(down, when_down="anonymous"))
    with browser.request() as session:
        session.user = "alice"
        session["a"] = 1
    down.down = ALL
    session = browser.open()
    assert (session.user, session.authenticated_at, dict(session)) == (None, None, {})
    assert session.get_flashed() == []
    with pytest.raises(FreshLoginRequiredError):
        session.require_fresh(1e9)
    changes: list[Callable[[Any], object]] = [*CHANGES.values(), StoredSession.destroy]
    for change in changes:
        with pytest.raises((StoreUnavailableError, KeyError)):
            change(session)
    assert isinstance(session.refusal, StoreUnavailableError)
    assert browser.save(session) == (True, ())
    down.down = set()
    assert browser.open().user == "alice"
    assert browser.open().refusal is None


def test_r31_a_page_that_only_reads_survives_a_failing_touch(
    make: Make, down: DownStore, clock: Clock
) -> None:
    lenient = Browser(make(down, when_down="anonymous"))
    with lenient.request() as session:
        session["a"] = 1
    clock.advance(120)
    down.down = {"touch"}
    with lenient.request() as session:
        assert session["a"] == 1
    strict = Browser(make(down), lenient.cookie)
    session = strict.open()
    assert session["a"] == 1
    with pytest.raises(StoreUnavailableError):
        strict.save(session)


@pytest.mark.parametrize("policy", ["raise", "anonymous"])
@pytest.mark.parametrize("how", sorted(set(CHANGES) - {"refresh"}))
def test_r31_a_save_that_fails_says_so_and_changes_nothing(
    make: Make, down: DownStore, policy: str, how: str
) -> None:
    browser = Browser(make(down, when_down=policy))
    with browser.request() as session:
        session["a"], session["list"], session["n"] = 1, [], 0
    session = browser.open()
    CHANGES[how](session)
    down.down = ALL
    with pytest.raises(StoreUnavailableError):
        browser.save(session)
    down.down = set()
    assert browser.values() == {"a": 1, "list": [], "n": 0}
    browser.save(session)  # the web layer does not, but it could
    assert session._closed


@pytest.mark.parametrize("policy", ["raise", "anonymous"])
@pytest.mark.asyncio
async def test_r31_pages_that_do_not_touch_it_work_under_asgi(
    make: Make, clock: Clock, policy: str
) -> None:
    down = DownStore(clock, is_blocking=True)
    browser = Browser(make(down, when_down=policy))
    with browser.request() as first:
        first.user = "alice"
    down.down = ALL
    session = await browser.open_async()
    assert await browser.save_async(session) == (False, ())
    session = await browser.open_async()
    if policy == "anonymous":
        assert session.user is None
    else:
        with pytest.raises(StoreUnavailableError):
            session.get("a")
        down.down = set()
        await session.load()
        assert session.user == "alice"
    await browser.save_async(session)


class RubbishStore(MemoryStore):
    """Somebody's store that does not keep to the contract."""

    rubbish: Any = None
    where = ""

    def __getattribute__(self, name: str) -> Any:
        if name == super().__getattribute__("where"):
            return lambda *_: self.rubbish
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    "rubbish",
    [
        {},
        "x",
        7,
        Record(None, 0, 0.0, 9e9),  # type: ignore[arg-type]
        Record({"a": "text", "\0born": b"9e9"}, 0, 9e9, 9e9),  # type: ignore[dict-item]
        Record({"a": None, "\0born": None}, 0, 9e9, 9e9),  # type: ignore[dict-item]
    ],
)
def test_r32_rubbish_from_a_store_is_an_empty_session(
    make: Make, clock: Clock, rubbish: Any
) -> None:
    store = RubbishStore(clock=clock)
    sessions = make(store)
    store.where, store.rubbish = "load", rubbish
    browser = Browser(sessions, f"__Host-session={new_id()}")
    with browser.request() as session:
        assert session.get("a") is None
        assert session.user is None


@pytest.mark.parametrize(
    "rubbish", [None, "committed", ("committed", ()), Answer("committed", ()), True]
)
def test_r32_rubbish_for_an_answer_is_a_store_that_does_not_work(
    make: Make, clock: Clock, rubbish: Any
) -> None:
    store = RubbishStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["n"] = 1
    store.where, store.rubbish = "commit", rubbish
    session = browser.open()
    session.incr("n")
    with pytest.raises(StoreUnavailableError):
        browser.save(session)


def test_r32_a_store_that_creates_nothing_is_asked_a_few_times_only(
    make: Make, clock: Clock
) -> None:
    store = RubbishStore(clock=clock)
    store.where, store.rubbish = "create", False
    browser = Browser(make(store))
    session = browser.open()
    session["a"] = 1
    with pytest.raises(StoreUnavailableError):
        browser.save(session)


CORRUPT = [b"", b"\xc1", b"\x91", b"-", b"12a", b"9" * 30, b"\x91" * 70, b"\x81\x01\x02", b"\xd4aa"]


@pytest.mark.parametrize("raw", CORRUPT)
def test_r32_a_corrupt_record_is_an_empty_session(
    raw: bytes, make: Make, clock: Clock, caplog: pytest.LogCaptureFixture, events: list[str]
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session.user = "alice"
        session["good"], session["n"] = 1, 1
    old = browser.key
    store.commit(old, 0, Change("corrupting", {"bad": raw}), 1e6)
    with browser.request() as session:
        session.incr("n")
        session["mine"] = 2
        session.flash("kept")
        assert "bad" not in session or session.get("bad") is None
        assert session.user is None
        assert "good" not in session
        assert session.new
    assert browser.sessions.corrupt_records == 1
    assert "rejected: corrupt record" in events
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
    assert browser.key != old
    assert browser.values() == {"mine": 2, "n": 1}
    assert browser.open().get_flashed() == [("message", "kept")]


@pytest.mark.parametrize("field", ["\0user", "\0fx", "\0mset\0" + "0" * 32])
def test_r32_so_is_one_that_is_corrupt_in_a_field_of_our_own(
    field: str, make: Make, clock: Clock
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    for raw in (b"\xff\xc1", b"\x90"):
        store.commit(browser.key, 0, Change(raw.hex(), {field: raw}), 1e6)
        if field == "\0user" and raw == b"\x90":
            continue
        with browser.request() as session:
            assert session.user is None
            assert session.get_flashed() == []
            assert session.get("set") is None


def test_r32_destroy_removes_a_corrupt_record_too(make: Make, clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    store.commit(browser.key, 0, Change("corrupting", {"a": b"\xc1"}), 1e6)
    with browser.request() as session:
        assert session.get("a") is None
        session.destroy()
    assert store.stats().sessions == 0


def test_r33_what_is_not_saved_is_not_stored(make: Make, clock: Clock) -> None:
    store = Recorder(clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["list"] = []
    store.seen.clear()
    session = browser.open()  # a view that ends in an unhandled exception: no save
    session["a"] = 1
    session["list"].append(1)
    session.user = "alice"
    assert store.calls == ["load"]
    assert (browser.values(), browser.open().user) == ({"list": []}, None)


@pytest.mark.parametrize("how", [*CHANGES, "destroy", "save"])
def test_r34_a_change_after_the_headers_raises(browser: Browser, how: str) -> None:
    with browser.request() as session:
        session["a"], session["list"], session["n"] = 1, [], 0
    session = browser.open()
    assert session["a"] == 1
    browser.save(session)
    change = {**CHANGES, "destroy": Session.destroy, "save": StoredSession.save}[how]
    if how == "nested":
        change = lambda s: s["list"].insert(0, s.pop("a"))  # noqa: E731
    with pytest.raises(SessionClosedError):
        change(session)
    assert session["a"] == 1


def test_r34_also_in_an_untouched_session_and_a_null_one(browser: Browser) -> None:
    session = browser.open()
    browser.save(session)
    with pytest.raises(SessionClosedError):
        session["a"] = 1
    assert browser.sessions.is_null_session(browser.sessions.null())


def test_r34_a_second_save_does_nothing(make: Make, clock: Clock) -> None:
    store = Recorder(clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["n"] = 1
    session = browser.open()
    session.incr("n")
    browser.save(session)
    store.seen.clear()
    assert browser.save(session) == (False, ())
    assert store.calls == []
    assert browser.values() == {"n": 2}


def test_r35_each_event_has_its_moment(browser: Browser, clock: Clock, events: list[str]) -> None:
    def taken() -> list[str]:
        found = events.copy()
        events.clear()
        return found

    session = browser.open()
    session["a"] = 1
    assert taken() == []
    browser.save(session)
    assert taken() == ["created"]
    session = browser.open()
    assert taken() == []
    session["a"] = 2
    assert taken() == ["loaded"]
    browser.save(session)
    assert taken() == []
    with browser.request() as session:
        session.regenerate()
        assert taken() == ["loaded"]
    assert taken() == ["regenerated"]
    late = browser.open()
    late["a"] = 3
    with browser.request() as session:
        session.destroy()
        events.clear()
    assert taken() == ["destroyed"]
    Browser(browser.sessions).save(late)
    assert taken() == ["conflict: revoked"]
    for cookie, reason in ((new_id(), "unknown id"), ("junk", "malformed id")):
        Browser(browser.sessions, f"__Host-session={cookie}").values()
        assert taken() == [f"rejected: {reason}"]


def test_r35_a_clear_by_another_request_is_a_conflict(browser: Browser, events: list[str]) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["b"] = 1
    with browser.request() as session:
        session.clear()
        session["c"] = 1
    browser.save(late)
    assert events[-1] == "conflict: cleared"
    assert browser.values() == {"c": 1}


def test_r35_a_receiver_may_read_the_session(browser: Browser) -> None:
    from ctxlocal.sessions import events as event

    with browser.request() as session:
        session["a"] = 1
    seen = []

    def receive(sender: object, session: Any, **_: object) -> None:
        seen.append(session["a"])

    with event.loaded.connected_to(receive):
        assert browser.values() == {"a": 1}
    assert seen == [1]


def test_r35_a_receiver_that_writes_too_late_is_told(browser: Browser) -> None:
    from ctxlocal.sessions import events as event

    def receive(sender: object, session: Any, **_: object) -> None:
        session["b"] = 1

    session = browser.open()
    session["a"] = 1
    with event.created.connected_to(receive), pytest.raises(SessionClosedError):
        browser.save(session)


def test_several_threads_of_one_request_load_it_once(make: Make, clock: Clock) -> None:
    both = threading.Barrier(2)

    class Slow(MemoryStore):
        def load(self, key: str) -> Record | None:
            both.wait(10)
            return super().load(key)

    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["list"] = []
    slow = Slow(clock=clock)
    slow._places = store._places
    session = Browser(make(slow), browser.cookie).open()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: session["list"], range(2))
    assert first is second is session["list"]


def test_r3_through_a_grace_all_that_is_done_by_the_old_id_counts(make: Make) -> None:
    browser = Browser(make())
    with browser.request() as session:
        session["n"] = 1
    old = Browser(browser.sessions, browser.cookie)
    with browser.request() as session:
        session.regenerate(grace=60)
    with old.request() as session:
        session.incr("n")
        session.flash("hello")
        session.add_to_set("tags", "x")
    with old.request() as session:
        session["m"] = 5
    with browser.request() as session:
        assert (session["n"], session["m"]) == (2, 5)
        assert session["tags"] == {"x"}
        assert session.get_flashed() == [("message", "hello")]
