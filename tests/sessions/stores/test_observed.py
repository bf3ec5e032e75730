"""A store that is observed does what it does otherwise, and each of its calls is told."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from ctxlocal.sessions import Cookie, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores import observed as observed_module
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.observed import AsyncObservedStore, ObservedStore, StoreCall, observed
from ctxlocal.sessions.stores.protocol import USER, AsyncStore, Change, Record, Store
from ctxlocal.sessions.stores.redis import AsyncRedisStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.sessions.stores.url import open_store
from ctxlocal.testing import check_async_store, check_store

from ...support.interleaving import interleavings
from .conftest import KEY, OTHER, Kind
from .proxy import proxy_to

TTL = 600.0


class Failing(MemoryStore):
    """Cannot be reached."""

    def load(self, key: str) -> Record | None:
        raise StoreUnavailableError(self.name, "load") from TimeoutError()

    def scan(self) -> Iterator[tuple[str, Record]]:
        yield from super().scan()
        raise StoreUnavailableError(self.name, "scan")


class Disk(MemoryStore):
    """Says that it blocks, and where it was called."""

    is_blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    def load(self, key: str) -> Record | None:
        self.threads.append(threading.current_thread())
        return super().load(key)


@pytest.fixture
def calls() -> list[StoreCall]:
    return []


def names(calls: list[StoreCall]) -> list[str]:
    return [call.call for call in calls]


def test_an_observed_store_fulfils_the_contract(kind: Kind, calls: list[StoreCall]) -> None:
    check_store(lambda: observed(kind.make(), calls.append), advance=kind.advance)
    assert {call.error for call in calls} == {None}
    assert {call.repeats for call in calls} == {0}


def test_an_observed_async_store_fulfils_the_contract(
    async_kind: Kind, calls: list[StoreCall]
) -> None:
    check_async_store(lambda: observed(async_kind.make(), calls.append), advance=async_kind.advance)
    assert "commit" in names(calls)


def test_each_call_is_told_once_and_by_its_name(store: Store, calls: list[StoreCall]) -> None:
    seen = observed(store, calls.append)
    seen.create(KEY, {USER: b"ann"}, TTL)
    base = seen.load(KEY)
    seen.commit(KEY, 0, Change("c", {"a": b"secret"}), TTL, base)
    seen.move(KEY, OTHER, {}, TTL, grace=1)
    seen.touch(OTHER, TTL)
    assert [key for key, _ in seen.list("ann")] == [OTHER]
    assert seen.stats().sessions == len(list(seen.scan())) == 1
    seen.revoke("ann")
    seen.revoke_everyone()
    seen.purge()
    seen.delete(OTHER)
    seen.close()
    assert " ".join(names(calls)) == (
        "create load commit move touch list stats scan revoke revoke_everyone purge delete close"
    )
    assert {call.store for call in calls} == {store.name}
    assert all(call.seconds > 0 for call in calls)
    assert not re.search(f"{KEY}|{OTHER}|ann|secret", repr(calls))


def test_it_is_a_store_of_its_kind(
    store: Store, make_async_store: Callable[[], AsyncStore], calls: list[StoreCall]
) -> None:
    assert isinstance(observed(store, calls.append), Store)
    assert isinstance(observed(make_async_store(), calls.append), AsyncStore)
    assert observed(store, calls.append).is_blocking is store.is_blocking
    assert observed(store, calls.append).name == store.name


def test_what_else_a_store_has_is_reached(calls: list[StoreCall]) -> None:
    class Own(MemoryStore):
        def create_table(self) -> str:
            return "made"

    seen = observed(Own(), calls.append)
    assert seen.create_table() == "made"
    assert copy.copy(seen).create_table() == "made"
    assert observed(ThreadedStore(Own()), calls.append).store.name == "memory"
    with pytest.raises(AttributeError, match="'Own' object has no attribute 'nothing'"):
        seen.nothing  # noqa: B018
    assert calls == []


def test_a_failure_is_told_by_its_class_and_left_as_it_is(calls: list[StoreCall]) -> None:
    with pytest.raises(StoreUnavailableError):
        observed(Failing(), calls.append).load(KEY)
    (call,) = calls
    assert (call.call, call.error, call.cause) == ("load", StoreUnavailableError, TimeoutError)


def test_a_scan_is_told_when_it_is_over(calls: list[StoreCall]) -> None:
    whole, broken = observed(MemoryStore(), calls.append), observed(Failing(), calls.append)
    for store in (whole, broken):
        store.store.create(KEY, {}, TTL)
    records = whole.scan()
    next(records)
    assert calls == []
    records.close()  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailableError):
        list(broken.scan())
    assert [(call.call, call.error) for call in calls] == [
        ("scan", None),
        ("scan", StoreUnavailableError),
    ]


def test_a_cancelled_await_is_told(calls: list[StoreCall]) -> None:
    class Endless(ThreadedStore):
        async def load(self, key: str) -> Record | None:
            await asyncio.Event().wait()
            return None

    async def main() -> None:
        task = asyncio.create_task(observed(Endless(MemoryStore()), calls.append).load(KEY))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [call.error for call in calls] == [asyncio.CancelledError]


def test_a_hook_that_raises_breaks_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(call: StoreCall) -> None:
        raise LookupError("no such metric")

    seen = observed(MemoryStore(), broken)
    with caplog.at_level(logging.ERROR, "ctxlocal.sessions"):
        assert seen.create(KEY, {}, TTL)
        assert seen.load(KEY) is not None
        with pytest.raises(StoreUnavailableError):
            observed(Failing(), broken).load(KEY)
    own, of_another = caplog.records
    assert own.getMessage().endswith(
        "broken, which observes the session store memory, raised LookupError; this is logged once"
    )
    assert own.exc_info is not None
    assert of_another.exc_info is not None


def test_it_is_logged_once_however_the_sessions_ask_the_store(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def broken(call: StoreCall) -> None:
        told.append(call.call)
        raise LookupError("no such metric")

    told: list[str] = []
    store = observed(SQLiteStore(tmp_path / "sessions"), broken)
    sessions: StoredSessions[Any] = StoredSessions(store, cookie=Cookie.for_development())
    assert sessions.load_in_loop is not None

    async def main() -> None:
        session = await sessions.open_async("")
        session["n"] = 1
        (cookie,) = (await sessions.save_async(session)).cookies  # in a thread
        again = await sessions.open_async(cookie.partition(";")[0])
        assert again["n"] == 1  # in the loop

    with caplog.at_level(logging.ERROR, "ctxlocal.sessions"):
        asyncio.run(main())
        store.purge()
    store.close()
    assert {"create", "load", "purge"} <= set(told)
    assert len(caplog.records) == 1


def test_of_two_threads_in_which_a_hook_raises_one_logs_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(call: StoreCall) -> None:
        raise LookupError("no such metric")

    def make() -> Any:
        caplog.clear()
        store = observed(MemoryStore(), broken)
        return (lambda: store.load(KEY),) * 2

    with caplog.at_level(logging.ERROR, "ctxlocal.sessions"):
        for _ in interleavings(make, observed_module):
            assert len(caplog.records) == 1


@pytest.mark.parametrize("hook", [None, "a secret"])
def test_a_hook_that_cannot_be_called_is_refused(hook: Any) -> None:
    with pytest.raises(
        SessionConfigError, match=r"^hook: a \w+ cannot be called; give a function$"
    ):
        observed(MemoryStore(), hook)


def test_a_hook_that_would_have_to_be_awaited_is_refused() -> None:
    async def hook(call: StoreCall) -> None: ...

    class Hook:
        async def __call__(self, call: StoreCall) -> None: ...

    for each in (hook, Hook()):
        with pytest.raises(SessionConfigError, match=r"would have to be awaited; give a function$"):
            observed(MemoryStore(), each)


def test_a_hook_is_called_in_the_requests_own_context() -> None:
    """So a span has its parent, though a store that blocks is called in threads."""
    request: ContextVar[str] = ContextVar("request")
    told = []
    store = Disk()

    def hook(call: StoreCall) -> None:
        told.append((call.call, request.get("none"), threading.current_thread()))

    sessions: StoredSessions[Any] = StoredSessions(
        observed(store, hook), cookie=Cookie.for_development()
    )

    async def main() -> None:
        request.set("ours")
        await sessions.open_async("ctxlocal-session=" + "A" * 43)

    asyncio.run(main())
    assert told == [("load", "ours", threading.current_thread())]
    assert threading.current_thread() not in store.threads
    assert len(store.threads) == 1


def test_requests_over_an_observed_store(calls: list[StoreCall]) -> None:
    sessions: StoredSessions[Any] = StoredSessions(
        observed(MemoryStore(), calls.append), cookie=Cookie.for_development()
    )
    session = sessions.open("")
    session["n"] = 1
    (cookie,) = sessions.save(session).cookies
    again = sessions.open(cookie.partition(";")[0])
    again["n"] += 1
    sessions.save(again)
    assert names(calls) == ["create", "load", "commit"]


# What a store asked its server again.


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def losing(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Callable[[], None]]]:
    """A store, and what loses its server's answer to the next commit."""
    kind = request.param
    if kind == "redis":
        url = sqlalchemy.make_url(f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/0")
    else:
        url = sqlalchemy.make_url(request.getfixturevalue(f"{kind}_url"))
    assert url.port is not None
    with proxy_to(url.port) as proxy:
        store = open_store(str(url.set(port=proxy.port)))
        store.revoke_everyone()
        yield store, lambda: proxy.lose_reply_to(b"EVALSHA" if kind == "redis" else b"UPDATE")
        store.close()


@pytest.mark.parametrize("kind", ["direct", "in threads", "observed twice"])
def test_a_repetition_is_counted(losing: Any, kind: str, calls: list[StoreCall]) -> None:
    store, lose = losing
    store.create(KEY, {}, TTL)
    base = store.load(KEY)
    lose()
    change = Change("c", {"a": b"1"})
    if kind == "in threads":
        threaded = observed(ThreadedStore(store), calls.append)
        asyncio.run(threaded.commit(KEY, 0, change, TTL, base))
    else:
        inner: list[StoreCall] = []
        seen = store if kind == "direct" else observed(store, inner.append)
        observed(seen, calls.append).commit(KEY, 0, change, TTL, base)
        assert [call.repeats for call in inner] == [1] * len(inner)
    observed(store, calls.append).delete(KEY)
    assert [(call.call, call.error, call.repeats) for call in calls] == [
        ("commit", None, 1),
        ("delete", None, 0),
    ]


@pytest.mark.redis
def test_a_repetition_of_a_call_that_fails_is_counted(calls: list[StoreCall]) -> None:
    async def main() -> None:
        store = observed(AsyncRedisStore.from_url("redis://127.0.0.1:1/0"), calls.append)
        with pytest.raises(StoreUnavailableError):
            await store.load(KEY)
        await store.close()

    asyncio.run(main())
    assert [(call.call, call.error, call.repeats) for call in calls] == [
        ("load", StoreUnavailableError, 1),
        ("close", None, 0),
    ]


def test_nobody_counts_where_a_call_is_over(calls: list[StoreCall]) -> None:
    from ctxlocal.sessions.stores.repeats import current

    observed(MemoryStore(), calls.append).load(KEY)
    assert current() is None


def test_types() -> None:
    assert isinstance(observed(MemoryStore(), print), ObservedStore)
    assert isinstance(observed(ThreadedStore(MemoryStore()), print), AsyncObservedStore)
    assert repr(observed(MemoryStore(), print)).startswith("<ObservedStore of <MemoryStore")
