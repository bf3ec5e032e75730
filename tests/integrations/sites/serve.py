"""Serves a site on a free port of 127.0.0.1 until the process is ended."""

from __future__ import annotations

import logging
import socket
from typing import Any


def serve_wsgi(app: Any) -> None:
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    with listening() as listener:
        host, port = listener.getsockname()
        make_server(host, port, app, threaded=True, fd=listener.fileno()).serve_forever()


def serve_asgi(app: Any) -> None:
    import uvicorn

    with listening() as listener:
        config = uvicorn.Config(app, log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])


def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    return listener
