"""How a Local finds an attribute.

The rule is threading.local's: data descriptor, value of the current owner, class
attribute, ``__getattr__``; ``lookup`` states it. To reach it at the price of one
function call, each Local class has a subclass, its *hidden class*, of which its
instances are. A name gets a property there when it is first set, and a property of
the most derived class comes before everything else, as a value should; where the
property finds no value, ``lookup`` decides. A ``__getattr__`` or ``__getattribute__``
would be called for every access, at three times the price. The names of data
descriptors never become values.

A class has room for so many properties, and no Local takes what others need: it brings its first
names into the hidden class that all share, as long as there is room. With more it moves to a
hidden class of its own, derived from the shared one, which ends with it.

Where values can appear that were never set as an attribute, a Local is moved to the
*open class*, a subclass of the hidden class that has a ``__getattr__`` too: one over a
ContextVar of the user's, one whose real ``__dict__`` was handed out, one with more
names than a class of its own has room for, and one with an ``__init__``, which has to
run before the first miss in a new owner. So is one that was given a name, as Python's
own message for what is missing would not tell it.

A class may change while it has Locals. Its hidden classes inherit that; what one of them has of its
own, properties and classmethods, asks the class again.
"""

from __future__ import annotations

from _thread import RLock

from ..slot import subject
from .cell import cell_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from .cell import Cell, Pair

_MISSING: Final = object()
_MOST_SHARED: Final = 64  # names of one Local, in the class that it shares
# CPython 3.13 caches lookups for 1000 changes of a class and of what it is derived from.
_MOST_PROPERTIES: Final = 480

_set_class: Callable[[object, type], None] = object.__dict__["__class__"].__set__
_moving: Final = RLock()  # held while a Local's class is looked at and changed


def hidden_class_for(cls: Any, root: type, is_open: bool, namespace: dict[str, Any]) -> Any:
    """Return the hidden class, or the open class, of a Local class; the first call makes both.

    :param root: the class that every Local class is derived from.
    :param namespace: what hidden classes have and a Local class cannot, such as ``__dict__``.
    """
    cls = cls.__dict__.get("_ctxlocal_class", cls)  # type(local)() is of the class too
    if not cls.__dict__.get("_ctxlocal_hidden"):
        changing = tuple(vars(each) for each in cls.__mro__ if each not in root.__mro__)
        own = {"_ctxlocal_inherited": None, "_ctxlocal_changing": changing}
        hidden_class = _derive(cls, (_Quiet, cls), {**namespace, **own, "_ctxlocal_names": set()})
        open_class = _derive(cls, (hidden_class,), {**namespace, "__getattr__": _fallback(cls)})
        cls._ctxlocal_hidden = _pair(hidden_class, open_class)
    return cls._ctxlocal_hidden[is_open]


class _Both(tuple[Any, ...] if TYPE_CHECKING else tuple):  # type: ignore[misc]
    """A class's two hidden classes; none in a copy of the class, which cloudpickle makes."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Both, ()


def _pair(hidden_class: Any, open_class: Any) -> _Both:
    both = _Both((hidden_class, open_class))
    hidden_class._ctxlocal_hidden = open_class._ctxlocal_hidden = both
    return both


class _OfClass:
    """A classmethod that gets the class when it is called on an instance, not its hidden class."""

    def __init__(self, cls: Any, name: str) -> None:
        self._cls = cls
        self._name = name

    def __get__(self, local: object, hidden_class: type) -> Any:
        found = class_attribute(hidden_class, self._name)
        if found is _MISSING:
            raise no_attribute(local, self._name)
        return bound(found, local, self._cls)


class _Quiet:
    """The first base of a hidden class: its ``__init_subclass__`` is not called for that."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        pass


def _derive(cls: Any, bases: tuple[Any, ...], namespace: dict[str, Any]) -> Any:
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    hidden: dict[str, Any] = {
        name: _OfClass(cls, name)
        for name, found in attributes.items()
        if isinstance(found, classmethod) and not name.startswith("__")
    }
    hidden.update((name, getattr(cls, name)) for name in ("__module__", "__qualname__"))
    hidden.update(__slots__=(), __doc__=_OfClass(cls, "__doc__"), _ctxlocal_class=cls)
    return type(cls)(cls.__name__, bases, {**hidden, **namespace})


