"""No lost update: many concurrent requests of one session, and what all of them did is there.

All of them load before the first of them saves. Each sets a key of its own, and they share
what does not lose on one key: a counter, a set and the flash messages. One nested value is
shared as well: there the last one wins, and nothing else is promised.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.protocol import Store
from ctxlocal.sessions.stores.url import open_async_store, open_store
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PROCESSES = 5

KINDS = [
    "memory",
    "sqlite",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("postgresql", marks=pytest.mark.postgresql),
]


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "memory":
        return "memory:"
    if kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/sessions.db"
    if kind == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/0"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """Each kind of store, empty or used by others' sessions."""
    return url_of(request.param, request)


@pytest.fixture(params=KINDS[1:])
def shared_url(request: pytest.FixtureRequest) -> str:
    """Each kind of store that several processes can share."""
    return url_of(request.param, request)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = open_store(url)
    yield made
    made.close()


def begin(store: Store) -> str:
    """Store a session and return its cookie."""
    sessions = StoredSessions(store)
    session = sessions.open("")
    session["shared"] = {"last": None}
    return sessions.save(session).cookies[0].partition(";")[0]


def change(session: Session, number: int) -> None:
    session["shared"]["last"] = number
    session[f"own{number}"] = number
    session.incr("count")
    session.add_to_set("set", number)
    session.flash(str(number))


def request(sessions: StoredSessions[Any], cookie: str, number: int, wait: Any) -> None:
    session = sessions.open(cookie)
    change(session, number)
    wait()
    sessions.save(session)


def check(store: Store, cookie: str, total: int) -> None:
    session = StoredSessions(store).open(cookie)
    kept = {key: value for key, value in session.items() if key[:3] == "own"}
    assert kept == {f"own{number}": number for number in range(total)}
    assert session["count"] == total
    assert session["set"] == set(range(total))
    assert sorted(session.get_flashed()) == sorted(("message", str(n)) for n in range(total))
    assert session["shared"]["last"] in range(total)


def in_threads(store: Store, cookie: str, numbers: range, wait: Callable[[], object]) -> None:
    sessions = StoredSessions(store)
    with ThreadPoolExecutor(len(numbers)) as pool:
        done = [pool.submit(request, sessions, cookie, number, wait) for number in numbers]
        for future in done:
            future.result(PATIENCE_S)


def test_threads_lose_nothing(store: Store) -> None:
    cookie = begin(store)
    in_threads(store, cookie, range(50), threading.Barrier(50, timeout=PATIENCE_S).wait)
    check(store, cookie, 50)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_500_threads_lose_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    store = open_store(url_of(kind, request))
    cookie = begin(store)
    in_threads(store, cookie, range(500), threading.Barrier(500, timeout=PATIENCE_S).wait)
    check(store, cookie, 500)
    store.close()


async def request_async(
    sessions: StoredSessions[Any], cookie: str, number: int, wait: Callable[[], Awaitable[object]]
) -> None:
    session = await sessions.open_async(cookie)
    change(session, number)
    await wait()
    await sessions.save_async(session)


async def in_tasks(sessions: StoredSessions[Any], cookie: str, total: int) -> None:
    all_loaded = asyncio.Event()
    loaded = 0

    async def wait() -> None:
        nonlocal loaded
        loaded += 1
        if loaded == total:
            all_loaded.set()
        await asyncio.wait_for(all_loaded.wait(), PATIENCE_S)

    tasks = (request_async(sessions, cookie, number, wait) for number in range(total))
    await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_tasks_lose_nothing(store: Store, url: str) -> None:
    cookie = begin(store)
    if url == "memory:":  # each memory store is another one
        await in_tasks(StoredSessions(store), cookie, 50)
    else:
        asynchronous = open_async_store(url)
        await in_tasks(StoredSessions(asynchronous), cookie, 50)
        await asynchronous.close()
    check(store, cookie, 50)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.asyncio
async def test_500_tasks_lose_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    store = open_store(url_of(kind, request))
    cookie = begin(store)
    await in_tasks(StoredSessions(store), cookie, 500)
    check(store, cookie, 500)
    store.close()


GREENLETS = """
    from gevent import monkey
    monkey.patch_all()
    import sys
    import gevent
    from gevent.event import Event
    from tests.sessions import test_lost_updates as tests

    url, total = sys.argv[1], int(sys.argv[2])
    store = tests.open_store(url)
    sessions, cookie = tests.StoredSessions(store), tests.begin(store)
    loaded, all_loaded = [], Event()

    def wait():
        loaded.append(None)
        if len(loaded) == total:
            all_loaded.set()
        assert all_loaded.wait(tests.PATIENCE_S)

    spawned = [gevent.spawn(tests.request, sessions, cookie, n, wait) for n in range(total)]
    gevent.joinall(spawned, raise_error=True)
    tests.check(store, cookie, total)
    store.close()
"""

PROCESS = """
    import sys
    import threading
    from tests.sessions import test_lost_updates as tests

    url, cookie, first, total = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

    def tell_and_wait():
        print("loaded", flush=True)
        sys.stdin.readline()

    barrier = threading.Barrier(total, action=tell_and_wait, timeout=tests.PATIENCE_S)
    store = tests.open_store(url)
    tests.in_threads(store, cookie, range(first, first + total), barrier.wait)
    store.close()
"""


def spawn(code: str, *arguments: object) -> subprocess.Popen[str]:
    lines = "\n".join(line[4:] for line in code.splitlines())
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", lines, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def in_greenlets(url: str, total: int) -> None:
    process = spawn(GREENLETS, url, total)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output + errors


def test_greenlets_lose_nothing(url: str) -> None:
    in_greenlets(url, 50)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_500_greenlets_lose_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    in_greenlets(url_of(kind, request), 500)


@pytest.mark.slow
def test_processes_lose_nothing(shared_url: str) -> None:
    store = open_store(shared_url)
    cookie = begin(store)
    each = 50 // PROCESSES
    processes = [spawn(PROCESS, shared_url, cookie, first, each) for first in range(0, 50, each)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "loaded\n", process.communicate()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, output + errors
    check(store, cookie, 50)
    store.close()


def test_a_nested_value_that_all_change_is_last_wins(store: Store) -> None:
    """What is not promised, so that nobody takes it for lossless."""
    sessions, cookie = StoredSessions(store), begin(store)
    opened = [sessions.open(cookie) for _ in range(3)]
    for number, session in enumerate(opened):
        session["shared"][f"item{number}"] = number
    for session in (opened[2], opened[0], opened[1]):
        sessions.save(session)
    assert sessions.open(cookie)["shared"] == {"last": None, "item1": 1}
