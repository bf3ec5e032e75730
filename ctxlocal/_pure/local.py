"""Local, LocalStack and LocalManager.

How a Local finds an attribute. The rule is threading.local's: data descriptor,
value of the current owner, class attribute, ``__getattr__``; ``_lookup`` states it.
To reach it at the price of one function call, each Local class has one hidden
subclass, its *leaf*, of which all its instances are. A name gets a property there
when it is first set, and a property of the most derived class comes before
everything else, as a value should; where the property finds no value, ``_lookup``
decides. Python would call ``__getattr__`` or ``__getattribute__`` instead for every
access, at three times the price. Names of data descriptors never become values.

Three things need a leaf with a ``__getattr__`` as well (``_add_fallback``): values
written into a real ``__dict__``, names beyond the first 512 of a class, and
an ``__init__`` that has to run before the first miss in a new owner.
"""

from __future__ import annotations

from .._generic import Generic, T
from .cell import cell_for, items, next_rank
from .scope import Scope
from .storage import make_slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping
    from contextvars import ContextVar
    from typing import Any, Final, Protocol

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Self

    from ..ident import IdentLike
    from .cell import Cell
    from .storage import Slot

    class Releasable(Protocol):
        """What release_local() takes."""

        def __release_local__(self) -> None: ...


_MISSING: Final = object()
_MOST_PROPERTIES: Final = 512  # CPython 3.13 caches lookups for 1000 changes of a class

# proxy.py, which stands above this module, puts LocalProxy here.
make_proxy: Callable[..., Any] = object


def release_local(local: Releasable) -> None:
    """Release the current owner's values of a Local or LocalStack."""
    local.__release_local__()


class Local:
    """A namespace with values of its own for each owner.

    Drop-in for ``werkzeug.local.Local``; with ``ident="thread"`` for
    :class:`threading.local`, with ``ident="greenlet"`` for ``gevent.local.local``.

    :param context_var: a :class:`~contextvars.ContextVar` that holds the values as
        a dict; it is copied for each write. Not together with ``ident``.
    :param ident: a strategy, as in :func:`ctxlocal.ident.resolve`. None, the
        default, follows the application's: leave it so in a library.
    :param name: names the Local in messages.
    :param carry: with an ``ident``: the values go along with snapshots and frames
        all the same. Those of a Local that follows the default always do.
    :raises UnknownIdentError: no such strategy.
    :raises MissingDependencyError: the strategy's package is not installed.
    :raises TypeError: a ContextVar and an ident.

    A subclass that defines ``__init__`` owns all arguments, and ``__init__`` runs
    anew with them in each new owner. Its strategy is a class keyword then:
    ``class Conn(Local, ident="thread")``.

    Getting is O(1); setting is O(1), in a Context amortised (small namespaces are
    copied). Safe to use from any thread, greenlet and task at the same time.
    """

    __slots__ = (
        "__weakref__",
        "_ctxlocal_cells",
        "_ctxlocal_init",
        "_ctxlocal_slot",
    )

    _ctxlocal_slot: Slot
    _ctxlocal_cells: dict[str, Cell]  # by name, under the strategy of now
    _ctxlocal_init: tuple[tuple[Any, ...], dict[str, Any]] | None
    _ctxlocal_properties: set[str]  # of each leaf: the names that have a property there
    _ctxlocal_leaf: type[Local]
    _ctxlocal_shadows = False  # of each leaf: whether all class attributes have one
    _ctxlocal_options: tuple[IdentLike | None, bool] = (None, False)  # the class keywords

    def __init_subclass__(
        cls, *, ident: IdentLike | None = None, carry: bool = False, **keywords: Any
    ) -> None:
        super().__init_subclass__(**keywords)
        if ident is not None:
            cls._ctxlocal_options = (ident, carry)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self: Self = object.__new__(_leaf_of(cls))  # type: ignore[assignment]
        object.__setattr__(self, "_ctxlocal_init", None)
        if cls.__init__ is Local.__init__:
            return self
        ident, carry = cls._ctxlocal_options
        _prepare(self, None, ident, None, carry)
        object.__setattr__(self, "_ctxlocal_init", (args, kwargs))
        self._ctxlocal_slot.bound().setdefault({})  # __init__ is about to run for this owner
        return self

    def __init__(
        self,
        context_var: ContextVar[dict[str, Any]] | None = None,
        /,
        *,
        ident: IdentLike | None = None,
        name: str | None = None,
        carry: bool = False,
    ) -> None:
        if self._ctxlocal_init is None:
            if context_var is None and ident is None:
                ident, carried = type(self)._ctxlocal_options
                carry = carry or carried
            _prepare(self, context_var, ident, name, carry)
        elif (context_var, ident, name, carry) != (None, None, None, False):
            raise TypeError(
                f"{type(self).__name__} defines __init__, which runs anew in each owner, so its "
                f"strategy cannot be an argument. Write: class {type(self).__name__}"
                '(Local, ident="...")'
            )

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            cell = self._ctxlocal_cells[name]
        except KeyError:
            _refuse_dict(self, name)
            if not _admit(type(self), name):
                object.__setattr__(self, name, value)
                return
            cell = _cell(self, name)
        pair = cell.get()
        if pair is None and self._ctxlocal_init is not None:
            _begin(self)
            pair = cell.get()
        cell.set((next_rank() if pair is None else pair[0], value))

    def __delattr__(self, name: str) -> None:
        _refuse_dict(self, name)
        if _data_descriptor(type(self), name) is not None:
            object.__delattr__(self, name)
        elif _find(self, name) is None:
            raise _no_attribute(self, name)
        else:
            _cell(self, name).set(None)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__class__), *(name for name, _ in self)})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Iterate over (name, value) pairs of the current owner, as of now."""
        _begin(self)
        storage = self._ctxlocal_slot.storage
        return iter([] if storage is None else items(storage, self._ctxlocal_cells))

    def __call__(self, name: str, *, unbound_message: str | None = None) -> Any:
        """Return a LocalProxy for the attribute ``name``."""
        return make_proxy(self, name, unbound_message=unbound_message)

    def __release_local__(self) -> None:
        self._ctxlocal_slot.clear()

    def __repr__(self) -> str:
        return f"<{self._ctxlocal_slot.label} at {id(self):#x}>"

    def __copy__(self) -> Self:
        """Return another Local of the same strategy with the current owner's values."""
        cls = self.__class__
        if self._ctxlocal_init is not None:
            args, kwargs = self._ctxlocal_init
            other = cls(*args, **kwargs)
        else:
            other = cls.__new__(cls)
            _install(other, self._ctxlocal_slot.twin())
        for name, value in self:
            setattr(other, name, value)
        return other

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"cannot pickle {self.__class__.__name__!r} object: its values belong to the owners "
            "of this process. Pickle dict(local) instead; copy.copy(local) makes another Local."
        )


