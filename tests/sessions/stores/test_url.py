"""Stores by URL; no message shows one."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import AsyncStore, Change, Store
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.sessions.stores.url import open_async_store, open_store
from tests.support.services import redis_cluster, redis_server

from .conftest import KEY

EXAMPLES = (
    "Use memory:, sqlite:///relative.db, sqlite:////absolute.db, redis://host, "
    "postgresql+psycopg://host/name, or another URL of SQLAlchemy"
)


def test_memory() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize("path", ["relative.db", "/absolute/it is.db"])
def test_sqlite(path: str) -> None:
    store = open_store(f"sqlite:///{path}")
    assert isinstance(store, SQLiteStore)
    assert store.path == path


def test_async_stores_run_blocking_ones_in_threads(tmp_path: Path) -> None:
    for url in ("memory:", f"sqlite:///{tmp_path}/a.db"):
        assert isinstance(open_async_store(url), ThreadedStore)


def use(store: Store) -> None:
    assert store.create(KEY, {"a": b"1"}, 60)
    assert store.commit(KEY, 0, Change("c", {"b": b"2"}), 60).outcome == "committed"
    record = store.load(KEY)
    assert record is not None
    assert record.values == {"a": b"1", "b": b"2"}
    assert store.delete(KEY)
    store.close()


async def use_in_a_task(store: AsyncStore) -> None:
    assert await store.create(KEY, {"a": b"1"}, 60)
    assert (await store.commit(KEY, 0, Change("c", {"b": b"2"}), 60)).outcome == "committed"
    record = await store.load(KEY)
    assert record is not None
    assert record.values == {"a": b"1", "b": b"2"}
    assert await store.delete(KEY)
    await store.close()


@pytest.fixture(scope="module", params=["redis", "unix", "redis+cluster"])
def redis_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a server, by each scheme that needs no certificate."""
    if request.param == "redis":
        yield f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/1?max_connections=2"
    elif request.param == "unix":
        path = tmp_path_factory.mktemp("redis") / "s"
        with redis_server("--unixsocket", str(path)):
            yield f"unix://{path}"
    else:
        with redis_cluster(1) as (port,):
            yield f"redis+cluster://127.0.0.1:{port}"


@pytest.mark.redis
class TestRedis:
    def test_a_store_works(self, redis_url: str) -> None:
        use(open_store(redis_url))

    @pytest.mark.asyncio
    async def test_an_asynchronous_one_works(self, redis_url: str) -> None:
        await use_in_a_task(open_async_store(redis_url))


class TestTLS:
    """What the first byte that is sent tells: 22 is a TLS handshake (RFC 8446, 5.1)."""

    @pytest.fixture
    def listening(self) -> Iterator[tuple[int, set[bytes]]]:
        """A port of something that hangs up, and what it was sent first."""
        seen: set[bytes] = set()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, suppress(OSError):
                        seen.add(connection.recv(1))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve)
            thread.start()
            yield listener.getsockname()[1], seen
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    @pytest.mark.parametrize(
        ("scheme", "first"),
        [
            ("rediss", b"\x16"),
            ("rediss+cluster", b"\x16"),
            ("redis", b"*"),
            ("redis+cluster", b"*"),
        ],
    )
    @pytest.mark.parametrize("is_async", [False, True])
    def test_is_spoken_if_the_scheme_says_so(
        self, listening: tuple[int, set[bytes]], scheme: str, first: bytes, is_async: bool
    ) -> None:
        port, seen = listening
        url = f"{scheme}://127.0.0.1:{port}"

        async def load() -> None:
            store = open_async_store(url)
            try:
                await store.load(KEY)
            finally:
                await store.close()

        with pytest.raises(StoreUnavailableError):
            asyncio.run(load()) if is_async else open_store(url).load(KEY)
        assert seen == {first}


@pytest.mark.postgresql
class TestPostgreSQL:
    SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_a_store_works(self, postgresql_url: str, scheme: str) -> None:
        use(open_store(postgresql_url.replace("postgresql+psycopg", scheme)))

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.asyncio
    async def test_an_asynchronous_one_works(self, postgresql_url: str, scheme: str) -> None:
        await use_in_a_task(open_async_store(postgresql_url.replace("postgresql+psycopg", scheme)))


@pytest.mark.parametrize(
    ("open_it", "kind", "driver", "package"),
    [
        (open_store, "mysql", "MySQLdb", "mysqlclient"),
        (open_store, "mysql+pymysql", "pymysql", "pymysql"),
        (open_store, "postgresql+psycopg2", "psycopg2", "psycopg2"),
        (open_store, "postgresql+psycopg", "psycopg", "psycopg"),
        (open_async_store, "postgresql+psycopg", "psycopg", "psycopg"),
        (open_async_store, "postgresql+asyncpg", "asyncpg", "asyncpg"),
    ],
)
def test_other_databases_go_to_sqlalchemy_which_needs_a_driver(
    open_it: type, kind: str, driver: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    monkeypatch.setitem(sys.modules, driver, None)  # not installed, wherever this runs
    with pytest.raises(SessionConfigError) as caught:
        open_it(f"{kind}://user:secret@host/db")
    assert str(caught.value) == f"url: its driver {driver} is not installed: pip install {package}"


@pytest.mark.parametrize("kind", ["mysql", "mysql+pymysql", "postgresql+psycopg2"])
def test_a_driver_that_blocks_makes_no_asynchronous_store(kind: str) -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(SessionConfigError) as caught:
        open_async_store(f"{kind}://user:secret@host/db")
    assert str(caught.value) == (
        f"url: {kind} is not for asyncio; name a driver that is, as postgresql+psycopg or "
        "mysql+asyncmy"
    )


def test_a_driver_for_asyncio_makes_no_synchronous_store() -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(SessionConfigError) as caught:
        open_store("postgresql+asyncpg://user:secret@host/db")
    assert str(caught.value) == (
        "url: postgresql+asyncpg is for asyncio alone; use open_async_store(url), or another driver"
    )


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
@pytest.mark.parametrize("url", ["", "secret", "nothing:secret", "/secret.db"])
def test_no_url_is_refused(open_it: type, url: str) -> None:
    message = f"^{re.escape(f'url: it names no kind of store. {EXAMPLES}')}$"
    with pytest.raises(SessionConfigError, match=message):
        open_it(url)


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
@pytest.mark.parametrize("rest", ["user:secret@host/db", "user:secret@host:port/db"])
def test_an_unknown_kind_is_refused_without_showing_the_password(open_it: type, rest: str) -> None:
    pytest.importorskip("sqlalchemy")
    problem = f"there is no kind of store 'mongodb'. {EXAMPLES}"
    with pytest.raises(SessionConfigError, match=f"^url: {re.escape(problem)}$") as caught:
        open_it(f"mongodb://{rest}")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
def test_a_malformed_rest_is_told_apart_from_an_unknown_kind(open_it: type) -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(SessionConfigError) as caught:
        open_it("postgresql://user:secret@host:port/db")
    assert str(caught.value) == (
        "url: what follows postgresql:// is malformed; it is user:password@host:port/name"
    )
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://a.db", "sqlite:///a.db?x=1"])
def test_a_sqlite_url_without_a_plain_path_is_refused(url: str) -> None:
    message = (
        "url: a path has to follow, and no more: sqlite:///relative.db, sqlite:////absolute.db"
    )
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
        open_store(url)


def test_memory_takes_no_more() -> None:
    with pytest.raises(SessionConfigError, match=r"^url: memory: takes nothing after the colon$"):
        open_store("memory:x")
