"""What a request does, step by step: the same under WSGI, under ASGI, in a view, in a thread.

A conversation is a generator. It yields what it wants done, and whoever drives it does that
in its own way, with :func:`time.sleep` or with an ``await``:

``PAUSE``          let the others run
``READ``           send back the next piece of the request's body, b"" at its end
bytes              send a piece of the response
:class:`Children`  start work that may outlive the response
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from .kept import Kept
from .places import Places

PAUSE: Final = object()
READ: Final = object()
PIECES, PIECE = 16, 4096  # of a streamed response: more than a slow reader's buffers hold
PIECES_AT_ONCE = 4
Steps = Generator[Any, Any, None]


class DeliberateError(Exception):
    """A view fails as it was asked to."""


@dataclass(frozen=True)
class Children:
    """Work that a view starts: ``bound`` travels with the request, ``free`` is on its own."""

    bound: Callable[[], Iterator[object]]
    free: Callable[[], Iterator[object]]


class Visit:
    """One request: its number, its secret, and where it looks.

    :param query: ``n``, the number; ``secret``; and ``session`` if it uses the session.
    :param register: registers a teardown of the current request.
    :param kept: its session.
    """

    def __init__(
        self,
        places: Places,
        query: str,
        register: Callable[[Callable[..., object]], object],
        kept: Kept,
    ) -> None:
        fields = parse_qs(query)
        self.number = fields["n"][0]
        self.secret = fields["secret"][0]
        self._uses_session = "session" in fields
        self._places = places
        self._register = register
        self.kept = kept

    def begin(self) -> None:
        """Look, expect the end, and put the secret everywhere."""
        self._places.look_inside(self.number)
        self._places.ledger.begin(self.number)
        self._register(self._end)
        self._places.write(self.secret)
        if self._uses_session:
            self._look_into_session()
            self.kept.put(f"k{self.number}", self.secret)
            self.kept.count()
            self.kept.flash(self.number)

    def _look_into_session(self) -> None:
        """Before anything is written: all that is there has to be this visitor's."""
        visitor = self.number.partition("-")[0]
        for key in self.kept.names():
            if key != "hits" and key.partition("-")[0] != f"k{visitor}":
                self._places.ledger.wrong(
                    "foreign_reads", f"{self.number} found {key!r} in its session"
                )

    def _end(self, _: object) -> None:
        """Be the teardown: nobody has cleaned up before."""
        self._places.check(f"the teardown of {self.number}", self.secret)
        self._places.ledger.end(self.number)

    def check(self) -> None:
        """Read everything back; the request has not ended yet."""
        self._places.ledger.expect_open(self.number)
        self._places.check(self.number, self.secret)
        if self._uses_session and self.kept.get(f"k{self.number}") != self.secret:
            self._places.ledger.wrong("foreign_reads", f"{self.number} read another's session")

    def bound_child(self) -> Iterator[object]:
        """Be what was started with the request's values: see them, and change one's own copy."""
        name = f"{self.number} bound"
        self._places.check(name, self.secret)
        yield PAUSE
        self._places.check(name, self.secret)
        yield from self._own(name)

    def free_child(self) -> Iterator[object]:
        """Be what was started without a word."""
        name = f"{self.number} free"
        self._places.check_free(name, self.secret)
        yield from self._own(name)

    def _own(self, name: str) -> Iterator[object]:
        self._places.write_own(name)
        yield PAUSE
        self._places.check_own(name, name)
        self._places.ledger.end(name)

    def expect_children(self) -> Children:
        """Return the work to start; the ledger waits for its end."""
        for kind in ("bound", "free"):
            self._places.ledger.begin(f"{self.number} {kind}")
        return Children(self.bound_child, self.free_child)


def plain(visit: Visit) -> Steps:
    """Answer at once, in one piece."""
    visit.begin()
    yield PAUSE
    visit.check()
    yield visit.secret.encode()


def post(visit: Visit) -> Steps:
    """Read a large body, letting others run between its pieces."""
    visit.begin()
    length = 0
    while piece := (yield READ):
        length += len(piece)
        yield PAUSE
        visit.check()
    yield f"{visit.secret} {length}".encode()


def stream(visit: Visit) -> Steps:
    """Answer in many pieces, each with the secret."""
    visit.begin()
    for number in range(PIECES):
        yield visit.secret.encode().ljust(PIECE)
        if number % PIECES_AT_ONCE == 0:
            yield PAUSE
        visit.check()


def fail(visit: Visit) -> Steps:
    """Raise before the response has begun: nothing of the session is saved."""
    visit.begin()
    yield PAUSE
    visit.check()
    raise DeliberateError(visit.number)


def break_off(visit: Visit) -> Steps:
    """Raise in the middle of the response."""
    visit.begin()
    yield visit.secret.encode().ljust(PIECE)
    yield PAUSE
    visit.check()
    raise DeliberateError(visit.number)


def spawn(visit: Visit) -> Steps:
    """Start a thread, greenlet or task that goes on when the response is over."""
    visit.begin()
    yield visit.expect_children()
    yield PAUSE
    visit.check()
    yield visit.secret.encode()


def audit(visit: Visit) -> Steps:
    """Tell what the session holds, and end it."""
    kept = visit.kept
    held = {key: kept.get(key) for key in kept.names() if key != "hits"}
    told = {"values": held, "hits": kept.hits(), "flashes": kept.flashed()}
    kept.end()
    yield json.dumps(told).encode()


CONVERSATIONS: dict[str, Callable[[Visit], Steps]] = {
    "plain": plain,
    "post": post,
    "stream": stream,
    "fail": fail,
    "break-off": break_off,
    "spawn": spawn,
    "audit": audit,
}
Begin = Callable[[str, str, Kept], tuple[Steps, bool]]
"""Returns the conversation for a path, a query and a session, and whether it is streamed."""
STREAMED = ("stream", "break-off")
