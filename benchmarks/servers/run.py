"""Measure frameworks under real servers: ``python -m benchmarks.servers --help``."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.run import RESULTS, about, results_name
from ctxlocal.lab.bench.rival import missing, versions
from ctxlocal.lab.process import end_on_signals
from ctxlocal.lab.servers.catalogue import BY_NAME, Server
from ctxlocal.lab.servers.process import running

from . import FOLDER, PROTOCOL, TITLE
from .applications import APPLICATIONS, NO_SESSION, Application
from .load import processor_seconds, put, write_script

SERVERS = ("gunicorn-gthread", "gunicorn-gevent", "uvicorn-uvloop-httptools")
DISTRIBUTIONS = (
    *("gunicorn", "gevent", "uvicorn", "uvloop", "httptools", "werkzeug", "flask", "flask-session"),
    *("cachelib", "django", "starlette", "starsessions", "fastapi", "falcon", "msgspec"),
)
ROUNDS, SECONDS = 10, 2


@dataclass
class Subject:
    """An application under its server, and what it has shown so far."""

    application: Application
    port: int
    process: psutil.Process
    script: Path
    rates: list[float] = field(default_factory=list)
    microseconds: list[float] = field(default_factory=list)

    def take(self, seconds: int) -> None:
        """Put it under load for so long."""
        before = processor_seconds(self.process)
        requests, rate = put(self.port, self.script, seconds)
        self.rates.append(rate)
        self.microseconds.append((processor_seconds(self.process) - before) / requests * 1e6)

    def figures(self) -> dict[str, float]:
        """Return the best rate and the least processor time: noise only ever costs."""
        return {
            "requests_per_second": round(max(self.rates), 1),
            "median_per_second": round(statistics.median(self.rates), 1),
            "cpu_us": round(min(self.microseconds), 1),
            "median_cpu_us": round(statistics.median(self.microseconds), 1),
        }


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results, and say what is missing."""
    arguments = _parser().parse_args(argv)
    if shutil.which("wrk") is None:
        print("servers are not measured: wrk is missing", file=sys.stderr)
        return 1
    document: dict[str, Any] = {
        **about("servers", sys.argv[1:] if argv is None else argv, arguments.output),
        "versions": versions(DISTRIBUTIONS) | {"wrk": _version_of_wrk()},
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "servers": {},
        "left_out": {},
    }
    for name in arguments.server or SERVERS:
        if reason := BY_NAME[name].why_not():
            document["left_out"][name] = reason
            continue
        wanted = [one for one in APPLICATIONS if one.protocol == BY_NAME[name].protocol]
        lacking = {one.title: gap for one in wanted if (gap := missing(one.needs))}
        document["left_out"] |= lacking
        there = [one for one in wanted if one.title not in lacking]
        document["servers"][name] = asyncio.run(
            measure(BY_NAME[name], there, arguments.rounds, arguments.seconds)
        )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    for name, gap in document["left_out"].items():
        print(f"left out: {name} (no {gap})", file=sys.stderr)
    return 0


async def measure(
    server: Server, applications: list[Application], rounds: int, seconds: int
) -> dict[str, dict[str, float]]:
    """Return the figures of each application: all are up, and each round loads each of them once.

    The first round, which fills caches, is not counted.
    """
    end_on_signals([])  # the servers and the folder are not to outlive us
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subjects = [
            await started(server, one, folder / str(number), stack)
            for number, one in enumerate(applications)
        ]
        for number in range(rounds + 1):
            for subject in random.Random(number).sample(subjects, len(subjects)):
                subject.take(seconds)
        for subject in subjects:
            del subject.rates[0], subject.microseconds[0]
        return {one.application.title: one.figures() for one in subjects}


async def started(
    server: Server, application: Application, folder: Path, stack: AsyncExitStack
) -> Subject:
    folder.mkdir()
    environment = {
        TITLE: application.title,
        PROTOCOL: application.protocol,
        FOLDER: str(folder),
    }
    process = await stack.enter_async_context(
        running(server, f"{__package__}.served:app", environment)
    )
    script = folder / "requests.lua"
    has_sessions = application.session != NO_SESSION
    write_script(script, process.port, application.path, has_sessions=has_sessions)
    return Subject(application, process.port, psutil.Process(process.pid), script)


def _version_of_wrk() -> str:
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout
    return said.split()[1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "servers" / results_name())
    parser.add_argument(
        "--server", action="append", choices=SERVERS, help="one of them alone; may be repeated"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"of each application (default: {ROUNDS})"
    )
    parser.add_argument(
        "--seconds", type=int, default=SECONDS, help=f"of load a round (default: {SECONDS})"
    )
    return parser
