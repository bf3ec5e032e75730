"""QuickSession: the common request, done without coroutines.

One id, a live record with the lifetime of the settings, and at the end nothing to store, or keys
that were set or deleted: the store is asked directly. Whatever is else, or goes wrong, is left to
:class:`~ctxlocal.sessions.in_store.session.StoredSession`, which asks the store again: a load
changes nothing, and neither does a commit that was not committed.

Without it ``python -m benchmarks.sessions --only memory`` takes longer in its rows "ctxlocal WSGI,
memory" (11 % in ``read``, 13 % in ``read+write``) and "ctxlocal ASGI, memory" (4 % and 13 %).
Without :class:`AsyncQuickSession` ``python -m benchmarks.instructions`` counts 16 % more for "ASGI,
SQLite, read", and 12 % more for "read+write".
"""

from __future__ import annotations

from typing import TypeAlias

from .. import events
from ..errors import CorruptRecordError, StoreUnavailableError
from ..fields import Changes
from ..headers import ACCESSED, NOTHING, SessionHeaders
from ..session import IDLE, PERMANENT
from ..stores.protocol import Answer, AsyncStore, Change, Record
from ..values.pure import MORE
from .held import Held
from .session import AsyncStoredSession, StoredSession
from .token import commit_id, key_of

_Commit: TypeAlias = tuple[str, int, Change, float, "Record | None"]  # what commit() is called with


class _PlainSession(StoredSession):
    """What may be saved by one commit."""

    __slots__ = ()

    def _plain_commit(self) -> _Commit | tuple[()] | None:
        """Return what a store is to commit, if that is all there is to do; (): nothing is."""
        begun = self._begun
        if not self._is_plain or self._closed or not begun or (held := begun[MORE]) is None:
            return None
        record, sessions = held.record, self._sessions
        values = record.values
        if IDLE in values or held.commit is not None:  # one that had no answer may be done again
            return None
        sets, dropped = self._sets(), self._dropped
        if sets or dropped:
            base = None if record.version is None else record
            ttl = sessions.ttl(held.limit, sessions.idle_timeout)
            guard = held.guard(record) if PERMANENT in values else ()  # to renew the cookie too
            deletes = [name for name in dropped if name not in sets] if dropped else ()
            change = Change(commit_id(), sets, deletes, guard)
            return held.key, record.generation, change, ttl, base
        return None if sessions.clock() - record.touched >= sessions.touch_interval else ()

    def _note_unanswered(self, change: Change) -> None:
        """Let a commit that is tried again have the same name, by which a store knows it."""
        if self._held is not None:
            self._held.commit = change.commit_id, Changes({**change.sets}, [*change.deletes], [])

    def _send_again(self) -> SessionHeaders:
        assert self._held is not None
        self._send = self._held.id
        return SessionHeaders(True, self._set_cookies())


class QuickSession(_PlainSession):
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
        commit = self._plain_commit()
        if commit is None:
            return None
        if commit:
            key, generation, change, ttl, base = commit
            try:
                answer = self._sessions._sync.commit(key, generation, change, ttl, base)
            except CorruptRecordError:
                return None
            except BaseException:
                self._note_unanswered(change)
                raise
            if type(answer) is not Answer or answer.outcome != "committed":
                return None
        self._closed = True
        return self._send_again() if commit and change.ops else ACCESSED


class AsyncQuickSession(_PlainSession, AsyncStoredSession):
    """The same where loading or committing may block; the store's commit is awaited."""

    __slots__ = ()

    def _fetch(self) -> None:
        sessions = self._sessions
        ids = sessions._find_ids(self._cookies)
        if (
            sessions._in_loop_alone is None
            or len(ids) != 1
            or events.loaded.receivers
            or self._failure is not None
            or not sessions.is_to_await("the session's first use")
        ):
            return super()._fetch()
        key = key_of(ids[0])
        try:
            record = sessions._in_loop_alone.load(key)
        except StoreUnavailableError as error:  # it has waited for long enough
            return self._begin_with({}, None, self._refused_by(error))
        except CorruptRecordError:
            return super()._fetch()
        if type(record) is Record and type(record.values) is dict:
            limit = sessions.live_until(record.values, record.touched)
            if limit:
                return self._begin_with(record.values, Held(ids[0], key, record, limit))
        super()._fetch()

    def _finish_at_once(self) -> SessionHeaders | None:
        if not self._accessed:
            return super()._finish_at_once()
        if self._assigned or not self._begun or self._overdue or self._plain_commit() != ():
            return None
        self._closed = True
        return ACCESSED

    async def _finish(self, store: AsyncStore) -> SessionHeaders:
        commit = None if self._begun and self._overdue else self._plain_commit()
        if not commit:
            return await super()._finish(store)
        self._closed = True
        try:
            answer = await store.commit(*commit)
        except CorruptRecordError:
            answer = None
        except BaseException:
            self._closed = False
            self._note_unanswered(commit[2])
            raise
        if type(answer) is Answer and answer.outcome == "committed":
            return self._send_again() if commit[2].ops else ACCESSED
        self._closed = False
        return await super()._finish(store)
