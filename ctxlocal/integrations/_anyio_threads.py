"""What anyio runs in a thread for a request: with the request's values, and as if it were called.

Starlette and FastAPI run synchronous endpoints, dependencies and background tasks by
``anyio.to_thread.run_sync``, in a copy of the task's Context that is thrown away: what such a
dependency sets, the endpoint does not see; and under the strategies ``task`` and ``thread`` it sees
nothing itself. There is no place between the two that a library could take, so the function is
replaced, once in a process; for whoever is in no request of ours the former is called.

What was set or deleted in the thread is set or deleted in the task that awaited it, and nowhere
else: where the task would have done it, had it called the function. So requests, and child tasks,
stay as separate as they are. If the await is cancelled nothing is set: the thread may still run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial, wraps
from typing import Any

from anyio import to_thread

from .. import flow


def carry_into_threads(is_ours: Callable[[], bool]) -> None:
    """Replace ``anyio.to_thread.run_sync``, unless that was done.

    :param is_ours: whether the caller is in a request for which it is to be so.
    """
    former = to_thread.run_sync
    if hasattr(former, "is_carrying"):
        return

    @wraps(former)
    async def run_sync(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if not is_ours():
            return await former(function, *args, **options)
        job = _Job(partial(function, *args))
        try:
            result = await former(job, **options)
        except Exception:  # of the function; a cancellation is none
            job.put_back()
            raise
        job.put_back()
        return result

    run_sync.is_carrying = True  # type: ignore[attr-defined]
    to_thread.run_sync = run_sync  # type: ignore[assignment]


class _Job:
    """A function that a thread calls for a task."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._task = flow.snapshot()
        self._before = self._after = self._task

    def __call__(self) -> Any:
        """Call the function, in the thread."""
        return self._task.run(self._call, copy_context())

    def _call(self, thread: Context) -> Any:
        for var, value in thread.items():  # anyio has changed what says which loop runs here
            if var.get(self) is not value:
                var.set(value)
        before = flow.snapshot()
        try:
            return self._function()
        finally:
            self._before, self._after = before, flow.snapshot()

    def put_back(self) -> None:
        """Set in the task what the function has changed, now that it has come to its end."""
        self._after.put_back(self._before)
