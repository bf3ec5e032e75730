"""Tasks, threads and callbacks of asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Thread
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee, Exchange
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .threads import REUSED_NOTE, pool_of_one

newer: Any = asyncio  # with names that the type checker, on 3.10, does not know
CALLBACK_NOTE = "outside any task the owner is the thread, which all callbacks share"

# Up to 3.11 wait_for wraps a coroutine in a task of its own.
WAIT_FOR: dict[str, Any] = (
    {} if sys.version_info >= (3, 12) else {"task": Owner.OTHER, "context": Context.COPY}
)


async def be_creator(exchange: Exchange, start: Any) -> None:
    """Be a creator that is a task; its loop has an executor with a single worker."""
    asyncio.get_running_loop().set_default_executor(pool_of_one())
    await exchange.run_async(start)


def _asyncio_creator(exchange: Exchange, start: Any) -> None:
    asyncio.run(be_creator(exchange, start))


group = Group("asyncio", creator=_asyncio_creator, in_task=True)


async def coroutine(callee: Callee) -> None:
    """Call the callee inside a coroutine."""
    callee()


def announced(callee: Callee) -> tuple[Callable[..., None], asyncio.Event]:
    """Return the callee as a callback, and an event that is set when it has run."""
    done = asyncio.Event()

    def callback(*_: object) -> None:
        callee()
        done.set()

    return callback, done


@group.probe("100 tasks, one after another", times=100, task=Owner.OTHER, context=Context.COPY)
@group.probe("create_task", task=Owner.OTHER, context=Context.COPY)
async def create_task(callee: Callee) -> AsyncIterator[None]:
    """Start a task."""
    task = asyncio.create_task(coroutine(callee))
    yield
    await task


@group.probe("gather", task=Owner.OTHER, context=Context.COPY)
async def gather(callee: Callee) -> AsyncIterator[None]:
    """Gather a coroutine."""
    tasks = asyncio.gather(coroutine(callee))
    yield
    await tasks


@group.probe("TaskGroup", since=(3, 11), task=Owner.OTHER, context=Context.COPY)
async def task_group(callee: Callee) -> AsyncIterator[None]:
    """Start a task in a group."""
    async with newer.TaskGroup() as tasks:
        tasks.create_task(coroutine(callee))
        yield


@group.probe("eager task", since=(3, 12), task=Owner.OTHER, context=Context.COPY)
async def eager_task(callee: Callee) -> AsyncIterator[None]:
    """Start a task whose first step runs at once."""
    loop = asyncio.get_running_loop()
    task = newer.Task(coroutine(callee), loop=loop, eager_start=True)
    yield
    await task


@group.probe("create_task, eager_start=True", since=(3, 14), task=Owner.OTHER, context=Context.COPY)
async def create_eager_task(callee: Callee) -> AsyncIterator[None]:
    """Start a task whose first step runs at once, in any loop."""
    task = newer.create_task(coroutine(callee), eager_start=True)
    yield
    await task


@group.probe("await")
async def await_it(callee: Callee) -> AsyncIterator[None]:
    """Await a coroutine."""
    await coroutine(callee)
    yield


@group.probe("wait_for", note="a task of its own up to Python 3.11, none from 3.12 on", **WAIT_FOR)
async def wait_for(callee: Callee) -> AsyncIterator[None]:
    """Await a coroutine with a timeout."""
    await asyncio.wait_for(coroutine(callee), 60)
    yield


@group.probe("asyncio.timeout", since=(3, 11))
async def timeout(callee: Callee) -> AsyncIterator[None]:
    """Await a coroutine inside a timeout block."""
    async with newer.timeout(60):
        await coroutine(callee)
        yield


@group.probe("async generator", note="each step runs as whoever asks for it")
async def async_generator(callee: Callee) -> AsyncIterator[None]:
    """Advance an async generator."""

    async def steps() -> AsyncIterator[None]:
        callee()
        yield

    async for _ in steps():
        yield


@group.probe(
    "abandoned async generator",
    task=Owner.OTHER,
    context=Context.COPY,
    note="the loop finalises it in a task of its own",
)
async def abandoned_generator(callee: Callee) -> AsyncIterator[None]:
    """Drop an async generator half way."""
    callback, done = announced(callee)

    async def steps() -> AsyncIterator[None]:
        try:
            yield
        finally:
            callback()

    abandoned = steps()
    await anext(abandoned)
    del abandoned
    yield
    await done.wait()


@group.probe(
    "start_server",
    task=Owner.OTHER,
    context=Context.COPY,
    note="a connection's task has a copy of what was set when its server began to listen",
)
async def start_server(callee: Callee) -> AsyncIterator[None]:
    """Accept a connection."""
    callback, done = announced(callee)

    async def accept(_: object, writer: asyncio.StreamWriter) -> None:
        callback()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield
    await done.wait()
    client.close()
    server.close()


@group.probe("call_soon", task=Owner.NONE, context=Context.COPY, note=CALLBACK_NOTE)
async def call_soon(callee: Callee) -> AsyncIterator[None]:
    """Register a callback."""
    callback, done = announced(callee)
    asyncio.get_running_loop().call_soon(callback)
    yield
    await done.wait()


@group.probe("call_later", task=Owner.NONE, context=Context.COPY, note=CALLBACK_NOTE)
async def call_later(callee: Callee) -> AsyncIterator[None]:
    """Register a timer."""
    callback, done = announced(callee)
    asyncio.get_running_loop().call_later(0, callback)
    yield
    await done.wait()


@group.probe("add_done_callback", task=Owner.NONE, context=Context.COPY, note=CALLBACK_NOTE)
async def done_callback(callee: Callee) -> AsyncIterator[None]:
    """Register a callback of a future, which somebody else fulfils."""
    callback, done = announced(callee)
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(callback)
    yield
    future.set_result(None)
    await done.wait()


@group.probe("loop.run_in_executor", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)
async def run_in_executor(callee: Callee) -> AsyncIterator[None]:
    """Run in the loop's executor."""
    job = asyncio.get_running_loop().run_in_executor(None, callee)
    yield
    await job


@group.probe("asyncio.to_thread", thread=Owner.REUSED, context=Context.COPY)
async def to_thread(callee: Callee) -> AsyncIterator[None]:
    """Run in the loop's executor, in a copy of the Context."""
    await asyncio.to_thread(callee)
    yield


callbacks_from_outside = Group("asyncio, from a thread")


@callbacks_from_outside.probe(
    "call_soon_threadsafe",
    thread=Owner.OTHER,
    context=Context.COPY,
    note="runs in a copy of the calling thread's Context",
)
def call_soon_threadsafe(callee: Callee) -> Iterator[None]:
    """Hand a callback to a loop in another thread."""
    loop = asyncio.new_event_loop()
    runner = Thread(target=loop.run_forever)
    runner.start()
    loop.call_soon_threadsafe(callee)
    yield
    loop.call_soon_threadsafe(loop.stop)
    runner.join()
    loop.close()


@callbacks_from_outside.probe(
    "run_coroutine_threadsafe", thread=Owner.OTHER, task=Owner.OTHER, context=Context.COPY
)
def run_coroutine_threadsafe(callee: Callee) -> Iterator[None]:
    """Hand a coroutine to a loop in another thread."""
    loop = asyncio.new_event_loop()
    runner = Thread(target=loop.run_forever)
    runner.start()
    job = asyncio.run_coroutine_threadsafe(coroutine(callee), loop)
    yield
    job.result()
    loop.call_soon_threadsafe(loop.stop)
    runner.join()
    loop.close()
