"""What the errors of the core tell a program, beside their text."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ctxlocal import errors
from ctxlocal.sessions import errors as sessions

TOLD: list[tuple[errors.CtxLocalError, type[Exception], dict[str, Any]]] = [
    (
        errors.UnknownIdentError("x", "ident=", ["a", "b"]),
        ValueError,
        {"ident": "x", "source": "ident=", "known": ("a", "b")},
    ),
    (errors.IdentCallableError(len, "it is odd"), TypeError, {"function": len}),
    (
        errors.MissingDependencyError("It", "redis", "all"),
        ImportError,
        {"package": "redis", "extra": "all"},
    ),
    (
        errors.HubMismatchError("gevent", "eventlet"),
        RuntimeError,
        {"expected": "gevent", "running": "eventlet"},
    ),
    (
        errors.IdentInUseError("thread", "task", ["a"]),
        RuntimeError,
        {"old": "thread", "new": "task", "locals": ("a",)},
    ),
    (errors.UnboundError("lost"), RuntimeError, {"proxy": None, "ident": None, "owner": None}),
    (
        errors.UnboundError("lost", proxy="p", ident="task", owner="o"),
        RuntimeError,
        {"proxy": "p", "ident": "task", "owner": "o"},
    ),
    (errors.UnboundAttributeError("lost"), AttributeError, {"proxy": None, "owner": None}),
    (errors.ResolverError(len), RuntimeError, {"resolver": len}),
    (errors.ScopeLostError("t", "o"), RuntimeError, {"target": "t", "owner": "o"}),
    (errors.FrameBusyError("busy"), RuntimeError, {"frame": None, "greenlet": None}),
    (
        errors.FrameBusyError("busy", frame=1, greenlet=2),
        RuntimeError,
        {"frame": 1, "greenlet": 2},
    ),
    (errors.FrameClosedError("closed", frame=1), RuntimeError, {"frame": 1}),
    (errors.WireError("refused"), ValueError, {"local": None, "name": None}),
    (errors.WireError("refused", local="l", name="n"), ValueError, {"local": "l", "name": "n"}),
]


@pytest.mark.parametrize(("error", "kind", "told"), TOLD)
def test_an_error_has_what_it_is_of_as_attributes(
    error: errors.CtxLocalError, kind: type[Exception], told: dict[str, Any]
) -> None:
    assert isinstance(error, kind)
    assert {name: getattr(error, name) for name in told} == told


SESSION_ERRORS = [
    sessions.SessionConfigError("cookie", "it is odd"),
    sessions.UnstorableValueError("cart", "it is odd"),
    sessions.SessionClosedError("session[...] was set"),
    sessions.SessionNotLoadedError(),
    sessions.NotSupportedByStore("incr()", "a cookie"),
    sessions.SessionConflictError(("cart", "user")),
    sessions.SessionEndedError("ended"),
    sessions.SessionLimitError(3),
    sessions.FreshLoginRequiredError(60),
    sessions.CookieTooLargeError("session", 5000, 4096),
    sessions.CorruptRecordError("redis", "it is odd"),
    sessions.StoreUnavailableError("redis", "commit"),
    sessions.NotReplicatedError("redis", "commit", 1, 2, 0.5),
]


def test_each_error_of_the_sessions_is_tried_below() -> None:
    tried = {type(error).__name__ for error in SESSION_ERRORS}
    assert tried == {*sessions.__all__} - {"SessionError"}


@pytest.mark.parametrize("error", [*(error for error, *_ in TOLD), *SESSION_ERRORS])
def test_an_error_goes_through_a_pool_of_processes(error: errors.CtxLocalError) -> None:
    error.__notes__ = ["a note"]
    come_back = pickle.loads(pickle.dumps(error))
    assert type(come_back) is type(error)
    assert str(come_back) == str(error)
    for name, value in vars(error).items():
        is_plain = isinstance(value, str | int | float | tuple | list)
        assert getattr(come_back, name) == (value if is_plain else None)
