"""Sending a werkzeug response over ASGI, its body chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..._async_library import library
from .middleware import Receive, Send, encoded

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

Call = Callable[..., Awaitable[Any]]

_log = logging.getLogger("ctxlocal.web.asgi")
_END: Any = object()


async def send_response(
    response: Response, environ: dict[str, Any], receive: Receive, send: Send, call: Call
) -> None:
    """Send ``response``; if the client hangs up, its stream ends early and without an error.

    :param call: calls the body's synchronous functions; see :class:`.thread.Caller`.
    """
    headers = response.get_wsgi_headers(environ).to_wsgi_list()
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": encoded(headers),
        }
    )
    if environ["REQUEST_METHOD"] == "HEAD" or _has_no_body(response.status_code):
        await send({"type": "http.response.body", "body": b""})
    elif response.is_sequence:
        await send({"type": "http.response.body", "body": b"".join(response.iter_encoded())})
    elif hasattr(response.response, "__aiter__"):
        await _until_gone(receive, _stream_async(response.response, send))
    else:
        await _until_gone(receive, _stream(response, send, call))


async def send_complete(
    status: int, body: list[bytes], headers: list[tuple[str, str]], send: Send
) -> None:
    """Send a response whose body and headers are at hand."""
    await send({"type": "http.response.start", "status": status, "headers": encoded(headers)})
    await send({"type": "http.response.body", "body": b"".join(body)})


def _has_no_body(status: int) -> bool:
    return 100 <= status < 200 or status in (204, 304)


async def _stream(response: Response, send: Send, call: Call) -> None:
    iterator = iter(response.iter_encoded())
    while (chunk := await call(next, iterator, _END)) is not _END:
        await _send_chunk(chunk, send)
    await send({"type": "http.response.body", "body": b""})


async def _stream_async(body: Any, send: Send) -> None:
    async for chunk in body:
        await _send_chunk(chunk.encode() if isinstance(chunk, str) else chunk, send)
    await send({"type": "http.response.body", "body": b""})


async def _send_chunk(chunk: bytes, send: Send) -> None:
    if chunk:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def close(response: Response, call: Call) -> None:
    """Close the response and its body, which may be complete, abandoned or never begun."""
    aclose = getattr(response.response, "aclose", None)
    try:
        if aclose is not None:
            await aclose()
    finally:
        if response._on_close or hasattr(response.response, "close"):
            await call(response.close)


async def _until_gone(receive: Receive, streaming: Awaitable[None]) -> None:
    """Await ``streaming`` in this task, but end it when the client hangs up.

    Servers that drop what is sent to nobody would let an endless body run for ever.
    """

    async def gone() -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except Exception:
            _log.exception("The server cannot say whether the client has gone")
            raise

    await library().until(gone, streaming)
