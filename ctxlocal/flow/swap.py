"""Exchanging what an owner carries for a frame's values, and back.

An owner that has a Record has one map in it, which is exchanged. One that is known by equality
has none (by_equality.py): it is entered in the strategy's ``frames`` as long as it is inside.
"""

from __future__ import annotations

from ..errors import FrameBusyError
from ..ident.record import thread_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import TypeAlias

    from ..ident.by_equality import Frames
    from ..ident.record import Flow, Record, Values
    from ..ident.strategy import Ident

    Swap: TypeAlias = "RecordSwap | SharedSwap"


def exchange_for(ident: Ident, owner: object) -> Swap:
    """Return the swap that puts a frame's values in place for ``owner``, once."""
    if ident.knows_by_equality(owner):
        return SharedSwap(ident.frames, owner)
    return RecordSwap(ident.record_of(owner))


class RecordSwap:
    """The swap for an owner that has a Record."""

    __slots__ = ("_former", "_record")

    def __init__(self, record: Record) -> None:
        self._record = record

    def enter(self, values: Values, flow: Flow) -> None:
        """Put ``values`` in place of what the owner carries.

        :raises FrameBusyError: others are inside a frame whose values they still need.
        """
        record = self._record
        if record.flow is not None:
            _refuse_second_thread(record.flow, flow)
            _refuse_second_greenlet(record.flow, flow, is_thread=record is thread_record())
        self._former = record.carried, record.flow
        record.carried, record.flow = values, flow

    def leave(self, values: Values) -> None:
        """Put back what the owner carried before, if ``values`` are still in place."""
        # An abandoned greenlet may come here late, when the thread has gone on.
        if self._record.carried is values:
            self._record.carried, self._record.flow = self._former


class SharedSwap:
    """The swap for an owner that is known by equality."""

    __slots__ = ("_former", "_frames", "_owner")

    def __init__(self, frames: Frames, owner: Hashable) -> None:
        self._frames = frames
        self._owner = owner

    def enter(self, values: Values, flow: Flow) -> None:
        """Put ``values`` in place of what the owner carries.

        :raises FrameBusyError: another thread or greenlet, which has the same owner, is inside
            a frame.
        """
        mine = values, flow
        inside = self._frames.setdefault(self._owner, mine)  # one of several threads is first
        self._former = None if inside is mine else inside
        if inside is not mine:
            _refuse_second_thread(inside[1], flow)
            _refuse_second_greenlet(inside[1], flow, is_thread=False)
            self._frames[self._owner] = mine

    def leave(self, values: Values) -> None:
        """Put back what the owner carried before, if ``values`` are still in place."""
        inside = self._frames.get(self._owner)
        if inside is None or inside[0] is not values:
            return
        if self._former is None:
            self._frames.pop(self._owner, None)
        else:
            self._frames[self._owner] = self._former


def _refuse_second_thread(inside: Flow, flow: Flow) -> None:
    if inside[0] is not flow[0]:
        raise FrameBusyError(
            "Another thread, which has the same owner, is inside a frame: the two would see each "
            "other's values. Use an identity strategy that tells threads apart."
        )


def _refuse_second_greenlet(inside: Flow, flow: Flow, *, is_thread: bool) -> None:
    greenlet = None if inside[1] is None else inside[1]()
    current = None if flow[1] is None else flow[1]()
    if greenlet is None or greenlet.dead or current is None or greenlet is current:
        return
    if is_thread:
        raise FrameBusyError(
            f"{greenlet!r} is inside a frame on this thread, and {current!r} would enter "
            "another: under the thread strategy they would see each other's values. Use the "
            "greenlet strategy: ctxlocal.ident.set_default('greenlet') or CTXLOCAL_IDENT=greenlet.",
            greenlet=greenlet,
        )
    if greenlet is current.parent:  # which it does a part of its work in, as SQLAlchemy's tasks do
        return
    raise FrameBusyError(
        f"{greenlet!r}, which has the same owner as {current!r}, is inside a frame: the two would "
        "see each other's values. Use an identity strategy that tells greenlets apart.",
        greenlet=greenlet,
    )
