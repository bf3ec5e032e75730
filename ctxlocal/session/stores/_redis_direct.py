"""Asking one Redis server without the layers that a client puts on top of a connection.

The connections are redis-py's, with every setting of the URL; what is left out is the
client's way there: its pool, retries, telemetry and callbacks, which take 20 us a command,
more than the command. Nor is a connection asked first whether it is still alive: the store
repeats what got lost itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from typing import Any

from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from ._redis_steps import Batch, Call

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # which redis-py needs there itself


class Direct:
    """Connections to one server, at most as many as the pool they are described by would have.

    Safe from threads and greenlets; a forked child opens its own.

    :param pool: knows how a connection is made; it is not used itself.
    :param timeout: seconds to wait for a connection while all are busy.
    """

    def __init__(self, pool: Any, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._idle: deque[Any] = deque()
        self._free = threading.Semaphore(self._pool.max_connections)

    def ask(self, asked: Call | Batch) -> Any:
        """Return the reply; in a batch an error of the server's is a reply too.

        :raises RedisError: the server cannot be reached, is silent, or refuses a single command.
        """
        if self._process != os.getpid():
            self._reset()
        free = self._free
        if not free.acquire(timeout=self._timeout):
            raise ConnectionError("All connections are busy.")
        try:
            return self._exchange(asked)
        finally:
            free.release()

    def _exchange(self, asked: Call | Batch) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.connection_class(**self._pool.connection_kwargs)
        reply: Any
        try:
            if isinstance(asked, Call):
                connection.send_command(*asked.arguments)
                reply = _read(connection)
            else:
                connection.send_packed_command(connection.pack_commands(asked.calls))
                reply = [_read(connection) for _ in asked.calls]
        except BaseException:  # a reply may still come, which nobody may take for his
            connection.disconnect()
            self.close()  # what the server did to this one it may have done to all
            raise
        self._idle.append(connection)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def close(self) -> None:
        """Close what is idle; what is used afterwards is opened anew."""
        while self._idle:
            try:
                self._idle.pop().disconnect()
            except IndexError:
                return


def _read(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


class AsyncDirect:
    """The same for asyncio, in one event loop: another one opens its own connections.

    Silence is timed over the whole exchange, which redis-py does for each half of it with a
    task or a timer of its own.
    """

    def __init__(self, pool: Any, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._silence = pool.connection_kwargs.get("socket_timeout")
        self._settings = {**pool.connection_kwargs, "socket_timeout": None}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: deque[Any] = deque()

    async def ask(self, asked: Call | Batch) -> Any:
        """See :meth:`Direct.ask`."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._idle = loop, deque()
            self._free = asyncio.Semaphore(self._pool.max_connections)
        free = self._free
        if free.locked():
            try:
                await asyncio.wait_for(free.acquire(), self._timeout)
            except asyncio.TimeoutError:
                raise ConnectionError("All connections are busy.") from None
        else:
            await free.acquire()
        try:
            return await self._exchange(asked)
        finally:
            free.release()

    async def _exchange(self, asked: Call | Batch) -> Any:
        idle = self._idle
        connection = idle.pop() if idle else self._pool.connection_class(**self._settings)
        reply: Any
        try:
            async with timeout(self._silence):
                if isinstance(asked, Call):
                    await connection.send_command(*asked.arguments)
                    reply = await _read_async(connection)
                else:
                    await connection.send_packed_command(connection.pack_commands(asked.calls))
                    reply = [await _read_async(connection) for _ in asked.calls]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            await self.close()
            if isinstance(error, asyncio.TimeoutError):
                raise TimeoutError("The server is silent.") from None
            raise
        idle.append(connection)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def close(self) -> None:
        """Close what is idle; what is used afterwards is opened anew."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


async def _read_async(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
