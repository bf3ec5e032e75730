"""One value for each owner: where a Local, a LocalStack or a scope keeps it.

A storage holds at most one value for the current owner; None means none:

=================  ==============================================================
ContextStorage     in a ContextVar of its own
VarStorage         in a ContextVar that the user gave, with werkzeug's contents
ThreadStorage      in the thread state; a cycle through it is garbage-collected
OwnerStorage       in the ``fixed`` map of the owner's Record
CarriedStorage     in the ``carried`` map, which snapshots and frames exchange
=================  ==============================================================

The last two keep the values of owners known by equality themselves (ValuesByOwner): which of
the two an owner is, ``place`` and ``_existing_place`` tell, and nothing else asks.

In the first two a value is shared with every Context copied since, so it is
never changed in place (``is_copy_on_write``): another value is set instead. A Slot puts a
storage behind a Local, at once or, where it follows the application's default,
at the first write.
"""

from __future__ import annotations

import gc
import itertools
from _weakref import ref  # without what else weakref imports
from contextvars import Context, ContextVar

from ..ident import travel
from ..ident.by_equality import ValuesByOwner
from ..ident.default import decided_default, follow, get_default
from ..ident.greenlet import GreenletIdent
from ..ident.named import resolve
from ..ident.record import RawLocal, Seen, living_values
from ..ident.strategy import THREAD, ContextIdent, ThreadIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from ..ident import Ident, IdentLike

    class Holder(Protocol):
        """A Local or LocalStack that remembers something of its storage."""

        def _ctxlocal_renew(self) -> None: ...

    class Storage(Protocol):
        """At most one value for the current owner."""

        @property
        def ident(self) -> Ident: ...
        @property
        def is_copy_on_write(self) -> bool: ...
        def get(self) -> Any: ...
        def set(self, value: Any) -> object: ...
        def setdefault(self, value: Any) -> Any: ...
        def clear(self) -> None: ...
        def sibling(self) -> Storage: ...


class Label(str):
    """The name of a ContextVar of ours, by which a frame knows it among all others."""

    __slots__ = ()


class ContextStorage:
    """A value in every Context that has one. A dropped Local's live as long as their Contexts.

    ``add_var`` gives further variables that live and are cleared with the first.
    """

    __slots__ = ("_vars", "first", "get", "ident", "set")
    is_copy_on_write = True

    def __init__(self, ident: Ident) -> None:
        self.ident = ident
        self._vars: list[ContextVar[Any]] = []
        self.first = self.add_var()
        self.get: Callable[[], Any] = self.first.get
        self.set: Callable[[Any], object] = self.first.set

    def add_var(self) -> ContextVar[Any]:
        var: ContextVar[Any] = ContextVar(_LABEL, default=None)
        self._vars.append(var)
        return var

    def setdefault(self, value: Any) -> Any:
        if (found := self.get()) is None:
            self.set(found := value)
        return found

    def clear(self) -> None:
        for var in self._vars:
            if var.get() is not None:
                var.set(None)

    def is_live(self, contexts: Callable[[], list[Context]]) -> bool:
        """Whether any living Context holds something. O(Contexts).

        :param contexts: finds them, which takes milliseconds.
        """
        if any(var.get() for var in self._vars):
            return True
        return any(context.get(var) for context in contexts() for var in self._vars)

    def sibling(self) -> Storage:
        return ContextStorage(self.ident)


_LABEL = Label("ctxlocal")


def clear_context(context: Context) -> Context:
    """Take the values of all Locals out of a Context. O(its variables)."""
    for var in list(context):
        if type(var.name) is Label and context[var] is not None:
            context.run(var.set, None)
    return context


class VarStorage:
    """A ContextVar of the user's, which holds a dict or list and may be read by others."""

    __slots__ = ("_empty", "ident", "var")
    is_copy_on_write = True

    def __init__(self, ident: Ident, var: ContextVar[Any], empty: type) -> None:
        self.ident = ident
        self.var = var
        self._empty = empty

    def get(self) -> Any:
        return self.var.get(None)

    def set(self, value: Any) -> None:
        self.var.set(value)

    def setdefault(self, value: Any) -> Any:
        if (found := self.get()) is None:
            self.var.set(found := value)
        return found

    def clear(self) -> None:
        self.var.set(self._empty())

    def sibling(self) -> Storage:
        return ContextStorage(self.ident)


class ThreadStorage:
    """A value in the state of each OS thread that has one."""

    __slots__ = ("_raw", "ident")
    is_copy_on_write = False

    def __init__(self, ident: Ident) -> None:
        self.ident = ident
        self._raw = _Raw()

    def get(self) -> Any:
        return self._raw.value

    def set(self, value: Any) -> None:
        self._raw.value = value

    def setdefault(self, value: Any) -> Any:
        if (found := self._raw.value) is None:
            self._raw.value = found = value
        return found

    def clear(self) -> None:
        self._raw.value = None

    def sibling(self) -> Storage:
        return ThreadStorage(self.ident)


