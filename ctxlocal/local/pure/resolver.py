"""How a proxy finds its object, and where the result of an in-place operation goes."""

from __future__ import annotations

import _operator as operator  # all of operator that is needed, without the Python part
from contextvars import ContextVar

from ..unbound import no_place, resolver_failed, unbound, unbound_named, unbound_var
from .local import Local
from .stack import LocalStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def resolver_for(local: Any, name: str | None, message: str | None) -> Callable[[], Any]:
    """Return the callable that finds a proxy's object; the parameters are LocalProxy's.

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
        return resolve_by_class()

    def resolve_by_class() -> Any:
        try:
            return get_attribute(local)
        except AttributeError:
            pass
        raise unbound(local._ctxlocal_slot, name, message, f"Set its attribute {name!r}")

    # A subclass may have a __getattribute__, or data descriptors, now or later.
    return resolve if type(local)._ctxlocal_class is Local else resolve_by_class


def _from_stack(stack: LocalStack[Any], name: str | None, message: str | None) -> Callable[[], Any]:
    def resolve() -> Any:
        top = stack.top
        if top is None:
            raise unbound(stack._slot, name, message, "Push an object on it")
        return top

    return resolve if name is None else _named(resolve, name, message)


def _from_var(var: ContextVar[Any], name: str | None, message: str | None) -> Callable[[], Any]:
    def resolve() -> Any:
        try:
            return var.get()
        except LookupError:
            pass
        raise unbound_var(var, name, message)

    return resolve if name is None else _named(resolve, name, message)


def _named(resolve: Callable[[], Any], name: str, message: str | None) -> Callable[[], Any]:
    get_attribute = operator.attrgetter(name)

    def resolve_named() -> Any:
        found = resolve()
        try:
            return get_attribute(found)
        except AttributeError as error:
            raise unbound_named(name, found, message) from error

    return resolve_named


def _from_callable(function: Callable[[], Any], name: str | None) -> Callable[[], Any]:
    get_attribute = None if name is None else operator.attrgetter(name)

    def resolve() -> Any:
        try:
            found = function()
            return found if get_attribute is None else get_attribute(found)
        except AttributeError as error:
            raise resolver_failed(function, error) from error

    return resolve


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
        raise no_place(local, result)
