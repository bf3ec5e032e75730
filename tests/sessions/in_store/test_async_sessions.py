"""Stored sessions under ASGI: nothing blocks the loop, or is touched before it is loaded."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from ctxlocal.sessions.errors import SessionConfigError, SessionNotLoadedError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Record
from ctxlocal.sessions.stores.threaded import ThreadedStore

from ..conftest import Browser, Make
from ..stores.conftest import Clock

pytestmark = pytest.mark.asyncio


class Blocking(MemoryStore):
    """A memory store that counts as one that blocks, and notes the threads it is called in."""

    is_blocking = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.threads: set[threading.Thread] = set()

    def load(self, key: str) -> Record | None:
        self.threads.add(threading.current_thread())
        return super().load(key)


@pytest.fixture
def blocking(clock: Clock) -> Blocking:
    return Blocking(clock)


async def begin(browser: Browser, **values: Any) -> None:
    session = await browser.open_async()
    session.update(values)
    await browser.save_async(session)


async def test_with_a_cookie_it_is_loaded_before_the_view(make: Make, blocking: Blocking) -> None:
    browser = Browser(make(blocking))
    await begin(browser, a=1)
    session = await browser.open_async()
    assert session.is_loaded
    assert not session.accessed
    assert dict(session) == {"a": 1}
    assert threading.current_thread() not in blocking.threads


async def test_without_a_cookie_nothing_is_asked(make: Make, blocking: Blocking) -> None:
    browser = Browser(make(blocking, load="explicit"), "other=1")
    session = await browser.open_async()
    assert dict(session) == {}
    assert not blocking.threads


async def test_explicit_loads_when_told(make: Make, blocking: Blocking) -> None:
    browser = Browser(make(blocking, load="explicit"))
    await begin(browser, a=1)
    session = await browser.open_async()
    for touch in (lambda: session["a"], lambda: session.user, session.destroy, session.clear):
        with pytest.raises(SessionNotLoadedError):
            touch()
    await session.load()
    assert session["a"] == 1
    session["b"] = 2
    await browser.save_async(session)
    assert browser.values() == {"a": 1, "b": 2}


async def test_an_unloaded_session_that_was_touched_is_saved_without_error(
    make: Make, blocking: Blocking
) -> None:
    browser = Browser(make(blocking, load="explicit"))
    await begin(browser, a=1)
    session = await browser.open_async()
    with pytest.raises(SessionNotLoadedError):
        session["a"] = 2
    assert await browser.save_async(session) == (True, ())
    assert browser.values() == {"a": 1}


async def test_a_memory_store_needs_no_load(make: Make) -> None:
    browser = Browser(make(load="explicit"))
    await begin(browser, a=1)
    assert dict(await browser.open_async()) == {"a": 1}


async def test_an_asynchronous_store_serves_asgi_alone(make: Make, clock: Clock) -> None:
    browser = Browser(make(ThreadedStore(Blocking(clock))))
    await begin(browser, a=1)
    assert dict(await browser.open_async()) == {"a": 1}
    with pytest.raises(SessionConfigError, match="asynchronous, and WSGI cannot await it"):
        browser.sessions.open("")


async def test_two_tasks_that_load_at_once_share_the_session(
    make: Make, blocking: Blocking
) -> None:
    browser = Browser(make(blocking, load="explicit"))
    await begin(browser, items=[])
    session = await browser.open_async()

    async def use(item: int) -> None:
        await session.load()
        session["items"].append(item)

    await asyncio.gather(*map(use, range(5)))
    await browser.save_async(session)
    assert sorted(browser.values()["items"]) == [0, 1, 2, 3, 4]


async def test_save_in_the_middle_returns_the_results(make: Make, blocking: Blocking) -> None:
    browser = Browser(make(blocking))
    await begin(browser, n=1)
    first, second = await browser.open_async(), await browser.open_async()
    first.incr("n")
    second.incr("n")
    results = await asyncio.gather(first.save(), second.save())
    assert sorted(map(list, results)) == [[2], [3]]


async def test_r8_sessions_are_listed_and_revoked(make: Make, blocking: Blocking) -> None:
    sessions = make(blocking)
    here, there = Browser(sessions), Browser(sessions)
    for browser in (here, there):
        session = await browser.open_async()
        session.user = "alice"
        await browser.save_async(session)
    current = await here.open_async()
    listed = await sessions.list_sessions_async("alice", current)
    assert sorted(info.is_current for info in listed) == [False, True]
    assert await sessions.revoke_all_async("alice", current) == 1
    assert (await there.open_async()).user is None
    assert not await sessions.revoke_async("no handle")
    assert await sessions.revoke_async(here.key, user="alice")
    assert await sessions.revoke_everyone_async() == 0
    assert await sessions.purge_async() >= 0


async def test_r7_a_save_after_the_end_recreates_nothing(make: Make, blocking: Blocking) -> None:
    browser = Browser(make(blocking))
    await begin(browser, a=1)
    late = await browser.open_async()
    late["a"] = 2
    late.flash("x")
    tab = await browser.open_async()
    tab.destroy()
    assert "Max-Age=0" in (await browser.sessions.save_async(tab)).cookies[0]
    assert (await browser.save_async(late)).cookies == ()
    assert blocking.stats().sessions == 0
