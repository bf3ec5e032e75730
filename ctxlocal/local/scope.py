"""Scopes: with blocks that restore what was before, and never raise a token error.

A scope leaves a mark in the owner that enters it. Left where its mark is not, it
restores nothing there: a generator finalised on another thread, a middleware hook
that runs in another task (cpython#118944). A Context copied inside the scope has a
copy of the mark too, and restores its own copy.

Both twins use this: what a Local or LocalStack is now, and putting it back, is asked of
the object itself (``_ctxlocal_now``, ``_ctxlocal_get``, ``_ctxlocal_set``).
"""

from __future__ import annotations

from .._generic import Generic, T
from ..errors import ScopeLostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from .slot import Slot
    from .storage import Storage


def _ignore(error: ScopeLostError) -> None:
    """Let a lost scope pass: nothing was restored and nothing was harmed."""


_hook: Callable[[ScopeLostError], object] = _ignore


def set_lost_scope_hook(hook: Callable[[ScopeLostError], object] | None) -> None:
    """Set the function that is called when a scope is left in an owner that had not entered it.

    :param hook: called with a :class:`~ctxlocal.errors.ScopeLostError`, in the owner
        that leaves the scope; it may raise. None, as at first, for no function.
    """
    global _hook
    _hook = hook or _ignore


class Scope:
    """The mark of one with block. Enter it again only after it was left."""

    __slots__ = ("_marks", "_slot", "_strict")

    def __init__(self, slot: Slot, strict: bool) -> None:
        self._slot = slot
        self._strict = strict
        self._marks: Storage | None = None

    def __enter__(self) -> Self:
        if self._marks is not None:
            raise RuntimeError(
                f"This scope of {self._slot.label} is entered already. Make a new one for "
                "each with block."
            )
        marks = self._slot.mark_storage()
        self._apply()
        marks.set((self, marks.get()))
        self._marks = marks
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        marks, self._marks = self._marks, None
        # After a change of the default the marks are others, and what was there is gone.
        if marks is not None and marks is self._slot.mark_storage() and self._unmark(marks):
            self._restore()
            return
        lost = ScopeLostError(self._slot.label, self._slot.strategy().describe())
        _hook(lost)
        if self._strict:
            raise lost

    def _unmark(self, marks: Storage) -> bool:
        """Take the mark away, with those of scopes entered later; False where there is none."""
        node: tuple[Any, Any] | None = marks.get()
        while node is not None and node[0] is not self:
            node = node[1]
        if node is None:
            return False
        if node[1] is None:
            marks.clear()
        else:
            marks.set(node[1])
        return True

    def _apply(self) -> None:
        """Remember the former values, and put those of the scope in their place."""
        raise NotImplementedError

    def _restore(self) -> None:
        """Put back the former values."""
        raise NotImplementedError


class Pushed(Scope, Generic[T]):
    """A ``with`` block in which an object is on top of a stack; its value is the object."""

    __slots__ = ("_former", "_obj", "_stack")

    def __init__(self, stack: Any, obj: T, strict: bool) -> None:
        super().__init__(stack._slot, strict)
        self._stack = stack
        self._obj = obj

    def __enter__(self) -> T:  # type: ignore[override]
        super().__enter__()
        return self._obj

    def _apply(self) -> None:
        self._former = self._stack._ctxlocal_get()
        self._stack.push(self._obj)

    def _restore(self) -> None:
        former, self._former = self._former, None
        self._stack._ctxlocal_set(former)
