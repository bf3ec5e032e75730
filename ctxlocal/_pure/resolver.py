"""How a proxy finds its object, and where the result of an in-place operation goes."""

from __future__ import annotations

import _operator as operator  # all of operator that is needed, without the Python part
from contextvars import ContextVar

from .. import ident as _ident
from ..errors import ResolverError, UnboundAttributeError, UnboundError
from .local import Local
from .stack import LocalStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .storage import Slot


def resolver_for(local: Any, name: str | None, message: str | None) -> Callable[[], Any]:
    """Return the callable that finds the object; the parameters are LocalProxy's.

    It raises UnboundError where nothing is bound, ResolverError where a callable fails.

    :raises TypeError: ``local`` is nothing that a proxy can stand for.
    """
    if isinstance(local, Local):
        if name is None:
            raise TypeError("'name' is required when proxying a 'Local' object.")
        return _from_local(local, name, message)
    if isinstance(local, LocalStack):
        return _from_stack(local, name, message)
    if isinstance(local, ContextVar):
        return _from_var(local, name, message)
    if callable(local):
        return _from_callable(local, name)
    raise TypeError(
        f"Don't know how to proxy {local!r}: a Local and a name, a LocalStack, a ContextVar "
        "or a callable without arguments is expected."
    )


def _from_local(local: Local, name: str, message: str | None) -> Callable[[], Any]:
    get_attribute = operator.attrgetter(name)

    def resolve() -> Any:
        try:
            return local._ctxlocal_gets[name]()[1]  # type: ignore[index]
        except (KeyError, TypeError):  # no such cell, or nothing in it
            pass
        try:
            return get_attribute(local)
        except AttributeError:
            pass
        raise _unbound(local._ctxlocal_slot, name, message, f"Set its attribute {name!r}")

    return resolve


def _from_stack(stack: LocalStack[Any], name: str | None, message: str | None) -> Callable[[], Any]:
    def resolve() -> Any:
        top = stack.top
        if top is None:
            raise _unbound(stack._slot, name, message, "Push an object on it")
        return top

    return resolve if name is None else _named(resolve, name, message)


def _from_var(var: ContextVar[Any], name: str | None, message: str | None) -> Callable[[], Any]:
    def resolve() -> Any:
        try:
            return var.get()
        except LookupError:
            pass
        raise _error(message, f"ContextVar {var.name!r}", name, _ident.resolve("context"), "Set it")

    return resolve if name is None else _named(resolve, name, message)


def _named(resolve: Callable[[], Any], name: str, message: str | None) -> Callable[[], Any]:
    get_attribute = operator.attrgetter(name)

    def resolve_named() -> Any:
        found = resolve()
        try:
            return get_attribute(found)
        except AttributeError as error:
            raise UnboundError(
                message
                or f"LocalProxy {name!r} is not bound: the {type(found).__name__!r} object it "
                f"leads to has no attribute {name!r}. Set it there first."
            ) from error

    return resolve_named


def _from_callable(function: Callable[[], Any], name: str | None) -> Callable[[], Any]:
    get_attribute = None if name is None else operator.attrgetter(name)

    def resolve() -> Any:
        try:
            found = function()
            return found if get_attribute is None else get_attribute(found)
        except UnboundAttributeError as error:  # another proxy, on the way
            raise UnboundError(
                str(error), proxy=error.proxy, ident=error.ident, owner=error.owner
            ) from error
        except AttributeError as error:
            raise ResolverError(function) from error

    return resolve


def _unbound(slot: Slot, name: str | None, message: str | None, remedy: str) -> UnboundError:
    return _error(message, slot.label, name, slot.strategy(), remedy)


def _error(
    message: str | None, source: str, name: str | None, strategy: Any, remedy: str
) -> UnboundError:
    proxy = f"LocalProxy of {source}" if name is None else f"LocalProxy {name!r} of {source}"
    owner = strategy.describe()
    return UnboundError(
        message
        or f"{proxy} is not bound in {owner} (identity strategy {strategy.name!r}). "
        f"{remedy} there first, or carry it there with ctxlocal.flow.bind().",
        proxy=proxy,
        ident=strategy.name,
        owner=owner,
    )


def write_back(local: Any, name: str | None, result: Any) -> None:
    """Store the result of an in-place operation where the operand came from.

    :raises TypeError: it came from a callable, which offers no place.
    """
    if name is not None:
        path, _, attribute = name.rpartition(".")
        holder = local if isinstance(local, Local) else resolver_for(local, None, None)()
        setattr(operator.attrgetter(path)(holder) if path else holder, attribute, result)
    elif isinstance(local, LocalStack):
        local.pop()
        local.push(result)
    elif isinstance(local, ContextVar):
        local.set(result)
    else:
        raise TypeError(
            f"The in-place operation made a new object, {type(result).__name__!r}, and {local!r}, "
            "which finds the object behind this proxy, offers no place to store it. Operate on "
            "an object that changes in place, or proxy a Local, LocalStack or ContextVar."
        )
