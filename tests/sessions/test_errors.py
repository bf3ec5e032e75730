"""What each error of the session layer says, to the program, to its reader and to the client."""

from __future__ import annotations

from typing import Any

import pytest

from ctxlocal.sessions.errors import (
    CookieTooLargeError,
    CorruptRecordError,
    FreshLoginRequiredError,
    NotReplicatedError,
    NotSupportedByStore,
    SessionClosedError,
    SessionConfigError,
    SessionConflictError,
    SessionEndedError,
    SessionError,
    SessionLimitError,
    SessionNotLoadedError,
    StoreUnavailableError,
    UnstorableValueError,
    with_article,
)
from tests.support.pickled import assert_it_comes_back

ERRORS: list[tuple[SessionError, type[Exception], dict[str, Any], str]] = [
    (
        SessionConfigError("load", "is odd"),
        ValueError,
        {"setting": "load"},
        "load: is odd",
    ),
    (
        UnstorableValueError("a", "a set holds itself", "Use a list."),
        TypeError,
        {"key": "a"},
        "session['a'] cannot be stored: a set holds itself. Use a list.",
    ),
    (
        UnstorableValueError("a", "a set holds itself"),
        TypeError,
        {"key": "a"},
        "session['a'] cannot be stored: a set holds itself.",
    ),
    (
        SessionClosedError("session.clear()"),
        RuntimeError,
        {"operation": "session.clear()"},
        "session.clear() after the session was saved, just before the response's headers: it "
        "would not be kept. Use the session before the response starts (in an App before the "
        "view returns). A WebSocket or a background task opens the session for itself: "
        "`session = await sessions.open_async(cookies)`, and `await session.save()` stores "
        "what it changed.",
    ),
    (
        SessionNotLoadedError(),
        RuntimeError,
        {},
        "The session is not loaded, and loading it here would block the event loop. "
        "Call `await session.load()` first (no `await` in a view that is no coroutine), or "
        "configure load='cookie', which loads it before the view.",
    ),
    (
        NotReplicatedError("redis", "commit", 1, 2, 0.5),
        StoreUnavailableError,
        {"store": "redis", "operation": "commit", "confirmed": 1, "wanted": 2, "seconds": 0.5},
        "The session store redis has done commit, but 1 of 2 replicas confirmed it within 0.5 s: a "
        "failover now may lose it. Asked again it does nothing twice, and waits again. Look with "
        "INFO replication whether so many replicas are connected and keep up; else give wait "
        "fewer, or more seconds.",
    ),
    (
        NotSupportedByStore("purge", "SignedCookieSessions"),
        NotImplementedError,
        {"operation": "purge", "kind": "SignedCookieSessions"},
        "purge needs a store on the server; SignedCookieSessions keeps the session in the "
        "cookie alone. Use StoredSessions.",
    ),
    (
        SessionConflictError(("a", "b")),
        RuntimeError,
        {"keys": ("a", "b")},
        "Another request changed 'a', 'b' of this session since it was loaded, and they cannot "
        "be merged: same_key='raise', or a counter is none any more. Nothing was stored; repeat "
        "the request, or give same_key a function that merges.",
    ),
    (
        SessionEndedError("revoked"),
        SessionConflictError,
        {"keys": (), "reason": "revoked"},
        "This session was revoked since it was loaded, as by a logout or a login of another "
        "request. Nothing of this request's changes was stored; load the page again.",
    ),
    (
        SessionLimitError(3),
        PermissionError,
        {"limit": 3},
        "The user has 3 sessions, which is max_sessions, and when_full='refuse'. Revoke one of "
        "them first, or use when_full='evict'.",
    ),
    (
        FreshLoginRequiredError(90.0),
        PermissionError,
        {"max_age": 90.0},
        "This needs a login within the last 90 seconds. Ask for the password again and set "
        "session.user.",
    ),
    (
        CookieTooLargeError("session", 5000, 4096),
        ValueError,
        {"name": "session", "size": 5000, "limit": 4096},
        "The cookie 'session' would be 5000 bytes long; browsers drop one over 4096. Keep less "
        "in the session, or use StoredSessions, which sends only an id.",
    ),
    (
        CorruptRecordError("redis", "it is a list"),
        ValueError,
        {"store": "redis"},
        "The session store redis holds a record it cannot read: it is a list.",
    ),
    (
        StoreUnavailableError("redis", "load"),
        ConnectionError,
        {"store": "redis", "operation": "load"},
        "The session store redis failed in load; see the cause. With when_down='raise' the "
        "response is 503; with when_down='anonymous' pages that only read go on with an empty "
        "session.",
    ),
]
ANSWERS: dict[type[SessionError], tuple[int, str]] = {
    SessionError: (500, "Internal Server Error"),
    SessionConfigError: (500, "Internal Server Error"),
    SessionConflictError: (
        409,
        "Another request changed the same thing meanwhile. Look again, and repeat it.",
    ),
    SessionEndedError: (409, "This session has ended meanwhile. Look again, and repeat it."),
    SessionLimitError: (403, "Signed in too often already. Sign out somewhere else first."),
    FreshLoginRequiredError: (403, "This needs a fresh login."),
    StoreUnavailableError: (503, "The session store is unavailable."),
}


@pytest.mark.parametrize(
    ("error", "kind", "data", "message"), ERRORS, ids=lambda part: type(part).__name__
)
def test_an_error_says_what_happened_and_what_to_do(
    error: SessionError, kind: type[Exception], data: dict[str, Any], message: str
) -> None:
    assert isinstance(error, kind)
    assert vars(error) == data
    assert str(error) == message


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_client_gets_a_status_and_a_text(kind: type[SessionError]) -> None:
    assert (kind.status, kind.answer) == ANSWERS[kind]


@pytest.mark.parametrize("spoken", ["an int", "an Order", "a str", "a User", "an Enum"])
def test_a_type_is_spoken_of_with_its_article(spoken: str) -> None:
    assert with_article(spoken.partition(" ")[2]) == spoken


@pytest.mark.parametrize("error", [error for error, *_ in ERRORS])
def test_an_error_goes_through_a_pool_of_processes(error: SessionError) -> None:
    assert_it_comes_back(error)
