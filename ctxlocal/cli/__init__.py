"""The command ``ctxlocal``: what an operator types.

``matrix`` proves each strategy against each way of starting work; ``doctor`` judges one process;
``soak`` loads real servers, ``bench`` measures what it costs, ``prove`` does all three and writes a
report. ``sessions`` looks after the sessions in a store, ``demo`` shows them at work.

May import: ``ctxlocal``, ``errors``, ``ident``, ``local``, ``flow``, ``sessions``, ``web``,
``lab``.
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
    from .output import told_output

    with told_output():
        ctxlocal(prog_name="ctxlocal")
