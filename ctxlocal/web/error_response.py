"""The response to a request that an error of the session layer stopped.

Frameworks answer what they do not know with a 500, mostly outside of their ``except``, so
that nothing is left of the exception but the status. So the middleware looks with each 500
whether the session was the reason (R31).
"""

from __future__ import annotations

from http import HTTPStatus
from logging import Logger
from typing import TypeGuard

from ..sessions.errors import RETRY_AFTER, SessionError, StoreUnavailableError
from ..sessions.session import Session


def is_answer(error: BaseException | None) -> TypeGuard[SessionError]:
    """Whether ``error`` is one of the session layer with a response of its own, which is no 500."""
    return isinstance(error, SessionError) and error.status != 500


def behind(failure: BaseException | None, session: Session | None) -> SessionError | None:
    """Return the error of the session layer behind a 500, None if the reason is something else.

    :param failure: the exception that is being handled; None if the server is not told.
    """
    if is_answer(failure):
        return failure
    if failure is None and session is not None and session.accessed:
        refusal = session._refusal
        return refusal if isinstance(refusal, StoreUnavailableError) else None
    return None


def refusal_of(error: SessionError) -> tuple[HTTPStatus, list[tuple[str, str]], bytes]:
    """Return the status, headers and body of the response to ``error``, which :func:`is_answer`."""
    body = f"{error.answer}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if error.status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    return HTTPStatus(error.status), headers, body


def log_refusal(log: Logger, error: SessionError) -> None:
    """Log ``error``: with its traceback if the operator has to mend it, a 503; others in a line."""
    if error.status == 503:
        log.error("%s", error, exc_info=error)
    else:
        log.warning("%s", error)
