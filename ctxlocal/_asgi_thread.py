"""Calling an application's functions from a task, without blocking its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from inspect import iscoroutine
from typing import Any

from .context import is_async
from .flow import Snapshot, snapshot


class Caller:
    """Calls the functions of one request, one at a time; synchronous ones in a thread.

    There a function runs in a copy of what the task has: its Context, and the Locals that
    travel. When it ends, also by an exception, what it changed is set back in the task.
    Unless the task was cancelled: then nobody waits for the thread, and nothing is set back.
    The task's own Context is never entered by a thread.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._running: Future[None] | None = None

    async def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return what ``function`` returns, or raise what it raises."""
        if is_async(function):
            return await function(*args, **kwargs)
        result = await self._call_in_thread(_Job(function, args, kwargs))
        return await result if iscoroutine(result) else result

    async def _call_in_thread(self, job: _Job) -> Any:
        before = snapshot()
        self._running = self._executor.submit(before.run, job.run)
        await asyncio.wrap_future(self._running)
        self._running = None
        job.after.put_back(before)
        return job.outcome()

    @property
    def left_behind(self) -> Future[None] | None:
        """The call that still runs in a thread although its task was cancelled, or None."""
        running = self._running
        return None if running is None or running.done() else running

    @property
    def was_too_early(self) -> bool:
        """Whether the task was cancelled while its call still waited for a thread."""
        return self._running is not None and self._running.cancelled()


class _Job:
    """A call whose outcome is looked at later: a Future cannot hand on a StopIteration."""

    after: Snapshot

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._call = function, args, kwargs
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        function, args, kwargs = self._call
        try:
            self._result = function(*args, **kwargs)
        except BaseException as error:
            self._error = error
        finally:
            self.after = snapshot()

    def outcome(self) -> Any:
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # or it would be in a cycle with its own traceback
