"""What a store's operations have in common, whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from inspect import iscoroutinefunction, signature
from typing import Any

import pytest

from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.forwarding import AtOnce, Blocking, Operations, operation
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.observed import AsyncObservedStore, ObservedStore
from ctxlocal.sessions.stores.protocol import AsyncStore, Record, Stats, Store
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.testing import check_store

from .conftest import KEY, Clock


class There(Blocking):
    """A MemoryStore, awaited, and that at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._memory = MemoryStore(clock=clock)
        self._operations = AtOnce(self._memory)
        self.name = self._operations.name

    def scan(self) -> Iterator[tuple[str, Record]]:
        return self._memory.scan()

    def stats(self) -> Stats:
        return self._memory.stats()


def test_a_store_there_and_back_fulfils_the_contract() -> None:
    clock = Clock()
    check_store(lambda: There(clock), advance=clock.advance)


def test_what_waits_is_refused_and_closed_where_nothing_can_wait() -> None:
    closed = []

    class Waiting(There):
        def __init__(self, clock: Callable[[], float]) -> None:
            super().__init__(clock)
            self._operations.load = self.wait  # type: ignore[method-assign]

        async def wait(self, key: str) -> Record | None:
            try:
                await asyncio.sleep(0)
            finally:
                closed.append(key)
            return None

    with pytest.raises(RuntimeError, match=r"^A coroutine waits that was to be done at once\.$"):
        Waiting(Clock()).load(KEY)
    assert closed == [KEY]


class Failing(Operations):
    """Fails as a client does, and as none does."""

    name = "failing"
    _failures = (OSError,)

    @operation
    async def load(self, key: str) -> Record | None:
        """Fail."""
        raise {"lost": OSError("it is down"), "wrong": KeyError("a bug")}[key]


@pytest.mark.asyncio
async def test_a_failure_of_the_client_bears_the_operations_name() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        await Failing().load("lost")
    assert (caught.value.store, caught.value.operation) == ("failing", "load")
    assert repr(caught.value.__cause__) == "OSError('it is down')"


@pytest.mark.asyncio
async def test_any_other_error_is_left_as_it_is() -> None:
    with pytest.raises(KeyError, match=r"^'a bug'$"):
        await Failing().load("wrong")


METHODS = [name for name in vars(AsyncStore) if name[:1] != "_"]


AWAITED = [AsyncRedisStore, AsyncSQLStore, ThreadedStore, AtOnce, AsyncObservedStore]


@pytest.mark.parametrize("kind", [RedisStore, SQLStore, ObservedStore, *AWAITED])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_as_the_protocol_has_it(kind: Any, method: str) -> None:
    found = getattr(kind, method)
    assert signature(found) == signature(getattr(Store, method))
    assert iscoroutinefunction(found) is (kind in AWAITED)
    assert found.__doc__


@pytest.mark.parametrize("method", METHODS)
def test_the_protocols_differ_in_that_one_is_awaited(method: str) -> None:
    awaited, plain = signature(getattr(AsyncStore, method)), signature(getattr(Store, method))
    assert awaited.parameters == plain.parameters
    assert awaited.return_annotation == f"Coroutine[Any, Any, {plain.return_annotation}]"
