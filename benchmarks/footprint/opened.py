"""What a process takes for many requests at once, each of which has a session of its own open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.scale.memory import allocated_bytes
from benchmarks.sessions.client import ASGIClient
from benchmarks.sessions.field import ROWS, Framework, Row
from benchmarks.sessions.place import Place
from benchmarks.sessions.visit import OWN, START, Meeting, Visit

Figures = dict[str, float]
Look = Callable[[], int]  # returns how many bytes there are


def _bare(place: Place, visit: Visit) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == OWN:
            await visit.meeting.wait_async()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


_BARE = Row("bare", "bare, no session", Framework("bare", _bare, Visit, (), is_async=True), _bare)
# Tasks, because nobody has ten thousand threads.
OPENED = (
    _BARE,
    *(one for one in ROWS if one.framework.is_async and one.group in ("cookie", "memory", "file")),
)


class _AllIn(Meeting):
    """Where requests wait until the last of them has come and looked how much there is."""

    def __init__(self, number: int, look: Look) -> None:
        super().__init__(number)
        self._look = look
        self.seen = 0

    async def wait_async(self) -> None:
        """Wait in a task."""
        self._arrived += 1
        if self._arrived == self._number:
            self.seen = self._look()
            self._everybody.set()
        await self._everybody.wait()


def allocated(place: Place, row: Row, count: int) -> Figures:
    """Return the bytes of a session between its requests, and of one that is open, on top."""
    empty, stored, opened = place.loop.run_until_complete(_open(place, row, count, allocated_bytes))
    return {"between": (stored - empty) / count, "open": (opened - stored) / count}


def peak(place: Place, row: Row, count: int) -> Figures:
    """Return the most that the process had of the machine's memory for each, while all ended."""
    _, stored, _ = place.loop.run_until_complete(_open(place, row, count, lambda: _status("VmRSS")))
    return {"peak": (_status("VmHWM") - stored) / count}


async def _open(place: Place, row: Row, count: int, look: Look) -> tuple[int, int, int]:
    """Return what there is before the first request, between requests, and when all are open."""
    visit = row.framework.visit()
    app = row.make(place, visit)
    first, *clients = (ASGIClient(app) for _ in range(count + 1))
    for path in (START, OWN):  # what an application makes at its first request is not counted
        await first.get(path)
    empty = look()
    for client in clients:
        await client.get(START)
    stored = look()
    visit.meeting = meeting = _AllIn(count, look)
    await asyncio.gather(*(client.get(OWN) for client in clients))
    return empty, stored, meeting.seen


def _status(name: str) -> int:
    """Return a figure of the process, in bytes, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
