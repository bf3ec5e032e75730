"""The demo's process: ``python -m ctxlocal.lab.demo.serve SERVER HOST PORT``."""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1:2] == ["gevent"]:
    from gevent import monkey

    monkey.patch_all()

import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from ... import ident
from ...sessions.cookie import Cookie
from ...sessions.in_store.sessions import StoredSessions
from ...web.app import App
from ..stores import StoreProblem, opened
from .shop import make_shop


def _threads(app: App, listener: socket.socket) -> None:
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    host, port = listener.getsockname()[:2]
    make_server(host, port, app, threaded=True, fd=listener.fileno()).serve_forever()


def _gevent(app: App, listener: socket.socket) -> None:
    import gevent
    from gevent.pywsgi import WSGIServer

    ident.set_default("gevent")  # the one line that an application changes for these workers
    server = WSGIServer(listener, app, log=None)
    for number in (signal.SIGINT, signal.SIGTERM):  # else it is raised in whatever greenlet runs
        gevent.signal_handler(number, server.stop)
    server.serve_forever()


def _asyncio(app: App, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(app.asgi, log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


RUN: dict[str, Callable[[App, socket.socket], None]] = {
    "threads": _threads,
    "gevent": _gevent,
    "asyncio": _asyncio,
}


def main(server: str, host: str, port: str) -> int:
    """Serve until the process is interrupted or terminated; return its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with opened(os.environ["CTXLOCAL_STORE"]) as store, _listen(host, int(port)) as listener:
            store.stats()  # say now, not at the first request, that it cannot be reached
            sessions: StoredSessions[Any] = StoredSessions(store, cookie=Cookie.for_development())
            app = make_shop(sessions, server)
            shown = f"[{host}]" if ":" in host else host
            print(f"Shop on http://{shown}:{listener.getsockname()[1]}/ - Ctrl-C ends it")
            print(f"Sessions in {store.name}, served by {server}", flush=True)
            RUN[server](app, listener)
    except KeyboardInterrupt:
        pass
    except (StoreProblem, _CannotListen) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


class _CannotListen(Exception):
    """The host and port cannot be listened on."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        problem = (error.strerror or str(error)).partition(" (while")[0]
        raise _CannotListen(f"{host} port {port}: {problem}") from error


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
