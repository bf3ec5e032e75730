"""Two functions in two threads, one of them as a whole between two lines of the other.

What a thread switch may do at any moment is done here at every line in turn, without a sleep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from threading import Thread
from types import FrameType, ModuleType
from typing import Any

MOST_LINES = 500  # in the modules that are looked at


def interleavings(
    make: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]], *modules: ModuleType
) -> Iterator[list[Any]]:
    """Yield, for each line that the first function runs in ``modules``, what both came to.

    What a function came to is what it returned or raised. The second one runs, in another
    thread, when the first is about to run the line.

    :param make: returns the two functions, anew for each line. Neither may wait for the other.
    """
    files = {module.__file__ for module in modules}
    for number in range(MOST_LINES):
        first, second = make()
        meeting = _Meeting(files, number, second)
        outcome = _in_thread(partial(meeting.trace, first))
        if meeting.has_met:
            yield [outcome, meeting.outcome]
        else:  # the first has fewer lines
            assert number, "it runs no line of these modules"
            return
    raise AssertionError(f"more than {MOST_LINES} lines")


class _Meeting:
    """Stops a function at one of its lines, until another one has run in another thread."""

    def __init__(self, files: set[str | None], line: int, other: Callable[[], Any]) -> None:
        self.has_met = False
        self.outcome: Any = None
        self._files = files
        self._left = line
        self._other = other

    def trace(self, function: Callable[[], Any]) -> Any:
        former = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return function()
        finally:
            sys.settrace(former)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._step if frame.f_code.co_filename in self._files else None

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and not self.has_met:
            if self._left == 0:
                self.has_met = True
                self.outcome = _in_thread(self._other)
            self._left -= 1
        return self._step


def _in_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return found[0]
