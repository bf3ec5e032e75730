"""What every kind of session refuses, and what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ctxlocal.sessions import SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionClosedError, SessionError, SessionNotLoadedError
from ctxlocal.sessions.fields import Fields
from ctxlocal.sessions.headers import NOTHING
from ctxlocal.sessions.interface import SessionInterface
from ctxlocal.sessions.session import NullSession, Session
from ctxlocal.sessions.stores.memory import MemoryStore

from .conftest import Browser

KINDS: dict[str, Callable[[], Session]] = {
    "stored": lambda: StoredSessions(MemoryStore()).open(""),
    "cookie": lambda: SignedCookieSessions(b"k" * 32).open(""),
}


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


@pytest.fixture(params=KINDS)
def session(request: pytest.FixtureRequest) -> Session:
    return KINDS[request.param]()


@pytest.mark.parametrize("grace", [-1, -0.001, float("inf"), float("nan")])
def test_a_grace_is_a_number_of_seconds(session: Session, grace: float) -> None:
    with pytest.raises(
        ValueError, match=exactly(f"grace is a number of seconds from 0 on; got {grace!r}")
    ):
        session.regenerate(grace)
    assert not session.modified


def test_a_session_cannot_be_made_unmodified(session: Session) -> None:
    message = "session.modified can be set to True only; changes cannot be undone"
    for wrong in (False, 1, None):
        with pytest.raises(ValueError, match=exactly(message)):
            session.modified = wrong  # type: ignore[assignment]


def test_what_this_request_set_is_popped_once_too() -> None:
    session = KINDS["stored"]()
    session["code"] = 5
    assert session.pop_once("code") == 5
    assert session.pop_once("code", "gone") == "gone"
    assert "code" not in session
    assert not session.modified


class Elsewhere(Session):
    """A session of an interface of the application's own, which keeps it wherever it likes."""

    __slots__ = ()

    def _fetch(self) -> None:
        self._begin({})


CHANGES: dict[str, Callable[[Session], object]] = {
    "set": lambda session: session.update(b=2),
    "delete": lambda session: session.pop("a"),
    "count": lambda session: session.incr("n"),
    "take": lambda session: session.pop_once("a"),
    "flash": lambda session: session.flash("hello"),
    "member": lambda session: session.add_to_set("tags", "x"),
    "clear": lambda session: session.clear(),
    "log in": lambda session: setattr(session, "user", "ada"),
    "forget": lambda session: setattr(session, "permanent", False),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_one_session_notes_no_other_has(change: Callable[[Session], object]) -> None:
    """Also where sessions of which nothing is noted share what holds nothing."""
    browser = Browser(StoredSessions(MemoryStore()))
    with browser.request() as session:
        session.update(a=1, n=1)
        session.permanent = True
    one, other = browser.open(), browser.open()
    assert one == other == {"a": 1, "n": 1}
    change(one)
    assert one.modified
    assert not other.modified
    assert other == {"a": 1, "n": 1}


def test_what_sessions_share_takes_nothing() -> None:
    session = Browser(StoredSessions(MemoryStore())).open()
    session._read()
    shared: list[Any] = [session._assigned, session._added, session._ops]
    for each in shared:
        with pytest.raises(TypeError):
            each["a"] = b""
    with pytest.raises(AttributeError):
        session._dropped.add("a")


def test_a_session_without_a_store_cannot_be_saved_in_between() -> None:
    session = Elsewhere()
    message = "a Elsewhere has no store to save to"
    with pytest.raises(NotImplementedError, match=exactly(message)):
        session.save()
    session._closed = True
    with pytest.raises(SessionClosedError) as caught:
        session.save()
    assert caught.value.operation == "session.save()"


def test_fields_that_nothing_loads_are_not_loaded() -> None:
    with pytest.raises(SessionNotLoadedError):
        Fields().keys().__len__()


@pytest.mark.parametrize("raw", [b"x", b"", b"1,5"])
def test_a_time_of_login_that_is_none_is_none(raw: bytes) -> None:
    store = MemoryStore()
    sessions = StoredSessions(store)
    browser = Browser(sessions)
    with browser.request() as session:
        session.user = "ann"
    record = store.load(browser.key)
    assert record is not None
    commit = record.values | {"\0auth": raw}
    store.delete(browser.key)
    store.create(browser.key, commit, 60.0)
    assert browser.open().authenticated_at is None


def test_a_null_session_is_saved_as_nothing() -> None:
    session: Any = NullSession()
    assert session.is_null
    assert not session
    with pytest.raises(SessionError, match="There is no session here"):
        session["a"] = 1


class Saves(SessionInterface):
    """The least that an interface has."""

    def open(self, cookies: str) -> Session:
        return NullSession()

    def save(self, session: Session) -> Any:
        return NOTHING

    async def open_async(self, cookies: str) -> Session:
        return NullSession()

    async def save_async(self, session: Session) -> Any:
        return NOTHING

    def null(self) -> Session:
        return NullSession()


def test_an_interface_is_not_saved_in_a_thread_unless_it_says_so() -> None:
    assert Saves().may_save_in_thread is False
