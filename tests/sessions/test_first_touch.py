"""Two threads of a request that touch its session first at the same time, at every line.

One of them may change it: what it did then is not lost to the other one's first look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ctxlocal.sessions import EncryptedCookieSessions, SignedCookieSessions, StoredSessions, fields
from ctxlocal.sessions import session as base
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.in_cookie import sessions as in_cookie
from ctxlocal.sessions.in_store import loading, quick, session, typed
from ctxlocal.sessions.interface import SessionHeaders, SessionInterface
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.values import pure

from ..support.interleaving import interleavings

MODULES = (base, fields, in_cookie, loading, quick, session, typed)


class Shop(msgspec.Struct):
    old: int = 0
    new: Any = ""
    cart: list[str] = []


def migrated(record: dict[str, Any]) -> dict[str, Any]:
    return {"cart": [str(record["cart"])]}


def in_memory(**settings: Any) -> Callable[[Path], SessionInterface]:
    return lambda _: StoredSessions(MemoryStore(), **settings)


def in_file(path: Path, **settings: Any) -> SessionInterface:
    return StoredSessions(SQLiteStore(path / "sessions"), **settings)


KINDS: dict[str, Callable[[Path], SessionInterface]] = {
    "signed cookie": lambda _: SignedCookieSessions(b"k" * 32),
    "encrypted cookie": lambda _: EncryptedCookieSessions(b"k" * 32),
    "memory": in_memory(),
    "memory, same_key=raise": in_memory(same_key="raise"),
    "memory, typed": in_memory(schema=Shop),
    "SQLite": in_file,
    "SQLite, typed": lambda path: in_file(path, schema=Shop),
}


class Wsgi:
    def __init__(self, sessions: SessionInterface) -> None:
        self._sessions = sessions

    def open(self, cookies: str) -> Session:
        return self._sessions.open(cookies)

    def save(self, session: Session) -> SessionHeaders:
        return self._sessions.save(session)

    def do(self, step: Callable[[], Any]) -> Any:
        return step()


class Asgi(Wsgi):
    """Each step in an event loop of its own."""

    def open(self, cookies: str) -> Session:
        return asyncio.run(self._open(cookies))

    def save(self, session: Session) -> SessionHeaders:
        return asyncio.run(self._save(session))

    def do(self, step: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return step()

        return asyncio.run(run())

    async def _open(self, cookies: str) -> Session:
        return await self._sessions.open_async(cookies)

    async def _save(self, session: Session) -> SessionHeaders:
        return await self._sessions.save_async(session)


class AsgiInThread(Asgi):
    """What touches the session is a view that is no coroutine."""

    def do(self, step: Callable[[], Any]) -> Any:
        return step()


INTERFACES = [Wsgi, Asgi, AsgiInThread]


@pytest.fixture(params=KINDS)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> SessionInterface:
    return KINDS[request.param](tmp_path)


@pytest.fixture(params=INTERFACES)
def server(request: pytest.FixtureRequest, sessions: SessionInterface) -> Wsgi:
    made: Wsgi = request.param(sessions)
    return made


def stored(server: Wsgi, **values: Any) -> str:
    """Return the cookies of a session with these values; where they are is open then."""
    session = server.open("")
    session.update(values)
    cookies = sent(server.save(session))
    assert server.open(cookies).get("old", 1) == 1
    return cookies


def sent(headers: SessionHeaders) -> str:
    return "; ".join(cookie.partition(";")[0] for cookie in headers.cookies)


def saved(server: Wsgi, session: Session, cookies: str) -> Session:
    """Save a session, and open the one that the browser has then."""
    return server.open(sent(server.save(session)) or cookies)


def test_a_first_look_loses_no_change(server: Wsgi) -> None:
    cookies = stored(server, old=1)
    opened: list[Session] = []

    def make() -> Any:
        session = server.open(cookies)
        opened.append(session)
        return (
            lambda: server.do(lambda: session["old"]),
            lambda: server.do(lambda: session.update(new="kept", old=2)),
        )

    for outcomes in interleavings(make, *MODULES):
        assert outcomes in ([1, None], [2, None])
        later = saved(server, opened[-1], cookies)
        assert (later["old"], later["new"]) == (2, "kept")
        if isinstance(server._sessions, StoredSessions):
            cookies = stored(server, old=1)


def test_a_read_does_not_hinder_the_end_of_the_request(server: Wsgi) -> None:
    """As a thread does that the view has left running, with what may change within."""
    cookies = stored(server, cart=["a"], old=1)

    def make() -> Any:
        session = server.open(cookies)
        server.do(lambda: session.update(new="kept"))
        return (
            lambda: server.do(lambda: session["cart"]),
            lambda: sent(server.save(session)) or cookies,
        )

    for cart, sends in interleavings(make, *MODULES, pure):
        assert cart == ["a"]
        assert server.open(sends)["new"] == "kept"


def test_the_end_of_the_request_is_not_hindered_by_a_read(server: Wsgi) -> None:
    cookies = stored(server, cart=["a"], new=[], old=1)
    kept = count()

    def make() -> Any:
        session = server.open(cookies)
        server.do(lambda: session["new"].append(next(kept)))
        return (
            lambda: sent(server.save(session)) or cookies,
            lambda: server.do(lambda: session["cart"]),
        )

    for made, (sends, cart) in enumerate(interleavings(make, *MODULES, pure)):
        assert cart == ["a"]
        assert server.open(sends)["new"][-1] == made


@pytest.mark.parametrize("kind", ["memory", "memory, same_key=raise", "memory, typed"])
def test_what_was_saved_during_a_first_look_is_not_saved_again(kind: str, tmp_path: Path) -> None:
    """It would undo what another request has made of it since."""
    server = Wsgi(KINDS[kind](tmp_path))
    opened: list[Session] = []

    def make() -> Any:
        session = server.open(stored(server, cart=["a"], old=1))
        opened.append(session)

        def change() -> None:
            session["cart"].append("b")
            session.save()

        return lambda: session["cart"][0], change

    for outcomes in interleavings(make, *MODULES, pure):
        assert outcomes == ["a", None]
        assert not opened[-1].modified


def test_what_was_ended_at_a_first_look_stays_so(server: Wsgi) -> None:
    cookies = stored(server, old=1)
    opened: list[Session] = []

    def end(session: Session) -> None:
        session.destroy()
        session["new"] = "kept"

    def make() -> Any:
        session = server.open(cookies)
        opened.append(session)
        return (
            lambda: server.do(lambda: session.get("old", 1)),
            lambda: server.do(lambda: end(session)),
        )

    for outcomes in interleavings(make, *MODULES):
        assert outcomes in ([1, None], [0, None])  # 0: the default of a schema
        later = saved(server, opened[-1], cookies)
        assert later["new"] == "kept"
        assert later.get("old") in (None, 0)
        if isinstance(server._sessions, StoredSessions):
            cookies = stored(server, old=1)


def test_a_change_within_what_was_migrated_is_kept() -> None:
    """The object that one thread got is that of the session."""
    store = MemoryStore()
    cookies = stored(Wsgi(StoredSessions(store)), cart="a")
    server = Wsgi(StoredSessions(store, schema=Shop, migrate=migrated))
    opened: list[Session] = []

    def make() -> Any:
        session = server.open(cookies)
        opened.append(session)
        return lambda: session["cart"], lambda: session["cart"].append("b")

    for outcomes in interleavings(make, *MODULES):
        assert outcomes == [["a", "b"], None]
        assert opened[-1].modified


def test_where_the_store_is_down_for_one_of_them() -> None:
    """It is as the first one to load it found it: with its values, or empty and unchangeable."""
    store = Down()
    server = Wsgi(StoredSessions(store, when_down="anonymous", same_key="raise"))
    cookies = stored(server, old=1)
    opened: list[Session] = []

    def make() -> Any:
        session = server.open(cookies)
        opened.append(session)
        store.fails = 1
        return lambda: session.get("old"), lambda: session.update(new="kept")

    seen = set()
    for was, refusal in interleavings(make, *MODULES):
        session = opened[-1]
        assert session.refusal is refusal
        assert (dict(session) == {}) is (refusal is not None)
        assert (session.get("new") == "kept") is (refusal is None)
        assert was in ((None,) if refusal is not None else (None, 1))
        seen.add(refusal is None)
    assert seen == {True, False}


class Down(MemoryStore):
    """A store that gives no answer to as many loads."""

    fails = 0

    def load(self, key: str) -> Any:
        if self.fails:
            self.fails -= 1
            raise StoreUnavailableError("memory", "load")
        return super().load(key)
