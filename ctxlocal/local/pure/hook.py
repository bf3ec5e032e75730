"""The hook by which a Local or LocalStack makes a proxy, which is defined in a later module."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_classes: list[Callable[..., Any]] = []


def register_proxy(cls: Callable[..., Any]) -> None:
    """Set the class whose instances ``make_proxy`` makes."""
    _classes[:] = [cls]


def make_proxy(local: object, name: str | None, *, unbound_message: str | None) -> Any:
    """Return the proxy that a call of ``local`` returns."""
    return _classes[0](local, name, unbound_message=unbound_message)
