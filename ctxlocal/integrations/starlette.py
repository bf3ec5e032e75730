"""Starlette's requests in our contexts: ``request`` can be imported wherever it is needed.

::

    from ctxlocal.integrations.starlette import ContextMiddleware, request

    app = Starlette(routes=[...])
    app.add_middleware(ContextMiddleware, sessions=StoredSessions(...))

For Starlette from 0.46 on, and FastAPI; :mod:`ctxlocal.integrations.fastapi` has dependencies.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection, Request

from ..web import asgi
from ..web import request as _request

request: Request = _request  # type: ignore[assignment]


class ContextMiddleware(asgi.ContextMiddleware):
    """The middleware of :mod:`ctxlocal.web.asgi`, in whose contexts the request is Starlette's.

    ``request`` here, and in ``ctxlocal.web``, is a ``starlette.requests.Request``, or an
    ``HTTPConnection`` in a WebSocket. It shares the scope with the endpoint's own, and so
    ``state``, ``path_params`` and ``session``; but the body is the endpoint's to read: here it
    raises RuntimeError.
    """

    def create_request(self, environ: Any) -> HTTPConnection:
        """Return the connection of an ASGI scope."""
        return Request(environ) if environ["type"] == "http" else HTTPConnection(environ)