class _Raw(RawLocal):
    value: Any = None


_keys = itertools.count(1)  # never reused, unlike id()


class _RecordStorage:
    """The base of the two kinds of storage that keep their values with their owners."""

    __slots__ = ("__weakref__", "by_owner", "ident", "key")
    is_copy_on_write = False
    _map: str  # which map of the Record

    def __init__(self, ident: Ident) -> None:
        self.ident = ident
        self.key = next(_keys)
        self.by_owner = ValuesByOwner()

    def sibling(self) -> Storage:
        return type(self)(self.ident)  # type: ignore[return-value]  # both kinds are Storages

    def _place_of(self, owner: object) -> tuple[Any, Any]:
        """Return the map that has the owner's value, and its key there; it gets a Record."""
        if (record := self.ident.existing_record(owner)) is None:
            if self.ident.knows_by_equality(owner):
                return self._place_by_equality(owner)
            record = self.ident.make_record(owner)
        return getattr(record, self._map), self.key

    def _existing_place_of(self, owner: object) -> tuple[Any, Any]:
        """Return the same for a look; of an owner that has no Record, an empty map."""
        if (record := self.ident.existing_record(owner)) is not None:
            return getattr(record, self._map), self.key
        return self._place_by_equality(owner) if self.ident.knows_by_equality(owner) else ({}, None)

    def _place_by_equality(self, owner: object) -> tuple[Any, Any]:
        return self.by_owner, owner

    def _get(self, owner: object) -> Any:
        values, key = self._existing_place_of(owner)
        return values.get(key)

    def _set(self, owner: object, value: Any) -> None:
        if value is None:
            self._clear(owner)
        else:
            values, key = self._place_of(owner)
            values[key] = value

    def _setdefault(self, owner: object, value: Any) -> Any:
        values, key = self._place_of(owner)
        if type(value) is dict and owner is not THREAD and not gc.is_tracked(owner):
            value = Seen(value)  # of a greenlet, which may be among its own values
        return values.setdefault(key, value)

    def _clear(self, owner: object) -> None:
        values, key = self._existing_place_of(owner)
        values.pop(key, None)

    def __del__(self) -> None:
        if living_values is None:  # the interpreter is ending
            return
        for values in living_values():
            values.pop(self.key, None)


class OwnerStorage(_RecordStorage):
    """A value in the Record of each owner; where the thread is the owner, in its state."""

    __slots__ = ("_thread",)
    _map = "fixed"

    def __init__(self, ident: Ident) -> None:
        super().__init__(ident)
        self._thread = ThreadStorage(ident)

    def get(self) -> Any:
        owner = self.ident.owner()
        if owner is THREAD:
            return self._thread.get()
        record = self.ident.find_record(owner)
        return self._get(owner) if record is None else record.fixed.get(self.key)

    def set(self, value: Any) -> None:
        owner = self.ident.owner()
        if owner is THREAD:
            self._thread.set(value)
        else:
            self._set(owner, value)

    def setdefault(self, value: Any) -> Any:
        owner = self.ident.owner()
        if owner is THREAD:
            return self._thread.setdefault(value)
        return self._setdefault(owner, value)

    def clear(self) -> None:
        owner = self.ident.owner()
        if owner is THREAD:
            self._thread.clear()
        else:
            self._clear(owner)


class CarriedStorage(_RecordStorage):
    """A value that goes along with snapshots and frames."""

    __slots__ = ()
    _map = "carried"

    def __init__(self, ident: Ident) -> None:
        super().__init__(ident)
        travel.add(self)

    def get(self) -> Any:
        owner = self.ident.owner()
        record = self.ident.existing_record(owner)
        return self._get(owner) if record is None else record.carried.get(self.key)

    def set(self, value: Any) -> None:
        self._set(self.ident.owner(), value)

    def setdefault(self, value: Any) -> Any:
        return self._setdefault(self.ident.owner(), value)

    def clear(self) -> None:
        self._clear(self.ident.owner())

    def place(self) -> tuple[Any, Any]:
        """Return the map that has the current owner's value, and its key there."""
        return self._place_of(self.ident.owner())

    def _place_by_equality(self, owner: object) -> tuple[Any, Any]:
        inside = self.ident.travel.inside.get(owner)
        return (self.by_owner, owner) if inside is None else (inside.values, self.key)

    def is_live(self, contexts: object) -> bool:
        """Whether any living owner, frame or snapshot holds something. O(owners)."""
        return self.by_owner.is_live() or any(values.get(self.key) for values in living_values())

    def __del__(self) -> None:
        if travel is None:  # the interpreter is ending
            return
        travel.remove(self)
        super().__del__()


