"""Breaks each requirement on sessions in turn, and sees a test that bears its number go red.

``python -m tests.sessions.mutations`` tries all, ``--only R7`` (again for more) some, and two at a
time unless ``--jobs`` says otherwise. The exit status is 1 if a mutation survives, or a requirement
has none, or no test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from tests.support.tree import ROOT

from .bearing import bearing_tests
from .piece import BrokenTableError, Code
from .run import FOLDERS, Outcome, try_mutation, unmutated
from .table import MUTATIONS, REQUIREMENTS


def main() -> int:
    """Run the mutations that the command line asks for, and report."""
    numbers, jobs = _asked_for()
    console = Console(width=None if sys.stdout.isatty() else 120)
    tests = bearing_tests()
    bare = [n for n in numbers if not tests[n] or all(m.requirement != n for m in MUTATIONS)]
    if bare:
        console.print(f"No test or no mutation for {', '.join(f'R{n}' for n in bare)}")
        return 1
    start = perf_counter()
    try:
        outcomes = _outcomes(numbers, tests, jobs, console)
    except BrokenTableError as error:
        console.print(escape(str(error)))
        return 1
    console.print(_table(outcomes, tests))
    survived = [outcome for outcome in outcomes if not outcome.red]
    for outcome in survived:
        console.print(f"\nR{outcome.mutation.requirement} {escape(outcome.mutation.breaks)}: ")
        console.print(escape(outcome.problem) or "every test passed")
    seconds = perf_counter() - start
    console.print(
        f"{len(outcomes)} mutations of {len(numbers)} requirements, {len(survived)} survived; "
        f"{seconds:.0f} s"
    )
    return 1 if survived else 0


def _asked_for() -> tuple[tuple[int, ...], int]:
    """Return which requirements, and how many mutations at a time."""
    parser = argparse.ArgumentParser(prog="python -m tests.sessions.mutations", description=__doc__)
    parser.add_argument("--only", action="append", metavar="R7", help="this requirement alone")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="at a time; default 2")
    arguments = parser.parse_args()
    only = arguments.only
    if only is None:
        return REQUIREMENTS, arguments.jobs
    names = {f"R{number}": number for number in REQUIREMENTS}
    if unknown := [name for name in only if name.upper() not in names]:
        parser.error(f"there is no requirement {', '.join(unknown)}")
    return tuple(sorted({names[name.upper()] for name in only})), arguments.jobs


def _outcomes(
    numbers: tuple[int, ...], tests: dict[int, list[str]], at_once: int, console: Console
) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="ctxlocal-mutation-") as name:
        folder, code = Path(name), Code.read(ROOT / "ctxlocal", FOLDERS)
        every = sorted({test for n in numbers for test in tests[n]})
        tree = unmutated(folder / "unmutated", code, every)
        chosen = [mutation for mutation in MUTATIONS if mutation.requirement in numbers]
        with ThreadPoolExecutor(at_once) as pool:
            tried = [
                pool.submit(try_mutation, tree, folder / str(i), code, mutation, tests[mutation[0]])
                for i, mutation in enumerate(chosen)
            ]
            return [each.result() for each in track(tried, "Mutations", console=console)]


def _table(outcomes: list[Outcome], tests: dict[int, list[str]]) -> Table:
    table = Table("", "tests", "broken", "red", "s")
    last = 0
    for (number, breaks, _), red, problem, seconds in outcomes:
        first = number != last
        if first and last:
            table.add_section()
        last = number
        head = (f"R{number}", str(len(tests[number]))) if first else ("", "")
        verdict = escape(red) or f"[bold red]{'NOT RUN' if problem else 'SURVIVED'}"
        table.add_row(*head, escape(breaks), verdict, f"{seconds:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
