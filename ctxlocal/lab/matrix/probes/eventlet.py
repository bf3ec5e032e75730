"""eventlet: its greenlets and threads, and the standard library's threads after patching."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee, Exchange
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .gevent import GREEN_THREAD, GREENLET, WORKER
from .threads import REUSED_NOTE, fresh_worker, reused_worker, thread, timer


@cache
def _patch() -> None:
    import eventlet

    eventlet.monkey_patch()


def _late_creator(exchange: Exchange, start: Any) -> None:
    _patch()  # the Locals exist already
    exchange.run(start)


group = Group("eventlet", needs=("eventlet",))
patched = Group(
    "eventlet, patched first",
    needs=("eventlet",),
    patch="import eventlet; eventlet.monkey_patch()",
)
patched_late = Group("eventlet, patched after", needs=("eventlet",), creator=_late_creator)


@group.probe("100 spawned, one after another", times=100, **GREENLET)
@group.probe("spawn", **GREENLET)
@patched.probe("spawn", **GREENLET)
@patched_late.probe("spawn", **GREENLET)
def spawn(callee: Callee) -> Iterator[None]:
    """Spawn a greenlet."""
    import eventlet

    started = eventlet.spawn(callee)
    yield
    started.wait()


@group.probe("spawn_n", **GREENLET)
def spawn_n(callee: Callee) -> Iterator[None]:
    """Spawn a greenlet that nobody can wait for."""
    import eventlet
    from eventlet.event import Event

    done = Event()

    def work() -> None:
        callee()
        done.send()

    eventlet.spawn_n(work)
    yield
    done.wait()


@group.probe("spawn_after", **GREENLET)
def spawn_after(callee: Callee) -> Iterator[None]:
    """Spawn a greenlet that is due at once."""
    import eventlet

    started = eventlet.spawn_after(0, callee)
    yield
    started.wait()


@group.probe("GreenPool", **GREENLET)
def green_pool(callee: Callee) -> Iterator[None]:
    """Spawn in a pool."""
    from eventlet.greenpool import GreenPool

    pool = GreenPool(1)
    pool.spawn(callee)
    yield
    pool.waitall()


@cache
def _thread_pool() -> Any:
    os.environ["EVENTLET_THREADPOOL_SIZE"] = "1"  # read at import; only then is it the same one
    from eventlet import tpool

    contextvars.Context().run(tpool.setup)  # started by nobody in particular
    return tpool


@group.probe("tpool", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)
@patched.probe("tpool", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)
@patched_late.probe("tpool", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)
def tpool(callee: Callee) -> Iterator[None]:
    """Run in a real thread."""
    _thread_pool().execute(callee)
    yield


patched.probe("Thread", **GREEN_THREAD)(thread)
patched.probe("Timer", **GREEN_THREAD)(timer)
patched.probe("ThreadPoolExecutor, fresh worker", **GREEN_THREAD)(fresh_worker)
patched.probe("ThreadPoolExecutor, reused worker", **WORKER)(reused_worker)
patched_late.probe("Thread", **GREEN_THREAD)(thread)
patched_late.probe("ThreadPoolExecutor, fresh worker", **GREEN_THREAD)(fresh_worker)
