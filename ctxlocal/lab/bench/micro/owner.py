"""Where a sample runs: each owner here is a new one for every call."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from importlib import import_module

Owner = Callable[[Callable[[], float]], float]


def in_context(run: Callable[[], float]) -> float:
    """Call ``run`` in an empty Context."""
    return contextvars.Context().run(run)


def in_greenlet(run: Callable[[], float]) -> float:
    """Call ``run`` in a raw greenlet, which has an empty Context of its own."""
    result: float = import_module("greenlet").greenlet(run).switch()
    return result


def in_gevent(run: Callable[[], float]) -> float:
    """Call ``run`` in a greenlet that gevent spawned."""
    result: float = import_module("gevent").spawn(run).get()
    return result


def in_task(run: Callable[[], float]) -> float:
    """Call ``run`` in an asyncio task."""

    async def main() -> float:
        return run()

    return contextvars.Context().run(asyncio.run, main())
