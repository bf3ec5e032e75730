"""Sessions that Starlette's own SessionMiddleware kept: read out of its cookie, once.

Its middleware does it, around an application that takes what it finds and clears it: so its cookie
is read, and deleted, as the installed Starlette does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..sessions import Cookie


class Found(NamedTuple):
    """A visitor's former session, and the Set-Cookie field that deletes it."""

    values: dict[str, Any]
    deletion: str


class FormerCookie:
    """The cookie of a middleware of Starlette's.

    :param arguments: those that it had, at least ``secret_key``.
    :raises TypeError: it takes no such argument.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        from starlette.middleware.sessions import SessionMiddleware

        self._read = SessionMiddleware(_take, **arguments)
        self._name = arguments.get("session_cookie", "session")
        self._place = (self._name, arguments.get("path", "/"), arguments.get("domain"))

    async def find(self, cookies: str) -> Found | None:
        """Return the session in a Cookie header; None if there is none, or an empty one."""
        if self._name not in cookies:
            return None
        scope = {"type": "http", "headers": [(b"cookie", cookies.encode("latin-1"))]}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self._read(scope, _receive, send)
        values: Any = scope["ctxlocal.former"]
        if not values:
            return None
        fields = [value for name, value in sent[0]["headers"] if name.lower() == b"set-cookie"]
        return Found(values, fields[0].decode("latin-1"))

    def is_of(self, cookie: Cookie) -> bool:
        """Whether it is in the place of this cookie."""
        return self._place == (cookie.name, cookie.path, cookie.domain)

    def is_replaced_by(self, cookie: Cookie, lines: tuple[str, ...]) -> bool:
        """Whether these Set-Cookie fields put another value in its place."""
        return self.is_of(cookie) and any(line.startswith(f"{cookie.name}=") for line in lines)


async def _take(scope: Any, receive: Any, send: Any) -> None:
    scope["ctxlocal.former"] = dict(scope["session"])
    scope["session"].clear()
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _receive() -> Any:
    return {"type": "http.disconnect"}
