"""Litestar's sessions, kept by ctxlocal: ``request.session`` is one of ours.

::

    from ctxlocal.integrations.litestar import SessionMiddleware

    app = Litestar([...], middleware=[SessionMiddleware(StoredSessions(...))])

It takes the place of ``ServerSideSessionConfig(...).middleware`` and ``CookieBackendConfig``'s. A
backend for these it is not: that is given the whole session when the response starts, and what
another request has stored meanwhile is gone. ``set_session`` and ``clear_session`` work. For
Litestar from 2.15 on.
"""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware

from ..sessions import SessionInterface
from ..web import asgi
from ..web import request as _request
from ..web.inherit import Inherit
from ._versions import require

require("litestar", "2.15", "ctxlocal.web.asgi.ContextMiddleware stands around an older one.")

request: Request[Any, Any, Any] = _request  # type: ignore[assignment]

_NEXT = "ctxlocal.next"  # in the scope: what stands inside of the middleware


class SessionMiddleware(ASGIMiddleware):
    """Gives each request, and WebSocket, a context of its own, and a session.

    ``request.session`` and ``ctxlocal.web.session`` are the :class:`~ctxlocal.Session`; ``request``
    here, and in ``ctxlocal.web``, is the request. Routes with the option ``skip_session`` have none
    of it, as with Litestar's own.

    :param sessions: how they are opened and saved, with their cookie and times; None for contexts
        alone.
    :param inherit: as in :class:`ctxlocal.web.asgi.ContextMiddleware`.
    :param exclude: a pattern, or patterns, of paths that have none of it either.
    :raises SessionConfigError: ``sessions`` is a store, or anything else.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = "skip_session"

    def __init__(
        self,
        sessions: SessionInterface | None = None,
        *,
        inherit: Inherit = False,
        exclude: str | tuple[str, ...] | None = None,
    ) -> None:
        self.exclude_path_pattern = exclude
        self._contexts = _Contexts(_call_next, sessions, inherit=inherit)

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        """Serve a connection, as Litestar calls it."""
        scope[_NEXT] = next_app
        await self._contexts(scope, receive, send)


class _Contexts(asgi.ContextMiddleware):
    def create_request(self, environ: Any) -> Any:
        return (Request if environ["type"] == "http" else ASGIConnection)(environ)


async def _call_next(scope: Any, receive: Any, send: Any) -> None:
    await scope.pop(_NEXT)(scope, receive, send)
