"""A thread for one request: lent to it at its first synchronous function, until it ends.

The threads are an executor's: for a request it is given one job, which does what the request
has for it, one function after the other, and is over when the request is. So requests wait
for a thread as jobs wait in the executor's queue, and its limit is theirs.

But a request holds its thread also while it awaits something else: in an ``async def`` of the
application, or for the client; perhaps what only another request can bring about, which
waits for a thread. So one that has been away from its thread for AWAY_S lets a request that
waits have one beside the executor's. Then as many functions run at once as the executor has
threads, and there are no more threads than it has, and requests that are away.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - its own end is registered first, and so comes last
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from queue import Empty, SimpleQueue
from typing import Any, Final
from weakref import WeakKeyDictionary

from .._empty_context import in_empty_context

AWAY_S: Final = 0.005  # a client that takes its answer at once does not count

_here = threading.local()  # .is_lent: whether the thread is some request's
_working: set[RequestThread] = set()
_process_ends = threading.Event()


class RequestThread:
    """The thread of one request, once there is one for it; until then its functions wait.

    :param executor: whose thread it is. Where a function of a request makes requests of its
        own, theirs are others: the executor's may all have such functions.
    """

    def __init__(self, executor: Executor) -> None:
        self.is_unused = False  # the request awaits what does not need it
        self._executor = executor
        self._desk = _desk_of(executor)
        self._functions: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._is_sought = False
        self._ident: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether this is the current thread."""
        return self._ident == threading.get_ident()

    def submit(self, function: Callable[[], object]) -> None:
        """Call ``function``, which raises nothing, after what was submitted before.

        :raises RuntimeError: the executor was shut down.
        """
        self._functions.put(function)
        if self._is_sought:
            return
        self._is_sought = True
        if hasattr(_here, "is_lent"):
            in_empty_context(threading.Thread(target=self.work, name="ctxlocal-request").start)
        else:
            self._desk.enqueue(self, self._executor)

    def give_back(self) -> None:
        """Give the thread back to the executor, after the functions that were submitted."""
        self._functions.put(None)

    def work(self) -> None:
        """Call what is submitted, in the thread that this runs in, until it is given back."""
        self._ident = threading.get_ident()
        _here.is_lent = True
        _working.add(self)
        if _process_ends.is_set():
            self.give_back()
        try:
            while (function := self._next()) is not None:
                function()
                del function  # or it would live until the next one comes
        finally:
            _working.discard(self)
            del _here.is_lent
            self._ident = None

    def work_once(self) -> None:
        """Call the next function, in the thread, while another one waits for it.

        :raises SystemExit: there will be none.
        """
        function = self._next()
        if function is None:
            self.give_back()
            raise SystemExit
        function()

    def _next(self) -> Callable[[], object] | None:
        while True:
            try:
                return self._functions.get(timeout=AWAY_S)
            except Empty:
                if self.is_unused:
                    return self._next_when_away()

    def _next_when_away(self) -> Callable[[], object] | None:
        self._desk.went_away()
        try:
            return self._functions.get()
        finally:
            self._desk.came_back()


class _Desk:
    """The requests that wait for a thread of one executor, and those that have one and are away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[RequestThread, None] = OrderedDict()  # the longest first
        self._lent = 0  # of the executor's own
        self._most = 0  # were lent at once: so many it has at least
        self._away = 0
        self._extra = 0  # threads beside the executor's

    def enqueue(self, thread: RequestThread, executor: Executor) -> None:
        """Put ``thread`` among those that wait for a thread of the executor."""
        with self._lock:
            self._waiting[thread] = None
        try:
            in_empty_context(executor.submit, self._lend, thread)
        except BaseException:
            with self._lock:
                self._waiting.pop(thread, None)
            raise
        if self._away:
            self._add_thread(is_new=True)

    def _lend(self, thread: RequestThread) -> None:
        with self._lock:
            if self._waiting.pop(thread, self) is self:
                return  # a thread beside the executor's has taken it
            self._lent += 1
            self._most = max(self._most, self._lent)
        try:
            thread.work()
        finally:
            with self._lock:
                self._lent -= 1

    def went_away(self) -> None:
        """Note that a request does not use its thread."""
        with self._lock:
            self._away += 1
        if self._waiting:
            self._add_thread()

    def came_back(self) -> None:
        """Note that a request uses its thread again."""
        with self._lock:
            self._away -= 1

    def _add_thread(self, *, is_new: bool = False) -> None:
        """Start a thread beside the executor's, if there may be one more.

        :param is_new: one more request waits, and the executor may have a thread for it.
        """
        with self._lock:
            has_thread = is_new and self._lent + len(self._waiting) <= self._most
            if has_thread or not self._waiting or self._extra >= self._away:
                return
            self._extra += 1
        try:
            in_empty_context(threading.Thread(target=self._work, name="ctxlocal-request").start)
        except RuntimeError:  # there are too many; the request goes on waiting
            with self._lock:
                self._extra -= 1

    def _work(self) -> None:
        while (thread := self._take()) is not None:
            thread.work()

    def _take(self) -> RequestThread | None:
        with self._lock:
            if self._waiting and self._extra <= self._away:
                return self._waiting.popitem(last=False)[0]
            self._extra -= 1
            return None


_desks: WeakKeyDictionary[Any, _Desk] = WeakKeyDictionary()
_desks_lock = threading.Lock()


def _desk_of(executor: Executor) -> _Desk:
    with _desks_lock:
        return _desks.setdefault(executor, _Desk())


def _end_process() -> None:
    _process_ends.set()
    for thread in list(_working):
        thread.give_back()


# The interpreter waits for its threads in the end, and a request may never end. There is no
# public way to be asked before; executors, which have to end theirs, use this one.
threading._register_atexit(_end_process)  # type: ignore[attr-defined]
