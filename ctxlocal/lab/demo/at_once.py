"""Two requests of one visitor at once: what a session in a store keeps, and one in a cookie loses.

The page sends both from the browser. Each loads the two sessions, waits until the other has loaded
them too, and puts its item into both.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from ...sessions.cookie import Cookie
from ...sessions.in_cookie.sessions import SignedCookieSessions
from ...web.context import request, session
from .owner import owner_name

if TYPE_CHECKING:
    from ...sessions import Session
    from ...web.app import App

ITEMS = ("lamp", "chair")
PATIENCE_S = 5.0  # for the other request
ASK_EVERY_S = 0.005


class AtOnce:
    """The page and its requests.

    :param is_async: whether a request is a task; else it is a thread or a greenlet.
    """

    def __init__(self, app: App, render: Any, is_async: bool) -> None:
        self._render = render
        self._meetings: dict[str, threading.Event] = {}
        self._in_cookie = SignedCookieSessions(
            secrets.token_bytes(32), cookie=Cookie.for_development("ctxlocal-in-cookie")
        )
        add = self._add_async if is_async else self._add
        app.add_url_rule("/at-once", "at_once", self._page)
        app.add_url_rule("/at-once/clear", "clear", self._clear, methods=["POST"])
        app.add_url_rule("/at-once/add/<name>", "add_at_once", add, methods=["POST"])

    def _page(self) -> Any:
        other = self._open()
        items = [(name, session.get(_key(name)), other.get(_key(name))) for name in ITEMS]
        return self._render("at_once.html", items=items, meeting=secrets.token_urlsafe(8))

    def _clear(self) -> Response:
        other = self._open()
        for name in ITEMS:
            session[_key(name)] = other[_key(name)] = None
        return self._answer(other)

    def _add(self, name: str) -> Response:
        other = self._open()
        for _ in self._wait_for_the_other():
            time.sleep(ASK_EVERY_S)
        return self._put(name, other)

    async def _add_async(self, name: str) -> Response:
        other = self._open()
        for _ in self._wait_for_the_other():
            await asyncio.sleep(ASK_EVERY_S)
        return self._put(name, other)

    def _open(self) -> Session:
        """Load both sessions, and return the one in the cookie."""
        other = self._in_cookie.open(request.environ.get("HTTP_COOKIE", ""))
        _ = len(session), len(other)
        return other

    def _wait_for_the_other(self) -> Iterator[None]:
        """Yield until the other request of the same meeting is here, or does not come."""
        meeting, mine = request.args.get("meeting", ""), threading.Event()
        met = self._meetings.setdefault(meeting, mine)
        limit = time.monotonic() + PATIENCE_S
        while met is mine and not mine.is_set() and time.monotonic() < limit:
            yield
        self._meetings.pop(meeting, None)
        met.set()

    def _put(self, name: str, other: Session) -> Response:
        if name in ITEMS:
            session[_key(name)] = other[_key(name)] = owner_name()
        return self._answer(other)

    def _answer(self, other: Session) -> Response:
        response = Response(status=204)
        self._in_cookie.save(other).merge_into_response(response)
        return response


def _key(name: str) -> str:
    return f"at once: {name}"
