"""One value for each owner: where a Local, a LocalStack or a scope keeps it.

A storage holds at most one value for the current owner; None means none:

=================  ==============================================================
ContextStorage     in a ContextVar of its own
VarStorage         in a ContextVar that the user gave, with werkzeug's contents
ThreadStorage      in the thread state; a cycle through it is garbage-collected
OwnerStorage       in the ``fixed`` map of the owner's Record
CarriedStorage     in the ``carried`` map, which snapshots and frames exchange
=================  ==============================================================

The last two keep the values of owners known by equality themselves (ValuesByOwner); which of the
two an owner is, their base alone asks.

In the first two a value is shared with every Context copied since, so it is
never changed in place (``is_copy_on_write``): another value is set instead. A Slot (slot.py)
puts a storage behind a Local.
"""

from __future__ import annotations

import gc
import itertools
from _functools import partial  # type: ignore[import-not-found]  # without what else it imports
from contextvars import Context, ContextVar

from ..ident import travel
from ..ident.by_equality import ValuesByOwner
from ..ident.greenlet import GreenletIdent
from ..ident.record import RawLocal, Seen, Values, living_values
from ..ident.strategy import THREAD, ContextIdent, ThreadIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from ..ident import Ident

    class Storage(Protocol):
        """At most one value for the current owner.

        ``sibling`` makes another storage for the same owners. ``shortcut`` tells how the native
        twin finds the value without asking the storage, by its kind: ("context", ContextVar),
        ("var", ContextVar), ("thread", values of the thread, which it asks the storage for where
        they are left out), ("greenlet", key of the record in a greenlet's ``__dict__``, which map
        of the record, key in the map), or ("other",), to be asked each time.
        """

        @property
        def ident(self) -> Ident: ...
        @property
        def is_copy_on_write(self) -> bool: ...
        def get(self) -> Any: ...
        def set(self, value: Any) -> object: ...
        def setdefault(self, value: Any) -> Any: ...
        def clear(self) -> None: ...
        def sibling(self) -> Storage: ...
        def shortcut(self) -> tuple[Any, ...]: ...


class Label(str):
    """The name of a ContextVar of ours, by which a frame knows it among all others."""

    __slots__ = ()


def _first(storage: Any, value: Any) -> Any:
    """Return the value of the current owner, which this one becomes where there is none."""
    if (found := storage.get()) is None:
        storage.set(found := value)
    return found


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

    setdefault = _first

    def add_var(self) -> ContextVar[Any]:
        var: ContextVar[Any] = ContextVar(_LABEL, default=None)
        self._vars.append(var)
        return var

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

    def shortcut(self) -> tuple[Any, ...]:
        return "context", self.first


_LABEL = Label("ctxlocal")


def clear_context(context: Context) -> Context:
    """Take the values of all Locals out of a Context. O(its variables)."""
    for var, value in context.items():  # as they are now: no map of a Context ever changes
        if value is not None and type(var.name) is Label:
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

    setdefault = _first

    def clear(self) -> None:
        self.var.set(self._empty())

    def sibling(self) -> Storage:
        return ContextStorage(self.ident)

    def shortcut(self) -> tuple[Any, ...]:
        return "var", self.var


class ThreadStorage:
    """A value in the state of each OS thread that has one."""

    __slots__ = ("_raw", "get", "ident")
    is_copy_on_write = False

    def __init__(self, ident: Ident) -> None:
        self.ident = ident
        self._raw = _Raw()
        # Not a method: each object on the way is one whose references all threads count.
        self.get: Callable[[], Any] = partial(getattr, self._raw, "value")

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

    def shortcut(self) -> tuple[Any, ...]:
        return "thread", self._raw


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

    def shortcut(self) -> tuple[Any, ...]:
        if type(self.ident) is GreenletIdent:
            return "greenlet", self.ident.record_key, self._map, self.key
        return ("other",)

    def _place_of(self, owner: object) -> tuple[Any, Any]:
        """Return the map that has the owner's value, made if need be, and its key there."""
        ident = self.ident
        if ident.knows_by_equality(owner):
            return self._place_by_equality(owner)
        record = ident.existing_record(owner) or ident.make_record(owner)
        return getattr(record, self._map), self.key

    def _place_by_equality(self, owner: object) -> tuple[Any, Any]:
        return self.by_owner, owner

    def _get_by_equality(self, owner: object) -> Any:
        if not self.ident.knows_by_equality(owner):
            return None
        values, key = self._place_by_equality(owner)
        return values.get(key)

    def _setdefault(self, owner: object, value: Any) -> Any:
        values, key = self._place_of(owner)
        is_namespace = type(value) is dict and type(values) is Values
        if is_namespace and owner is not THREAD and not gc.is_tracked(owner):
            value = Seen(value)  # of a greenlet, which may be among its own values
        return values.setdefault(key, value)

    def _clear(self, owner: object) -> None:
        if self.ident.knows_by_equality(owner):
            values, key = self._place_by_equality(owner)
            values.pop(key, None)
        elif (record := self.ident.existing_record(owner)) is not None:
            getattr(record, self._map).pop(self.key, None)

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
        return self._get_by_equality(owner) if record is None else record.fixed.get(self.key)

    def set(self, value: Any) -> None:
        owner = self.ident.owner()
        if owner is THREAD:
            self._thread.set(value)
        elif value is None:
            self._clear(owner)
        else:
            values, key = self._place_of(owner)
            values[key] = value

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
        return self._get_by_equality(owner) if record is None else record.carried.get(self.key)

    def set(self, value: Any) -> None:
        owner = self.ident.owner()
        if value is None:
            self._clear(owner)
        else:
            values, key = self._place_of(owner)
            values[key] = value

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

    def shortcut(self) -> tuple[Any, ...]:
        return ("thread",) if type(self.ident) is ThreadIdent else super().shortcut()

    def is_live(self, contexts: object) -> bool:
        """Whether any living owner, frame or snapshot holds something. O(owners)."""
        return self.by_owner.is_live() or any(values.get(self.key) for values in living_values())

    def __del__(self) -> None:
        if travel is None:  # the interpreter is ending
            return
        travel.remove(self)
        super().__del__()


def make_storage(ident: Ident, carry: bool) -> Storage:
    """Return a storage for the owners of a strategy.

    :param carry: whether its values travel with snapshots and frames. Those in Contexts do.
    """
    if isinstance(ident, ContextIdent):
        return ContextStorage(ident)
    if carry:
        return CarriedStorage(ident)
    return ThreadStorage(ident) if isinstance(ident, ThreadIdent) else OwnerStorage(ident)
