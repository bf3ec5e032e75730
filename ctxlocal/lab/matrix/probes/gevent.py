"""gevent: its greenlets and threads, and the standard library's threads after patching."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee, Exchange
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .threads import REUSED_NOTE, THREAD_CONTEXT, fresh_worker, reused_worker, thread, timer


@cache
def _patch() -> None:
    import gevent.monkey

    gevent.monkey.patch_all()


def _late_creator(exchange: Exchange, start: Any) -> None:
    _patch()  # the Locals exist already
    exchange.run(start)


GREENLET: dict[str, Any] = {"greenlet": Owner.OTHER, "context": Context.OWN}
GREEN_THREAD: dict[str, Any] = {"greenlet": Owner.OTHER, "context": THREAD_CONTEXT}
WORKER: dict[str, Any] = {
    "greenlet": Owner.REUSED,
    "context": Context.OWN,
    "note": REUSED_NOTE,
}

group = Group("gevent", needs=("gevent",))
patched = Group(
    "gevent, patched first",
    needs=("gevent",),
    patch="import gevent.monkey; gevent.monkey.patch_all()",
)
patched_late = Group("gevent, patched after", needs=("gevent",), creator=_late_creator)


@group.probe("100 spawned, one after another", times=100, **GREENLET)
@group.probe("spawn", **GREENLET)
@patched.probe("spawn", **GREENLET)
@patched_late.probe("spawn", **GREENLET)
def spawn(callee: Callee) -> Iterator[None]:
    """Spawn a greenlet."""
    import gevent

    started = gevent.spawn(callee)
    yield
    started.join()


@group.probe("spawn_later", **GREENLET)
def spawn_later(callee: Callee) -> Iterator[None]:
    """Spawn a greenlet that is due at once."""
    import gevent

    started = gevent.spawn_later(0, callee)
    yield
    started.join()


@group.probe("Pool", **GREENLET)
def pool(callee: Callee) -> Iterator[None]:
    """Spawn in a pool."""
    from gevent.pool import Pool

    spawned = Pool(1)
    spawned.spawn(callee)
    yield
    spawned.join()


@group.probe("link", **GREENLET)
def link(callee: Callee) -> Iterator[None]:
    """Register a callback of a greenlet's end."""
    import gevent
    from gevent.event import Event

    done = Event()
    watched = gevent.spawn(int)
    watched.link(callee)
    watched.link(lambda _: done.set())  # links are called in the order they were made
    yield
    done.wait()


@cache
def _thread_pool() -> Any:
    from gevent.threadpool import ThreadPool

    return ThreadPool(1)


@group.probe("ThreadPool", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)
def thread_pool(callee: Callee) -> Iterator[None]:
    """Run in a real thread."""
    job = _thread_pool().spawn(callee)
    yield
    job.get()


patched.probe("Thread", **GREEN_THREAD)(thread)
patched.probe("Timer", **GREEN_THREAD)(timer)
patched.probe("ThreadPoolExecutor, fresh worker", **GREEN_THREAD)(fresh_worker)
patched.probe("ThreadPoolExecutor, reused worker", **WORKER)(reused_worker)
patched.probe("ThreadPool", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)(thread_pool)
patched_late.probe("Thread", **GREEN_THREAD)(thread)
patched_late.probe("ThreadPoolExecutor, fresh worker", **GREEN_THREAD)(fresh_worker)
patched_late.probe("ThreadPool", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)(
    thread_pool
)
