"""The errors of a proxy that finds nothing; both twins raise what these return."""

from __future__ import annotations

from .. import ident as _ident
from ..errors import ResolverError, UnboundAttributeError, UnboundError
from .slot import subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar
    from typing import Any


def _nothing_known(slot: Any, name: str | None) -> str:
    """Add nothing to a message."""
    return ""


_explain: Callable[[Any, str | None], str] = _nothing_known
is_explained = False  # all that is bound is listed, where somebody asks why something is not


def set_explanation(explain: Callable[[Any, str | None], str] | None) -> None:
    """Set what adds to a message why a slot has nothing here; None: nothing does, as at first."""
    global _explain, is_explained
    _explain = explain or _nothing_known
    is_explained = explain is not None


def explanation(slot: Any, name: str | None) -> str:
    """Return what is known of why a slot has nothing here: lines that follow a message, or ""."""
    return _explain(slot, name)


def unbound(slot: Any, name: str | None, message: str | None, remedy: str) -> UnboundError:
    """Return the error where a Local or LocalStack has nothing; ``remedy`` says what to do."""
    return _error(message, slot.label, name, slot.strategy(), remedy, explanation(slot, name))


def unbound_var(var: ContextVar[Any], name: str | None, message: str | None) -> UnboundError:
    """Return the error where a ContextVar is not set."""
    source = f"ContextVar {var.name!r}"
    return _error(message, source, name, _ident.resolve("context"), "Set it")


def unbound_named(name: str, found: object, message: str | None) -> UnboundError:
    """Return the error where what is bound lacks the attribute ``name``."""
    return UnboundError(
        message
        or f"LocalProxy {name!r} is not bound: the {subject(found, '_ctxlocal_slot')} it "
        f"leads to has no attribute {name!r}. Set it there first."
    )


def resolver_failed(function: object, error: AttributeError) -> UnboundError | ResolverError:
    """Return the error that replaces an AttributeError of the callable behind a proxy."""
    if isinstance(error, UnboundAttributeError):  # another proxy, on the way
        return UnboundError(str(error), proxy=error.proxy, ident=error.ident, owner=error.owner)
    return ResolverError(function)


def unbound_attribute(error: RuntimeError, name: str) -> RuntimeError:
    """Return the error for an attribute's use: an UnboundError becomes an AttributeError too."""
    if isinstance(error, UnboundError):
        known = {"proxy": error.proxy, "ident": error.ident, "owner": error.owner}
    elif type(error) is RuntimeError:
        known = {}
    else:
        return error
    attribute_error = UnboundAttributeError(str(error), **known)
    attribute_error.name = name
    return attribute_error


def no_place(source: object, result: object) -> TypeError:
    """Return the error of an in-place operation whose result cannot be stored."""
    return TypeError(
        f"The in-place operation made a new object, {type(result).__name__!r}, and {source!r}, "
        "which finds the object behind this proxy, offers no place to store it. Operate on "
        "an object that changes in place, or proxy a Local, LocalStack or ContextVar."
    )


def _error(
    message: str | None, source: str, name: str | None, strategy: Any, remedy: str, why: str = ""
) -> UnboundError:
    proxy = f"LocalProxy of {source}" if name is None else f"LocalProxy {name!r} of {source}"
    owner = strategy.describe()
    text = message or (
        f"{proxy} is not bound in {owner} (identity strategy {strategy.name!r}). "
        f"{remedy} there first, or carry it there with ctxlocal.flow.bind()."
    )
    return UnboundError(
        text + why,
        proxy=proxy,
        ident=strategy.name,
        owner=owner,
    )
