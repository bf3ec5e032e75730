"""How often a store's call asked its server again: counted where somebody observes the call.

A store that repeats what it asked says so by :func:`note_repeat`, wherever in the call that is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Repeats:
    """The count of one call, or of all that it calls."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


_current: ContextVar[Repeats | None] = ContextVar("ctxlocal.sessions.repeats", default=None)

current = _current.get  #: who counts here; None: nobody
#: Let somebody count here. Not undone by a token: a coroutine that is never awaited to its end is
#: closed in another Context, where that would be an error.
count_by = _current.set


def note_repeat() -> None:
    """Count one repetition in the call that is under way here."""
    counted = current()
    if counted is not None:
        counted.count += 1


def carried(do: Callable[P, R]) -> Callable[P, R]:
    """Return what does ``do`` in another thread, and counts there for who counts here."""
    counted = current()
    if counted is None:
        return do

    def counting(*args: P.args, **kwargs: P.kwargs) -> R:
        count_by(counted)
        try:
            return do(*args, **kwargs)
        finally:
            count_by(None)

    return counting
