"""Run the cases and write one JSON file: ``python -m benchmarks.run --help``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from . import import_time
from .cases import GROUPS
from .measure import Result, measure
from .rival import load, missing, versions

RESULTS = Path(__file__).parent / "results"
TABLES = [
    *dict.fromkeys(case.table for cases in GROUPS.values() for case in cases),
    import_time.TABLE,
]
MACHINE = ("cpu_model_name", "cpu_count", "cpu_freq", "platform")
PYTHON = ("python_implementation", "python_version", "python_compiler")


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results, and say which rows are missing."""
    arguments = _parser().parse_args(argv)
    wanted = arguments.only or TABLES
    document: dict[str, Any] = {
        **about("run", sys.argv[1:] if argv is None else argv, arguments.output),
        "rounds": arguments.rounds,
        "tables": {},
        "left_out": {},
    }
    jobs = [
        (group, wanted, arguments.rounds, arguments.sample_ms / 1e3)
        for group, cases in GROUPS.items()
        if any(case.table in wanted for case in cases)
    ]
    # One process for each group: see cases/__init__.py.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for result in pool.imap(_measure_group, jobs, chunksize=1):
            document["tables"] |= result.tables
            document["left_out"] |= result.left_out
    if import_time.TABLE in wanted:
        rows = import_time.measure(min(arguments.rounds, 20))
        document["tables"][import_time.TABLE] = {
            row: {"ms": round(ms, 2)} for row, ms in rows.items()
        }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    for row, module in document["left_out"].items():
        print(f"left out: {row} (no module {module})", file=sys.stderr)
    return 0


def _measure_group(job: tuple[str, list[str], int, float]) -> Result:
    group, wanted, rounds, sample_seconds = job
    cases = tuple(case for case in GROUPS[group] if case.table in wanted)
    return measure(cases, rounds, sample_seconds)


def about(module: str, argv: list[str], output: Path) -> dict[str, Any]:
    """Return what a results file says of the run: command, date, machine, Python, versions.

    :param module: which of the benchmarks' modules runs.
    """
    try:
        pyperf = load("pyperf")
    except ImportError:
        raise SystemExit('pyperf is missing: python -m pip install "ctxlocal[bench]"') from None
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    # Folders of this machine stay out: the output is named as the repository would.
    named = f"benchmarks/results/{output.name}"
    command = [argument.replace(str(output), named) for argument in argv]
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *command]),
        "date": str(collected["date"])[:10],
        "implementation": implementation(),
        "python": platform.python_version(),
        "machine": {key: collected[key] for key in MACHINE if key in collected},
        "interpreter": {key: collected[key] for key in PYTHON if key in collected},
        "versions": versions(),
    }


def implementation() -> str:
    """Return which twin of ctxlocal is measured; "absent" without it."""
    if missing(("ctxlocal",)):
        return "absent"
    return str(getattr(load("ctxlocal"), "IMPLEMENTATION", "pure"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    name = f"{sys.implementation.name}{sys.version_info.major}{sys.version_info.minor}.json"
    parser.add_argument("--output", type=Path, default=RESULTS / f"{implementation()}-{name}")
    parser.add_argument(
        "--only", action="append", choices=TABLES, metavar="TABLE", help=", ".join(TABLES)
    )
    parser.add_argument(
        "--rounds", type=int, default=100, help="samples of each row (default: 100)"
    )
    parser.add_argument(
        "--sample-ms",
        type=float,
        default=1.0,
        help="length of a sample; 0 is one loop (default: 1)",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
