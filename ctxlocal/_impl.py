"""The implementation in use, chosen once: the native twin, or the pure one where there is none.

``CTXLOCAL_PURE=1`` in the environment chooses the pure twin. Type checkers read that one.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def _find_native() -> tuple[ModuleType | None, str]:
    """Return the native twin, or None and why it does not serve."""
    if os.environ.get("CTXLOCAL_PURE", "0") not in ("", "0"):
        return None, "CTXLOCAL_PURE is set"
    if hasattr(sys, "_is_gil_enabled") and "t" in sys.abiflags:
        return None, "this is a free-threaded Python, for which there is no native twin"
    try:
        from . import _native
    except ImportError as error:
        return None, f"the native twin was not built, or cannot be loaded: {error}"
    if not hasattr(_native, "IN_PLACE"):
        return None, "the native twin was not built"
    if not _native.IN_PLACE:
        return _native, "built for this Python; values are copied for each write"
    return _native, "built for this Python"


_native, REASON = _find_native()

if TYPE_CHECKING or _native is None:
    from ._pure.local import Local
    from ._pure.proxy import BaseProxy, LocalProxy, is_bound, proxy, unwrap
    from ._pure.stack import LocalStack

    IMPLEMENTATION = "pure"

    def exchanged() -> None:
        """Hear that carried values were exchanged; the pure twin caches none."""

else:
    from ._like import proxy_function

    Local = _native.Local
    LocalStack = _native.LocalStack
    BaseProxy = _native.BaseProxy
    LocalProxy = _native.LocalProxy
    is_bound = _native.is_bound
    unwrap = _native.unwrap
    proxy = proxy_function(_native._proxy_class)
    exchanged = _native._exchanged
    IMPLEMENTATION = "native"

from ._pure.manager import LocalManager, release_local
from ._pure.scope import Scoped, set_lost_scope_hook

__all__ = [
    "IMPLEMENTATION",
    "REASON",
    "BaseProxy",
    "Local",
    "LocalManager",
    "LocalProxy",
    "LocalStack",
    "Scoped",
    "exchanged",
    "is_bound",
    "proxy",
    "release_local",
    "set_lost_scope_hook",
    "unwrap",
]
