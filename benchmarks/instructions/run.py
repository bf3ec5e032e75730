"""Count, and compare with the committed figures: ``python -m benchmarks.instructions --help``.

A figure that has grown by more than 3 % fails; one that has shrunk by more is named, to be written
down anew by ``--update``. Where valgrind is missing nothing is counted, which is said, and under CI
is a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.run import RESULTS, about, results_name
from ctxlocal.lab.bench.rival import versions

from .before import count_again
from .count import CountingError, count, gap
from .kinds import KINDS
from .ledger import Counts, changes, differences

LIBRARIES = ("werkzeug", "blinker", "msgspec", "markupsafe", "cryptography")


def main(argv: list[str] | None = None) -> int:
    """Count, and write or compare; 1 where something has become dearer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the figures, compare nothing")
    arguments = parser.parse_args(argv)
    if (missing := gap()) is not None:
        print(f"instructions are not counted: {missing} is missing", file=sys.stderr)
        return int("CI" in os.environ)
    try:
        if not arguments.update:
            _refuse_without_figures()
        now = described(_count_all(), sys.argv[1:] if argv is None else argv)
        if arguments.update:
            return _write(now)
        return _compare(now)
    except CountingError as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 1


def _count_all() -> dict[str, float]:
    counted = count()
    if broken := [kind.name for kind in KINDS if kind.name not in counted]:
        raise CountingError(f"not served: {', '.join(broken)}")
    return counted


def described(counted: Mapping[str, float], argv: list[str]) -> Counts:
    """Return figures with what they were taken on."""
    document: dict[str, Any] = {
        **about("instructions", argv, path_here()),
        "architecture": platform.machine(),
        "build": sys.version,
        "libc": " ".join(platform.libc_ver()),
        "counted": {name: round(figure) for name, figure in counted.items()},
        "above": {kind.name: kind.above for kind in KINDS if kind.above is not None},
        "left_out": {},
    }
    document["versions"] = versions(LIBRARIES) | {"sqlite": sqlite3.sqlite_version}
    return Counts(document)


def path_here() -> Path:
    """Return the results file of this Python on this architecture."""
    name = Path(results_name())
    return RESULTS / "instructions" / f"{name.stem}-{platform.machine()}{name.suffix}"


def _write(now: Counts) -> int:
    path = path_here()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now.document, indent=1) + "\n")
    return 0


def _refuse_without_figures() -> None:
    """Say before the count that there is nothing to compare it with."""
    path = path_here()
    if not path.exists():
        others = ", ".join(sorted(other.stem for other in path.parent.glob("*.json")))
        raise CountingError(
            f"no figures of this Python ({path.stem}) to compare with, but those of {others}; "
            "write them by --update"
        )


def _compare(now: Counts) -> int:
    path = path_here()
    before = Counts(json.loads(path.read_text("utf-8")))
    if others := list(differences(before, now)):
        print("counted anew, with the package of the commit that wrote the figures, because of")
        print("".join(f"  {other}\n" for other in others), end="")
        before = Counts({**before.document, "counted": count_again(path)})
    return _tell(before.costs, now.costs)


def _tell(before: dict[str, float], now: dict[str, float]) -> int:
    """Print each cost beside what it was, and return whether one has grown."""
    changed = changes(before, now)
    for name, cost in now.items():
        was = f"{before[name]:12,.0f}" if name in before else f"{'new':>12}"
        change = f"  {changed[name]:+.1%}" if name in changed else ""
        print(f"{name:45}{was}{cost:12,.0f}{change}")
    if any(change < 0 for change in changed.values()):
        print("cheaper than the figures say: write them by --update, so that it stays so")
    dearer = [name for name, change in changed.items() if change > 0]
    if dearer:
        print(f"dearer: {', '.join(dearer)}; if that has its reason, write it by --update")
    return int(bool(dearer))
