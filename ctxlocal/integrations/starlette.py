"""Starlette's requests and sessions in our contexts: both are found wherever they are needed.

::

    from ctxlocal.integrations.starlette import SessionMiddleware, request

    app = Starlette(routes=[...])
    app.add_middleware(SessionMiddleware, secret_key=SECRET_KEY)  # or store="redis://localhost/0"

``SessionMiddleware`` takes the place of Starlette's own; ``ContextMiddleware`` is for sessions that
are made elsewhere, or none. One of them stands in an application, once: each does what the other
does. For Starlette from 0.46 on, and FastAPI; :mod:`ctxlocal.integrations.fastapi` has
dependencies.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from starlette.datastructures import Secret
from starlette.requests import HTTPConnection, Request

from ..local import unwrap
from ..sessions import (
    Cookie,
    EncryptedCookieSessions,
    SessionInterface,
    SignedCookieSessions,
    StoredSessions,
)
from ..sessions.cookie import MAX_AGE
from ..sessions.errors import SessionConfigError, StoreUnavailableError
from ..sessions.interface import SessionHeaders
from ..sessions.lifetime import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT
from ..web import asgi, current_app, has_request_context
from ..web import request as _request
from ._anyio_threads import carry_into_threads
from ._former import take_over
from ._starlette_cookie import FormerCookie

if TYPE_CHECKING:
    from ..sessions import Session
    from ..sessions.stores.protocol import AsyncStore, Store
    from ..web.inherit import Inherit

    Key = str | bytes | Secret

request: Request = _request  # type: ignore[assignment]

_log = logging.getLogger("ctxlocal.integrations.starlette")
_former_deletion: ContextVar[str | None] = ContextVar("former session cookie", default=None)


class ContextMiddleware(asgi.ContextMiddleware):
    """The middleware of :mod:`ctxlocal.web.asgi`, in whose contexts the request is Starlette's.

    ``request`` here, and in ``ctxlocal.web``, is a ``starlette.requests.Request``, or an
    ``HTTPConnection`` in a WebSocket. It shares the scope with the endpoint's own, and so
    ``state``, ``path_params`` and ``session``; but the body is the endpoint's to read: here it
    raises RuntimeError.

    What the request runs in threads, by ``anyio.to_thread.run_sync`` as Starlette and FastAPI do,
    has its values under each strategy, and what is set there is set in the request's task: an
    endpoint sees what its ``def`` dependencies have set. The first one made replaces that function;
    see :mod:`._anyio_threads`.

    With ``sessions`` it refuses to stand beside other session middleware: of the same application
    when that starts, of one around it at each request.
    """

    _is_checked = False

    def __init__(
        self, app: Any, sessions: SessionInterface | None = None, *, inherit: Inherit = False
    ) -> None:
        super().__init__(app, sessions, inherit=inherit)
        carry_into_threads(_is_served)

    def create_request(self, environ: Any) -> HTTPConnection:
        """Return the connection of an ASGI scope."""
        return Request(environ) if environ["type"] == "http" else HTTPConnection(environ)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection scope, as ASGI calls it.

        :raises SessionConfigError: there is other session middleware.
        """
        if self.sessions is not None:
            try:
                self._refuse_others(scope)
            except SessionConfigError as error:
                if scope["type"] == "lifespan":  # an exception alone would let the server go on
                    await receive()
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
        await super().__call__(scope, receive, send)

    def _refuse_others(self, scope: Any) -> None:
        if not self._is_checked:
            _refuse_beside(scope.get("app"))
            self._is_checked = True
        if has_request_context():
            outer: Any = unwrap(current_app)
            cookie = getattr(self.sessions, "cookie", None)
            around = getattr(getattr(outer, "sessions", None), "cookie", None)
            if isinstance(cookie, Cookie) and cookie == around:
                raise SessionConfigError(
                    "cookie",
                    f"{cookie.name!r} is that of a middleware around this one, too: the two would "
                    "replace each other's. Take one out, or give it another name or path",
                )


def _is_served() -> bool:
    app: Any = current_app
    return has_request_context() and isinstance(unwrap(app), ContextMiddleware)


def _refuse_beside(app: Any) -> None:
    """Refuse an application in which two claim ``request.session``, or a context of their own."""
    added = [each.cls for each in getattr(app, "user_middleware", ()) if isinstance(each.cls, type)]
    claiming = [kind for kind in added if _claims_session(kind)]
    if len(claiming) < 2:
        return
    names = " and ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in claiming)
    raise SessionConfigError(
        "middleware",
        f"{names} stand in one application, and the inner one hides what the outer one has: the "
        "session, and what is set in between. Take all but one out",
    )


def _claims_session(kind: type) -> bool:
    is_ours = issubclass(kind, asgi.ContextMiddleware)
    return is_ours or any(each.__name__ == "SessionMiddleware" for each in kind.__mro__)


