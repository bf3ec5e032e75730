"""QuickSession: the common request, done without the flows, at half their cost.

One id, a live record, and at the end nothing to store, or keys that were set or deleted:
the store is asked directly. Whatever is else, or goes wrong, is left to the flow of
:class:`~ctxlocal.session.stored_session.StoredSession`, which asks the store again: a load
changes nothing, and neither does a commit that was not committed.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import event
from .errors import CorruptRecordError, StoreUnavailableError
from .interface import ACCESSED, SessionHeaders
from .model import PERMANENT
from .protocol import Answer, Record
from .stored_session import AsyncStoredSession, StoredSession
from .token import commit_id, key_of


class QuickSession(StoredSession):
    """A stored session over a store that may be asked at once, under ``same_key="last-wins"``."""

    __slots__ = ()

    def _fetch(self) -> Mapping[str, bytes] | None:
        return self._fields if self._load_at_once() else super()._fetch()

    def _load_at_once(self) -> bool:
        sessions = self._sessions
        ids = sessions.ids_in(self._cookies)
        if len(ids) != 1 or event.loaded.receivers:
            return False
        key = key_of(ids[0])
        try:
            record = sessions._sync.load(key)
        except (CorruptRecordError, StoreUnavailableError):
            return False
        if type(record) is not Record or type(record.values) is not dict:
            return False
        if not self._is_live(record):
            return False
        if self._fields is None:  # else another thread of the request was first
            self._start(ids[0], key, record, None)
        return True

    def _finish_at_once(self) -> SessionHeaders | None:
        if self._fields is None or self._record is None or self._is_special():
            return None
        record = self._record
        sets, deletes, _ = self._changes()
        sessions = self._sessions
        if not sets and not deletes:
            if sessions.clock() - record.touched >= sessions.touch_interval:
                return None
        else:
            if PERMANENT in record.values:  # the cookie is renewed too
                return None
            base = None if record.version is None else record
            state = (self._key, record.generation, sets, deletes, ())
            ttl = sessions.ttl(record.values)
            answer = sessions._sync.commit(*state, ttl, commit_id(), base)
            if type(answer) is not Answer or answer.outcome != "committed":
                return None
        self._closed = True
        return ACCESSED if self._send is None else SessionHeaders(True, self._set_cookies())

    def _is_special(self) -> bool:
        """Whether more was done to the session than to set and delete keys."""
        return bool(
            self._closed
            or self._added
            or self._ops
            or self._renew
            or self._destroyed
            or self._is_cleared
            or self._regenerate is not None
            or self._unanswered is not None
        )


class AsyncQuickSession(AsyncStoredSession, QuickSession):
    """The same under ASGI, over a store that does not block."""

    __slots__ = ()
