"""A session with a time of its own after which it ends unused, in a store and in a cookie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ctxlocal.sessions import EncryptedCookieSessions, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.interface import SessionInterface
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Record

from .conftest import Make
from .stores.conftest import Clock

SECRET = "a secret of more than thirty-two bytes"
DAY = 86400


class Visitor:
    """A browser that keeps the session's cookie."""

    def __init__(self, sessions: SessionInterface) -> None:
        self.sessions = sessions
        self.cookie = self.line = ""  #: what it sends, and was sent last

    def visit(self, change: Callable[[Session], object] = lambda session: session.get("a")) -> None:
        session = self.sessions.open(self.cookie)
        change(session)
        for line in self.sessions.save(session).cookies:
            self.line, self.cookie = line, line.partition(";")[0]

    def is_known(self) -> bool:
        return "a" in self.sessions.open(self.cookie)


@pytest.fixture(params=["store", "signed", "encrypted"])
def visitor(request: pytest.FixtureRequest, make: Make, clock: Clock) -> Visitor:
    settings: dict[str, Any] = {"idle_timeout": 1000.0, "absolute_timeout": 10 * DAY}
    if request.param == "store":
        return Visitor(make(**settings))
    kind = SignedCookieSessions if request.param == "signed" else EncryptedCookieSessions
    return Visitor(kind(SECRET, clock=clock, **settings))


def begin(seconds: float | None) -> Callable[[Session], None]:
    def change(session: Session) -> None:
        session["a"] = 1
        session.expire_after(seconds)

    return change


@pytest.mark.parametrize("seconds", [100, 5000.5])
def test_it_ends_after_its_own_time(visitor: Visitor, clock: Clock, seconds: float) -> None:
    visitor.visit(begin(seconds))
    clock.now += seconds - 1
    assert visitor.is_known()
    clock.now += 1
    assert not visitor.is_known()


def test_whoever_only_reads_it_keeps_it(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(begin(50))  # shorter than any touch_interval that the settings have
    for _ in range(20):
        clock.now += 10
        visitor.visit()
    assert visitor.is_known()
    clock.now += 50
    assert not visitor.is_known()


def test_a_change_renews_it_by_its_own_time(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(begin(100))
    clock.now += 99
    visitor.visit(lambda session: session.update(b=2))
    clock.now += 99
    assert visitor.is_known()
    clock.now += 1
    assert not visitor.is_known()


def test_none_is_the_time_of_the_settings_again(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(begin(100))
    visitor.visit(begin(None))
    clock.now += 999
    assert visitor.is_known()
    clock.now += 1
    assert not visitor.is_known()


def test_it_says_how_long_it_lasts(visitor: Visitor) -> None:
    def look(session: Session) -> None:
        assert session.idle_timeout == 1000
        session.expire_after(100)
        assert session.idle_timeout == 100

    visitor.visit(look)


def test_cookie_of_a_permanent_session_lasts_as_long(visitor: Visitor) -> None:
    def change(session: Session) -> None:
        begin(100)(session)
        session.permanent = True

    visitor.visit(change)
    assert "Max-Age=100;" in visitor.line


def test_a_login_keeps_its_time_and_clear_forgets_it(visitor: Visitor) -> None:
    visitor.visit(begin(100))
    visitor.visit(lambda session: setattr(session, "user", "ada"))
    assert visitor.sessions.open(visitor.cookie).idle_timeout == 100
    visitor.visit(Session.clear)
    assert visitor.sessions.open(visitor.cookie).idle_timeout == 1000


def test_the_absolute_limit_ends_it_all_the_same(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(begin(10 * DAY))
    clock.now += 10 * DAY - 1
    visitor.visit()
    assert visitor.is_known()
    clock.now += 1
    assert not visitor.is_known()


def test_a_time_alone_makes_no_session(visitor: Visitor) -> None:
    visitor.visit(lambda session: session.expire_after(100))
    assert visitor.cookie == ""


@pytest.mark.parametrize("seconds", [0, 0.9, 10 * DAY + 1, float("nan"), True, "100"])
def test_other_times_are_refused_and_change_nothing(visitor: Visitor, seconds: Any) -> None:
    def change(session: Session) -> None:
        session["a"] = 1
        with pytest.raises(ValueError, match=r"^session\.expire_after\("):
            session.expire_after(seconds)
        assert session.idle_timeout == 1000

    visitor.visit(change)


def test_store_lets_the_record_go_at_its_own_time(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    sessions = StoredSessions(store, clock=clock)
    session = sessions.open("")
    begin(100)(session)
    sessions.save(session)
    ((_, record),) = store.scan()
    assert record.expires == clock.now + 100


@pytest.mark.parametrize("raw", [b"", b"soon", b"\xff"])
def test_a_time_that_is_no_number_is_that_of_the_settings(clock: Clock, raw: bytes) -> None:
    class Foreign(MemoryStore):
        def load(self, key: str) -> Record | None:
            record = super().load(key)
            if record is not None:
                record.values["\0idle"] = raw
            return record

    sessions = StoredSessions(Foreign(clock=clock), clock=clock, idle_timeout=1000)
    visitor = Visitor(sessions)
    visitor.visit(begin(100))
    assert sessions.open(visitor.cookie).idle_timeout == 1000
