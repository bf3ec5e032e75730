"""What is measured, at which sizes, and what it needs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ctxlocal.lab.bench.rival import load, missing

from . import holding, rates, records, width
from .owners import KINDS

Measure = Callable[[int], dict[str, float]]
_TRACED = 10_000  # above, tracing takes half a minute a point, and bytes an owner stay the same


class Subject(NamedTuple):
    """Something that grows; each of its parts is measured in a process of its own.

    :param most: the largest size of a part, where it is less than the subject's; None: of none.
    :param needs: modules.
    :param programs: on this machine.
    """

    sizes: tuple[int, ...]
    parts: dict[str, Measure]
    most: dict[str, int] | None = None
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def parts_at(self, size: int) -> list[str]:
        """Return the names of the parts that are measured at this size."""
        most = self.most or {}
        return [name for name in self.parts if size <= most.get(name, size)]

    def gap(self) -> str | None:
        """Return what is missing to measure it, None if nothing is."""
        if (module := missing(self.needs)) is not None:
            return module
        if not self.programs:
            return None
        if missing(("tests.support.services",)) is not None:
            return "tests.support.services"
        find = load("tests.support.services").find
        return next((program for program in self.programs if find(program) is None), None)


def _tens(first: int, last: int) -> tuple[int, ...]:
    return (first,) if first >= last else (first, *_tens(first * 10, last))


def _owners(kind: str, sizes: tuple[int, ...]) -> Subject:
    measures = (holding.time, holding.end, holding.resident, holding.space)
    parts: dict[str, Measure] = {one.__name__: partial(one, kind) for one in measures}
    return Subject(sizes, parts, {"space": _TRACED}, KINDS[kind].needs)


def _in_directory(measure: Callable[[str, Path, int], dict[str, float]], kind: str) -> Measure:
    def run(size: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as directory:
            return measure(kind, Path(directory), size)

    return run


_REDIS, _SERVER = ("redis",), ("redis-server",)
_SERVERS = {  # modules and programs that each needs
    "Redis": (_REDIS, _SERVER),
    "PostgreSQL": (("sqlalchemy", "psycopg"), ("initdb",)),
    "MariaDB": (("sqlalchemy", "pymysql"), ("mariadbd",)),
}
_PROCESSES = (1, 2, 4, 8)

SUBJECTS: dict[str, Subject] = {
    "contexts": _owners("contexts", (1, *_tens(1000, 1_000_000))),
    **{
        kind: _owners(kind, (1, *_tens(1000, 100_000)))
        for kind in ("tasks-context", "tasks", "greenlets", "gevent")
    },
    "threads": _owners("threads", (1, 100, 1000, 2000)),
    **{
        f"locals-{strategy}": Subject(
            (1, 10, *_tens(100, 10_000)), {"time": width.locals_under(strategy)}
        )
        for strategy in ("context", "thread")
    },
    "locals": Subject((100, 1000, 10_000), {"space": width.locals_space}),
    "default": Subject((1, 10, 100, 1000), {"time": width.change_of_default}),
    "attributes": Subject(
        _tens(1, 10_000), {"time": width.attributes, "space": width.attributes_space}
    ),
    "depth": Subject(_tens(1, 100_000), {"time": width.depth, "space": width.depth_space}),
    "SQLite": Subject(_tens(1000, 1_000_000), {"time": _in_directory(records.measure, "SQLite")}),
    **{
        kind: Subject(
            _tens(1000, 1_000_000 if kind == "Redis" else 100_000),  # SQL is filled one by one
            {"time": _in_directory(records.measure, kind)},
            needs=needs,
            programs=programs,
        )
        for kind, (needs, programs) in _SERVERS.items()
    },
    "worn SQLite": Subject((2000,), {"space": _in_directory(records.worn, "SQLite")}),
    "worn Redis": Subject(
        (2000,), {"space": _in_directory(records.worn, "Redis")}, needs=_REDIS, programs=_SERVER
    ),
    "worn Redis, compact": Subject(
        (2000,),
        {"space": _in_directory(records.worn, "Redis, compact")},
        needs=_REDIS,
        programs=_SERVER,
    ),
    "rate SQLite": Subject(_PROCESSES, {"time": _in_directory(rates.measure, "SQLite")}),
    **{
        f"rate {kind}": Subject(
            _PROCESSES,
            {"time": _in_directory(rates.measure, kind)},
            needs=needs,
            programs=programs,
        )
        for kind, (needs, programs) in _SERVERS.items()
    },
}
