"""Once: functions that are called before the first request is handled, by one of the first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ...ident.greenlet import hub_of
from ...ident.record import running_greenlet
from ..context import RequestContext


class Once:
    """Functions that are called once, in order, by the first of any number of requests.

    The others wait, in whatever way their server lets them. A function that raises fails
    the request that called it, and the next request, which may be waiting, tries it again;
    those before it are not called again.

    Nothing blocks once all were called: reading ``is_done`` is all a request does.
    """

    def __init__(self) -> None:
        self.is_done = False
        self._functions: list[Callable[[], Any]] = []
        self._running: dict[str, Future[None]] = {}

    def add(self, function: Callable[[], Any]) -> None:
        """Add a function, to be called after those before.

        :raises RuntimeError: it would be too late.
        """
        if self.is_done:
            raise RuntimeError(
                f"{function!r} would never be called: the first request was handled already. "
                "Register it while the application is set up."
            )
        self._functions.append(function)

    async def run(self, context: RequestContext) -> None:
        """Call the functions that are left, or wait until another request has called them."""
        while not self.is_done:
            mine: Future[None] = Future()
            running = self._running.setdefault("now", mine)  # atomic: one request decides
            if running is mine:
                await self._run(context, mine)
            elif context.is_async:
                await context.call(_wait_async, running)
            else:
                _wait(running)

    async def _run(self, context: RequestContext, mine: Future[None]) -> None:
        try:
            while self._functions:
                await context.call(self._functions[0])
                del self._functions[0]
            self.is_done = True
        finally:
            del self._running["now"]
            mine.set_result(None)


async def _wait_async(running: Future[None]) -> None:
    from ..._async_library import library  # imports asyncio, which WSGI needs not

    await library().wait(running)


def _running_hub() -> str | None:
    greenlet = running_greenlet()  # not in a frame that runs on: it would keep itself alive
    return None if greenlet is None else hub_of(greenlet)


def _wait(running: Future[None]) -> None:
    hub = _running_hub()
    if hub is None:
        running.result()
        return
    # Unless everything is patched, blocking here would stop the greenlet that is waited for.
    sleep = sys.modules[hub].sleep
    while not running.done():
        sleep(0.005)
