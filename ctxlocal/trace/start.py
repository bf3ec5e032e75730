"""Where the current owner was started: a thread, a task, a job of an executor, a greenlet.

Threads, tasks and jobs are noted as they are started; gevent remembers itself where a greenlet of
its own was spawned. What is started otherwise, a raw greenlet or uvloop's task, is not known.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from ..ident import resolve
from ..ident.record import running_greenlet
from .binding import Moment, Place, place_now, place_of
from .replace import replaced

_BIND: Final = "ctxlocal.flow.bind(function)"


class Start(Moment):
    """How an owner was started: ``by`` whom, and with which ``carrier`` it should have been.

    ``what`` describes the owner, by the name it has when it is asked. ``by`` is None where only
    the line is known.
    """

    __slots__ = ("by", "carrier", "what")

    def __init__(self, carrier: str, place: Place, by: str | None) -> None:
        super().__init__(place)
        self.what = "It"
        self.carrier = carrier
        self.by = by

    def of(self, what: str) -> Start:
        """Return this, as that of the owner so described."""
        self.what = what
        return self


_started: WeakKeyDictionary[Any, Start] = WeakKeyDictionary()  # by thread or task
_jobs: dict[int, Start] = {}  # by the number of the thread that runs it now


def start_of(strategy: str) -> Start | None:
    """Return how the current owner was started, if that is known.

    :param strategy: by whose owners; the tasks of a thread are one to the strategy "thread".
    """
    task = _task()
    if task is not None and strategy in ("context", "task"):
        return _noted(task, lambda: f"Task {task.get_name()!r}")
    if (job := _jobs.get(threading.get_ident())) is not None:
        return job.of("This executor job")
    thread = getattr(threading, "_active", {}).get(threading.get_ident())  # makes no new one
    greenlet = running_greenlet()
    if strategy != "thread" and _is_in_thread(greenlet, thread):
        return _spawned(greenlet)
    return None if thread is None else _noted(thread, lambda: f"Thread {thread.name!r}")


def _is_in_thread(greenlet: Any, thread: Any) -> bool:
    """Whether a greenlet runs that is not all of a thread, as those of a patched one are."""
    if greenlet is None or greenlet.parent is None:
        return False
    return thread is None or threading.get_ident() != id(greenlet)


def _noted(owner: Any, describe: Callable[[], str]) -> Start | None:
    found = _started.get(owner)
    return None if found is None else found.of(describe())


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None


def _spawned(greenlet: Any) -> Start | None:
    spawned = getattr(greenlet, "spawning_stack", None)
    if spawned is None:
        return None
    made = Start(f"spawn {_BIND}", place_of(spawned), None).of(repr(greenlet))
    made.serial = 0  # nobody counted then
    return made


def begin() -> Callable[[], None]:
    """Note starts from now on; return what ends that, and forgets."""
    undo = [replaced(cls, name, make) for cls, name, make in _NOTED]

    def end() -> None:
        for put_back in undo:
            put_back()
        _started.clear()

    return end


def _noting_thread(original: Any) -> Any:
    def start(self: threading.Thread) -> None:
        _started[self] = _start_now(f"start it with target={_BIND}")
        original(self)

    return start


def _noting_job(original: Any) -> Any:
    carrier = f"submit it to a ctxlocal.flow.ContextThreadPoolExecutor, or submit {_BIND}"

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        job = _start_now(carrier)
        return original(self, partial(_run_job, job, fn), *args, **kwargs)

    return submit


def _noting_task(original: Any) -> Any:
    def create_task(self: Any, coro: Any, **kwargs: Any) -> Any:
        began = _start_now(f"make the task of {_BIND}()")
        task = original(self, coro, **kwargs)
        _started[task] = began
        return task

    return create_task


_NOTED: Final[tuple[tuple[Any, str, Callable[[Any], Any]], ...]] = (
    (threading.Thread, "start", _noting_thread),
    (ThreadPoolExecutor, "submit", _noting_job),
    (asyncio.BaseEventLoop, "create_task", _noting_task),
)


def _start_now(carrier: str) -> Start:
    return Start(carrier, place_now(), resolve("context").describe())


def _run_job(job: Start, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    number = threading.get_ident()
    former = _jobs.get(number)
    _jobs[number] = job
    try:
        return function(*args, **kwargs)
    finally:
        if former is None:
            del _jobs[number]
        else:
            _jobs[number] = former
