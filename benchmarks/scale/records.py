"""What a session costs in a store that holds many: SQLite's file, and servers."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, time
from types import coroutine
from typing import Any

from ctxlocal._at_once import at_once
from ctxlocal.lab.bench.rival import load
from ctxlocal.sessions.stores.protocol import KEPT_COMMITS, USER, Change, Record

from .clock import late, middle, once_ns

Figures = dict[str, float]
SESSIONS_EACH = 4  # that a user has
_TTL = 86_400.0
_CHUNK = 1000
_SAMPLES = 500
_US = 1e3
# Redis keeps a hash compact as long as none of its values is longer than that: 64 by default.
COMPACT = ("--hash-max-listpack-value", "1024")

# How a database says what its tables and indexes take.
SIZES = {
    "PostgreSQL": "SELECT pg_database_size(current_database())",
    "MariaDB": "SELECT coalesce(sum(file_size), 0) FROM information_schema.innodb_sys_tablespaces"
    " WHERE name LIKE 'test/%'",
}

VALUES = {
    "name": b"\xa5u1042",
    "csrf": b"\xd9@" + b"5f" * 32,
    "theme": b"\xa4dark",
    "cart": b"\x93\x0b*\x07",
    "count": b"0",
}


def key(number: int) -> str:
    """Return a session's key: as real ones are, without any order."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def user(number: int) -> str:
    """Return the user of a session."""
    return f"user {number // SESSIONS_EACH}"


def content(number: int) -> dict[str, bytes]:
    """Return what a session holds."""
    return {**VALUES, USER: user(number).encode()}


class Filled(ABC):
    """A store to be filled faster than by one create after the other."""

    store: Any

    @abstractmethod
    def fill(self, numbers: range) -> None:
        """Create the sessions of these numbers."""

    def fill_expired(self, numbers: range) -> bool:
        """Create sessions that have expired; False where the store removes such itself."""
        return False

    @abstractmethod
    def size(self) -> int:
        """Return the bytes that the store takes."""


class FilledByClock(Filled):
    """One whose store has a clock that can be put back."""

    _ahead = 0.0

    def _clock(self) -> float:
        return time() + self._ahead

    def fill_expired(self, numbers: range) -> bool:
        """Create them with the store's clock put back."""
        self._ahead = -2 * _TTL
        self.fill(numbers)
        self._ahead = 0.0
        return True


class FilledSQLite(FilledByClock):
    """A store in a file of its own."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "sessions.db"
        store = load("ctxlocal.sessions.stores.sqlite").SQLiteStore
        self.store = store(self._path, clock=self._clock)

    def fill(self, numbers: range) -> None:
        """Create them by the store's own create, a thousand in one transaction."""
        connections = self.store._connections
        todo = iter(numbers)
        while some := list(islice(todo, _CHUNK)):
            connection = connections.take()
            connection.execute("BEGIN")
            connections.give(connection)  # the next create takes this one
            for number in some:
                assert self.store.create(key(number), content(number), _TTL)
            connection.execute("COMMIT")

    def size(self) -> int:
        """Return the size of the file, with what was written ahead put in place."""
        connections = self.store._connections
        connection = connections.take()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connections.give(connection)
        return self._path.stat().st_size


class FilledRedis(Filled):
    """A store in a server of its own."""

    def __init__(self, port: int) -> None:
        url = f"redis://127.0.0.1:{port}/0"
        self.store = load("ctxlocal.sessions.stores.redis").RedisStore.from_url(url)
        self._client = load("redis").Redis(port=port)

    def fill(self, numbers: range) -> None:
        """Create them by the store's own steps, some at once: what all ask goes in one batch."""
        calls = load("ctxlocal.sessions.stores.redis.calls")
        operations = self.store._operations
        send, operations._send = operations._send, _hand_over
        todo = iter(numbers)
        while some := list(islice(todo, _CHUNK)):
            creating = [operations.create(key(one), content(one), _TTL) for one in some]
            asked = [(steps, steps.send(None)) for steps in creating]
            while asked:
                batch = calls.Batch([call.arguments for _, call in asked])
                replies = at_once(send(batch))
                asked = [
                    (steps, call)
                    for (steps, _), reply in zip(asked, replies, strict=True)
                    if (call := _next(steps, reply)) is not None
                ]
        operations._send = send

    def size(self) -> int:
        """Return the memory that the server uses."""
        return int(self._client.info("memory")["used_memory"])


