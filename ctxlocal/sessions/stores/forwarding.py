"""Forwarding: a store's operations, written once as coroutines, for code that blocks too.

:class:`Operations` is the base of those coroutines, and so of an AsyncStore. A Store is a
:class:`Blocking` over operations that never wait, as what they ask blocks until the answer
is there. The other way round goes :class:`~ctxlocal.sessions.stores.threaded.ThreadedStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import update_wrapper
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from ..._at_once import at_once
from ..errors import StoreUnavailableError
from .protocol import Answer, AsyncStore, Change, Record

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O", bound="Operations")  # noqa: E741


class Operations:
    """What the operations of a store have in common: its name, and how they fail."""

    name: str
    _failures: ClassVar[tuple[type[Exception], ...]]  #: of the client: the store is unavailable

    def _check_library(self) -> None:
        """Refuse to be awaited where the store's client cannot wait; called before each."""

    def _unavailable(self, operation: str, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(self.name, operation)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


_Method = Callable[Concatenate[O, P], Coroutine[Any, Any, R]]


def operation(method: _Method[O, P, R]) -> _Method[O, P, R]:
    """Make a coroutine method an operation: its failures are the store's, by the method's name.

    One operation does not await another, whose name the error would have.
    """
    return named(method.__name__)(method)


def named(name: str) -> Callable[[_Method[O, P, R]], _Method[O, P, R]]:
    """Make a coroutine method a part of the operation ``name``."""

    def decorate(method: _Method[O, P, R]) -> _Method[O, P, R]:
        async def carry_out(self: O, /, *args: P.args, **kwargs: P.kwargs) -> R:
            self._check_library()
            try:
                return await method(self, *args, **kwargs)
            except self._failures as error:
                raise self._unavailable(name, error) from error

        update_wrapper(carry_out, method)
        return carry_out

    return decorate


class Blocking:
    """The calls of a Store, each done by a coroutine of an AsyncStore that never waits."""

    is_blocking = True
    name: str
    _operations: AsyncStore

    def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""
        return at_once(self._operations.load(key))

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.create`."""
        return at_once(self._operations.create(key, sets, ttl))

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.commit`."""
        return at_once(self._operations.commit(key, generation, change, ttl, base))

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.move`."""
        return at_once(self._operations.move(old, new, sets, ttl, grace))

    def touch(self, key: str, ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.touch`."""
        return at_once(self._operations.touch(key, ttl))

    def delete(self, key: str) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.delete`."""
        return at_once(self._operations.delete(key))

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.list`."""
        return at_once(self._operations.list(user))

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke`."""
        return at_once(self._operations.revoke(user, except_key, handle))

    def revoke_everyone(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke_everyone`."""
        return at_once(self._operations.revoke_everyone())

    def purge(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.purge`."""
        return at_once(self._operations.purge())

    def close(self) -> None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.close`."""
        at_once(self._operations.close())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
