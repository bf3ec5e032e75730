"""Measure how cost grows and write one JSON file: ``python -m benchmarks.scale --help``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.run import RESULTS, about, results_name
from ctxlocal.lab.bench.rival import load, missing, versions

from .subjects import SUBJECTS, Subject

ROOT = Path(__file__).parent.parent.parent
DISTRIBUTIONS = (
    "gevent",
    "greenlet",
    "msgspec",
    "redis",
    "hiredis",
    "sqlalchemy",
    "psycopg",
    "pymysql",
    "pyperf",
)


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results, and say what is missing."""
    arguments = _parser().parse_args(argv)
    document: dict[str, Any] = {
        **about("scale", sys.argv[1:] if argv is None else argv, arguments.output),
        "versions": {**versions(DISTRIBUTIONS), **_others()},
        "points": {},
        "left_out": {},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or SUBJECTS:
        subject = SUBJECTS[name]
        if (gap := subject.gap()) is not None:
            document["left_out"][name] = gap
            print(f"left out: {name} (no {gap})", file=sys.stderr)
            continue
        document["points"][name] = _measure(name, subject, arguments.most)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")  # what there is so far
    return 0


def _measure(name: str, subject: Subject, most: int) -> dict[str, dict[str, float]]:
    points: dict[str, dict[str, float]] = {}
    for size in sorted({min(size, most) for size in subject.sizes}):
        start = perf_counter()
        figures = points[str(size)] = {}
        for part in subject.parts_at(size):
            figures |= _point(name, part, size)
        print(f"{name}, {size}: {perf_counter() - start:.1f} s", file=sys.stderr)
    return points


def _point(name: str, part: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale.point", name, part, str(size)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _others() -> dict[str, str]:
    found = {"SQLite": str(load("sqlite3").sqlite_version)}
    if missing(("redis", "tests.support.services")) is None and load("tests.support.services").find(
        "redis-server"
    ):
        with load("tests.support.services").redis_server() as server:
            client = load("redis").Redis(port=server.port)
            found["redis-server"] = client.info("server")["redis_version"]
            client.close()
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "scale" / results_name())
    parser.add_argument(
        "--only", action="append", choices=SUBJECTS, metavar="SUBJECT", help=", ".join(SUBJECTS)
    )
    parser.add_argument(
        "--most", type=int, default=10**9, help="leave out what is larger (default: nothing)"
    )
    return parser
