"""Fixtures: each kind of store, by name; a test of the contract runs on all of them.

A kind is a function of the fixture request that returns a :class:`Kind`. It goes into STORES
(blocking ones) or ASYNC_STORES. Redis and the SQL databases are tested in files of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from ctxlocal.sessions.stores.grouped import GroupedStore
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import AsyncStore, Store
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from tests.support.services import redis_cluster

KEY = "a" * 64
OTHER = "b" * 64


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Kind(NamedTuple):
    """How a kind of store is made and tested."""

    make: Callable[[], Any]  #: a fresh, empty store
    advance: Callable[[float], object]
    lose_reply: Callable[[Any], AbstractContextManager[object]] | None = None


def memory(request: pytest.FixtureRequest) -> Kind:
    clock = Clock()
    return Kind(lambda: MemoryStore(clock=clock), clock.advance)


def sqlite(request: pytest.FixtureRequest) -> Kind:
    clock, number = Clock(), itertools.count()
    directory: Path = request.getfixturevalue("tmp_path")
    return Kind(lambda: SQLiteStore(directory / f"{next(number)}.db", clock=clock), clock.advance)


def threaded(kind: Callable[[pytest.FixtureRequest], Kind]) -> Callable[..., Kind]:
    def make(request: pytest.FixtureRequest) -> Kind:
        blocking = kind(request)
        return Kind(lambda: ThreadedStore(blocking.make()), blocking.advance)

    return make


def grouped(request: pytest.FixtureRequest) -> Kind:
    blocking = sqlite(request)
    return Kind(lambda: GroupedStore(blocking.make()), blocking.advance)


#: Each is a function of the fixture request, which may
#: ask for what it needs with ``request.getfixturevalue("redis_port")``.
STORES: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {"memory": memory, "sqlite": sqlite}
ASYNC_STORES: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {
    "threaded memory": threaded(memory),
    "threaded sqlite": threaded(sqlite),
    "grouped sqlite": grouped,
}


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of blocking store."""
    return STORES[request.param](request)


@pytest.fixture(params=ASYNC_STORES)
def async_kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of asynchronous store."""
    return ASYNC_STORES[request.param](request)


@pytest.fixture
def store(kind: Kind) -> Iterator[Store]:
    """An empty store of each kind."""
    made = kind.make()
    yield made
    made.close()


@pytest.fixture
def make_async_store(async_kind: Kind) -> Callable[[], AsyncStore]:
    """Make empty asynchronous stores, on the loop they are used on."""
    return async_kind.make


@pytest.fixture(scope="session")
def cluster_ports() -> Iterator[list[int]]:
    """The ports of a Redis Cluster of three primaries."""
    with redis_cluster(3) as ports:
        yield ports


@contextmanager
def cluster_client(port: int) -> Iterator[redis.RedisCluster]:
    """Make an empty cluster's client, and close its connections, which its own end leaves open."""
    with redis.RedisCluster(host="127.0.0.1", port=port) as client:
        client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
        yield client
        client.disconnect_connection_pools()


@pytest.fixture(
    params=[
        pytest.param("postgresql_url", marks=pytest.mark.postgresql),
        pytest.param("mariadb_url", marks=pytest.mark.mariadb),
    ]
)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of each SQL database."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]
