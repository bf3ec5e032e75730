"""Local: a namespace with values of its own for each owner."""

from __future__ import annotations

from ...ident.record import SEEN, Seen
from ..slot import make_slot, slot_of, subject
from .attribute import (
    WatchedCells,
    add_property,
    bound,
    cell_of,
    class_attribute,
    find_value,
    hidden_class_for,
    is_data_descriptor,
    no_attribute,
    run_init_in_new_owner,
    shadow_class_attributes,
    use_open_class,
)
from .cell import items, next_rank
from .hook import make_proxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextvars import ContextVar
    from typing import Any

    from typing_extensions import Self

    from ...ident import IdentLike
    from ..slot import Slot
    from .cell import Cell, Pair


class Local:
    """A namespace with values of its own for each owner.

    Drop-in for ``werkzeug.local.Local``; with ``ident="thread"`` for
    :class:`threading.local`, with ``ident="greenlet"`` for ``gevent.local.local``.

    :param context_var: a :class:`~contextvars.ContextVar` that holds the values as
        a dict; it is copied for each write. Not together with ``ident``.
    :param ident: a strategy, as in :func:`ctxlocal.ident.resolve`. None, the
        default, follows the application's: leave it so in a library.
    :param name: names the Local in messages, also that of a missing attribute.
    :param carry: with an ``ident``: the values go along with snapshots and frames
        all the same. Those of a Local that follows the default always do.
    :param wire: names of attributes that may leave the process, by
        :func:`ctxlocal.flow.export`; all others never do. It takes a ``name``, by
        which another process knows the Local; a copy has no wire.
    :raises UnknownIdentError: no such strategy.
    :raises MissingDependencyError: the strategy's package is not installed.
    :raises TypeError: a ContextVar and an ident, or a wire of something else than names.
    :raises ValueError: a wire without a name, with what is no attribute's name, or of
        values that do not go along with frames.

    A subclass that defines ``__init__`` owns all arguments, and ``__init__`` runs
    anew with them in each new owner. Its strategy is a class keyword then:
    ``class Conn(Local, ident="thread")``.

    Getting is O(1); setting is O(1), in a Context amortised (small namespaces are
    copied). Safe to use from any thread, greenlet and task at the same time. One that is a
    global of a module is pickled by reference, without its values.
    """

    __module__ = "ctxlocal"  # as pickles and tracebacks should name it, whichever twin it is
    __slots__ = (
        "__weakref__",
        "_ctxlocal_cells",
        "_ctxlocal_gets",
        "_ctxlocal_init",
        "_ctxlocal_slot",
    )

    _ctxlocal_slot: Slot
    _ctxlocal_cells: dict[str, Cell]  # by name, under the strategy of now
    _ctxlocal_gets: dict[str, Callable[[], Pair | None]]  # their get(), bound
    _ctxlocal_init: tuple[tuple[Any, ...], dict[str, Any]] | None  # a subclass's arguments
    _ctxlocal_class: Any  # of a hidden class: the class it stands for
    _ctxlocal_hidden: tuple[Any, Any]
    _ctxlocal_changing: tuple[Any, ...]  # the namespaces of the user's classes
    _ctxlocal_options: tuple[IdentLike | None, bool] = (None, False)  # the class keywords

    def __init_subclass__(
        cls, *, ident: IdentLike | None = None, carry: bool = False, **keywords: Any
    ) -> None:
        super().__init_subclass__(**keywords)
        if ident is not None:
            cls._ctxlocal_options = (ident, carry)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        owns_init = cls.__init__ is not Local.__init__
        is_open = owns_init or args[:1] not in ((), (None,))
        self: Self = object.__new__(hidden_class_for(cls, Local, is_open, _HIDDEN_NAMESPACE))
        object.__setattr__(self, "_ctxlocal_init", None)
        if owns_init:
            ident, carry = cls._ctxlocal_options
            _install(self, make_slot(self, None, None, ident, carry, dict))
            object.__setattr__(self, "_ctxlocal_init", (args, kwargs))
            self._ctxlocal_slot.bound().setdefault({})  # __init__ is about to run here
        elif cls.__new__ is not Local.__new__:  # which may set attributes at once
            ident, carry = cls._ctxlocal_options
            _install(self, make_slot(self, None, None, ident, carry, dict))
        return self

    def __init__(
        self,
        context_var: ContextVar[dict[str, Any]] | None = None,
        /,
        *,
        ident: IdentLike | None = None,
        name: str | None = None,
        carry: bool = False,
        wire: Iterable[str] = (),
    ) -> None:
        arguments = (context_var, ident, name, carry, wire)
        if self._ctxlocal_init is not None:
            if arguments != _NO_ARGUMENTS:
                raise _has_init(type(self).__name__)
        elif type(self).__new__ is Local.__new__ or arguments != _NO_ARGUMENTS:
            if context_var is not None:
                use_open_class(self)  # a __new__ may have kept it to itself
            elif ident is None:
                ident, carried = type(self)._ctxlocal_options
                carry = carry or carried
            _install(self, make_slot(self, name, context_var, ident, carry, dict, wire))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            cell = self._ctxlocal_cells[name]
        except KeyError:
            _refuse_dict(self, name)
            if not add_property(self, name):
                object.__setattr__(self, name, value)
                return
            cell = cell_of(self, name)
        pair = cell.get()
        if pair is None and self._ctxlocal_init is not None:
            run_init_in_new_owner(self)
            pair = cell.get()
        cell.set((next_rank() if pair is None else pair[0], value, SEEN))

    def __delattr__(self, name: str) -> None:
        _refuse_dict(self, name)
        if is_data_descriptor(type(self), name):
            object.__delattr__(self, name)
        elif find_value(self, name) is None:
            raise no_attribute(self, name)
        else:
            _remove(self, name)

    # For trace, which puts its own in their place.
    _ctxlocal_assign = __setattr__
    _ctxlocal_unassign = __delattr__

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__class__), *(name for name, _ in _items(self))})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Iterate over (name, value) pairs of the current owner, as of now."""
        return iter(_items(self))

    def __call__(self, name: str, *, unbound_message: str | None = None) -> Any:
        """Return a LocalProxy for the attribute ``name``."""
        return make_proxy(self, name, unbound_message=unbound_message)

    def __release_local__(self) -> None:
        self._ctxlocal_slot.clear()

    def _ctxlocal_renew(self) -> None:
        object.__setattr__(self, "_ctxlocal_cells", _no_cells(self))
        object.__setattr__(self, "_ctxlocal_gets", {})

    def _ctxlocal_now(self, name: str) -> Pair | None:
        """For scopes: what an attribute is now; None where it is not there."""
        if is_data_descriptor(type(self), name):
            return (0, getattr(self, name), None) if hasattr(self, name) else None
        return find_value(self, name)

    def __repr__(self) -> str:
        return f"<{self._ctxlocal_slot.label}>"

    def __copy__(self) -> Self:
        """Return another Local of the same strategy with the current owner's values."""
        cls: type[Self] = type(self)._ctxlocal_class
        if self._ctxlocal_init is not None:
            args, kwargs = self._ctxlocal_init
            other = cls(*args, **kwargs)
        else:
            other = cls.__new__(cls)
            _install(other, self._ctxlocal_slot.twin(other))
        for name, value in _items(self):
            setattr(other, name, value)
        return other

    def __deepcopy__(self, memo: Any, /) -> Any:
        from ..reference import refused

        raise refused(self, slot_of(self, "_ctxlocal_slot"))

    def __reduce_ex__(self, protocol: Any) -> Any:
        from ..reference import reduced  # a millisecond, paid for by those who pickle

        return reduced(self, slot_of(self, "_ctxlocal_slot"), self._ctxlocal_init)


