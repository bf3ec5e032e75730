"""Counts once more what the committed figures were taken of, with today's interpreter.

Another build of Python, another version of a library or another processor gives other figures for
the same code. There the committed ones say nothing, but the commit that has them does: its package
is counted beside the present one, by the same requests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.run import implementation

from .count import ROOT, CountingError, count

BUILD = ("setup.py", "pyproject.toml", "README.md", "LICENSE")  # what else building it takes


def count_again(figures: Path) -> dict[str, float]:
    """Return the figures of the package as it was in the commit that wrote a file of figures.

    :raises CountingError: git does not have that commit.
    """
    commit = _git("log", "-1", "--format=%H", "--", str(figures)).decode().strip()
    if not commit:
        raise CountingError(f"no commit has {figures.name}")
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        archive = _git("archive", commit, "ctxlocal", *BUILD)
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        (tree / "benchmarks").symlink_to(ROOT / "benchmarks")
        if implementation() == "native":
            build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
            subprocess.run(build, cwd=tree, check=True)
        return count(tree)


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if done.returncode:
        raise CountingError(f"git {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout
