"""Threads and thread pools of the standard library."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

group = Group("threads")

# Python 3.14 can start threads in a copy of the starter's Context; free-threaded builds do.
INHERITS = bool(getattr(sys.flags, "thread_inherit_context", False))
THREAD_CONTEXT = Context.COPY if INHERITS else Context.OWN
REUSED_NOTE = "a worker is one owner, so a job finds what the last one left"


def pool_of_one() -> ThreadPoolExecutor:
    """Make a pool with one worker, which was started by nobody in particular."""
    pool = ThreadPoolExecutor(1)
    contextvars.Context().run(pool.submit, int).result()
    return pool


_shared_pool = cache(pool_of_one)


@group.probe(
    "100 Threads, one after another", times=100, thread=Owner.OTHER, context=THREAD_CONTEXT
)
@group.probe("Thread", thread=Owner.OTHER, context=THREAD_CONTEXT)
def thread(callee: Callee) -> Iterator[None]:
    """Start a thread."""
    worker = threading.Thread(target=callee)  # looked up late: gevent replaces the class
    worker.start()
    yield
    worker.join()


newer: Any = threading.Thread  # with a parameter that the type checker, on 3.10, does not know


@group.probe(
    "Thread, context=copy_context()", since=(3, 14), thread=Owner.OTHER, context=Context.COPY
)
def thread_in_copy(callee: Callee) -> Iterator[None]:
    """Start a thread in a copy of the Context."""
    worker = newer(target=callee, context=contextvars.copy_context())
    worker.start()
    yield
    worker.join()


@group.probe("Thread, context=Context()", since=(3, 14), thread=Owner.OTHER, context=Context.OWN)
def thread_in_new_context(callee: Callee) -> Iterator[None]:
    """Start a thread in an empty Context, whatever the flag says."""
    worker = newer(target=callee, context=contextvars.Context())
    worker.start()
    yield
    worker.join()


@group.probe("Timer", thread=Owner.OTHER, context=THREAD_CONTEXT)
def timer(callee: Callee) -> Iterator[None]:
    """Start a timer that is due at once."""
    worker = threading.Timer(0, callee)
    worker.start()
    yield
    worker.join()


@group.probe("ThreadPoolExecutor, fresh worker", thread=Owner.OTHER, context=THREAD_CONTEXT)
def fresh_worker(callee: Callee) -> Iterator[None]:
    """Submit to a new pool."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(callee)
        yield


@group.probe(
    "ThreadPoolExecutor, reused worker",
    thread=Owner.REUSED,
    context=Context.OWN,
    note=REUSED_NOTE,
)
def reused_worker(callee: Callee) -> Iterator[None]:
    """Submit to a pool whose only worker had jobs before."""
    job = _shared_pool().submit(callee)
    yield
    job.result()
