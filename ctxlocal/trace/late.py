"""Refuses to begin where values are bound already, of which nothing could be told."""

from __future__ import annotations

import gc
from contextvars import Context
from typing import Any

from ..ident.record import living_values
from ..local.slot import Slot


def refuse_if_late() -> None:
    """Raise RuntimeError where a value is bound. O(objects).

    What another thread holds of a Local with ``ident="thread"`` cannot be seen from here.
    """
    gc.collect()  # a Context or Local that is garbage already does not count
    objects = gc.get_objects()
    contexts = [found for found in objects if type(found) is Context]
    slots = [found for found in objects if type(found) is Slot]
    if early := sorted(slot.label for slot in slots if _holds(slot, contexts)):
        raise RuntimeError(
            f"trace.enable() came too late: values are bound in {', '.join(early)}, and nobody "
            "knows where they were set. Call it before the first value, or set CTXLOCAL_TRACE=1 "
            "in the environment."
        )


def _holds(slot: Slot, contexts: list[Context]) -> bool:
    storage: Any = slot.storage
    if storage is None:  # nothing was ever written
        return False
    if hasattr(storage, "is_live"):
        return bool(storage.is_live(lambda: contexts))
    if storage.get():
        return True
    by_owner = getattr(storage, "by_owner", None)  # of one that keeps its values with their owners
    if by_owner is None:
        return False
    return by_owner.is_live() or any(values.get(storage.key) for values in living_values())
