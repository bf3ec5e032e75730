"""AsyncQuickSession: the common request under ASGI comes to what the whole flow comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ctxlocal.sessions.errors import CorruptRecordError, StoreUnavailableError
from ctxlocal.sessions.in_store.quick import AsyncQuickSession
from ctxlocal.sessions.in_store.session import AsyncStoredSession
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.in_store.token import key_of
from ctxlocal.sessions.stores.protocol import Answer
from ctxlocal.sessions.stores.sqlite import SQLiteStore

from ..conftest import Browser
from ..stores.conftest import Clock

pytestmark = pytest.mark.asyncio

Use = Callable[[Any], object]


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(tmp_path / "sessions.db", clock=clock)) as made:
        yield made


def made(store: Any, clock: Clock, kind: type[AsyncStoredSession]) -> StoredSessions[Any]:
    sessions = StoredSessions(store, clock=clock, idle_timeout=1800, absolute_timeout=10_000)
    sessions._async_kind = kind
    return sessions


async def visited(sessions: StoredSessions[Any], begin: Use) -> Browser:
    """Return a browser with a session, in a process that has loaded one before."""
    browser = Browser(sessions)
    session = await browser.open_async()
    session.update(a=1, b=[2], code="x")
    begin(session)
    await browser.save_async(session)
    await browser.open_async()
    return browser


async def test_it_is_taken_where_the_common_request_is_all(store: SQLiteStore) -> None:
    taken = {
        type(await sessions.open_async(""))
        for sessions in (StoredSessions(store), StoredSessions(store, when_down="anonymous"))
    }
    assert taken == {AsyncQuickSession}
    others = StoredSessions(store, same_key="raise")
    assert type(await others.open_async("")) is AsyncStoredSession


BEGUN: dict[str, Use] = {
    "plain": lambda session: None,
    "permanent": lambda session: setattr(session, "permanent", True),
    "of a time of its own": lambda session: session.expire_after(100),
    "a user's": lambda session: setattr(session, "user", "ada"),
}
USES: dict[str, Use] = {
    "nothing": lambda session: None,
    "read": lambda session: session["a"],
    "set": lambda session: session.update(a=2),
    "change within": lambda session: session["b"].append(3),
    "delete": lambda session: session.pop("a"),
    "delete and set": lambda session: (session.pop("a"), session.update(a=5)),
    "count": lambda session: session.incr("n"),
    "take": lambda session: session.pop_once("code"),
    "member": lambda session: session.add_to_set("tags", "x"),
    "clear": lambda session: session.clear(),
    "destroy": lambda session: session.destroy(),
    "destroy and set": lambda session: (session.destroy(), session.update(c=1)),
    "log in": lambda session: setattr(session, "user", "bob"),
    "refresh": lambda session: session.refresh(),
    "regenerate": lambda session: session.regenerate(),
}


@pytest.mark.parametrize("seconds", [0.5, 61, 101, 1801, 10_001])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("begin", BEGUN.values(), ids=BEGUN)
async def test_a_request_comes_to_the_same(
    begin: Use, use: Use, seconds: float, tmp_path: Path
) -> None:
    seen = []
    for kind in (AsyncQuickSession, AsyncStoredSession):
        clock = Clock()
        with closing(SQLiteStore(tmp_path / kind.__name__, clock=clock)) as store:
            browser = await visited(made(store, clock, kind), begin)
            former = browser.key
            clock.advance(seconds)
            session = await browser.open_async()
            try:
                use(session)
                outcome: Any = None
            except KeyError as error:
                outcome = repr(error)
            vary, cookies = await browser.save_async(session)
            record = store.load(browser.key) if browser.cookie else None
            seen.append(
                (
                    outcome,
                    vary,
                    [cookie.partition(";")[2] for cookie in cookies],
                    browser.cookie and browser.key == former,
                    store.load(former) is None,
                    record and (record.touched, record.expires, record.generation),
                    browser.values(),
                    store.stats().sessions,
                )
            )
    assert seen[0] == seen[1]


@pytest.mark.parametrize("use", ["read", "set"])
async def test_of_two_cookies_the_one_that_is_over_is_removed(
    use: str, store: SQLiteStore, clock: Clock
) -> None:
    sessions = made(store, clock, AsyncQuickSession)
    over = await visited(sessions, lambda session: session.expire_after(100))
    store.touch(over.key, 1000)  # longer than the session itself may last
    clock.advance(101)
    live = await visited(sessions, BEGUN["plain"])
    both = Browser(sessions, f"{over.cookie}; {live.cookie}")
    session = await both.open_async()
    USES[use](session)
    await both.save_async(session)
    assert live.values()["a"] == (1 if use == "read" else 2)
    assert store.load(over.key) is None


async def test_a_session_that_is_over_is_not_shown(store: SQLiteStore, clock: Clock) -> None:
    sessions = made(store, clock, AsyncQuickSession)
    over = await visited(sessions, lambda session: session.expire_after(100))
    store.touch(over.key, 1000)
    clock.advance(101)
    assert dict(await over.open_async()) == {}


async def test_whoever_wants_to_know_is_told_of_a_load(
    store: SQLiteStore, clock: Clock, events: list[str]
) -> None:
    browser = await visited(made(store, clock, AsyncQuickSession), BEGUN["plain"])
    events.clear()
    session = await browser.open_async()
    assert session["a"] == 1
    assert events == ["loaded"]


async def test_a_load_that_waited_for_a_locked_file_is_not_tried_again(
    store: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop would stand still twice as long."""
    browser = await visited(made(store, clock, AsyncQuickSession), BEGUN["plain"])
    assert store.in_loop is not None
    tries = []

    def locked(key: str) -> Any:
        tries.append(key)
        raise StoreUnavailableError("sqlite", "load")

    session = await browser.open_async()
    monkeypatch.setattr(store.in_loop, "load", locked)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            session.get("a")
    assert tries == [browser.key]


