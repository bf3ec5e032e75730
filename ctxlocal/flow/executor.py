"""A thread pool whose jobs have the context of the code that submitted them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from .._empty_context import in_empty_context
from .frame import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """A :class:`~concurrent.futures.ThreadPoolExecutor` that carries state to its jobs.

    Each job runs with what travels (see :mod:`ctxlocal.flow`) as it was when the job was
    submitted; ``map`` submits at once, and what is beyond its ``buffersize`` (Python 3.14) as
    results are taken. What a job sets is gone when it ends: a worker hands nothing on to its
    next job. The arguments are those of ThreadPoolExecutor.
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit a job with a snapshot of now; otherwise as in the base class."""
        submit, job = super().submit, Snapshot().run
        return in_empty_context(lambda: submit(job, fn, *args, **kwargs))