def _prepare(
    local: Local,
    context_var: ContextVar[dict[str, Any]] | None,
    ident: IdentLike | None,
    name: str | None,
    carry: bool,
) -> None:
    label = type(local).__name__ if name is None else f"{type(local).__name__} {name!r}"
    _install(local, make_slot(label, context_var, ident, carry, dict))


def _install(local: Local, slot: Slot) -> None:
    object.__setattr__(local, "_ctxlocal_slot", slot)
    slot.serve(local)


def _dict(local: Local) -> MutableMapping[str, Any]:
    """The current owner's values: a real dict where it is the owner's alone, else a view."""
    storage = local._ctxlocal_slot.bound()
    _begin(local)
    if storage.is_shared:
        from .mapping import ValuesView  # collections.abc: for those only who ask

        return ValuesView(local, lambda name: _value(local, name))
    leaf = type(local)
    _add_fallback(leaf)
    _shadow_class_attributes(leaf)
    values: dict[str, Any] = storage.setdefault({})
    return values


def _refuse_dict(local: Local, name: str) -> None:
    if name == "__dict__":
        raise AttributeError(
            f"{type(local).__name__!r} object attribute '__dict__' is read-only",
            name=name,
            obj=local,
        )


def _no_attribute(local: Local, name: str) -> AttributeError:
    return AttributeError(
        f"{type(local).__name__!r} object has no attribute {name!r}", name=name, obj=local
    )


def _cell(local: Local, name: str) -> Cell:
    storage = local._ctxlocal_slot.bound()
    return cell_for(storage, local._ctxlocal_cells, name)


def _find(local: Local, name: str) -> tuple[int, Any] | None:
    """Return (rank, value) of the current owner, or None; it is initialised if it is new."""
    _begin(local)
    if local._ctxlocal_slot.storage is None:  # nothing was ever written
        return None
    return _cell(local, name).get()


def _value(local: Local, name: str) -> Any:
    pair = _find(local, name)
    if pair is None:
        raise KeyError(name)
    return pair[1]


def _begin(local: Local) -> None:
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


