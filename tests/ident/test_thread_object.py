"""What a thread has set in its Context is released with the thread, whoever keeps the Thread."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import ident


class Value:
    """Something that can be weakly referenced."""


def _set(local: Any) -> Callable[[object], None]:
    return lambda value: setattr(local, "value", value)


PLACES: dict[str, Callable[[ModuleType], Callable[[object], None]]] = {
    "Local": lambda impl: _set(impl.Local()),
    "LocalStack": lambda impl: impl.LocalStack().push,
    "Local over a ContextVar": lambda impl: _set(impl.Local(ContextVar("values"))),
    "LocalStack over a ContextVar": lambda impl: impl.LocalStack(ContextVar("values")).push,
}


def _ended(work: Callable[[], object], **options: Any) -> threading.Thread:
    thread = threading.Thread(target=work, **options)
    thread.start()
    thread.join()
    return thread


@pytest.mark.parametrize("place", PLACES)
def test_values_go_with_the_thread_though_its_object_stays(impl: ModuleType, place: str) -> None:
    store = PLACES[place](impl)
    references: list[weakref.ref[Value]] = []

    def work() -> None:
        value = Value()
        references.append(weakref.ref(value))
        store(value)

    kept = [_ended(work) for _ in range(3)]  # of which the second and third come to a known Local
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]
    assert len(kept) == 3


def test_values_stay_while_the_thread_runs(impl: ModuleType) -> None:
    local = impl.Local()
    found = []

    def work() -> None:
        local.value = Value()
        gc.collect()
        found.append(local.value)

    _ended(work)
    assert isinstance(found[0], Value)


def test_an_ended_thread_does_not_keep_the_default_from_changing(impl: ModuleType) -> None:
    local = impl.Local()
    kept = _ended(lambda: setattr(local, "value", 1))
    ident.set_default("thread")
    assert not kept.is_alive()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Thread takes a context since Python 3.14")
def test_a_given_context_keeps_what_the_thread_has_set(impl: ModuleType) -> None:
    local = impl.Local()
    mine = Context()
    kept = _ended(lambda: setattr(local, "value", 1), context=mine)
    assert mine.run(lambda: local.value) == 1
    assert not kept.is_alive()
