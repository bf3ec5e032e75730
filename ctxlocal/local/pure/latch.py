"""Latch: what one at a time may have, and nobody waits for."""

from __future__ import annotations

_FREE = "free"
_TAKEN = "taken"


class Latch:
    """A place for one: of all who take it while it is free, one gets it.

    Of all who release it while it is taken, one frees it. Nobody waits, and no lock is held
    that a finaliser or a signal handler could find held by the code it interrupts. So it is
    safe from threads, greenlets, tasks, signal handlers and finalisers at once, whatever is
    monkey-patched. Taken when the process forks, it stays taken in the child. O(1).
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = [_FREE]  # to remove an item is one operation, which one caller succeeds in

    def take(self) -> bool:
        """Take the latch; return whether it was free."""
        try:
            self._state.remove(_FREE)
        except ValueError:
            return False
        self._state.append(_TAKEN)
        return True

    def release(self) -> bool:
        """Free the latch, whoever took it; return whether it was taken."""
        try:
            self._state.remove(_TAKEN)
        except ValueError:
            return False
        self._state.append(_FREE)
        return True

    @property
    def is_taken(self) -> bool:
        """Whether somebody has the latch."""
        return _FREE not in self._state
