"""A copy of the tree in which tests run, and how pytest is started there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

from . import selecting, watching
from .watch import sitecustomize

ROOT = Path(__file__).parents[2]
_COPIED = ("ctxlocal", "tests", "docs", "benchmarks")
#: What is about speed, memory, documents or the command, needs a browser, or takes minutes.
LEFT_OUT = (
    "tests/benchmarks",
    "tests/cli",
    "tests/differential",
    "tests/mutants",
    "tests/published",
    "tests/sessions/mutations",
    "tests/lab",
    "tests/package/test_collection.py",
    "tests/package/test_docs.py",
    "tests/package/test_docs_lines.py",
    "tests/package/test_docs_shell.py",
    "tests/local/test_memory.py",
    "tests/local/test_native_fuzz.py",
    "tests/local/test_native_memory.py",
    "tests/local/test_native_model.py",
    "tests/local/test_recursion.py",
)
_OPTIONS = ("-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-m", "not browser")


#: A line of pytest's summary.
RED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", re.MULTILINE)
_LIMIT_S = 1800  # of many tests


class Done(NamedTuple):
    """How pytest ended."""

    status: int | None  #: None if it took too long and was killed
    output: str


class Tree:
    """A copy that may be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "ctxlocal"
        ignored = shutil.ignore_patterns("__pycache__")
        for name in _COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
            shutil.copy2(ROOT / name, folder)

    def watch(self, paths: Sequence[str], log: Path, tests: Path) -> Done:
        """Run all tests, and log which line runs in which."""
        options = ["-p", "tests.mutants.watching", *(f"--ignore={path}" for path in LEFT_OUT)]
        environment = {
            sitecustomize.LOG: str(log),
            sitecustomize.PACKAGE: str(self.package),
            watching.TESTS: str(tests),
            "PYTHONPATH": f"{self.folder}{os.pathsep}{Path(sitecustomize.__file__).parent}",
        }
        return self._pytest([*options, *paths], environment, _LIMIT_S)

    def run(self, chosen: Sequence[str], limit: float) -> Done:
        """Run these tests, up to the first that fails."""
        return self._run_chosen(chosen, limit, "-x")

    def failing(self, chosen: Sequence[str]) -> list[str]:
        """Return which of these tests fail."""
        return RED.findall(self._run_chosen(chosen, _LIMIT_S, "-rfE").output)

    def _run_chosen(self, chosen: Sequence[str], limit: float, option: str) -> Done:
        names = self.folder / "chosen.json"
        names.write_text(json.dumps(chosen), encoding="utf-8")
        files = dict.fromkeys(name.partition("::")[0] for name in chosen)
        options = [option, "--timeout=30", "-p", "tests.mutants.selecting", *files]
        environment = {selecting.CHOSEN: str(names), "PYTHONPATH": str(self.folder)}
        return self._pytest(options, environment, limit)

    def write(self, path: str, source: bytes) -> None:
        """Put a file of the package in its place."""
        target = self.package / path
        target.write_bytes(source)
        # Two versions of one size and second would share it.
        Path(cache_from_source(str(target))).unlink(missing_ok=True)

    def _pytest(self, options: Sequence[str], environment: dict[str, str], limit: float) -> Done:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *_OPTIONS, "--hypothesis-seed=0", *options],
            cwd=self.folder,
            env={
                **os.environ,
                "COLUMNS": "500",  # or the summary is cut off
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONHASHSEED": "0",
                "CTXLOCAL_MODEL_EXAMPLES": "40",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            return Done(None, "")
        finally:
            _kill_all(process)  # what a test has started too
        return Done(process.returncode, output)


def _kill_all(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
