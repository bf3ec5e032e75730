"""Every operation of a store that cannot be reached says so, and which it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest

from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.protocol import Change
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore

from .conftest import KEY, OTHER

TTL = 600.0
REDIS = "redis://127.0.0.1:1/0"  # where nobody listens
POSTGRESQL = "postgresql+psycopg://127.0.0.1:1/none"


def sqlite(folder: Path) -> SQLiteStore:
    return SQLiteStore(folder / "none" / "sessions.db")


STORES: dict[str, Callable[[Path], Any]] = {
    "redis": lambda folder: RedisStore.from_url(REDIS),
    "async redis": lambda folder: AsyncRedisStore.from_url(REDIS),
    "sql": lambda folder: SQLStore.from_url(POSTGRESQL),
    "async sql": lambda folder: AsyncSQLStore.from_url(POSTGRESQL),
    "sqlite": sqlite,
    "threaded sqlite": lambda folder: ThreadedStore(sqlite(folder)),
}
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "load": lambda store: store.load(KEY),
    "create": lambda store: store.create(KEY, {}, TTL),
    "commit": lambda store: store.commit(KEY, 0, Change("c"), TTL),
    "move": lambda store: store.move(KEY, OTHER, {}, TTL),
    "touch": lambda store: store.touch(KEY, TTL),
    "delete": lambda store: store.delete(KEY),
    "list": lambda store: store.list("ann"),
    "revoke": lambda store: store.revoke("ann"),
    "revoke_everyone": lambda store: store.revoke_everyone(),
    "purge": lambda store: store.purge(),
    "scan": lambda store: list(store.scan()),
    "create_table": lambda store: store.create_table(),
}


async def outcome(operation: Callable[[], Any]) -> Any:
    answer = operation()
    return await answer if isawaitable(answer) else answer


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.asyncio
async def test_the_error_names_the_store_and_the_operation(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    told = {}
    for name, operation in OPERATIONS.items():
        if hasattr(store, name):
            with pytest.raises(StoreUnavailableError) as caught:
                await outcome(partial(operation, store))
            told[name] = caught.value.operation
            assert caught.value.store == store.name
    assert told == {name: name for name in told}
    assert len(told) >= 10
    await outcome(store.close)