def _fallback(cls: Any) -> Callable[[Any, str], Any]:
    def fallback(self: Any, name: str) -> Any:
        try:
            return self._ctxlocal_gets[name]()[1]
        except (KeyError, TypeError):  # no such cell, or nothing in it
            pass
        try:
            return lookup(self, name)
        except AttributeError:
            inherited = class_attribute(type(self), "__getattr__")
            if inherited is _MISSING:
                raise
        return bound(inherited, self, cls)(name)

    return fallback


def use_open_class(local: Any) -> None:
    """Move a Local to the open class, where values need not have been set as attributes."""
    with _moving:
        open_class = type(local)._ctxlocal_hidden[1]
        if type(local) is not open_class:
            _set_class(local, open_class)


def shadow_class_attributes(local: Any) -> None:
    """Let values that were never set as attributes come before class attributes too."""
    open_class = type(local)._ctxlocal_hidden[1]
    for name in dir(open_class._ctxlocal_class):
        hidden = is_special(name) or name.startswith("_ctxlocal_")
        if not hidden and name not in vars(open_class) and not is_data_descriptor(open_class, name):
            setattr(open_class, name, _value_property(open_class, name))


def add_property(local: Any, name: str) -> bool:
    """Add a property for the values called ``name``; return False for a data descriptor's name."""
    hidden_class = type(local)._ctxlocal_hidden[0]
    if is_data_descriptor(hidden_class, name):
        return False
    if name in hidden_class._ctxlocal_names or name in (hidden_class._ctxlocal_inherited or ()):
        return True
    roomy = None if is_special(name) else _class_with_room(local)
    if roomy is None:
        use_open_class(local)
        shadow_class_attributes(local)
    else:
        setattr(roomy, name, _value_property(roomy, name))
        roomy._ctxlocal_names.add(name)
    return True


def _class_with_room(local: Any) -> Any:
    """Return the hidden class that is to have another name of a Local; None: there is no room."""
    hidden_class = type(local)._ctxlocal_hidden[0]
    if hidden_class._ctxlocal_inherited is None and (
        len(local._ctxlocal_cells) >= _MOST_SHARED or _is_full(hidden_class)
    ):
        hidden_class = _move_to_own_class(local)
    return None if _is_full(hidden_class) else hidden_class


def _is_full(hidden_class: Any) -> bool:
    return len(hidden_class._ctxlocal_names) >= _MOST_PROPERTIES


def _move_to_own_class(local: Any) -> Any:
    """Move a Local from the classes that it shares to its own; return the hidden one.

    They are derived from the shared ones: at no moment has it less properties than before.
    """
    former = type(local)
    shared, shared_open = former._ctxlocal_hidden
    cls = shared._ctxlocal_class
    own = {"_ctxlocal_inherited": shared._ctxlocal_names, "_ctxlocal_names": set()}
    hidden_class = _derive(cls, (shared,), own)
    both = _pair(hidden_class, _derive(cls, (hidden_class, shared_open), {}))
    with _moving:
        if type(local) is former:  # else another thread was first
            _set_class(local, both[former is shared_open])
    return type(local)._ctxlocal_hidden[0]


def is_special(name: str) -> bool:
    """Whether ``name`` is a special one, which Python looks up in the class alone."""
    return name.startswith("__") and name.endswith("__")


def _value_property(hidden_class: Any, name: str) -> property:
    changing = hidden_class._ctxlocal_changing

    def get(local: Any) -> Any:
        try:
            return local._ctxlocal_gets[name]()[1]
        except (KeyError, TypeError):  # no such cell, or nothing in it
            pass
        return lookup(local, name)

    def get_unless_described(local: Any) -> Any:
        for namespace in changing:
            if name in namespace and _is_data(namespace[name]):
                return lookup(local, name)  # which decides, should another class come first
        try:
            return local._ctxlocal_gets[name]()[1]
        except (KeyError, TypeError):
            pass
        return lookup(local, name)

    if not changing:
        return property(get)

    # The others are for a data descriptor that came into the class later.
    def set_by_class(local: Any, value: Any) -> None:
        found = _data_descriptor(hidden_class, name)
        type(found).__set__(found, local, value)

    def delete_by_class(local: Any) -> None:
        found = _data_descriptor(hidden_class, name)
        type(found).__delete__(found, local)

    return property(get_unless_described, set_by_class, delete_by_class)


