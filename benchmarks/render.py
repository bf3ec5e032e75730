"""Render the results into the marked blocks of the README and the docs.

A block is what stands between the lines ``<!-- benchmarks:begin NAME -->`` and
``<!-- benchmarks:end NAME -->``; ``python -m benchmarks.render`` rewrites it, ``--check`` compares.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ctxlocal.lab.figures import MISSING, number

from . import concurrency, flask_requests, scaled, soaked
from .chaos import tables as chaos
from .chaos.tables import read_chaos
from .concurrency import read_crowds
from .flask_requests import read_requests
from .footprint import tables as footprint
from .footprint.tables import read_footprints
from .goals import GOALS, Goal, figure
from .instructions import ledger as instructions
from .instructions.ledger import read_counts
from .scale import tables as scale
from .scale.tables import read_growth
from .scaled import read_scaling
from .servers import tables as servers
from .servers.tables import read_loads
from .sessions import tables as sessions
from .sessions.figures import read_figures
from .soaked import read_soaks
from .table import Document, markdown

ROOT = Path(__file__).parent.parent
FILES = (
    "README.md",
    "docs/benchmarks.md",
    "docs/free-threaded.md",
    "docs/sessions-benchmarks.md",
    "docs/promises.md",
    "docs/scale.md",
    "docs/servers-benchmarks.md",
    "docs/servers.md",
    "docs/werkzeug.md",
)
BLOCK = re.compile(r"(<!-- benchmarks:begin (\S+) -->\n).*?(<!-- benchmarks:end \2 -->)", re.DOTALL)
# The Pythons whose figures are shown; the goals show all.
SHOWN = ((3, 11), (3, 13), (3, 14), (3, 15))
IN_README = (SHOWN[0], SHOWN[-1])


class Results(Document):
    """A results file of the core."""

    def figure(self, table: str, row: str) -> float | None:
        """Return a row's figure, in ns (imports: ms), None where the row is missing."""
        return figure(self.document["tables"], table, row)


class BlockError(Exception):
    """A block names no table, or a file has an unclosed one."""


def read_results(folder: Path) -> list[Results]:
    """Read every results file of ``folder``, the oldest Python first."""
    documents = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    results = [Results(document) for document in documents]
    return sorted(
        results, key=lambda one: (one.document["implementation"], one.python, not one.has_gil)
    )


def cases(*tables: tuple[str, str]) -> Callable[[list[Results]], str]:
    """Return what renders tables, each with its title: cases are the rows, files the columns."""

    def render(results: list[Results]) -> str:
        shown = [one for one in results if one.python in SHOWN]
        return "\n".join(_cases(title, table, shown) for title, table in tables)

    return render


def _cases(title: str, table: str, shown: Sequence[Results]) -> str:
    rows = dict.fromkeys(row for one in shown for row in one.document["tables"].get(table, ()))
    return markdown(
        [title, *(one.name for one in shown)],
        ([row, *(number(one.figure(table, row)) for one in shown)] for row in rows),
    )


def goals(results: list[Results]) -> str:
    """Render every goal with what was reached on each Python that has a GIL, met or not."""
    tables = []
    for implementation in dict.fromkeys(one.document["implementation"] for one in results):
        of_it = [
            one
            for one in results
            if one.document["implementation"] == implementation and one.has_gil
        ]
        rows = [
            [goal.text, goal.scope(), *(_verdict(goal, one) for one in of_it)]
            for goal in GOALS.get(implementation, ())
        ]
        tables.append(markdown(["goal", "bound", *(one.name for one in of_it)], rows))
    return "\n".join(tables)


def _verdict(goal: Goal, one: Results) -> str:
    if goal not in GOALS.get(one.document["implementation"], ()) or not goal.holds_for(one.python):
        return ""
    reached = goal.figure(one.document["tables"])
    if reached is None:
        return MISSING
    return f"{reached:.2f} {'met' if goal.is_met(reached) else '**not met**'}"


