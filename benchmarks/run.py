"""Run the cases and write one JSON file: ``python -m benchmarks.run --help``."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from ctxlocal.lab.bench.conductor import run_job
from ctxlocal.lab.bench.micro.part import MICRO, ROUNDS, SAMPLE_MS, jobs
from ctxlocal.lab.bench.report import PartFindings
from ctxlocal.lab.bench.rival import DISTRIBUTIONS, load, missing, versions
from ctxlocal.lab.versions import has_gil

RESULTS = Path(__file__).parent / "results"
MACHINE = ("cpu_model_name", "cpu_count", "cpu_freq", "platform")
PYTHON = ("python_implementation", "python_version", "python_compiler")


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results, and say which rows are missing."""
    arguments = _parser().parse_args(argv)
    findings = PartFindings(MICRO)
    for job in jobs(arguments.only or MICRO.tables, arguments.rounds, arguments.sample_ms):
        if reason := asyncio.run(run_job(job, findings)):
            raise SystemExit(f"{job.name}: {reason}")
    document: dict[str, Any] = {
        **about("run", sys.argv[1:] if argv is None else argv, arguments.output),
        "rounds": arguments.rounds,
        "tables": findings.gathered(),
        "left_out": findings.left_out,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    for row, module in document["left_out"].items():
        print(f"left out: {row} (no module {module})", file=sys.stderr)
    return 0


def about(module: str, argv: list[str], output: Path) -> dict[str, Any]:
    """Return what a results file says of the run: command, date, machine, Python, versions.

    :param module: which of the benchmarks' modules runs.
    """
    try:
        pyperf = load("pyperf")
    except ImportError:
        raise SystemExit('pyperf is missing: python -m pip install -e ".[bench]"') from None
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    # Folders of this machine stay out: the output is named as the repository would.
    named = f"benchmarks/results/{output.name}"
    command = [argument.replace(str(output), named) for argument in argv]
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *command]),
        "date": str(collected["date"])[:10],
        "implementation": implementation(),
        "python": platform.python_version(),
        "gil": has_gil(),
        "machine": {key: collected[key] for key in MACHINE if key in collected},
        "interpreter": {key: collected[key] for key in PYTHON if key in collected},
        "versions": versions((*DISTRIBUTIONS, "pyperf")),
    }


def implementation() -> str:
    """Return which twin of ctxlocal is measured; "absent" without it."""
    if missing(("ctxlocal",)):
        return "absent"
    return str(getattr(load("ctxlocal"), "IMPLEMENTATION", "pure"))


def results_name() -> str:
    """Return what a results file is called: twin, interpreter, and a t where there is no GIL."""
    major, minor = sys.version_info[:2]
    suffix = "" if has_gil() else "t"
    return f"{implementation()}-{sys.implementation.name}{major}{minor}{suffix}.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / results_name())
    parser.add_argument(
        "--only",
        action="append",
        choices=MICRO.tables,
        metavar="TABLE",
        help=", ".join(MICRO.tables),
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"samples of each row (default: {ROUNDS})"
    )
    parser.add_argument(
        "--sample-ms",
        type=float,
        default=SAMPLE_MS,
        help=f"length of a sample; 0 is one loop (default: {SAMPLE_MS:g})",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