def _data_descriptor(hidden_class: Any, name: str) -> Any:
    found = class_attribute(hidden_class, name)
    if not _is_data(found):
        raise AttributeError(
            f"{name!r} is an attribute that each owner has of its own: object.__setattr__ and "
            "object.__delattr__ do not reach it. Use setattr and delattr."
        )
    return found


class WatchedCells(dict):  # type: ignore[type-arg]  # a subscript would cost at run time
    """The cells of a Local whose class may change: no cell is found past a data descriptor."""

    __slots__ = ("_changing",)

    def __init__(self, changing: tuple[Any, ...]) -> None:
        self._changing = changing

    def __getitem__(self, name: str) -> Any:
        for namespace in self._changing:
            if name in namespace and _is_data(namespace[name]):
                raise KeyError(name)  # the slow way decides, should another class come first
        return dict.__getitem__(self, name)


def lookup(local: Any, name: str) -> Any:
    """Return an attribute by the rule: data descriptor, value, class attribute."""
    hidden_class = type(local)
    found = class_attribute(hidden_class, name)
    if _is_data(found):
        return bound(found, local, hidden_class)
    if (pair := find_value(local, name)) is not None:
        return pair[1]
    if found is _MISSING:
        raise no_attribute(local, name)
    return bound(found, local, hidden_class)


def bound(found: Any, local: object, cls: Any) -> Any:
    """Return a class attribute as an attribute of an instance."""
    getter = getattr(type(found), "__get__", None)
    return found if getter is None else getter(found, local, cls)


def is_data_descriptor(hidden_class: Any, name: str) -> bool:
    """Whether the class has a data descriptor of that name, which comes before a value."""
    return _is_data(class_attribute(hidden_class, name))


def _is_data(found: object) -> bool:
    return hasattr(type(found), "__set__") or hasattr(type(found), "__delete__")


def class_attribute(hidden_class: Any, name: str) -> Any:
    """Return a class attribute past the hidden class's properties, as it is."""
    for cls in hidden_class._ctxlocal_class.__mro__:
        if name in cls.__dict__:
            return cls.__dict__[name]
    return _MISSING


def no_attribute(local: Any, name: str) -> AttributeError:
    """Return the error that Python would raise, but that it calls the Local by its name."""
    return AttributeError(
        f"{subject(local, '_ctxlocal_slot')} has no attribute {name!r}", name=name, obj=local
    )


def cell_of(local: Any, name: str) -> Cell:
    """Return the cell of a name that is about to be set; this decides the strategy."""
    cells = local._ctxlocal_cells
    cell = cell_for(local._ctxlocal_slot.bound(), cells, name)
    if name in cells:
        local._ctxlocal_gets[name] = cell.get
    return cell


def find_value(local: Any, name: str) -> Pair | None:
    """Return (rank, value) of the current owner, or None; it is initialised if it is new."""
    run_init_in_new_owner(local)
    storage = local._ctxlocal_slot.storage
    if storage is None:  # nothing was ever written
        return None
    return cell_for(storage, local._ctxlocal_cells, name, keep=False).get()


def run_init_in_new_owner(local: Any) -> None:
    """Run a subclass's ``__init__`` if the current owner is new to the Local."""
    if local._ctxlocal_init is None:
        return
    storage = local._ctxlocal_slot.bound()
    if storage.get() is not None:
        return
    storage.setdefault({})  # the mark of a known owner
    args, kwargs = local._ctxlocal_init
    try:
        type(local).__init__(local, *args, **kwargs)
    except BaseException:
        storage.clear()  # so that the next use tries again
        raise
