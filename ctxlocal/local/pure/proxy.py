"""LocalProxy: stands for whatever the current owner has bound.

Special methods are looked up in the class and so have to stand there one by one; all else
goes through ``__getattribute__``.

The table follows the data model up to Python 3.15. Not proxied, and why:

``__new__ __init__ __del__ __slots__ __weakref__``  are the proxy's own
``__get__ __set__ __delete__ __set_name__ __objclass__``  a proxy in a class body
    would otherwise turn into a descriptor whenever its target is one
``__init_subclass__ __prepare__ __subclasshook__ __match_args__``  are looked up in
    classes, and a proxy is an instance
``__class_getitem__ __missing__``  come with ``__getitem__``
``__getnewargs__ __getnewargs_ex__ __getstate__ __setstate__``  come with ``__reduce_ex__``
``__release_buffer__``  the memoryview that ``__buffer__`` returns releases itself
``__sizeof__``  tells the memory of the proxy
"""

from __future__ import annotations

import _operator as operator  # all of operator that is needed, without the Python part
import os
import sys

from ..._generic import Generic, T
from ...errors import UnboundError, endless
from ..like import proxy_function
from ..unbound import unbound_attribute
from .hook import register_proxy
from .resolver import resolver_for, write_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import ContextVar
    from typing import Any, Final, TypeAlias, overload

    from ..like import Source
    from .stack import LocalStack

    Method: TypeAlias = Callable[..., Any]
    Anything = Any
else:
    Anything = object

_MISSING: Final = object()


class BaseProxy:
    """The base of all proxies: attributes, and the special methods that every object has.

    ``issubclass(type(x), BaseProxy)`` tells whether ``x`` is a proxy.
    """

    __module__ = "ctxlocal.local"
    __slots__ = ("__weakref__", "_ctxlocal_origin", "_get_current_object")

    _get_current_object: Callable[[], Any]
    _ctxlocal_origin: tuple[Any, str | None]
    _ctxlocal_base: type  # the class of ours that a class is, or is derived from

    def __init__(
        self, local: Any, name: str | None = None, *, unbound_message: str | None = None
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"A proxy's name has to be a str or None, not {name!r}.")
        resolver = resolver_for(local, name, unbound_message)
        object.__setattr__(self, "_get_current_object", resolver)
        object.__setattr__(self, "_ctxlocal_origin", (local, name))

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        access: Any = cls.__getattribute__
        if access is cls._ctxlocal_base.__getattribute__:
            cls.__getattribute__ = _subclass_attribute  # type: ignore[method-assign]
        elif access is not _subclass_attribute:
            # One of its own, which asks super(): from now on every proxy looks what it is.
            BaseProxy.__getattribute__ = _subclass_attribute  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__orig_class__":  # LocalProxy[T](...) would leave it on the target
            raise AttributeError(name)
        if _is_own(self, name):
            object.__setattr__(self, name, value)
        else:
            setattr(_target_for_attribute(self, name), name, value)

    def __delattr__(self, name: str) -> None:
        if _is_own(self, name):
            object.__delattr__(self, name)
        else:
            delattr(_target_for_attribute(self, name), name)

    def __repr__(self) -> str:
        target = _target_or(self, _MISSING)
        return f"<{type(self).__name__} unbound>" if target is _MISSING else repr(target)

    def __bool__(self) -> bool:
        return bool(_target_or(self, False))

    def __dir__(self) -> list[str]:
        target = _target_or(self, _MISSING)
        return [] if target is _MISSING else dir(target)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The target is pickled by its own rules, and loading it does not need ctxlocal.
        return operator.getitem, ((_resolver(self)(),), 0)

    def __copy__(self) -> Any:
        from copy import copy

        return copy(_resolver(self)())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        from copy import deepcopy

        return deepcopy(_resolver(self)(), memo)


# The names that are the proxy's own, also while it is bound.
_OWN: Final = frozenset(
    (
        "_get_current_object",
        "_ctxlocal_origin",
        "__reduce_ex__",
        "__copy__",
        "__deepcopy__",
        "__mro_entries__",  # looked up in the instance: class C(p)
    )
)
# The names that an unbound proxy answers too.
_OWN_UNBOUND: Final = frozenset(("__class__", "__doc__", "__repr__", "__bool__", "__dir__"))

# proxy -> the callable that finds its object; past the proxy's own __getattribute__.
_resolver: Callable[[Any], Callable[[], Any]] = BaseProxy.__dict__["_get_current_object"].__get__