_NO_ARGUMENTS = (None, None, None, False, ())


def _has_init(kind: str) -> TypeError:
    return TypeError(
        f"{kind} defines __init__, which runs anew in each owner, so its strategy cannot be an "
        f'argument. Write: class {kind}(Local, ident="...")'
    )


def _install(local: Local, slot: Slot) -> None:
    object.__setattr__(local, "_ctxlocal_slot", slot)
    slot.serve(local)
    if slot.name is not None:
        use_open_class(local)  # so that the message of a missing attribute names it


def _no_cells(local: Local) -> dict[str, Cell]:
    changing = type(local)._ctxlocal_changing
    return WatchedCells(changing) if changing else {}


def _refuse_dict(local: Local, name: str) -> None:
    if name == "__dict__":
        raise AttributeError(
            f"{subject(local, '_ctxlocal_slot')} attribute '__dict__' is read-only",
            name=name,
            obj=local,
        )


def _dict(local: Local) -> Any:
    """Return the current owner's values: a real dict where it is the owner's alone, else a view."""
    storage = local._ctxlocal_slot.bound()
    run_init_in_new_owner(local)
    if storage.is_copy_on_write:
        from functools import partial  # both imports take milliseconds, paid for by a call alone

        from ..values_view import ValuesView

        return ValuesView(
            partial(_items, local),
            partial(_value, local),
            partial(_store, local),
            partial(_remove, local),
        )
    use_open_class(local)
    shadow_class_attributes(local)
    values = storage.setdefault({})
    if type(values) is Seen:
        storage.set(values := dict(values))
    return values


def _items(local: Local) -> list[tuple[str, Any]]:
    run_init_in_new_owner(local)
    storage = local._ctxlocal_slot.storage
    return [] if storage is None else items(storage, local._ctxlocal_cells)


def _store(local: Local, name: str, value: Any) -> None:
    """Set a value past ``__setattr__`` and data descriptors, as a write to a real dict does."""
    add_property(local, name)
    pair = find_value(local, name)
    cell_of(local, name).set((next_rank() if pair is None else pair[0], value, SEEN))


def _remove(local: Local, name: str) -> None:
    cell_of(local, name).set(None)


def _value(local: Local, name: str) -> Any:
    pair = find_value(local, name)
    if pair is None:
        raise KeyError(name)
    return pair[1]


def _class(local: Local) -> Any:
    hidden_class = type(local)
    found = class_attribute(hidden_class, "__class__")
    return (
        hidden_class._ctxlocal_class
        if found is _OBJECTS_CLASS
        else bound(found, local, hidden_class)
    )


def _set_class(local: Local, cls: Any) -> None:
    found = class_attribute(type(local), "__class__")
    if found is not _OBJECTS_CLASS:
        type(found).__set__(found, local, cls)
        return
    if isinstance(cls, type) and issubclass(cls, Local):
        cls = hidden_class_for(
            cls, Local, True, _HIDDEN_NAMESPACE
        )  # it has properties for no value
    found.__set__(local, cls)
    shadow_class_attributes(local)
    cells = _no_cells(local)
    cells.update(local._ctxlocal_cells)
    object.__setattr__(local, "_ctxlocal_cells", cells)


_OBJECTS_CLASS = object.__dict__["__class__"]
# Not in the class, where a __dict__ of a subclass without __slots__ would come before it.
_HIDDEN_NAMESPACE = {"__dict__": property(_dict), "__class__": property(_class, _set_class)}