class FilledSQL(FilledByClock):
    """A store in a database of its own.

    :param size: a statement whose answer is the bytes of all tables and indexes.
    """

    def __init__(self, url: str, size: str) -> None:
        store = load("ctxlocal.sessions.stores.sql").SQLStore
        self.store = store.from_url(url, clock=self._clock)
        self.store.create_table()
        self._size = size
        self._engine = load("sqlalchemy").create_engine(url)

    def fill(self, numbers: range) -> None:
        """Create them one after the other."""
        for number in numbers:
            assert self.store.create(key(number), content(number), _TTL)

    def size(self) -> int:
        """Return the size of the database's tables and indexes."""
        with self._engine.connect() as connection:
            return int(connection.scalar(load("sqlalchemy").text(self._size)))


@coroutine
def _hand_over(asked: Any) -> Generator[Any, Any, Any]:
    """Leave a command to whoever drives the operation."""
    return (yield asked)


def _next(steps: Any, reply: Any) -> Any:
    try:
        return steps.throw(reply) if isinstance(reply, Exception) else steps.send(reply)
    except StopIteration as end:
        if not end.value:
            raise RuntimeError("a session was there already") from None
        return None


@contextmanager
def filled(kind: str, directory: Path) -> Iterator[Filled]:
    """Yield an empty store of a kind: "SQLite", "Redis, compact", or as ``SIZES`` has them."""
    with ExitStack() as stack:
        if kind == "SQLite":
            one: Filled = FilledSQLite(directory)
        elif kind in SIZES:
            one = FilledSQL(stack.enter_context(served(kind, directory)), SIZES[kind])
        else:
            options = COMPACT if kind == "Redis, compact" else ()
            services = load("tests.support.services")
            one = FilledRedis(stack.enter_context(services.redis_server(*options)).port)
        yield one
        one.store.close()


@contextmanager
def served(kind: str, directory: Path) -> Iterator[str]:
    """Yield the URL of an empty store of a kind, whose server runs as long."""
    services = load("tests.support.services")
    if kind == "SQLite":
        yield f"sqlite:///{directory}/sessions.db"
    elif kind == "Redis":
        with services.redis_server() as server:
            yield f"redis://127.0.0.1:{server.port}/0"
    elif kind == "PostgreSQL":
        with services.postgresql_server() as server:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"
    else:
        with services.mariadb_server() as server:
            yield f"mariadb+pymysql://root@127.0.0.1:{server.port}/test"


def measure(kind: str, directory: Path, count: int) -> Figures:
    """Return µs of each operation on a store with ``count`` sessions, found without any order."""
    with filled(kind, directory) as store:
        empty = store.size()
        start = perf_counter()
        store.fill(range(count))
        figures = {"fill, s": perf_counter() - start, "bytes": (store.size() - empty) / count}
        figures |= _operations(store.store, count)
        figures |= _purge(store, count)
    return figures


def _operations(store: Any, count: int) -> Figures:
    choose = random.Random(count)
    numbers = [choose.randrange(count) for _ in range(_SAMPLES)]
    taken: dict[str, list[int]] = {
        "load": [once_ns(partial(store.load, key(number))) for number in numbers],
        "commit": [_commit(store, key(number), f"of {number}") for number in numbers],
        "create": [_create(store, count + nth) for nth in range(_SAMPLES)],
        "list": [once_ns(partial(store.list, user(number))) for number in numbers],
        "revoke": [
            once_ns(partial(store.revoke, whose))
            for whose in sorted({user(number) for number in numbers[: _SAMPLES // 2]})
        ],
    }
    figures = {name: middle(samples) / _US for name, samples in taken.items()}
    return figures | {"commit p99": late(taken["commit"]) / _US}


def _commit(store: Any, at: str, commit_id: str) -> int:
    record: Record = store.load(at)
    changed = {"count": commit_id.encode()}
    return once_ns(
        partial(store.commit, at, record.generation, Change(commit_id, changed), _TTL, record)
    )


def _create(store: Any, number: int) -> int:
    return once_ns(partial(store.create, key(number), content(number), _TTL))


def _purge(store: Filled, count: int) -> Figures:
    """Return ms of a purge that finds nothing, and of one that finds a tenth as many expired."""
    start = perf_counter()
    store.store.purge()
    figures = {"purge of none, ms": (perf_counter() - start) * 1e3}
    expired = count // 10
    unused = 2 * count + _SAMPLES
    if store.fill_expired(range(unused, unused + expired)):
        start = perf_counter()
        assert store.store.purge() == expired
        figures["purge of a tenth, ms"] = (perf_counter() - start) * 1e3
    return figures


def worn(kind: str, directory: Path, count: int) -> Figures:
    """Return bytes that a session takes after it was changed so often as it remembers commits."""
    with filled(kind, directory) as store:
        empty = store.size()
        store.fill(range(count))
        fresh = store.size() - empty
        for number in range(count):
            for nth in range(KEPT_COMMITS):
                _commit(store.store, key(number), f"{number:016x}{nth:016x}")
        return {"fresh": fresh / count, "worn": (store.size() - empty) / count}
