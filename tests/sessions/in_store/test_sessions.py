"""Stored sessions: settings, same-key policies, saving in the middle, permanent cookies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from ctxlocal.sessions.cookie import MAX_AGE, Cookie
from ctxlocal.sessions.errors import (
    CorruptRecordError,
    SessionConfigError,
    SessionConflictError,
    SessionEndedError,
    SessionError,
    StoreUnavailableError,
)
from ctxlocal.sessions.in_store.quick import QuickSession
from ctxlocal.sessions.in_store.session import StoredSession
from ctxlocal.sessions.in_store.sessions import SessionInfo, StoredSessions, session_info
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import MAX_INT, MIN_INT, Answer, Change, Record

from ..conftest import Browser, Make
from ..stores.conftest import Clock


@pytest.mark.parametrize(
    "settings",
    [
        {"idle_timeout": 0},
        {"idle_timeout": float("nan")},
        {"idle_timeout": 10, "absolute_timeout": 5},
        {"absolute_timeout": float("inf")},
        {"touch_interval": -1},
        {"idle_timeout": 10, "touch_interval": 10},
        {"load": "never"},
        {"same_key": "first-wins"},
        {"max_sessions": 0},
        {"when_full": "explode"},
        {"when_down": "shrug"},
        {"store": MemoryStore},
        {"store": object()},
        {"store": "memory:"},
    ],
)
def test_bad_settings_are_refused_at_configuration(make: Make, settings: dict[str, Any]) -> None:
    with pytest.raises(SessionConfigError) as caught:
        make(**settings)
    assert caught.value.setting in {*settings, "idle_timeout"}


def test_a_record_lives_to_the_idle_or_the_absolute_limit_whichever_is_first(
    make: Make, clock: Clock
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store, idle_timeout=100, absolute_timeout=250))
    left = []
    for number in range(4):
        with browser.request() as session:
            session["a"] = number
        ((_, record),) = store.scan()
        left.append(record.expires - clock())
        clock.advance(80)
    assert left == [100, 100, 90, 10]


def test_a_login_that_is_said_to_prove_nothing_begins_the_absolute_limit_anew(
    make: Make, clock: Clock
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store, idle_timeout=100, absolute_timeout=250))
    for _ in range(3):
        with browser.request() as session:
            session["a"] = 1
        clock.advance(80)
    with browser.request() as session:
        session.user = "alice"
        session.authenticated_at = None
    ((_, record),) = store.scan()
    assert record.expires - clock() == 100
    assert (browser.open().user, browser.open().authenticated_at) == ("alice", None)


def test_what_is_about_to_end_is_stored_for_a_second(make: Make, clock: Clock) -> None:
    sessions = make(idle_timeout=100)
    assert [sessions.ttl(clock() + left, 100) for left in (1.5, 1, 0.5, -5)] == [1.5, 1, 1, 1]


# One key, two requests


def two_change_one_key(make: Make, same_key: Any) -> tuple[Browser, Session]:
    """Two requests load; the first has saved its change, the second has not."""
    browser = Browser(make(same_key=same_key))
    with browser.request() as session:
        session["list"], session["x"] = ["old"], 1
    first, second = browser.open(), browser.open()
    first["list"].append("first")
    second["list"].append("second")
    second["own"] = True
    browser.save(first)
    return browser, second


def test_the_common_request_goes_the_short_way(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    assert type(StoredSessions(store).open("")) is QuickSession
    assert type(StoredSessions(store, same_key="raise").open("")) is StoredSession


def test_by_default_the_last_one_wins(make: Make) -> None:
    browser, second = two_change_one_key(make, "last-wins")
    browser.save(second)
    assert browser.values() == {"list": ["old", "second"], "x": 1, "own": True}


def test_a_key_may_have_a_policy_of_its_own(make: Make) -> None:
    browser, second = two_change_one_key(make, {"list": join})
    second["x"] = 3
    with browser.request() as session:
        session["x"] = 2
    browser.save(second)
    assert browser.values() == {"list": ["old", "first", "second"], "x": 3, "own": True}


def test_keys_without_one_are_stored_at_once_however_many_change_them(
    make: Make, clock: Clock
) -> None:
    class Watched(MemoryStore):
        asked: ClassVar[list[Any]] = []

        def commit(self, key: str, generation: int, change: Any, *rest: Any) -> Answer:
            self.asked.extend(change.ops)
            return super().commit(key, generation, change, *rest)

    browser = Browser(make(Watched(clock=clock), same_key={"list": join}))
    with browser.request() as session:
        session["x"] = 1
    with browser.request() as session:
        session["x"] = 2
    assert Watched.asked == []


def test_a_policy_for_a_key_is_a_function(make: Make) -> None:
    with pytest.raises(SessionConfigError, match="same_key: what merges 'list' is no function"):
        make(same_key={"list": "last-wins"})


def test_raise_stores_nothing_of_the_second(make: Make, events: list[str]) -> None:
    browser, second = two_change_one_key(make, "raise")
    with pytest.raises(SessionConflictError) as caught:
        browser.save(second)
    assert caught.value.keys == ("list",)
    assert events[-1] == "conflict: same key"
    assert browser.values() == {"list": ["old", "first"], "x": 1}


def join(key: str, loaded: Any, theirs: Any, mine: Any) -> Any:
    return [*theirs, *(item for item in mine if item not in theirs)]


def test_a_function_merges(make: Make) -> None:
    browser, second = two_change_one_key(make, join)
    browser.save(second)
    merged = ["old", "first", "second"]
    assert browser.values() == {"list": merged, "x": 1, "own": True}


def test_what_was_merged_is_seen_after_a_save_in_the_middle(make: Make) -> None:
    browser, second = two_change_one_key(make, join)
    second.save()
    assert second["list"] == ["old", "first", "second"]
    second["list"].append("more")
    browser.save(second)
    assert browser.values()["list"] == ["old", "first", "second", "more"]


def test_a_merge_to_none_is_a_deletion(make: Make) -> None:
    browser, second = two_change_one_key(make, lambda *_: None)
    second.save()
    assert dict(second) == {"x": 1, "own": True}
    browser.save(second)
    assert browser.values() == {"x": 1, "own": True}


def test_different_keys_are_no_conflict(make: Make) -> None:
    browser = Browser(make(same_key="raise"))
    with browser.request() as session:
        session["a"] = session["b"] = 1
    first, second = browser.open(), browser.open()
    first["a"] = 2
    second["b"] = 2
    second.add_to_set("c", 1)
    browser.save(first)
    browser.save(second)
    assert browser.values() == {"a": 2, "b": 2, "c": {1}}


def test_a_conflict_at_a_login_leaves_the_old_id_good(make: Make) -> None:
    browser, second = two_change_one_key(make, "raise")
    second.user = "alice"
    with pytest.raises(SessionConflictError):
        browser.save(second)
    assert browser.values() == {"list": ["old", "first"], "x": 1}
    assert browser.open().user is None


def test_a_login_merges_too(make: Make) -> None:
    browser, second = two_change_one_key(make, join)
    second.user = "alice"
    browser.save(second)
    assert browser.open().user == "alice"
    assert browser.values()["list"] == ["old", "first", "second"]


def test_a_counter_that_is_none_any_more_is_a_conflict(browser: Browser) -> None:
    with browser.request() as session:
        session["n"] = 1
    late = browser.open()
    late.incr("n")
    with browser.request() as session:
        session["n"] = "text"
    with pytest.raises(SessionConflictError) as caught:
        browser.save(late)
    assert caught.value.keys == ("n",)
    assert browser.values() == {"n": "text"}


def test_what_is_as_it_was_by_the_second_look_is_no_conflict(make: Make, clock: Clock) -> None:
    class Fickle(MemoryStore):
        conflicts = 1

        def commit(self, *arguments: Any) -> Answer:
            if self.conflicts:
                self.conflicts -= 1
                return Answer("conflict")
            return super().commit(*arguments)

    browser = Browser(make(Fickle(clock=clock), same_key="raise"))
    with browser.request() as session:
        session["a"] = 1
    with browser.request() as session:
        session["a"] = 2
    assert browser.values() == {"a": 2}


def test_fifty_requests_that_change_one_key_at_once_are_all_kept(make: Make, clock: Clock) -> None:
    class Contended(MemoryStore):
        others: ClassVar[list[int]] = []
        is_theirs = False

        def commit(self, *arguments: Any) -> Answer:
            if self.others and not self.is_theirs:  # one of them is quicker, each time
                self.is_theirs = True
                with browser.request() as session:
                    session["list"] = [*session["list"], self.others.pop()]
                self.is_theirs = False
            return super().commit(*arguments)

    store = Contended(clock=clock)
    browser = Browser(make(store, same_key=join))
    with browser.request() as session:
        session["list"] = []
    store.others.extend(range(49))
    with browser.request() as session:
        session["list"] = [*session["list"], 49]
    assert sorted(browser.values()["list"]) == list(range(50))


def test_a_key_that_others_go_on_changing_is_given_up(make: Make, clock: Clock) -> None:
    class Stubborn(MemoryStore):
        commits = 0

        def commit(self, *arguments: Any) -> Answer:
            self.commits += 1
            return Answer("conflict")

    store = Stubborn(clock=clock)
    browser = Browser(make(store, same_key=join))
    with browser.request() as session:
        session["a"] = [1]
    session = browser.open()
    session["a"] = [2]
    with pytest.raises(SessionConflictError):
        browser.save(session)
    assert store.commits < 1000


# Messages


def test_messages_are_taken_and_nothing_else_that_was_set_beside_them(browser: Browser) -> None:
    with browser.request() as session:
        session.user, session.permanent = "alice", True
        session.add_to_set("tags", 1)
        session.flash("hello")
        assert session.get_flashed() == [("message", "hello")]
        assert session.get_flashed() == []
        assert (session.user, session.permanent, session["tags"]) == ("alice", True, {1})
    assert (browser.open().user, browser.values()) == ("alice", {"tags": {1}})


# Counting


@pytest.mark.parametrize("least_first", [True, False])
def test_a_counter_takes_all_of_64_bits_and_no_more(browser: Browser, least_first: bool) -> None:
    first, second = (MIN_INT, MAX_INT) if least_first else (MAX_INT, MIN_INT)
    with browser.request() as session:
        assert session.incr("n", first) == first
    with browser.request() as session:
        assert session.incr("n", second) == -1
    beyond = -1 if least_first else 1
    session = browser.open()
    session["n"] = first
    with pytest.raises(OverflowError, match=r"^session\.incr\('n'\) would leave 64 bits$"):
        session.incr("n", beyond)


def test_what_a_request_adds_in_all_stays_within_64_bits(browser: Browser) -> None:
    with browser.request() as session:
        session["n"] = MAX_INT
    session = browser.open()
    assert session.incr("n", -MAX_INT) == 0
    with pytest.raises(OverflowError):
        session.incr("n", -MAX_INT)
    assert session["n"] == 0


# Saving in the middle


def test_save_tells_what_became_of_the_operations(browser: Browser) -> None:
    with browser.request() as session:
        session["n"], session["once"] = 1, "value"
    first, second = browser.open(), browser.open()
    for session in (first, second):
        session.incr("n", 10)
        assert session.pop_once("once") == "value"
    won, lost = first.save(), second.save()
    assert (won, lost) == ((11, "value"), (21, None))
    assert (first["n"], second["n"]) == (11, 21)


def test_changes_after_a_save_in_the_middle_follow_at_the_end(browser: Browser) -> None:
    with browser.request() as session:
        session["list"] = [1]
        session.incr("n")
        assert session.save() == (1,)
        assert not session.new
        session["list"].append(2)
        session.incr("n")
    assert len(browser.headers.cookies) == 1
    assert browser.values() == {"list": [1, 2], "n": 2}


def test_what_was_renewed_in_the_middle_is_not_renewed_again(make: Make, clock: Clock) -> None:
    class Counting(MemoryStore):
        touches = 0

        def touch(self, key: str, ttl: float) -> bool:
            self.touches += 1
            return super().touch(key, ttl)

    store = Counting(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    with browser.request() as session:
        session["a"] = 2
        session.refresh()
        session.save()
    assert store.touches == 0
    with browser.request() as session:
        session.refresh()
        session.save()
    assert store.touches == 1
    clock.advance(61)
    with browser.request() as session:
        session.save()
    assert store.touches == 2


def test_an_id_is_renewed_as_often_as_it_is_asked_for(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    ids = {browser.key}
    with browser.request() as session:
        for _ in range(3):
            session.regenerate()
            session.save()
            ids.add(session._held.key if session._held else "")
    assert len(ids) == 4
    assert browser.values() == {"a": 1}


@pytest.mark.parametrize("same_key", ["last-wins", "raise"])
def test_a_login_that_was_saved_in_the_middle_is_sent_once(make: Make, same_key: Any) -> None:
    store = MemoryStore()
    browser = Browser(make(store, same_key=same_key))
    with browser.request() as session:
        session["a"] = 1
    with browser.request() as session:
        session.user = "alice"
        session.save()
        first = session._held.key if session._held else ""
        assert not session.modified
        session["b"] = 2
    assert browser.key == first
    assert (browser.open().user, browser.values()) == ("alice", {"a": 1, "b": 2})


def test_a_session_made_and_destroyed_in_one_request_sends_no_cookie(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
        session.save()
        session.destroy()
    assert browser.headers == (True, ())
    assert browser.sessions.store.stats().sessions == 0  # type: ignore[union-attr]


def test_what_is_set_after_destroy_begins_a_new_session(browser: Browser) -> None:
    with browser.request() as session:
        session.user = "alice"
        session["a"] = 1
    old = browser.cookie
    with browser.request() as session:
        session.destroy()
        assert (session.user, dict(session), session.new) == (None, {}, True)
        session.flash("goodbye")
    assert browser.cookie not in (old, "")
    assert Browser(browser.sessions, old).values() == {}
    assert browser.open().get_flashed() == [("message", "goodbye")]
    assert browser.open().user is None


def test_destroy_alone_deletes_the_cookie(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    with browser.request() as session:
        session.destroy()
    assert browser.headers.cookies == (Cookie().delete(),)


def test_a_new_id_survives_a_clear_of_another_request(browser: Browser) -> None:
    with browser.request() as session:
        session["a"], session["b"] = 1, 1
    late = browser.open()
    late.user = "alice"
    del late["b"]
    with browser.request() as session:
        session.clear()
        session["c"] = 1
    browser.save(late)
    assert (browser.open().user, browser.values()) == ("alice", {"c": 1})


def test_a_second_record_that_is_corrupt_at_commit_is_a_revoked_one(
    make: Make, clock: Clock
) -> None:
    class Torn(MemoryStore):
        torn = False

        def load(self, key: str) -> Record | None:
            return {} if self.torn else super().load(key)  # type: ignore[return-value]

    store = Torn(clock=clock)
    browser = Browser(make(store, same_key="raise"))
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["a"] = 2
    with browser.request() as session:
        session["a"] = 3
    store.torn = True
    browser.save(late)
    assert browser.sessions.corrupt_records == 1


def test_a_record_that_is_corrupt_when_a_login_looks_again_is_begun_anew(
    make: Make, clock: Clock
) -> None:
    class Torn(MemoryStore):
        torn = False

        def load(self, key: str) -> Record | None:
            if self.torn:
                raise CorruptRecordError(self.name, "it is torn")
            return super().load(key)

    store = Torn(clock=clock)
    browser = Browser(make(store, same_key="raise"))
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late["own"], late.user, store.torn = 2, "alice", True
    browser.save(late)
    store.torn = False
    assert (browser.open().user, browser.values()) == ("alice", {"own": 2})
    assert browser.sessions.corrupt_records == 1


def test_a_store_that_is_down_when_a_login_looks_again_is_no_lost_record(
    make: Make, clock: Clock
) -> None:
    class Down(MemoryStore):
        is_down = False

        def load(self, key: str) -> Record | None:
            if self.is_down:
                raise StoreUnavailableError(self.name, "load")
            return super().load(key)

    store = Down(clock=clock)
    browser = Browser(make(store, same_key="raise"))
    with browser.request() as session:
        session["a"] = 1
    late = browser.open()
    late.user, store.is_down = "alice", True
    with pytest.raises(StoreUnavailableError):
        browser.save(late)
    store.is_down = False
    assert browser.values() == {"a": 1}


# The cookie


def test_a_permanent_cookie_is_renewed_with_the_record(browser: Browser, clock: Clock) -> None:
    with browser.request() as session:
        session["a"] = 1
    assert "Max-Age" not in browser.headers.cookies[0]
    changes: list[tuple[Callable[[Session], object], bool]] = [
        (lambda s: setattr(s, "permanent", True), True),
        (lambda s: s.get("a"), False),
        (lambda s: s.update(a=2), True),
    ]
    for change, is_sent in changes:
        with browser.request() as session:
            change(session)
        assert [f"Max-Age={14 * 86400};" in c for c in browser.headers.cookies] == [True] * is_sent
    clock.advance(61)
    with browser.request() as session:
        assert session.permanent
    assert "Max-Age" in browser.headers.cookies[0]
    with browser.request() as session:
        session.permanent = False
    assert "Max-Age" not in browser.headers.cookies[0]


def test_a_permanent_cookie_ends_with_a_clear(browser: Browser) -> None:
    with browser.request() as session:
        session.permanent, session["a"] = True, 1
    with browser.request() as session:
        session.clear()
        session["b"] = 1
    assert "Max-Age" not in browser.headers.cookies[0]


def test_r15_a_permanent_cookie_lasts_400_days_at_most(make: Make) -> None:
    year = 365 * 86400
    browser = Browser(make(idle_timeout=2 * year, absolute_timeout=3 * year))
    with browser.request() as session:
        session.permanent, session["a"] = True, 1
    assert f"Max-Age={MAX_AGE};" in browser.headers.cookies[0]


class Renews(MemoryStore):
    """Gives a test's answer to what only renews a record."""

    answer: Any = None

    def commit(self, key: str, generation: int, change: Change, *rest: Any) -> Answer:
        if self.answer is None or change.sets or change.deletes:
            return super().commit(key, generation, change, *rest)
        return self._give()  # type: ignore[no-any-return]

    def touch(self, key: str, ttl: float) -> bool:
        return super().touch(key, ttl) if self.answer is None else self._give()

    def _give(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


CORRUPT = CorruptRecordError("memory", "it is torn")


def renewing(make: Make, clock: Clock, permanent: bool, **settings: Any) -> Browser:
    """A browser whose session is due to be renewed."""
    browser = Browser(make(Renews(clock=clock), **settings))
    with browser.request() as session:
        session["a"], session.permanent = 1, permanent
    clock.advance(61)
    return browser


@pytest.mark.parametrize("answer", ["committed", Answer("committed"), Answer("committed", (1, 2))])
def test_rubbish_for_an_answer_to_a_renewal_is_a_store_that_is_down(
    make: Make, clock: Clock, answer: Any
) -> None:
    browser = renewing(make, clock, permanent=True)
    browser.sessions.store.answer = answer  # type: ignore[union-attr]
    session = browser.open()
    assert session["a"] == 1
    with pytest.raises(StoreUnavailableError):
        browser.save(session)
    unmoved = renewing(make, clock, permanent=True, when_down="anonymous")
    unmoved.sessions.store.answer = answer  # type: ignore[union-attr]
    with unmoved.request() as session:
        assert session["a"] == 1
    assert unmoved.headers.cookies == ()


@pytest.mark.parametrize(
    ("permanent", "answer", "reason"),
    [
        (True, Answer("revoked"), "revoked"),
        (True, CORRUPT, "corrupt"),
        (False, CORRUPT, "corrupt"),
        (False, False, "revoked"),
    ],
)
def test_a_record_that_is_lost_as_it_is_renewed_is_an_error_where_saving_was_asked_for(
    make: Make, clock: Clock, permanent: bool, answer: Any, reason: str
) -> None:
    browser = renewing(make, clock, permanent)
    browser.sessions.store.answer = answer  # type: ignore[union-attr]
    with browser.request() as session:
        assert session["a"] == 1
    assert browser.headers.cookies == ()
    with browser.request() as session:
        assert session["a"] == 1
        with pytest.raises(SessionEndedError) as caught:
            session.save()
    assert caught.value.reason == reason
    assert browser.sessions.corrupt_records == 2 * (reason == "corrupt")


def test_a_permanent_session_that_was_cleared_meanwhile_is_not_renewed(
    make: Make, clock: Clock
) -> None:
    browser = renewing(make, clock, permanent=True)
    late, told = browser.open(), browser.open()
    assert late["a"] == told["a"] == 1
    with browser.request() as session:
        session.clear()
        session["b"] = 1
    assert browser.save(late).cookies == ()
    with pytest.raises(SessionEndedError) as caught:
        told.save()
    assert caught.value.reason == "cleared"
    assert browser.values() == {"b": 1}


@pytest.mark.parametrize("grace", [0, 60])
@pytest.mark.parametrize("permanent", [True, False])
def test_a_session_that_was_cleared_meanwhile_gets_another_id_also_if_it_is_to_be_renewed(
    make: Make, clock: Clock, permanent: bool, grace: float
) -> None:
    browser = renewing(make, clock, permanent)
    late = browser.open()
    assert late["a"] == 1
    late.regenerate(grace)
    with browser.request() as session:
        session.clear()
        session["b"] = 1
    former = browser.cookie
    browser.save(late)
    assert browser.cookie != former
    assert browser.values() == {"b": 1}


@pytest.mark.parametrize("permanent", [True, False])
def test_the_id_that_a_save_has_made_is_sent_also_if_the_session_was_cleared_since(
    make: Make, permanent: bool
) -> None:
    browser = Browser(make())
    session = browser.open()
    session["a"], session.permanent = 1, permanent
    session.save()
    assert session._held is not None
    other = Browser(browser.sessions, f"{browser.sessions.cookie.name}={session._held.id}")
    with other.request() as cleared:
        cleared.clear()
        cleared["b"] = 1
    session["a"] = 2
    browser.save(session)
    assert browser.values() == {"b": 1}


def test_the_null_session_is_empty_and_refuses_changes(browser: Browser) -> None:
    null = browser.sessions.null()
    assert (dict(null), null.user, null.get_flashed()) == ({}, None, [])
    with pytest.raises(SessionError, match="no session here"):
        null["a"] = 1
    assert browser.sessions.save(null) == (True, ())


class LosesReplies(MemoryStore):
    """Does what it is asked, but says that it is down, if it did, as long as ``is_mute``."""

    is_mute = True

    def commit(self, *arguments: Any, **named: Any) -> Any:
        answer = super().commit(*arguments, **named)
        if self.is_mute and answer.outcome == "committed":
            raise StoreUnavailableError(self.name, "commit")
        return answer


def test_a_commit_that_is_tried_again_counts_once(make: Make, clock: Clock) -> None:
    store = LosesReplies(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["n"] = 1
    with browser.request() as session:
        session.incr("n")
        with pytest.raises(StoreUnavailableError):
            session.save()
        store.is_mute = False
    assert browser.values() == {"n": 2}


def test_a_clear_that_is_tried_again_after_another_is_of_the_generation_it_made(
    make: Make, clock: Clock
) -> None:
    store = LosesReplies(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    session = browser.open()
    session.clear()
    session["b"] = 1
    store.is_mute = False
    with browser.request() as other:
        other.clear()
    store.is_mute = True
    with pytest.raises(StoreUnavailableError):
        session.save()
    store.is_mute = False
    session.save()
    session["c"] = 1
    session.save()
    assert browser.values() == {"b": 1, "c": 1}


def test_a_commit_that_may_have_counted_is_not_mixed_with_another(make: Make, clock: Clock) -> None:
    store = LosesReplies(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["n"] = 1
    session = browser.open()
    session.incr("n")
    with pytest.raises(StoreUnavailableError):
        session.save()
    store.is_mute = False
    session["other"] = 1
    with pytest.raises(StoreUnavailableError) as caught:
        browser.save(session)
    assert (caught.value.store, caught.value.operation) == ("memory", "commit")
    assert browser.values() == {"n": 2}


def test_a_store_that_creates_no_record_is_down(make: Make, clock: Clock) -> None:
    class Full(MemoryStore):
        def create(self, *_: Any) -> bool:
            return False

    browser = Browser(make(Full(clock=clock)))
    session = browser.open()
    session["a"] = 1
    with pytest.raises(StoreUnavailableError) as caught:
        browser.save(session)
    assert (caught.value.store, caught.value.operation) == ("memory", "create")


def test_after_a_save_that_failed_the_session_can_be_changed_and_saved(
    make: Make, clock: Clock
) -> None:
    class Down(MemoryStore):
        is_down = True

        def create(self, *arguments: Any) -> Any:
            self._fail("create")
            return super().create(*arguments)

        def commit(self, *arguments: Any) -> Any:
            self._fail("commit")
            return super().commit(*arguments)

        def _fail(self, operation: str) -> None:
            if self.is_down:
                raise StoreUnavailableError(self.name, operation)

    store = Down(clock=clock)
    browser = Browser(make(store))
    for key in "ab":
        session = browser.open()
        session[key], store.is_down = 1, True
        with pytest.raises(StoreUnavailableError):
            browser.save(session)
        session[f"{key} again"], store.is_down = 2, False
        browser.save(session)
    assert browser.values() == {"a": 1, "a again": 2, "b": 1, "b again": 2}


def test_what_is_shown_of_a_session_has_its_sets(make: Make) -> None:
    sessions = make()
    browser = Browser(sessions)
    with browser.request() as session:
        session.user = "ada"
        session["a"] = 1
        session.add_to_set("tags", "x")
        session.add_to_set("tags", "y")
    (info,) = sessions.list_sessions("ada")
    assert info.values == {"a": 1, "tags": {"x", "y"}}


def test_what_a_user_sees_of_his_sessions(clock: Clock, make: Make) -> None:
    store = MemoryStore(clock=clock)
    sessions = make(store, idle_timeout=100)
    browser = Browser(sessions)
    with browser.request() as session:
        session.user = "ann"
        session["a"] = 1
    (info,) = sessions.list_sessions("ann", browser.open())
    record = store.load(browser.key)
    assert record is not None
    assert info == SessionInfo(
        info.handle, "ann", clock.now, clock.now, clock.now + 100, {"a": 1}, True
    )
    nobodys = session_info(browser.key, Record({"a": b"1"}, 0, 5.0, 9.0))
    assert nobodys == SessionInfo(nobodys.handle, None, 5.0, 5.0, 9.0, {"a": 1}, False)
