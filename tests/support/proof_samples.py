"""Documents as ``ctxlocal prove`` writes them, small or of the usual size, for its report."""

from __future__ import annotations

from typing import Any

from ctxlocal.lab.matrix.report import Cell, MatrixReport

ABOUT = {
    "date": "2026-11-28",
    "python": "3.11.7",
    "implementation": "cpython",
    "platform": "Linux-6.18-x86_64-with-glibc2.36",
    "machine": {"cpu_model_name": "Intel(R) Xeon(R) Processor", "cpu_count": 2},
    "twin": "native",
    "twin_reason": "built for this Python",
    "versions": {"ctxlocal": "0.1.0", "gevent": "26.8.99", "uvicorn": "0.39.0"},
}
SERVERS = (
    ("gunicorn-sync", "thread"),
    ("gunicorn-gthread", "thread"),
    ("gunicorn-gevent", "greenlet"),
    ("gevent-pywsgi", "greenlet"),
    ("eventlet-wsgi", "greenlet"),
    ("waitress", "thread"),
    ("werkzeug", "thread"),
    ("uvicorn-asyncio-h11", "context"),
    ("uvicorn-uvloop-httptools", "task"),
    ("hypercorn", "context"),
)
LIBRARIES = (
    ("ctxlocal.Local", 40e6, 420),
    ("werkzeug.Local", 1.2e6, 1190),
    ("threading.local", 21e6, 610),
    ("gevent.local", 8e6, 980),
    ("asgiref.Local", 0.6e6, 2300),
    ("ContextVar", 33e6, 390),
)
OWNERS = {
    "threads": (1, 10, 100, 1000),
    "greenlets": (1, 10, 100, 1000, 10_000),
    "gevent": (1, 10, 100, 1000, 10_000),
    "tasks": (1, 10, 100, 1000, 10_000),
}


def document(**changes: Any) -> dict[str, Any]:
    """All parts, clean; ``changes`` replace some."""
    return {
        "command": "ctxlocal prove",
        "date": "2026-11-28",
        "seconds": 61.4,
        "matrix": matrix(),
        "version": "0.1.0",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "is_changed": False,
        "soak": soak(),
        "control": control(),
        "bench": bench(),
        "missing": {},
        **changes,
    }


def matrix(*cells: Cell) -> dict[str, Any]:
    """A matrix of these cells, else a small one that is as promised."""
    usual = [
        Cell("threads", way, strategy, "isolated", "isolated", True)
        for way in ("Thread", "Timer")
        for strategy in ("context", "thread", "greenlet")
    ]
    usual.append(Cell("asyncio", "eager task", "context", "snapshot", "n/a", False, note="old"))
    return {**MatrixReport(cells or usual).as_dict(), **ABOUT}


def run(**changes: Any) -> dict[str, Any]:
    """One run of a server, clean; ``changes`` replace some figures."""
    return {
        "server": "gunicorn-gevent",
        "strategy": "greenlet",
        "store": "sqlite",
        "sabotage": None,
        "outcome": "clean",
        "note": "",
        "seconds": 3.2,
        "requests": 17_000,
        "requests_per_second": 5312.5,
        "lowest_per_second": 4011.2,
        "highest_per_second": 6120.9,
        "foreign_reads": 0,
        "stale_values": 0,
        "teardowns_skipped": 0,
        "teardowns_doubled": 0,
        "teardowns_early": 0,
        "lost_updates": 0,
        "errors": 0,
        "server_leaks": 12,
        "memory": {
            "samples": [[0, 51_234_816], [1000, 51_300_000]],
            "bytes_per_10000": 20_480,
            "is_flat": True,
        },
        **changes,
    }


def soak(*runs: dict[str, Any]) -> dict[str, Any]:
    """A soak of these runs, else of every server, one of which is not installed."""
    usual = [
        run(server=server, strategy=strategy, store=store, requests=7000 + 311 * place)
        for place, (server, strategy) in enumerate(SERVERS)
        for store in ("memory", "sqlite")
    ]
    absent = {"server": "gunicorn-tornado", "outcome": "not run", "note": "tornado is missing"}
    shown = list(runs) or [*usual, absent]
    return {"kind": "soak", **ABOUT, "settings": {}, "seconds": 40, "violations": 0, "runs": shown}


def control(*runs: dict[str, Any]) -> dict[str, Any]:
    """A control of these runs, else of one for each sabotage, caught."""
    where = {"server": "waitress", "strategy": "context", "outcome": "violations", "note": "v1: x"}
    usual = [
        run(**where, requests=210, sabotage="shared-dict", foreign_reads=77),
        run(**where, requests=210, sabotage="store-forgets", lost_updates=31),
    ]
    shown = list(runs) or usual
    settings = {"command": "ctxlocal soak --sabotage shared-dict; ctxlocal soak --port 1"}
    return {"kind": "soak", **ABOUT, "settings": settings, "violations": 108, "runs": shown}


def bench(**changes: Any) -> dict[str, Any]:
    """A bench with every table that is drawn; ``changes`` replace some."""
    return {
        "kind": "bench",
        **ABOUT,
        "micro": {table: _times(rows) for table, rows in MICRO.items()},
        "concurrency": [
            _shared(owners, library, count, rate, size)
            for owners, counts in OWNERS.items()
            for library, rate, size in LIBRARIES
            for count in counts
        ],
        "servers": [
            _rate(server, mode, 1500.0 + 400 * place - slower)
            for place, (server, _) in enumerate(SERVERS)
            for mode, slower in (("plain", 0), ("contexts", 90), ("sessions", 480))
        ],
        "left_out": {"eventlet.corolocal": "eventlet"},
        **changes,
    }


MICRO = {
    "local-get": {"ctxlocal.Local": 10.8, "werkzeug.Local": 543.7, "ContextVar": 12.4, "pass": 2.3},
    "local-set-10": {"ctxlocal.Local": 17.0, "werkzeug.Local": 347.7, "ContextVar": 124.0},
    "stack-1": {"ctxlocal.LocalStack": 34.0, "werkzeug.LocalStack": 518.0, "list": 19.2},
    "proxy-attribute": {
        "ctxlocal.LocalProxy over a Local": 26.0,
        "werkzeug.LocalProxy over a Local": 1333.9,
        "wrapt (C)": 536.7,
        "direct": 5.0,
    },
    "request": {"ctxlocal.Local": 682.2, "werkzeug.Local": 13661.2, "ContextVar": 1262.8},
}


def _rate(server: str, mode: str, rate: float) -> dict[str, Any]:
    found = {"requests_per_second": rate, "lowest_per_second": rate * 0.7}
    return {"server": server, "mode": mode, **found, "highest_per_second": rate}


def _times(rows: dict[str, float]) -> dict[str, dict[str, float]]:
    return {row: {"ns": ns, "median_ns": ns * 1.4, "loops": 1000} for row, ns in rows.items()}


def _shared(owners: str, library: str, count: int, rate: float, size: int) -> dict[str, Any]:
    slower = 1 + 0.06 * len(str(count)) * (2 if owners == "threads" else 1)
    foreign = library == "threading.local" and owners != "threads"
    return {
        "owners": owners,
        "library": library,
        "count": count,
        "ops_per_second": rate / slower / 3,
        "net_ops_per_second": rate / slower,
        "bytes_per_owner": size + 4000 / count,
        "bytes_left": 0 if library != "asgiref.Local" else 190 * count,
        "foreign_reads": count - 1 if foreign else 0,
    }
