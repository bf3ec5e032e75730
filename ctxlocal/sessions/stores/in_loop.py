"""InLoop: how an event loop itself loads a record, so that a session is loaded when it is touched.

For a store whose loads wait for no writer and mostly find what they read in memory: a load then
takes less than it takes to tell a thread of it. But nobody can promise that it does. So the
loop loads by what is open already, and waits for no lock longer than :data:`MOST_WAIT`; and
once two loads within :data:`PAUSE` seconds were slow, the sessions of the next so many seconds are
loaded before the view again, in a thread.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Protocol

from ..errors import StoreUnavailableError
from .protocol import Record

MOST_WAIT = 0.1  # seconds for a file that is locked against readers too, which hardly happens
SLOW = 0.05  # seconds; a load takes some 10 microseconds, but other threads may hold the GIL
PAUSE = 10.0


class Loading(Protocol):
    """What a store is asked for."""

    name: str

    @property
    def is_open(self) -> bool:
        """Whether it can load without opening anything."""

    def open(self) -> None:
        """Open what it loads by."""

    def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""


class InLoop:
    """Loads records where others wait meanwhile.

    :param patient: the store, which a thread asks.
    :param hasty: the same one, as it waits for no lock longer than :data:`MOST_WAIT`.
    """

    def __init__(self, patient: Loading, hasty: Loading) -> None:
        self.name = patient.name
        self.patient, self._hasty = patient, hasty
        self._not_before = 0.0  # by the monotonic clock
        self._slow = -PAUSE  # when the last slow one ended

    def is_ready(self) -> bool:
        """Whether a load is likely to take no time worth mentioning."""
        if "load" in vars(self.patient):  # a method that was put into this object, as tests do
            return False
        return self._hasty.is_open and monotonic() >= self._not_before

    def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""
        begun = monotonic()
        try:
            return self._hasty.load(key)
        finally:
            ended = monotonic()
            if ended - begun > SLOW:
                if ended - self._slow < PAUSE:  # one may be a busy processor's doing
                    self._not_before = ended + PAUSE
                self._slow = ended

    def load_in_thread(self, key: str) -> Record | None:
        """Load where that may take its time, and open what :meth:`load` needs."""
        record = self.patient.load(key)
        if not self._hasty.is_open:
            with suppress(StoreUnavailableError):  # the record is there
                self._hasty.open()
        return record


def in_loop_of(store: object) -> InLoop | None:
    """Return how an event loop loads from ``store``, if it may.

    What another store is behind, that hands on what it is asked for, is not its own.
    """
    found = getattr(store, "in_loop", None)
    return found if isinstance(found, InLoop) and found.patient is store else None
