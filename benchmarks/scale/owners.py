"""Many living owners of each kind, each of which can be made to call something."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from ctxlocal.lab.bench.rival import load

Work = Callable[[], Any]
_STACK_BYTES = 256 * 1024  # of a thread


class Owners(ABC):
    """Owners that live until :meth:`end`.

    ``strategy`` is the one under which each has values of its own, ``needs`` the module that
    the kind comes from.
    """

    strategy: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.all: list[Any] = []

    @abstractmethod
    def start(self, count: int, job: Work) -> None:
        """Start ``count`` owners; each calls ``job`` once and lives on."""

    @abstractmethod
    def call(self, number: int, job: Work) -> Any:
        """Return what ``job`` returns in one of them."""

    @abstractmethod
    def in_new(self, job: Work) -> Any:
        """Return what ``job`` returns in a new owner, which ends then."""

    @abstractmethod
    def end(self) -> None:
        """End all of them."""


class Contexts(Owners):
    """Empty Contexts."""

    strategy = "context"

    def start(self, count: int, job: Work) -> None:
        for _ in range(count):
            context = contextvars.Context()
            context.run(job)
            self.all.append(context)

    def call(self, number: int, job: Work) -> Any:
        return self.all[number].run(job)

    def in_new(self, job: Work) -> Any:
        return contextvars.Context().run(job)

    def end(self) -> None:
        self.all.clear()


class Greenlets(Owners):
    """Raw greenlets."""

    strategy = "greenlet"
    needs = ("greenlet",)

    def __init__(self) -> None:
        super().__init__()
        self._greenlet = load("greenlet")
        self._home = self._greenlet.getcurrent()

    def start(self, count: int, job: Work) -> None:
        for _ in range(count):
            one = self._greenlet.greenlet(self._live)
            one.switch(job)
            self.all.append(one)

    def _live(self, job: Work | None) -> None:
        while job is not None:
            job = self._home.switch(job())

    def call(self, number: int, job: Work) -> Any:
        return self.all[number].switch(job)

    def in_new(self, job: Work) -> Any:
        return self._greenlet.greenlet(job).switch()

    def end(self) -> None:
        for one in self.all:
            one.switch(None)
        self.all.clear()


class GeventGreenlets(Owners):
    """Greenlets of gevent. Started and ended by its hub, called past it."""

    strategy = "gevent"
    needs = ("gevent",)

    def __init__(self) -> None:
        super().__init__()
        self._gevent = load("gevent")
        self._home = self._gevent.getcurrent()
        self._hub = self._gevent.get_hub()

    def start(self, count: int, job: Work) -> None:
        self.all = [self._gevent.spawn(self._live, job) for _ in range(count)]
        self._gevent.sleep(0)

    def _live(self, job: Work | None) -> None:
        back = self._hub  # who waits for the first job; the others are called from home
        while job is not None:
            result = job()
            job, back = back.switch(result) if back is self._home else back.switch(), self._home

    def call(self, number: int, job: Work) -> Any:
        return self.all[number].switch(job)

    def in_new(self, job: Work) -> Any:
        return self._gevent.spawn(job).get()

    def end(self) -> None:
        for one in self.all:
            self._hub.loop.run_callback(one.switch, None)
        self._gevent.joinall(self.all)
        self.all.clear()
        self._gevent.sleep(0)  # what is linked to their end runs one turn later


class Threads(Owners):
    """OS threads."""

    strategy = "thread"

    def __init__(self) -> None:
        super().__init__()
        threading.stack_size(_STACK_BYTES)
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(self, count: int, job: Work) -> None:
        for _ in range(count):
            jobs: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
            thread = threading.Thread(target=self._live, args=(jobs,))
            thread.start()
            self.all.append((thread, jobs))
            self.call(-1, job)

    def _live(self, jobs: queue.SimpleQueue[Work | None]) -> None:
        while (job := jobs.get()) is not None:
            self._results.put(job())

    def call(self, number: int, job: Work) -> Any:
        self.all[number][1].put(job)
        return self._results.get()

    def in_new(self, job: Work) -> Any:
        thread = threading.Thread(target=lambda: self._results.put(job()))
        thread.start()
        thread.join()
        return self._results.get()

    def end(self) -> None:
        for _, jobs in self.all:
            jobs.put(None)
        for thread, _ in self.all:
            thread.join()
        self.all.clear()


class Tasks(Owners):
    """Tasks of asyncio."""

    strategy = "task"

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._result: Any = None

    def start(self, count: int, job: Work) -> None:
        calls = [[self._loop.create_future()] for _ in range(count)]
        self.all = [(self._loop.create_task(self._live(job, call)), call) for call in calls]
        self._turn()

    async def _live(self, job: Work | None, call: list[asyncio.Future[Work | None]]) -> None:
        while job is not None:
            self._result = job()
            job = await call[0]
            call[0] = self._loop.create_future()

    def _turn(self) -> None:
        self._loop.run_until_complete(asyncio.sleep(0))

    def call(self, number: int, job: Work) -> Any:
        self.all[number][1][0].set_result(job)
        self._turn()
        self._turn()
        return self._result

    def in_new(self, job: Work) -> Any:
        async def run() -> Any:
            return job()

        return self._loop.run_until_complete(run())

    def end(self) -> None:
        tasks = [task for task, _ in self.all]
        for _, call in self.all:
            call[0].set_result(None)
        self.all.clear()
        self._loop.run_until_complete(asyncio.gather(*tasks))
        del tasks
        self._turn()  # what is called back at their end runs one turn later
        self._loop.close()


class TasksWithContexts(Tasks):
    """Tasks of asyncio under the default strategy."""

    strategy = "context"


KINDS: dict[str, type[Owners]] = {
    "contexts": Contexts,
    "tasks-context": TasksWithContexts,
    "tasks": Tasks,
    "greenlets": Greenlets,
    "gevent": GeventGreenlets,
    "threads": Threads,
}
