"""Huey: a task has the values of who enqueued it, in a Frame of its own.

::

    install(huey, carry=[request])

``request`` is a Local that says by ``wire=`` what may leave the process. The values are a keyword
argument of the task, which its function does not get; retries, schedules, pipelines and chords
keep it. So give it to the consumers first, and then to those who enqueue. For Huey from 2.5.1 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from ..local import Local
from ._wire import HEADER, Carried

_MARK = "_ctxlocal_carries"


def install(huey: Any, *, carry: Iterable[Local]) -> None:
    """Let the tasks of a Huey carry values, and run each in a Frame.

    Locals begin with what the task carries, and nothing that it sets is seen by the next. What
    could not have been enqueued so is refused: a warning is logged, and the task finds nothing
    bound. Other hooks, and signals, run outside. ``enqueue`` raises a WireError where a value
    cannot cross.

    :param huey: of any storage, also in immediate mode.
    :param carry: the Locals whose values are carried, each with a ``wire``.
    :raises RuntimeError: the Huey has it already.
    """
    carried = Carried(carry)
    enqueue = huey.enqueue
    if hasattr(enqueue, _MARK):
        raise RuntimeError(f"{huey!r} carries Locals already. Call install() once, with all.")

    def enqueue_carrying(task: Any) -> Any:
        if (header := carried.header()) is None:
            return enqueue(task)
        former = [(each, each.kwargs) for each in _tasks_of(task) if HEADER not in each.kwargs]
        for each, kwargs in former:
            each.kwargs = {**kwargs, HEADER: header}
        try:
            return enqueue(task)
        finally:  # a signature may be enqueued again, by somebody else
            for each, kwargs in former:
                each.kwargs = kwargs

    def frame(task: Any) -> None:
        task.execute = lambda: _execute(task, carried)

    setattr(enqueue_carrying, _MARK, True)
    huey.enqueue = enqueue_carrying
    huey.pre_execute(name="ctxlocal")(frame)


def _tasks_of(task: Any) -> Iterator[Any]:
    """Yield the tasks that are one, or follow it."""
    if task is None:
        return
    if hasattr(task, "kwargs"):
        yield task
        for follower in (task.on_complete, task.on_error):
            yield from _tasks_of(follower)
    else:  # a group, or a chord
        for each in task.tasks:
            yield from _tasks_of(each)
        yield from _tasks_of(getattr(task, "callback", None))


def _execute(task: Any, carried: Carried) -> Any:
    del task.execute
    kwargs = task.kwargs
    task.kwargs = {name: value for name, value in kwargs.items() if name != HEADER}
    try:
        with closing(carried.frame(kwargs.get(HEADER), f"task {task.id!r}")) as frame:
            return frame.run(task.execute)
    finally:
        task.kwargs = kwargs  # which a retry needs
