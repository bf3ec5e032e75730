"""Objects that an application puts in the place of its session, and what becomes of them.

Code that was written for other sessions assigns a dict there, and some frameworks do so
for it (Litestar's ``set_session``). A session middleware that was left inside puts its own
session there, and sends a cookie of its own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Mapping, MutableMapping
from types import FrameType
from typing import Any

from ..local import Latch
from ..sessions.errors import UnstorableValueError
from ..sessions.session import Session
from .session_end import close

_KEYS = ("session", "ctxlocal.session")  # the places of the session in an ASGI scope
_NOTHING: Mapping[str, Any] = {}


def values_of(found: object) -> Mapping[Any, Any] | None:
    """Return the values of ``found``, an object in a session's place; None if we do not save it."""
    if found is None or _name(found).startswith("litestar.types.empty."):  # its clear_session()
        return {}
    is_plain = isinstance(found, Mapping) and "session" not in _name(found).lower()
    return found if is_plain else None  # type: ignore[return-value]


def adopt(session: Session, values: Mapping[Any, Any]) -> None:
    """Make ``session`` hold ``values`` and no others.

    What is equal stays untouched, so that it merges with what other requests do. The user
    and the flashed messages stay, unless there are no values at all: that is ``clear()``.

    :raises UnstorableValueError: a key or a value cannot be kept; nothing is saved then.
    """
    if not values:
        if not session.new or session.modified:
            session.clear()
        return
    for key in [key for key in session if key not in values]:
        del session[key]
    for key, value in values.items():
        if not isinstance(key, str):
            raise UnstorableValueError(repr(key), "a session's keys are str")
        if not _holds(session, key, value):
            session[key] = value


def _holds(session: Session, key: str, value: Any) -> bool:
    if key not in session:
        return False
    held = session[key]
    if held is value or (isinstance(held, frozenset) and held == value):  # of add_to_set()
        return True
    return type(held) is type(value) and session._encode(key, held) == session._encode(key, value)


class Lost:
    """The warnings about objects in a session's place that are not saved, each once an application.

    :param place: the session's place, as an application writes it.
    """

    def __init__(self, log: logging.Logger, place: str) -> None:
        self._log = log
        self._place = place
        self._said: dict[str, Latch] = {}

    def another(self, found: object, sender: str | None = None) -> None:
        """Warn of another session in the place; ``sender`` is the middleware that it belongs to."""
        self._say(
            sender or _name(found),
            "%s is a %s object%s when the response starts, not the session that ContextMiddleware "
            "has put there, and ContextMiddleware saves nothing of what it holds. If a session "
            "middleware was left inside, it sends a cookie of its own: take it out. To fill the "
            "session, assign its keys, or put a plain dict there. This is said once.",
            _name(found),
            f", put there by {sender}," if sender else "",
        )

    def late(self) -> None:
        """Warn of an object that was put in the place when the session was saved already."""
        self._say(
            "late",
            "%s was replaced after the response had started, so what was put there is lost: the "
            "session is saved with the header (of a WebSocket, when it is accepted). Fill it "
            "before, or open a session for that moment, with sessions.open(cookies), under ASGI "
            "open_async, and save() it. This is said once.",
        )

    def _say(self, once: str, text: str, *arguments: object) -> None:
        if self._said.setdefault(once, Latch()).take():
            self._log.warning(text, self._place, *arguments)


def _name(found: object) -> str:
    kind = found if isinstance(found, type) else type(found)
    return kind.__qualname__ if kind is dict else f"{kind.__module__}.{kind.__qualname__}"


class ScopeSession:
    """The place of the session in an ASGI scope, for the length of a request.

    The application's scope is the server's, so that middleware around sees what routing
    has put into it. What stood in the session's place before, of a middleware around us,
    stands there again while the header is passed on to it, and in the end. Where nothing
    did, our session stays, as with Starlette's own middleware: access logs may read it.
    """

    __slots__ = ("_lost", "_outer", "_scope", "_seen", "_session")

    def __init__(self, scope: MutableMapping[str, Any], session: Session, lost: Lost) -> None:
        self._lost = lost
        self._scope = scope
        self._session = session
        self._seen: object = None  # what stood there when the response started
        self._outer: Mapping[str, Any] = _NOTHING
        if "session" in scope or "ctxlocal.session" in scope:
            self._outer = {k: scope[k] for k in _KEYS if k in scope and not _is_over(scope[k])}
        scope["session"] = scope["ctxlocal.session"] = session

    def found(self) -> object:
        """Return the object in the session's place: the session, or what the application put there.

        A session that a ContextMiddleware inside has put there was saved by that one.
        """
        mine, scope = self._session, self._scope
        session, ours = scope.get("session", mine), scope.get("ctxlocal.session", mine)
        if session is ours and (session is mine or isinstance(session, Session)):
            return mine
        return ours if session is mine else session

    def is_settled(self) -> bool:
        """Whether the session itself is in its place, and takes nothing over before it is saved."""
        self._seen = self.found()
        return self._seen is self._session

    def settle(self) -> Mapping[Any, Any] | None:
        """Return the values that the session takes over before it is saved, or None."""
        if self.is_settled():
            return None
        found = self._seen
        values, sender = values_of(found), _session_middleware_inside()
        if values is not None and sender is None:
            self._scope["session"] = self._scope["ctxlocal.session"] = self._seen = self._session
            return values
        self._lost.another(found, sender)
        return None

    def pass_on(self, send: Any, message: Any) -> Awaitable[None]:
        """Send a header, with the session of a middleware around us in its place meanwhile."""
        return self._among_others(send, message) if self._outer else send(message)

    async def _among_others(self, send: Any, message: Any) -> None:
        mine = {key: self._scope[key] for key in _KEYS if key in self._scope}
        self._scope.update(self._outer)
        try:
            await send(message)
        finally:
            self._scope.update(mine)

    def close(self) -> None:
        """Close the session, and give its place back to a middleware around us."""
        found, seen = self.found(), self._seen
        is_late = seen is not None and found is not seen and found is not self._session
        if is_late and values_of(found) is not None:
            self._lost.late()
        close(self._session)
        if self._outer:
            self._scope.update(self._outer)


def _is_over(found: object) -> bool:
    """Whether ``found`` is the session of an earlier request, whose server uses the scope again."""
    return isinstance(found, Session) and found._closed


def _session_middleware_inside() -> str | None:
    """Return the name of a middleware inside us that has a session of its own, None without one.

    Many put a plain dict into the scope, which cannot be told from an application's.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "_serve_in":
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        if "message" in code.co_varnames[: code.co_argcount] and "ctxlocal" not in module:
            texts = [text.lower() for text in code.co_consts if isinstance(text, str)]
            if "session" in module or ("session" in texts and "set-cookie" in texts):
                return f"{module}.{code.co_name}"
        frame = frame.f_back
    return None
