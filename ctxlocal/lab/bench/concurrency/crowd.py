"""Crowds: N owners of a kind, all alive, that take turns in one order until all have finished."""

from __future__ import annotations

import _thread
import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..rival import load
from .turn import Book

STACK_BYTES = 256 * 1024  # of a thread: the usual 8 MB times 1,000 are refused in some places


@dataclass(frozen=True)
class Kind:
    """A kind of owner.

    :param ident: the strategy of a Local of ours that isolates them.
    :param needs: the module that has them; "" if none is needed.
    :param most: how many of them are sensible.
    :param quick_most: how many of them are sensible where it has to be quick.
    :param crowd: runs ``count`` owners and returns when all have ended.
    """

    name: str
    ident: str
    needs: str
    most: int
    quick_most: int
    crowd: Callable[[int, Any, Book, Any], None]
    is_coroutine: bool = False

    def run(self, count: int, owner: Any, book: Book, shared: Any) -> None:
        """Run a crowd in an empty Context."""
        Context().run(self.crowd, count, owner, book, shared)


def threads(count: int, owner: Any, book: Book, shared: Any) -> None:
    """Pass a baton: an owner runs while it has it, and gives it to the next one.

    Without the module threading, whose tables of all threads would be in the memory of a crowd.
    """
    batons = [_locked() for _ in range(count)]
    errors: list[Exception] = []
    ended: list[int] = []
    end = _locked()

    def run(number: int) -> None:
        take, give = batons[number].acquire, batons[(number + 1) % count].release

        def switch() -> None:
            give()
            take()

        take()
        try:
            owner(number == 0, book, shared, switch)
        except Exception as error:
            errors.append(error)
        ended.append(number)
        while len(ended) < count:
            switch()
        give()
        if number == count - 1:
            end.release()

    others = _thread._count()
    usual = _thread.stack_size(STACK_BYTES)
    try:
        for number in range(count):
            _thread.start_new_thread(run, (number,))
    finally:
        _thread.stack_size(usual)
    batons[0].release()
    end.acquire()
    while _thread._count() > others:  # the last steps of a thread are not the owner's
        time.sleep(0.001)
    if errors:
        raise errors[0]


def _locked() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def greenlets(count: int, owner: Any, book: Book, shared: Any) -> None:
    """Switch to each in turn; each switches back."""
    module = load("greenlet")
    switch = module.getcurrent().switch
    crowd = [module.greenlet(owner) for _ in range(count)]
    for number, each in enumerate(crowd):
        each.switch(number == 0, book, shared, switch)
    while not crowd[-1].dead:
        for each in crowd:
            each.switch()


def gevent(count: int, owner: Any, book: Book, shared: Any) -> None:
    """Let the hub run them in turn, as ``gevent.sleep(0)`` does."""
    module = load("gevent")
    crowd = [
        module.spawn(owner, number == 0, book, shared, module.sleep) for number in range(count)
    ]
    module.joinall(crowd, raise_error=True)


def tasks(count: int, owner: Any, book: Book, shared: Any) -> None:
    """Let the event loop run them in turn, as ``asyncio.sleep(0)`` does."""
    switch = partial(asyncio.sleep, 0)

    async def main() -> None:
        await asyncio.gather(*(owner(number == 0, book, shared, switch) for number in range(count)))

    asyncio.run(main())


KINDS = {
    kind.name: kind
    for kind in (
        Kind("threads", "thread", "", 1_000, 100, threads),
        Kind("greenlets", "greenlet", "greenlet", 10_000, 1_000, greenlets),
        Kind("gevent", "gevent", "gevent", 10_000, 1_000, gevent),
        Kind("tasks", "context", "", 10_000, 1_000, tasks, is_coroutine=True),
    )
}
