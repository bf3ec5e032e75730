"""Breaks the native twin in small ways, and sees whether a test goes red.

``python -m tests.mutants.native --seed 1 --sample 100`` tries a hundred of the four thousand
changes that native_sites.py finds; ``--only namespace.h`` (a file or function) those of a part, and
``--quick`` with the nearest tests alone. Not counted are changes that are no C, and those of which
the compiler makes the same code. What survives has to be in survivors_native.toml, with the
reason why no test can see it, or the exit status is 1; also where an entry fits no code.

Measured with ``--seed 2 --quick`` on CPython 3.11, on the sources of the commit before "leave out
what guards against nothing": of 132 changes 55 that count were tried, and 8 of these are
equivalent; of the other 47 the tests killed 41 (87 %) before those of memory and imports that fail
and of what operations keep, and 46 (98 %) with what was added for survivors.
Seeds 4 and 5, ended early, ``--quick`` too: of 50 changes that count 3 are equivalent, and the
tests killed 45 (96 %) of the others, two of them by taking too long.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import tomllib

from tests.support.tree import ROOT

from .native_sites import Site, sites
from .native_trial import NEAR, STAGES, Stage, Workshop, mirror

SURVIVORS = Path(__file__).with_name("survivors_native.toml")


class Outcome(NamedTuple):
    """What became of a change.

    :param killed: what did it; "" where the change survived.
    :param reason: why that is known to be right.
    """

    number: int
    site: Site
    killed: str
    reason: str

    @property
    def verdict(self) -> str:
        """How the change stands in the report."""
        return self.killed or (f"survives: {self.reason}" if self.reason else "SURVIVES")


def main() -> int:
    """Try what the command line asks for, and report."""
    asked = _asked_for()
    every = sites(ROOT)
    listed = _listed(every)
    start = perf_counter()
    with tempfile.TemporaryDirectory(prefix="ctxlocal-native-") as folder:
        work = Workshop(Path(folder))
        stages = (NEAR,) if asked.quick else STAGES
        if not asked.trust:
            _check_unmutated(work, stages)
        outcomes = []
        for outcome in _outcomes(work, stages, _chosen(every, asked), listed, asked.sample):
            print(_line(outcome), flush=True)
            outcomes.append(outcome)
    survivors = [each for each in outcomes if not each.killed]
    unknown = [each for each in survivors if not each.reason]
    print(
        f"{len(outcomes)} changes, {len(outcomes) - len(survivors)} killed, "
        f"{len(survivors) - len(unknown)} survive for a reason, {len(unknown)} without; "
        f"{perf_counter() - start:.0f} s"
    )
    return 1 if unknown else 0


def _asked_for() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.native", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=100, help="how many; default 100")
    parser.add_argument("--only", metavar="namespace.h", help="changes in this file or function")
    parser.add_argument("--quick", action="store_true", help="with the nearest tests alone")
    parser.add_argument("--numbers", metavar="3,17", help="these changes, as a report has them")
    parser.add_argument("--trust", action="store_true", help="that all is green without a change")
    return parser.parse_args()


def _chosen(every: list[Site], asked: Any) -> list[int]:
    """Return the numbers of the changes to try, in order; more than will be counted."""
    if asked.numbers:
        return [int(number) for number in asked.numbers.split(",")]
    of_part = [
        number
        for number, site in enumerate(every)
        if asked.only in (None, site.function, Path(site.file).name)
    ]
    random.Random(asked.seed).shuffle(of_part)
    return of_part


def _listed(every: list[Site]) -> dict[tuple[str, str, str, str], str]:
    """Return why each survivor that is known survives, by its address."""
    known = {site.address for site in every}
    listed = {}
    for entry in tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", ()):
        reason = entry.pop("reason")
        site = Site(**entry, start=0, end=0, new="", line=0)
        if site.address not in known:
            sys.exit(f"{SURVIVORS.name}: {site.file} has no such code in {site.function}: {entry}")
        listed[site.address] = reason
    return listed


def _check_unmutated(work: Workshop, stages: tuple[Stage, ...]) -> None:
    work.build(None)
    for stage in stages:
        if red := work.run(stage):
            sys.exit(f"Without a change, {stage.name}: {red}")


def _outcomes(
    work: Workshop,
    stages: tuple[Stage, ...],
    numbers: list[int],
    listed: dict[tuple[str, str, str, str], str],
    most: int,
) -> Iterator[Outcome]:
    every, count = sites(ROOT), 0
    for number in numbers:
        if count == most:
            return
        site = every[number]
        if work.build(site):
            continue
        reason = listed.get(site.address, "")
        killed = "" if reason else work.run(mirror(site))
        if not killed:
            if work.is_same_when_optimised(site):
                continue
            work.build(site)
        if not (killed or reason):
            killed = next(filter(None, map(work.run, stages)), "")
        count += 1
        yield Outcome(number, site, killed, reason)


def _line(outcome: Outcome) -> str:
    number, site, _, _ = outcome
    change = f"    {site.code}\n    {site.becomes}\n" if not outcome.killed else ""
    return f"{number} {site.file}:{site.line} {site.function}: {outcome.verdict}\n{change}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
