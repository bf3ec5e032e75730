"""A server in a few lines: plays one ASGI connection scope, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def http_scope(path: str = "/", method: str = "GET", **fields: Any) -> dict[str, Any]:
    headers = fields.pop("headers", ())
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": ("127.0.0.1", 5000),
        "server": ("localhost", 443),
        **fields,
    }


def websocket_scope(path: str = "/", **fields: Any) -> dict[str, Any]:
    scope = http_scope(path, **fields)
    del scope["method"]
    return {**scope, "type": "websocket", "scheme": "wss", "subprotocols": []}


class Exchange:
    """One call of an application, with what it was given and what it sent.

    Like uvicorn, it drops what is sent after the client has gone.
    """

    def __init__(self, app: App, scope: dict[str, Any], *messages: Message) -> None:
        self._app = app
        self._scope = scope
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._news = asyncio.Event()
        self.sent: list[Message] = []
        self.receiving = asyncio.Event()  # the application has asked for more than there is
        for message in messages:
            self._inbox.put_nowait(message)

    async def receive(self) -> Message:
        if self._inbox.empty():
            self.receiving.set()
        return await self._inbox.get()

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)
        self._news.set()

    def tell(self, message: Message) -> None:
        self._inbox.put_nowait(message)

    def hang_up(self) -> None:
        self.tell({"type": "http.disconnect"})

    async def run(self) -> Exchange:
        await self._app(self._scope, self.receive, self.send)
        return self

    def start(self) -> asyncio.Task[Exchange]:
        return asyncio.get_running_loop().create_task(self.run())

    async def news(self) -> None:
        """Wait until the application sends something more."""
        self._news.clear()
        await self._news.wait()

    async def wait_for(self, type: str) -> Message:
        """Return the first message of that type, when it has been sent."""
        while True:
            for message in self.sent:
                if message["type"] == type:
                    return message
            await self.news()

    @property
    def status(self) -> int:
        return int(self._head["status"])

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in self._head["headers"]]

    def header(self, name: str) -> list[str]:
        # The middleware writes names in lower case; an application may write them as it likes.
        return [value for found, value in self.headers if found.lower() == name]

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent if m["type"].endswith("body"))

    @property
    def _head(self) -> Message:
        heads = [m for m in self.sent if m["type"].endswith(("response.start", "accept"))]
        assert len(heads) == 1, self.sent
        return heads[0]


async def call(
    app: App,
    path: str = "/",
    method: str = "GET",
    *,
    body: bytes = b"",
    cookie: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    **fields: Any,
) -> Exchange:
    """Send one request and return what came of it."""
    if cookie:
        headers = (*headers, ("cookie", cookie))
    if body:
        headers = (*headers, ("content-length", str(len(body))))
    scope = http_scope(path, method, headers=headers, **fields)
    return await Exchange(app, scope, {"type": "http.request", "body": body}).run()


def cookie_of(exchange: Exchange) -> str:
    """Return the one cookie it sets, as a browser would send it back."""
    (cookie,) = exchange.header("set-cookie")
    return cookie.partition(";")[0]
