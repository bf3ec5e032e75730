"""The ``__dict__`` of a Local whose values are shared between Contexts."""

from __future__ import annotations

from collections.abc import MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    Dict: TypeAlias = dict[str, Any]
else:

    class Dict(MutableMapping, dict):
        """A dict whose methods all come down to the few of a mapping."""

        __slots__ = ()


class ValuesView(Dict):
    """The current owner's values, always as they are now; a write is a write to the Local.

    It is a dict for those who look past its methods, as :func:`inspect.getattr_static` does, by
    which protocols are checked and names completed: they find the values of when it was made, and
    what was written to it since.

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
        dict.update(self, items())

    def __getitem__(self, name: str) -> Any:
        return self._find(name)

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
        name = name if type(name) is str else str.__str__(name)
        self._store(name, value)
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: str) -> None:
        self._find(name)  # a KeyError where there is none
        self._remove(name)
        dict.pop(self, name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return repr(self.copy())

    def copy(self) -> dict[str, Any]:
        """Return the values as of now."""
        return dict(self._items())
