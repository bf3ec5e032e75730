"""A TCP proxy that loses a reply: the server has done what it was asked, nobody hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress


class Proxy:
    """Passes connections on to a port of the loopback interface; new ones to another ``target``."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._pattern: bytes | None = None
        self.lost = 0
        self._may_answer = threading.Event()
        self._may_answer.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_reply_to(self, pattern: bytes) -> None:
        """Hang up instead of passing on the reply to the next request that holds this."""
        self._pattern = pattern

    def losing(self, pattern: bytes) -> Callable[[object], AbstractContextManager[None]]:
        """Return the ``lose_reply`` of ``check_store``."""

        @contextmanager
        def lose(store: object) -> Iterator[None]:
            self.lose_reply_to(pattern)
            yield

        return lose

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and requests, and answer nothing, as a server does that is stopped."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # nobody is there
                client.close()
                continue
            for each in (client, server):  # a reply of two parts waits for no acknowledgement
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += client, server
            is_losing = threading.Event()
            for pump in (self._ask, self._reply):
                threading.Thread(target=pump, args=(client, server, is_losing), daemon=True).start()

    def _ask(
        self, client: socket.socket, server: socket.socket, is_losing: threading.Event
    ) -> None:
        for data in _chunks(client):
            if self._pattern is not None and self._pattern in data:
                self._pattern = None
                is_losing.set()
            with suppress(OSError):
                server.sendall(data)
        _hang_up(client, server)

    def _reply(
        self, client: socket.socket, server: socket.socket, is_losing: threading.Event
    ) -> None:
        for data in _chunks(server):
            self._may_answer.wait()
            if is_losing.is_set():
                self.lost += 1
                break
            with suppress(OSError):
                client.sendall(data)
        _hang_up(client, server)

    def close(self) -> None:
        self._may_answer.set()
        self._listener.close()
        _hang_up(*self._open)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    try:
        while data := source.recv(65536):
            yield data
    except OSError:
        return


def _hang_up(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):  # the other thread, or the peer, was faster
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
