"""Slot: puts a storage behind a Local, or a LocalStack.

At once where it has a strategy of its own; where it follows the application's default, at the
first write.
"""

from __future__ import annotations

from _weakref import ref  # without what else weakref imports
from contextvars import Context, ContextVar

from ..ident.default import decided_default, follow, get_default
from ..ident.named import resolve
from .storage import VarStorage, make_storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from ..ident import Ident, IdentLike
    from .storage import Storage

    class Holder(Protocol):
        """A Local or LocalStack that remembers something of its storage."""

        def _ctxlocal_renew(self) -> None: ...


def _nothing() -> None:
    """Read a slot to which nothing was ever written."""


class Slot:
    """The storage behind a Local, which may be chosen late.

    :param holder: the Local or LocalStack.
    :param name: names it in messages; None: its class and address do.
    :param storage: None follows the application's default.
    """

    storage: Storage | None
    wire: tuple[str, ...] = ()  # of a Local: what may leave the process; see wire.py

    def __init__(self, holder: object, name: str | None, storage: Storage | None) -> None:
        self.name = name
        self.label = _label(holder, name)
        self.follows = storage is None
        self._holder: ref[Holder] | None = None
        self.unbind()
        if storage is None:
            follow(self)
        else:
            self._bind(storage)

    def twin(self, holder: object) -> Slot:
        """Return another slot of the same strategy and name, for another Local.

        It has no wire: of two of that name, another process could not know which is meant.
        """
        return Slot(holder, self.name, None if self.follows else self.bound().sibling())

    def unbind(self) -> None:
        """Forget the strategy and the values; the next write asks for the default anew."""
        self.storage = None
        self.get: Callable[[], Any] = _nothing
        self._chosen: dict[str, Storage] = {}
        self._renew_holder()

    def bound(self) -> Storage:
        """Return the storage; the first time, the application's default decides which."""
        storage = self.storage  # read once: another thread may change the default at any time
        if storage is not None:
            return storage
        # Several threads may write first at once; setdefault lets one decide for all.
        made = make_storage(get_default(), carry=True)
        return self._bind(self._chosen.setdefault("storage", made))

    def _bind(self, storage: Storage) -> Storage:
        self.storage = storage
        self.get = storage.get
        return storage

    def serve(self, holder: Holder) -> None:
        """Make ``holder`` forget what it remembers, now and whenever the strategy changes."""
        self._holder = ref(holder)
        self._renew_holder()

    def holder(self) -> Holder | None:
        """Return the Local that is served; None before it is, and when it is gone."""
        return None if self._holder is None else self._holder()

    def _renew_holder(self) -> None:
        holder = self.holder()
        if holder is not None:
            holder._ctxlocal_renew()

    def set(self, value: Any) -> None:
        """Give the current owner another value."""
        self.bound().set(value)

    def clear(self) -> None:
        """Take the current owner's value away."""
        storage = self.storage
        if storage is not None:
            storage.clear()

    def is_live(self, contexts: Callable[[], list[Context]]) -> bool:
        """Whether any living owner has a value. Only for slots that follow the default.

        :param contexts: finds all living Contexts.
        """
        storage: Any = self.storage
        return storage is not None and storage.is_live(contexts)

    def strategy(self) -> Ident:
        """Return the strategy, for a message; an undecided one stays so, unlike with a write."""
        storage = self.storage
        if storage is not None:
            return storage.ident
        return decided_default() or resolve("context")

    def mark_storage(self) -> Storage:
        """Return where scopes put their marks: the same owners, another value."""
        found = self._chosen.get("marks")
        return found or self._chosen.setdefault("marks", self.bound().sibling())


def _label(holder: object, name: str | None) -> str:
    kind = type(holder).__name__
    return f"{kind} at {id(holder):#x}" if name is None else f"{kind} {name!r}"


def subject(holder: object, slot: str) -> str:
    """Return what a message calls a Local or LocalStack: its label where it has a name.

    An address tells nobody which one it is, so the others are called as Python would.

    :param slot: the attribute that holds the Slot; it is not there before ``__init__``.
    """
    return called(holder, slot_of(holder, slot))


def slot_of(holder: object, slot: str) -> Slot | None:
    """Return the Slot that an attribute holds; None before ``__init__``."""
    try:
        return object.__getattribute__(holder, slot)  # type: ignore[no-any-return]
    except AttributeError:
        return None


def called(holder: object, slot: Slot | None) -> str:
    """Return the same, by the slot itself."""
    if slot is None or slot.name is None:
        return f"{type(holder).__name__!r} object"
    return slot.label


def make_slot(
    holder: object,
    name: str | None,
    var: ContextVar[Any] | None,
    ident: IdentLike | None,
    carry: bool,
    empty: type,
    wire: Iterable[str] = (),
) -> Slot:
    """Return the slot that a Local's arguments mean.

    :param holder: the Local or LocalStack.
    :param name: as in Slot.
    :param var: a ContextVar of the user's, or None.
    :param ident: as in :func:`ctxlocal.ident.resolve`; None follows the default.
    :param carry: whether the values travel with snapshots and frames although
        ``ident`` is given.
    :param empty: what the user's ContextVar holds when it holds nothing.
    :param wire: the names of what may leave the process.
    """
    slot = Slot(holder, name, _chosen_storage(holder, name, var, ident, carry, empty))
    if wire != ():
        _set_wire(slot, wire, ident, carry)
    return slot


def _chosen_storage(
    holder: object,
    name: str | None,
    var: ContextVar[Any] | None,
    ident: IdentLike | None,
    carry: bool,
    empty: type,
) -> Storage | None:
    if var is None:
        return None if ident is None else make_storage(resolve(ident), carry)
    label = _label(holder, name)
    if not isinstance(var, ContextVar):
        raise TypeError(
            f"The first argument of {label} has to be a ContextVar, not {var!r}. "
            "An identity strategy is given by name: ident=..."
        )
    if ident is not None:
        raise TypeError(
            f"{label} takes a ContextVar or an ident, not both: with a ContextVar the "
            "strategy is context."
        )
    return VarStorage(resolve("context"), var, empty)


def _set_wire(slot: Slot, wire: Iterable[str], ident: IdentLike | None, carry: bool) -> None:
    from .wire import checked_wire, remember  # which takes half a millisecond

    slot.wire = checked_wire(slot.label, slot.name, wire, ident, carry)
    if slot.wire:
        remember(slot)
