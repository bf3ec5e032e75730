"""Values: the base of all sessions, with what most requests do, in the twin that was chosen.

``pure`` is the specification. ``native`` has the sources of the other, in C, which does what is
common and calls the pure twin's methods for all else. It serves where that of ``local`` does.
"""

from __future__ import annotations

from ...local import IMPLEMENTATION

TYPE_CHECKING = False

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from .pure import Values
else:
    try:
        from ._native import Values
    except ImportError:  # it was not built
        from .pure import Values

__all__ = ["Values"]
