"""QuickSession: the common request, done without coroutines.

One id, a live record with the lifetime of the settings, and at the end nothing to store, or keys
that were set or deleted: the store is asked directly. Whatever is else, or goes wrong, is left to
:class:`~ctxlocal.sessions.in_store.session.StoredSession`, which asks the store again: a load
changes nothing, and neither does a commit that was not committed.

Without it ``python -m benchmarks.sessions --only memory`` takes longer in its rows "ctxlocal WSGI,
memory" (11 % in ``read``, 13 % in ``read+write``) and "ctxlocal ASGI, memory" (4 % and 13 %).
"""

from __future__ import annotations

from .. import events
from ..errors import CorruptRecordError, StoreUnavailableError
from ..fields import MORE
from ..headers import ACCESSED, NOTHING, SessionHeaders
from ..session import IDLE, PERMANENT
from ..stores.protocol import Answer, Change, Record
from .held import Held
from .session import StoredSession
from .token import commit_id, key_of


class QuickSession(StoredSession):
    """A stored session over a store that may be asked at once, under ``same_key="last-wins"``."""

    __slots__ = ()

    def _fetch(self) -> None:
        sessions = self._sessions
        find = sessions._find_ids
        ids = find(self._cookies)
        if len(ids) == 1 and not events.loaded.receivers:
            key = key_of(ids[0])
            try:
                record = sessions._sync.load(key)
            except (CorruptRecordError, StoreUnavailableError):
                record = None
            if type(record) is Record and type(record.values) is dict:
                limit = sessions.live_until(record.values, record.touched)
                if limit:
                    self._begin_with(record.values, Held(ids[0], key, record, limit))
                    return
        super()._fetch()

    def _finish_at_once(self) -> SessionHeaders | None:
        if not self._accessed:
            self._closed = True
            return NOTHING
        begun = self._begun
        if not self._is_plain or self._closed or not begun or (held := begun[MORE]) is None:
            return None
        record, sessions = held.record, self._sessions
        values = record.values
        if IDLE in values:
            return None
        sets, guard = self._sets(), None
        if sets or self._dropped:
            base = None if record.version is None else record
            ttl = sessions.ttl(held.limit, sessions.idle_timeout)
            guard = held.guard(record) if PERMANENT in values else ()  # to renew the cookie too
            dropped = self._dropped
            deletes = [name for name in dropped if name not in sets] if dropped else ()
            change = Change(commit_id(), sets, deletes, guard)
            try:
                answer = sessions._sync.commit(held.key, record.generation, change, ttl, base)
            except CorruptRecordError:
                return None
            if type(answer) is not Answer or answer.outcome != "committed":
                return None
        elif sessions.clock() - record.touched >= sessions.touch_interval:
            return None
        self._closed = True
        if not guard:
            return ACCESSED
        self._send = held.id
        return SessionHeaders(True, self._set_cookies())
