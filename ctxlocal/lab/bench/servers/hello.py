"""The smallest applications: plain, with contexts, and with a session that is read and written.

``ctxlocal bench`` has a server serve each, and counts requests.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ....sessions.cookie import Cookie
from ....sessions.in_store.sessions import StoredSessions
from ....sessions.stores.url import open_store
from ....web import wsgi
from ....web.asgi import middleware as asgi
from ....web.context import session
from . import BODY, STORE

_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
_ASGI_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS]


def wsgi_plain(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Answer."""
    start_response("200 OK", _HEADERS)
    return [BODY]


def _wsgi_visit(environ: Any, start_response: Any) -> Iterable[bytes]:
    session["visits"] = session.get("visits", 0) + 1
    return wsgi_plain(environ, start_response)


async def asgi_plain(scope: Any, receive: Any, send: Any) -> None:
    """Answer."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _ASGI_HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def _asgi_visit(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        session["visits"] = session.get("visits", 0) + 1
    await asgi_plain(scope, receive, send)


_sessions: StoredSessions[Any] = StoredSessions(
    open_store(os.environ.get(STORE, "memory:")), cookie=Cookie.for_development()
)
wsgi_contexts = wsgi.ContextMiddleware(wsgi_plain)
wsgi_sessions = wsgi.ContextMiddleware(_wsgi_visit, _sessions)
asgi_contexts = asgi.ContextMiddleware(asgi_plain)
asgi_sessions = asgi.ContextMiddleware(_asgi_visit, _sessions)
