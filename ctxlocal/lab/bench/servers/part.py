"""The servers as jobs: one process for each, in which nothing else runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...servers.catalogue import SERVERS
from ..part import BenchJob, BenchPart, Options
from . import measure
from .tables import draw

ROUNDS, QUICK_ROUNDS = 8, 4
SECONDS, QUICK_SECONDS = 0.5, 0.15  # of a round
# A quick run takes one of each kind.
QUICK = ("gunicorn-gthread", "gunicorn-gevent", "waitress", "uvicorn-uvloop-httptools")


def jobs(options: Options) -> list[BenchJob]:
    """Return a job for each server."""
    return [_job(name, options.quick) for name in options.tables]


def _job(server: str, quick: bool) -> BenchJob:
    arguments = {
        "server": server,
        "rounds": QUICK_ROUNDS if quick else ROUNDS,
        "seconds": QUICK_SECONDS if quick else SECONDS,
    }
    return BenchJob(f"server: {server}", f"{measure.__name__}:run", arguments, len(measure.MODES))


def complaints(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return nothing: it counts requests, and judges no isolation."""
    return []


SERVERS_PART = BenchPart(
    "servers", tuple(server.name for server in SERVERS), QUICK, jobs, list, draw, complaints
)
