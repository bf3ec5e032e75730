"""The one view of every application: what a request does with its session, told by its path."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

#: What each session holds. JSON, pickle and msgpack all keep it as it is.
CONTENT = {"name": "u1042", "csrf": "5f" * 32, "theme": "dark", "cart": [11, 42, 7], "count": 0}

#: What a request may do, and the path that has it done.
MODES = {"untouched": "/untouched", "read": "/read", "read+write": "/write"}
START = "/start"  # puts CONTENT into a new session
COUNT = "/count"
OWN = "/own/"  # and a number: reads, meets the others, and then sets a key of its own
OWNED = "/owned"  # how many such keys there are
FLASH = "/flash/"  # the same with a message
FLASHED = "/flashed"

PATIENCE = 60  # seconds to wait for the others


class Meeting:
    """Where concurrent requests wait until all have loaded the session and none has saved it.

    :param number: how many requests there are.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._barrier = threading.Barrier(number, timeout=PATIENCE)
        self._arrived = 0
        self._everybody = asyncio.Event()

    def wait(self) -> None:
        """Wait in a thread."""
        self._barrier.wait()

    async def wait_async(self) -> None:
        """Wait in a task."""
        self._arrived += 1
        if self._arrived == self._number:
            self._everybody.set()
        await asyncio.wait_for(self._everybody.wait(), PATIENCE)


class Visit:
    """The view.

    :param flash: keeps a message for the request that it is given.
    :param flashed: takes that request's messages, and returns how many there were.
    """

    def __init__(
        self,
        flash: Callable[[Any, str], object] | None = None,
        flashed: Callable[[Any], int] | None = None,
    ) -> None:
        self.meeting = Meeting(1)
        self._flash = flash
        self._flashed = flashed

    @property
    def can_flash(self) -> bool:
        """Whether the library has messages for the next page."""
        return self._flash is not None

    def __call__(self, path: str, find: Callable[[], Any], request: Any = None) -> str:
        """Do what ``path`` says, with the session that ``find`` returns when it is called."""
        if path == "/untouched":
            return "ok"
        session = find()
        if path.startswith((OWN, FLASH)):
            _ = session["name"]
            self.meeting.wait()
        return self._act(path, session, request)

    async def in_task(
        self, path: str, find: Callable[[], Awaitable[Any]], request: Any = None
    ) -> str:
        """Do the same in a task; ``find`` may have to await the session."""
        if path == "/untouched":
            return "ok"
        session = await find()
        if path.startswith((OWN, FLASH)):
            _ = session["name"]
            await self.meeting.wait_async()
        return self._act(path, session, request)

    def _act(self, path: str, session: Any, request: Any) -> str:
        if path == "/read":
            _ = session["name"]
        elif path == "/write":
            _ = session["name"]
            session["count"] = session["count"] + 1
        elif path == START:
            session.update(CONTENT)
        elif path == COUNT:
            return str(session["count"])
        elif path.startswith(OWN):
            session[f"own-{path}"] = 1
        elif path == OWNED:
            return str(sum(key.startswith("own-") for key in session.keys()))  # noqa: SIM118
        elif path.startswith(FLASH) and self._flash is not None:
            self._flash(request, path)
        elif path == FLASHED and self._flashed is not None:
            return str(self._flashed(request))
        else:
            raise LookupError(path)
        return "ok"
