"""Forwarding: a store's operations, written once as coroutines, for code that blocks too.

:class:`Operations` is the base of those coroutines, and so of an AsyncStore. A Store is a
:class:`Blocking` over operations that never wait, as what they ask blocks until the answer
is there. The other way round goes :class:`Awaited`: in threads, as
:class:`~ctxlocal.sessions.stores.threaded.ThreadedStore`, or :class:`AtOnce`. Both take each call's
signature and meaning from :class:`~ctxlocal.sessions.stores.protocol.Store`, and so stand around
any store: as does that of :mod:`~ctxlocal.sessions.stores.observed`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from ..._at_once import at_once
from ..errors import StoreUnavailableError
from .protocol import AsyncStore, Store

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


def _blocking(call: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Make a call of a Store of the coroutine method that bears its name."""
    name = call.__name__

    def ask(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> R:
        answer: Coroutine[Any, Any, R] = getattr(self._operations, name)(*args, **kwargs)
        return at_once(answer)

    return update_wrapper(ask, call)


class Blocking:
    """The calls of a Store, each done by a coroutine of an AsyncStore that never waits."""

    is_blocking = True
    name: str
    _operations: AsyncStore

    load = _blocking(Store.load)
    create = _blocking(Store.create)
    commit = _blocking(Store.commit)
    move = _blocking(Store.move)
    touch = _blocking(Store.touch)
    delete = _blocking(Store.delete)
    list = _blocking(Store.list)
    revoke = _blocking(Store.revoke)
    revoke_everyone = _blocking(Store.revoke_everyone)
    purge = _blocking(Store.purge)
    close = _blocking(Store.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _awaited(
    call: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Make a coroutine method of a Store's method of that name."""
    name = call.__name__

    async def ask(self: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._is_direct:
            do: Callable[P, R] = getattr(self.store, name)
            return do(*args, **kwargs)
        answer: R = await self._call(name, *args, **kwargs)
        return answer

    return update_wrapper(ask, call)


class Awaited:
    """The calls of an AsyncStore, each done by a Store, or as a subclass has it.

    :param is_direct: they are done where they are awaited; else by ``_call``.
    """

    def __init__(self, store: Any, is_direct: bool) -> None:
        self.store = store
        self.name = store.name
        self._is_direct = is_direct

    load = _awaited(Store.load)
    create = _awaited(Store.create)
    commit = _awaited(Store.commit)
    move = _awaited(Store.move)
    touch = _awaited(Store.touch)
    delete = _awaited(Store.delete)
    list = _awaited(Store.list)
    revoke = _awaited(Store.revoke)
    revoke_everyone = _awaited(Store.revoke_everyone)
    purge = _awaited(Store.purge)
    close = _awaited(Store.close)

    async def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.store!r}>"


class AtOnce(Awaited):
    """A Store as an AsyncStore that never waits: what it asks blocks instead."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, is_direct=True)
