"""A copy of the tree in which the tests of a mutant run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from tests.support.tree import Ended, Tree

from . import selecting, watching
from .watch import sitecustomize

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
_OPTIONS = ("-m", "not browser", "--hypothesis-seed=0")
_LIMIT_S = 1800  # of many tests
_OF_ONE = "--timeout=30"  # seconds; what takes half of that is left out


class WatchedTree(Tree):
    """A copy whose tests run in the same way each time, but for what is broken."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, leaving=("__pycache__",))

    def watch(self, paths: Sequence[str], log: Path, tests: Path) -> Ended:
        """Run all tests, and log which line runs in which."""
        ignored = [f"--ignore={path}" for path in LEFT_OUT]
        options = [_OF_ONE, "-p", "tests.mutants.watching", *ignored]
        environ = {
            sitecustomize.LOG: str(log),
            sitecustomize.PACKAGE: str(self.package),
            watching.TESTS: str(tests),
            "PYTHONPATH": f"{self.folder}{os.pathsep}{Path(sitecustomize.__file__).parent}",
        }
        return self._run([*options, *paths], _LIMIT_S, environ)

    def run(self, chosen: Sequence[str], limit_s: float) -> Ended:
        """Run these tests, up to the first that fails."""
        return self._run_chosen(chosen, limit_s, "-x")

    def failing(self, chosen: Sequence[str]) -> list[str]:
        """Return which of these tests fail."""
        return [red.test for red in self._run_chosen(chosen, _LIMIT_S, "-rfE").red]

    def _run_chosen(self, chosen: Sequence[str], limit_s: float, option: str) -> Ended:
        names = self.folder / "chosen.json"
        names.write_text(json.dumps(chosen), encoding="utf-8")
        files = dict.fromkeys(name.partition("::")[0] for name in chosen)
        options = [option, _OF_ONE, "-p", "tests.mutants.selecting", *files]
        return self._run(options, limit_s, {selecting.CHOSEN: str(names)})

    def _run(self, options: Sequence[str], limit_s: float, environ: dict[str, str]) -> Ended:
        environ = {"PYTHONHASHSEED": "0", "CTXLOCAL_MODEL_EXAMPLES": "10", **environ}
        return self.run_pytest([*_OPTIONS, *options], limit_s=limit_s, environ=environ)
