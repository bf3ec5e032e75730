"""What a client is told when the session layer stops a request.

Frameworks answer what they do not know with a 500, mostly outside of their ``except``, so
that nothing is left of the exception but the status: that is why the middleware saves
nothing with a 500, as Django does (R33), and looks whether the session was the reason (R31).
"""

from __future__ import annotations

from http import HTTPStatus
from logging import Logger

from .session.errors import RETRY_AFTER, SessionError, StoreUnavailableError
from .session.model import Session


def is_answer(error: BaseException | None) -> bool:
    """Whether the client is told more of ``error`` than that there was one."""
    return isinstance(error, SessionError) and error.status != 500


def behind(failure: BaseException | None, session: Session | None) -> SessionError | None:
    """Return the error of the session layer behind a 500, None if it is something else.

    :param failure: the exception that is being handled, if it is known.
    """
    if isinstance(failure, SessionError):
        return failure if is_answer(failure) else None
    if failure is None and session is not None and session.accessed:
        refusal = session._refusal
        return refusal if isinstance(refusal, StoreUnavailableError) else None
    return None


def refusal_of(error: SessionError) -> tuple[HTTPStatus, list[tuple[str, str]], bytes]:
    """Return the status, headers and body of the response to an error that is an answer."""
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
    """Log it: what the operator has to mend with its traceback, what clients bring about not."""
    if error.status == 503:
        log.error("%s", error, exc_info=error)
    else:
        log.warning("%s", error)
