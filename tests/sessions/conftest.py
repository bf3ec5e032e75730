"""Fixtures: stored sessions on a clock moved by hand, and browsers that keep their cookie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ctxlocal.sessions import events as event
from ctxlocal.sessions.in_store.session import AsyncStoredSession, StoredSession
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.in_store.token import key_of
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore

from .stores.conftest import Clock

Make = Callable[..., StoredSessions[Any]]

EVENTS = ("created", "loaded", "regenerated", "destroyed", "expired", "rejected", "conflict")


class Browser:
    """A visitor's browser: it keeps the session's cookie from one request to the next."""

    def __init__(self, sessions: StoredSessions[Any], cookie: str = "") -> None:
        self.sessions = sessions
        self.cookie = cookie
        self.headers = SessionHeaders()  #: of the last response

    @property
    def key(self) -> str:
        """The store's key of the session."""
        return key_of(self.cookie.partition("=")[2])

    def open(self) -> StoredSession:
        session = self.sessions.open(self.cookie)
        assert isinstance(session, StoredSession)
        return session

    def receive(self, headers: SessionHeaders) -> SessionHeaders:
        """Take the cookies of a response."""
        self.headers = headers
        for cookie in headers.cookies:
            self.cookie = "" if "Max-Age=0" in cookie else cookie.partition(";")[0]
        return headers

    def save(self, session: Session) -> SessionHeaders:
        return self.receive(self.sessions.save(session))

    @contextmanager
    def request(self) -> Iterator[StoredSession]:
        """One request, which ends well."""
        session = self.open()
        yield session
        self.save(session)

    def values(self) -> dict[str, Any]:
        """What the session holds, as a request would see it."""
        return dict(self.open())

    async def open_async(self) -> StoredSession:
        session = await self.sessions.open_async(self.cookie)
        assert isinstance(session, StoredSession)
        return session

    async def save_async(self, session: Session) -> SessionHeaders:
        return self.receive(await self.sessions.save_async(session))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["at once", "by the flow"])
def make(request: pytest.FixtureRequest, clock: Clock) -> Make:
    """Make stored sessions, by default on a memory store, with the test's clock.

    Both as they are, with a shortcut for the common request, and without it.
    """

    def make(store: Any = None, **settings: Any) -> StoredSessions[Any]:
        store = MemoryStore(clock=clock) if store is None else store
        made = StoredSessions(store, clock=clock, **settings)
        if request.param == "by the flow" and made.schema is None:
            made._kind, made._async_kind = StoredSession, AsyncStoredSession
        return made

    return make


@pytest.fixture
def sessions(make: Make) -> StoredSessions[Any]:
    return make()


@pytest.fixture
def browser(sessions: StoredSessions[Any]) -> Browser:
    return Browser(sessions)


@pytest.fixture
def events() -> Iterator[list[str]]:
    """The events of a test, in their order: ``name`` or ``name: reason``."""
    seen: list[str] = []
    receivers = {}
    for name in EVENTS:

        def receive(sender: object, name: str = name, reason: str = "", **_: object) -> None:
            seen.append(f"{name}: {reason}" if reason else name)

        receivers[name] = receive
        getattr(event, name).connect(receive)
    yield seen
    for name, receive in receivers.items():
        getattr(event, name).disconnect(receive)
