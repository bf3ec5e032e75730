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
    from typing import Any, TypeAlias

    from .record import Flow, Values

    # By owner that is inside a frame: the frame's values, and the flow that entered it.
    Frames: TypeAlias = dict[Hashable, tuple[Values, Flow]]


class SharedValues:
    """The values of one storage, by owner; the names are those of a dict's methods.

    :param key: of the storage, by which a frame's values know it.
    :param frames: those of its strategy if it travels: an owner that is inside one has its
        value there. Else an empty one.
    """

    __slots__ = ("__weakref__", "_entries", "frames", "key")

    def __init__(self, key: int, frames: Frames) -> None:
        self.key = key
        self.frames = frames
        self._entries: dict[Hashable, tuple[object, Any]] = {}  # (thread it dies with, value)
        _living[key] = ref(self, lambda _: _living.pop(key, None))

    def get(self, owner: Hashable) -> Any:
        if (inside := self.frames.get(owner)) is not None:
            return inside[0].get(self.key)
        entry = self._entries.get(owner)
        return None if entry is None else entry[1]

    def __setitem__(self, owner: Hashable, value: Any) -> None:
        if (inside := self.frames.get(owner)) is not None:
            inside[0][self.key] = value
            return
        former = self._entries.get(owner)
        self._entries[owner] = thread_token() if former is None else former[0], value

    def setdefault(self, owner: Hashable, value: Any) -> Any:
        if (inside := self.frames.get(owner)) is not None:
            return inside[0].setdefault(self.key, value)
        return self._entries.setdefault(owner, (thread_token(), value))[1]

    def pop(self, owner: Hashable, default: None) -> None:
        if (inside := self.frames.get(owner)) is not None:
            inside[0].pop(self.key, default)
        else:
            self._entries.pop(owner, default)

    def is_live(self) -> bool:
        """Whether any owner that is in no frame holds something. O(owners)."""
        return any(value for _, value in list(self._entries.values()))

    def keep_only(self, thread: object) -> None:
        """Drop values that another thread wrote first, and frames that another thread is inside."""
        for owner, (first, _) in list(self._entries.items()):
            if first is not thread:
                self._entries.pop(owner, None)
        for owner, (_, flow) in list(self.frames.items()):
            if flow[0] is not thread:
                self.frames.pop(owner, None)


_living: dict[int, ref[SharedValues]] = {}


def living_values() -> list[SharedValues]:
    """Return the values of every living storage. O(storages)."""
    return [values for known in list(_living.values()) if (values := known()) is not None]


def shared_values(key: int) -> SharedValues | None:
    """Return the values of the storage with that key; None: it is gone."""
    known = _living.get(key)
    return None if known is None else known()


def carried_by(owner: Hashable, frames: Frames) -> dict[int, Any]:
    """Return what an owner carries now under the strategy of ``frames``. O(storages)."""
    if (inside := frames.get(owner)) is not None:
        return inside[0]
    carriers = [values for values in living_values() if values.frames is frames]
    return {values.key: value for values in carriers if (value := values.get(owner)) is not None}


def _after_fork_in_child() -> None:
    mine = thread_token()
    for values in living_values():
        values.keep_only(mine)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
