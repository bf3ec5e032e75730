"""trio. Its tasks are no asyncio tasks: the strategy ``task`` knows nothing of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee, Exchange
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .asyncio import coroutine


def _trio_creator(exchange: Exchange, start: Any) -> None:
    import trio

    trio.run(exchange.run_async, start)


group = Group("trio", needs=("trio",), creator=_trio_creator)


@group.probe("nursery task", context=Context.COPY, note="not an asyncio task")
async def nursery_task(callee: Callee) -> AsyncIterator[None]:
    """Start a task in a nursery."""
    import trio

    async with trio.open_nursery() as nursery:
        nursery.start_soon(coroutine, callee)
        yield


@group.probe("trio.to_thread", thread=Owner.REUSED, context=Context.COPY)
async def to_thread(callee: Callee) -> AsyncIterator[None]:
    """Run in a worker thread."""
    import trio

    await trio.to_thread.run_sync(callee)
    yield