def runs(results: list[Results]) -> str:
    """Render what the figures were measured on and with."""
    return "".join(one.run() for one in results)


_LOCALS = ("asgiref.Local", "gevent.local", "eventlet.corolocal", "ContextVar")
_C_PROXIES = ("wrapt (C)", "lazy-object-proxy (C)")
_OURS, _WERKZEUG = "ctxlocal.Local", "werkzeug.Local"
_STACKS = ("ctxlocal.LocalStack", "werkzeug.LocalStack", None, ("list",))
SUMMARY: tuple[tuple[str, str, str, str, str | None, tuple[str, ...]], ...] = (
    # what, table, ours, werkzeug's, threading's, the others
    ("Local, get", "local-get", _OURS, _WERKZEUG, "threading.local", _LOCALS),
    ("Local, set of 10", "local-set-10", _OURS, _WERKZEUG, "threading.local", _LOCALS),
    ("Local, set of 1000", "local-set-1000", _OURS, _WERKZEUG, "threading.local", _LOCALS),
    ("LocalStack, push+pop at depth 1", "stack-1", *_STACKS),
    ("LocalStack, push+pop at depth 1000", "stack-1000", *_STACKS),
    (
        "LocalProxy, attribute get",
        "proxy-attribute",
        "ctxlocal.LocalProxy over a Local",
        "werkzeug.LocalProxy over a Local",
        None,
        _C_PROXIES,
    ),
    ("request: 5 sets, 20 gets", "request", _OURS, _WERKZEUG, "threading.local", _LOCALS),
)


def summary(results: list[Results]) -> str:
    """Render the README's table: a cell holds one figure for each of two Pythons."""
    by_twin: dict[str, list[Results]] = {}
    for one in results:
        if one.python in IN_README:
            by_twin.setdefault(one.document["implementation"], []).append(one)
    # The rivals' figures are those of the first twin's runs; the twins are not compared by them.
    shown = next(iter(by_twin.values()), [])
    pythons = " / ".join(f"{major}.{minor}" for major, minor in (one.python for one in shown))
    rows = []
    for what, table, ours, werkzeug, threading, others in SUMMARY:

        def cell(
            row: str | None, table: str = table, runs: Sequence[Results] = tuple(shown)
        ) -> str:
            if row is None:
                return MISSING
            return " / ".join(number(one.figure(table, row)) for one in runs)

        found = [
            min(
                ((value, row) for row in others if (value := one.figure(table, row)) is not None),
                default=None,
            )
            for one in shown
        ]
        best = " / ".join(number(pair and pair[0]) for pair in found)
        names = " / ".join(dict.fromkeys(pair[1] for pair in found if pair))
        twins = [cell(ours, runs=runs) for runs in by_twin.values()]
        rows.append([what, *twins, cell(werkzeug), cell(threading), f"{best} ({names})"])
    heads = [f"ctxlocal ({twin})" for twin in by_twin]
    return markdown(
        [f"ns, CPython {pythons}", *heads, "werkzeug", "threading.local", "best other"], rows
    )


BLOCKS: dict[str, Callable[[list[Results]], str]] = {
    "readme": summary,
    "goals": goals,
    "runs": runs,
    "local-get": cases(("get of 1, ns", "local-get"), ("get of 1000, ns", "local-get-1000")),
    "local-set": cases(("set of 10, ns", "local-set-10"), ("set of 1000, ns", "local-set-1000")),
    "local-set-turns": cases(("set of 1000 in turn, ns", "local-set-turns")),
    "stack": cases(("push+pop at 1, ns", "stack-1"), ("push+pop at 1000, ns", "stack-1000")),
    "proxy-attribute": cases(("`p.x`, ns", "proxy-attribute")),
    "proxy-method": cases(("`p.method()`, ns", "proxy-method")),
    "proxy-call": cases(("`p()`, ns", "proxy-call")),
    "proxy-item": cases(('`p["x"]`, ns', "proxy-item")),
    "proxy-add": cases(("`p + 1`, ns", "proxy-add")),
    "request": cases(("request, ns", "request")),
    "strategy": cases(("get, ns", "strategy-get"), ("set, ns", "strategy-set")),
    "import": cases(("import, ms", "import")),
}


