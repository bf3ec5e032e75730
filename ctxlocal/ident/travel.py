"""Travel: what goes along with snapshots and frames, strategy by strategy.

A storage whose values travel enters itself here. A frame's step looks which strategies have one
now, and puts its values in place for the current owner of each; the storages' keys are unique, so
one map of values serves them all.
"""

from __future__ import annotations

import os
from _weakref import ref  # without what else weakref imports

from .record import thread_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any, Protocol

    from .by_equality import ValuesByOwner
    from .record import Inside
    from .strategy import Ident

    class Storage(Protocol):
        """A storage whose values travel."""

        key: int
        ident: Ident
        by_owner: ValuesByOwner

        def place(self) -> tuple[Any, Any]: ...


class Travel:
    """What travels under one strategy.

    ``storages`` are those that travel, weakly and by key. ``inside`` has the owners that are
    inside a frame, of those that are known by equality; another one's Record knows that itself.
    """

    __slots__ = ("inside", "storages")

    def __init__(self) -> None:
        self.storages: dict[int, ref[Storage]] = {}
        self.inside: dict[Hashable, Inside] = {}

    def values_by_equality(self, owner: Hashable) -> dict[int, Any]:
        """Return what an owner known by equality has now that travels. O(storages)."""
        if (inside := self.inside.get(owner)) is not None:
            return inside.values
        values = {}
        for key, known in list(self.storages.items()):
            if (storage := known()) is not None:
                values[key] = storage.by_owner.get(owner)
        return {key: value for key, value in values.items() if value is not None}


# Every strategy that ever had a storage that travels, weakly, by its id(): they are few.
strategies: dict[int, ref[Ident]] = {}


def add(storage: Storage) -> None:
    """Let the values of ``storage`` travel until it is removed."""
    ident = storage.ident
    ident.travel.storages[storage.key] = ref(storage)
    key, forget = id(ident), strategies.pop  # at the interpreter's end the global may be gone
    strategies.setdefault(key, ref(ident, lambda _: forget(key, None)))


def remove(storage: Storage) -> None:
    """Forget a storage, which is about to go."""
    storage.ident.travel.storages.pop(storage.key, None)


def travelling_strategies() -> list[Ident]:
    """Return the strategies under which something travels now. O(strategies)."""
    known = [reference() for reference in list(strategies.values())]
    return [ident for ident in known if ident is not None and ident.travel.storages]


def travelling_storage(key: int) -> Storage | None:
    """Return the storage with that key; None: it is gone. O(strategies)."""
    for ident in travelling_strategies():
        if (known := ident.travel.storages.get(key)) is not None:
            return known()
    return None


def _after_fork_in_child() -> None:
    """Let no owner be inside a frame that another thread entered: it never leaves it here."""
    mine = thread_token()
    for reference in list(strategies.values()):
        inside = {} if (ident := reference()) is None else ident.travel.inside
        for owner, entered in list(inside.items()):
            if entered.thread is not mine:
                inside.pop(owner, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
