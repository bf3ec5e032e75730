"""Latch: of any number that take it at once, one gets it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from ctxlocal import local
from ctxlocal.local.pure import latch as pure_latch
from ctxlocal.sessions.stores import memory
from ctxlocal.web import adoption, inherit, insecure_cookie

from ..support.interleaving import interleavings

LATCHES = {"pure": pure_latch.Latch, local.IMPLEMENTATION: local.Latch}


@pytest.fixture(params=list(LATCHES))
def latch(request: pytest.FixtureRequest) -> Any:
    return LATCHES[request.param]()


def test_it_is_taken_once_until_it_is_released(latch: Any) -> None:
    for _ in range(2):
        assert not latch.is_taken
        assert [latch.take() for _ in range(3)] == [True, False, False]
        assert latch.is_taken
        assert [latch.release() for _ in range(3)] == [True, False, False]


def test_both_twins_have_the_same_docstrings_and_methods() -> None:
    pure, ours = pure_latch.Latch, local.Latch
    assert inspect.getdoc(ours) == inspect.getdoc(pure)
    for name in ("take", "release", "is_taken"):
        assert inspect.getdoc(getattr(ours, name)) == inspect.getdoc(getattr(pure, name))
    assert (ours.__name__, ours.__module__) == (pure.__name__, pure.__module__)
    with pytest.raises(TypeError):
        ours(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ours(is_taken=True)  # type: ignore[call-arg]
    assert not hasattr(ours(), "__dict__")


@pytest.mark.parametrize(("operation", "is_taken"), [("take", False), ("release", True)])
def test_one_of_two_threads_succeeds(operation: str, is_taken: bool) -> None:
    # The native twin has no lines to stop at: the GIL makes each of its methods one step.
    def make() -> Any:
        latch = pure_latch.Latch()
        if is_taken:
            latch.take()
        return (getattr(latch, operation),) * 2

    for outcomes in interleavings(make, pure_latch):
        assert sorted(outcomes) == [False, True]


# What takes a latch. (A context: tests/web/test_context.py; a frame: tests/flow/test_flow.py.)


def warn_of_a_hidden_variable() -> Callable[[], object]:
    variable: ContextVar[int] = ContextVar("hidden")
    inheritance = inherit.Inheritance(False)

    def warn() -> None:
        variable.set(1)
        inheritance.frame()

    return warn


def warn_of_plain_http() -> Callable[[], object]:
    insecure_cookie._said.release()
    return lambda: insecure_cookie.warn_of(["a=b; Secure"], {"HTTP_HOST": "shop.example"})


def warn_of_another_session() -> Callable[[], object]:
    lost = adoption.Lost(logging.getLogger("ctxlocal.web.asgi"), "scope['session']")
    return lambda: lost.another(object())


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (warn_of_a_hidden_variable, inherit),
        (warn_of_plain_http, insecure_cookie),
        (warn_of_another_session, adoption),
    ],
)
def test_of_two_threads_one_logs_what_is_said_once(
    make: Callable[[], Callable[[], object]],
    module: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insecure_cookie, "_said", local.Latch())

    def two() -> Any:
        caplog.clear()
        return (make(),) * 2

    for outcomes in interleavings(two, module, pure_latch):
        assert outcomes == [None, None]
        assert len(caplog.records) == 1


def test_of_two_threads_one_evicts_and_the_store_keeps_to_its_limit() -> None:
    def make() -> Any:
        store = memory.MemoryStore(max_sessions=1)
        stores.append(store)
        return lambda: store.create("a", {}, 100), lambda: store.create("b", {}, 100)

    stores: list[memory.MemoryStore] = []
    for outcomes in interleavings(make, memory, pure_latch):
        assert outcomes == [True, True]
        stores[-1].create("c", {}, 100)
        assert len(stores[-1]._places) == 1
