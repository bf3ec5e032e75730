"""One warning of a Secure cookie that went out over plain HTTP, so that no session is kept.

Browsers drop such a cookie without a word, except from a host of their own machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from ..local import Latch

_log = logging.getLogger("ctxlocal.sessions")
_said = Latch()


def is_suspect(environ: MutableMapping[str, Any]) -> bool:
    """Whether the warning is still due and the request came by plain HTTP; a quick look.

    :param environ: the WSGI environ or the ASGI scope.
    """
    scheme = environ.get("wsgi.url_scheme") or environ.get("scheme", "http")
    return scheme in ("http", "ws") and not _said.is_taken


def warn_of(cookies: Iterable[str], environ: MutableMapping[str, Any]) -> None:
    """Log, once in this process, that ``cookies`` (values of Set-Cookie) will be dropped."""
    secure = [cookie for cookie in cookies if "; secure" in cookie.lower()]
    host = _host(environ)
    if not secure or _is_local(host) or not _said.take():
        return
    _log.warning(
        "The Secure cookie %r went out over plain HTTP for the host %r: browsers drop it, and no "
        "session is kept. Serve HTTPS; behind a proxy that does, let the server trust its "
        "X-Forwarded-Proto; to develop over HTTP, use cookie=Cookie.for_development(). "
        "This is said once.",
        secure[0].partition("=")[0],
        host,
    )


def _host(environ: MutableMapping[str, Any]) -> str:
    if "headers" not in environ:
        return str(environ.get("HTTP_HOST") or environ.get("SERVER_NAME", ""))
    found = [value for name, value in environ["headers"] if name.lower() == b"host"]
    return found[0].decode("latin-1") if found else ""


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name.rpartition(".")[2] == "localhost" or ip_address(name).is_loopback
    except ValueError:  # a name, or nothing of the kind
        return not host
