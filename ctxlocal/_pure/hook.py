"""How a Local or LocalStack makes a proxy for itself, although proxies stand above them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_classes: list[Callable[..., Any]] = []


def register_proxy(cls: Callable[..., Any]) -> None:
    """Let ``make_proxy`` make instances of ``cls``."""
    _classes[:] = [cls]


def make_proxy(local: object, name: str | None, *, unbound_message: str | None) -> Any:
    """Make the proxy that calling ``local`` returns."""
    return _classes[0](local, name, unbound_message=unbound_message)
