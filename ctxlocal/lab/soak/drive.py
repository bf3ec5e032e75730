"""Drives a conversation: with ``time.sleep`` in threads and greenlets, with ``await`` in tasks."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any

from ... import flow
from .conversation import PAUSE, READ, Children, Steps

PAUSE_S = 0.001
PIECE = 65536  # of a body that is read


def converse(steps: Steps, read: Callable[[], bytes]) -> Iterator[bytes]:
    """Drive a conversation in a thread or greenlet; yield what it says."""
    reply: Any = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration:
            return
        reply = None
        if step is PAUSE:
            time.sleep(PAUSE_S)
        elif step is READ:
            reply = read()
        elif isinstance(step, Children):
            threading.Thread(target=flow.bind(_live), args=(step.bound,)).start()
            threading.Thread(target=_live, args=(step.free,)).start()
        else:
            yield step


def begun(said: Iterator[bytes]) -> Iterator[bytes]:
    """Return what a conversation says, of which the first is said: a session is saved by then."""
    return itertools.chain([next(said)], said)


async def converse_async(
    steps: Steps, read: Callable[[], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Drive a conversation in a task; yield what it says."""
    reply: Any = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration:
            return
        reply = None
        if step is PAUSE:
            await asyncio.sleep(PAUSE_S)
        elif step is READ:
            reply = await read()
        elif isinstance(step, Children):
            for child in (flow.bind(_live_async)(step.bound), _live_async(step.free)):
                task = asyncio.create_task(child)
                _tasks.add(task)
                task.add_done_callback(_tasks.discard)
        else:
            yield step


def _live(child: Callable[[], Iterator[object]]) -> None:
    for _ in child():
        time.sleep(PAUSE_S)


async def _live_async(child: Callable[[], Iterator[object]]) -> None:
    for _ in child():
        await asyncio.sleep(PAUSE_S)


_tasks: set[asyncio.Task[None]] = set()  # asyncio itself refers to tasks weakly
