"""Measure memory and write one JSON file: ``python -m benchmarks.footprint --help``."""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.run import RESULTS, about, results_name
from benchmarks.servers.run import DISTRIBUTIONS
from benchmarks.sessions.place import Place
from ctxlocal.lab.bench.rival import missing, versions
from ctxlocal.lab.servers.catalogue import BY_NAME

from . import idle, opened

SESSIONS, CONNECTIONS = 10_000, 3000


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results, and say what is missing."""
    arguments = _parser().parse_args(argv)
    document: dict[str, Any] = {
        **about("footprint", sys.argv[1:] if argv is None else argv, arguments.output),
        "versions": versions(DISTRIBUTIONS),
        "opened": {},
        "idle": {},
        "left_out": {},
    }
    for row in opened.OPENED:
        if gap := missing(row.all_needs):
            document["left_out"][row.name] = gap
        else:
            document["opened"][row.name] = _opened(row.name, arguments.sessions)
    if reason := BY_NAME[idle.SERVER].why_not():
        document["left_out"][idle.SERVER] = reason
    else:
        for one in idle.WAITING:
            if gap := missing(one.needs):
                document["left_out"][one.title] = gap
            else:
                taken = asyncio.run(idle.measure(one, arguments.connections))
                document["idle"][one.title] = {"idle": round(taken)}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    for name, gap in document["left_out"].items():
        print(f"left out: {name} (no {gap})", file=sys.stderr)
    return 0


def _opened(name: str, count: int) -> dict[str, int]:
    # One process for each: what is traced takes memory itself.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        parts = pool.starmap(_measure, [(kind, name, count) for kind in _KINDS], chunksize=1)
    return {figure: round(value) for part in parts for figure, value in part.items()}


_KINDS = {"allocated": opened.allocated, "peak": opened.peak}


def _measure(kind: str, name: str, count: int) -> opened.Figures:
    (row,) = (one for one in opened.OPENED if one.name == name)
    with tempfile.TemporaryDirectory() as directory:
        return _KINDS[kind](Place(Path(directory)), row, count)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "footprint" / results_name())
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"default: {SESSIONS}")
    parser.add_argument(
        "--connections", type=int, default=CONNECTIONS, help=f"default: {CONNECTIONS}"
    )
    return parser
