"""Every error the session layer raises on purpose; see :mod:`ctxlocal.errors` for the rules.

They stand here so that ``import ctxlocal`` does not pay for them. No message holds a
session id, a key or a stored value.
"""

from __future__ import annotations

from ..errors import CtxLocalError

RETRY_AFTER = 5  #: seconds, what a client is told that meets a store which is down

__all__ = [
    "CookieTooLargeError",
    "CorruptRecordError",
    "FreshLoginRequiredError",
    "NotReplicatedError",
    "NotSupportedByStore",
    "SessionClosedError",
    "SessionConfigError",
    "SessionConflictError",
    "SessionEndedError",
    "SessionError",
    "SessionLimitError",
    "SessionNotLoadedError",
    "StoreUnavailableError",
    "UnstorableValueError",
]


def with_article(name: str) -> str:
    """Return the name of a type as one of its values is spoken of: an int, a User."""
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


class SessionError(CtxLocalError):
    """The root of all errors of the session layer.

    ``status`` is what the client gets where one leaves the application unhandled, and
    ``answer`` the text that it reads then; a 500 is a mistake in the program.
    """

    status = 500
    answer = "Internal Server Error"


class SessionConfigError(SessionError, ValueError):
    """A setting, or a combination of settings, cannot be used. ``setting`` is its name."""

    def __init__(self, setting: str, problem: str) -> None:
        self.setting = setting
        super().__init__(f"{setting}: {problem}")


class UnstorableValueError(SessionError, TypeError):
    """A value would not come back as it was from the store. ``key`` is the session key."""

    def __init__(self, key: str, problem: str, hint: str = "") -> None:
        self.key = key
        super().__init__(f"session[{key!r}] cannot be stored: {problem}.{hint and ' '}{hint}")


class SessionClosedError(SessionError, RuntimeError):
    """The session was changed, or used for the first time, after it was saved.

    The cookie, and ``Vary``, went out with the response's headers. ``operation`` is what was
    tried.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        super().__init__(
            f"{operation} after the session was saved, just before the response's headers: it "
            "would not be kept. Use the session before the response starts (in an App before the "
            "view returns). A WebSocket or a background task opens the session for itself: "
            "`session = await sessions.open_async(cookies)`, and `await session.save()` stores "
            "what it changed."
        )


class SessionNotLoadedError(SessionError, RuntimeError):
    """An asynchronous session was touched before its record was loaded."""

    def __init__(self) -> None:
        super().__init__(
            "The session is not loaded, and loading it here would block the event loop. "
            "Call `await session.load()` first (no `await` in a view that is no coroutine), or "
            "configure load='cookie', which loads it before the view."
        )


class NotSupportedByStore(SessionError, NotImplementedError):
    """A cookie session cannot do what only a store can. ``operation`` is what was asked for."""

    def __init__(self, operation: str, kind: str) -> None:
        self.operation = operation
        self.kind = kind
        super().__init__(
            f"{operation} needs a store on the server; {kind} keeps the session in the cookie "
            "alone. Use StoredSessions."
        )


class SessionConflictError(SessionError, RuntimeError):
    """Another request changed the same keys, and the policy is ``raise``. ``keys`` names them.

    Nothing of this request's changes was stored.
    """

    status = 409
    answer = "Another request changed the same thing meanwhile. Look again, and repeat it."

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        super().__init__(
            f"Another request changed {', '.join(map(repr, keys))} of this session since it was "
            "loaded, and they cannot be merged: same_key='raise', or a counter is none any more. "
            "Nothing was stored; repeat the request, or give same_key a function that merges."
        )


class SessionEndedError(SessionConflictError):
    """The session was ended, or cleared, by another request, and this one did not do as it said.

    Raised for ``session.save()``, ``regenerate()``, ``clear()`` and a new ``authenticated_at``. A
    login begins a new session instead, and what was just set, and is saved when the request
    ends, is dropped. ``reason`` is ``"revoked"``, ``"cleared"`` or ``"corrupt"``.
    """

    answer = "This session has ended meanwhile. Look again, and repeat it."

    def __init__(self, reason: str) -> None:
        self.keys = ()
        self.reason = reason
        super(SessionConflictError, self).__init__(
            f"This session was {reason} since it was loaded, as by a logout or a login of another "
            "request. Nothing of this request's changes was stored; load the page again."
        )


class SessionLimitError(SessionError, PermissionError):
    """The user has as many sessions as allowed and the policy is ``refuse``.

    ``limit`` is ``max_sessions``.
    """

    status = 403
    answer = "Signed in too often already. Sign out somewhere else first."

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"The user has {limit} sessions, which is max_sessions, and when_full='refuse'. "
            "Revoke one of them first, or use when_full='evict'."
        )


class FreshLoginRequiredError(SessionError, PermissionError):
    """The user logged in too long ago, or not at all. ``max_age`` is in seconds."""

    status = 403
    answer = "This needs a fresh login."

    def __init__(self, max_age: float) -> None:
        self.max_age = max_age
        super().__init__(
            f"This needs a login within the last {max_age:g} seconds. Ask for the password "
            "again and set session.user."
        )


class CookieTooLargeError(SessionError, ValueError):
    """A cookie's name and value exceed what browsers keep. ``size`` and ``limit`` are in bytes."""

    def __init__(self, name: str, size: int, limit: int) -> None:
        self.name = name
        self.size = size
        self.limit = limit
        super().__init__(
            f"The cookie {name!r} would be {size} bytes long; browsers drop one over {limit}. "
            "Keep less in the session, or use StoredSessions, which sends only an id."
        )


class CorruptRecordError(SessionError, ValueError):
    """A store holds something under a session's key that is no record. ``store`` is its name.

    The session layer takes it for no record at all; the request goes on.
    """

    def __init__(self, store: str, problem: str) -> None:
        self.store = store
        super().__init__(f"The session store {store} holds a record it cannot read: {problem}.")


class StoreUnavailableError(SessionError, ConnectionError):
    """The store cannot be reached, is too slow, is full, or answers rubbish.

    The driver's error is the ``__cause__``. ``store`` is the store's name, without
    credentials; ``operation`` is what was tried.
    """

    status = 503
    answer = "The session store is unavailable."

    def __init__(self, store: str, operation: str) -> None:
        self.store = store
        self.operation = operation
        super().__init__(
            f"The session store {store} failed in {operation}; see the cause. With "
            "when_down='raise' the response is 503; with when_down='anonymous' pages that only "
            "read go on with an empty session."
        )


class NotReplicatedError(StoreUnavailableError):
    """The store has done what it was asked for, and too few replicas have confirmed it.

    Only with RedisStore's ``wait``. It is no rollback: the server has what was written, and a
    failover now may lose it. ``confirmed`` is how many replicas have it for certain, ``wanted``
    how many were to, within ``seconds``.
    """

    def __init__(
        self, store: str, operation: str, confirmed: int, wanted: int, seconds: float
    ) -> None:
        super().__init__(store, operation)
        self.confirmed = confirmed
        self.wanted = wanted
        self.seconds = seconds
        self.args = (
            f"The session store {store} has done {operation}, but {confirmed} of {wanted} replicas "
            f"confirmed it within {seconds:g} s: a failover now may lose it. Asked again it does "
            "nothing twice, and waits again. Look with INFO replication whether so many replicas "
            "are connected and keep up; else give wait fewer, or more seconds.",
        )
