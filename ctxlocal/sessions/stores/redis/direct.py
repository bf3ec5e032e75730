"""Asking one Redis server without the layers that a client puts on top of a connection.

The connections are redis-py's, with every setting of the URL; what is left out is the
client's way there: its pool, retries, telemetry and callbacks, which take 20 us a command,
more than the command. Nor is a connection asked first whether it is still alive: the store
repeats what got lost itself.

Without it, that is with ``RedisStore(client)``, a request that reads and writes takes 178 us
instead of 115 (the row "ctxlocal WSGI, Redis" of ``python -m benchmarks.sessions --only redis``). A
server that is 1 ms away hides that from who waits, but not from the processor: 16 threads of a
process made 1,150 such requests a second there, without it 720, at 260 us of its time each instead
of 160.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from .calls import Argument, Batch, Call

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # which redis-py needs there itself


def packed(arguments: tuple[Argument, ...]) -> bytes:
    """Return a command as it is sent (RESP, https://redis.io/docs/latest/develop/reference)."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        raw = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


try:
    import hiredis
except ImportError:  # it is recommended, no more
    _pack: Callable[[tuple[Argument, ...]], bytes] = packed
else:
    _pack = hiredis.pack_command  # type: ignore[assignment]  # its stub takes one argument


class Direct:
    """Connections to one server, at most as many as the pool they are described by would have.

    Safe from threads and greenlets; a forked child opens its own.

    :param pool: knows how a connection is made; it is not used itself. One that follows a master
        (:class:`~.sentinel.Pool`) tells when the idle ones lead to another server.
    :param timeout: seconds to wait for a connection while all are busy.
    """

    def __init__(self, pool: Any, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        if hasattr(pool, "drop_idle"):
            pool.drop_idle = self.close
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        # Who takes one gives it back. None is one that may still be opened; the open ones are
        # on the right, where they are taken.
        self._idle: deque[Any] = deque([None] * self._pool.max_connections)
        self._given_back = threading.Condition()
        self._waiting = 0

    def ask(self, asked: Call | Batch) -> Any:
        """Return the reply; in a batch an error of the server's is a reply too.

        :raises RedisError: the server cannot be reached, is silent, or refuses a single command.
        """
        if self._process != os.getpid():
            self._reset()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._wait()
        try:
            if connection is None:
                connection = self._pool.connection_class(**self._pool.connection_kwargs)
                connection.connect()  # sentinels are asked for the master here alone
            reply = _exchange(connection, asked)
        except BaseException:  # a reply may still come, which nobody may take for his
            if connection is not None:
                connection.disconnect()
            self._idle.appendleft(None)
            self.close()  # what the server did to this one it may have done to all
            raise
        else:
            self._idle.append(connection)
        finally:
            if self._waiting:
                with self._given_back:
                    self._given_back.notify()
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def _wait(self) -> Any:
        with self._given_back:
            self._waiting += 1  # before it looks again: who gives one back looks at this later
            try:
                while True:
                    with suppress(IndexError):  # somebody may take it who did not wait
                        return self._idle.pop()
                    if not self._given_back.wait(self._timeout):
                        raise ConnectionError("All connections are busy.")
            finally:
                self._waiting -= 1

    def close(self) -> None:
        """Close what is idle; what is used afterwards is opened anew."""
        for _ in range(len(self._idle)):
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            if connection is not None:
                connection.disconnect()
            self._idle.appendleft(None)


def _exchange(connection: Any, asked: Call | Batch) -> Any:
    if isinstance(asked, Call):
        connection.send_packed_command([_pack(asked.arguments)])
        return _read(connection)
    connection.send_packed_command(map(_pack, asked.calls))
    return [_read(connection) for _ in asked.calls]


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
        if hasattr(pool, "drop_idle"):
            pool.drop_idle = self.close

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
        is_new = not idle
        connection = self._pool.connection_class(**self._settings) if is_new else idle.pop()
        reply: Any
        try:
            async with timeout(self._silence):
                if is_new:
                    await connection.connect()
                if isinstance(asked, Call):
                    await connection.send_packed_command([_pack(asked.arguments)])
                    reply = await _read_async(connection)
                else:
                    await connection.send_packed_command(map(_pack, asked.calls))
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
