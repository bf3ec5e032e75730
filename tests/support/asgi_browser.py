"""A browser of an ASGI application in this process: it keeps the cookies that it is sent."""

from __future__ import annotations

import asyncio
import json
from http.cookies import SimpleCookie
from typing import Any, NamedTuple


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    def all(self, name: str) -> list[str]:
        """Return the values of a header field."""
        return [value for given, value in self.headers if given == name]


class Browser:
    """Keeps name and value of each cookie, until it is told to delete it; paths and domains not."""

    def __init__(self, app: Any, **cookies: str) -> None:
        self.app = app
        self.cookies = cookies

    def get(self, path: str, method: str = "GET") -> Answer:
        return asyncio.run(self.ask(path, method))

    async def ask(self, path: str, method: str = "GET") -> Answer:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        requests = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Any:
            return next(requests, None) or await asyncio.Event().wait()  # it does not hang up

        await self.app(self.scope(path, method), receive, send)
        headers = [(name.decode().lower(), value.decode()) for name, value in sent[0]["headers"]]
        text = b"".join(message.get("body", b"") for message in sent[1:]).decode()
        answer = Answer(sent[0]["status"], headers, text)
        self._keep(answer)
        return answer

    async def hang_up(self, path: str, has_begun: asyncio.Event) -> None:
        """Ask, and give up when the endpoint has begun."""
        asking = asyncio.create_task(self.ask(path))
        await has_begun.wait()
        asking.cancel()
        await asyncio.wait([asking])

    def scope(self, path: str, method: str = "GET", kind: str = "http") -> dict[str, Any]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        path, _, query = path.partition("?")
        method_of_it = {"method": method} if kind == "http" else {}
        return {
            **method_of_it,
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "https" if kind == "http" else "wss",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"shop"), (b"cookie", cookies.encode())],
            "client": ("127.0.0.1", 5000),
            "server": ("shop", 443),
        }

    def _keep(self, answer: Answer) -> None:
        for line in answer.all("set-cookie"):
            # Of http.cookies, which knows no Partitioned before 3.14, the first part is enough.
            for name, morsel in SimpleCookie(line.partition(";")[0]).items():
                if "max-age=0" in line.lower() or "expires=thu, 01 jan 1970" in line.lower():
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
