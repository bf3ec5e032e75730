"""Cells: where a Local keeps one attribute.

A cell has the interface of a ContextVar: ``get()`` returns ``(rank, value, SEEN)``, or None
where the current owner has no such attribute, and ``set()`` takes the same. Ranks
grow in the order in which attributes are first set.

In the context strategy the cell *is* a ContextVar, one for each name. So a write costs
the same at any number of attributes, and PEP 567 itself keeps owners apart. Elsewhere
the attributes are the items of a dict that is the owner's alone. Only what has no
bound (names made up at run time, which would leave a ContextVar each for ever) and
what the user has chosen (a ContextVar that holds a dict) is copied for each write.
"""

from __future__ import annotations

import itertools

from ...ident.thread_object import THREAD_KEEPS_CONTEXT, release_context
from ..storage import ContextStorage, VarStorage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Protocol, TypeAlias

    from ..storage import Storage

    Pair: TypeAlias = tuple[int, Any, object]

    class Cell(Protocol):
        """One attribute of the current owner."""

        @property
        def get(self) -> Callable[[], Pair | None]: ...
        def set(self, pair: Pair | None, /) -> object: ...


MOST_CELLS: Final = 1024  # of one Local; the names beyond share a dict

_count = itertools.count(1).__next__


def _release_context_and_count() -> int:
    release_context()
    return _count()


# Called where an owner gets an attribute.
next_rank = _release_context_and_count if THREAD_KEEPS_CONTEXT else _count


class ItemCell:
    """An item of a dict that is the owner's alone."""

    __slots__ = ("_name", "_storage", "get")

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self.get = self._getter(storage.get, name)

    @staticmethod
    def _getter(get_values: Callable[[], Any], name: str) -> Callable[[], Pair | None]:
        def get() -> Pair | None:
            values = get_values()
            if values is None:
                return None
            try:
                return 0, values[name], None
            except KeyError:
                return None

        return get

    def set(self, pair: Pair | None) -> None:
        values = self._storage.get()
        if values is None:
            values = self._storage.setdefault({})
        if pair is None:
            values.pop(self._name, None)
        else:
            values[self._name] = pair[1]


class OverflowCell(ItemCell):
    """An item of a dict of pairs that other Contexts share: copied for each write. O(n)."""

    __slots__ = ()

    @staticmethod
    def _getter(get_values: Callable[[], Any], name: str) -> Callable[[], Pair | None]:
        return lambda: (get_values() or {}).get(name)

    def set(self, pair: Pair | None) -> None:
        pairs = (self._storage.get() or {}).copy()
        if pair is None:
            pairs.pop(self._name, None)
        else:
            pairs[self._name] = pair
        self._storage.set(pairs)


class GivenCell(ItemCell):
    """An item of the dict in the user's ContextVar: copied for each write. O(n)."""

    __slots__ = ()

    def set(self, pair: Pair | None) -> None:
        values = (self._storage.get() or {}).copy()
        if pair is None:
            values.pop(self._name, None)
        else:
            values[self._name] = pair[1]
        self._storage.set(values)


def cell_for(storage: Storage, cells: dict[str, Cell], name: str, *, keep: bool = True) -> Cell:
    """Return the cell of ``name``.

    :param keep: let a new one stay in ``cells``, if there is room.
    """
    if (found := cells.get(name)) is not None:
        return found
    keep = keep and len(cells) < MOST_CELLS
    made = _make(storage, name, keep)
    # Another thread may have been first.
    return cells.setdefault(name, made) if keep else made


def _make(storage: Storage, name: str, is_kept: bool) -> Cell:
    if isinstance(storage, VarStorage):
        return GivenCell(storage, name)
    if not isinstance(storage, ContextStorage):
        return ItemCell(storage, name)
    return storage.add_var() if is_kept else OverflowCell(storage, name)


def items(storage: Storage, cells: dict[str, Cell]) -> list[tuple[str, Any]]:
    """Return the current owner's attributes in the order in which they were first set."""
    values = storage.get() or {}
    if not isinstance(storage, ContextStorage):
        return list(values.copy().items())
    pairs = dict(values)
    pairs.update((name, pair) for name, cell in cells.copy().items() if (pair := cell.get()))
    return [(name, pairs[name][1]) for name in sorted(pairs, key=pairs.__getitem__)]
