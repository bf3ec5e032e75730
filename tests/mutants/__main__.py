"""Makes small mistakes in the package, one at a time, and sees whether a test notices.

``python -m tests.mutants --seed 1 --sample 40`` tries 40 of the mutants of the core, web, session
and integrations code; ``--only web`` (or ``core``, ``session``, ``web/app``, ``sessions/stores``;
again for more) some of them. With ``--map DIR`` the next run need not measure again which tests run
which lines. The exit status is 1 if more survive than ``--at-least`` allows, without those that
survivors.toml lists. Needs Python 3.12 or later.

Why not mutmut or cosmic-ray: these run, for each mutant, a whole suite, or what was seen in
pytest's own process. Many of our tests start a Python of their own, since they monkey-patch or
choose a twin. Here those count too, since what runs in them is seen as well
(watch/sitecustomize.py), and each mutant meets the tests alone that run its lines.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Container
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from .covering import Covering
from .mutant import Mutant, mutants_of
from .survivors import as_entry, read_survivors
from .tree import WatchedTree
from .trial import Verdict, try_mutant

#: What is mutated: not the command, not what only those import who test their own store.
_NOT_MUTATED = ("cli/", "lab/", "testing/", "__main__.py", "local/signature.py", "local/native/")
_SECOND_LOOK = 5  # times the budget, for a mutant that survives
PARTS = ("core", "web", "session", "integrations")
_CORE = ("errors.py", "ident/", "local/", "flow/", "trace/", "_")


def main() -> int:
    """Try the mutants that the command line asks for, and report."""
    if not hasattr(sys, "monitoring"):
        sys.exit("python -m tests.mutants needs Python 3.12 or later")
    arguments = _asked_for()
    start = perf_counter()
    with tempfile.TemporaryDirectory(prefix="ctxlocal-mutants-") as name:
        tree = WatchedTree(Path(name) / "tree")
        mutants = _sample(arguments, tree.package)
        if arguments.list:
            print(*mutants, sep="\n")
            return 0
        map_folder = arguments.map or Path(name) / "map"
        covering = Covering.measure(tree, map_folder, arguments.tests)
        known = sum(test is not None for test in covering.tests)
        print(f"{known} of {len(covering.tests)} tests; {perf_counter() - start:.0f} s", flush=True)
        verdicts = _try_all(tree, covering, mutants, arguments.budget)
        if false := _false_killers(tree, verdicts):
            print(f"fail without a mistake too, and are left out: {', '.join(sorted(false))}")
            again = [verdict.mutant for verdict in verdicts if verdict.killer in false]
            verdicts = [verdict for verdict in verdicts if verdict.killer not in false]
            verdicts += _try_all(tree, covering.without(false), again, arguments.budget)
    return _report(verdicts, perf_counter() - start, arguments.at_least)


def _asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, default=1, help="of the sample; default 1")
    add("--sample", type=int, default=40, metavar="N", help="how many; default 40")
    add("--only", action="append", metavar="PART", help="a part, or a path")
    add("--match", default="", metavar="TEXT", help="only mutants whose line has this text")
    add(
        "--budget",
        type=float,
        default=15.0,
        metavar="S",
        help="seconds of tests; then 5 times as many",
    )
    add("--at-least", type=float, default=100.0, metavar="PERCENT", help="killed, to be green")
    add("--map", type=Path, metavar="DIR", help="keep there which tests run which lines")
    add("--tests", nargs="+", default=["tests"], metavar="PATH", help="where tests are chosen from")
    add("--list", action="store_true", help="show the mutants and try none")
    return parser.parse_args()


def part_of(path: str) -> str:
    """Return which part of the package a file belongs to."""
    if path.startswith("sessions/"):
        return "session"
    if path.startswith("integrations/"):
        return "integrations"
    return "core" if path.startswith(_CORE) else "web"


def all_mutants(package: Path) -> list[Mutant]:
    """Return every mutant of every file in scope, in a fixed order."""
    paths = sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    scope = [path for path in paths if not path.startswith(_NOT_MUTATED)]
    return [mutant for path in scope for mutant in mutants_of(package, path)]


def _sample(arguments: argparse.Namespace, package: Path) -> list[Mutant]:
    only = arguments.only or PARTS
    wanted = [
        mutant
        for mutant in all_mutants(package)
        if any(mutant.path.startswith(part) or part == part_of(mutant.path) for part in only)
        and arguments.match in str(mutant)
    ]
    print(f"{len(wanted)} mutants, seed {arguments.seed}", flush=True)
    return sorted(wanted, key=lambda mutant: _rank(arguments.seed, mutant))[: arguments.sample]


def _rank(seed: int, mutant: Mutant) -> str:
    """Return what a sample is drawn by: it stays the same sample when other code changes."""
    return sha256(f"{seed} {mutant.name}".encode()).hexdigest()


def _try_all(
    tree: WatchedTree, covering: Covering, mutants: list[Mutant], budget: float
) -> list[Verdict]:
    verdicts, reasons = [], read_survivors()
    for number, mutant in enumerate(mutants, 1):
        verdict = try_mutant(tree, covering, mutant, budget)
        if not verdict.killer and mutant.name not in reasons:
            verdict = try_mutant(tree, covering, mutant, _SECOND_LOOK * budget)
        word = f"killed by {verdict.killer}" if verdict.killer else "SURVIVED"
        word += " (too late)" * verdict.is_late
        took = f"{verdict.seconds:.1f} s, {verdict.tests} tests"
        print(f"{number}/{len(mutants)} {took}: {mutant}: {word}", flush=True)
        verdicts.append(verdict)
    return verdicts


def _false_killers(tree: WatchedTree, verdicts: list[Verdict]) -> set[str]:
    """Return the tests that fail without a mistake too, among those that have killed."""
    killers = sorted({verdict.killer for verdict in verdicts if "::" in verdict.killer})
    return set(tree.failing(killers)) if killers else set()


def _report(verdicts: list[Verdict], seconds: float, at_least: float) -> int:
    """Say how many were killed, and which survived without being listed; return the status."""
    reasons = read_survivors()
    survived = [verdict.mutant for verdict in verdicts if not verdict.killer]
    unknown = [mutant for mutant in survived if mutant.name not in reasons]
    for part in PARTS:
        of_part = [verdict for verdict in verdicts if part_of(verdict.mutant.path) == part]
        if of_part:
            print(f"{part}: {_figure(of_part, reasons)}")
    print(f"together: {_figure(verdicts, reasons)}; {seconds:.0f} s")
    for mutant in unknown:
        print(f"\n{as_entry(mutant)}")
    counted = sum(bool(verdict.killer) for verdict in verdicts) + len(unknown)
    return 1 if 100 * len(unknown) > (100 - at_least) * counted else 0


def _figure(verdicts: list[Verdict], reasons: Container[object]) -> str:
    killed = sum(bool(verdict.killer) for verdict in verdicts)
    listed = sum(not verdict.killer and verdict.mutant.name in reasons for verdict in verdicts)
    counted = len(verdicts) - listed
    share = f" ({killed / counted:.1%})" if counted else ""
    late = sum(verdict.is_late for verdict in verdicts)
    return (
        f"{killed} of {counted} killed{share}, {late} of them by taking too long, "
        f"and {listed} are listed as not noticeable"
    )


if __name__ == "__main__":
    sys.exit(main())
