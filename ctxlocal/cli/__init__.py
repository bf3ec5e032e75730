"""The command ``ctxlocal``: what isolates what, on this machine and in this application.

``ctxlocal matrix`` proves each identity strategy against each way of starting
work; ``ctxlocal doctor`` looks at one process and says whether its choice of
strategy can work there; ``ctxlocal bench`` measures what it costs.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line; without click and rich say how to get them and exit 2."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        needed, packages = " and ".join(missing), " ".join(missing)
        print(f"The command ctxlocal needs {needed}: pip install {packages}", file=sys.stderr)
        raise SystemExit(2)
    from .commands import ctxlocal

    ctxlocal(prog_name="ctxlocal")
