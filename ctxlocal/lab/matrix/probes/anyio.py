"""anyio, over asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee, Exchange
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .asyncio import coroutine


def _anyio_creator(exchange: Exchange, start: Any) -> None:
    import anyio

    anyio.run(exchange.run_async, start)


group = Group("anyio", needs=("anyio",), creator=_anyio_creator, in_task=True)


@group.probe("task group", task=Owner.OTHER, context=Context.COPY)
async def task_group(callee: Callee) -> AsyncIterator[None]:
    """Start a task in a group."""
    import anyio

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(coroutine, callee)
        yield


@group.probe("anyio.to_thread", thread=Owner.REUSED, context=Context.COPY)
async def to_thread(callee: Callee) -> AsyncIterator[None]:
    """Run in a worker thread."""
    import anyio.to_thread

    await anyio.to_thread.run_sync(callee)
    yield
