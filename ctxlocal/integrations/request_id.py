"""A name for each request, in a Local and in the response: to find its lines in all logs.

::

    request = Local(name="request")
    app = ContextMiddleware(RequestId(app, request))  # WSGI; AsyncRequestId under ASGI

The id comes with the request, from a proxy that makes them, or is made here. It stands inside of a
ContextMiddleware, where each request's Locals are its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from ..local import Local

HEADER = "X-Request-ID"
# What may stand in a log, and in a header: what others make by far, UUIDs, ULIDs, traces.
_is_id = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}").fullmatch


class _Naming:
    """What both kinds of middleware are given, and do."""

    def __init__(
        self,
        app: Any,
        local: Local,
        *,
        attribute: str = "request_id",
        header: str = HEADER,
        trusted: bool = True,
    ) -> None:
        self.app = app
        self._local = local
        self._attribute = attribute
        self._header = header
        self._trusted = trusted

    def _name(self, given: str | None) -> str:
        """Name the current request, and return the name."""
        taken = given if self._trusted and given is not None and _is_id(given) else uuid4().hex
        setattr(self._local, self._attribute, taken)
        return taken


class RequestId(_Naming):
    """Names the requests of a WSGI application.

    :param app: the application.
    :param local: gets the id as an attribute, for as long as the request.
    :param attribute: its name.
    :param header: of the request and of the response, where it stands once.
    :param trusted: whether an id that comes with the request is taken, if it has up to 128
        characters of those that ids are made of. False where no proxy of yours stands before: a
        visitor could give two requests one name.
    """

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request, as WSGI calls it."""
        name = self._name(environ.get(f"HTTP_{self._header.upper().replace('-', '_')}"))

        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            others = [field for field in headers if field[0].lower() != self._header.lower()]
            return start_response(status, [*others, (self._header, name)], *failure)

        body: Iterable[bytes] = self.app(environ, start)
        return body


class AsyncRequestId(_Naming):
    """Names the requests, and WebSockets, of an ASGI application; see :class:`RequestId`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection, as ASGI calls it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        wanted = self._header.lower().encode("latin-1")
        given = next((value for name, value in scope["headers"] if name.lower() == wanted), None)
        name = self._name(None if given is None else given.decode("latin-1"))

        async def send_named(message: Any) -> None:
            if message["type"] in _HEADS:
                headers = message.get("headers") or ()
                others = [field for field in headers if bytes(field[0]).lower() != wanted]
                message = {**message, "headers": [*others, (wanted, name.encode("latin-1"))]}
            await send(message)

        await self.app(scope, receive, send_named)


_HEADS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
