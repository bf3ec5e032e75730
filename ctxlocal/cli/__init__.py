"""The command ``ctxlocal``: proofs, measurements and the care of sessions.

``matrix``    proves each identity strategy against each way of starting work
``doctor``    looks at one process, and says whether its choice of strategy can work there
``soak``      serves requests by real servers under load, and counts what is mixed up
``bench``     measures the cost, beside the other libraries that are installed
``prove``     does all of these in a minute, and writes a report
``sessions``  counts, lists, purges and ends the sessions in a store
``demo``      serves a shop whose sessions can be watched
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
