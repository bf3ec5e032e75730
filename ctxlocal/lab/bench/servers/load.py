"""Counts how many requests a second a server answers, over a few connections that stay busy.

As little as a client can be, so that it is the server that is measured: each connection sends
the next request when the answer to the last one is complete.
"""

from __future__ import annotations

import asyncio
import re
import time

from ...process import within
from . import BODY

CONNECTIONS = 8
PATIENCE_S = 30.0
_END = b"\r\n\r\n" + BODY
_COOKIE = re.compile(rb"\r\nset-cookie: ([^;\r]+)", re.IGNORECASE)


class NoAnswers(Exception):
    """The server answered nothing, or something else than was expected."""


class Load:
    """A few connections to one server; each keeps its cookie from one round to the next.

    :param port: of 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients = [_Client(self) for _ in range(CONNECTIONS)]
        self._is_on = False
        self._has_answered = asyncio.Event()
        self.answered = 0

    async def warm_up(self) -> None:
        """Wait for an answer: a server may accept connections long before it serves.

        :raises NoAnswers: none came.
        """
        await self._work(0)

    async def _open(self) -> None:
        await asyncio.gather(*(client.open(self._port) for client in self._clients))

    async def _end(self) -> None:
        self._is_on = False
        for client in self._clients:
            client.close()
        # One that is cancelled closes its socket on its way out.
        reopening = [one.reopening for one in self._clients if one.reopening is not None]
        await asyncio.gather(*reopening, return_exceptions=True)

    async def requests_per_second(self, seconds: float) -> float:
        """Keep the connections busy for so long; longer only where there is no answer yet.

        :raises NoAnswers: none came.
        """
        begun = time.perf_counter()
        await self._work(seconds)
        return self.answered / (time.perf_counter() - begun)

    async def _work(self, seconds: float) -> None:
        self._is_on, self.answered = True, 0
        self._has_answered.clear()
        try:
            await within(PATIENCE_S, self._open())
            await asyncio.sleep(seconds)
            await within(PATIENCE_S, self._has_answered.wait())
        except asyncio.TimeoutError:
            text = f"port {self._port} gave no answer within {PATIENCE_S:g} s"
            raise NoAnswers(text) from None
        finally:
            await self._end()

    def has_answered(self, client: _Client, *, is_open: bool) -> None:
        """Go on with ``client``, on its connection or another one."""
        self.answered += 1
        self._has_answered.set()
        if not self._is_on:
            return
        if is_open:
            client.ask()
        else:
            client.reopening = asyncio.ensure_future(client.open(self._port))


class _Client(asyncio.Protocol):
    """One connection at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._heard = b""
        self._request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        self.reopening: asyncio.Future[None] | None = None  # asyncio refers to tasks weakly

    async def open(self, port: int) -> None:
        """Connect and ask."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.ask()

    def ask(self) -> None:
        """Send the next request."""
        self._heard = b""
        if self._transport is not None:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note a complete answer."""
        self._heard += data
        if not self._heard.endswith(_END):
            return
        if (cookie := _COOKIE.search(self._heard)) is not None:
            host, _, _ = self._request.partition(b"\r\nCookie")
            self._request = host.removesuffix(b"\r\n\r\n") + b"\r\nCookie: %b\r\n\r\n" % cookie[1]
        is_open = b"\r\nconnection: close" not in self._heard.lower()
        if not is_open:
            self.close()
        self._load.has_answered(self, is_open=is_open)

    def close(self) -> None:
        """Hang up, and open no other connection."""
        if self.reopening is not None:
            self.reopening.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
