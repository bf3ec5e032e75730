"""The servers, how each is started by hand, and how requests share its threads there."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

Protocol = Literal["wsgi", "asgi"]
THREADS = 8  # of a pool: fewer than the clients, so that each serves many requests
_THREADED = ("context", "thread")
_GEVENT = ("context", "gevent")
_ASYNC = ("context", "task")


@dataclass(frozen=True)
class Server:
    """One kind of worker.

    :param command: what follows ``python -m``; ``{app}`` and ``{port}`` are filled in.
    :param strategies: those that tell its requests apart, the default first.
    :param needs: packages that have to be installed.
    """

    name: str
    protocol: Protocol
    command: tuple[str, ...]
    strategies: tuple[str, ...]
    needs: tuple[str, ...]

    def arguments(self, application: str, port: int) -> list[str]:
        """Return the command that serves ``module:attribute`` on a port of 127.0.0.1."""
        filled = [part.format(app=application, port=port) for part in self.command]
        return [sys.executable, "-m", *filled]

    def why_not(self) -> str:
        """Why it cannot be started here; "" where it can."""
        missing = [name for name in self.needs if find_spec(name) is None]
        return f"{' and '.join(missing)} not installed" if missing else ""


def _gunicorn(
    worker: str,
    strategies: tuple[str, ...],
    *options: str,
    needs: tuple[str, ...] = (),
    name: str = "",
    protocol: Protocol = "wsgi",
) -> Server:
    command = ("gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "1", "--worker-class", worker)
    quiet = ("--log-level", "warning", "--graceful-timeout", "2", "--no-control-socket")
    return Server(
        f"gunicorn-{name or worker}",
        protocol,
        (*command, *quiet, *options, "{app}"),
        strategies,
        ("gunicorn", *needs),
    )


def _launched(name: str, package: str, strategies: tuple[str, ...]) -> Server:
    command = ("ctxlocal.lab.servers.launch", name, "{app}", "{port}")
    return Server(name, "wsgi", command, strategies, (package,))


def _uvicorn(loop: str, http: str) -> Server:
    needs = ("uvicorn", http, *(("uvloop",) if loop == "uvloop" else ()))
    command = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--loop", loop)
    quiet = ("--http", http, "--log-level", "warning", "--timeout-graceful-shutdown", "2")
    return Server(f"uvicorn-{loop}-{http}", "asgi", (*command, *quiet, "{app}"), _ASYNC, needs)


# gunicorn's tornado worker is left out: it never answers a request whose application raises.
_POOL = ("--threads", str(THREADS))
SERVERS = (
    _gunicorn("sync", _THREADED),
    _gunicorn("gthread", _THREADED, *_POOL),
    _gunicorn("gthread", _THREADED, *_POOL, "--preload", name="gthread-preload"),
    _gunicorn("gevent", _GEVENT, needs=("gevent",)),
    _gunicorn("gevent_pywsgi", _GEVENT, needs=("gevent",)),
    _gunicorn("asgi", _ASYNC, protocol="asgi"),
    _launched("gevent.pywsgi", "gevent", _GEVENT),
    _launched("eventlet.wsgi", "eventlet", ("context", "eventlet")),
    Server(
        "waitress",
        "wsgi",
        ("waitress", "--listen=127.0.0.1:{port}", f"--threads={THREADS}", "{app}"),
        _THREADED,
        ("waitress",),
    ),
    _launched("werkzeug", "werkzeug", _THREADED),
    *(_uvicorn(loop, http) for loop in ("asyncio", "uvloop") for http in ("h11", "httptools")),
    Server(
        "hypercorn",
        "asgi",
        ("hypercorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "2", "{app}"),
        _ASYNC,
        ("hypercorn",),
    ),
)
BY_NAME = {server.name: server for server in SERVERS}
