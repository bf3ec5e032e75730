"""Greenlets without a hub."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator

from ctxlocal.lab.matrix.exchange import Callee
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

group = Group("greenlet", needs=("greenlet",))


@group.probe(
    "100 greenlets, one after another", times=100, greenlet=Owner.OTHER, context=Context.OWN
)
@group.probe("raw greenlet", greenlet=Owner.OTHER, context=Context.OWN)
def raw_greenlet(callee: Callee) -> Iterator[None]:
    """Switch to a new greenlet."""
    from greenlet import greenlet

    started = greenlet(callee)
    yield
    started.switch()


@group.probe("raw greenlet, gr_context set", greenlet=Owner.OTHER, context=Context.COPY)
def with_context(callee: Callee) -> Iterator[None]:
    """Give a new greenlet a copy of the Context first."""
    from greenlet import greenlet

    started = greenlet(callee)
    started.gr_context = contextvars.copy_context()
    yield
    started.switch()
