"""The ``__dict__`` of a Local whose values are shared between Contexts."""

from __future__ import annotations

from collections.abc import MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class ValuesView(MutableMapping):  # type: ignore[type-arg]  # a subscript would cost at run time
    """The current owner's values, always as they are now; a write is a write to the Local.

    :param local: where writes go.
    :param find: returns the value of a name, or raises KeyError.
    """

    __slots__ = ("_find", "_local")

    def __init__(self, local: Any, find: Callable[[str], Any]) -> None:
        self._local = local
        self._find = find

    def __getitem__(self, name: str) -> Any:
        return self._find(name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._local, name, value)

    def __delitem__(self, name: str) -> None:
        self._find(name)  # a KeyError where there is none
        delattr(self._local, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __repr__(self) -> str:
        return repr(self.copy())

    def copy(self) -> dict[str, Any]:
        """Return the values as of now."""
        return dict(self._local)
