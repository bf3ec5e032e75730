"""SessionInterface: how the request layer opens a session and saves it again.

It knows neither WSGI nor ASGI: what goes in is the text of the Cookie header, what
comes out are header fields. ``open_session`` and ``save_session`` do the same for
requests and responses of an App. They bear Flask's names, and Flask's own session is had by
:class:`ctxlocal.integrations.flask.Sessions`, which does what else that needs. Quart has none: wrap
``app.asgi_app`` with :class:`ctxlocal.web.asgi.ContextMiddleware`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .errors import SessionConfigError
from .headers import SessionHeaders as SessionHeaders
from .session import Session


class SessionInterface(ABC):
    """Opens the session of a request and saves it; one serves a whole application.

    Safe from many threads, greenlets and tasks at once. Two ways of each: the plain ones
    for WSGI, which may block, the ``_async`` ones for ASGI, which do not.
    """

    @abstractmethod
    def open(self, cookies: str) -> Session:
        """Return the session that the Cookie header names, or a new one; loads nothing yet.

        :param cookies: the Cookie header as it came, "" without one.
        """

    @abstractmethod
    def save(self, session: Session) -> SessionHeaders:
        """Store what changed and close the session; called once, before headers are sent.

        :raises SessionError: it cannot be stored, or sent; see each implementation.
        """

    @abstractmethod
    async def open_async(self, cookies: str) -> Session:
        """Return the session, with its record loaded if it has one (unless ``load="explicit"``)."""

    @abstractmethod
    async def save_async(self, session: Session) -> SessionHeaders:
        """Do what :meth:`save` does without blocking the event loop."""

    def open_at_once(self, cookies: str) -> Session | None:
        """Return what :meth:`open_async` does, if nothing is to be awaited for it; None: it is."""
        return None

    def save_at_once(self, session: Session) -> SessionHeaders | None:
        """Do what :meth:`save_async` does, if nothing is to be awaited for it.

        None: it is, and nothing was done. It belongs to the :meth:`save_async` beside it, and
        :meth:`open_at_once` to :meth:`open_async`: of a subclass that has another one of these
        two, the one that it inherits is not asked. Only classes are looked at, and when they are
        made: what is put into an object, or into a class later, is not seen.
        """
        return None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, at_once in (("open_async", "open_at_once"), ("save_async", "save_at_once")):
            first = next(
                kind for kind in cls.__mro__ if name in vars(kind) or at_once in vars(kind)
            )
            if at_once not in vars(first):
                setattr(cls, at_once, getattr(SessionInterface, at_once))

    @property
    def may_save_in_thread(self) -> bool:
        """Whether :meth:`save`, in a thread, may stand for :meth:`save_async`; False if unsure."""
        return False

    @abstractmethod
    def null(self) -> Session:
        """Return an empty session that refuses every change: for when there can be none."""

    def open_session(self, app: Any, request: Any) -> Session:
        """Open the session of a werkzeug ``request``.

        :raises SessionConfigError: Flask, or Quart, calls this by its own name.
        """
        if not hasattr(request, "environ"):
            raise _refusal(self, app, _FOR_QUART)
        if any(kind.__module__.partition(".")[0] == "flask" for kind in type(app).__mro__):
            raise _refusal(self, app, _FOR_FLASK)
        return self.open(request.environ.get("HTTP_COOKIE", ""))

    def save_session(self, app: Any, session: Session, response: Any) -> None:
        """Save the session and put its header fields into a werkzeug ``response``."""
        self.save(session).merge_into_response(response)

    def make_null_session(self, app: Any) -> Session:
        """Return what stands in for a session where none can be opened."""
        return self.null()

    def is_null_session(self, obj: object) -> bool:
        """Whether ``obj`` is such a stand-in."""
        return getattr(obj, "is_null", False) is True


_FOR_FLASK = (
    "by itself. Write ctxlocal.integrations.flask.Sessions(app, sessions), which makes it so, with "
    "flash messages and logins"
)
_FOR_QUART = (
    "whose requests are not werkzeug's. Wrap the application instead, app.asgi_app = "
    "ContextMiddleware(app.asgi_app, sessions=...) of ctxlocal.web.asgi, and use "
    "ctxlocal.web.session"
)


def _refusal(sessions: SessionInterface, app: object, why: str) -> SessionConfigError:
    kind, framework = type(sessions).__name__, type(app).__name__
    return SessionConfigError(
        "session_interface", f"{kind} cannot be that of a {framework}, {why}."
    )


def refuse_no_interface(sessions: object) -> None:
    """Refuse what can neither open nor save sessions; None is for none at all.

    :raises SessionConfigError: a store, or anything else but a SessionInterface, was given.
    """
    if sessions is None or isinstance(sessions, SessionInterface):
        return
    if hasattr(sessions, "load") and hasattr(sessions, "commit"):
        raise SessionConfigError("sessions", "a store was given; wrap it: StoredSessions(...)")
    raise SessionConfigError(
        "sessions", f"a {type(sessions).__name__!r} object is no SessionInterface"
    )
