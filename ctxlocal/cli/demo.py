"""``ctxlocal demo``: a small shop with real sessions, on a real server of your choice."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from .needed import refuse_missing

SERVERS = {"threads": "werkzeug", "gevent": "gevent", "asyncio": "uvicorn"}  # by their kind
NEEDED = ("werkzeug", "jinja2", "msgspec", "blinker")


@click.command()
@click.option(
    "--server",
    type=click.Choice(list(SERVERS)),
    default="threads",
    show_default=True,
    help="The kind of server: werkzeug's with threads, gevent's, or uvicorn.",
)
@click.option(
    "--store",
    default="sqlite:///ctxlocal-demo.db",
    show_default=True,
    envvar="CTXLOCAL_STORE",
    metavar="STORE",
    help="Where the sessions are kept, as in `ctxlocal sessions`; memory: is one too.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
def demo(server: str, store: str, host: str, port: int) -> NoReturn:
    """Serve a small shop: login, cart, messages, own sessions.

    Over plain HTTP, for this machine: its cookie is not marked Secure. Port 0 takes a free
    port. Ctrl-C ends it. Exit status 2 when it cannot start.
    """
    refuse_missing("ctxlocal demo", [SERVERS[server]], "gevent" if server == "gevent" else "demo")
    refuse_missing("ctxlocal demo", NEEDED, "demo")
    # A process of its own: gevent has to patch before anything else is imported.
    os.environ["CTXLOCAL_STORE"] = store  # not an argument: it may hold a password
    arguments = [sys.executable, "-m", "ctxlocal.lab.demo.serve", server, host, str(port)]
    os.execv(sys.executable, arguments)
