"""Snapshot.restore(): the Locals hold what they did, and nothing else; the snapshot stays so."""

from __future__ import annotations

from contextvars import ContextVar
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import flow
from ctxlocal import ident as ident_module

foreign: ContextVar[int] = ContextVar("foreign", default=0)


@pytest.fixture
def local(impl: ModuleType, ident: Any) -> Any:
    ident_module.set_default(ident)
    return impl.Local()


@pytest.fixture
def stack(impl: ModuleType, local: Any) -> Any:
    return impl.LocalStack()


def test_what_was_set_since_is_gone_and_what_was_there_is_back(local: Any, stack: Any) -> None:
    local.user, local.cart = "ada", "lamp"
    stack.push(1)
    captured = flow.snapshot()
    for _ in range(2):  # the second time what is set would be set in the snapshot's own values
        local.user, local.more = "bob", 1
        del local.cart
        stack.pop()
        stack.push(2)
        stack.push(3)
        captured.restore()
        assert dict(local) == {"user": "ada", "cart": "lamp"}
        assert (stack.pop(), stack.pop()) == (1, None)
        assert captured.run(lambda: (dict(local), stack.top)) == (
            {"user": "ada", "cart": "lamp"},
            1,
        )


def test_a_snapshot_of_nothing_takes_everything_away(local: Any, stack: Any) -> None:
    nothing = flow.snapshot()
    local.user = "ada"
    stack.push(1)
    nothing.restore()
    assert (dict(local), stack.top) == ({}, None)
    local.user = "bob"
    assert local.user == "bob"


def test_other_context_variables_stay(local: Any) -> None:
    captured = flow.snapshot()
    token = foreign.set(1)
    captured.restore()
    assert foreign.get() == 1
    foreign.reset(token)


def test_a_local_with_a_strategy_of_its_own_stays(impl: ModuleType) -> None:
    local = impl.Local(ident="thread")
    captured = flow.snapshot()
    local.user = "ada"
    captured.restore()
    assert local.user == "ada"


def test_what_is_put_back_is_set_apart_from_the_snapshot(local: Any, stack: Any) -> None:
    before = flow.snapshot()
    local.user = "ada"
    stack.push(1)
    after = flow.snapshot()
    before.restore()
    after.put_back(before)
    local.user = "bob"
    stack.pop()
    assert after.run(lambda: (local.user, stack.top)) == ("ada", 1)
