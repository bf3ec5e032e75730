"""Measure what two threads do beside one; write a JSON file: ``python -m benchmarks.scaling``.

Under the GIL two threads do the work of one. On a free-threaded Python they might do twice as
much, unless they count references of the same objects: then each waits for the other's cache lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from werkzeug.local import Local as WerkzeugLocal

import ctxlocal

from .run import RESULTS, about, results_name

ROUNDS, TURNS = 100_000, 9

plain = threading.local()
var: ContextVar[int] = ContextVar("var")
in_context = ctxlocal.Local(ident="context")
in_thread = ctxlocal.Local(ident="thread")
werkzeug = WerkzeugLocal()


# A statement each: a call would be one more object whose references both threads count.


def get_plain(rounds: int) -> None:
    for _ in range(rounds):
        plain.value  # noqa: B018


def set_plain(rounds: int) -> None:
    for number in range(rounds):
        plain.value = number


def get_var(rounds: int) -> None:
    for _ in range(rounds):
        var.get()


def set_var(rounds: int) -> None:
    for number in range(rounds):
        var.set(number)


def get_in_context(rounds: int) -> None:
    for _ in range(rounds):
        in_context.value  # noqa: B018


def set_in_context(rounds: int) -> None:
    for number in range(rounds):
        in_context.value = number


def get_in_thread(rounds: int) -> None:
    for _ in range(rounds):
        in_thread.value  # noqa: B018


def set_in_thread(rounds: int) -> None:
    for number in range(rounds):
        in_thread.value = number


def get_werkzeug(rounds: int) -> None:
    for _ in range(rounds):
        werkzeug.value  # noqa: B018


def set_werkzeug(rounds: int) -> None:
    for number in range(rounds):
        werkzeug.value = number


class Row(NamedTuple):
    """What one kind of variable is set and read with."""

    set: Callable[[int], None]
    get: Callable[[int], None]


ROWS = {
    "ctxlocal.Local, context": Row(set_in_context, get_in_context),
    "ctxlocal.Local, thread": Row(set_in_thread, get_in_thread),
    "threading.local": Row(set_plain, get_plain),
    "ContextVar": Row(set_var, get_var),
    "werkzeug.Local": Row(set_werkzeug, get_werkzeug),
}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    arguments = _parser().parse_args(argv)
    document: dict[str, Any] = {
        **about("scaling", sys.argv[1:] if argv is None else argv, arguments.output),
        "points": {},
        "left_out": {},
    }
    for name, row in ROWS.items():
        points = document["points"][name] = {}
        for operation, work in (("get", row.get), ("set", row.set)):
            points[operation] = [seconds(n, row.set, work, arguments.rounds) for n in (1, 2)]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def seconds(
    threads: int, prepare: Callable[[int], None], work: Callable[[int], None], rounds: int
) -> float:
    """Return how long so many threads take for a round each; the least of some turns."""
    gate = threading.Barrier(threads)
    turns: list[list[tuple[float, float]]] = [[] for _ in range(TURNS)]

    def run() -> None:
        prepare(1)
        for turn in turns:
            gate.wait()
            start = perf_counter()
            work(rounds)
            turn.append((start, perf_counter()))

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    spans = (max(end for _, end in turn) - min(start for start, _ in turn) for turn in turns)
    return min(spans) / rounds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "scaling" / results_name())
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"operations of a turn (default: {ROUNDS})"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
