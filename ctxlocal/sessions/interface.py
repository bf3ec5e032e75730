"""SessionInterface: how the request layer opens a session and saves it again.

It knows neither WSGI nor ASGI: what goes in is the text of the Cookie header, what
comes out are header fields. ``open_session`` and ``save_session`` do the same for
requests and responses of an App. They bear Flask's names, and Flask's own session is had by
:class:`ctxlocal.integrations.flask.Sessions`, which does what else that needs. Quart has none: wrap
``app.asgi_app`` with :class:`ctxlocal.web.asgi.ContextMiddleware`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from .errors import SessionConfigError
from .session import Session


class SessionHeaders(NamedTuple):
    """What a session asks of the response's header."""

    vary: bool = False  #: the session was read or written: ``Vary: Cookie`` (R20)
    cookies: tuple[str, ...] = ()  #: values of Set-Cookie; with any, ``Cache-Control: no-store``

    def merge_into(self, headers: list[tuple[str, str]]) -> None:
        """Put them into a list of header fields, in place; what is there is kept or joined."""
        vary, cookies = self
        stale: list[tuple[str, str]] = []
        for field in headers:
            name = field[0].lower()
            if name == "vary":
                vary = vary and not _lists_cookie(field[1])
            elif cookies and name == "cache-control":
                stale.append(field)
        for field in stale:
            headers.remove(field)
        if vary:
            headers.append(("Vary", "Cookie"))
        if cookies:
            headers.append(("Cache-Control", "no-store"))
            for cookie in cookies:
                headers.append(("Set-Cookie", cookie))

    def merge_into_response(self, response: Any) -> None:
        """Put them into the header of a werkzeug response, which has one ``Vary`` then."""
        (vary, cookies), headers = self, response.headers
        if cookies:
            headers.remove("Cache-Control")
            headers.add("Cache-Control", "no-store")
            for cookie in cookies:
                headers.add("Set-Cookie", cookie)
        if not vary:
            return
        listed = headers.getlist("Vary")
        if not listed:
            headers.add("Vary", "Cookie")
        elif not any(map(_lists_cookie, listed)):
            headers["Vary"] = ", ".join([*listed, "Cookie"])


NOTHING = SessionHeaders()
ACCESSED = SessionHeaders(vary=True)


def _lists_cookie(vary: str) -> bool:
    listed = [part.strip().lower() for part in vary.split(",")]
    return "cookie" in listed or "*" in listed


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