def _nothing() -> None:
    """Read a slot to which nothing was ever written."""


class Slot:
    """The storage behind a Local, which may be chosen late.

    :param holder: the Local or LocalStack.
    :param name: names it in messages; None: its class and address do.
    :param storage: None follows the application's default.
    """

    storage: Storage | None

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
        """Return another slot of the same strategy and name, for another Local."""
        return Slot(holder, self.name, None if self.follows else self.bound().sibling())

    def unbind(self) -> None:
        """Forget the strategy and the values; the next write asks for the default anew."""
        self.storage = None
        self.get: Callable[[], Any] = _nothing
        self._chosen: dict[str, Storage] = {}
        self._renew_holder()

    def bound(self) -> Storage:
        """Return the storage; the first time, the application's default decides which."""
        if self.storage is not None:
            return self.storage
        # Several threads may write first at once; setdefault lets one decide for all.
        made = _make_storage(get_default(), carry=True)
        return self._bind(self._chosen.setdefault("storage", made))

    def _bind(self, storage: Storage) -> Storage:
        self.storage = storage
        self.get = storage.get
        return storage

    def serve(self, holder: Holder) -> None:
        """Make ``holder`` forget what it remembers, now and whenever the strategy changes."""
        self._holder = ref(holder)
        self._renew_holder()

    def _renew_holder(self) -> None:
        holder = None if self._holder is None else self._holder()
        if holder is not None:
            holder._ctxlocal_renew()

    def set(self, value: Any) -> None:
        """Give the current owner another value."""
        self.bound().set(value)

    def clear(self) -> None:
        """Take the current owner's value away."""
        if self.storage is not None:
            self.storage.clear()

    def is_live(self, contexts: Callable[[], list[Context]]) -> bool:
        """Whether any living owner has a value. Only for slots that follow the default.

        :param contexts: finds all living Contexts.
        """
        storage: Any = self.storage
        return storage is not None and storage.is_live(contexts)

    def strategy(self) -> Ident:
        """Return the strategy, for a message; an undecided one stays so, unlike with a write."""
        if self.storage is not None:
            return self.storage.ident
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
    try:
        found: Slot | None = object.__getattribute__(holder, slot)
    except AttributeError:
        found = None
    if found is None or found.name is None:
        return f"{type(holder).__name__!r} object"
    return found.label


def make_slot(
    holder: object,
    name: str | None,
    var: ContextVar[Any] | None,
    ident: IdentLike | None,
    carry: bool,
    empty: type,
) -> Slot:
    """Return the slot that a Local's arguments mean.

    :param holder: the Local or LocalStack.
    :param name: as in Slot.
    :param var: a ContextVar of the user's, or None.
    :param ident: as in :func:`ctxlocal.ident.resolve`; None follows the default.
    :param carry: whether the values travel with snapshots and frames although
        ``ident`` is given.
    :param empty: what the user's ContextVar holds when it holds nothing.
    """
    if var is None:
        storage = None if ident is None else _make_storage(resolve(ident), carry)
        return Slot(holder, name, storage)
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
    return Slot(holder, name, VarStorage(resolve("context"), var, empty))


def _make_storage(ident: Ident, carry: bool) -> Storage:
    if isinstance(ident, ContextIdent):
        return ContextStorage(ident)
    if carry:
        return CarriedStorage(ident)
    return ThreadStorage(ident) if isinstance(ident, ThreadIdent) else OwnerStorage(ident)


def plan(storage: Storage) -> tuple[str, object, object, object, object, object]:
    """Return how the native twin finds values without asking the storage.

    :returns: (kind, ContextVar, thread-local values, key of the record in a greenlet's
        ``__dict__``, which map of the record, key in the map); what a kind has no use for is
        None. The kinds are "context", "var", "thread", "greenlet" and "other": to be asked
        each time.
    """
    if type(storage) is ContextStorage:
        return "context", storage.first, None, None, None, None
    if type(storage) is VarStorage:
        return "var", storage.var, None, None, None, None
    if type(storage) is ThreadStorage:
        return "thread", None, storage._raw, None, None, None
    ident = storage.ident
    if type(ident) is ThreadIdent and type(storage) is CarriedStorage:
        return "thread", None, None, None, None, None
    if type(ident) is GreenletIdent and isinstance(storage, _RecordStorage):
        return "greenlet", None, None, ident._key, storage._map, storage.key
    return "other", None, None, None, None, None
