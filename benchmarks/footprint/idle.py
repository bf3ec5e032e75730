"""What a server takes for connections that have had a request answered, and wait for the next."""

from __future__ import annotations

import os
import resource
import tempfile
from contextlib import AsyncExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from benchmarks.servers.applications import APPLICATIONS, NO_SESSION, Application
from benchmarks.servers.load import HEADERS, first_cookie
from benchmarks.servers.run import started
from ctxlocal.lab.process import end_on_signals
from ctxlocal.lab.servers.catalogue import BY_NAME

SERVER = "uvicorn-uvloop-httptools"
WAITING = tuple(one for one in APPLICATIONS if one.protocol == BY_NAME[SERVER].protocol)
WARM_UP = 300


async def measure(application: Application, connections: int) -> float:
    """Return the bytes of the machine's memory that each connection takes."""
    end_on_signals([])  # the server and the folder are not to outlive us
    os.environ["UVICORN_TIMEOUT_KEEP_ALIVE"] = "600"  # 5 seconds, but a machine may be busy
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the server's too
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subject = await started(BY_NAME[SERVER], application, folder / "0", stack)
        has_session = application.session != NO_SESSION
        cookie = {"Cookie": first_cookie(subject.port)} if has_session else {}

        def ask(connection: HTTPConnection) -> None:
            connection.request("GET", application.path, headers=HEADERS | cookie)
            response = connection.getresponse()
            if response.read() != b"ok":
                raise AssertionError(f"{application.title} answers {response.status}")

        first, *others = (
            stack.enter_context(closing(HTTPConnection("127.0.0.1", subject.port, timeout=60)))
            for _ in range(connections + 1)
        )
        for _ in range(WARM_UP):
            ask(first)
        before = subject.process.memory_full_info().uss
        for connection in others:
            ask(connection)
        after = subject.process.memory_full_info().uss
        with DefaultSelector() as selector:
            for connection in others:
                selector.register(connection.sock, EVENT_READ)
            if closed := len(selector.select(0)):
                raise AssertionError(f"{closed} connections were closed meanwhile")
        return (after - before) / connections
