"""Strike stores, see what they keep, and write one JSON file: ``python -m benchmarks.chaos``."""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.run import RESULTS, about, results_name
from ctxlocal.lab.bench.rival import load, missing, versions

from .trial import try_out

SECONDS = 12.0
DISTRIBUTIONS = ("redis", "hiredis", "sqlalchemy", "psycopg", "pymysql")
SERVERS = ("redis-server", "postgres", "mariadbd")


def main(argv: list[str] | None = None) -> int:
    """Try out the scenes, write the results, and return 1 if one has not kept its word."""
    if (gap := missing(("pytest", "redis", "sqlalchemy"))) is not None:
        raise SystemExit(f'{gap} is missing: python -m pip install -e ".[all]" --group test')
    scenes = load("benchmarks.chaos.scenes").SCENES
    find = load("tests.support.services").find
    arguments = _parser(tuple(scenes)).parse_args(argv)
    logging.disable()  # what drivers tell of servers that are gone is counted
    document: dict[str, Any] = {
        **about("chaos", sys.argv[1:] if argv is None else argv, arguments.output),
        "versions": {**versions(DISTRIBUTIONS), **_servers(find)},
        "seconds": arguments.seconds,
        "scenes": {},
        "left_out": {},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    broken = []
    for name in arguments.only or scenes:
        setting = scenes[name]
        absent = next((each for each in setting.programs if find(each) is None), None)
        if absent is not None:
            document["left_out"][name] = absent
            print(f"left out: {name} (no {absent})", file=sys.stderr)
            continue
        with setting.run() as scene:
            found = try_out(scene, arguments.seconds)
        document["scenes"][name] = {"what": setting.what, **found}
        print(f"{name}: {found}", file=sys.stderr)
        if found["doubled"] or (setting.keeps and (found["lost"] or found["returned"])):
            broken.append(name)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")  # what there is so far
    for name in broken:
        print(f"{name} has not kept what it acknowledged, or counted twice", file=sys.stderr)
    return int(bool(broken))


def _servers(find: Any) -> dict[str, str]:
    found = {"SQLite": str(load("sqlite3").sqlite_version)}
    for program in SERVERS:
        if (path := find(program)) is not None:
            told = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            found[program] = _version(told)
    return found


def _version(told: str) -> str:
    """Return the first word that begins with a digit, maybe after ``v=``."""
    words = (word.removeprefix("v=") for word in told.split())
    return next((word.partition("-")[0] for word in words if word[:1].isdigit()), "unknown")


def _parser(names: tuple[str, ...]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "chaos" / results_name())
    parser.add_argument(
        "--only", action="append", choices=names, metavar="SCENE", help=", ".join(names)
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"of each scene (default: {SECONDS:g})"
    )
    return parser
