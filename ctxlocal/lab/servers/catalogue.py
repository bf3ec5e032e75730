"""The servers, how each is started by hand, and how requests share its threads there."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal

from .kinds import KINDS

Protocol = Literal["wsgi", "asgi"]
THREADS = 8  # of a pool: fewer than the clients, so that each serves many requests


@dataclass(frozen=True)
class Server:
    """One server, as it is started here.

    :param kind: one of ``kinds``.
    :param command: what follows ``python -m``; ``{app}`` and ``{port}`` are filled in.
    :param needs: packages that have to be installed.
    :param framework: what the soaked application is written with; None: with nothing but ctxlocal.
    """

    name: str
    kind: str
    protocol: Protocol
    command: tuple[str, ...]
    needs: tuple[str, ...]
    framework: str | None = None

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those made to tell its requests apart, the default first."""
        made = KINDS[self.kind].strategies
        # A framework runs a part of a request in child tasks and threads, which have other values.
        return made if self.framework is None else tuple(name for name in made if name != "task")

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
    kind: str,
    *options: str,
    needs: tuple[str, ...] = (),
    name: str = "",
    protocol: Protocol = "wsgi",
) -> Server:
    command = ("gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "1", "--worker-class", worker)
    quiet = ("--log-level", "warning", "--graceful-timeout", "2", "--no-control-socket")
    return Server(
        f"gunicorn-{name or worker}",
        kind,
        protocol,
        (*command, *quiet, *options, "{app}"),
        ("gunicorn", *needs),
    )


def _launched(name: str, package: str, kind: str) -> Server:
    command = ("ctxlocal.lab.servers.launch", name, "{app}", "{port}")
    return Server(name, kind, "wsgi", command, (package,))


def _uvicorn(loop: str, http: str) -> Server:
    needs = ("uvicorn", http, *(("uvloop",) if loop == "uvloop" else ()))
    command = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--loop", loop)
    quiet = ("--http", http, "--log-level", "warning", "--timeout-graceful-shutdown", "2")
    return Server(f"uvicorn-{loop}-{http}", "asyncio", "asgi", (*command, *quiet, "{app}"), needs)


# gunicorn's tornado worker is left out: it never answers a request whose application raises.
_POOL = ("--threads", str(THREADS))
SERVERS = (
    _gunicorn("sync", "threads"),
    _gunicorn("gthread", "threads", *_POOL),
    _gunicorn("gthread", "threads", *_POOL, "--preload", name="gthread-preload"),
    _gunicorn("gevent", "gevent", needs=("gevent",)),
    _gunicorn("gevent_pywsgi", "gevent", needs=("gevent",)),
    _gunicorn("asgi", "asyncio", protocol="asgi"),
    _launched("gevent.pywsgi", "gevent", "gevent"),
    _launched("eventlet.wsgi", "eventlet", "eventlet"),
    Server(
        "waitress",
        "threads",
        "wsgi",
        ("waitress", "--listen=127.0.0.1:{port}", f"--threads={THREADS}", "{app}"),
        ("waitress",),
    ),
    _launched("werkzeug", "werkzeug", "threads"),
    *(_uvicorn(loop, http) for loop in ("asyncio", "uvloop") for http in ("h11", "httptools")),
    Server(
        "hypercorn",
        "asyncio",
        "asgi",
        ("hypercorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "2", "{app}"),
        ("hypercorn",),
    ),
)


def _inside(framework: str, name: str) -> Server:
    """Return a server that serves the framework's application."""
    server = next(server for server in SERVERS if server.name == name)
    needs = (*server.needs, framework)
    return replace(server, name=f"{framework}-{name}", needs=needs, framework=framework)


# The applications that people have; the servers are soaked by themselves.
FRAMEWORKS = (
    _inside("flask", "gunicorn-gevent"),
    _inside("django", "gunicorn-gthread"),
    _inside("fastapi", "uvicorn-asyncio-httptools"),
)
BY_NAME = {server.name: server for server in (*SERVERS, *FRAMEWORKS)}
