"""What one configuration of stored sessions consists of: the settings, and the ways to the store.

What happens between a session and its store is written once, as coroutines that ask the store
they are given. There are two: ``_at_once``, of which no call ever waits, where blocking is
allowed, and ``_awaited`` where it is not.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal

from .. import events
from ..cookie import Cookie, cookie_or_default
from ..errors import SessionConfigError
from ..lifetime import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, check_lifetime, idle_of, renewed_after
from ..schema import Migrate, Schema
from ..session import BORN, IDLE
from ..stores.forwarding import AtOnce
from ..stores.observed import in_loop, in_threads
from ..stores.protocol import AsyncStore, Store
from .token import id_finder, log_name

if TYPE_CHECKING:
    from ..stores.in_loop import InLoop

Merge = Callable[[str, Any, Any, Any], Any]

MOST_CANDIDATES = 4  # cookies of our name that are looked up in one request

log = logging.getLogger("ctxlocal.sessions")


class StoredSettings:
    """The settings, checked; see :class:`~ctxlocal.sessions.StoredSessions` for each."""

    def __init__(
        self,
        store: Store | AsyncStore,
        *,
        cookie: Cookie | None = None,
        idle_timeout: float = IDLE_TIMEOUT,
        absolute_timeout: float = ABSOLUTE_TIMEOUT,
        touch_interval: float | None = None,
        load: Literal["cookie", "explicit"] = "cookie",
        same_key: Literal["last-wins", "raise"] | Merge | Mapping[str, Merge] = "last-wins",
        schema: type | None = None,
        migrate: Migrate | None = None,
        max_sessions: int | None = None,
        when_full: Literal["evict", "refuse"] = "evict",
        when_down: Literal["raise", "anonymous"] = "raise",
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check_choice("load", load, "cookie", "explicit")
        if isinstance(same_key, Mapping):
            _check_merges(same_key)
        elif not callable(same_key):
            _check_choice("same_key", same_key, "last-wins", "raise")
        _check_choice("when_full", when_full, "evict", "refuse")
        _check_choice("when_down", when_down, "raise", "anonymous")
        if max_sessions is not None and max_sessions < 1:
            raise SessionConfigError("max_sessions", f"{max_sessions!r} is not from 1 on, or None")
        self.load = load
        self.store = store
        self.schema: Schema[Any] | None = None if schema is None else Schema(schema, migrate)
        self.cookie = cookie_or_default(cookie)
        self._find_ids = id_finder(self.cookie.name)
        self.idle_timeout = idle_timeout
        self.absolute_timeout = absolute_timeout
        self.touch_interval = check_lifetime(idle_timeout, absolute_timeout, touch_interval)
        self.same_key = same_key
        self.max_sessions = max_sessions
        self.when_full = when_full
        self.when_down = when_down
        self.clock = clock
        self.corrupt_records = 0  #: how many this process has met
        self._take_store(store)
        self._take_kinds()

    def _take_store(self, store: Any) -> None:
        self._sync: Any = None  # the store, if it can be asked without awaiting
        self._in_loop: InLoop | None = None  # what tells whether that may be used
        self.load_in_loop: AsyncStore | None = None  #: loads, if need be, where nothing may wait
        self._in_loop_alone: InLoop | None = None  # that, if nobody else is told of a load by it
        self.store_blocks = True  #: loading from it where nothing can be awaited is no option
        if isinstance(store, str):  # with a password in it, perhaps
            raise SessionConfigError(
                "store", "it is a str; ctxlocal.sessions.stores.url.open_store(url) makes a store"
            )
        if isinstance(store, type):
            name = store.__name__
            raise SessionConfigError("store", f"{name} is a class; call it: {name}(...)")
        if not hasattr(store, "load"):
            raise SessionConfigError(
                "store", f"{store!r} is no Store; see ctxlocal.sessions.stores.protocol"
            )
        if iscoroutinefunction(store.load):
            self._at_once: AsyncStore = store  # asked for nothing: what would ask it is refused
            self._awaited: AsyncStore = store
            return
        self._sync, self.store_blocks = store, store.is_blocking
        self._at_once = AtOnce(store)
        self._awaited = in_threads(store) if self.store_blocks else self._at_once
        if self.store_blocks and self.load == "cookie" and (found := in_loop(store)) is not None:
            self._in_loop, self.load_in_loop = found
            if type(self.load_in_loop) is AtOnce:
                self._in_loop_alone = self._in_loop

    def _take_kinds(self) -> None:
        """Choose the kinds of sessions that are opened."""

    @property
    def loads_before_view(self) -> bool:
        """Whether, under ASGI, a session with a cookie is to be loaded before it is touched."""
        if self.load != "cookie" or not self.store_blocks:
            return False
        return self._in_loop is None or not self._in_loop.is_ready()

    def ids_in(self, cookies: str) -> list[str]:
        """Return what has the form of an id among the cookies of our name; there may be several."""
        return self._find_ids(cookies)[:MOST_CANDIDATES]

    def is_to_await(self, operation: str) -> bool:
        """Whether an event loop runs in this thread, so that ``operation`` may not block.

        :raises SessionConfigError: none runs, and the store needs one.
        """
        if sys.get_asyncgen_hooks().firstiter is not None:  # asyncio's loops set it, and trio's
            return True
        if self._sync is None:
            raise SessionConfigError(
                "store",
                f"{self.store.name} is asynchronous, and no event loop runs where {operation} was "
                "called. Use its synchronous twin, which serves ASGI too, or make the view a "
                "coroutine.",
            )
        return False

    def _blocking(self, method: str) -> AsyncStore:
        """Return the store for the application's call of ``method``, which does not await.

        :raises SessionConfigError: the store is asynchronous.
        """
        if self._sync is None:
            raise SessionConfigError(
                "store",
                f"{self.store.name} is asynchronous: use `await sessions.{method}_async(...)`",
            )
        return self._at_once

    def live_until(self, fields: Mapping[str, bytes], touched: float) -> float:
        """Return when the absolute limit ends a record; 0 if that, or the idle one, is over (R9).

        A record that does not say when it began is over.
        """
        try:
            limit = float(fields[BORN]) + self.absolute_timeout
        except (KeyError, ValueError, TypeError):  # TypeError: no bytes, a store's mistake
            return 0.0
        clock = self.clock  # CPython 3.11 finds an attribute faster than a method that is one
        now = clock()
        idle = self.idle_timeout if IDLE not in fields else self.idle_of(fields)
        return limit if now < limit and now - touched < idle else 0.0

    def idle_of(self, fields: Mapping[str, bytes]) -> float:
        """Return after how many seconds without use a record ends: its own, or the setting."""
        return idle_of(fields.get(IDLE), self.idle_timeout)

    def ttl(self, limit: float, idle: float) -> float:
        """Return for how many seconds a record with this limit lives if nobody touches it.

        :param idle: see :meth:`idle_of`.
        """
        clock = self.clock
        left = limit - clock()
        if left > idle:
            return idle
        return left if left > 1.0 else 1.0

    def is_due(self, touched: float, idle: float) -> bool:
        """Whether a record is to be renewed though nothing in it changed."""
        interval = renewed_after(idle, self.idle_timeout, self.touch_interval)
        return self.clock() - touched >= interval

    def report_corrupt(self, key: str, error: Exception) -> None:
        """Count and log a record that cannot be read."""
        self.corrupt_records += 1
        log.error("session %s has a corrupt record, ignored: %s", log_name(key), error)
        self.report_rejected("corrupt record")

    def report_rejected(self, reason: str) -> None:
        """Tell that a cookie or a record was not accepted."""
        if events.rejected.receivers:
            events.rejected.send(self, session=None, reason=reason)


def _check_choice(setting: str, value: object, *choices: str) -> None:
    if value not in choices:
        raise SessionConfigError(setting, f"{value!r} is none of {', '.join(map(repr, choices))}")


def _check_merges(merges: Mapping[str, object]) -> None:
    for key, merge in merges.items():
        if not callable(merge):
            raise SessionConfigError("same_key", f"what merges {key!r} is no function: {merge!r}")
