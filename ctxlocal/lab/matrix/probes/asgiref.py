"""asgiref, which carries context variables into threads and loops, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from ctxlocal.lab.matrix.exchange import Callee
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .asyncio import coroutine
from .asyncio import group as asyncio_group

NOTE = "a copy of the Context, and what is set there is set in the creator's too"

group = Group("asgiref, from sync", needs=("asgiref",))
from_async = Group(
    "asgiref, from async", needs=("asgiref",), creator=asyncio_group.creator, in_task=True
)


@from_async.probe("sync_to_async", thread=Owner.OTHER, context=Context.COPIED_BACK, note=NOTE)
async def sync_to_async(callee: Callee) -> AsyncIterator[None]:
    """Call a function from a coroutine."""
    from asgiref.sync import sync_to_async

    with ThreadPoolExecutor(1) as pool:
        await sync_to_async(callee, thread_sensitive=False, executor=pool)()
    yield


@group.probe(
    "async_to_sync",
    thread=Owner.OTHER,
    task=Owner.OTHER,
    context=Context.COPIED_BACK,
    note=NOTE,
)
def async_to_sync(callee: Callee) -> Iterator[None]:
    """Call a coroutine function from a function."""
    from asgiref.sync import async_to_sync

    async_to_sync(coroutine)(callee)
    yield