# Of these every class has its own, or a subclass means it for itself: they stay the target's.
_OF_EVERY_CLASS: Final = frozenset(
    (
        *("__module__", "__doc__", "__dict__", "__weakref__", "__slots__", "__new__"),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
        *("__orig_bases__", "__parameters__", "__type_params__"),
        *("__static_attributes__", "__firstlineno__"),
        *("__init_subclass__", "__class_getitem__", "__abstractmethods__", "__getattribute__"),
    )
)


def _is_own(proxy: BaseProxy, name: str) -> bool:
    """Whether a subclass defines the name by now, or ``object.__setattr__`` set it on the proxy."""
    cls = type(proxy)
    base = cls._ctxlocal_base
    if cls is base:
        return False
    for each in cls.__mro__:
        if name in vars(each):
            return each not in base.__mro__ and name not in _OF_EVERY_CLASS
    try:
        return name in object.__getattribute__(proxy, "__dict__")
    except AttributeError:  # a subclass with __slots__
        return False


def _target_or(proxy: BaseProxy, default: Any) -> Any:
    """Return the target, or ``default`` where the proxy is unbound.

    A plain RuntimeError is how resolvers of applications say so. Its other children
    (RecursionError, NotImplementedError, ...) mean something else.
    """
    try:
        return _resolver(proxy)()
    except RuntimeError as error:
        if not _says_unbound(error):
            raise
        return default


def _says_unbound(error: RuntimeError) -> bool:
    return isinstance(error, UnboundError) or type(error) is RuntimeError


def _target_for_attribute(proxy: BaseProxy, name: str) -> Any:
    try:
        return _resolver(proxy)()
    except RuntimeError as error:
        raise unbound_attribute(error, name) from error.__cause__


def _attribute(self: Any, name: str) -> Any:
    if name in _OWN:
        return object.__getattribute__(self, name)
    try:
        target = _resolver(self)()
    except RuntimeError as error:
        return _attribute_without_target(self, name, error)
    except AttributeError:
        return _attribute_before_init(self, name)
    return getattr(target, name)


def _subclass_attribute(self: Any, name: str) -> Any:
    if _is_own(self, name):
        return object.__getattribute__(self, name)
    return _attribute(self, name)


def _attribute_before_init(proxy: BaseProxy, name: str) -> Any:
    try:
        _resolver(proxy)
    except AttributeError:  # a __new__ may be about to call __init__
        return object.__getattribute__(proxy, name)
    raise


def _attribute_without_target(proxy: BaseProxy, name: str, error: RuntimeError) -> Any:
    raised = unbound_attribute(error, name)
    if raised is not error:
        if name in _OWN_UNBOUND:
            return object.__getattribute__(proxy, name)
        origin = object.__getattribute__(proxy, "_ctxlocal_origin")[0]
        # doctest and inspect ask for it; a function they would take for what the proxy is.
        if name == "__wrapped__" and not hasattr(origin, "__code__"):
            return origin
    raise raised from error.__cause__


BaseProxy._ctxlocal_base = BaseProxy


# The special methods


def _unary(operation: Method) -> Method:
    def method(self: Any) -> Any:
        return operation(_resolver(self)())

    return method


def _binary(operation: Method) -> Method:
    def method(self: Any, other: Any) -> Any:
        target = _resolver(self)()
        if isinstance(other, BaseProxy):
            other = _resolver(other)()
        return operation(target, other)

    return method


def _equality(operation: Method) -> Method:
    def method(self: Any, other: Any) -> Any:
        try:
            target = _resolver(self)()
            if isinstance(other, BaseProxy):
                other = _resolver(other)()
        except RuntimeError as error:
            if not _says_unbound(error):
                raise
            return NotImplemented  # an unbound proxy equals itself alone
        return operation(target, other)

    return method


def _reflected(operation: Method) -> Method:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, BaseProxy):
            other = _resolver(other)()
        return operation(other, _resolver(self)())

    return method


def _in_place(operation: Method) -> Method:
    def method(self: Any, other: Any) -> Any:
        target = _resolver(self)()
        if isinstance(other, BaseProxy):
            other = _resolver(other)()
        result = operation(target, other)
        if result is not target:
            local, name = object.__getattribute__(self, "_ctxlocal_origin")
            write_back(local, name, result)
        return self

    return method


def _with_arguments(operation: Method) -> Method:
    def method(self: Any, *args: Any) -> Any:
        return operation(_resolver(self)(), *args)

    return method


