"""Middleware: what the ContextMiddleware of WSGI and that of ASGI are given."""

from __future__ import annotations

from typing import Generic, TypeVar

from ..sessions.interface import SessionInterface, refuse_no_interface
from .adoption import Lost
from .context import Application
from .inherit import Inherit, Inheritance

A = TypeVar("A")


class Middleware(Application, Generic[A]):
    """Stands around an application, and checks what it is to serve it with."""

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

    @staticmethod
    def _new_lost() -> Lost:
        """Return what says that a session was lost, once for each application."""
        raise NotImplementedError
