"""Counts, in a process under callgrind: ``python -m ... counted COUNTER FOLDER``.

Everything is imported once, without being counted, which would take twenty times as long; then each
kind has a process of its own, forked, so that what one leaves behind (caches, the interpreter's
specialised code, memory) is nothing to the others. There the collector of cycles is off, and the
requests that are counted come after many that are not. Neither chance nor the clock has a say: what
is done once a second would be done more often on a busy machine.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .kinds import Kind

WARM_UP, REQUESTS = 300, 200


def main(counter: str, folder: str, *names: str) -> None:
    """Count each kind, or those of the names; callgrind writes the figures to its files."""
    leave_nothing_to_chance()
    from .kinds import KINDS  # which imports what keeps these functions

    callgrind = ctypes.CDLL(counter)
    gc.collect()
    gc.freeze()
    gc.disable()
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        if (child := os.fork()) == 0:
            _count(kind, callgrind, Path(folder))
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(f"{kind.name}: ended by signal {os.WTERMSIG(status)}", file=sys.stderr)


def leave_nothing_to_chance() -> None:
    """Stop the clocks, and have random bytes that are always the same."""
    time.time = repeat(time.time()).__next__
    time.monotonic = repeat(time.monotonic()).__next__
    os.urandom = random.Random(0).randbytes
    from ctxlocal.sessions.stores import grouped  # which takes these functions

    grouped.LINGER = 600.0  # seconds: between two requests of a busy machine a thread would end


def _count(kind: Kind, callgrind: ctypes.CDLL, folder: Path) -> None:
    """Count one kind, and end the process."""
    status = 1
    try:
        serve = kind.make(Path(tempfile.mkdtemp(dir=folder)))
        serve(WARM_UP)
        callgrind.start_counting()
        serve(REQUESTS)
        callgrind.stop_counting(kind.name.encode())
        status = 0
    except Exception as error:
        print(f"{kind.name}: {error!r}", file=sys.stderr)
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
