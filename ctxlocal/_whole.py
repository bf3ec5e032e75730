"""Loading what lazy imports have put off (PEP 810, Python 3.15), where every import is lazy."""

from __future__ import annotations

import sys


def load_whole(package: str) -> None:
    """Load what the loaded modules of a package import, and what those import of the package.

    Else it would be loaded at its first use: by a finaliser, in a forked child, at the
    interpreter's end; and what a module does when it is loaded would come too late.
    """
    done: set[str] = set()
    while names := {name for name in sys.modules if name.startswith(package)} - done:
        for name in names:
            for imported in list(vars(sys.modules[name])):
                getattr(sys.modules[name], imported)
        done |= names
