"""Sessions in a SQLite file under ASGI: the event loop loads them, when they are first touched."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from ctxlocal.sessions.errors import SessionNotLoadedError, StoreUnavailableError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores import in_loop
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.observed import observed
from ctxlocal.sessions.stores.protocol import Record, Store
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore

from ..conftest import Browser, Make
from ..stores.conftest import Clock

pytestmark = pytest.mark.asyncio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(path, clock=clock)) as made:
        yield made


async def visited(sessions: StoredSessions[Any], **values: Any) -> Browser:
    """Return a browser with a session, in a process that has loaded one before."""
    browser = Browser(sessions)
    session = await browser.open_async()
    session.update({"a": 1, **values})
    await browser.save_async(session)
    await sessions.open_async(browser.cookie)
    return browser


async def test_what_nobody_touches_is_not_loaded(make: Make, store: SQLiteStore) -> None:
    calls: list[str] = []
    browser = await visited(make(observed(store, lambda call: calls.append(call.call))))
    calls.clear()
    session = await browser.open_async()
    assert not session.is_loaded
    assert await browser.save_async(session) == (False, ())
    assert calls == []
    session = await browser.open_async()
    assert session["a"] == 1
    assert await browser.save_async(session) == (True, ())
    assert calls == ["load"]


async def test_a_write_of_others_does_not_hold_up_a_load(make: Make, path: Path) -> None:
    with closing(SQLiteStore(path, timeout=0)) as store:
        browser = await visited(make(store))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert dict(await browser.open_async()) == {"a": 1}


async def test_the_loop_waits_for_no_lock_for_long(store: SQLiteStore, path: Path) -> None:
    """Not for the five seconds that a thread waits."""
    hasty = store._hasty
    assert hasty is not None
    assert hasty._run("load", _busy_timeout) == in_loop.MOST_WAIT * 1000
    assert store._run("load", _busy_timeout) == 5000
    with closing(SQLiteStore(path, timeout=0.02)) as impatient:
        assert impatient._hasty is not None
        assert impatient._hasty._run("load", _busy_timeout) == 20


def _busy_timeout(connection: sqlite3.Connection) -> int:
    (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
    return int(milliseconds)


@pytest.mark.parametrize("when_down", ["raise", "anonymous"])
async def test_r31_readers_that_are_locked_out_are_refused_when_it_is_touched(
    make: Make, path: Path, when_down: str
) -> None:
    with closing(SQLiteStore(path, timeout=0)) as store:
        browser = await visited(make(store, when_down=when_down))
        store.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN IMMEDIATE")
            store.in_loop._not_before = 0.0  # type: ignore[union-attr]
            session = await browser.open_async()
            for _ in range(2):
                if when_down == "raise":
                    with pytest.raises(StoreUnavailableError):
                        session.get("a")
                else:
                    assert session.get("a") is None


async def test_after_two_slow_loads_they_are_loaded_before_the_view_for_a_while(
    make: Make, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, each_takes = [1000.0], 0.0

    def monotonic() -> float:
        now[0] += each_takes
        return now[0]

    monkeypatch.setattr(in_loop, "monotonic", monotonic)
    browser = await visited(make(store))
    assert not (await browser.open_async()).is_loaded
    for _ in range(2):  # one alone is forgotten
        now[0] += in_loop.PAUSE
        each_takes = in_loop.SLOW * 1.5
        assert (await browser.open_async())["a"] == 1
        each_takes = 0.0
        assert not (await browser.open_async()).is_loaded
    each_takes = in_loop.SLOW * 1.5
    assert (await browser.open_async())["a"] == 1
    each_takes = 0.0
    assert (await browser.open_async()).is_loaded
    now[0] += in_loop.PAUSE
    assert not (await browser.open_async()).is_loaded


async def test_until_the_file_is_open_a_thread_opens_and_loads(make: Make, path: Path) -> None:
    with closing(SQLiteStore(path)) as other:
        browser = await visited(make(other))
    threads = set()

    def connect(self: Any, mode: str) -> Any:
        threads.add(threading.current_thread())
        return former(self, mode)

    with closing(SQLiteStore(path)) as store:
        assert store._hasty is not None
        connections = type(store._connections)
        former = connections._connect
        browser.sessions = make(store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connections, "_connect", connect)
            assert (await browser.open_async()).is_loaded
            session = await browser.open_async()
            assert not session.is_loaded
            assert session["a"] == 1
        assert threads
        assert threading.current_thread() not in threads


async def test_a_view_in_a_thread_loads_there_and_waits(make: Make, store: SQLiteStore) -> None:
    browser = await visited(make(store))
    session = await browser.open_async()
    assert store._hasty is not None
    store._hasty.load = None  # type: ignore[assignment, method-assign]
    assert await asyncio.to_thread(lambda: session["a"]) == 1


async def test_load_may_be_awaited_instead(make: Make, store: SQLiteStore) -> None:
    browser = await visited(make(store))
    session = await browser.open_async()
    assert store._hasty is not None
    store._hasty.load = None  # type: ignore[assignment, method-assign]
    await session.load()
    assert session["a"] == 1


@pytest.mark.parametrize("load", ["cookie", "explicit"])
async def test_it_is_an_option(make: Make, path: Path, load: str) -> None:
    with closing(SQLiteStore(path, loads_in_loop=load == "explicit")) as store:
        browser = await visited(make(store, load=load))
        session = await browser.open_async()
        assert session.is_loaded is (load == "cookie")
        if load == "explicit":
            with pytest.raises(SessionNotLoadedError):
                session.get("a")


async def test_a_subclass_may_take_its_time_to_load(make: Make, path: Path, clock: Clock) -> None:
    threads = set()

    class Slow(SQLiteStore):
        def load(self, key: str) -> Record | None:
            threads.add(threading.current_thread())
            return super().load(key)

    with closing(Slow(path, clock=clock)) as store:
        browser = await visited(make(store))
        threads.clear()
        assert dict(await browser.open_async()) == {"a": 1}
    assert threads
    assert threading.current_thread() not in threads


async def test_a_load_that_was_put_into_a_store_is_called_as_it_is(
    make: Make, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await visited(make(store))
    assert dict(await browser.open_async()) == {"a": 1}  # the file is open
    load, threads = store.load, []

    def other(key: str) -> Record | None:
        threads.append(threading.current_thread())
        return load(key)

    monkeypatch.setattr(store, "load", other)
    assert dict(await browser.open_async()) == {"a": 1}
    assert threads
    assert threading.current_thread() not in threads


class Wrapper:
    """Hands on to another store what it does not do itself, as people write it."""

    def __init__(self, store: SQLiteStore) -> None:
        self.store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def load(self, key: str) -> Record | None:
        self.calls.append("load")
        return self.store.load(key)

    def commit(self, *args: Any) -> Any:
        self.calls.append("commit")
        return self.store.commit(*args)


@pytest.mark.parametrize("twin", ["made for it", "given"])
async def test_a_store_around_another_is_not_passed_over(
    make: Make, store: SQLiteStore, twin: str
) -> None:
    wrapper = Wrapper(store)
    threads = ThreadedStore(cast(Store, wrapper))
    browser = await visited(make(wrapper if twin == "made for it" else threads))
    wrapper.calls.clear()
    sessions = [await browser.open_async() for _ in range(3)]
    for number, session in enumerate(sessions):
        session[f"{number}"] = number
    await asyncio.gather(*map(browser.save_async, sessions))
    assert wrapper.calls == ["load"] * 3 + ["commit"] * 3


async def test_r9_the_loop_leaves_what_is_over_to_the_end_of_the_request(
    make: Make, clock: Clock, path: Path
) -> None:
    """It would have to wait for whoever writes."""
    with closing(SQLiteStore(path, clock=clock, timeout=0)) as store:
        browser = await visited(make(store))
        browser.sessions = make(store, idle_timeout=100)
        clock.advance(101)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):  # its end is not removed either while it cannot be
                session = await browser.open_async()
                assert dict(session) == {}
                await browser.sessions.save_async(session)
        session = await browser.open_async()
        assert dict(session) == {}
        assert store.load(browser.key) is not None
        await browser.sessions.save_async(session)
        assert store.load(browser.key) is None


@pytest.mark.parametrize("how", ["end", "save", "in a thread"])
async def test_what_is_over_counts_among_no_users_sessions(
    make: Make, clock: Clock, store: SQLiteStore, how: str
) -> None:
    browser = await visited(make(store))
    session = await browser.open_async()
    session.user = "u"
    await browser.save_async(session)
    browser.sessions = make(store, idle_timeout=100, max_sessions=1, when_full="refuse")
    clock.advance(101)
    session = await browser.open_async()
    assert session.user is None
    session.user = "u"
    if how == "save":
        await session.save()
    elif how == "in a thread":
        await asyncio.to_thread(session.save)
    await browser.save_async(session)
    assert [key for key, _ in store.list("u")] == [browser.key]


async def test_only_a_blocking_store_is_asked_in_another_way(make: Make, path: Path) -> None:
    with closing(SQLiteStore(path, is_blocking=False)) as store:
        assert store.in_loop is None
        browser = await visited(make(store))
        assert dict(await browser.open_async()) == {"a": 1}
    assert in_loop.InLoop not in map(type, vars(MemoryStore()).values())


async def test_trio_loads_when_it_is_touched(path: Path) -> None:
    async def main() -> None:
        with closing(SQLiteStore(path)) as store:
            browser = await visited(StoredSessions(store))
            session = await browser.open_async()
            assert not session.is_loaded
            assert session["a"] == 1
            session["b"] = 2
            await browser.save_async(session)
            assert dict(await browser.open_async()) == {"a": 1, "b": 2}
            await browser.sessions._awaited.close()

    await asyncio.to_thread(trio.run, main)