def _lookup(local: Local, name: str) -> Any:
    """Find an attribute by the rule: data descriptor, value, class attribute."""
    leaf = type(local)
    found = _class_attribute(leaf, name)
    getter = getattr(type(found), "__get__", None)
    if getter is not None and _is_data_descriptor(found):
        return getter(found, local, leaf)
    if (pair := _find(local, name)) is not None:
        return pair[1]
    if found is _MISSING:
        raise _no_attribute(local, name)
    return found if getter is None else getter(found, local, leaf)


def _class_attribute(leaf: type, name: str) -> Any:
    for cls in leaf.__mro__[1:]:
        if name in cls.__dict__:
            return cls.__dict__[name]
    return _MISSING


def _is_data_descriptor(found: object) -> bool:
    return hasattr(type(found), "__set__") or hasattr(type(found), "__delete__")


def _data_descriptor(leaf: type, name: str) -> object | None:
    found = _class_attribute(leaf, name)
    return found if _is_data_descriptor(found) else None


def _leaf_of(cls: type[Local]) -> type[Local]:
    leaf: type[Local] | None = cls.__dict__.get("_ctxlocal_leaf")
    if leaf is None:
        leaf = type(cls)(  # type: ignore[misc]  # the metaclass, called like type
            cls.__name__,
            (cls,),
            {
                "__slots__": (),
                "__doc__": cls.__doc__,
                "__module__": cls.__module__,
                "__qualname__": cls.__qualname__,
                "__class__": property(lambda self: cls),
                "__dict__": property(_dict),
                "_ctxlocal_properties": set(),
            },
        )
        if cls.__init__ is not Local.__init__:
            _add_fallback(leaf)
        leaf._ctxlocal_leaf = cls._ctxlocal_leaf = leaf  # type(local)() is of the class too
    return leaf


def _admit(leaf: type[Local], name: str) -> bool:
    """Let ``name`` be a value's, with a property to find it by; False for a data descriptor's."""
    if _data_descriptor(leaf, name) is not None:
        return False
    if len(leaf._ctxlocal_properties) < _MOST_PROPERTIES:
        setattr(leaf, name, _value_property(name))
        leaf._ctxlocal_properties.add(name)
    else:
        _add_fallback(leaf)
    return True


def _value_property(name: str) -> property:
    def get(local: Local) -> Any:
        try:
            return local._ctxlocal_cells[name].get()[1]  # type: ignore[index]
        except (KeyError, TypeError):  # no such cell, or nothing in it
            pass
        return _lookup(local, name)

    return property(get)


def _add_fallback(leaf: type[Local]) -> None:
    """Let the leaf find values that no property stands for."""
    if "__getattr__" in leaf.__dict__:
        return
    inherited = getattr(leaf.__mro__[1], "__getattr__", None)

    def fallback(self: Local, name: str) -> Any:
        try:
            return self._ctxlocal_cells[name].get()[1]  # type: ignore[index]
        except (KeyError, TypeError):  # no such cell, or nothing in it
            pass
        try:
            return _lookup(self, name)
        except AttributeError:
            if inherited is None:
                raise
        return inherited(self, name)

    leaf.__getattr__ = fallback  # type: ignore[method-assign]


def _shadow_class_attributes(leaf: type[Local]) -> None:
    """Let values that no assignment announced come before class attributes too."""
    if leaf._ctxlocal_shadows:
        return
    leaf._ctxlocal_shadows = True
    for name in dir(leaf.__mro__[1]):
        if not name.startswith(("__", "_ctxlocal_")) and name not in leaf._ctxlocal_properties:
            _admit(leaf, name)


class LocalStack(Generic[T]):
    """A stack of its own for each owner.

    Drop-in for ``werkzeug.local.LocalStack``, but that ``push`` returns None, so that
    it is O(1) at any depth. The parameters are those of :class:`Local`; a given
    ``context_var`` holds a list, which is copied for each change as werkzeug does.

    Safe to use from any thread, greenlet and task at the same time. Only an owner that
    several threads have in common (a callable strategy may name one) needs a lock of
    yours around ``push`` and ``pop``.
    """

    __slots__ = ("__weakref__", "_is_list", "_slot")

    def __init__(
        self,
        context_var: ContextVar[list[T]] | None = None,
        /,
        *,
        ident: IdentLike | None = None,
        name: str | None = None,
        carry: bool = False,
    ) -> None:
        label = type(self).__name__ if name is None else f"{type(self).__name__} {name!r}"
        self._slot = make_slot(label, context_var, ident, carry, list)
        self._is_list = context_var is not None

    def push(self, obj: T) -> None:
        """Put ``obj`` on top."""
        slot = self._slot
        if self._is_list:
            slot.set([*(slot.get() or ()), obj])
        else:
            # A node is (object, the node below): versions share their lower parts.
            (slot.storage or slot.bound()).set((obj, slot.get()))

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
        obj, below = node
        if below is None:
            slot.clear()
        else:
            slot.bound().set(below)
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

    def __call__(self, name: str | None = None, *, unbound_message: str | None = None) -> Any:
        """Return a LocalProxy for the topmost object, or for its attribute ``name``."""
        return make_proxy(self, name, unbound_message=unbound_message)

    def __release_local__(self) -> None:
        self._slot.clear()

    def __repr__(self) -> str:
        return f"<{self._slot.label} at {id(self):#x}>"

    def __copy__(self) -> Self:
        """Return another stack of the same strategy with the current owner's objects."""
        other = self.__class__.__new__(self.__class__)
        other._slot = self._slot.twin()
        other._is_list = self._is_list
        if (node := self._slot.get()) is not None:
            other._slot.set(node)
        return other

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"cannot pickle {type(self).__name__!r} object: its objects belong to the owners of "
            "this process. copy.copy(stack) makes another stack."
        )


