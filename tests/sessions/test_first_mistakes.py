"""What somebody gets wrong who uses sessions for the first time, and what he is told."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from ctxlocal.sessions import Cookie, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError, SessionError, UnstorableValueError
from ctxlocal.sessions.session import NullSession, Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.testing import check_async_store, check_store

from .conftest import Browser, Make
from .in_store.test_async_sessions import Blocking
from .stores.conftest import Clock

KEY = "a key   " * 4
KINDS: dict[str, Callable[..., Any]] = {
    "stored": lambda **settings: StoredSessions(MemoryStore(), **settings),
    "cookie": lambda **settings: SignedCookieSessions(KEY, **settings),
}


def told(mistake: Callable[[], object], kind: type[Exception] = SessionConfigError) -> str:
    """Return what the error says."""
    with pytest.raises(kind) as caught:
        mistake()
    return str(caught.value)


# Settings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", ["idle_timeout", "absolute_timeout", "touch_interval"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("60", "'60' is no number of seconds"),
        (True, "True is no number of seconds"),
        (
            timedelta(minutes=1),
            "datetime.timedelta(seconds=60) is no number of seconds; use .total_seconds()",
        ),
    ],
)
def test_a_time_is_a_number_of_seconds(kind: str, setting: str, value: Any, why: str) -> None:
    assert told(lambda: KINDS[kind](**{setting: value})) == f"{setting}: {why}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("cookie", "why"),
    [
        ("sid", "'sid' is no Cookie; use Cookie('sid')"),
        (Cookie, f"{Cookie!r} is no Cookie; use Cookie('session')"),
    ],
)
def test_a_cookie_is_no_name(kind: str, cookie: Any, why: str) -> None:
    assert told(lambda: KINDS[kind](cookie=cookie)) == f"cookie: {why}"


@pytest.mark.parametrize(
    ("store", "why"),
    [
        (
            "redis://user:secret@host",
            "it is a str; ctxlocal.sessions.stores.url.open_store(url) makes a store",
        ),
        (MemoryStore, "MemoryStore is a class; call it: MemoryStore(...)"),
        (None, "None is no Store; see ctxlocal.sessions.stores.protocol"),
    ],
)
def test_a_store_is_made_before(store: Any, why: str) -> None:
    assert told(lambda: StoredSessions(store)) == f"store: {why}"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (RedisStore, "client: it is a URL; use RedisStore.from_url(url)"),
        (AsyncRedisStore, "client: it is a URL; use AsyncRedisStore.from_url(url)"),
        (SQLStore, "engine: it is a URL; use SQLStore.from_url(url)"),
        (AsyncSQLStore, "engine: it is a URL; use AsyncSQLStore.from_url(url)"),
        (SQLiteStore, "path: it is a URL; use ctxlocal.sessions.stores.url.open_store(url)"),
    ],
)
def test_a_store_is_not_made_of_a_url(kind: Any, message: str) -> None:
    assert told(lambda: kind("sqlite://user:secret@host")) == message


# What a session takes


@pytest.mark.parametrize(
    ("user", "why"), [(5, "; got 5; use str(id)"), ("", "; got ''")], ids=["int", "empty"]
)
def test_a_user_is_a_str(browser: Browser, user: Any, why: str) -> None:
    def log_in() -> None:
        browser.open().user = user

    expected = f"session.user is a str that is not empty, or None{why}"
    assert told(log_in, TypeError) == expected


@dataclass
class Fields:
    name: str = ""
    sizes: tuple[int, ...] = ()
    more: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("nmae", "x", "Fields has no such field. Its fields are name, sizes, more."),
        (
            "name",
            1,
            "it does not fit its type in Fields (Expected `str`, got `int`).",
        ),
        ("more", OrderedDict(a=1), "an OrderedDict does not come back as it was."),
        ("sizes", [1], "a list does not come back as it was."),
    ],
)
def test_a_schema_refuses_what_does_not_fit(make: Make, key: str, value: Any, why: str) -> None:
    session = make(schema=Fields).open("")

    def assign() -> None:
        session[key] = value

    expected = f"session[{key!r}] cannot be stored: {why}"
    assert told(assign, UnstorableValueError) == expected


def test_without_sessions_it_says_how_to_have_some() -> None:
    assert told(lambda: NullSession().update(a=1), SessionError) == (
        "There is no session here, so nothing can be kept in one. Give the application sessions: "
        "App(__name__, sessions=StoredSessions(MemoryStore()))."
    )


def test_a_use_cannot_be_undone(browser: Browser) -> None:
    session = browser.open()

    def forget() -> None:
        session.accessed = False

    assert told(forget, ValueError) == (
        "session.accessed can be set to True only; a use cannot be undone"
    )


def test_what_a_save_took_is_decoded_by_the_schema(make: Make) -> None:
    browser = Browser(make(schema=Fields))
    with browser.request() as session:
        session["sizes"] = (1, 2)
    with browser.request() as session:
        session.pop_once("sizes")
        assert session.save() == ((1, 2),)


# Asynchronous stores


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("list_sessions", ("alice",)),
        ("revoke", ("handle",)),
        ("revoke_all", ("alice",)),
        ("revoke_everyone", ()),
        ("purge", ()),
    ],
)
def test_an_asynchronous_store_is_awaited(method: str, arguments: tuple[Any, ...]) -> None:
    sessions = StoredSessions(ThreadedStore(MemoryStore()))
    assert told(lambda: getattr(sessions, method)(*arguments)) == (
        f"store: memory is asynchronous: use `await sessions.{method}_async(...)`"
    )


@pytest.mark.asyncio
async def test_a_plain_view_in_a_thread_needs_a_store_for_threads(make: Make) -> None:
    session = await make(ThreadedStore(MemoryStore()), load="explicit").open_async("")

    def view() -> list[str]:
        return [told(session.load), told(session.save)]

    assert await asyncio.to_thread(view) == [
        f"store: memory is asynchronous, and no event loop runs where session.{method}() was "
        "called. Use its synchronous twin, which serves ASGI too, or make the view a coroutine."
        for method in ("load", "save")
    ]


@pytest.mark.asyncio
async def test_a_plain_view_in_a_thread_loads_and_saves_by_itself(make: Make, clock: Clock) -> None:
    store = Blocking(clock)
    sessions = make(store, load="explicit")
    first = await sessions.open_async("")
    first["n"] = 1
    (cookie,) = (await sessions.save_async(first)).cookies
    session = await sessions.open_async(cookie.partition(";")[0])
    view_thread: list[threading.Thread] = []

    def view() -> Any:
        view_thread.append(threading.current_thread())
        session.load()
        assert session.is_loaded
        assert not session.accessed
        session.incr("n")
        return session.save()

    assert await asyncio.to_thread(view) == (2,)
    assert store.threads == {*view_thread}
    assert await session.load() == ()


@pytest.mark.parametrize("is_cookie", [False, True])
def test_what_load_and_save_return_can_be_awaited_anywhere(make: Make, is_cookie: bool) -> None:
    """So one view serves every kind of session."""
    sessions: Any = SignedCookieSessions(KEY) if is_cookie else make()

    async def view(session: Session) -> Any:
        await session.load()
        assert not session.accessed
        session["a"] = 1
        return await session.save()

    assert asyncio.run(view(sessions.open(""))) == ()


@pytest.mark.asyncio
async def test_after_the_response_a_task_opens_the_session_for_itself(browser: Browser) -> None:
    session = await browser.open_async()
    session["a"] = 1
    await browser.save_async(session)
    late = await browser.sessions.open_async(browser.cookie)
    late["a"] += 1
    await late.save()
    assert browser.values() == {"a": 2}


# Checking a store of one's own


@pytest.mark.parametrize("check", [check_store, check_async_store])
def test_a_check_is_given_a_factory(check: Any) -> None:
    store = MemoryStore()
    assert told(lambda: check(store), TypeError) == (
        f"{check.__name__}() is given the class of a store, or a function that returns a new one; "
        f"got {store!r}"
    )


class Half:
    name = "half"
    is_blocking = True

    def load(self, key: str) -> None: ...
    def create(self) -> bool: ...  # type: ignore[empty-body]

    def __repr__(self) -> str:
        return "<Half>"


@pytest.mark.parametrize("check", [check_store, check_async_store])
def test_a_check_names_the_methods_that_are_missing(check: Any) -> None:
    kind, more = ("Store", "scan, stats, ") if check is check_store else ("AsyncStore", "")
    assert told(lambda: check(Half), TypeError) == (
        f"<Half> is no {kind}; it lacks commit, move, touch, delete, list, revoke, "
        f"revoke_everyone, purge, {more}close"
    )


def test_a_check_is_of_the_stores_kind() -> None:
    store = MemoryStore()
    assert told(lambda: check_async_store(lambda: store), TypeError) == (  # type: ignore[arg-type,return-value]
        f"{store!r} is no AsyncStore; use check_store()"
    )
    threaded = ThreadedStore(store)
    assert told(lambda: check_store(lambda: threaded), TypeError).startswith(  # type: ignore[arg-type,return-value]
        f"{threaded!r} is no Store; it lacks is_blocking"
    )
