"""The signatures of the functions that are written in C, in Python.

The native twin calls these when arguments do not fit, for the text of the error.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def find_signature(name: str) -> Callable[..., None]:
    """Return the function of that qualified name."""
    found: Any = _TOP
    for part in name.split("."):
        found = found[part] if type(found) is dict else vars(found)[part]
    return found  # type: ignore[no-any-return]


class Local:
    def __init__(  # type: ignore[no-untyped-def]
        self, context_var=None, /, *, ident=None, name=None, carry=False, wire=()
    ) -> None: ...
    def __init_subclass__(cls, *, ident=None, carry=False, **keywords) -> None: ...  # type: ignore[no-untyped-def]
    def __call__(self, name, *, unbound_message=None) -> None: ...  # type: ignore[no-untyped-def]


class LocalStack:
    def __init__(  # type: ignore[no-untyped-def]
        self, context_var=None, /, *, ident=None, name=None, carry=False
    ) -> None: ...
    def pushed(self, obj, *, strict=False) -> None: ...  # type: ignore[no-untyped-def]
    def __call__(self, name=None, *, unbound_message=None) -> None: ...  # type: ignore[no-untyped-def]


class BaseProxy:
    def __init__(self, local, name=None, *, unbound_message=None) -> None: ...  # type: ignore[no-untyped-def]


def unwrap(obj) -> None: ...  # type: ignore[no-untyped-def]


def is_bound(proxy) -> None: ...  # type: ignore[no-untyped-def]


def resolve() -> None: ...


_TOP = {
    "Local": Local,
    "LocalStack": LocalStack,
    "BaseProxy": BaseProxy,
    "unwrap": unwrap,
    "is_bound": is_bound,
    "resolve": resolve,
}
