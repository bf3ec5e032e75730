"""A server's process: started on a free port, watched, and ended with all it has started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import ctxlocal

from ..process import dying_with_parent, last_line, within
from .catalogue import Server

READY_S = 60.0
ASK_EVERY_S = 0.02
POLITE_S = 4.0  # then it is killed
# Servers import from where they are started first: there this ctxlocal is found, no other one.
FOLDER = Path(ctxlocal.__file__).absolute().parents[1]


class ServerProblem(Exception):
    """A server did not start, or ended; the text is one line for the person who asked for it."""


class Process:
    """A server that answers on ``port``."""

    def __init__(self, port: int, process: asyncio.subprocess.Process, output: IO[bytes]) -> None:
        self.port = port
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """The number of the process that was started; it may have started others."""
        return self._process.pid

    def how_it_ended(self) -> str:
        """Return its exit status and last words; "" while it runs."""
        status = self._process.returncode
        return "" if status is None else f"it ended with status {status}{last_line(self._output)}"


@asynccontextmanager
async def running(
    server: Server, application: str, environment: Mapping[str, str], *, port: int | None = None
) -> AsyncIterator[Process]:
    """Run ``server`` for the length of the block; all its processes are gone afterwards.

    It is started in the folder of this package, not in the current one.

    :param application: ``module:attribute``, which the server imports.
    :param environment: what its environment has above ours.
    :param port: of 127.0.0.1; None for a free one.
    :raises ServerProblem: it does not start, with what it said; the port is in use.
    """
    if port is not None and not _is_free(port):
        raise ServerProblem(f"port {port} of 127.0.0.1 is in use")
    port = port or _free_port()
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *server.arguments(application, port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            cwd=FOLDER,
            start_new_session=True,  # a process group of its own can be ended as a whole
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )
        try:
            started = Process(port, process, output)
            await _await_answer(started)
            yield started
        finally:
            await _end(process)


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def _await_answer(process: Process) -> None:
    """Return when the port accepts connections: there is nothing to wait for but asking."""
    limit = asyncio.get_running_loop().time() + READY_S
    while True:
        if ended := process.how_it_ended():
            raise ServerProblem(ended)
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", process.port)
        except OSError:
            if asyncio.get_running_loop().time() > limit:
                raise ServerProblem(f"no answer within {READY_S:g} s") from None
            await asyncio.sleep(ASK_EVERY_S)
        else:
            writer.close()
            return


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end, and kill what is left of its group."""
    try:
        if process.returncode is None:
            process.terminate()
            with suppress(asyncio.TimeoutError):
                await within(POLITE_S, process.wait())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
