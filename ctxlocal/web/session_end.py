"""The end of a session: whether it is saved with a response, and what the header says of it.

One rule for both kinds of middleware and for an App. A session is saved once, just before the
header of the response goes out, for its cookie is in there. It is not saved with the response to
an exception that nobody handled (R33, as in Django): neither where the exception leaves the
application, nor with status 500, which is how frameworks answer one, nor, under WSGI, with an
``exc_info``. An App, which handles exceptions itself, goes by that and not by the status. If
the session layer raised the exception, the client is told so in place of the 500 (R31,
:mod:`ctxlocal.web.error_response`). However a request ends, its session is closed by then.
"""

from __future__ import annotations

from ..sessions.headers import ACCESSED, NOTHING, SessionHeaders
from ..sessions.session import Session


def is_failure(code: object) -> bool:
    """Whether a response answers an exception that nobody handled, by its status code.

    :param code: an int as ASGI has it, or the three digits of a WSGI status.
    """
    return code == 500 or code == "500"


def headers_if_unsaved(session: Session | None) -> SessionHeaders:
    """Return what the header says of a session that is not saved: that the response varies by it.

    :param session: None for a request without one.
    """
    return ACCESSED if session is not None and session.accessed else NOTHING


def close(session: Session) -> None:
    """Let a session refuse every change from here on, also if it was not saved."""
    session._closed = True