def all_blocks(results: Path) -> dict[str, Callable[[], str]]:
    """Return what renders each block, from the files in the folder ``results``."""
    of_core = read_results(results)
    of_sessions = read_figures(results / "sessions")
    of_losses = read_figures(results / "sessions-lost")
    of_distances = read_figures(results / "sessions-distance")
    of_crowds = read_crowds(results / "concurrency")
    of_scale = read_growth(results / "scale")
    of_threads = read_scaling(results / "scaling")
    of_soaks = read_soaks(results / "soak")
    of_chaos = read_chaos(results / "chaos")
    of_flask = read_requests(results / "flask")
    of_servers = read_loads(results / "servers")
    of_footprints = read_footprints(results / "footprint")
    of_instructions = read_counts(results / "instructions")
    return {
        **{name: partial(block, of_core) for name, block in BLOCKS.items()},
        **{name: partial(block, of_sessions) for name, block in sessions.BLOCKS.items()},
        **{name: partial(block, of_losses) for name, block in sessions.LOST_BLOCKS.items()},
        **{name: partial(block, of_distances) for name, block in sessions.DISTANCE_BLOCKS.items()},
        **{name: partial(block, of_crowds) for name, block in concurrency.BLOCKS.items()},
        **{name: partial(block, of_scale) for name, block in scale.BLOCKS.items()},
        **{name: partial(block, of_threads) for name, block in scaled.BLOCKS.items()},
        **{name: partial(block, of_soaks) for name, block in soaked.BLOCKS.items()},
        **{name: partial(block, of_chaos) for name, block in chaos.BLOCKS.items()},
        **{name: partial(block, of_flask) for name, block in flask_requests.BLOCKS.items()},
        **{name: partial(block, of_servers) for name, block in servers.BLOCKS.items()},
        **{name: partial(block, of_footprints) for name, block in footprint.BLOCKS.items()},
        **{name: partial(block, of_instructions) for name, block in instructions.BLOCKS.items()},
    }


def render(text: str, blocks: dict[str, Callable[[], str]]) -> str:
    """Return ``text`` with every block as ``blocks`` gives it.

    :raises BlockError: a block's name is none of ours, or a block is not closed.
    """

    def replace(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        if name not in blocks:
            raise BlockError(f"no block is named {name!r}; the names are {', '.join(blocks)}")
        return f"{begin}\n{blocks[name]()}\n{end}"

    rendered, count = BLOCK.subn(replace, text)
    if count != text.count("<!-- benchmarks:begin "):
        raise BlockError("a block has no end marker of its own name")
    return rendered


def main(argv: list[str] | None = None) -> int:
    """Rewrite the blocks, or with ``--check`` compare; say what is wrong and return 1.

    Each page has to be there, and each block to stand in one of them.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.render", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a block is stale"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds the files")
    arguments = parser.parse_args(argv)
    blocks = all_blocks(arguments.root / "benchmarks/results")
    shown: set[str] = set()
    problems = []
    for name in FILES:
        path = arguments.root / name
        try:
            text = path.read_text("utf-8")
            rendered = render(text, blocks)
        except (OSError, BlockError) as error:
            problems.append(f"{name}: {error}")
            continue
        shown.update(match[1] for match in BLOCK.findall(text))
        if rendered != text and arguments.check:
            problems.append(f"{name}: stale; run python -m benchmarks.render")
        elif rendered != text:
            path.write_text(rendered, "utf-8")
    problems += [f"no page has the block {name!r}" for name in blocks if name not in shown]
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
