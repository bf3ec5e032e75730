"""Watches Locals and LocalStacks: for each value a Binding, which lives and dies with it.

The bindings of a slot are kept in a storage beside its own, as the marks of scopes are: so they
belong to the same owners, go along with snapshots and frames as the values do, and end with them.
Nothing here refers to what an owner holds but weakly.

The classes themselves are watched, by methods in the place of their own: names that were imported
before stay right, in both twins, and what is not watched pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

from ..local.scope import Pushed
from .binding import Binding
from .replace import replaced

_traces: WeakKeyDictionary[Any, Traces] = WeakKeyDictionary()  # by slot
_living: dict[int, tuple[ref[Held], ref[Traces]]] = {}  # by serial


class Held:
    """A binding in its owner's hold: it is there as long as this, whoever else looks at it."""

    __slots__ = ("__weakref__", "binding")

    def __init__(self, binding: Binding) -> None:
        self.binding = binding


class Traces:
    """What is held of one slot: by name, or in a pile of (held, below, scope) as on a stack."""

    def __init__(self, slot: Any) -> None:
        self._slot = ref(slot)
        self._values = slot.bound()
        self.storage = self._values.sibling()

    def is_current(self) -> bool:
        """Whether the slot is there, and has still the strategy of these bindings."""
        slot = self._slot()
        return slot is not None and slot.storage is self._values

    def of_owner(self) -> list[Binding]:
        """Return the current owner's bindings."""
        found = self.storage.get()
        if isinstance(found, dict):
            return [held.binding for held in found.values()]
        bindings = []
        while found:
            bindings.append(found[0].binding)
            found = found[1]
        return bindings

    def put(self, name: str, value: object) -> None:
        """Note a value. The dict is another one each time: Contexts share it."""
        self.storage.set({**(self.storage.get() or {}), name: self._held(name, value)})

    def drop(self, name: str) -> None:
        """Forget a value."""
        known = self.storage.get() or {}
        self.storage.set({each: known[each] for each in known if each != name} or None)

    def push(self, obj: object, scope: object = None) -> None:
        """Note an object on top; ``scope`` is the ``with`` block that pushed it, or None."""
        self.storage.set((self._held(None, obj), self.storage.get(), scope))

    def pop(self) -> None:
        """Forget the topmost object."""
        if node := self.storage.get():
            self.storage.set(node[1])

    def unwind(self, scope: object) -> None:
        """Forget what was pushed since a ``with`` block began; nothing where it did not here."""
        node = self.storage.get()
        while node and node[2] is not scope:
            node = node[1]
        if node:
            self.storage.set(node[1])

    def _held(self, name: str | None, value: object) -> Held:
        held = Held(Binding(self._slot(), name, value))
        serial, forget = held.binding.serial, _living.pop
        _living[serial] = ref(held, lambda _: forget(serial, None)), ref(self)
        return held


def living(slot: Any = None) -> list[Binding]:
    """Return the bindings that some owner holds, of one slot or of all, in order. O(all)."""
    wanted = None if slot is None else traces_of(slot)
    found = []
    for known, home in list(_living.values()):
        held, traces = known(), home()
        if held is None or traces is None or not traces.is_current():
            continue
        if slot is None or traces is wanted:
            found.append(held.binding)
    return found


def traces_of(slot: Any) -> Traces | None:
    """Return the bindings of a slot; None where nothing was set under the strategy of now."""
    found = _traces.get(slot)
    return found if found is not None and found.is_current() else None


def _traces_for(slot: Any) -> Traces:
    """Return the bindings of a slot in which something was set."""
    if (found := traces_of(slot)) is not None:
        return found
    _traces.pop(slot, None)  # of another strategy
    return _traces.setdefault(slot, Traces(slot))  # another thread may have been first


def begin(twin: Any) -> Callable[[], None]:
    """Watch the classes of a twin; return what ends that, and forgets.

    :param twin: has them by their names.
    """
    undo = [replaced(cls, name, make) for cls, name, make in _watched(twin)]

    def end() -> None:
        for put_back in undo:
            put_back()
        _traces.clear()
        _living.clear()

    return end


def _watched(twin: Any) -> list[tuple[Any, str, Callable[[Any], Any]]]:
    return [
        (twin.Local, "__setattr__", _set_attribute(twin.Local._ctxlocal_assign)),
        (twin.Local, "__delattr__", _delete_attribute(twin.Local._ctxlocal_unassign)),
        (twin.Local, "__release_local__", _release("_ctxlocal_slot")),
        (twin.LocalStack, "push", _push),
        (twin.LocalStack, "pop", _pop),
        (twin.LocalStack, "__release_local__", _release("_slot")),
        (twin.LocalStack, "__copy__", _copy),
        (Pushed, "_apply", _enter),
        (Pushed, "_restore", _leave),
    ]


# Of the two slots of attributes neither can be called once it is replaced; so each has a name.


def _set_attribute(assign: Any) -> Callable[[Any], Any]:
    def set_attribute(self: Any, name: str, value: Any) -> None:
        assign(self, name, value)
        if not _is_described(self, name):
            _traces_for(self._ctxlocal_slot).put(name, value)

    return lambda original: set_attribute


def _is_described(local: Any, name: str) -> bool:
    """Whether a data descriptor of the class takes the value: it is no owner's then."""
    for cls in local.__class__.__mro__:
        if name in vars(cls):
            found = type(vars(cls)[name])
            return hasattr(found, "__set__") or hasattr(found, "__delete__")
    return False


def _delete_attribute(unassign: Any) -> Callable[[Any], Any]:
    def delete_attribute(self: Any, name: str) -> None:
        unassign(self, name)
        if traces := traces_of(self._ctxlocal_slot):
            traces.drop(name)

    return lambda original: delete_attribute


def _release(slot: str) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def release(self: Any) -> None:
            original(self)
            if traces := traces_of(getattr(self, slot)):
                traces.storage.clear()

        return release

    return make


def _push(original: Any) -> Any:
    def push(self: Any, obj: Any, /) -> None:
        original(self, obj)
        _traces_for(self._slot).push(obj)

    return push


def _pop(original: Any) -> Any:
    def pop(self: Any) -> Any:
        obj = original(self)
        if traces := traces_of(self._slot):
            traces.pop()
        return obj

    return pop


def _copy(original: Any) -> Any:
    def copy(self: Any) -> Any:
        other = original(self)
        if (traces := traces_of(self._slot)) and (node := traces.storage.get()):
            _traces_for(other._slot).storage.set(node)
        return other

    return copy


def _enter(original: Any) -> Any:
    def enter(self: Any) -> None:
        original(self)  # which pushes
        traces = _traces_for(self._stack._slot)
        traces.pop()
        traces.push(self._obj, self)

    return enter


def _leave(original: Any) -> Any:
    def leave(self: Any) -> None:
        original(self)
        if traces := traces_of(self._stack._slot):
            traces.unwind(self)

    return leave
