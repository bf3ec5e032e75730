"""Clients that call an application as a server would, without sockets, and keep its cookies."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ctxlocal.lab.bench.micro.case import perf_counter

HOST = "localhost"


class FailedRequestError(RuntimeError):
    """An application answered with anything but 200."""


class Jar:
    """A browser's cookies; ``header`` is what it sends, ready made."""

    def __init__(self, cookies: Mapping[str, str] = {}) -> None:
        self.cookies = dict(cookies)
        self.header = _header(self.cookies)

    def keep_all(self, set_cookies: list[str]) -> None:
        """Take what Set-Cookie fields say, and empty the list."""
        for set_cookie in set_cookies:
            self.keep(set_cookie)
        set_cookies.clear()

    def keep(self, set_cookie: str) -> None:
        """Take what a Set-Cookie field says."""
        pair, _, attributes = set_cookie.partition(";")
        name, _, value = pair.partition("=")
        if "max-age=0" in attributes.lower():
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value
        self.header = _header(self.cookies)


def _header(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def environ_without_path() -> dict[str, Any]:
    """Return what a WSGI server says of a GET request, but its path and cookies."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": HOST,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": HOST,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def scope_without_path() -> dict[str, Any]:
    """Return what an ASGI server says of a GET request, but its path and headers."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 50000),
        "server": (HOST, 443),
    }


class WSGIClient:
    """One visitor of a WSGI application; not for several threads at once.

    While requests are timed it sends the cookies that it had before, and keeps what was set
    afterwards: that is the browser's work, and nothing of what the application costs.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], jar: Jar | None = None) -> None:
        self._app = app
        self.jar = Jar() if jar is None else jar
        self._status = ""
        self._set_cookies: list[str] = []
        self._environ = environ_without_path()

    def another(self) -> WSGIClient:
        """Return another client with the same cookies, as they are now."""
        return WSGIClient(self._app, Jar(self.jar.cookies))

    def get(self, path: str) -> bytes:
        """Return the body of a response.

        :raises FailedRequestError: its status is not 200.
        """
        body = self._get(path)
        self.jar.keep_all(self._set_cookies)
        return body

    def _get(self, path: str) -> bytes:
        environ = self._environ.copy()
        environ["PATH_INFO"] = path
        if self.jar.header:
            environ["HTTP_COOKIE"] = self.jar.header
        response = self._app(environ, self._start_response)
        try:
            body = b"".join(response)
        finally:
            close = getattr(response, "close", None)
            if close is not None:
                close()
        if self._status[:3] != "200":
            raise FailedRequestError(f"{path}: {self._status}")
        return body

    def seconds(self, path: str, times: int) -> float:
        """Return how long so many requests take."""
        get = self._get
        start = perf_counter()
        for _ in range(times):
            get(path)
        taken = perf_counter() - start
        self.jar.keep_all(self._set_cookies)
        return taken

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        self._status = status
        for name, value in headers:
            if name == "Set-Cookie":
                self._set_cookies.append(value)
        return _write


def _write(data: bytes) -> None:
    raise NotImplementedError("no application here writes")


class ASGIClient:
    """One visitor of an ASGI application, as :class:`WSGIClient`."""

    def __init__(self, app: Callable[..., Any], jar: Jar | None = None) -> None:
        self._app = app
        self.jar = Jar() if jar is None else jar
        self._set_cookies: list[str] = []
        self._scope = scope_without_path()

    def another(self) -> ASGIClient:
        """Return another client with the same cookies, as they are now."""
        return ASGIClient(self._app, Jar(self.jar.cookies))

    async def get(self, path: str) -> bytes:
        """Return the body of a response.

        :raises FailedRequestError: its status is not 200.
        """
        body = await self._get(path)
        self.jar.keep_all(self._set_cookies)
        return body

    async def _get(self, path: str) -> bytes:
        scope = self._scope.copy()
        scope["path"] = path
        scope["raw_path"] = path.encode()
        scope["headers"] = headers = [(b"host", HOST.encode())]
        if self.jar.header:
            headers.append((b"cookie", self.jar.header.encode()))
        status = 0
        body = b""

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, body
            if message["type"] == "http.response.start":
                status = message["status"]
                for name, value in message["headers"]:
                    if name == b"set-cookie":
                        self._set_cookies.append(value.decode("latin-1"))
            else:
                body += message.get("body", b"")

        await self._app(scope, _receive, send)
        if status != 200:
            raise FailedRequestError(f"{path}: {status}")
        return body

    async def seconds(self, path: str, times: int) -> float:
        """Return how long so many requests take, one after the other."""
        get = self._get
        start = perf_counter()
        for _ in range(times):
            await get(path)
        taken = perf_counter() - start
        self.jar.keep_all(self._set_cookies)
        return taken


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
