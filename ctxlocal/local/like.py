"""``proxy(like=T)``: proxies with exactly the special methods of a type; for both twins."""

from __future__ import annotations

from .._generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import ContextVar
    from typing import Any, Final, Protocol, TypeAlias

    from .pure.local import Local
    from .pure.stack import LocalStack

    Source: TypeAlias = "Local | LocalStack[Any] | ContextVar[Any] | Callable[[], Any]"

    class ProxyFunction(Protocol):
        """The type of ``proxy``."""

        def __call__(
            self,
            local: Source,
            name: str | None = None,
            *,
            like: type[T],
            unbound_message: str | None = None,
        ) -> T: ...


# Those that have a reflected form and one in place.
OPERATORS: Final = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("lshift", "rshift", "and", "xor", "or"),
)
OPTIONAL: Final = frozenset(
    (
        *("__bytes__", "__fspath__", "__buffer__", "__call__"),
        *("__instancecheck__", "__subclasscheck__", "__mro_entries__", "__replace__"),
        *("__len__", "__length_hint__", "__getitem__", "__setitem__", "__delitem__"),
        *("__contains__", "__iter__", "__next__", "__reversed__"),
        *("__neg__", "__pos__", "__abs__", "__invert__"),
        *("__complex__", "__int__", "__float__", "__index__"),
        *("__round__", "__trunc__", "__floor__", "__ceil__", "__divmod__", "__rdivmod__"),
        *(f"__{prefix}{name}__" for prefix in ("", "r", "i") for name in OPERATORS),
        *("__enter__", "__exit__", "__await__", "__aiter__", "__anext__"),
        *("__aenter__", "__aexit__"),
    )
)


def proxy_function(make_class: Callable[[Iterable[str], dict[str, Any]], Any]) -> ProxyFunction:
    """Return ``proxy`` for one of the twins.

    :param make_class: makes a proxy class from the names of its special methods and from
        further class attributes.
    """

    def proxy(
        local: Source,
        name: str | None = None,
        *,
        like: type[T],
        unbound_message: str | None = None,
    ) -> T:
        """Make a proxy with exactly the special methods of ``like``, typed as ``like``.

        So ``callable(p)``, ``isinstance(p, Awaitable)`` or ``Iterable`` tell the truth, also
        while it is unbound; then ``dir(p)`` has the names of ``like``, for completion at a prompt.
        With a Mapping or Sequence type it works in ``match``, with a dataclass in
        :func:`dataclasses.asdict`. The other parameters are LocalProxy's.

        :param like: the class of what will be bound; ``dict[str, int]`` counts as ``dict``.
        :raises TypeError: ``like`` is no class.

        Makes a class for each call: meant for module level.
        """
        kind: Any = like
        while hasattr(kind, "__origin__"):
            kind = kind.__origin__
        if not isinstance(kind, type):
            raise TypeError(f"like has to be a class, not {like!r}.")
        cls = make_class(*_description(kind))
        cls.__dir__ = _dir_like(kind, cls.__dir__)
        _register_collection(cls, kind)
        stand_in: T = cls(local, name, unbound_message=unbound_message)
        return stand_in

    proxy.__module__ = "ctxlocal"
    proxy.__qualname__ = "proxy"
    return proxy


def _description(kind: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the special methods of a proxy like ``kind``, and what else its class has."""
    name = f"{kind.__name__}Proxy"
    namespace: dict[str, Any] = {
        "__name__": name,
        "__qualname__": name,
        "__module__": "ctxlocal",
        "__doc__": kind.__doc__,
    }
    if hasattr(kind, "__dataclass_fields__"):
        namespace["__dataclass_fields__"] = kind.__dataclass_fields__
    if kind.__hash__ is None:
        namespace["__hash__"] = None
    return [name for name in OPTIONAL if _has_method(kind, name)], namespace


def _dir_like(kind: type, names: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    def __dir__(self: Any) -> list[str]:
        return names(self) or dir(kind)  # there are none where nothing is bound

    return __dir__


def _has_method(kind: type, name: str) -> bool:
    if name == "__mro_entries__":
        return issubclass(kind, type)
    found = next((vars(cls)[name] for cls in kind.__mro__ if name in vars(cls)), None)
    if found is None and name[:3] in ("__i", "__r") and name[3:-2] in OPERATORS:
        # += is + for an immutable type, and a real list follows [1] + without a method for it.
        return _has_method(kind, f"__{name[3:]}")
    return found is not None


def _register_collection(cls: type, kind: type) -> None:
    """Let ``match`` see a mapping or a sequence: it asks for a flag that these set."""
    from collections.abc import Mapping, Sequence

    for collection in (Mapping, Sequence):
        if issubclass(kind, collection) and not issubclass(kind, (str, bytes, bytearray)):
            collection.register(cls)
