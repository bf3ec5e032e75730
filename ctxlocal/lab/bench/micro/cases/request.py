"""A request's worth of work: a Context of its own, 5 sets, 20 gets.

For locals that belong to a thread or greenlet no Context is copied: the sets and gets alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

from ..case import Case, Names
from .local import LOCALS

OF_THE_CONTEXT = ("ctxlocal.Local", "ctxlocal.Local (pure)", "werkzeug.Local", "asgiref.Local")


def handle(local: Any) -> None:
    """Set 5 attributes and read each 4 times."""
    local.app = 1
    local.request = 2
    local.session = 3
    local.user = 4
    local.g = 5
    for _turn in range(4):
        _ = local.app
        _ = local.request
        _ = local.session
        _ = local.user
        _ = local.g


def handle_variables(
    app: ContextVar[int],
    request: ContextVar[int],
    session: ContextVar[int],
    user: ContextVar[int],
    g: ContextVar[int],
) -> None:
    """Do the same with a ContextVar for each attribute."""
    app.set(1)
    request.set(2)
    session.set(3)
    user.set(4)
    g.set(5)
    for _turn in range(4):
        _ = app.get()
        _ = request.get()
        _ = session.get()
        _ = user.get()
        _ = g.get()


def _local(make: Callable[[], Any]) -> Names:
    return {"local": make(), "handle": handle, "copy_context": copy_context}


def _variables() -> Names:
    variables = [ContextVar[int](name) for name in ("app", "request", "session", "user", "g")]
    return {"variables": variables, "handle": handle_variables, "copy_context": copy_context}


def _cases() -> Iterator[Case]:
    for row, module, make in LOCALS:
        of_the_context = row in OF_THE_CONTEXT
        statement = "copy_context().run(handle, local)" if of_the_context else "handle(local)"
        yield Case("request", row, (statement,), partial(_local, make), (module,))
    statement = "copy_context().run(handle, *variables)"
    yield Case("request", "ContextVar", (statement,), _variables)


CASES = tuple(_cases())