class Pushed(Scope, Generic[T]):
    """A ``with`` block in which an object is on top of a stack; its value is the object."""

    __slots__ = ("_former", "_obj", "_stack")

    def __init__(self, stack: LocalStack[T], obj: T, strict: bool) -> None:
        super().__init__(stack._slot, strict)
        self._stack = stack
        self._obj = obj

    def __enter__(self) -> T:  # type: ignore[override]
        super().__enter__()
        return self._obj

    def _apply(self) -> None:
        self._former = self._slot.get()
        self._stack.push(self._obj)

    def _restore(self) -> None:
        former, self._former = self._former, None
        if former is None:
            self._slot.clear()
        else:
            self._slot.set(former)


class Scoped(Scope):
    """A ``with`` block in which a Local has other values; its value is the Local."""

    __slots__ = ("_former", "_local", "_values")

    def __init__(self, local: Local, values: dict[str, Any], strict: bool) -> None:
        super().__init__(local._ctxlocal_slot, strict)
        self._local = local
        self._values = values

    def __enter__(self) -> Local:  # type: ignore[override]
        super().__enter__()
        return self._local

    def _apply(self) -> None:
        self._former = {name: _find(self._local, name) for name in self._values}
        for name, value in self._values.items():
            setattr(self._local, name, value)

    def _restore(self) -> None:
        for name, pair in self._former.items():
            if pair is not None:
                setattr(self._local, name, pair[1])
            elif _find(self._local, name) is not None:
                delattr(self._local, name)


class LocalManager:
    """Releases several locals at the end of a request.

    :param locals: a Local or LocalStack, or an iterable of them.
    :param ident_func: has no effect and warns; it was an argument of old versions of
        werkzeug. The strategy belongs to the Local, or to the application's default.
    """

    __slots__ = ("locals",)

    def __init__(
        self,
        locals: Releasable | Iterable[Releasable] | None = None,
        ident_func: object = None,
    ) -> None:
        if ident_func is not None:
            import warnings

            warnings.warn(
                "LocalManager's ident_func has no effect. Choose the strategy with "
                "ctxlocal.ident.set_default() or Local(ident=...).",
                DeprecationWarning,
                stacklevel=2,
            )
        self.locals: list[Releasable]
        if locals is None:
            self.locals = []
        elif hasattr(locals, "__release_local__"):
            self.locals = [locals]  # type: ignore[list-item]
        else:
            self.locals = list(locals)

    def cleanup(self) -> None:
        """Release the current owner's values in all the locals."""
        for local in self.locals:
            release_local(local)

    def make_middleware(self, app: WSGIApplication) -> WSGIApplication:
        """Wrap a WSGI application so that the locals are released after each request.

        That is when the server closes the response (PEP 3333), or at once when the
        application raises.
        """

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            try:
                body = app(environ, start_response)
            except BaseException:
                self.cleanup()
                raise
            return _ClosingBody(body, self.cleanup)

        return application

    def middleware(self, func: WSGIApplication) -> WSGIApplication:
        """Do what make_middleware does, as a decorator that keeps the function's name."""
        from functools import update_wrapper

        return update_wrapper(self.make_middleware(func), func)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} storages: {len(self.locals)}>"


class _ClosingBody:
    """A WSGI body; ``cleanup`` runs after its own close, even if that raises."""

    def __init__(self, body: Iterable[bytes], cleanup: Callable[[], None]) -> None:
        self._body = body
        self._iterator = iter(body)
        self._cleanup = cleanup

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._iterator)

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._cleanup()
