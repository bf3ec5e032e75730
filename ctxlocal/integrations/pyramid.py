"""Pyramid's ``request.session``, kept by ctxlocal.

::

    from ctxlocal.integrations.pyramid import session_factory

    config.set_session_factory(session_factory(StoredSessions(...)))
    config.include("ctxlocal.integrations.pyramid")  # a store that is down is a 503, and the like

For Pyramid from 2.1 on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from secrets import token_hex
from typing import Any

from pyramid.interfaces import ISession
from pyramid.response import Response
from zope.interface import implementer

from ..local import LocalProxy
from ..sessions import Session, SessionInterface
from ..sessions.errors import SessionConfigError, SessionError
from ..sessions.interface import SessionHeaders
from ..web.error_response import is_answer, log_refusal, refusal_of
from ..web.session_end import close, headers_if_unsaved, is_failure
from ._versions import require

require("pyramid", "2.1", "ctxlocal.web.wsgi.ContextMiddleware stands around an older one.")

CSRF = "_csrft_"  # Pyramid's keys for these
FLASH = "_f_"
_number = count()
_log = logging.getLogger("ctxlocal.integrations.pyramid")


@implementer(ISession)
class PyramidSession(LocalProxy[Session]):
    """A :class:`~ctxlocal.Session` with what Pyramid wants of one besides.

    Each flashed message has a key of its own: two requests that flash one at once keep both.
    """

    __slots__ = ()

    @property
    def created(self) -> int:
        """When it began, in seconds since the epoch."""
        return int(self.began or time.time())

    def invalidate(self) -> None:
        """End the session, its record and its id; what is set afterwards begins a new one."""
        self.destroy()

    def changed(self) -> None:
        """Do nothing: changes inside lists and dicts are found."""

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Keep a message for the next page that asks for the queue."""
        if allow_duplicate or msg not in self.peek_flash(queue):
            self[f"{FLASH}{queue}:{time.time_ns():016x}{next(_number):08x}{token_hex(4)}"] = msg

    def pop_flash(self, queue: str = "") -> list[Any]:
        """Remove the messages of a queue and return them, in order."""
        return [self.pop(key) for key in _flashed(self, queue)]

    def peek_flash(self, queue: str = "") -> list[Any]:
        """Return the messages of a queue, in order."""
        return [self[key] for key in _flashed(self, queue)]

    def new_csrf_token(self) -> str:
        """Make a token against forged requests, and return it."""
        token = self[CSRF] = token_hex(20)
        return token

    def get_csrf_token(self) -> str:
        """Return the session's token against forged requests, a new one where it has none."""
        token: str | None = self.get(CSRF)
        return self.new_csrf_token() if token is None else token


def session_factory(sessions: SessionInterface) -> Callable[[Any], PyramidSession]:
    """Return what ``config.set_session_factory`` takes.

    A session is saved when the response is made, but for one of status 500. Around the application
    there may stand a ``ctxlocal.web.wsgi.ContextMiddleware``: ``request.session`` is its session,
    if it has one, and ``sessions`` are not asked.

    :raises SessionConfigError: ``sessions`` is none, or has a store that is to be awaited.
    """
    if not isinstance(sessions, SessionInterface):
        raise SessionConfigError(
            "sessions", f"a {type(sessions).__name__!r} is no SessionInterface"
        )
    sessions.open("")  # asks nothing, and refuses now a store that would have to be awaited

    def open_session(request: Any) -> PyramidSession:
        session = request.environ.get("ctxlocal.session")
        if not isinstance(session, Session):
            session = sessions.open(request.environ.get("HTTP_COOKIE", ""))
            request.add_response_callback(partial(_save, sessions, session))
            request.add_finished_callback(lambda request: close(session))
        return PyramidSession(lambda: session)

    return open_session


def includeme(config: Any) -> None:
    """Answer errors of the session layer that have a response of their own; for config.include."""
    config.add_exception_view(_answer, context=SessionError)


def _answer(error: SessionError, request: Any) -> Response:
    if not is_answer(error):
        raise error
    return _fill(Response(), error)


def _flashed(session: Any, queue: str) -> list[str]:
    return sorted(key for key in session if key.rpartition(":")[0] == f"{FLASH}{queue}")


def _save(sessions: SessionInterface, session: Session, request: Any, response: Response) -> None:
    if is_failure(response.status_code):
        _merge(headers_if_unsaved(session), response)
        return
    try:
        _merge(sessions.save(session), response)
    except SessionError as error:
        if not is_answer(error):
            raise
        _fill(response, error)


def _merge(asked: SessionHeaders, response: Response) -> None:
    fields = list(response.headerlist)
    asked.merge_into(fields)
    response.headerlist = fields


def _fill(response: Response, error: SessionError) -> Response:
    log_refusal(_log, error)
    status, headers, body = refusal_of(error)
    response.status = f"{status.value} {status.phrase}"
    response.headerlist = headers
    response.body = body
    return response
