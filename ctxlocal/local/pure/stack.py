"""LocalStack: a stack of its own for each owner."""

from __future__ import annotations

from ..._generic import Generic, T
from ...ident.record import SEEN
from ...ident.thread_object import THREAD_KEEPS_CONTEXT, release_context
from ..scope import Pushed
from ..slot import make_slot, slot_of
from .hook import make_proxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import ContextVar
    from typing import Any, overload

    from typing_extensions import Self

    from ...ident import IdentLike
    from ..slot import Slot
    from .proxy import LocalProxy


class LocalStack(Generic[T]):
    """A stack of its own for each owner.

    Drop-in for ``werkzeug.local.LocalStack``, but that ``push`` returns None, so that
    it is O(1) at any depth. The parameters are those of :class:`~ctxlocal.Local`; a given
    ``context_var`` holds a list, which is copied for each change as werkzeug does; there is no
    ``wire``. One that is a global of a module is pickled by reference, without its objects.

    Safe to use from any thread, greenlet and task at the same time. Only an owner that
    several threads have in common (a callable strategy may name one) needs a lock of
    yours around ``push`` and ``pop``.
    """

    __module__ = "ctxlocal"
    __slots__ = ("__weakref__", "_is_list", "_slot")

    _slot: Slot
    _is_list: bool

    def __init__(
        self,
        context_var: ContextVar[list[T]] | None = None,
        /,
        *,
        ident: IdentLike | None = None,
        name: str | None = None,
        carry: bool = False,
    ) -> None:
        slot = make_slot(self, name, context_var, ident, carry, list)
        _install(self, slot, context_var is not None)

    def push(self, obj: T, /) -> None:
        """Put ``obj`` on top."""
        slot = self._slot
        below = slot.get()
        if THREAD_KEEPS_CONTEXT and not below:
            release_context()
        if self._is_list:
            slot.set([*(below or ()), obj])
        else:
            # A node is (object, the node below, SEEN): versions share their lower parts.
            (slot.storage or slot.bound()).set((obj, below, SEEN))

    def pop(self) -> T | None:
        """Take the topmost object away and return it; None where the stack is empty."""
        slot = self._slot
        node = slot.get()
        if not node:
            return None
        obj: T
        if self._is_list:
            *below, obj = node
            slot.set(below)
            return obj
        obj, below, _ = node
        slot.set(below)  # None where it was the last one
        return obj

    @property
    def top(self) -> T | None:
        """The topmost object; None where the stack is empty."""
        node = self._slot.get()
        if not node:
            return None
        obj: T = node[-1 if self._is_list else 0]
        return obj

    def pushed(self, obj: T, *, strict: bool = False) -> Pushed[T]:
        """Push ``obj`` for the length of a ``with`` block; then the stack is as it was before.

        Leaving the block in another owner than it was entered in restores nothing there
        and raises no token error; see :func:`ctxlocal.flow.set_lost_scope_hook`.

        :param obj: any object but None, which an empty stack means.
        :param strict: raise :class:`~ctxlocal.errors.ScopeLostError` in that case.
        :raises TypeError: ``obj`` is None.
        """
        if obj is None:
            raise TypeError(
                f"{self._slot.label}.pushed() takes any object but None, "
                "which an empty stack means."
            )
        return Pushed(self, obj, strict)

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, name: None = None, *, unbound_message: str | None = None
        ) -> LocalProxy[T]: ...
        @overload
        def __call__(self, name: str, *, unbound_message: str | None = None) -> LocalProxy[Any]: ...

    def __call__(self, name: str | None = None, *, unbound_message: str | None = None) -> Any:
        """Return a LocalProxy for the topmost object, or for its attribute ``name``."""
        return make_proxy(self, name, unbound_message=unbound_message)

    def __release_local__(self) -> None:
        self._slot.clear()

    def _ctxlocal_get(self) -> object:
        """For scopes: what the stack is now."""
        return self._slot.get()

    def _ctxlocal_set(self, former: object) -> None:
        if former is None:
            self._slot.clear()
        else:
            self._slot.set(former)

    def __repr__(self) -> str:
        return f"<{self._slot.label}>"

    def __copy__(self) -> Self:
        """Return another stack of the same strategy with the current owner's objects."""
        cls = type(self)
        other = cls.__new__(cls)
        _install(other, self._slot.twin(other), self._is_list)
        if (node := self._slot.get()) is not None:
            other._slot.set(node)
        return other

    def __deepcopy__(self, memo: Any, /) -> Any:
        from ..reference import refused

        raise refused(self, slot_of(self, "_slot"))

    def __reduce_ex__(self, protocol: Any) -> Any:
        from ..reference import reduced  # a millisecond, paid for by those who pickle

        return reduced(self, slot_of(self, "_slot"), None)


def _install(stack: LocalStack[Any], slot: Slot, is_list: bool) -> None:
    object.__setattr__(stack, "_slot", slot)  # past what a subclass makes of attributes
    object.__setattr__(stack, "_is_list", is_list)
