"""The values of owners that are known by equality, which several threads may have in common.

Such an owner (a number, a str) cannot be watched and has no place for anything. So each storage
keeps their values itself, in a dict by owner, and a value takes its entry along when it goes.
Every change is one operation of that dict: it needs no lock, which an owner's ``__eq__`` or a
finaliser could find held, and no other storage is touched by it.
"""

from __future__ import annotations

import os
from _weakref import ref  # without what else weakref imports

from .record import thread_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any


class ValuesByOwner:
    """The values of one storage, by owner; the names are those of a dict's methods."""

    __slots__ = ("__weakref__", "_entries")

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[object, Any]] = {}  # (thread it dies with, value)
        key = id(self)
        _living[key] = ref(self, lambda _: _living.pop(key, None))

    def get(self, owner: Hashable) -> Any:
        entry = self._entries.get(owner)
        return None if entry is None else entry[1]

    def __setitem__(self, owner: Hashable, value: Any) -> None:
        former = self._entries.get(owner)
        self._entries[owner] = thread_token() if former is None else former[0], value

    def setdefault(self, owner: Hashable, value: Any) -> Any:
        return self._entries.setdefault(owner, (thread_token(), value))[1]

    def pop(self, owner: Hashable, default: None) -> None:
        self._entries.pop(owner, default)

    def is_live(self) -> bool:
        """Whether any owner that is in no frame holds something. O(owners)."""
        return any(value for _, value in list(self._entries.values()))

    def keep_only(self, thread: object) -> None:
        """Drop the values that another thread wrote first."""
        for owner, (first, _) in self._entries.copy().items():
            if first is not thread:
                self._entries.pop(owner, None)


_living: dict[int, ref[ValuesByOwner]] = {}


def _after_fork_in_child() -> None:
    mine = thread_token()
    for known in list(_living.values()):
        if (values := known()) is not None:
            values.keep_only(mine)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
