"""Running a function in another owner than the current one, under each strategy."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ctxlocal.ident.greenlet import HUBS

from .. import conftest

R = TypeVar("R")


def in_new_owner(ident: Any, function: Callable[[], R]) -> R:
    """Return what ``function()`` returns in an owner made for it; let pass what it raises.

    :param ident: what the fixture ``ident`` gives.
    """
    way: Callable[[Callable[[], R]], R] = _as_another if callable(ident) else WAYS[ident]
    return way(function)


def _in_context(function: Callable[[], R]) -> R:
    return contextvars.Context().run(function)


def _in_greenlet(function: Callable[[], R]) -> R:
    import greenlet

    result: R = greenlet.greenlet(function).switch()
    return result


def _in_task(function: Callable[[], R]) -> R:
    async def run() -> R:
        return function()

    return asyncio.run(run())


def _as_another(function: Callable[[], R]) -> R:
    former, conftest.THE_OWNER = conftest.THE_OWNER, conftest.Owner()
    try:
        return function()
    finally:
        conftest.THE_OWNER = former


def _in_thread(function: Callable[[], R]) -> R:
    results: list[R] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


WAYS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "context": _in_context,
    "thread": _in_thread,
    **dict.fromkeys(("greenlet", *HUBS), _in_greenlet),
    "task": _in_task,
}
