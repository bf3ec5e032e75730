"""A client of HTTP/1.1 for the loopback interface: small, so that it costs the server little.

It can do what well-behaved clients do not: send several requests at once, read slowly, and
hang up in the middle.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

from ..process import within

PATIENCE_S: Final = 60.0  # for one answer
SLOW_READ = 4096  # bytes at a time
SLOW_PAUSE_S = 0.001
SMALL_BUFFER = 4096  # of a slow reader's socket: the server has to wait for it


class Unanswered(Exception):
    """The server closed the connection instead of answering; the request may have been served.

    :param came: what came all the same.
    """

    def __init__(self, came: bytes = b"") -> None:
        text = "no answer"
        super().__init__(f"{text}: {_described(came)}" if came else text)


class NoHTTP(OSError):
    """What came is no answer of HTTP: another program has the port, or the server is broken."""


@dataclass(frozen=True)
class Answer:
    """A response. ``body`` is what arrived; ``is_complete`` tells whether that is all."""

    status: int
    cookie: str | None  # name=value of the Set-Cookie, if there was one
    body: bytes
    is_complete: bool
    is_last: bool  # the server closes the connection


class Connection:
    """One connection; open it with :func:`connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, target: str, cookie: str | None, body: bytes | None = None) -> None:
        """Send a request; its answer is read by the next call of :meth:`answer` that is free.

        :param body: None for GET, else it is POSTed.
        """
        lines = [f"{'GET' if body is None else 'POST'} {target} HTTP/1.1", "Host: 127.0.0.1"]
        if cookie is not None:
            lines.append(f"Cookie: {cookie}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def answer(self, *, most: int | None = None, slowly: bool = False) -> Answer:
        """Read one answer.

        :param most: stop after so many bytes of the body.
        :param slowly: read a little, wait, and so on.
        :raises Unanswered: the connection ended before a whole header had come.
        :raises NoHTTP: what came was something else.
        :raises asyncio.TimeoutError: nothing came for a long time.
        """
        try:
            return await within(PATIENCE_S, self._answer(most, slowly))
        except asyncio.LimitOverrunError as error:
            raise NoHTTP(f"its answer is no HTTP: {error}") from error

    def hang_up(self) -> None:
        """Close at once; what is on its way is lost."""
        self._writer.transport.abort()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    async def _head(self) -> list[str]:
        """Read the lines before the body; a bare LF ends one too (RFC 9112, section 2.2)."""
        came = b""
        lines: list[str] = []
        try:
            while not lines or lines[-1]:
                line = await self._reader.readuntil(b"\n")
                came += line
                lines.append(line.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1"))
        except asyncio.IncompleteReadError as error:
            raise Unanswered(came + error.partial) from error
        except ConnectionError as error:
            raise Unanswered(came) from error
        return lines[:-1] or lines

    async def _answer(self, most: int | None, slowly: bool) -> Answer:
        head = await self._head()
        try:
            version, status, *_ = head[0].split(" ")
            code = int(status)
            headers = dict(_field(line) for line in head[1:])
            int(headers.get("content-length", "0"))
        except ValueError as error:
            came = "\n".join(head).encode("latin-1")
            raise NoHTTP(f"its answer is no HTTP: {_described(came)}") from error
        body = _Body(self._reader, headers, most, slowly)
        is_complete = await body.read()
        is_last = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        cookie = headers.get("set-cookie")
        return Answer(
            code,
            None if cookie is None else cookie.partition(";")[0],
            bytes(body.data),
            is_complete,
            is_last or not is_complete or body.ends_connection,
        )


def _described(came: bytes) -> str:
    first = came.split(b"\n", 1)[0].rstrip(b"\r")
    return f"{len(came)} bytes came, and the first line is {first[:80]!r}"


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


class _Body:
    """Reads a body, however long it says it is."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        headers: dict[str, str],
        most: int | None,
        slowly: bool,
    ) -> None:
        self.data = bytearray()
        self._reader = reader
        self._most = most
        self._slowly = slowly
        self._is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._length = None if length is None else int(length)
        self.ends_connection = not self._is_chunked and self._length is None

    async def read(self) -> bool:
        """Read it; return whether it came to its end."""
        try:
            if self._is_chunked:
                while size := int(await self._reader.readuntil(b"\n"), 16):
                    if not await self._take(size):
                        return False
                    await self._reader.readuntil(b"\n")
                await self._reader.readuntil(b"\n")
                return True
            return await self._take(self._length)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return False

    async def _take(self, size: int | None) -> bool:
        """Read ``size`` bytes, or up to the end; return whether that is all that was wanted."""
        left = size
        while left is None or left > 0:
            if self._most is not None and len(self.data) >= self._most:
                return False
            if self._slowly:
                await asyncio.sleep(SLOW_PAUSE_S)
            step = SLOW_READ if self._slowly else 65536
            piece = await self._reader.read(step if left is None else min(step, left))
            if not piece:
                return left is None
            self.data += piece
            left = None if left is None else left - len(piece)
        return True


async def connect(port: int, *, small_buffer: bool = False) -> Connection:
    """Open a connection to a port of 127.0.0.1.

    :param small_buffer: let the kernel take little in advance, for a slow reader.
    """
    plug = socket.socket()
    plug.setblocking(False)
    if small_buffer:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    try:
        await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", port))
    except BaseException:
        plug.close()
        raise
    limit = SLOW_READ if small_buffer else 2**16
    return Connection(*await asyncio.open_connection(sock=plug, limit=limit))
