"""Dramatiq: an actor has the values of who sent its message, in a Frame of its own.

::

    broker.add_middleware(Carry(carry=[request]))

``request`` is a Local that says by ``wire=`` what may leave the process. The values are an option
of the message, so that retries, pipelines and callbacks go on with them. For Dramatiq from 1.17 on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from dramatiq.asyncio import async_to_sync
from dramatiq.middleware import Middleware, MiddlewareError

from ..errors import WireError
from ..flow import Frame
from ..local import Local
from ._wire import HEADER, Carried


class CarryError(WireError, MiddlewareError):
    """A message was not sent, because a value that it was to carry cannot cross."""


class Carry(Middleware):
    """The middleware, for those who send and for the workers.

    Each message is processed in a Frame: Locals begin with what the message carries, and nothing
    that an actor sets is seen by the next. An actor that is called like a function is one. What
    could not have been sent so is refused: a warning is logged, and the actor finds nothing bound.
    The hooks of other middleware run outside of the Frame.

    :param carry: the Locals whose values are carried, each with a ``wire``.
    """

    def __init__(self, carry: Iterable[Local]) -> None:
        self._carried = Carried(carry)

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """Put the sender's values into the message; one that is sent again keeps what it has.

        :raises CarryError: a value cannot cross.
        """
        if HEADER in message.options:
            return
        try:
            header = self._carried.header()
        except WireError as error:  # Dramatiq only logs what is no error of middleware
            raise CarryError(str(error), local=error.local, name=error.name) from None
        if header is None and (job := _job.get()) is not None:
            header = job.header  # it is sent by what follows an actor: a pipeline, a callback
        if header is not None:
            message.options[HEADER] = header

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Make the Frame."""
        _job.set(None)  # or the Frame would have the message before
        header = message.options.get(HEADER)
        frame = self._carried.frame(header, f"message {message.message_id!r}")
        _job.set(_Job(frame, header))

    def before_ack(self, broker: Any, message: Any) -> None:
        """Forget the message, which is done."""
        _job.set(None)

    before_nack = before_ack

    def after_declare_actor(self, broker: Any, actor: Any) -> None:
        """Let the actor's function run in the Frame of the message that it is called for."""
        if isinstance(actor, str):  # Dramatiq 1 has the name here, where the actor was there before
            actor = broker.get_actor(actor)
        if not hasattr(actor.fn, _MARK):
            actor.fn = _framed(actor.fn)


_MARK = "_ctxlocal_framed"


class _Job:
    """The message that a worker processes: its Frame, until the actor takes it, and its header."""

    def __init__(self, frame: Frame, header: Any) -> None:
        self.header = header
        self._frame: Frame | None = frame

    def take(self) -> Frame | None:
        frame, self._frame = self._frame, None
        return frame


# A worker may be a greenlet: that has a Context of its own too.
_job: ContextVar[_Job | None] = ContextVar("ctxlocal.dramatiq.job", default=None)


def _framed(function: Callable[..., Any]) -> Callable[..., Any]:
    inner = getattr(function, "__wrapped__", None)  # an async def that Dramatiq has wrapped
    drive = async_to_sync(_driver(inner)) if iscoroutinefunction(inner) else None

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        job = _job.get()
        if job is None or (frame := job.take()) is None:
            return function(*args, **kwargs)
        if drive is not None:
            return drive(frame, *args, **kwargs)
        with closing(frame):
            return frame.run(function, *args, **kwargs)

    setattr(call, _MARK, True)
    return call


def _driver(function: Callable[..., Any]) -> Callable[..., Any]:
    async def drive(frame: Frame, *args: Any, **kwargs: Any) -> Any:
        with closing(frame):
            return await frame.drive(function(*args, **kwargs))

    return drive
