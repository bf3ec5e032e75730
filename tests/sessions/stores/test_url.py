"""Stores by URL; no message shows one."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import AsyncStore, Change, Store
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.sessions.stores.url import open_async_store, open_store
from ctxlocal.testing import check_async_store, check_store
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


REDIS = ("redis", "unix", "redis+unix", "redis+cluster", "redis+cluster, the first down")


@pytest.fixture(scope="module", params=REDIS)
def redis_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a server, by each scheme that needs no certificate."""
    if request.param == "redis":
        yield f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/1?max_connections=2"
    elif request.param.endswith("unix"):
        path = tmp_path_factory.mktemp("redis") / "s"
        with redis_server("--unixsocket", str(path)):
            yield f"{request.param}://{path}?db=1"
    else:
        with redis_cluster(3) as ports:
            nobody = "127.0.0.1:1," * request.param.endswith("down")
            yield f"redis+cluster://{nobody}127.0.0.1:{ports[0]},127.0.0.1:{ports[2]}"


@pytest.mark.redis
class TestRedis:
    def test_a_store_works(self, redis_url: str) -> None:
        use(open_store(redis_url))

    @pytest.mark.asyncio
    async def test_an_asynchronous_one_works(self, redis_url: str) -> None:
        await use_in_a_task(open_async_store(redis_url))

    @pytest.mark.slow
    def test_the_contract_is_fulfilled(self, redis_url: str) -> None:
        check_store(emptied(redis_url, open_store))

    @pytest.mark.slow
    def test_the_contract_is_fulfilled_in_tasks(self, redis_url: str) -> None:
        check_async_store(emptied(redis_url, open_async_store))

    @pytest.mark.asyncio
    async def test_many_tasks_may_be_the_first_to_use_a_store(self, redis_url: str) -> None:
        store = open_async_store(redis_url)
        keys = [f"{number:064}" for number in range(32)]
        assert all(await asyncio.gather(*(store.create(key, {}, 60) for key in keys)))
        assert all(await asyncio.gather(*(store.delete(key) for key in keys)))
        await store.close()

    def test_stores_of_other_prefixes_keep_to_themselves(self, redis_port: int) -> None:
        url = f"redis://127.0.0.1:{redis_port}/1?prefix="
        shop, blog = open_store(f"{url}shop:"), open_store(f"{url}blog%3A")
        assert shop.create(KEY, {}, 60)
        assert blog.load(KEY) is None
        with redis.Redis(port=redis_port, db=1) as client:
            assert client.exists(f"shop:session:{KEY}")
        assert shop.delete(KEY)
        shop.close()
        blog.close()


def emptied(url: str, opened: Callable[[str], Any]) -> Callable[[], Any]:
    """Make empty stores of a URL."""

    def make() -> Any:
        store: Any = open_store(url)
        store._operations._client.flushall()
        store.close()
        return opened(url)

    return make


