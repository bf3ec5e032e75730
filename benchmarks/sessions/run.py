"""Measure sessions and write one JSON file: ``python -m benchmarks.sessions --help``."""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.run import RESULTS, about, results_name
from ctxlocal.lab.bench.rival import load, missing, versions

from . import cost, distance, lost
from .delay import delaying
from .field import POSTGRESQL, REDIS, ROWS, Row
from .place import Place, Trips

GROUPS = tuple(dict.fromkeys(row.group for row in ROWS if row.is_timed))
TRIPS, LOST, DISTANCE = "round-trips", "lost", "distance"
# Parts that are measured by themselves, and have files of their own.
FOLDERS = {LOST: "sessions-lost", DISTANCE: "sessions-distance"}
DISTRIBUTIONS = (
    "flask",
    "flask-session",
    "cachelib",
    "django",
    "starlette",
    "starsessions",
    "werkzeug",
    "itsdangerous",
    "cryptography",
    "msgspec",
    "redis",
    "hiredis",
    "sqlalchemy",
    "psycopg",
    "pyperf",
)


class Servers(NamedTuple):
    """The servers that run for the benchmarks; None where one is not installed."""

    redis_port: int | None
    postgresql_url: str | None


class Measurement(NamedTuple):
    """What one process measures.

    :param what: one of the groups, or ``TRIPS``, ``LOST``, ``distance.NEAR``, ``distance.FAR``.
    """

    what: str
    servers: Servers
    rounds: int
    sample_seconds: float


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results, and say which rows are missing."""
    arguments = _parser().parse_args(argv)
    wanted = arguments.only or [*GROUPS, TRIPS]
    folder = FOLDERS.get(wanted[0], "sessions") if len(wanted) == 1 else "sessions"
    output = arguments.output or (RESULTS / folder / results_name())
    document: dict[str, Any] = {
        **about("sessions", sys.argv[1:] if argv is None else argv, output),
        "versions": versions(DISTRIBUTIONS),
        "rounds": arguments.rounds,
        "cost": {},
        "left_out": {},
    }
    with running_servers() as servers, _ways(wanted, servers) as ways:
        document["versions"] |= _server_versions(servers)
        for row in ROWS:
            if (gap := _gap(row, servers)) is not None:
                document["left_out"][row.name] = gap
        jobs = [
            Measurement(what, there, arguments.rounds, arguments.sample_ms / 1e3)
            for what, there in ways
        ]
        # One process for each: CPython specialises a library's code for the types it sees.
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            for job, result in zip(jobs, pool.imap(_measure, jobs, chunksize=1), strict=True):
                if job.what in GROUPS:
                    document["cost"][job.what] = result
                elif job.what in (distance.NEAR, distance.FAR):
                    document.setdefault(DISTANCE, {})[job.what] = result
                else:
                    document[job.what] = result
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1) + "\n")
    for name, gap in document["left_out"].items():
        print(f"left out: {name} (no {gap})", file=sys.stderr)
    return 0


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Run a redis-server and a PostgreSQL of our own, where they are installed."""
    with ExitStack() as stack:
        if missing(("tests.support.services",)) is not None:
            yield Servers(None, None)
            return
        services = load("tests.support.services")
        port = url = None
        if services.find("redis-server") is not None:
            port = stack.enter_context(services.redis_server()).port
        if services.find("initdb") is not None and missing(("psycopg",)) is None:
            server = stack.enter_context(services.postgresql_server())
            url = f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"
        yield Servers(port, url)


@contextmanager
def _ways(wanted: list[str], servers: Servers) -> Iterator[list[tuple[str, Servers]]]:
    """Yield what each process measures, with the servers for it: Redis also from far away."""
    ways = [(what, servers) for what in wanted if what != DISTANCE]
    if DISTANCE not in wanted or servers.redis_port is None:
        yield ways
        return
    with delaying(servers.redis_port, distance.FAR_SECONDS) as port:
        far = servers._replace(redis_port=port)
        yield [*ways, (distance.NEAR, servers), (distance.FAR, far)]


def _measure(job: Measurement) -> Any:
    logging.disable(logging.CRITICAL)  # a request that fails is counted, not told
    rows = [row for row in ROWS if _gap(row, job.servers) is None]
    with tempfile.TemporaryDirectory() as directory:
        trips = Trips() if job.what == TRIPS else None
        place = Place(Path(directory), *job.servers, trips)
        if job.what == LOST:
            return {row.name: lost.measure(place, row) for row in rows if not row.is_bare}
        in_redis = [row for row in rows if row.group == "redis"]
        if job.what == TRIPS:
            return cost.count_trips(place, in_redis)
        if job.what in (distance.NEAR, distance.FAR):
            return distance.measure(place, in_redis, job.rounds)
        rows = [row for row in rows if row.is_timed and row.group == job.what]
        return cost.measure(place, rows, job.rounds, job.sample_seconds)


def _gap(row: Row, servers: Servers) -> str | None:
    """Return what a row lacks, None if it has all."""
    there = {REDIS: servers.redis_port, POSTGRESQL: servers.postgresql_url}
    for need in row.all_needs:
        if need in there:
            if there[need] is None:
                return need
        elif missing((need,)) is not None:
            return need
    return None


def _server_versions(servers: Servers) -> dict[str, str]:
    if servers.redis_port is None or missing(("redis",)) is not None:
        return {}
    with load("redis").Redis(port=servers.redis_port) as client:
        return {"redis-server": client.info("server")["redis_version"]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sessions", description=__doc__)
    parser.add_argument("--output", type=Path)
    choices = [*GROUPS, TRIPS, LOST, DISTANCE]
    parser.add_argument(
        "--only",
        action="append",
        choices=choices,
        metavar="PART",
        help=f"{', '.join(choices)} (default: all but {LOST} and {DISTANCE})",
    )
    parser.add_argument(
        "--rounds", type=int, default=150, help="samples of each figure (default: 150)"
    )
    parser.add_argument(
        "--sample-ms",
        type=float,
        default=1.0,
        help="length of a sample; 0 is one request (default: 1)",
    )
    return parser
