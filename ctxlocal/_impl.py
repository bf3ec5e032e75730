"""The implementation in use, chosen once: the native twin, or the pure one where there is none.

``CTXLOCAL_PURE=1`` in the environment chooses the pure twin. Type checkers read that one.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False


def _choose() -> tuple[bool, str]:
    """Tell whether the native twin serves, and why or why not."""
    if os.environ.get("CTXLOCAL_PURE", "0") not in ("", "0"):
        return False, "CTXLOCAL_PURE is set"
    if "t" in getattr(sys, "abiflags", ""):
        return False, "there is no native twin for a free-threaded Python"
    try:
        from ._native import IN_PLACE  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        return False, f"the native twin was not built, or cannot be loaded ({error})"
    if IN_PLACE:
        return True, "built for this Python"
    return True, "built for this Python; a Context's values are copied for each write"


_is_native, REASON = _choose()

if TYPE_CHECKING or not _is_native:
    from ._pure.local import Local
    from ._pure.proxy import BaseProxy, LocalProxy, is_bound, proxy, unwrap
    from ._pure.stack import LocalStack

    def exchanged() -> None:
        """Hear that carried values were exchanged; the pure twin remembers none."""

else:
    from ._like import proxy_function
    from ._native import BaseProxy, Local, LocalProxy, LocalStack, is_bound, unwrap
    from ._native import _exchanged as exchanged
    from ._native import _proxy_class as proxy_class

    proxy = proxy_function(proxy_class)

from ._pure.manager import LocalManager, release_local
from ._pure.scope import set_lost_scope_hook
from ._pure.scoped import Scoped

IMPLEMENTATION = "native" if _is_native else "pure"

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