def _called(name: str) -> Method:
    """Call the target's method by name: there is no function that does it."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(_resolver(self)(), name)(*args, **kwargs)

    return method


def _math(name: str) -> Method:
    def method(self: Any) -> Any:
        import math  # an extension module, loaded when a proxy is rounded

        return getattr(math, name)(_resolver(self)())

    return method


def _call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    return _resolver(self)()(*args, **kwargs)


def _mro_entries(self: Any, bases: tuple[Any, ...]) -> tuple[Any, ...]:
    target = _resolver(self)()
    if issubclass(type(target), type):  # list[int] calls itself a class, on 3.10
        return (target,)
    return target.__mro_entries__(bases)  # type: ignore[no-any-return]


# Those of every object.
_OBJECT_METHODS: Final[dict[str, Method]] = {
    "__getattribute__": _attribute,
    "__str__": _unary(str),
    "__format__": _with_arguments(format),
    "__hash__": _unary(hash),
    "__eq__": _equality(operator.eq),
    "__ne__": _equality(operator.ne),
    "__lt__": _binary(operator.lt),
    "__le__": _binary(operator.le),
    "__gt__": _binary(operator.gt),
    "__ge__": _binary(operator.ge),
}

_BINARY: Final[dict[str, tuple[Method, Method]]] = {
    "add": (operator.add, operator.iadd),
    "sub": (operator.sub, operator.isub),
    "mul": (operator.mul, operator.imul),
    "matmul": (operator.matmul, operator.imatmul),
    "truediv": (operator.truediv, operator.itruediv),
    "floordiv": (operator.floordiv, operator.ifloordiv),
    "mod": (operator.mod, operator.imod),
    "lshift": (operator.lshift, operator.ilshift),
    "rshift": (operator.rshift, operator.irshift),
    "and": (operator.and_, operator.iand),
    "xor": (operator.xor, operator.ixor),
    "or": (operator.or_, operator.ior),
}

# Those that an object may have or not; proxy(..., like=T) takes those of T alone.
_OPTIONAL_METHODS: Final[dict[str, Method]] = {
    "__bytes__": _unary(bytes),
    "__fspath__": _unary(os.fspath),
    "__buffer__": lambda self, flags: memoryview(_resolver(self)()),  # PEP 688
    "__call__": _call,
    "__instancecheck__": lambda self, other: isinstance(other, _resolver(self)()),
    "__subclasscheck__": lambda self, other: issubclass(other, _resolver(self)()),
    "__mro_entries__": _mro_entries,  # PEP 560
    "__replace__": _called("__replace__"),  # copy.replace() of 3.13
    # containers and iterators
    "__len__": _unary(len),
    "__length_hint__": _unary(operator.length_hint),  # PEP 424
    "__getitem__": _binary(operator.getitem),
    "__setitem__": _with_arguments(operator.setitem),
    "__delitem__": _binary(operator.delitem),
    "__contains__": _binary(operator.contains),
    "__iter__": _unary(iter),
    "__next__": _unary(next),
    "__reversed__": _unary(reversed),
    # numbers
    "__neg__": _unary(operator.neg),
    "__pos__": _unary(operator.pos),
    "__abs__": _unary(abs),
    "__invert__": _unary(operator.invert),
    "__complex__": _unary(complex),
    "__int__": _unary(int),
    "__float__": _unary(float),
    "__index__": _unary(operator.index),
    "__round__": _with_arguments(round),
    "__trunc__": _math("trunc"),
    "__floor__": _math("floor"),
    "__ceil__": _math("ceil"),
    "__divmod__": _binary(divmod),
    "__rdivmod__": _reflected(divmod),
    "__pow__": lambda self, *args: pow(_resolver(self)(), *map(unwrap, args)),
    "__rpow__": lambda self, base, *args: pow(unwrap(base), _resolver(self)(), *map(unwrap, args)),
    "__ipow__": _in_place(operator.ipow),
    **{f"__{name}__": _binary(both[0]) for name, both in _BINARY.items()},
    **{f"__r{name}__": _reflected(both[0]) for name, both in _BINARY.items()},
    **{f"__i{name}__": _in_place(both[1]) for name, both in _BINARY.items()},
    # with and async
    "__enter__": _called("__enter__"),
    "__exit__": _called("__exit__"),
    "__await__": _called("__await__"),
    "__aiter__": _called("__aiter__"),
    "__anext__": _called("__anext__"),
    "__aenter__": _called("__aenter__"),
    "__aexit__": _called("__aexit__"),
}


def _add_methods(cls: type, methods: dict[str, Method]) -> None:
    for name, method in methods.items():
        method.__name__ = name
        method.__qualname__ = f"{cls.__name__}.{name}"
        method.__module__ = cls.__module__
        setattr(cls, name, method)


def _make_plain(cls: type[BaseProxy]) -> None:
    """Mark ``cls`` as a class of ours: its own names are not for attribute access."""
    cls._ctxlocal_base = cls
    del cls.__getattribute__


_add_methods(BaseProxy, _OBJECT_METHODS)
_subclass_attribute.__name__ = _attribute.__name__
_subclass_attribute.__qualname__ = _attribute.__qualname__


class LocalProxy(BaseProxy, Generic[T], Anything):  # type: ignore[misc]
    """A proxy for the object that the current owner has bound, found anew at each use.

    Drop-in for ``werkzeug.local.LocalProxy``.

    :param local: a Local (then ``name`` is required), a LocalStack (its top), a
        ContextVar, or a callable without arguments that returns the object, or raises
        a plain RuntimeError where there is none.
    :param name: the attribute of what ``local`` leads to; dots lead further.
    :param unbound_message: the text of the error where nothing is bound.
    :raises TypeError: none of these, or a Local without a name.

    Unbound, it is falsy, has an empty ``dir()`` and the repr ``<LocalProxy unbound>``;
    an attribute raises :class:`~ctxlocal.errors.UnboundAttributeError`, all else
    :class:`~ctxlocal.errors.UnboundError`. ``p += x`` stores a new object where the old
    one came from; the name stays the proxy's. Copying and pickling act on the target.

    It claims every protocol (``callable(p)`` is true whatever the target); :func:`proxy`
    makes proxies that do not. ``p is None`` and C code that asks for an exact type see the
    proxy: hand them ``p._get_current_object()``.
    """

    __module__ = "ctxlocal"
    __slots__ = ()

    if TYPE_CHECKING:
        # For type checkers a proxy is a class of its own that fits wherever its target would,
        # as typeshed says it of mocks: the table's methods they cannot see.
        _get_current_object: Callable[[], T]

        @overload
        def __init__(self, local: LocalStack[T], *, unbound_message: str | None = None) -> None: ...
        @overload
        def __init__(self, local: ContextVar[T], *, unbound_message: str | None = None) -> None: ...
        @overload
        def __init__(
            self, local: Callable[[], T], *, unbound_message: str | None = None
        ) -> None: ...
        @overload
        def __init__(
            self: LocalProxy[Any],
            local: Source,
            name: str | None = None,
            *,
            unbound_message: str | None = None,
        ) -> None: ...
        def __init__(
            self, local: Any, name: Any = None, *, unbound_message: Any = None
        ) -> None: ...


_add_methods(LocalProxy, _OPTIONAL_METHODS)
_make_plain(LocalProxy)
register_proxy(LocalProxy)


def _proxy_class(wanted: Iterable[str], namespace: dict[str, Any]) -> Any:
    cls = type("Proxy", (BaseProxy,), {"__slots__": ()})
    _make_plain(cls)
    for name in wanted:
        if name in _OPTIONAL_METHODS:
            setattr(cls, name, _OPTIONAL_METHODS[name])
    for name, value in namespace.items():
        setattr(cls, name, value)
    return cls


proxy = proxy_function(_proxy_class)


if TYPE_CHECKING:

    @overload
    def unwrap(obj: LocalProxy[T]) -> T: ...
    @overload
    def unwrap(obj: T) -> T: ...


def unwrap(obj: Any) -> Any:
    """Return the object behind a proxy, through proxies of proxies; anything else as it is.

    :raises UnboundError: nothing is bound.
    :raises RecursionError: the proxies lead back to one another.
    """
    for _ in range(sys.getrecursionlimit() + 1):
        if not isinstance(obj, BaseProxy):
            return obj
        obj = _resolver(obj)()
    raise endless()


def is_bound(proxy: Any) -> bool:
    """Whether a use of ``proxy`` would find an object.

    :raises TypeError: it is no proxy.
    """
    if not isinstance(proxy, BaseProxy):
        raise TypeError(f"is_bound() takes a proxy, not {proxy!r}.")
    return _target_or(proxy, _MISSING) is not _MISSING


unwrap.__module__ = is_bound.__module__ = "ctxlocal"
