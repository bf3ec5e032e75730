"""The ``__dict__`` of a Local whose values are shared between Contexts."""

from __future__ import annotations

from collections.abc import MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class ValuesView(MutableMapping):  # type: ignore[type-arg]  # a subscript would cost at run time
    """The current owner's values, always as they are now; a write is a write to the Local.

    :param items: returns all (name, value) pairs.
    :param find: returns the value of a name, or raises KeyError.
    :param store: sets a name's value.
    :param remove: takes a name away that is there.
    """

    __slots__ = ("_find", "_items", "_remove", "_store")

    def __init__(
        self,
        items: Callable[[], list[tuple[str, Any]]],
        find: Callable[[str], Any],
        store: Callable[[str, Any], None],
        remove: Callable[[str], None],
    ) -> None:
        self._items = items
        self._find = find
        self._store = store
        self._remove = remove

    def __getitem__(self, name: str) -> Any:
        return self._find(name)

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
        self._store(name if type(name) is str else str.__str__(name), value)

    def __delitem__(self, name: str) -> None:
        self._find(name)  # a KeyError where there is none
        self._remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __repr__(self) -> str:
        return repr(self.copy())

    def copy(self) -> dict[str, Any]:
        """Return the values as of now."""
        return dict(self._items())
