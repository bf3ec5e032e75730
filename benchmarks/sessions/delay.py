"""A way to a server that takes longer: ``python -m ... delay PORT SECONDS`` prints its own port.

What comes from the server is passed on so much later; what goes there goes at once. Each piece has
its own time, so that two that come together arrive together, as over a longer wire. A process of
its own, so that it takes nothing of the time of those who are measured.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread

MOST = 1 << 16  # bytes of a piece


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(MOST):
            target.sendall(piece)
    _hang_up(target)


def _pass_on_later(source: socket.socket, target: socket.socket, seconds: float) -> None:
    pieces: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
    Thread(target=_deliver, args=(pieces, target), daemon=True).start()
    piece = b"the first"
    while piece:
        try:
            piece = source.recv(MOST)
        except OSError:
            piece = b""
        pieces.put((time.monotonic() + seconds, piece))


def _deliver(pieces: SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
    with suppress(OSError):
        while True:
            due, piece = pieces.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not piece:
                break
            target.sendall(piece)
    _hang_up(target)


def _hang_up(target: socket.socket) -> None:
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def serve(port: int, seconds: float) -> None:
    """Pass connections on to a port of 127.0.0.1, until the process is ended."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Thread(target=_pass_on, args=(near, far), daemon=True).start()
        Thread(target=_pass_on_later, args=(far, near, seconds), daemon=True).start()


@contextmanager
def delaying(port: int, seconds: float) -> Iterator[int]:
    """Run such a process, and yield its port."""
    command = [sys.executable, "-m", __name__, str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