class TestKeys:
    """What may stand after the ``?``: ours, which are the same for all stores, and the driver's."""

    def test_redis_takes_a_limit_and_the_size_of_its_pool(self) -> None:
        url = "redis://host?timeout=0.5&pool_size=3&epoch_interval=2&socket_timeout=7"
        for store in (open_store(url), open_async_store(url)):
            operations: Any = getattr(store, "_operations", store)
            pool = operations._client.connection_pool
            assert (pool.timeout, pool.max_connections) == (0.5, 3)
            assert pool.connection_kwargs["socket_connect_timeout"] == 0.5
            assert pool.connection_kwargs["socket_timeout"] == 7  # redis-py's own word on it
            assert operations._epoch_interval == 2

    @pytest.mark.parametrize("url", ["redis://host", "redis+sentinel://host/shop"])
    def test_redis_speaks_resp_2_unless_the_url_says_otherwise(self, url: str) -> None:
        for query, protocol in (("", 2), ("?protocol=3", 3)):
            for store in (open_store(url + query), open_async_store(url + query)):
                operations: Any = getattr(store, "_operations", store)
                settings = operations._client.connection_pool.connection_kwargs
                assert int(settings["protocol"]) == protocol  # redis-py before 6 keeps the text

    @pytest.mark.parametrize("kind", ["redis+sentinel", "rediss+sentinel"])
    def test_sentinels_are_reached_like_the_master_by_a_user_of_their_own(self, kind: str) -> None:
        url = (
            f"{kind}://user:pass%2Fword@one:1,[::1],two/my%20shop/2"
            "?sentinel_username=s&sentinel_password=p&timeout=1&pool_size=4&prefix=shop:"
        )
        for store in (open_store(url), open_async_store(url)):
            operations: Any = getattr(store, "_operations", store)
            assert operations._record_prefix == "shop:session:"
            pool = operations._client.connection_pool
            assert (pool.timeout, pool.max_connections) == (1, 4)
            assert pool.service_name == "my shop"
            known = pool.connection_kwargs
            assert (known["username"], known["password"], known["db"]) == ("user", "pass/word", 2)
            assert ("SSL" in pool.connection_class.__name__) is kind.startswith("rediss")
            manager = pool.sentinel_manager
            assert list(manager.nodes) == [("one", 1), ("::1", 26379), ("two", 26379)]
            settings = manager._settings
            assert (settings["username"], settings["password"]) == ("s", "p")
            assert settings["socket_timeout"] == settings["socket_connect_timeout"] == 1
            assert settings["ssl"] is kind.startswith("rediss")

    @pytest.mark.parametrize("open_it", [open_store, open_async_store])
    def test_sql_takes_the_size_of_its_pool_and_where_its_table_is(self, open_it: Any) -> None:
        store = open_it("postgresql://host/name?pool_size=3&table=kept&schema=shop&timeout=2")
        operations = getattr(store, "_operations", store)
        assert operations._table.fullname == "shop.kept"
        assert operations._engine.pool.size() == 3
        assert operations._engine.pool._max_overflow == 0
        assert operations._timeout == 2

    def test_what_a_driver_knows_goes_through(self) -> None:
        plain: Any = open_store("rediss://host?ssl_cert_reqs=none&client_name=shop&db=3")
        known = plain._operations._client.connection_pool.connection_kwargs
        assert (known["ssl_cert_reqs"], known["client_name"], known["db"]) == ("none", "shop", 3)
        sql: Any = open_store("postgresql://host/name?sslmode=require&host=a:1&host=b:2&timeout=2")
        assert sql._operations._engine.url.query == {"sslmode": "require", "host": ("a:1", "b:2")}
        open_store("mysql+pymysql://host/name?charset=utf8mb4&ssl_ca=/ca.pem&read_timeout=3")

    def test_sqlite_takes_a_limit(self) -> None:
        store: Any = open_store("sqlite:///a.db?timeout=0.5")
        assert store.path == "a.db"
        assert store._connections._timeout == 0.5

    def test_redis_takes_what_replicas_have_to_confirm(self) -> None:
        url = "redis://host?wait=2,0.5&wait_for=ends"
        for store in (open_store(url), open_async_store(url)):
            wait = getattr(store, "_operations", store)._wait  # type: ignore[union-attr]
            assert (wait.replicas, wait.seconds, wait.is_for_ends_only) == (2, 0.5, True)
        for wrong in ("1", "1,", "0,1", "1,0", "one,1"):
            message = f"wait: it is a number of replicas, a comma, and seconds; got {wrong!r}"
            with pytest.raises(SessionConfigError, match=f"^{message}$"):
                open_store(f"redis://host?wait={wrong}")

    OWN_OF_REDIS = "epoch_interval, pool_size, prefix, timeout, wait, wait_for"
    OF_REDIS = f"{OWN_OF_REDIS}, and redis-py's client_name, "
    OF_SQL = "pool_size, schema, table, timeout"

    @pytest.mark.parametrize(
        ("url", "known"),
        [
            ("redis://host?prefx=s3cret", OF_REDIS),
            ("redis://host?table=s3cret", OWN_OF_REDIS),
            ("redis://host?ssl_ca_certs=s3cret", OF_REDIS),
            ("unix:///s?socket_keepalive=s3cret", OF_REDIS),
            ("redis+cluster://a,b?db=s3cret", OF_REDIS),
            ("redis+sentinel://a/s?tabel=s3cret", OF_REDIS),
            ("postgresql://host/n?tabel=s3cret", f"{OF_SQL}, and psycopg's own"),
            ("postgresql://host/n?prefix=s3cret", OF_SQL),
            ("mysql+pymysql://host/n?tabel=s3cret", f"{OF_SQL}, and pymysql's own"),
            ("mysql+asyncmy://host/n?tabel=s3cret", f"{OF_SQL}, and asyncmy's own"),
            ("sqlite:///a.db?tabel=s3cret", "timeout"),
        ],
    )
    def test_one_that_is_nobodys_is_refused_with_what_there_is(self, url: str, known: str) -> None:
        open_it = open_async_store if "asyncmy" in url else open_store
        kinds = {"redis": "Redis", "unix": "Redis", "sqlite": "SQLite"}
        kind = kinds.get(url.partition(":")[0].partition("+")[0], "SQL")
        key = url.partition("?")[2].partition("=")[0]
        with pytest.raises(SessionConfigError) as caught:
            open_it(url)
        message = f"url: {kind} takes no key {key!r} after the '?'; it takes {known}"
        assert str(caught.value).startswith(message)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis://host?timeout=0", "timeout: it is seconds, more than 0; got '0'"),
            ("redis://host?pool_size=0", "pool_size: it is a whole number, 1 or more; got '0'"),
            ("redis://host?prefix=a&prefix=b", "prefix: it is text; got ['a', 'b']"),
            ("redis://host?db=one", "url: Invalid value for 'db' in connection URL."),
            ("sqlite:///a.db?timeout=soon", "timeout: it is seconds, more than 0; got 'soon'"),
            ("postgresql://h/n?pool_size=x", "pool_size: it is a whole number, 1 or more; got 'x'"),
            ("postgresql://h/n?table=a&table=b", "table: it is text; got ('a', 'b')"),
        ],
    )
    def test_a_value_that_is_none_is_refused(self, url: str, said: str) -> None:
        with pytest.raises(SessionConfigError, match=f"^{re.escape(said)}$"):
            open_store(url)

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            (
                "redis+sentinel://u:s3cret@a,b",
                "name the service that the sentinels watch: host,host/service[/database]",
            ),
            (
                "redis+sentinel://u:s3cret@a,b/shop/one",
                "name the service that the sentinels watch: host,host/service[/database]",
            ),
            (
                "redis://u:s3cret@a,b",
                "redis:// is one server; several are redis+cluster://host,host or "
                "redis+sentinel://host,host/service",
            ),
            (
                "redis+cluster://u:s3cret@a,b/1",
                "a cluster has the database 0 alone: nothing follows it",
            ),
            ("redis+cluster://u:s3cret@a,b:port", "it is no URL of a Redis server"),
            ("redis+socket://u:s3cret@a", "it is no URL of a Redis server"),
            ("redis://u:12#s3cret@a", "it is no URL of a Redis server"),
            ("redis://u:12?s3cret@a", "it is no URL of a Redis server"),
            ("redis://u:12?s3cret=s3cret@a", "it is no URL of a Redis server"),
        ],
    )
    def test_a_place_that_is_none_is_refused(self, url: str, said: str) -> None:
        for open_it in (open_store, open_async_store):
            with pytest.raises(SessionConfigError, match=f"^url: {re.escape(said)}$"):
                open_it(url)

    def test_a_driver_that_cannot_be_asked_refuses_when_it_connects(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As mysqlclient and aiomysql, which need more than Python."""
        monkeypatch.setattr("ctxlocal.sessions.stores.sql.driver._judge", lambda dialect: None)
        store = open_store("mysql+pymysql://127.0.0.1:1/name?tabel=s3cret")
        with pytest.raises(StoreUnavailableError) as caught:
            store.load(KEY)
        assert str(caught.value.__cause__).startswith("url: pymysql refuses a key: ")
        assert str(caught.value.__cause__).endswith("got an unexpected keyword argument 'tabel'")


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
            ("rediss+sentinel", b"\x16"),
            ("redis+sentinel", b"*"),
            ("redis", b"*"),
            ("redis+cluster", b"*"),
        ],
    )
    @pytest.mark.parametrize("is_async", [False, True])
    def test_is_spoken_if_the_scheme_says_so(
        self, listening: tuple[int, set[bytes]], scheme: str, first: bytes, is_async: bool
    ) -> None:
        port, seen = listening
        url = f"{scheme}://127.0.0.1:{port}{'/shop' * scheme.endswith('sentinel')}"

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
    problem = (
        f"there is no kind of store 'mongodb'. {EXAMPLES}, or of a plug-in (there is none): "
        "register_store(scheme, ...), or a package with an entry point of the group ctxlocal.stores"
    )
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


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://a.db", "sqlite:///?timeout=1"]
)
def test_a_sqlite_url_without_a_path_is_refused(url: str) -> None:
    message = "url: a path has to follow: sqlite:///relative.db, sqlite:////absolute.db"
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
        open_store(url)


def test_memory_takes_no_more() -> None:
    with pytest.raises(SessionConfigError, match=r"^url: memory: takes nothing after the colon$"):
        open_store("memory:x")
