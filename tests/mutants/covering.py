"""Which tests run which lines of the package, and what each takes."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from .mutant import Mutant
from .tree import WatchedTree

_SLOW_S = 15.0  # a test that takes longer is left out
#: Texts in the code that may be in the id of a test with parameters.
_TEXTS = re.compile(r"'(\w{3,})'")


class Test(NamedTuple):
    """A test that passes, and whose lines are known."""

    id: str
    seconds: float

    @property
    def function(self) -> str:
        """Its id without the parameters."""
        return self.id.partition("[")[0]


class Covering:
    """What one run of the tests has shown."""

    def __init__(self, tests: Sequence[Test | None], lines: dict[str, dict[int, set[int]]]) -> None:
        self.tests = tests
        self._lines = lines
        self._onlookers = _onlookers(len(tests), lines)

    @classmethod
    def measure(cls, tree: WatchedTree, folder: Path, paths: Sequence[str]) -> Covering:
        """Run the tests, or read what an earlier run has left in the folder."""
        log, tests = folder / "lines.log", folder / "tests.json"
        if not tests.exists():
            folder.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            done = tree.watch(paths, log, tests)
            (folder / "output.txt").write_text(done.output, encoding="utf-8")
            if not tests.exists():
                raise RuntimeError(f"the tests did not run:\n{done.output[-2000:]}")
        return cls(_read_tests(tests), _read_log(log))

    def without(self, ids: Container[str]) -> Covering:
        """Return the same, but for tests that are of no use."""
        tests = [None if test is None or test.id in ids else test for test in self.tests]
        return Covering(tests, self._lines)

    def choose(self, mutant: Mutant, budget: float) -> list[str]:
        """Return the ids of the tests that may notice, likely ones and quick ones first.

        Each function is tried with one of its parameters before any is with another. The budget
        is what the tests take, in seconds.
        """
        of_file = self._lines.get(mutant.path, {})
        numbers = _union(of_file, mutant.lines) | _union(of_file, mutant.users)
        if mutant.users:
            numbers |= self._onlookers
        tests = [test for i in numbers if (test := self.tests[i]) is not None]
        ranks: Counter[str] = Counter()
        ranked = []
        for test in sorted(tests, key=lambda test: test.seconds):
            mirrors = _mirrors(test, mutant)
            is_row = mirrors and bool(mutant.users)  # of a table, mostly, as the change may be
            is_next = not _names(test, mutant) and ranks[test.function] and not is_row
            ranked.append((is_next, not mirrors, test.seconds, test))
            ranks[test.function] += 1
        return _in_files([entry[3] for entry in sorted(ranked)], budget)


def _onlookers(tests: int, lines: dict[str, dict[int, set[int]]]) -> set[int]:
    """Return the tests that look at classes and modules, and run what every test runs at most."""
    at_work: set[int] = set()
    for of_file in lines.values():
        for those in of_file.values():
            if len(those) < tests / 2:
                at_work |= those
    return set(range(tests)) - at_work


def _names(test: Test, mutant: Mutant) -> bool:
    """Tell whether a test's id has a text that is near the change: it is a row of a table."""
    return any(text.strip("_") in test.id for text in _TEXTS.findall(mutant.before))


def _mirrors(test: Test, mutant: Mutant) -> bool:
    """Tell whether the test stands in the file that is named like the module, or is its row."""
    path = Path("ctxlocal", mutant.path).with_suffix("")
    dotted = ".".join(path.parts).removesuffix(".__init__")
    if test.id.endswith((f"[{dotted}]", f"-{dotted}]")):
        return True
    return Path(test.function.partition("::")[0]).stem.removeprefix("test_") == path.name.strip("_")


def _union(of_file: dict[int, set[int]], lines: range) -> set[int]:
    return set().union(*(of_file.get(line, ()) for line in lines))


def _in_files(tests: Sequence[Test], budget: float) -> list[str]:
    """Return as many as the budget allows, those of a file together."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        budget -= test.seconds
        if budget < 0:
            break
        files[test.id.partition("::")[0]].append(test.id)
    return [name for names in files.values() for name in names]


def _read_tests(path: Path) -> list[Test | None]:
    """Return the tests; None stands for one that is of no use."""
    known = json.loads(path.read_text(encoding="utf-8"))
    return [
        Test(each["id"], each["seconds"]) if each["passed"] and each["seconds"] <= _SLOW_S else None
        for each in known
    ]


def _read_log(path: Path) -> dict[str, dict[int, set[int]]]:
    lines: defaultdict[str, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    with path.open(encoding="utf-8", errors="replace") as log:
        for entry in log:
            test, _, rest = entry.partition("\t")
            file, _, line = rest.partition("\t")
            if test:  # not what the import by pytest runs
                lines[file][int(line)].add(int(test))
    return {file: dict(of_file) for file, of_file in lines.items()}
