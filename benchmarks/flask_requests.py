"""Requests a second of one Flask application: ``python -m benchmarks.flask_requests``.

With werkzeug's own locals, and with ctxlocal's in their place under each strategy. Each is a
process of its own, and they take turns; a row has the median of its turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from ctxlocal.lab.bench.rival import versions
from ctxlocal.lab.figures import number

from .run import RESULTS, about, results_name
from .table import Document, markdown

ORIGINAL = "werkzeug.local"
ROWS = (ORIGINAL, "context", "thread", "greenlet")
VIEWS = {"/page": "a page from a template", "/reads": "200 reads through proxies"}
REQUESTS, TURNS = 300, 15

PAGE = "<h1>{{ request.path }}</h1>{% for each in range(9) %}{{ g.user }} {{ each }}{% endfor %}"


def make_app() -> Any:
    """Return the application, with whichever locals there are by now."""
    from flask import Flask, current_app, g, render_template, request, session
    from jinja2 import DictLoader

    app = Flask(__name__)
    app.jinja_loader = DictLoader({"page.html": PAGE})
    app.secret_key = "of the benchmark"

    @app.before_request
    def begin() -> None:
        g.user = request.args.get("user", "nobody")

    @app.get("/page")
    def page() -> str:
        session["seen"] = current_app.name
        return render_template("page.html")

    @app.get("/reads")
    def reads() -> str:
        return str(sum(len(request.path) + len(g.user) for _ in range(100)))

    return app


def serve(row: str) -> None:
    """Answer each path on standard input with the seconds that its requests took."""
    if row != ORIGINAL:
        from ctxlocal.integrations import werkzeug

        werkzeug.install()
    app = make_app()
    for line in sys.stdin:
        start = perf_counter()
        for _ in range(REQUESTS):
            b"".join(app(_environ(line.strip()), lambda *_: None))
        print(perf_counter() - start, flush=True)


def _environ(path: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "user=ada",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
    }


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flask_requests")
    parser.add_argument("--output", type=Path, default=RESULTS / "flask" / results_name())
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--serve", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.serve:
        serve(arguments.serve)
        return 0
    document = about("flask_requests", sys.argv[1:] if argv is None else argv, arguments.output)
    document["versions"] = versions(("ctxlocal", "flask", "werkzeug", "greenlet"))
    document |= {"rounds": arguments.turns, "points": measure(arguments.turns), "left_out": {}}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def measure(turns: int) -> dict[str, dict[str, float]]:
    """Return the requests a second of each row and view."""
    workers = {row: _start(row) for row in ROWS}
    taken: dict[str, dict[str, list[float]]] = {row: {path: [] for path in VIEWS} for row in ROWS}
    try:
        for turn in range(turns + 1):
            for path in VIEWS:
                for row in ROWS[:: 1 if turn % 2 else -1]:
                    seconds = _ask(workers[row], path)
                    if turn:  # the first one fills the caches
                        taken[row][path].append(seconds)
    finally:
        for worker in workers.values():
            worker.communicate()
    return {
        row: {path: REQUESTS / median(found) for path, found in paths.items()}
        for row, paths in taken.items()
    }


def _start(row: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flask_requests", "--serve", row],
        env={**os.environ, "CTXLOCAL_IDENT": "context" if row == ORIGINAL else row},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ask(worker: subprocess.Popen[str], path: str) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(path, file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


class Requests(Document):
    """A results file of Flask's requests."""

    def table(self) -> str:
        """Render the requests a second, and beside each its ratio to the original's."""
        points = self.document["points"]
        rows = []
        for row, found in points.items():
            cells = [
                f"{number(found[path])} ({found[path] / points[ORIGINAL][path]:.2f}×)"
                for path in VIEWS
            ]
            rows.append([row if row == ORIGINAL else f"ctxlocal, `{row}`", *cells])
        return markdown([self.name, *VIEWS.values()], rows)


def read_requests(folder: Path) -> list[Requests]:
    """Read every results file of ``folder``."""
    return [Requests(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


BLOCKS: dict[str, Callable[[list[Requests]], str]] = {
    "flask-requests": lambda results: "\n".join(one.table() for one in results),
    "flask-requests-runs": lambda results: "".join(one.run() for one in results),
}

if __name__ == "__main__":
    raise SystemExit(main())
