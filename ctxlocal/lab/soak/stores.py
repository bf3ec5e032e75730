"""The stores that sessions are soaked on; a redis-server is started for it, and ended."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from ..process import dying_with_parent

STORES = ("memory", "sqlite", "redis")
IN_FILE = "sqlite:///"


def why_not(store: str) -> str:
    """Why a store cannot be had here; "" where it can.

    :param store: one of :data:`STORES`, or a URL.
    """
    if store != "redis":
        return ""
    if find_spec("redis") is None:
        return "redis not installed"
    return "" if shutil.which("redis-server") else "redis-server not installed"


def shown(store: str) -> str:
    """Return what a store may be called in a report: no URL, which may hold a password."""
    return store.partition(":")[0]


@asynccontextmanager
async def opened(store: str) -> AsyncIterator[str]:
    """Yield the URL of a store that is empty, or the URL that was given."""
    if store == "memory":
        yield "memory:"
    elif store == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'sessions.db'}"
    elif store == "redis":
        async with _redis() as url:
            yield url
    elif store.startswith(IN_FILE):  # the server is started elsewhere
        yield f"{IN_FILE}{Path(store.removeprefix(IN_FILE)).absolute()}"
    else:
        yield store


@asynccontextmanager
async def _redis() -> AsyncIterator[str]:
    """Run a redis-server that keeps nothing on disk, reached by a socket in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        process = await asyncio.create_subprocess_exec(
            *("redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", folder),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to pass on
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                if b"ready to accept connections" in line.lower():
                    break
            yield f"unix://{socket}"
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
