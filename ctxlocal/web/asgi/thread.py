"""Calling an application's functions from a task, without blocking its event loop."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from threading import Thread
from typing import Any

from ..._async_library import library
from ..._empty_context import in_empty_context
from ...flow import Snapshot, snapshot
from ..context import is_async
from ..request_thread import RequestThread


class Caller:
    """Calls the functions of one request, one at a time; all synchronous ones in one thread.

    The thread is the request's own from the first of them to :meth:`give_back`: what may be
    used in its thread alone (a connection of sqlite3, a thread's transaction) can be made by
    one function and used by another, and no other request comes between.

    There a function runs in a copy of what the task has: its Context, and the Locals that
    travel. When it ends, also by an exception, what it changed is set back in the task.
    Unless the task was cancelled: then nobody waits for the thread, and nothing is set back.
    The task's own Context is never entered by a thread.

    What runs in the thread may be more than one function: a whole flow that calls this too.
    Its synchronous functions are then just called, and the others awaited by the task, while
    the thread waits for it.

    :param executor: whose threads it takes; see :mod:`ctxlocal.web.request_thread`.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._thread: RequestThread | None = None
        self._job: _Job | None = None
        self._is_over = False

    async def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return what ``function`` returns, or raise what it raises."""
        if self._thread is None and is_async(function):  # by far the most of those
            return await function(*args, **kwargs)
        if self.is_here:
            return self._call_here(function, args, kwargs)
        if is_async(function):
            return await self.away(function(*args, **kwargs))
        result = await self._call_in_thread(partial(function, *args, **kwargs))
        return await self.away(result) if iscoroutine(result) else result

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the request's thread, and in no event loop there."""
        thread = self._thread
        return thread is not None and thread.is_here and not _runs_loop()

    def _call_here(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        job, thread = self._job, self._thread
        assert job is not None
        assert thread is not None
        job.go_on()
        result = function(*args, **kwargs)
        if iscoroutine(result):
            result = job.ask(result, thread)
        job.go_on()
        return result

    async def away(self, awaitable: Awaitable[Any]) -> Any:
        """Await something that may take long, and mark the request's thread as unused meanwhile."""
        thread = self._thread
        if thread is None:
            return await awaitable
        thread.is_unused = True
        try:
            return await awaitable
        finally:
            thread.is_unused = False

    async def _call_in_thread(self, function: Callable[[], Any]) -> Any:
        thread = self._thread
        if thread is None:
            thread = self._thread = RequestThread(self._executor)
        elif thread.is_here:  # in an event loop that a function of the request runs
            return function()
        job = _Job(function)
        news = job.news  # before the thread makes others
        outer = self._job if self.left_behind else None
        if outer is not None and not outer.is_asking:  # called by what the thread waits for
            in_empty_context(Thread(target=job.work, name="ctxlocal").start)
        else:
            self._job = job
            thread.submit(job.work)
        try:
            await self._hear(job, news, thread)
        except BaseException:
            job.abandon()
            self._job = outer or job
            raise
        self._job = outer
        if self._is_over:
            self.give_back()
        return job.outcome()

    async def _hear(self, job: _Job, news: Future[_Question | None], thread: RequestThread) -> None:
        """Wait for the end of a job, and await the awaitables that it hands over meanwhile."""
        while True:
            await library().wait(news)
            if (question := news.result()) is None:
                return
            news = job.news
            job.put_back()
            try:
                question.result = await self.away(question.awaitable)
            except BaseException as error:
                question.error = error
                if not isinstance(error, Exception):
                    job.is_abandoned = True
                    raise
            finally:
                question.state = job.before = snapshot()
                thread.submit(question.settle)

    async def elsewhere(self, function: Callable[..., object], /, *args: Any) -> None:
        """Call a function of ours, which may run in any thread."""
        job = self._executor.submit(function, *args)
        await library().wait(job)
        job.result()

    def finish(self, function: Callable[[], object]) -> None:
        """Call ``function`` last, in the request's thread, without waiting; here if it has none."""
        if self._thread is None:
            function()
        else:
            self._thread.submit(function)
        self.give_back()

    def give_back(self) -> None:
        """Give the thread back to the executor; a function that is called later gets another."""
        self._is_over = True
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.give_back()

    def __del__(self) -> None:
        self.give_back()

    @property
    def left_behind(self) -> bool:
        """Whether a call still runs in the thread, though nobody may wait for it any more."""
        job = self._job
        return job is not None and not job.is_done and not job.news.cancelled()

    @property
    def was_too_early(self) -> bool:
        """Whether the task was cancelled while its call still waited for a thread."""
        return self._job is not None and self._job.news.cancelled()


class _AbandonedError(BaseException):
    """Ends a flow in a thread whose task was cancelled."""


class _Job:
    """One call of a function: made in the thread, waited for in the task."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.news: Future[_Question | None] = Future()  # comes with a question, or the end
        self.before = snapshot()  # what the task has
        self.is_asking = self.is_abandoned = self.is_done = False
        self._function = function
        self._after: Snapshot | None = None  # what the thread has
        self.result: Any = None
        self.error: BaseException | None = None

    # In the thread.

    def work(self) -> None:
        """Make the call, unless it was abandoned before."""
        if not self.news.set_running_or_notify_cancel():
            return
        try:
            self.before.run(self._run)
        except BaseException as error:
            self.error = error
        self.is_done = True
        if self.is_abandoned:
            _discard(self.result)
        self.news.set_result(None)

    def _run(self) -> None:
        function = self._function
        del self._function  # it may refer to the request
        try:
            self.result = function()
        except BaseException as error:
            self.error = error
        finally:
            self._after = snapshot()

    def ask(self, awaitable: Awaitable[Any], thread: RequestThread) -> Any:
        """Have the task await ``awaitable``, with the values set so far, and return its result."""
        question = _Question(awaitable)
        self._after = before = snapshot()
        news, self.news = self.news, Future()
        self.news.set_running_or_notify_cancel()  # it is too late to cancel it
        self.is_asking = True
        news.set_result(question)
        try:
            while not question.is_settled:
                thread.work_once()
        except SystemExit:  # the request has ended, and its task may not have come to this
            _discard(awaitable)
            raise
        self.is_asking = False
        question.state.put_back(before)
        return _outcome(question)

    def go_on(self) -> None:
        """Raise what ends the flow, if its task was cancelled."""
        if self.is_abandoned:
            raise _AbandonedError

    # In the task.

    def abandon(self) -> None:
        """Call nothing more; if the job has no thread yet, call nothing at all."""
        self.is_abandoned = True
        self.news.cancel()
        if self.is_done:
            _discard(self.result)

    def put_back(self) -> None:
        """Set in the task the values that the thread has changed."""
        if self._after is not None:
            self._after.put_back(self.before)

    def outcome(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self.put_back()
        return _outcome(self)


class _Question:
    """An awaitable that a task awaits for its thread, and its result or error."""

    state: Snapshot

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable
        self.is_settled = False
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Let the thread go on."""
        self.is_settled = True


def _discard(result: object) -> None:
    """Close a coroutine that nobody has begun to await: Python would warn that nobody did."""
    if iscoroutine(result) and getcoroutinestate(result) == CORO_CREATED:
        result.close()


def _outcome(call: _Job | _Question) -> Any:
    error, call.error = call.error, None
    if error is None:
        return call.result
    try:
        raise error
    finally:
        del error  # or it would be in a cycle with its own traceback


def _runs_loop() -> bool:
    return sys.get_asyncgen_hooks().firstiter is not None  # asyncio's loops set it, and trio's