class SessionMiddleware(ContextMiddleware):
    """Starlette's middleware of that name, whose ``request.session`` is one of ours.

    The arguments are Starlette's, with its defaults, and a few more. It is a
    :class:`ContextMiddleware` besides: put it in place of that, outermost of what needs the
    session or a Local.

    :param app: any ASGI application.
    :param secret_key: of at least 32 bytes, for sessions in the cookie; or several: the first
        signs, all verify. A store needs none, and leaves it alone.
    :param session_cookie: the cookie's name.
    :param max_age: seconds after which a session ends that nobody uses, and for which the browser
        keeps the cookie; None lets it end with the browser, or after 14 days without use.
    :param path: the cookie's; as all of these in :class:`~ctxlocal.sessions.Cookie`.
    :param same_site: ``"lax"``, ``"strict"`` or ``"none"``.
    :param https_only: whether the cookie is sent over HTTPS alone; a site that people use wants it.
    :param domain: None is this host alone.
    :param partitioned: as in newer versions of Starlette.
    :param store: where sessions are kept: a URL, a store, ``"signed"`` (a cookie that the visitor
        can read, as Starlette's) or ``"encrypted"`` (needs ``[crypto]``).
    :param import_from: the arguments that Starlette's own middleware had, as ``{"secret_key":
        ...}``: a visitor whose cookie of that leads to none of ours begins with what is in it.
    :param inherit: as in :class:`ctxlocal.web.asgi.ContextMiddleware`.
    :param settings: further arguments of StoredSessions, or of SignedCookieSessions.
    :raises SessionConfigError: a value cannot be used.
    """

    def __init__(
        self,
        app: Any,
        secret_key: Key | Sequence[Key] | None = None,
        session_cookie: str = "session",
        max_age: float | None = IDLE_TIMEOUT,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        store: str | Store | AsyncStore = "signed",
        import_from: Mapping[str, Any] | None = None,
        inherit: Inherit = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        cookie = Cookie(
            session_cookie,
            secure=https_only,
            same_site=str(same_site).capitalize(),  # type: ignore[arg-type]
            path=path,
            domain=domain,
            partitioned=partitioned,
        )
        given = {"cookie": cookie, **_lifetime(max_age), **(settings or {})}
        sessions = _make_sessions(store, secret_key, given)
        sessions.is_permanent = max_age is not None
        sessions.former = None if import_from is None else FormerCookie(import_from)
        super().__init__(app, sessions, inherit=inherit)


def sessions_of() -> Any:
    """Return what keeps the current request's sessions: by it a user's are listed and revoked.

    :raises UnboundError: there is no request.
    """
    app: Any = current_app
    return app.sessions


class _Lasting:
    """What this middleware does to a session when it is opened and saved."""

    cookie: Cookie
    is_permanent: bool
    former: FormerCookie | None

    async def open_async(self, cookies: str) -> Session:
        session: Session = await super().open_async(cookies)  # type: ignore[misc]
        if self.former is not None and (found := await self.former.find(cookies)):
            # Ours is asked only then: to ask it is a use of it.
            with suppress(StoreUnavailableError):  # the endpoint is told, if it uses the session
                if is_new := session.new:
                    take_over(session, found.values, _log)
                if is_new or not self.former.is_of(self.cookie):  # or ours would be deleted
                    _former_deletion.set(found.deletion)
        return session

    async def save_async(self, session: Session) -> SessionHeaders:
        is_used = session.accessed and not session.is_null
        if self.is_permanent and is_used and (session or session.user) and not session.permanent:
            session.permanent = True
        asked: SessionHeaders = await super().save_async(session)  # type: ignore[misc]
        deletion = _former_deletion.get()
        if self.former is None or deletion is None:
            return asked
        if self.former.is_replaced_by(self.cookie, asked.cookies):
            return asked
        return SessionHeaders(True, (deletion, *asked.cookies))


class _Stored(_Lasting, StoredSessions[Any]):
    """Sessions in a store."""


class _Signed(_Lasting, SignedCookieSessions):
    """Sessions in a signed cookie."""


class _Encrypted(_Lasting, EncryptedCookieSessions):
    """Sessions in an encrypted cookie."""


def _make_sessions(store: Any, secret_key: Any, settings: dict[str, Any]) -> Any:
    if isinstance(store, SessionInterface):
        raise SessionConfigError(
            "store",
            f"a {type(store).__name__} has a cookie of its own; give it to "
            "ContextMiddleware(sessions=...)",
        )
    if store in ("signed", "encrypted"):
        if not secret_key:
            raise SessionConfigError("secret_key", f"it is not set, and store={store!r} needs it")
        return (_Signed if store == "signed" else _Encrypted)(_keys(secret_key), **settings)
    if isinstance(store, str):
        from ..sessions.stores.url import open_async_store

        store = open_async_store(store)
    return _Stored(store, **settings)


def _keys(secret_key: Key | Iterable[Key]) -> list[str | bytes]:
    given = [secret_key] if isinstance(secret_key, (str, bytes, Secret)) else secret_key
    return [str(key) if isinstance(key, Secret) else key for key in given]


def _lifetime(max_age: float | None) -> dict[str, float]:
    if max_age is None:
        return {}
    if not isinstance(max_age, (int, float)) or not 1 <= max_age <= MAX_AGE:
        problem = f"{max_age!r} is not from 1 to {MAX_AGE} seconds, or None"
        raise SessionConfigError("max_age", problem)
    return {"idle_timeout": max_age, "absolute_timeout": max(ABSOLUTE_TIMEOUT, max_age)}
