"""Starts the servers that have no command line: ``python -m ... launch SERVER MODULE:APP PORT``.

Each is what its own documentation shows. gevent and eventlet patch before all else.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1] == "gevent.pywsgi":
    from gevent import monkey

    monkey.patch_all()
elif __name__ == "__main__" and sys.argv[1] == "eventlet.wsgi":
    import eventlet

    eventlet.monkey_patch()

import logging
import socket
from collections.abc import Callable
from importlib import import_module
from typing import Any

BACKLOG = 256


def _gevent(app: Any, port: int) -> None:
    from gevent.pywsgi import WSGIServer

    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    # It sends header and body apart: without this the body waits 40 ms for the client's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    WSGIServer(listener, app, log=None).serve_forever()


def _eventlet(app: Any, port: int) -> None:
    import eventlet
    from eventlet import wsgi

    wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log_output=False)


def _werkzeug(app: Any, port: int) -> None:
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # no line for each request
    make_server("127.0.0.1", port, app, threaded=True).serve_forever()


RUN: dict[str, Callable[[Any, int], None]] = {
    "gevent.pywsgi": _gevent,
    "eventlet.wsgi": _eventlet,
    "werkzeug": _werkzeug,
}


def main(server: str, application: str, port: str) -> None:
    """Serve ``module:attribute`` on 127.0.0.1 until the process is ended."""
    module, _, attribute = application.partition(":")
    RUN[server](getattr(import_module(module), attribute), int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
