"""A name for each request: taken or made, in a Local and in the response."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from ctxlocal import Local
from ctxlocal.integrations.request_id import AsyncRequestId, RequestId
from ctxlocal.web import asgi, wsgi

MADE = re.compile(r"[0-9a-f]{32}").fullmatch
HEADERS = [("Content-Type", "text/plain"), ("X-Request-Id", "the application's")]


def ask_wsgi(local: Local, given: str | None, **options: Any) -> tuple[str, list[str]]:
    """Return what the application found, and the ids of the response."""
    sent: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", HEADERS)
        return [local.request_id.encode()]

    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    if given is not None:
        environ["HTTP_X_REQUEST_ID"] = given
    served: Any = wsgi.ContextMiddleware(RequestId(app, local, **options))
    body = b"".join(served(environ, lambda status, headers, *_: sent.extend(headers)))
    return body.decode(), [value for name, value in sent if name.lower() == "x-request-id"]


def ask_asgi(
    local: Local, given: str | None, kind: str = "http", **options: Any
) -> tuple[str, list[str]]:
    sent: list[Any] = []
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(local.request_id)
        head = "http.response.start" if kind == "http" else "websocket.accept"
        headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
        await send({"type": head, "status": 200, "headers": headers})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    headers = [] if given is None else [(b"X-Request-ID", given.encode("latin-1"))]
    served: Any = asgi.ContextMiddleware(AsyncRequestId(app, local, **options))
    asyncio.run(served({"type": kind, "headers": headers}, receive, send))
    ids = [value for name, value in sent[0]["headers"] if name == b"x-request-id"]
    return found[0], [each.decode() for each in ids]


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
class TestBoth:
    def test_it_is_taken_from_the_request(self, ask: Any) -> None:
        assert ask(Local(), "proxy-1:a.b") == ("proxy-1:a.b", ["proxy-1:a.b"])

    @pytest.mark.parametrize("given", [None, "", "a b", "a\nb", "x" * 129, "é", '"'])
    def test_without_a_good_one_it_is_made(self, ask: Any, given: str | None) -> None:
        found, sent = ask(Local(), given)
        assert MADE(found)
        assert sent == [found]
        assert ask(Local(), given)[0] != found

    def test_a_visitors_own_is_not_taken_where_nothing_is_trusted(self, ask: Any) -> None:
        assert MADE(ask(Local(), "mine", trusted=False)[0])

    def test_it_is_gone_after_the_request(self, ask: Any) -> None:
        local = Local()
        ask(local, "a")
        assert not hasattr(local, "request_id")


def test_so_it_is_of_a_web_socket() -> None:
    assert ask_asgi(Local(), "a", "websocket") == ("a", ["a"])


def test_other_scopes_have_none() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(hasattr(local, "request_id"))

    local, seen = Local(), list[bool]()
    asyncio.run(AsyncRequestId(app, local)({"type": "lifespan"}, None, None))
    assert seen == [False]


def test_names_of_attribute_and_header_can_be_chosen() -> None:
    local = Local()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [local.trace.encode()]

    sent: list[Any] = []
    served = RequestId(app, local, attribute="trace", header="X-Trace")
    body = served({"HTTP_X_TRACE": "t1"}, lambda status, headers: sent.extend(headers))
    assert (list(body), sent) == ([b"t1"], [("X-Trace", "t1")])
