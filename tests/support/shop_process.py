"""``ctxlocal demo`` in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.support.patience import PATIENCE_S
from tests.support.services import die_with_parent


class Ended(NamedTuple):
    """What is left of a demo."""

    status: int
    output: str
    errors: str


class Shop:
    """A demo that has said where it is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.said = process.stdout.readline()
        if not self.said.startswith("Shop on http://"):
            raise RuntimeError(f"the demo did not start: {self.said}{process.communicate()[1]}")
        self.url = self.said.split()[2]

    def end(self, how: int = signal.SIGTERM) -> Ended:
        """Send a signal and wait for what comes of it."""
        self._process.send_signal(how)
        output, errors = self._process.communicate(timeout=PATIENCE_S)
        return Ended(self._process.returncode, output, errors)


def command(server: str, store: str, *options: str) -> list[str]:
    """Return the command line."""
    demo = [sys.executable, "-m", "ctxlocal", "demo", "--port", "0"]
    return [*demo, "--server", server, "--store", store, *options]


def environment() -> dict[str, str]:
    """Return what a process needs to find what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _as_in_a_terminal() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit SIG_IGN


@contextmanager
def shop(server: str, store: str, *options: str) -> Iterator[Shop]:
    """Run a demo on a free port; it is gone at the end, whatever happens."""
    with subprocess.Popen(
        command(server, store, *options),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_as_in_a_terminal,
    ) as process:
        try:
            yield Shop(process)
        finally:
            process.kill()
