"""Calling an application's functions, synchronous or not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import CO_COROUTINE, iscoroutine, iscoroutinefunction
from types import FunctionType
from typing import Any, TypeVar

from .. import flow

R = TypeVar("R")


def is_async(function: Any) -> bool:
    """Whether a call of ``function`` makes a coroutine: it, or its call, is ``async def``."""
    if type(function) is FunctionType and function.__code__.co_flags & CO_COROUTINE:
        return True  # as most are, without what the questions below cost
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


async def call_now(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call ``function`` at once, without ever suspending; a coroutine it makes is run to its end.

    This is ``RequestContext.call`` of requests that are served synchronously.
    """
    result = function(*args, **kwargs)
    return _run_coroutine(result) if iscoroutine(result) else result


def _run_coroutine(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine in an event loop of its own; values that travel go in and come back."""
    import asyncio  # only those with asynchronous functions pay for it

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        coroutine.close()
        raise RuntimeError(
            f"{coroutine!r} needs an event loop of its own, and one runs in this thread already: "
            "that of an asynchronous caller, or of a request in another greenlet, for under "
            "gevent and eventlet a thread runs one at a time. Serve the App as an ASGI "
            "application (uvicorn module:app.asgi), use workers with threads (gunicorn -k "
            "gthread), or make the function synchronous."
        )
    before = flow.snapshot()
    after = before

    async def steps() -> R:
        nonlocal after
        try:
            return await coroutine
        finally:
            after = flow.snapshot()

    try:
        return asyncio.run(before.frame().drive(steps()))
    finally:
        after.put_back(before)
