"""Values of Locals in Celery's tasks, each of which has a Frame of its own.

::

    visitor = Local(name="visitor", wire=("request_id", "tenant"))
    app = Celery("shop", broker="redis://localhost")
    install(app, carry=[visitor])

What the wires name goes along with each task that is published, in one header of its message, and
is there while the task runs: in its function, its handlers, what it logs, and in the tasks that it
publishes in turn, by a chain, a chord or a retry too. Whatever else is set meanwhile is gone with
the Frame, however the task ends: nothing is left for the next one of that worker, in any pool. A
task that is applied at once, as with ``task_always_eager``, is no exception.

For Celery from 5.4 on. It has no place of its own around a whole task, handlers and chains
included. So ``install`` puts one into Celery's base class of all tasks, and those of other
applications are as they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import FrameBusyError, MissingDependencyError
from ..local import Local
from ._wire import HEADER, Carried

try:
    import celery
    from celery.app.task import Context, Task
    from celery.app.trace import TraceInfo, trace_ok_t
    from celery.states import FAILURE
except ImportError as error:
    raise MissingDependencyError("ctxlocal.integrations.celery", "celery", "celery") from error

_OLDEST = 5, 4
_installed: WeakKeyDictionary[Any, Carried] = WeakKeyDictionary()


def install(app: Any, carry: Iterable[Local]) -> None:
    """Let the values of Locals go along with an application's tasks, and give each task a Frame.

    Call it once, next to where the application is made: in each process that publishes tasks or
    works them off. The order of this and the tasks' definitions does not matter.

    A value that is no JSON raises a :class:`~ctxlocal.errors.WireError` from ``delay`` or
    ``apply_async``. A header that nobody could have sent is refused by the worker: a warning of the
    logger ``ctxlocal.integrations`` says so, and the task finds nothing bound.

    :param app: the Celery application.
    :param carry: the Locals, at least one, each made with ``name=`` and ``wire=``.
    :raises TypeError: it is no Celery application, or what is to be carried is no Local.
    :raises ValueError: there is nothing to carry; a WireError, which is one: a Local has no wire.
    :raises RuntimeError: the application has it already.
    :raises ImportError: this Celery is not one of those that are known to work.
    """
    if not isinstance(app, celery.Celery):
        raise TypeError(f"install() takes a Celery application, not {type(app).__name__}.")
    app = getattr(app, "_get_current_object", lambda: app)()  # what celery.current_app stands for
    if app in _installed:
        raise RuntimeError(
            f"{app!r} carries Locals already. Call install() once, with all of them."
        )
    carried = Carried(carry)
    _refuse_unknown_celery()
    _put_frames_around_tasks()
    _add_header(app, carried)
    _installed[app] = carried


def _refuse_unknown_celery() -> None:
    if celery.VERSION[:2] < _OLDEST or not {"__trace__", "apply"} <= vars(Task).keys():
        raise ImportError(
            "ctxlocal.integrations.celery needs Celery from {}.{} on, whose tasks have tracers; "
            "this is {}.".format(*_OLDEST, celery.__version__)
        )


def _add_header(app: Any, carried: Carried) -> None:
    """Put a header into all that an application publishes; all ways to do that lead here."""
    publish = app.send_task

    @wraps(publish)
    def send_task(*args: Any, **options: Any) -> Any:
        # A retry, or a signature that was made of a message, has the headers of that.
        headers = dict(options.get("headers") or {})
        headers.pop(HEADER, None)
        if (header := carried.header()) is not None:
            headers[HEADER] = header
        return publish(*args, **{**options, "headers": headers or None})

    app.send_task = send_task


def _put_frames_around_tasks() -> None:
    if isinstance(vars(Task)["__trace__"], _Trace):
        return
    Task.__trace__ = _Trace()
    apply = Task.apply

    @wraps(apply)
    def framed(self: Any, *args: Any, **options: Any) -> Any:
        carried = _installed.get(self.app)
        if carried is None:
            return apply(self, *args, **options)
        return _run(carried, carried.header(), self, lambda: apply(self, *args, **options))

    Task.apply = framed


class _Trace:
    """Task.__trace__: what a worker calls for a message, in whatever pool; it is set at its start.

    What it calls does all there is to do for the message, and publishes what follows.
    """

    def __get__(self, task: Any, kind: type | None = None) -> Any:
        trace: Any = None if task is None else vars(task).get("__trace__")
        carried = None if trace is None else _installed.get(task.app)
        if carried is None:
            return trace

        def framed(uuid: Any, args: Any, kwargs: Any, request: Any = None) -> Any:
            header = _header_of(request or {})
            try:
                return _run(carried, header, task, lambda: trace(uuid, args, kwargs, request), uuid)
            except (
                FrameBusyError
            ) as error:  # it has not begun, and what called this catches nothing
                return _failed(task, Context(request or {}, args=args, kwargs=kwargs), error)

        return framed

    def __set__(self, task: Any, trace: Any) -> None:
        vars(task)["__trace__"] = trace


def _failed(task: Any, request: Any, error: Exception) -> Any:
    """Report that a task has failed, as a tracer does."""
    outcome = TraceInfo(FAILURE, error)
    return trace_ok_t(outcome.handle_error_state(task, request), outcome, 0.0, None)


def _header_of(request: Any) -> Any:
    """Return what the message's header says, in whichever protocol it came."""
    if HEADER in request:
        return request[HEADER]
    headers = request.get("headers")
    return headers.get(HEADER) if isinstance(headers, dict) else None


def _run(carried: Carried, header: Any, task: Any, function: Any, uuid: Any = "applied") -> Any:
    with closing(carried.frame(header, f"task {task.name}[{uuid}]")) as frame:
        return frame.run(function)
