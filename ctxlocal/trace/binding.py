"""Binding: what is known of one value, and Place: a line of code."""

from __future__ import annotations

import itertools
import sys
from typing import Any, Final, NamedTuple

_count = itertools.count(1).__next__

# What stands between a line of the application and what it asks for.
_BETWEEN: Final = (
    *("ctxlocal.trace", "ctxlocal.local", "ctxlocal.flow"),
    *("asyncio", "concurrent.futures", "contextlib", "threading", "uvloop"),
    *("eventlet", "gevent", "greenlet"),
)


class Place(NamedTuple):
    """A line of code: ``file``, as Python names it, and ``line``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Moment:
    """When and where something was done; ``serial`` grows from one to the next."""

    __slots__ = ("place", "serial")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.serial = _count()


class Binding(Moment):
    """A value that an owner holds.

    ``local`` describes the Local or LocalStack, ``name`` is the attribute (None: an object on a
    stack), ``type_name`` names the value's type, ``owner`` describes the owner that set it, and
    ``place`` is where it was set. It knows nothing of the value itself.
    """

    __slots__ = ("local", "name", "owner", "type_name")

    def __init__(self, slot: Any, name: str | None, value: object) -> None:
        super().__init__(place_now())
        self.local: str = slot.label
        self.name = name
        self.type_name = type(value).__name__
        self.owner: str = slot.strategy().describe()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self}>"

    def __str__(self) -> str:
        what = self.local if self.name is None else f"{self.name!r} of {self.local}"
        return f"{what} in {self.owner}: {self.type_name}, set at {self.place}"


def place_now() -> Place:
    """Return the innermost line that runs of the application, or of a library that uses this."""
    return place_of(sys._getframe())


def place_of(frame: Any) -> Place:
    """Return the innermost such line from ``frame`` outwards; the outermost, where there is none.

    :param frame: a frame, or what gevent remembers of one.
    """
    while frame.f_back is not None and _is_between(frame):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _is_between(frame: Any) -> bool:
    module = (frame.f_globals or {}).get("__name__", "")  # gevent remembers not all of them
    return any(f"{module}.".startswith(f"{name}.") for name in _BETWEEN)
