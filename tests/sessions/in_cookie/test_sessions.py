from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxlocal.sessions import events as event
from ctxlocal.sessions.cookie import MAX_AGE, Cookie, scan
from ctxlocal.sessions.errors import (
    CookieTooLargeError,
    NotSupportedByStore,
    SessionClosedError,
    SessionConfigError,
    SessionError,
)
from ctxlocal.sessions.in_cookie.envelope import Envelope
from ctxlocal.sessions.in_cookie.keyring import Keyring
from ctxlocal.sessions.in_cookie.sessions import (
    CookieSession,
    EncryptedCookieSessions,
    SignedCookieSessions,
)
from ctxlocal.sessions.session import Session

KEY, OTHER_KEY = "a key   " * 4, "another " * 4
NAME, FLASH_NAME = "__Host-session", "__Host-session-flash"
DELETION = "=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
DAY = 86400
MAKE_ONE = 'Make one: python -c "import secrets; print(secrets.token_hex(32))"'
KINDS = {"signed": SignedCookieSessions, "encrypted": EncryptedCookieSessions}


class Clock:
    """The time as the test has it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """Keeps cookies by what Set-Cookie says, and sends them."""

    def __init__(self, sessions: Any) -> None:
        self.sessions = sessions
        self.cookies: dict[str, str] = {}

    @property
    def header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def take(self, texts: tuple[str, ...]) -> None:
        for text in texts:
            pair, _, attributes = text.partition("; ")
            name, _, value = pair.partition("=")
            if attributes.startswith("Max-Age=0"):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def visit(self, view: Callable[[Any], Any] = dict) -> Any:
        """Make one request; return what the view does, and keep what it set in ``last``."""
        session = self.sessions.open(self.header)
        result = view(session)
        self.last = self.sessions.save(session)
        self.take(self.last.cookies)
        return result

    def names(self) -> list[str]:
        """Return the names of the cookies that the last response set."""
        return [text.partition("=")[0] for text in self.last.cookies]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, clock: Clock) -> Callable[..., Any]:
    def sessions(keys: Any = KEY, **settings: Any) -> Any:
        return KINDS[request.param](keys, **{"clock": clock, **settings})

    return sessions


@pytest.fixture
def sessions(make: Callable[..., Any]) -> Any:
    return make()


@pytest.fixture
def browser(sessions: Any) -> Browser:
    return Browser(sessions)


def keep(session: Session) -> None:
    session["a"] = 1
    session.permanent = True


def put(**values: Any) -> Callable[[Session], None]:
    return lambda session: session.update(values)


def log_in(user: str = "ada") -> Callable[[Session], None]:
    return lambda session: setattr(session, "user", user)


@contextmanager
def heard(*signals: Any) -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []
    receivers = []
    for signal in signals:

        def receive(sender: Any, signal: Any = signal, **data: Any) -> None:
            seen.append((signal.name.partition("-")[2], data.get("reason")))

        signal.connect(receive)
        receivers.append((signal, receive))
    try:
        yield seen
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)


ALL = (
    event.created,
    event.loaded,
    event.regenerated,
    event.destroyed,
    event.expired,
    event.rejected,
    event.conflict,
)


# What it keeps.


def test_values_come_back(browser: Browser) -> None:
    values = {"name": "ada", "n": 1, "cart": [1, {"a": [2.5, None, True, b"x"]}]}
    browser.visit(put(**values))
    assert browser.visit() == values


def test_a_nested_change_is_kept(browser: Browser) -> None:
    browser.visit(put(cart={"items": []}))
    browser.visit(lambda session: session["cart"]["items"].append("tea"))
    assert browser.visit() == {"cart": {"items": ["tea"]}}


def test_a_deleted_key_is_gone(browser: Browser) -> None:
    browser.visit(put(a=1, b=2))
    browser.visit(lambda session: session.pop("a"))
    assert browser.visit() == {"b": 2}


def test_a_cleared_session_keeps_what_was_set_after(browser: Browser) -> None:
    browser.visit(put(a=1, b=2))
    browser.visit(lambda session: (session.clear(), session.update(c=3)))
    assert browser.visit() == {"c": 3}


def test_sets_are_kept(browser: Browser) -> None:
    browser.visit(lambda session: session.add_to_set("seen", 1))
    browser.visit(lambda session: session.add_to_set("seen", 2))
    assert browser.visit() == {"seen": frozenset({1, 2})}


def test_keys_may_be_a_keyring(make: Callable[..., Any]) -> None:
    one, other = Browser(make(Keyring(KEY))), Browser(make(KEY))
    one.visit(put(a=1))
    other.cookies = one.cookies
    assert other.visit() == {"a": 1}


# When it writes.


def test_r6_an_untouched_session_costs_nothing(sessions: Any, browser: Browser) -> None:
    browser.visit(put(a=1))
    session = sessions.open(browser.header)
    repr(session)
    assert sessions.save(session) == (False, ())
    assert not session.is_loaded


@pytest.mark.parametrize(
    "view",
    [
        dict,
        len,
        lambda session: session.get("a"),
        lambda session: session.clear(),
        lambda session: session.destroy(),
        lambda session: session.refresh(),
        lambda session: session.regenerate(),
        lambda session: setattr(session, "permanent", True),
        lambda session: (session.update(a=1), session.pop("a")),
        lambda session: (session.flash("m"), session.get_flashed()),
    ],
)
def test_r6_an_empty_session_sets_no_cookie(browser: Browser, view: Any) -> None:
    browser.visit(view)
    assert browser.last == (True, ())


def test_r20_reading_varies_by_cookie_and_sets_none(browser: Browser) -> None:
    browser.visit(put(a=1))
    assert browser.visit() == {"a": 1}
    assert browser.last == (True, ())


def test_r21_the_headers_forbid_to_store_a_response_with_the_cookie(browser: Browser) -> None:
    browser.visit(put(a=1))
    headers = [("Cache-Control", "public"), ("Vary", "Accept")]
    browser.last.merge_into(headers)
    assert headers[:-1] == [("Vary", "Accept"), ("Vary", "Cookie"), ("Cache-Control", "no-store")]
    assert headers[-1][0] == "Set-Cookie"


def test_r9_reading_renews_the_expiry_once_in_an_interval(browser: Browser, clock: Clock) -> None:
    browser.visit(put(a=1))
    clock.now += 59
    browser.visit()
    assert browser.names() == []
    clock.now += 1
    browser.visit()
    assert browser.names() == [NAME]
    clock.now += 59
    browser.visit()
    assert browser.names() == []


def test_refresh_renews_it_at_once(browser: Browser) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: session.refresh())
    assert browser.names() == [NAME]
    assert browser.visit() == {"a": 1}


def test_r16_each_cookie_is_set_once(browser: Browser) -> None:
    browser.visit(lambda s: (s.update(a=1), s.flash("m"), s.regenerate(), s.refresh()))
    assert browser.names() == [NAME, FLASH_NAME]


# Its cookie.


def test_r13_the_cookie_is_as_configured(make: Callable[..., Any]) -> None:
    browser = Browser(make(cookie=Cookie("s", path="/app", same_site="Strict")))
    browser.visit(lambda session: (session.update(a=1), session.flash("m")))
    for text, name in zip(browser.last.cookies, ["s", "s-flash"], strict=True):
        assert text.startswith(f"{name}=1")
        assert text.endswith("; Path=/app; Secure; HttpOnly; SameSite=Strict")
        assert "Max-Age" not in text


def test_r15_a_permanent_session_outlives_the_browser(browser: Browser) -> None:
    browser.visit(keep)
    assert f"; Max-Age={14 * DAY}; " in browser.last.cookies[0]
    browser.visit(lambda session: setattr(session, "permanent", False))
    assert "Max-Age" not in browser.last.cookies[0]


def test_r15_the_cookie_never_outlives_the_absolute_limit(
    make: Callable[..., Any], clock: Clock
) -> None:
    browser = Browser(make(idle_timeout=100, absolute_timeout=150, touch_interval=0))
    browser.visit(keep)
    clock.now += 90.5
    browser.visit()
    assert "; Max-Age=60; " in browser.last.cookies[0]


def test_r15_a_session_that_does_not_fit_raises_at_save(browser: Browser) -> None:
    browser.visit(put(a=1))
    with pytest.raises(CookieTooLargeError, match=r"^The cookie '__Host-session' would be \d+ "):
        browser.visit(put(big="x" * 4096))
    with pytest.raises(CookieTooLargeError, match=r"^The cookie '__Host-session-flash' would be "):
        browser.visit(lambda session: session.flash("x" * 4096))
    with pytest.raises(CookieTooLargeError):
        browser.visit(lambda session: (session.update(big="x" * 4096), session.save()))
    assert browser.visit() == {"a": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"idle_timeout": 0},
            "idle_timeout: 0 is not between 1 second and absolute_timeout, 7776000",
        ),
        (
            {"idle_timeout": 9, "absolute_timeout": 8},
            "idle_timeout: 9 is not between 1 second and absolute_timeout, 8",
        ),
        (
            {"absolute_timeout": MAX_AGE + 1},
            "absolute_timeout: 34560001 seconds are over 34560000",
        ),
        (
            {"idle_timeout": 60, "touch_interval": 60},
            "touch_interval: 60 is not from 0 to idle_timeout, 60",
        ),
        ({"touch_interval": -1}, "touch_interval: -1 is not from 0 to idle_timeout, 1209600"),
        ({"keys": "short"}, f"keys: number 1 has 5 bytes; it needs 32 at least. {MAKE_ONE}"),
    ],
)
def test_r15_r27_settings_out_of_range_are_refused(
    make: Callable[..., Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
        make(**settings)


def test_r14_destroying_deletes_the_cookies(browser: Browser) -> None:
    browser.visit(lambda session: (session.update(a=1), session.flash("m")))
    browser.visit(lambda session: session.destroy())
    assert browser.last.cookies == (NAME + DELETION, FLASH_NAME + DELETION)
    assert browser.visit() == {}


def test_r14_a_session_that_was_emptied_is_deleted(browser: Browser) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: session.pop("a"))
    assert browser.last.cookies == (NAME + DELETION,)


def test_r14_a_cookie_that_was_refused_is_deleted_by_destroy(browser: Browser) -> None:
    browser.cookies[NAME] = "junk"
    browser.visit(lambda session: session.destroy())
    assert browser.last.cookies == (NAME + DELETION,)


def test_what_is_set_after_destroy_begins_a_new_session(browser: Browser, clock: Clock) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: (session.destroy(), session.update(b=2), session.flash("bye")))
    assert browser.visit() == {"b": 2}
    assert browser.visit(lambda session: session.get_flashed()) == [("message", "bye")]


# Which cookie it takes.


def test_r17_of_several_cookies_the_one_that_verifies_is_taken(
    browser: Browser, sessions: Any, make: Callable[..., Any]
) -> None:
    browser.visit(put(a=1))
    stranger = Browser(make(OTHER_KEY))
    stranger.visit(put(a="planted"))
    good, planted = browser.cookies[NAME], stranger.cookies[NAME]
    for values in ([planted, good], [good, planted], ["", '"', planted, "x" * 5000, good]):
        header = "; ".join(f"{NAME}={value}" for value in values)
        assert dict(sessions.open(header)) == {"a": 1}


def test_r17_an_expired_one_does_not_hide_a_live_one(browser: Browser, clock: Clock) -> None:
    browser.visit(put(a="old"))
    old = browser.cookies[NAME]
    clock.now += 15 * DAY
    browser.cookies.clear()
    browser.visit(put(a="live"))
    header = f"{NAME}={old}; {NAME}={browser.cookies[NAME]}"
    assert dict(browser.sessions.open(header)) == {"a": "live"}


def test_r18_a_quote_does_not_hide_the_session(browser: Browser) -> None:
    browser.visit(put(a=1))
    header = f'q="x; {browser.header}; y="'
    assert dict(browser.sessions.open(header)) == {"a": 1}


def test_r24_a_quoted_token_is_refused(browser: Browser) -> None:
    browser.visit(put(a=1))
    browser.cookies[NAME] = f'"{browser.cookies[NAME]}"'
    assert browser.visit() == {}


def test_r24_a_refused_cookie_is_an_empty_session(
    browser: Browser, make: Callable[..., Any]
) -> None:
    browser.visit(put(a=1))
    other = Browser(make(OTHER_KEY))
    other.cookies = browser.cookies
    assert other.visit() == {}
    assert other.last == (True, ())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.text().map(lambda text: f"{NAME}={text}; {FLASH_NAME}={text}"))
def test_r24_any_header_is_an_empty_session(sessions: Any, header: str) -> None:
    session = sessions.open(header)
    assert dict(session) == {}
    assert session.user is None
    assert session.get_flashed() == []
    assert sessions.save(session) == (True, ())


def test_r23_a_cookie_of_another_name_is_refused(
    browser: Browser, make: Callable[..., Any]
) -> None:
    other = Browser(make(cookie=Cookie("__Host-other")))
    other.visit(lambda session: (session.update(a=1), session.flash("m")))
    browser.cookies[NAME] = other.cookies["__Host-other"]
    browser.cookies[FLASH_NAME] = other.cookies["__Host-other-flash"]
    assert browser.visit(lambda s: (dict(s), s.get_flashed())) == ({}, [])


def test_r23_the_flash_cookie_is_no_session_and_the_session_no_flash_cookie(
    browser: Browser,
) -> None:
    browser.visit(lambda session: (session.update(a=1), session.flash("m")))
    browser.cookies = {
        NAME: browser.cookies[FLASH_NAME],
        FLASH_NAME: browser.cookies[NAME],
    }
    assert browser.visit(lambda s: (dict(s), s.get_flashed())) == ({}, [])


def test_r26_rotation_keeps_everybody_logged_in(make: Callable[..., Any]) -> None:
    browser = Browser(make(KEY))
    browser.visit(log_in())
    browser.sessions = make([OTHER_KEY, KEY])
    assert browser.visit(lambda session: session.user) == "ada"
    browser.visit(put(a=1))
    browser.sessions = make(OTHER_KEY)
    assert browser.visit(lambda session: session.user) == "ada"
    browser.sessions = make(KEY)
    assert browser.visit(lambda session: session.user) is None


def test_r32_a_corrupt_value_is_an_empty_session_a_log_line_and_a_counter(
    sessions: Any, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    fields = {"a": b"\xc1", "b": b"2", "\0born": repr(clock.now).encode()}
    token = sessions._seal.seal(Envelope(clock.now, clock.now + 60, fields))
    session = sessions.open(f"{NAME}={token}")
    with caplog.at_level(logging.ERROR, "ctxlocal.sessions"), heard(*ALL) as seen:
        assert session.get("a") is None
    assert dict(session) == {}
    assert sessions.corrupt_records == 1
    assert [record.name for record in caplog.records] == ["ctxlocal.sessions"]
    assert token not in caplog.text
    assert seen == [("loaded", None), ("rejected", "corrupt record")]
    session["c"] = 3
    (text,) = sessions.save(session).cookies
    assert dict(sessions.open(text)) == {"c": 3}


@pytest.mark.parametrize("born", [None, b"", b"x", b"\xff", b"nan", b"-1"])
def test_r9_a_token_that_does_not_say_when_it_was_born_is_refused(
    sessions: Any, clock: Clock, born: bytes | None
) -> None:
    fields = {"a": b"1"} if born is None else {"a": b"1", "\0born": born}
    token = sessions._seal.seal(Envelope(clock.now, clock.now + 60, fields))
    assert dict(sessions.open(f"{NAME}={token}")) == {}


# How long it lives.


def test_r9_an_idle_session_ends(browser: Browser, clock: Clock) -> None:
    browser.visit(put(a=1))
    clock.now += 14 * DAY - 1
    assert browser.visit() == {"a": 1}
    clock.now += 14 * DAY
    assert browser.visit() == {}


def test_r9_a_used_session_ends_at_the_absolute_limit(browser: Browser, clock: Clock) -> None:
    browser.visit(put(a=1))
    for _ in range(89):
        clock.now += DAY
        assert browser.visit() == {"a": 1}
    clock.now += DAY
    assert browser.visit() == {}


@pytest.mark.parametrize(
    "limits", [{"idle_timeout": 7 * DAY}, {"idle_timeout": 8 * DAY, "absolute_timeout": 14 * DAY}]
)
def test_r9_shorter_limits_hold_for_tokens_that_are_about(
    make: Callable[..., Any],
    browser: Browser,
    clock: Clock,
    limits: dict[str, Any],
    events: list[str],
) -> None:
    browser.visit(put(a=1))
    clock.now += 7 * DAY
    browser.visit(put(b=2))
    clock.now += 7 * DAY
    browser.sessions = make(**limits)
    events.clear()
    assert browser.visit() == {}
    assert events == ["expired"]


def test_r9_longer_limits_bring_no_token_back(make: Callable[..., Any], clock: Clock) -> None:
    browser = Browser(make(idle_timeout=100))
    browser.visit(put(a=1))
    clock.now += 100
    browser.sessions = make()
    assert browser.visit() == {}


def test_r9_a_login_begins_the_absolute_limit_anew(browser: Browser, clock: Clock) -> None:
    browser.visit(put(a=1))
    for _ in range(8):
        clock.now += 10 * DAY
        browser.visit()
    browser.visit(log_in())
    clock.now += 13 * DAY
    assert browser.visit(lambda session: session.user) == "ada"


def test_r10_logins_before_valid_after_are_refused(make: Callable[..., Any], clock: Clock) -> None:
    limits: dict[str, float] = {}
    sessions = make(valid_after=limits.get)
    ada, bob = Browser(sessions), Browser(sessions)
    ada.visit(log_in("ada"))
    bob.visit(log_in("bob"))
    clock.now += 10
    limits["ada"] = clock.now
    with heard(*ALL) as seen:
        assert ada.visit(lambda session: session.user) is None
    assert seen == [("rejected", "revoked")]
    assert bob.visit(lambda session: session.user) == "bob"
    ada.visit(log_in("ada"))
    assert ada.visit(lambda session: session.user) == "ada"


def test_r10_a_request_under_way_does_not_escape(make: Callable[..., Any], clock: Clock) -> None:
    limits: dict[str, float] = {}
    browser = Browser(make(valid_after=limits.get))
    browser.visit(log_in())

    def slow_view(session: Session) -> None:
        session["a"] = 1
        clock.now += 10
        limits["ada"] = clock.now - 5

    browser.visit(slow_view)
    assert browser.visit(lambda session: session.user) is None


def test_r10_whoever_proves_himself_again_stays(make: Callable[..., Any], clock: Clock) -> None:
    limits: dict[str, float] = {}
    browser = Browser(make(valid_after=limits.get))
    browser.visit(log_in())
    clock.now += 10
    browser.visit(lambda session: setattr(session, "authenticated_at", clock.now))
    limits["ada"] = clock.now - 5
    assert browser.visit(lambda session: session.user) == "ada"


def test_r10_the_hook_is_asked_for_users_only(make: Callable[..., Any]) -> None:
    asked: list[str] = []
    browser = Browser(make(valid_after=asked.append))
    browser.visit(put(a=1))
    browser.visit()
    browser.visit(log_in())
    assert asked == []
    browser.visit()
    assert asked == ["ada"]


# Flash messages.


def test_a_flash_rewrites_no_session(browser: Browser) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda session: session.flash("saved", "info"))
    assert browser.names() == [FLASH_NAME]
    assert browser.visit() == {"a": 1}
    assert browser.names() == []
    assert browser.visit(lambda session: session.get_flashed()) == [("info", "saved")]
    assert browser.last.cookies == (FLASH_NAME + DELETION,)
    assert browser.visit(lambda session: session.get_flashed()) == []


def test_a_flash_needs_no_session(browser: Browser) -> None:
    browser.visit(lambda session: session.flash("hello"))
    assert browser.names() == [FLASH_NAME]
    browser.visit(lambda session: session.flash("again"))
    assert browser.visit(lambda session: session.get_flashed()) == [
        ("message", "hello"),
        ("message", "again"),
    ]


def test_a_change_keeps_the_messages_that_wait(browser: Browser) -> None:
    browser.visit(lambda session: session.flash("m"))
    browser.visit(put(a=1))
    assert browser.names() == [NAME]
    assert browser.visit(lambda session: session.get_flashed()) == [("message", "m")]


def test_a_message_survives_the_login(browser: Browser) -> None:
    browser.visit(lambda session: session.flash("please log in"))
    browser.visit(log_in())
    assert browser.visit(lambda s: s.get_flashed()) == [("message", "please log in")]


def test_a_message_for_a_user_is_shown_to_no_other(browser: Browser) -> None:
    browser.visit(log_in("ada"))
    browser.visit(lambda session: session.flash("for ada"))
    message = browser.cookies[FLASH_NAME]
    for view in (log_in("bob"), lambda session: session.destroy()):
        browser.visit(view)
        browser.cookies[FLASH_NAME] = message
        assert browser.visit(lambda session: session.get_flashed()) == []


def test_a_message_expires(browser: Browser, clock: Clock) -> None:
    browser.visit(lambda session: session.flash("m"))
    clock.now += 14 * DAY
    assert browser.visit(lambda session: session.get_flashed()) == []


# What it cannot do, and when it no longer can.


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("session.incr()", lambda session, sessions: session.incr("n")),
        ("session.pop_once()", lambda session, sessions: session.pop_once("n")),
        ("list_sessions()", lambda session, sessions: sessions.list_sessions("ada")),
        ("revoke()", lambda session, sessions: sessions.revoke("handle", user="ada")),
        ("revoke_all()", lambda session, sessions: sessions.revoke_all("ada", session)),
        ("revoke_everyone()", lambda session, sessions: sessions.revoke_everyone()),
    ],
)
def test_what_needs_a_store_is_refused(sessions: Any, operation: str, call: Any) -> None:
    kind = type(sessions).__name__
    message = (
        f"{operation} needs a store on the server; {kind} keeps the session in the cookie "
        "alone. Use StoredSessions."
    )
    with pytest.raises(NotSupportedByStore, match=f"^{re.escape(message)}$"):
        call(sessions.open(""), sessions)


def test_r34_a_write_after_the_headers_raises(browser: Browser, sessions: Any) -> None:
    browser.visit(put(a=1))
    session = sessions.open(browser.header)
    assert session["a"] == 1
    sessions.save(session)
    assert session["a"] == 1
    with pytest.raises(SessionClosedError, match=r"^session\[...\] = ... after the session was "):
        session["a"] = 2


def test_r20_a_first_look_after_the_headers_raises(browser: Browser, sessions: Any) -> None:
    browser.visit(put(a=1))
    session = sessions.open(browser.header)
    sessions.save(session)
    with pytest.raises(SessionClosedError, match=r"^the session's first use after the session"):
        session.get("a")


def test_r34_it_is_closed_also_when_it_did_not_fit(sessions: Any) -> None:
    session = sessions.open("")
    session["big"] = "x" * 4096
    with pytest.raises(CookieTooLargeError):
        sessions.save(session)
    with pytest.raises(SessionClosedError):
        session["a"] = 1


def test_null_refuses_every_change(sessions: Any) -> None:
    session = sessions.null()
    assert session.is_null
    assert sessions.is_null_session(session)
    assert dict(session) == {}
    with pytest.raises(SessionError):
        session["a"] = 1
    assert sessions.save(session) == (True, ())
    assert sessions.save(sessions.null()) == (False, ())
    assert not sessions.is_null_session(sessions.open(""))


# Events.


def test_r35_events_tell_what_happens(browser: Browser, clock: Clock) -> None:
    def story(view: Any) -> list[tuple[str, Any]]:
        with heard(*ALL) as seen:
            browser.visit(view)
        return seen

    loaded, created, destroyed = ("loaded", None), ("created", None), ("destroyed", None)
    assert story(dict) == []
    assert story(put(a=1)) == [created]
    assert story(put(a=2)) == [loaded]
    assert story(log_in()) == [loaded, ("regenerated", None)]
    assert story(lambda s: (s.destroy(), s.update(b=1))) == [loaded, destroyed, created]
    assert story(lambda s: s.pop("b")) == [loaded, destroyed]
    assert story(put(a=1)) == [created]
    assert story(lambda s: s.destroy()) == [loaded, destroyed]
    assert story(put(a=1)) == [created]
    browser.cookies[NAME] += "A"
    assert story(dict) == [("rejected", REASONS[type(browser.sessions)])]
    browser.cookies[NAME] = browser.cookies[NAME][:-1]
    clock.now += 14 * DAY
    assert story(dict) == [("expired", None)]
    browser.cookies[NAME] = "x"
    assert story(dict) == [("rejected", "unknown key")]


REASONS: dict[type, str] = {SignedCookieSessions: "forged", EncryptedCookieSessions: "malformed"}


# Asynchronous.


def test_under_asgi_nothing_has_to_be_loaded(browser: Browser, sessions: Any) -> None:
    async def request() -> None:
        session = await sessions.open_async(browser.header)
        assert isinstance(session, CookieSession)
        assert session["a"] == 1
        session["b"] = 2
        assert await session.save() == ()
        browser.take((await sessions.save_async(session)).cookies)

    async def loaded() -> None:
        session = await sessions.open_async(browser.header)
        await session.load()
        await session.load()
        assert session.is_loaded
        assert not session.accessed
        assert await sessions.save_async(session) == (False, ())

    browser.visit(put(a=1))
    asyncio.run(request())
    assert browser.visit() == {"a": 1, "b": 2}
    asyncio.run(loaded())


def test_r20_every_public_way_to_touch_it_varies_by_cookie(browser: Browser, sessions: Any) -> None:
    browser.visit(put(a=1))
    arguments: dict[str, tuple[Any, ...]] = {
        "__contains__": ("a",),
        "__getitem__": ("a",),
        "__setitem__": ("a", 1),
        "__delitem__": ("a",),
        "__eq__": ({},),
        "get": ("a",),
        "pop": ("a",),
        "setdefault": ("a",),
        "update": ({"b": 1},),
        "add_to_set": ("b", 1),
        "flash": ("m",),
        "require_fresh": (1,),
        "expire_after": (100,),
    }
    untouching = {"accessed", "is_loaded", "is_null", "load", "modified", "incr", "pop_once"}
    special = ("__contains__", "__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__")
    names = [name for name in dir(CookieSession) if not name.startswith("_")]
    for name in (*special, "__eq__", *names):
        if name in untouching:
            continue
        session = sessions.open(browser.header)
        try:
            if isinstance(inspect.getattr_static(CookieSession, name), property):
                getattr(session, name)
            else:
                result = getattr(session, name)(*arguments.get(name, ()))
                list(result) if name in ("keys", "values", "items") else None
        except SessionError:
            assert name == "require_fresh"
        assert sessions.save(session).vary, name


def test_r5_no_token_is_in_a_repr(browser: Browser, sessions: Any) -> None:
    browser.visit(put(a=1))
    session = sessions.open(browser.header)
    dict(session)
    assert scan(browser.header, NAME)[0] not in repr(session) + repr(sessions)
