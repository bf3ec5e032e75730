"""One writer: it changes sessions, and ends others, over and over, and tells what it was told."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.protocol import Answer, Change, Incr, Store
from ctxlocal.sessions.stores.url import open_store

T = TypeVar("T")
TTL = 86400.0
PAUSE = 0.05  # seconds, before what failed is asked for again

#: ``"counted"`` a commit, with the sum; ``"ended"`` a session; ``"made"`` one; ``"gave up"`` a
#: commit; ``"error"``: an answer was one
Tell = Callable[[str, str, int], object]


class Ended(Exception):
    """The writer was to stop before it had an answer."""


class Work:
    """What one writer does."""

    def __init__(self, store: Store, stop: threading.Event, tell: Tell) -> None:
        self._store = store
        self._stop = stop
        self._tell = tell

    def run(self, keys: Sequence[str]) -> None:
        """Go on until told to stop."""
        try:
            for key in keys:
                self._make(key)
            while not self._stop.is_set():
                for key in keys:
                    self._count(key)
                self._log_out()
        except Ended:
            pass

    def _make(self, key: str) -> None:
        self._asked(key, lambda: self._store.create(key, {}, TTL))
        self._tell("made", key, 0)

    def _count(self, key: str) -> None:
        """Commit, and the same commit again until it has an answer."""
        change = Change(secrets.token_hex(8), ops=[Incr("n", 1)])
        try:
            answer: Answer = self._asked(key, lambda: self._store.commit(key, 0, change, TTL))
        except Ended:
            self._tell("gave up", key, 0)
            raise
        if answer.outcome == "revoked":  # the session is lost, with all that it counted
            self._make(key)
            self._count(key)
            return
        (result,) = answer.results
        assert isinstance(result, int)
        self._tell("counted", key, result)

    def _log_out(self) -> None:
        key = secrets.token_hex(32)
        self._make(key)
        self._asked(key, lambda: self._store.delete(key))
        self._tell("ended", key, 0)

    def _asked(self, key: str, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except StoreUnavailableError:
                self._tell("error", key, 0)
            if self._stop.wait(PAUSE):
                raise Ended


def main() -> None:
    """Work in a process of its own, which may be killed: a line for each thing that is told."""
    url, *keys = sys.argv[1:]

    def tell(what: str, key: str, answer: int) -> None:
        print(what, key, answer, sep="\t", flush=True)

    Work(open_store(url), threading.Event(), tell).run(keys)


if __name__ == "__main__":
    main()
