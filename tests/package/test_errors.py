"""What the errors of the core tell a program, beside their text."""

from __future__ import annotations

from typing import Any

import pytest

from ctxlocal import errors
from tests.support.pickled import assert_it_comes_back

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


@pytest.mark.parametrize("error", [error for error, *_ in TOLD])
def test_an_error_goes_through_a_pool_of_processes(error: errors.CtxLocalError) -> None:
    assert_it_comes_back(error)