@pytest.mark.parametrize("first", ["no answer", "corrupt", "conflict", "cancelled"])
async def test_a_commit_that_was_none_leaves_it_open_or_is_made_the_long_way(
    first: str, store: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = made(store, clock, AsyncQuickSession)
    browser = await visited(sessions, BEGUN["plain"])
    failures: dict[str, Any] = {
        "no answer": StoreUnavailableError("sqlite", "commit"),
        "corrupt": CorruptRecordError("sqlite", "no record"),
        "cancelled": asyncio.CancelledError(),
    }
    commit, left = sessions._awaited.commit, [first]

    async def fails_once(*arguments: Any) -> Answer:
        if not left:
            return await commit(*arguments)
        if (failure := failures.get(left.pop())) is None:
            return Answer("conflict")
        raise failure

    monkeypatch.setattr(sessions._awaited, "commit", fails_once)
    session = await browser.open_async()
    session["a"] = 2
    if first in ("no answer", "cancelled"):
        with pytest.raises(type(failures[first])):
            await browser.save_async(session)
        session["b"] = "still open"
    await browser.save_async(session)
    assert left == []
    assert browser.values()["a"] == 2


class LosesAnswers:
    """A store whose commits are done, and the first of them not answered."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, *arguments: Any) -> Answer:
        answer: Answer = self._store.commit(*arguments)
        if not self._lost:
            self._lost = True
            raise StoreUnavailableError("sqlite", "commit")
        return answer


@pytest.mark.parametrize("is_awaited", [False, True])
async def test_a_commit_without_an_answer_is_not_done_again_over_what_others_did(
    is_awaited: bool, store: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = made(store, clock, AsyncQuickSession)
    browser = await visited(sessions, BEGUN["plain"])
    losing = LosesAnswers(store)

    async def commit(*arguments: Any) -> Answer:
        return losing.commit(*arguments)

    def save(session: Any) -> Any:
        return (
            browser.save_async(session) if is_awaited else asyncio.to_thread(browser.save, session)
        )

    session = await browser.open_async() if is_awaited else browser.open()
    session["a"] = 2
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "_sync", losing)
        patch.setattr(sessions._awaited, "commit", commit)
        with pytest.raises(StoreUnavailableError):
            await save(session)
    other = browser.open()
    other["a"] = 99
    browser.save(other)
    await save(session)  # which the store has done already
    assert browser.values()["a"] == 99


async def test_a_record_that_was_revoked_meanwhile_is_not_made_anew(
    store: SQLiteStore, clock: Clock
) -> None:
    browser = await visited(made(store, clock, AsyncQuickSession), BEGUN["plain"])
    session = await browser.open_async()
    session["a"] = 2
    store.delete(browser.key)
    assert await browser.save_async(session) == (True, ())
    assert store.stats().sessions == 0
    assert key_of(browser.cookie.partition("=")[2]) == browser.key
