"""The demo's process: ``python -m ctxlocal.cli.demo.serve SERVER HOST PORT``."""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1:2] == ["gevent"]:
    from gevent import monkey

    monkey.patch_all()

import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from ... import ident
from ...app import App
from ...errors import CtxLocalError
from ...session.cookie import Cookie
from ...session.stored import StoredSessions
from ...session.stores.url import open_store
from .shop import make_shop


def _threads(app: App, listener: socket.socket) -> None:
    from werkzeug.serving import make_server

    signal.signal(signal.SIGTERM, _interrupt)
    host, port = listener.getsockname()[:2]
    make_server(host, port, app, threaded=True, fd=listener.fileno()).serve_forever()


def _gevent(app: App, listener: socket.socket) -> None:
    import gevent
    from gevent.pywsgi import WSGIServer

    ident.set_default("gevent")  # the one line that an application changes for these workers
    server = WSGIServer(listener, app, log=None)
    gevent.signal_handler(signal.SIGTERM, server.stop)
    server.serve_forever()


def _asgi(app: App, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(app.asgi_app, log_level="warning", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


RUN: dict[str, Callable[[App, socket.socket], None]] = {
    "threads": _threads,
    "gevent": _gevent,
    "asgi": _asgi,
}


def main(server: str, host: str, port: str) -> int:
    """Serve until the process is interrupted; return its exit status."""
    try:
        listener = socket.create_server((host, int(port)), backlog=128)
    except OSError as error:
        print(f"Error: {host} port {port}: {error.strerror}", file=sys.stderr)
        return 2
    try:
        store = open_store(os.environ["CTXLOCAL_STORE"])
        store.stats()  # say now, not at the first request, that it cannot be reached
    except CtxLocalError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    sessions: StoredSessions[Any] = StoredSessions(store, cookie=Cookie.for_development())
    app = make_shop(sessions, server)
    shown = f"[{host}]" if ":" in host else host
    print(f"Shop on http://{shown}:{listener.getsockname()[1]}/ - Ctrl-C ends it", flush=True)
    print(f"Sessions in {store.name}, served by {server}", flush=True)
    try:
        RUN[server](app, listener)
    except KeyboardInterrupt:
        print()
    finally:
        store.close()
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
