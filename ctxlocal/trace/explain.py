"""What an UnboundError says beyond its message: who holds a value, and why not this owner."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from ..flow import Frame, Snapshot
from ..ident import ContextIdent
from ..local.storage import CarriedStorage
from . import watch
from .binding import Binding
from .start import start_of

_NAMED: Final = 5  # owners; the others are counted


def explain(slot: Any, name: str | None) -> str:
    """Return the lines for a slot that has nothing here, each after a line break.

    :param name: the attribute that is missing, which may have dots; None for a stack.
    """
    return "".join(f"\n{line}" for line in _lines(slot, name))


def _lines(slot: Any, name: str | None) -> Iterator[str]:
    others = _others(slot, None if name is None else name.partition(".")[0])
    if not others:
        yield "Traced: no owner that lives holds a value of it."
        return
    yield "Traced: others hold a value of it:"
    yield from (f"- {binding}" for binding in others[:_NAMED])
    if len(others) > _NAMED:
        yield f"- and {len(others) - _NAMED} more; ctxlocal.trace.report() prints all"
    yield _barrier(slot, others)


def _others(slot: Any, name: str | None) -> list[Binding]:
    traces = watch.traces_of(slot)
    mine = set() if traces is None else {binding.serial for binding in traces.of_owner()}
    return [
        binding
        for binding in watch.living(slot)
        if binding.serial not in mine and binding.name in (None, name)
    ]


def _barrier(slot: Any, others: list[Binding]) -> str:
    """Say what the value did not pass, and what would have carried it."""
    strategy = slot.strategy()
    if not (slot.follows or isinstance(slot.storage, CarriedStorage) or _is_context(strategy)):
        return (
            f"Nothing carries a value of {slot.label} to another owner: it has a strategy of its "
            "own. Set it here, or make it with carry=True."
        )
    if (inside := _inside()) is not None:
        return inside
    began = start_of(strategy.name)
    if began is None:
        return (
            "To carry a value here, call ctxlocal.flow.bind(function) where it is bound, or take a "
            "ctxlocal.flow.snapshot() there and run this in it."
        )
    by = "" if began.by is None else f" by {began.by}"
    when = ", before that was set" if began.serial and began.serial < others[0].serial else ""
    carrier = f"set it first, and {began.carrier}" if when else began.carrier
    return (
        f"{began.what} was started at {began.place}{by}{when}. For it to have the value, {carrier}."
    )


def _is_context(strategy: Any) -> bool:
    return isinstance(strategy, ContextIdent)


def _inside() -> str | None:
    """Say in which frame or snapshot this runs, if it does, by the calls that are under way."""
    frame: Any = sys._getframe()
    while frame is not None:
        if (text := _INSIDE.get(frame.f_code)) is not None:
            return text
        frame = frame.f_back
    return None


_INSIDE: Final = {
    Frame.run.__code__: (
        "This runs in a Frame, which has nothing of what is bound outside, or only what it was "
        "made with: set the value inside, or make the frame of a snapshot taken where it is bound."
    ),
    Snapshot.run.__code__: (
        "This runs in a snapshot, which was taken where the value was not bound, or not yet: take "
        "it, or call ctxlocal.flow.bind(function), later or there."
    ),
}
