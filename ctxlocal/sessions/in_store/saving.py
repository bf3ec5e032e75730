"""Saving: what is done with a session's record, and in which order, when it is saved."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from .. import events
from ..errors import CorruptRecordError, SessionEndedError, StoreUnavailableError
from ..fields import Changes
from ..lifetime import time_field
from ..session import AUTHENTICATED, BORN, CURRENT, IDLE, PERMANENT, Results
from ..stores.protocol import HANDLE, USER, AsyncStore, Incr, Record
from .another_id import change_id, log_in, replace
from .committing import Lost, commit
from .ending import end
from .held import Held, mark
from .settings import log
from .token import key_of, new_id
from .user_limit import evict, refuse_when_full

if TYPE_CHECKING:
    from .session import StoredSession
    from .settings import StoredSettings

MOST_CREATES = 3  # attempts to create a record, whose id nobody can have

_NOTHING = Changes({}, [], [])
_ABOUT = {AUTHENTICATED, BORN, CURRENT, HANDLE, IDLE, PERMANENT}  # fields that alone make no record


class Saving(msgspec.Struct):
    """One save of a session, by a store that blocks or one that is awaited.

    :param is_last: the request ends, and nobody looks at the results.
    """

    session: StoredSession
    sessions: StoredSettings
    store: AsyncStore
    is_last: bool

    async def run(self) -> Results:
        """Store what changed. What was asked for is done, or raises; but a plain change that is
        saved as the request ends is dropped if its record was ended or cleared.
        """
        session = self.session
        if session._destroyed:
            await self._end()
        changes = session._changes()
        held, grace = session._held, session._regenerate
        if held is None:
            return await self.create(changes, not self.is_last)
        if grace is None:
            return await self._store(held, changes, not self.is_last)
        if session._is_cleared:
            return await replace(self, held, changes)
        if not {AUTHENTICATED, BORN}.isdisjoint((*changes.sets, *changes.deletes)):
            return await log_in(self, held, changes)
        # The move renews the record itself, also one that was cleared.
        results = await self.commit(held, changes, True) if changes else Results()
        await change_id(self, held, grace)
        return results

    async def _end(self) -> None:
        session = self.session
        while session._doomed:
            removed = await end(self.store, *session._doomed[-1])
            session._doomed.pop()
            if removed and events.destroyed.receivers:
                events.destroyed.send(self.sessions, session=session)
        session._destroyed = False
        session._withdraw_id()

    async def create(self, changes: Changes, must: bool = False) -> Results:
        """Store a new record under a new id, if there is anything to store (R6)."""
        session, sessions = self.session, self.sessions
        if session._is_lost and USER not in changes.sets:
            if must and changes:
                raise SessionEndedError("revoked")
            return Results()
        if not any(isinstance(op, Incr) for op in changes.ops) and not (
            changes.sets.keys() - _ABOUT
        ):
            return Results()
        now = sessions.clock()
        fields = session._all_fields()
        fields.setdefault(BORN, time_field(now))
        fields.setdefault(HANDLE, token_hex(16).encode())
        await refuse_when_full(sessions, self.store, None, fields)
        held = session._held = await self._create(fields, now)
        session._send, session._is_lost = held.id, False
        session._settle(fields, changes)
        if events.created.receivers:
            events.created.send(sessions, session=session)
        await evict(sessions, self.store, held, session.user)
        return Results(session._values[op.field] for op in changes.ops if isinstance(op, Incr))

    async def _create(self, fields: dict[str, bytes], now: float) -> Held:
        limit = self.sessions.live_until(fields, now)
        ttl = self.sessions.ttl(limit, self.sessions.idle_of(fields))
        for _ in range(MOST_CREATES):
            session_id = new_id()
            key = key_of(session_id)
            fields[CURRENT] = mark(key)
            if await self.store.create(key, fields, ttl):
                return Held(session_id, key, Record(fields, 0, now, now + ttl), limit)
            # A reply was lost: the first try is there, and nobody has its id.
        raise StoreUnavailableError(self.store.name, "create")

    async def _store(self, held: Held, changes: Changes, must: bool) -> Results:
        if changes:
            return await self.commit(held, changes, must)
        is_due = self.sessions.is_due(held.record.touched, self.session._idle())
        if is_due or self.session._renew:
            await self._touch(held, must)
        return Results()

    async def commit(
        self, held: Held, changes: Changes, must: bool, insists: bool = False
    ) -> Results:
        """Merge the changes. If the record is gone or cleared they are lost: an error if it must.

        A Clear, or a request that ``insists``, goes on with a record that was cleared.
        """
        done = await commit(self.session, self.store, held, changes, insists)
        if isinstance(done, Lost):
            self.session._lose(done.reason, must or self.session._is_cleared)
            return Results()
        if done.is_to_send:
            self.session._send = held.id
        if self.is_last:  # nobody looks at the results
            return Results()
        return self.session._settle_commit(held, done)

    async def _touch(self, held: Held, must: bool) -> None:
        """Renew the record; if it is gone, that is an error if it must be there."""
        try:
            lost = await self._renew(held)
        except StoreUnavailableError as error:
            if self.sessions.when_down == "raise":
                raise
            log.warning("session store down, a session was not renewed: %s", error)
            return
        if lost and must:
            self.session._lose(lost, True)

    async def _renew(self, held: Held) -> str:
        """Renew the record, and where it is permanent the cookie; return how it was lost, or ""."""
        ttl = self.sessions.ttl(held.limit, self.session._idle())
        if self.session.permanent and held.guard(held.record):
            done = await commit(self.session, self.store, held, _NOTHING)
            if isinstance(done, Lost):
                return done.reason
            if done.is_to_send:
                self.session._send = held.id
        else:
            try:
                if not await self.store.touch(held.key, ttl):
                    return "revoked"
            except CorruptRecordError as error:
                self.sessions.report_corrupt(held.key, error)
                return "corrupt"
        held.renew(self.sessions.clock(), ttl)
        self.session._renew = False
        return ""
