"""A server of a few lines on a free port of 127.0.0.1, of which nothing outlives its block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Answer each connection by ``serve``; yield the port.

    A client that hangs up leaves ``serve`` waiting, or makes it raise. Its connection is closed
    here, while the loop runs: one that is dropped later warns in the middle of another test.
    """
    before = asyncio.all_tasks()
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Future[None]] = []  # asyncio refers to them weakly

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.ensure_future(answer(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # Connections that are being accepted are tasks too, of the loop.
        while left := asyncio.all_tasks() - before:
            for writer in writers:
                writer.transport.abort()
            await asyncio.wait(left)
