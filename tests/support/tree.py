"""A copy of the tree, in which something may be broken, and how pytest is run there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PASSED, FAILED, NO_TEST = 0, 1, 5  # pytest's exit codes; all others mean that it could not run

_FOLDERS = ("ctxlocal", "tests", "docs", "benchmarks")
_FILES = ("pyproject.toml", "setup.py", "README.md", "CHANGELOG.md")
_OPTIONS = ("-q", "--no-header", "--tb=line", "-p", "no:cacheprovider")
_RED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - (\w+).*)?$", re.MULTILINE)


class Red(NamedTuple):
    """A test that failed."""

    test: str  #: its id
    error: str  #: the class of what was raised, "" if pytest does not say


class Ended(NamedTuple):
    """How pytest ended."""

    status: int | None  #: None if it took too long and was killed
    output: str

    @property
    def red(self) -> list[Red]:
        """What failed, in pytest's order."""
        return [Red(*found) for found in _RED.findall(self.output)]


class Tree:
    """A copy that may be broken.

    :param folder: where it is made.
    :param source: of what.
    :param leaving: patterns of the files that it is to be without.
    """

    def __init__(self, folder: Path, *, source: Path = ROOT, leaving: Sequence[str] = ()) -> None:
        self.folder = folder
        self.package = folder / "ctxlocal"
        ignored = shutil.ignore_patterns(*leaving)
        for name in _FOLDERS:
            shutil.copytree(source / name, folder / name, ignore=ignored)
        for name in _FILES:
            shutil.copy2(source / name, folder)

    def write(self, path: str, source: bytes) -> None:
        """Put a file of the package in its place."""
        target = self.package / path
        target.write_bytes(source)
        # Two versions of one size and second would share it.
        Path(cache_from_source(str(target))).unlink(missing_ok=True)

    def run_pytest(
        self,
        arguments: Sequence[str],
        *,
        limit_s: float,
        environ: Mapping[str, str] | None = None,
        begin: Callable[[], object] | None = None,
    ) -> Ended:
        """Run tests of the copy on the copy, and end what they have started.

        :param environ: beside what this process has.
        :param begin: what the process calls before all else.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *_OPTIONS, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "COLUMNS": "500",  # or the summary is cut off
                "PYTHONPATH": str(self.folder),
                "PYTHONDONTWRITEBYTECODE": "",  # or each run would compile all tests anew
                **(environ or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=begin,
        )
        with process:
            try:
                output, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                return Ended(None, "")
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return Ended(process.returncode, output)
