"""The contract of session stores as executable checks: for those who write a store.

def test_my_store():
    clock = Clock()
    check_store(lambda: MyStore(clock=clock), advance=clock.advance)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction, isfunction, signature
from typing import Any

from ..sessions.stores.protocol import AsyncStore, Store
from ._rules import RULES, Rule
from ._trial import Bridge, LoseReply, StoreContractError, Trial

__all__ = ["StoreContractError", "check_async_store", "check_store"]


def check_store(
    factory: Callable[[], Store],
    *,
    advance: Callable[[float], object] | None = None,
    lose_reply: LoseReply | None = None,
) -> None:
    """Check that stores of ``factory`` fulfil the contract; return if they do.

    Takes some seconds and up to 32 threads. Each rule gets a store of its own, which is closed.

    :param factory: returns a fresh, empty store; called once for each rule, in this thread.
    :param advance: moves the stores' clock on by a number of seconds, at most 3 in all for
        one rule: a fake clock's method, or ``time.sleep``. Without it what is about time is
        not checked.
    :param lose_reply: ``with lose_reply(store):`` makes the next commit within be carried
        out while its answer is lost, as when the connection drops. The store may repeat it
        itself or raise StoreUnavailableError. Without it that is not checked.
    :raises TypeError: ``factory`` is none, or what it returns lacks a method, or one takes other
        parameters.
    :raises StoreContractError: a rule is broken; it says which, what was done, what was
        expected, and what came instead.
    """
    for rule in _applicable(advance, lose_reply):
        store: Any = _made_by(factory, "check_store")
        _refuse_incomplete(store, Store)
        try:
            _check(Trial(rule.check, store, advance, lose_reply))
        finally:
            store.close()


def check_async_store(
    factory: Callable[[], AsyncStore],
    *,
    advance: Callable[[float], object] | None = None,
    lose_reply: LoseReply | None = None,
) -> None:
    """Check an asynchronous store as :func:`check_store` does; call it from plain code.

    :param factory: as there; called on the event loop that the store is then used on, which
        runs in a thread of its own.
    :param lose_reply: as there; it is given the store and entered in the calling thread.
    """
    with _running_loop() as loop:
        for rule in _applicable(advance, lose_reply):
            if rule.is_sync_only:
                continue
            made = _on_loop(loop, lambda: _made_by(factory, "check_async_store"))
            _refuse_incomplete(made, AsyncStore)
            store = Bridge(loop, made)
            lose = None if lose_reply is None else _of_the_inner(lose_reply)
            try:
                _check(Trial(rule.check, store, advance, lose))
            finally:
                store.close()


def _made_by(factory: Any, check: str) -> Any:
    if not callable(factory):
        raise TypeError(
            f"{check}() is given the class of a store, or a function that returns a new one; "
            f"got {factory!r}"
        )
    return factory()


def _refuse_incomplete(store: Any, kind: type[Store] | type[AsyncStore]) -> None:
    wanted = [*kind.__annotations__, *(name for name in vars(kind) if name[:1] != "_")]
    if missing := [name for name in wanted if not hasattr(store, name)]:
        raise TypeError(f"{store!r} is no {kind.__name__}; it lacks {', '.join(missing)}")
    if iscoroutinefunction(store.load) is (kind is Store):
        other = "check_async_store" if kind is Store else "check_store"
        raise TypeError(f"{store!r} is no {kind.__name__}; use {other}()")
    for name in (name for name in wanted if isfunction(vars(kind).get(name))):
        _refuse_other_parameters(store, name, kind)


def _refuse_other_parameters(store: Any, method: str, kind: type[Store] | type[AsyncStore]) -> None:
    given = list(signature(vars(kind)[method]).parameters)[1:]
    try:
        taken = signature(getattr(store, method))
    except ValueError:  # it is written in C, and does not tell
        return
    try:
        taken.bind(*given)
    except TypeError:
        raise TypeError(
            f"{store!r} is no {kind.__name__}; its {method}() takes "
            f"({', '.join(taken.parameters)}), where ({', '.join(given)}) is given"
        ) from None


def _of_the_inner(lose_reply: LoseReply) -> LoseReply:
    return lambda bridge: lose_reply(bridge.store)


def _applicable(advance: object, lose_reply: object) -> Iterator[Rule]:
    for rule in RULES:
        if (advance or not rule.needs_clock) and (lose_reply or not rule.needs_loss):
            yield rule


def _check(trial: Trial) -> None:
    rule = next(rule for rule in RULES if rule.check.__name__ == trial.rule)
    try:
        rule.check(trial)
    except StoreContractError:
        raise
    except Exception as error:
        raise StoreContractError(
            trial.rule, trial.sentence, trial.did, "no exception", repr(error)
        ) from error


@contextmanager
def _running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="check_async_store")
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _on_loop(loop: asyncio.AbstractEventLoop, factory: Callable[[], Any]) -> Any:
    async def make() -> Any:
        return factory()

    return asyncio.run_coroutine_threadsafe(make(), loop).result()
