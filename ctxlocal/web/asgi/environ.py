"""The environ of a request (PEP 3333), made of an ASGI scope and the messages of its body."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

IN_MEMORY = 512 * 1024  #: bytes of a request's body before it goes to a temporary file


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


class BodyTooLargeError(Exception):
    """The client announced or sent a larger body than the limit."""


def environ_of(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return the environ (PEP 3333) of an ``http`` scope, still without a body.

    ``asgi.scope`` is the scope. A header whose name has an underscore is left out: it could
    not be told from one with hyphens, which a proxy may have checked.
    """
    get = scope.get
    root, path = get("root_path", ""), scope["path"]
    if root and (path == root or path.startswith(root.rstrip("/") + "/")):
        path = path[len(root.rstrip("/")) :]
    query = get("query_string", b"").decode("latin-1")
    host, port = get("server") or ("localhost", None)
    scheme = get("scheme", "http")
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root if root.isascii() else _wsgi_text(root),
        "PATH_INFO": path if path.isascii() else _wsgi_text(path),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or (443 if scheme == "https" else 80)),
        "SERVER_PROTOCOL": f"HTTP/{get('http_version', '1.1')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    if raw_path := get("raw_path"):
        uri = raw_path.decode("latin-1")
        environ["REQUEST_URI"] = environ["RAW_URI"] = f"{uri}?{query}" if query else uri
    if client := get("client"):
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    for raw_name, raw_value in scope["headers"]:
        if (name := _NAMES.get(raw_name) or _environ_name(raw_name)) is None:
            continue
        value = raw_value.decode("latin-1")
        if name in environ:  # RFC 9110, 5.3; a cookie's parts are joined as RFC 6265 has them
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ


def _environ_name(raw_name: bytes) -> str | None:
    if b"_" in raw_name:
        return None
    name = raw_name.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


# Of the headers that browsers and proxies send most; the others' are made anew each time.
_NAMES = {
    name: _environ_name(name)
    for name in (
        *(b"host", b"user-agent", b"accept", b"accept-language", b"accept-encoding", b"referer"),
        *(b"cookie", b"connection", b"cache-control", b"upgrade-insecure-requests", b"dnt"),
        *(b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site", b"sec-fetch-user", b"priority"),
        *(b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform", b"pragma", b"te", b"origin"),
        *(b"content-type", b"content-length", b"transfer-encoding", b"authorization", b"range"),
        *(b"if-none-match", b"if-modified-since", b"x-requested-with", b"x-real-ip", b"forwarded"),
        *(b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"),
        *(b"x-request-id", b"traceparent", b"tracestate", b"via"),
    )
}


def _wsgi_text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


async def read_body(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    environ: dict[str, Any],
    limit: int | None,
    in_thread: Callable[..., Awaitable[Any]],
) -> IO[bytes]:
    """Read the whole body into ``environ``'s ``wsgi.input``, which is returned too.

    :param limit: bytes; None for any number.
    :param in_thread: calls a function that may block.
    :raises ClientGoneError: the client hung up meanwhile.
    :raises BodyTooLargeError: it is longer than ``limit``; no more was read.
    """
    announced = environ.get("CONTENT_LENGTH", "")
    if limit is not None and announced.isdecimal() and int(announced) > limit:
        raise BodyTooLargeError
    chunk, is_more = _chunk_of(await receive())
    size = len(chunk)
    body: Any
    if is_more or size > IN_MEMORY:
        body = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the request closes it
        try:
            size = await _spool(chunk, is_more, receive, body, limit, in_thread)
        except BaseException:
            body.close()
            raise
        body.seek(0)
    elif limit is not None and size > limit:
        raise BodyTooLargeError
    else:
        body = BytesIO(chunk)  # which takes a tenth of the time of a file that may be needed
    environ["wsgi.input"] = body
    environ["wsgi.input_terminated"] = True
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if size or announced:
        environ["CONTENT_LENGTH"] = str(size)
    return body  # type: ignore[no-any-return]


def _chunk_of(message: MutableMapping[str, Any]) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


async def _spool(
    chunk: bytes,
    is_more: bool,
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    body: IO[bytes],
    limit: int | None,
    in_thread: Callable[..., Awaitable[Any]],
) -> int:
    size = 0
    while True:
        size += len(chunk)
        if limit is not None and size > limit:
            raise BodyTooLargeError
        if size <= IN_MEMORY:
            body.write(chunk)
        else:
            await in_thread(body.write, chunk)
        if not is_more:
            return size
        chunk, is_more = _chunk_of(await receive())
