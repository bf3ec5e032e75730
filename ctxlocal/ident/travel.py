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

    ``keys`` are those of its storages that travel. ``inside`` has the owners that are inside a
    frame, of those that are known by equality; another one's Record knows that itself.
    """

    __slots__ = ("inside", "keys")

    def __init__(self) -> None:
        self.keys: dict[int, None] = {}
        self.inside: dict[Hashable, Inside] = {}

    def values_by_equality(self, owner: Hashable) -> dict[int, Any]:
        """Return what an owner known by equality has now that travels. O(storages)."""
        if (inside := self.inside.get(owner)) is not None:
            return inside.values
        values = {}
        for key in list(self.keys):
            if (storage := travelling_storage(key)) is not None:
                values[key] = storage.by_owner.get(owner)
        return {key: value for key, value in values.items() if value is not None}


storages: dict[int, ref[Storage]] = {}  # all that travel, weakly, by their keys
# Every strategy that ever had one, weakly, by its id(): they are few.
strategies: dict[int, ref[Ident]] = {}


def add(storage: Storage) -> None:
    """Let the values of ``storage`` travel until it is removed."""
    key, ident = storage.key, storage.ident
    storages[key] = ref(storage)
    ident.travel.keys[key] = None
    address, forget = id(ident), strategies.pop  # at the interpreter's end the global may be gone
    strategies.setdefault(address, ref(ident, lambda _: forget(address, None)))


def remove(storage: Storage) -> None:
    """Forget a storage, which is about to go."""
    storages.pop(storage.key, None)
    storage.ident.travel.keys.pop(storage.key, None)


def travelling_storage(key: int) -> Storage | None:
    """Return the storage with that key; None: it is gone."""
    known = storages.get(key)
    return None if known is None else known()


def travelling_strategies() -> list[Ident]:
    """Return the strategies under which something travels now. O(strategies)."""
    found = []
    for reference in list(strategies.values()):
        if (ident := reference()) is not None and ident.travel.keys:
            found.append(ident)
    return found


def _after_fork_in_child() -> None:
    """Let no owner be inside a frame that another thread entered: it never leaves it here."""
    mine = thread_token()
    for reference in list(strategies.values()):
        inside = {} if (ident := reference()) is None else ident.travel.inside
        for owner, swap in inside.copy().items():
            thread, _ = swap.runner
            if thread is not mine:
                inside.pop(owner, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
