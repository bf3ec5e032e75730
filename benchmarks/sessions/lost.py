"""What concurrent requests of one session lose: each changes something of its own.

All of them have loaded the session before any of them saves it: see :class:`.visit.Meeting`.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from .client import ASGIClient, WSGIClient
from .field import Row
from .place import Place
from .visit import FLASH, FLASHED, OWN, OWNED, START, Meeting, Visit

REQUESTS = 50


def measure(place: Place, row: Row) -> dict[str, int | None]:
    """Return how many requests' keys, and how many of as many flashed messages, were kept.

    ``failed`` counts the requests that were answered by an error; None: it has no messages.
    """
    kept, failed = _run(place, row, row.framework.visit(), OWN, OWNED)
    result: dict[str, int | None] = {"requests": REQUESTS, "kept": kept, "failed": failed}
    result["flashes_kept"] = None
    if row.framework.flashing is not None:
        kept, refused = _run(place, row, row.framework.flashing(), FLASH, FLASHED)
        result |= {"flashes_kept": kept, "failed": failed + refused}
    return result


def _run(place: Place, row: Row, visit: Visit, path: str, count_path: str) -> tuple[int, int]:
    run = _tasks if row.framework.is_async else _threads
    return run(place, row.make(place, visit), visit, path, count_path)


class _Browser:
    """One visitor whose responses come in any order: of cookies of one name the last one stays."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._sent = dict(client.jar.cookies)
        self.failed = 0
        self._lock = threading.Lock()

    def take(self, other: Any) -> None:
        """Take the cookies of a response that has come."""
        with self._lock:
            for name, value in other.jar.cookies.items():
                if self._sent.get(name) != value:
                    self.client.jar.keep(f"{name}={value}")

    def miss(self) -> None:
        """Count a response that is an error."""
        with self._lock:
            self.failed += 1


def _threads(place: Place, app: Any, visit: Visit, path: str, count_path: str) -> tuple[int, int]:
    client = WSGIClient(app)
    client.get(START)
    browser = _Browser(client)
    visit.meeting = Meeting(REQUESTS)

    def visit_once(number: int) -> None:
        one = client.another()
        try:
            one.get(f"{path}{number}")
        except Exception:
            browser.miss()
        else:
            browser.take(one)

    threads = [threading.Thread(target=visit_once, args=(n,)) for n in range(REQUESTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(client.get(count_path)), browser.failed


def _tasks(place: Place, app: Any, visit: Visit, path: str, count_path: str) -> tuple[int, int]:
    async def run() -> tuple[int, int]:
        client = ASGIClient(app)
        await client.get(START)
        browser = _Browser(client)
        visit.meeting = Meeting(REQUESTS)

        async def visit_once(number: int) -> None:
            one = client.another()
            try:
                await one.get(f"{path}{number}")
            except Exception:
                browser.miss()
            else:
                browser.take(one)

        await asyncio.gather(*map(visit_once, range(REQUESTS)))
        return int(await client.get(count_path)), browser.failed

    return place.loop.run_until_complete(run())
