"""Exchanging what an owner carries for a frame's values, and back.

An owner that has a Record has one map in it, which is exchanged. One that is known by equality
has none (by_equality.py): it is entered in its strategy's Travel as long as it is inside.

Swaps of one owner lie one above the other, as its frames are nested, and the last one to enter
leaves first; but for greenlets. One that works for its parent may still be inside when the parent
leaves, and an abandoned one leaves late. Such a swap is taken out from beneath the next one, which
then puts back what this one would have.
"""

from __future__ import annotations

from ..errors import FrameBusyError
from ..ident.record import thread_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

    from ..ident.record import Record, Runner, Values
    from ..ident.strategy import Ident
    from ..ident.travel import Travel


def swap_for(ident: Ident, owner: object) -> Swap:
    """Return the swap that puts a frame's values in place for ``owner``, once."""
    if ident.knows_by_equality(owner):
        return SwapByEquality(ident.travel, owner)
    return RecordSwap(ident.record_of(owner))


class Swap:
    """The base of both kinds.

    ``below`` is the swap of the same owner in whose frame this one's is nested, or None;
    ``runner`` who entered the frame.
    """

    __slots__ = ("below", "runner")
    below: Any
    runner: Runner

    def enter(self, values: Values, runner: Runner) -> None:
        """Put ``values`` in place of what the owner carries.

        :raises FrameBusyError: others are inside a frame whose values they still need.
        """
        raise NotImplementedError

    def leave(self) -> None:
        """Put back what the owner carried before, or let the swap above this one do so."""
        raise NotImplementedError

    def _above(self, top: Any) -> Any:
        """Return the swap next above this one; None: it is in place no longer, as after a fork."""
        while top is not None and top.below is not self:
            top = top.below
        return top

    def _refuse_others(self, inside: Any, *, is_thread: bool) -> None:
        thread, reference = inside.runner
        this_thread, this = self.runner
        if thread is not this_thread:
            raise FrameBusyError(
                "Another thread, which has the same owner, is inside a frame: the two would see "
                "each other's values. Use an identity strategy that tells threads apart."
            )
        greenlet = None if reference is None else reference()
        current = None if this is None else this()
        if greenlet is None or greenlet.dead or current is None or greenlet is current:
            return
        if is_thread:
            raise _refused_by_the_thread(greenlet, current)
        if greenlet is not current.parent:  # which does a part of its work in it, as SQLAlchemy's
            raise _refused_by_the_owner(greenlet, current)


def _refused_by_the_thread(greenlet: Any, current: Any) -> FrameBusyError:
    return FrameBusyError(
        f"{greenlet!r} is inside a frame on this thread, and {current!r} would enter "
        "another: under the thread strategy they would see each other's values. Use the "
        "greenlet strategy: ctxlocal.ident.set_default('greenlet') or CTXLOCAL_IDENT=greenlet.",
        greenlet=greenlet,
    )


def _refused_by_the_owner(greenlet: Any, current: Any) -> FrameBusyError:
    return FrameBusyError(
        f"{greenlet!r}, which has the same owner as {current!r}, is inside a frame: the two would "
        "see each other's values. Use an identity strategy that tells greenlets apart.",
        greenlet=greenlet,
    )


class RecordSwap(Swap):
    """The swap for an owner that has a Record."""

    __slots__ = ("_former", "_record")

    def __init__(self, record: Record) -> None:
        self._record = record

    def enter(self, values: Values, runner: Runner) -> None:
        record = self._record
        self.runner = runner
        if (inside := record.inside) is not None:
            self._refuse_others(inside, is_thread=record is thread_record())
        self.below, self._former = inside, record.carried
        record.carried, record.inside = values, self

    def leave(self) -> None:
        record = self._record
        if record.inside is self:
            record.carried, record.inside = self._former, self.below
        elif (above := self._above(record.inside)) is not None:
            above.below, above._former = self.below, self._former


class SwapByEquality(Swap):
    """The swap for an owner that is known by equality."""

    __slots__ = ("_owner", "_travel", "values")

    def __init__(self, travel: Travel, owner: Hashable) -> None:
        self._travel = travel
        self._owner = owner
        self.below = None

    def enter(self, values: Values, runner: Runner) -> None:
        self.values, self.runner = values, runner
        # Of several threads one is first.
        inside = self._travel.inside.setdefault(self._owner, self)
        if inside is not self:
            self._refuse_others(inside, is_thread=False)
            self.below = inside
            self._travel.inside[self._owner] = self

    def leave(self) -> None:
        inside = self._travel.inside
        if (top := inside.get(self._owner)) is not self:
            if (above := self._above(top)) is not None:
                above.below = self.below
        elif self.below is None:
            inside.pop(self._owner, None)
        else:
            inside[self._owner] = self.below
