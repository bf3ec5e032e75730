"""The identity strategy of greenlets: raw ones, gevent's and eventlet's."""

from __future__ import annotations

import sys
from _weakref import ref  # without what else weakref imports

from ..errors import HubMismatchError, MissingDependencyError, UnknownIdentError
from .record import Record, thread_token
from .strategy import RECORD_KEY, THREAD, Ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any, Final

HUBS: Final = ("gevent", "eventlet")


class GreenletIdent(Ident):
    """The greenlet; the thread where the current one is its thread's main greenlet.

    :param hub: None for any greenlet; "gevent" or "eventlet" to refuse
        greenlets that the other one's hub runs.
    :raises MissingDependencyError: greenlet, or the named package, is not installed.
    """

    def __init__(self, hub: str | None = None) -> None:
        super().__init__()
        if hub not in (None, *HUBS):
            raise UnknownIdentError(hub, "GreenletIdent's hub", HUBS)
        self.hub = hub
        self.name = hub or "greenlet"
        # Of its own, so that no record made under another name spares the check of the hub.
        self.record_key = RECORD_KEY if hub is None else f"{RECORD_KEY}_{hub}"
        try:
            if hub is not None:
                __import__(hub)
            from greenlet import getcurrent
        except ImportError as error:
            raise MissingDependencyError(
                f"The identity strategy {self.name!r}", self.name, hub or "gevent"
            ) from error
        from collections import deque  # 2 ms, paid for with greenlets alone

        self._getcurrent = getcurrent
        self._raw: deque[ref[Any]] = deque()

    def owner(self) -> object:
        """Return the current greenlet, or THREAD in a main greenlet."""
        try:
            greenlet = self._getcurrent()
        except RuntimeError:  # the interpreter is ending; a finaliser asks
            return THREAD
        return THREAD if greenlet.parent is None else greenlet

    def find_record(self, owner: Any) -> Record | None:
        """Return the record in the greenlet's ``__dict__``."""
        record: Record | None = owner.__dict__.get(self.record_key)
        return record

    def make_record(self, owner: Any) -> Record:
        """Give the greenlet a record that is dropped when the greenlet ends."""
        if self.hub is not None:
            self._check_hub(owner)
        record = owner.__dict__[self.record_key] = Record(owner, thread_token())
        # gevent's greenlets have rawlink, eventlet's link; both call back at the end.
        link = getattr(owner, "rawlink", None) or getattr(owner, "link", None)
        if link is not None:
            link(self._end)
        else:
            self._sweep_ended()
            self._raw.append(ref(owner))
        return record

    def _end(self, greenlet: Any, *_: object) -> None:
        greenlet.__dict__.pop(self.record_key, None)

    def _sweep_ended(self) -> None:
        """Drop what ended raw greenlets still hold: nothing calls back at their end.

        Bounded work: so many of the known ones a call, in turn, and few that live, each of which
        is a miss of the processor's cache.
        """
        living = 0
        for _ in range(min(_SWEPT_AT_ONCE, len(self._raw))):
            try:
                reference = self._raw.popleft()
            except IndexError:  # another thread sweeps too
                return
            greenlet = reference()
            if greenlet is None:
                continue
            if greenlet.dead:
                self._end(greenlet)
                continue
            self._raw.append(reference)
            living += 1
            if living == _LIVING_AT_ONCE:
                return

    def _check_hub(self, greenlet: Any) -> None:
        running = hub_of(greenlet)
        if self.hub is not None and running not in (None, self.hub):
            raise HubMismatchError(self.hub, str(running))


_SWEPT_AT_ONCE: Final = 64
_LIVING_AT_ONCE: Final = 4  # more than the one that each call adds


def hub_of(greenlet: Any) -> str | None:
    """Name the hub that runs ``greenlet``: "gevent", "eventlet" or None (a raw greenlet)."""
    top = greenlet
    while top.parent is not None and top.parent.parent is not None:
        top = top.parent
    if type(top).__module__.startswith("gevent."):
        return "gevent"
    hubs = sys.modules.get("eventlet.hubs")
    hub = getattr(getattr(hubs, "_threadlocal", None), "hub", None)
    return "eventlet" if hub is not None and hub.greenlet is top else None
