"""Local, LocalStack, LocalProxy and LocalManager, in the twin that was chosen for this process.

``pure`` is the reference twin, ``native`` has the sources of the other, in C; beside them lies
what both need. ``CTXLOCAL_PURE=1`` in the environment chooses the pure twin. Type checkers read
that one.

May import: ``errors``, ``ident``.
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
    from .pure.latch import Latch
    from .pure.local import Local
    from .pure.proxy import BaseProxy, LocalProxy, is_bound, proxy, unwrap
    from .pure.stack import LocalStack

    def exchanged() -> None:
        """Do nothing: the native twin forgets here what it remembers of carried values."""

else:
    from ._native import BaseProxy, Latch, Local, LocalProxy, LocalStack, is_bound, unwrap
    from ._native import _exchanged as exchanged

    def __getattr__(name):
        if name != "proxy":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._native import _proxy_class
        from .like import proxy_function  # half a millisecond

        globals()[name] = proxy_function(_proxy_class)
        return globals()[name]


IMPLEMENTATION = "native" if _is_native else "pure"

__all__ = [
    "IMPLEMENTATION",
    "REASON",
    "BaseProxy",
    "Latch",
    "Local",
    "LocalProxy",
    "LocalStack",
    "exchanged",
    "is_bound",
    "proxy",
    "unwrap",
]
