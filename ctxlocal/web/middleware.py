"""Middleware: what the ContextMiddleware of WSGI and that of ASGI are given."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from ..sessions.interface import SessionInterface, refuse_no_interface
from ..sessions.session import Session
from .adoption import Lost
from .context import Application, RequestContext
from .inherit import Inherit, Inheritance

A = TypeVar("A")

PLACE: Final = "ctxlocal.session"  # of the session, in an environ


class Middleware(Application, Generic[A]):
    """Stands around an application, and checks what it is to serve it with."""

    sessions: SessionInterface | None

    def __init__(
        self,
        app: A,
        sessions: SessionInterface | None = None,
        *,
        inherit: Inherit = False,
    ) -> None:
        refuse_no_interface(sessions)
        self.app = app
        self.sessions = sessions
        self._inheritance = Inheritance(inherit)
        self._lost = self._new_lost()
        self._opens_without = type(self).open_session is not Middleware.open_session

    def open_session(self, context: RequestContext) -> Session | None:
        """Return the session that the request's cookie names. Under ASGI it is open by then."""
        if self.sessions is None:
            return None
        environ: dict[str, Any] = context.environ
        session = self.sessions.open(environ.get("HTTP_COOKIE", ""))
        environ[PLACE] = session
        return session

    @staticmethod
    def _new_lost() -> Lost:
        """Return what says that a session was lost, once for each application."""
        raise NotImplementedError
