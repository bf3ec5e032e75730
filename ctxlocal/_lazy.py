"""The public names of ``ctxlocal`` that are loaded when they are first used."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_MODULES: Final = ("errors", "flow", "ident", "trace")
_NAMES: Final = {
    "CtxLocalError": "errors",
    "LocalManager": "local.manager",
    "UnboundError": "errors",
    "load_ipython_extension": "integrations.ipython",
    "proxy": "local",
    "release_local": "local.manager",
    "scoped": "flow",
    "unload_ipython_extension": "integrations.ipython",
}


def load(name: str) -> Any:
    """Return a public name of the package, which has it from then on."""
    package = sys.modules[__package__ or "ctxlocal"]
    if name not in _NAMES and name not in _MODULES:
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")
    module = f"{package.__name__}.{_NAMES.get(name, name)}"
    __import__(module)
    found = sys.modules[module]
    if name in _NAMES:
        found = getattr(found, name)
        setattr(package, name, found)
    return found
