"""Starting threads that have nothing of whoever starts them."""

from __future__ import annotations

from contextvars import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


def in_empty_context(start: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call what may start a thread, so that the thread begins with an empty Context.

    With ``-X thread_inherit_context=1``, the default of a free-threaded Python from 3.14 on, a
    thread begins with a copy of its starter's: a worker would show one request's values to all
    that come after it, and keep them alive.
    """
    return Context().run(start, *args, **kwargs)
