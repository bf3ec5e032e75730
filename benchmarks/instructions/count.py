"""Runs the process under callgrind, and reads what it has counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import DEVNULL

from . import kinds
from .counted import REQUESTS

ROOT = Path(__file__).parents[2]
COUNTER = Path(__file__).with_name("counter.c")
HEADER = Path("/usr/include/valgrind/callgrind.h")
# What tells Python what to do differently; the rest of the environment stays out.
KEPT = ("CTXLOCAL_PURE", "LD_LIBRARY_PATH", "VALGRIND_LIB")
_KIND = re.compile(r"^desc: Trigger: Client Request: (.*)$", re.MULTILINE)
_TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class CountingError(Exception):
    """Nothing was counted; the text says why."""


def gap() -> str | None:
    """Return what is missing for counting, None where nothing is."""
    for program in ("valgrind", "cc"):
        if shutil.which(program) is None:
            return program
    return None if HEADER.exists() else str(HEADER)


def count(tree: Path = ROOT) -> dict[str, float]:
    """Return how many instructions each kind takes with the ctxlocal of ``tree``.

    A kind that does not work there is left out, and named on standard error.

    :param tree: a folder with ``ctxlocal`` and these ``benchmarks``.
    :raises CountingError: nothing was counted.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counter, figures = folder / "counter.so", folder / "figures"
        figures.mkdir()
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", counter, COUNTER], check=True)
        _run(tree, counter, figures, folder)
        found = dict(filter(None, map(_read, figures.iterdir())))
    if not found:
        raise CountingError("callgrind has written no figures")
    return {kind.name: found[kind.name] for kind in kinds.KINDS if kind.name in found}


def _run(tree: Path, counter: Path, figures: Path, folder: Path) -> None:
    callgrind = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no")
    counted = (sys.executable, "-m", f"{__package__}.counted", str(counter), str(folder))
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # Compiling what is imported leaves another heap than reading it, and so gives other figures.
    subprocess.run([sys.executable, "-c", f"import {kinds.__name__}"], cwd=tree, stderr=DEVNULL)
    done = subprocess.run(
        [*callgrind, f"--callgrind-out-file={figures}/%p", *counted],
        cwd=tree,
        # Strings hash alike in each run. PATH has valgrind find itself.
        env={**kept, "PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
        stderr=subprocess.PIPE,
        text=True,
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        raise CountingError(f"the counted process ended with status {done.returncode}")


def _read(path: Path) -> tuple[str, float] | None:
    """Return a kind and its figure; None for what callgrind writes when a process ends."""
    text = path.read_text()
    kind, total = _KIND.search(text), _TOTAL.search(text)
    return None if kind is None or total is None else (kind[1], int(total[1]) / REQUESTS)
