"""Generic classes without importing typing, which would cost more than all of ctxlocal."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar

    T = TypeVar("T")
else:
    GenericAlias = type(list[int])  # types has it too, and takes a millisecond
    T = None

    class Generic:
        """The base ``Generic[T]``; a class derived from it can be subscripted."""

        __slots__ = ()

        def __class_getitem__(cls, item):
            return cls if item is T else GenericAlias(cls, item)


__all__ = ["Generic", "T"]
