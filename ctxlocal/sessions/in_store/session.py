"""StoredSession: a session whose record lies in a store, and how it gets there and back.

What asks the store is written once, as coroutines, that are given the store they ask: one whose
calls never wait where blocking is allowed, one that waits where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from ..._at_once import at_once
from .. import events
from ..codec import decode
from ..cookie import MAX_AGE, scan
from ..errors import (
    CorruptRecordError,
    SessionConflictError,
    SessionEndedError,
    SessionLimitError,
    SessionNotLoadedError,
    StoreUnavailableError,
)
from ..fields import Changes
from ..interface import ACCESSED, NOTHING, SessionHeaders
from ..session import AUTHENTICATED, BORN, CURRENT, PERMANENT, Results, Session
from ..stores.protocol import (
    HANDLE,
    MAX_INT,
    MIN_INT,
    RESERVED,
    USER,
    Answer,
    AsyncStore,
    Change,
    Clear,
    Expect,
    Incr,
    Op,
    Record,
    Result,
)
from .settings import StoredSettings, log
from .token import commit_id, key_of, log_name, new_id

MOST_MERGES = 16  # attempts to merge keys that others go on changing
MOST_CREATES = 3  # attempts to create a record, whose id nobody can have

_NO_CHANGES = Changes({}, [], [])
_ABOUT = {AUTHENTICATED, BORN, CURRENT, HANDLE, PERMANENT}  # fields that alone make no record


class StoredSession(Session):
    """A session whose record lies in a store."""

    __slots__ = (
        "_doomed",
        "_id",
        "_is_lost",
        "_key",
        "_limit",
        "_moving",
        "_record",
        "_send",
        "_unanswered",
    )

    _sessions: StoredSettings
    _doomed: list[tuple[str, Mapping[str, bytes]]]  # keys and fields of what destroy() ends
    _moving: tuple[str, dict[str, bytes]] | None  # an id and fields whose move was not answered
    _unanswered: tuple[str, Changes] | None  # a commit's id, and what it was
    _is_lost: bool  # the record went, or was cleared: nothing more is stored

    def _fetch(self) -> None:
        at_once(self._load(self._sessions._at_once))

    def _now(self) -> float:
        return self._sessions.clock()

    def destroy(self) -> None:
        """End the session: its record dies, its id too. What is set afterwards begins a new one."""
        self._write("session.destroy()")
        self._doom()
        doomed = self._doomed
        super().destroy()
        self._doomed, self._is_lost = doomed, False
        self._forget()

    def save(self) -> Results:
        """Store what changed so far, now, and go on; return the operations' results.

        One for each key of ``incr`` (the sum in the store) and ``pop_once`` (the value that
        was removed; None: another request removed it first), in their order. The request's
        cookie still follows at its end::

            session.incr("visits")
            session.pop_once("code")
            visits, code = session.save()

        What is returned may be awaited too; in a coroutine under ASGI it has to be.

        :raises SessionEndedError: the record was ended or cleared meanwhile; nothing is stored.
        """
        self._write("session.save()")
        return at_once(self._store_changes(self._sessions._at_once))

    def _void(self, error: ValueError) -> None:
        if self._key is not None:
            self._sessions.report_corrupt(self._key, error)
            self._doom()
        self._forget()

    def _doom(self) -> None:
        if self._key is not None and self._record is not None:
            self._doomed = [*self._doomed, (self._key, self._record.values)]

    def _forget(self) -> None:
        self._key: str | None = None
        self._record: Record | None = None
        self._moving = self._unanswered = None

    # Loading.

    async def _load(self, store: AsyncStore) -> None:
        """Begin with the first of the request's ids that has a live record (R2, R9, R17)."""
        refusal: StoreUnavailableError | None = None
        session_id, key, record, limit = "", "", None, 0.0
        ids = self._sessions.ids_in(self._cookies)
        try:
            for session_id in ids:
                key = key_of(session_id)
                try:
                    record = self._checked(await store.load(key))
                except CorruptRecordError as error:
                    self._sessions.report_corrupt(key, error)
                    continue
                if record is None:
                    self._reject("unknown id")
                    continue
                limit = self._sessions.live_until(record.values, record.touched)
                if limit:
                    break
                record = None
                if events.expired.receivers:
                    events.expired.send(self._sessions, session=None)
                await store.delete(key)
        except StoreUnavailableError as error:
            if self._sessions.when_down == "raise":
                self._refusal = error  # for a framework's 500, which should be a 503
                raise
            log.warning("session store down, going on without a session: %s", error)
            refusal = error
        if self._fields is not None:  # another thread or task of the request was first
            return
        if not ids and events.rejected.receivers and self._has_cookie():
            self._reject("malformed id")
        self._refusal = refusal
        self._start(session_id, key, record, limit)

    def _start(self, session_id: str, key: str, record: Record | None, limit: float) -> None:
        self._send: bool | None = None  # the cookie: with the id, or (False) its deletion
        self._doomed, self._unanswered, self._is_lost = [], None, False
        self._moving = None
        self._record = record
        self._limit = limit  # when the record ends, however much it is used
        self._is_plain = True
        if record is None:
            self._id, self._key = "", None
            self._begin({})
            return
        self._id, self._key = session_id, key
        self._begin(record.values)
        if events.loaded.receivers:
            events.loaded.send(self._sessions, session=self)

    def _has_cookie(self) -> bool:
        return bool(scan(self._cookies, self._sessions.cookie.name))

    def _reject(self, reason: str) -> None:
        if events.rejected.receivers:
            events.rejected.send(self._sessions, session=None, reason=reason)

    def _checked(self, record: object) -> Record | None:
        """Refuse what a store may return that is somebody else's."""
        if record is None or (isinstance(record, Record) and isinstance(record.values, dict)):
            return record
        kind = type(record).__name__
        raise CorruptRecordError(self._sessions.store.name, f"a {kind} is no Record of fields")

    # Saving.

    def _finish_at_once(self) -> SessionHeaders | None:
        """Do what the flow does, if that is simple; None: it is not, ask the flow."""
        return None

    async def _finish(self, store: AsyncStore) -> SessionHeaders:
        if self._fields is None:  # it could not be loaded, and the view went on
            self._closed = True
            return ACCESSED
        if self._closed:
            return NOTHING
        self._closed = True  # what an event's receiver changes from here on would not be kept
        try:
            await self._store_changes(store, is_last=True)
        except BaseException:
            self._closed = False
            raise
        return ACCESSED if self._send is None else SessionHeaders(True, self._set_cookies())

    def _set_cookies(self) -> tuple[str, ...]:
        if not self._send:
            return (self._sessions.cookie.delete(),)
        max_age = min(int(self._sessions.idle_timeout), MAX_AGE) if self.permanent else None
        return (self._sessions.cookie._line(self._id, max_age),)

    async def _store_changes(self, store: AsyncStore, is_last: bool = False) -> Results:
        """Store what changed. What was asked for is done, or raises; but a plain change that is
        saved as the request ends, ``is_last``, is dropped if its record was ended or cleared.
        """
        if self._destroyed:
            await self._end(store)
        changes = self._changes()
        if self._key is None:
            return await self._create(store, changes, not is_last)
        grace = self._regenerate
        if grace is None:
            return await self._store(store, changes, is_last, not is_last)
        if self._is_cleared:
            return await self._replace(store, changes)
        if not {AUTHENTICATED, BORN}.isdisjoint((*changes.sets, *changes.deletes)):
            return await self._log_in(store, changes, is_last)
        results = await self._store(store, changes, is_last, True)
        await self._change_id(store, grace)
        return results

    async def _store(
        self, store: AsyncStore, changes: Changes, is_last: bool, must: bool
    ) -> Results:
        if changes:
            return await self._commit(store, changes, is_last, must)
        assert self._record is not None
        due = self._sessions.clock() - self._record.touched >= self._sessions.touch_interval
        if due or self._renew:
            await self._touch(store, must)
        return Results()

    async def _end(self, store: AsyncStore) -> None:
        while self._doomed:
            removed = await self._end_record(store, *self._doomed[-1])
            self._doomed.pop()
            if removed and events.destroyed.receivers:
                events.destroyed.send(self._sessions, session=self)
        self._destroyed = False
        self._withdraw_id()

    def _withdraw_id(self) -> None:
        """Let the browser forget the id, if it has one."""
        self._send = False if self._has_cookie() else None

    async def _end_record(self, store: AsyncStore, key: str, fields: Mapping[str, bytes]) -> bool:
        """End a record, also if another request gave it a new key that nobody told this one."""
        if await store.delete(key):
            return True
        user, handle = fields.get(USER), fields.get(HANDLE)
        if user is None or handle is None:
            return False
        return bool(await store.revoke(_text(user), None, _text(handle)))

    async def _create(self, store: AsyncStore, changes: Changes, must: bool = False) -> Results:
        """Store a new record under a new id, if there is anything to store (R6)."""
        if self._is_lost and USER not in changes.sets:
            if must and changes:
                raise SessionEndedError("revoked")
            return Results()
        if not any(isinstance(op, Incr) for op in changes.ops) and not (
            changes.sets.keys() - _ABOUT
        ):
            return Results()
        now = self._sessions.clock()
        fields = self._all_fields()
        fields.setdefault(BORN, repr(now).encode())
        fields.setdefault(HANDLE, token_hex(16).encode())
        await self._refuse_when_full(store, fields)
        limit = self._sessions.live_until(fields, now)
        ttl = self._sessions.ttl(limit)
        for _ in range(MOST_CREATES):
            session_id = new_id()
            key = key_of(session_id)
            fields[CURRENT] = _mark(key)
            if await store.create(key, fields, ttl):
                break
            # A reply was lost: the first try is there, and nobody has its id.
        else:
            raise StoreUnavailableError(self._sessions.store.name, "create")
        self._take_id(session_id, key, Record(fields, 0, now, now + ttl), limit)
        self._is_lost = False
        self._settle(fields, changes)
        if events.created.receivers:
            events.created.send(self._sessions, session=self)
        await self._evict(store)
        return Results(self._values[op.field] for op in changes.ops if isinstance(op, Incr))

    def _take_id(self, session_id: str, key: str, record: Record, limit: float) -> None:
        self._id, self._key = session_id, key
        self._record, self._limit = record, limit
        self._send = True

    # Another id (R3).

    async def _replace(self, store: AsyncStore, changes: Changes) -> Results:
        """End the record, and begin another with what was set since it was cleared."""
        assert self._key is not None
        assert self._record is not None
        await self._refuse_when_full(store, changes.sets)
        removed = await self._end_record(store, self._key, self._record.values)
        self._forget()
        self._withdraw_id()
        if removed and events.destroyed.receivers:
            events.destroyed.send(self._sessions, session=self)
        return await self._create(store, changes)

    async def _change_id(self, store: AsyncStore, grace: float) -> None:
        """Renew the id; with a grace, of two requests that do so the second goes on by the old."""
        if await self._move(store, {}, grace):
            return
        if grace and await self._look(store) is not None:
            self._regenerate = self._send = None  # the new id is for its own request to send
            return
        self._lose("revoked", True)

    async def _log_in(self, store: AsyncStore, changes: Changes, is_last: bool) -> Results:
        """Change the id and the user in one step; where the record is gone, begin another."""
        is_quick = self._sessions.same_key == "last-wins"
        is_disputed = not is_quick or any(isinstance(op, Incr) for op in changes.ops)
        if is_disputed and self._moving is None:
            agreed = await self._agree(store, changes)
            if agreed is None:
                return await self._begin_anew(store, changes)
            changes = agreed
        at_once = is_quick and not changes.deletes and not changes.ops
        sets = {k: v for k, v in changes.sets.items() if at_once or k[:1] == RESERVED}
        if USER in sets:
            await self._refuse_when_full(store, sets)
        stored = await self._move(store, sets, 0.0)
        if stored is None:
            return await self._begin_anew(store, changes)
        if at_once:
            self._settle(self._all_fields(), changes)
        else:
            self._fields = {**(self._fields or {}), **stored}
            self._added = {k: v for k, v in self._added.items() if stored.get(k) != v}
        if USER in sets:
            await self._evict(store)
        sets = {k: v for k, v in changes.sets.items() if stored.get(k) != v}
        rest = Changes(sets, changes.deletes, changes.ops)
        return await self._commit(store, rest, is_last, not is_last, True) if rest else Results()

    async def _begin_anew(self, store: AsyncStore, changes: Changes) -> Results:
        """Log in though the record was revoked: with what this request set, and nothing of it."""
        assert self._key is not None
        if USER not in changes.sets:  # nothing else tells who that is
            self._lose("revoked", True)
        log.info("session %s was revoked: the login begins another", log_name(self._key))
        self._keep_own()
        self._forget()
        self._regenerate = None
        await self._create(store, self._changes())
        return Results(
            self._values[op.field] if isinstance(op, Incr) else None
            for op in changes.ops
            if not isinstance(op, Clear)
        )

    async def _move(
        self, store: AsyncStore, sets: dict[str, bytes], grace: float
    ) -> dict[str, bytes] | None:
        """Give the record another key, and the session its id; return the fields set with it.

        None: it was not there, or has a newer key. A move whose answer was lost is made again,
        with the fields of then.
        """
        old, record = self._key, self._record
        assert old is not None
        assert record is not None
        if self._moving is None:
            session_id = new_id()
            self._moving = session_id, {**sets, CURRENT: _mark(key_of(session_id))}
        session_id, sets = self._moving
        key = key_of(session_id)
        fields, now = {**record.values, **sets}, self._sessions.clock()
        limit = self._sessions.live_until(fields, now)
        ttl = self._sessions.ttl(limit)
        moved = False
        try:
            moved = await store.move(old, key, sets, ttl, grace)
        except CorruptRecordError as error:
            self._sessions.report_corrupt(self._key or "", error)
        self._moving = None
        if not moved:
            return None
        generation = record.generation + (0 if grace else 1)
        self._take_id(session_id, key, Record(fields, generation, now, now + ttl), limit)
        self._regenerate = None
        if events.regenerated.receivers:
            events.regenerated.send(self._sessions, session=self)
        return sets

    async def _look(self, store: AsyncStore) -> Record | None:
        """Load the record again."""
        assert self._key is not None
        try:
            return self._checked(await store.load(self._key))
        except CorruptRecordError as error:
            self._sessions.report_corrupt(self._key or "", error)
            return None

    async def _agree(self, store: AsyncStore, changes: Changes) -> Changes | None:
        """Settle disputes while the old id is good: an error after the move would lose both."""
        assert self._record is not None
        theirs = await self._look(store)
        if theirs is None:
            return None
        if theirs.generation == self._record.generation:  # else nothing is left to dispute
            changes, _ = self._merge(changes, self._expectations(changes), theirs)
        self._record = theirs
        return changes

    # Changes.

    async def _commit(
        self, store: AsyncStore, changes: Changes, is_last: bool, must: bool, insists: bool = False
    ) -> Results:
        """Merge the changes. If the record is gone or cleared they are lost: an error if it must.

        A Clear, or a request that ``insists``, goes on with a record that was cleared.
        """
        key, record = self._key, self._record
        assert key is not None
        assert record is not None
        clears = Clear in map(type, changes.ops)
        must, insists = must or clears, insists or clears
        expects = self._expectations(changes)
        base = None if record.version is None else record
        seen = record
        for _ in range(MOST_MERGES):
            ttl = self._sessions.ttl(self._limit)
            guard = self._guard(seen) if clears or self._is_permanent(changes) else ()
            if clears and CURRENT in seen.values:
                changes.sets[CURRENT] = seen.values[CURRENT]
                guard = (Expect(CURRENT, seen.values[CURRENT]),)
            ops: list[Op] = [*guard, *expects, *changes.ops]
            name = self._name_commit(changes)
            change = Change(name, changes.sets, changes.deletes, ops)
            theirs: Record | None = None
            try:
                answer: Answer = await store.commit(key, record.generation, change, ttl, base)
                self._unanswered = None
                if ops or type(answer) is not Answer:
                    self._check(answer, ops)
                if answer.outcome == "conflict":
                    theirs = self._checked(await store.load(key))
            except CorruptRecordError as error:
                self._sessions.report_corrupt(self._key or "", error)
                self._lose("corrupt", must)
                return Results()
            if answer.outcome == "committed":
                if self._is_permanent(changes) and self._guard(seen):
                    self._send = True
                if is_last:  # nobody looks at the results
                    return Results()
                asked = len(guard) + len(expects)
                return self._settle_commit(changes, answer.results[asked:], ttl)
            if theirs is None or (theirs.generation != record.generation and not insists):
                self._lose("revoked" if theirs is None else "cleared", must)
                return Results()
            if theirs.generation == record.generation:
                changes, expects = self._merge(changes, expects, theirs)
            else:
                self._record, record, expects = theirs, theirs, []
            base = seen = theirs
        raise SessionConflictError(tuple(expect.field for expect in expects))

    def _expectations(self, changes: Changes) -> list[Expect]:
        """Return how the keys were that change, unless the last one wins."""
        if self._sessions.same_key == "last-wins" or Clear in map(type, changes.ops):
            return []
        assert self._record is not None
        keys = [key for key in (*changes.sets, *changes.deletes) if key[:1] != RESERVED]
        return [Expect(key, self._record.values.get(key)) for key in keys]

    def _guard(self, seen: Record) -> tuple[Expect, ...]:
        """Return what holds as long as the cookie may be sent; nothing if it is an old id's (R3).

        Another request may renew the id until this one's commit is there, and the browser
        would go back to the old id, if it were sent after the new one.
        """
        current = seen.values.get(CURRENT)
        if current is None or current == _mark(self._key or ""):
            return (Expect(CURRENT, current),)
        return ()

    def _is_permanent(self, changes: Changes) -> bool:
        """Whether the cookie outlives, or outlived, the browser: then it is renewed too."""
        assert self._record is not None
        return PERMANENT in self._record.values or PERMANENT in changes.sets

    def _name_commit(self, changes: Changes) -> str:
        """Return the commit's id: of one that was never answered, if it is tried again."""
        name = commit_id()
        if self._unanswered is not None:
            former_name, former = self._unanswered
            if former == changes:
                name = former_name
            elif former.ops:  # it may have counted, and what is new cannot be told from it
                raise StoreUnavailableError(self._sessions.store.name, "commit")
        self._unanswered = name, changes
        return name

    def _check(self, answer: object, ops: list[Op]) -> None:
        """Refuse what a store of somebody else's may return."""
        is_answer = isinstance(answer, Answer)
        if isinstance(answer, Answer) and answer.outcome == "committed":
            is_answer = len(answer.results) == len(ops) and all(
                isinstance(result, int)
                for op, result in zip(ops, answer.results, strict=True)
                if isinstance(op, Incr)
            )
        if not is_answer:
            raise StoreUnavailableError(self._sessions.store.name, "commit")

    def _settle_commit(
        self,
        changes: Changes,
        results: tuple[Result, ...],
        ttl: float,
    ) -> Results:
        assert self._record is not None
        fields = self._all_fields()
        fields.update(changes.sets)  # a merge made others
        for key in changes.deletes:
            fields.pop(key, None)
        for op, result in zip(changes.ops, results, strict=True):
            if isinstance(op, Incr):
                self._values[op.field] = result
                fields[op.field] = str(result).encode()
        cleared = any(isinstance(op, Clear) for op in changes.ops)
        now = self._sessions.clock()
        generation = self._record.generation + cleared
        self._record = Record(fields, generation, now, now + ttl)
        self._settle(fields, changes)
        return Results(
            self._taken(op.field, result) if isinstance(result, bytes) else result
            for op, result in zip(changes.ops, results, strict=True)
            if not isinstance(op, Clear)
        )

    def _taken(self, key: str, raw: bytes) -> Any:
        """Return a value that is not in the record any more, None if it cannot be read."""
        try:
            return self._decode(raw, key)
        except ValueError:
            return None

    def _merge(
        self, changes: Changes, expects: list[Expect], theirs: Record
    ) -> tuple[Changes, list[Expect]]:
        """Settle which value a key gets that another request changed too, by the policy."""
        disputed = [e for e in expects if theirs.values.get(e.field) != e.value]
        lost = [e.field for e in disputed] or _not_to_be_added_to(theirs, changes)
        if not lost:  # it is as it was, by now
            return changes, expects
        if not disputed or not callable(self._sessions.same_key):
            if events.conflict.receivers:
                events.conflict.send(self._sessions, session=self, reason="same key")
            raise SessionConflictError(tuple(lost))
        sets, deletes = dict(changes.sets), list(changes.deletes)
        for key, loaded in disputed:
            mine, other = sets.pop(key, None), theirs.values.get(key)
            seen = [None if raw is None else self._taken(key, raw) for raw in (loaded, other, mine)]
            merged = self._sessions.same_key(key, *seen)
            if key in deletes:
                deletes.remove(key)
            self._baselines.pop(key, None)
            if merged is None:
                deletes.append(key)
                self._values.pop(key, None)
            else:
                sets[key] = self._encode(key, merged)
                self._values[key] = merged
        expects = [Expect(e.field, theirs.values.get(e.field)) for e in expects]
        return Changes(sets, deletes, changes.ops), expects

    def _lose(self, reason: str, must: bool) -> None:
        """Drop the changes: the record they were made to is not there any more (R7).

        :raises SessionEndedError: they must be stored.
        """
        assert self._key is not None
        log.info("session %s was %s: changes dropped", log_name(self._key), reason)
        if events.conflict.receivers:
            events.conflict.send(self._sessions, session=self, reason=reason)
        self._doom()  # to be removed by destroy(): it may be there, but cleared
        self._begin({})
        self._forget()
        self._is_lost = True
        if reason != "cleared":  # else the id is good, and this request may have made it
            self._send = None
        if must:
            raise SessionEndedError(reason)

    async def _touch(self, store: AsyncStore, must: bool) -> None:
        key, record = self._key, self._record
        assert key is not None
        assert record is not None
        ttl = self._sessions.ttl(self._limit)
        guard = self._guard(record) if self.permanent else ()
        try:
            if guard:
                change = Change(commit_id(), ops=guard)
                answer = await store.commit(key, record.generation, change, ttl, None)
                if answer.outcome == "committed":
                    self._send = True
                    self._note_renewal(record, ttl)
                    return
            renewed = await store.touch(key, ttl)
        except StoreUnavailableError as error:
            if self._sessions.when_down == "raise":
                raise
            log.warning("session store down, a session was not renewed: %s", error)
            return
        if renewed:
            self._note_renewal(record, ttl)
        elif must:
            self._lose("revoked", True)

    def _note_renewal(self, record: Record, ttl: float) -> None:
        now = self._sessions.clock()
        self._record = record._replace(touched=now, expires=now + ttl)
        self._renew = False

    # How many sessions a user may have (R11).

    async def _refuse_when_full(self, store: AsyncStore, fields: Mapping[str, bytes]) -> None:
        limit = self._sessions.max_sessions
        if limit is None or self._sessions.when_full != "refuse" or USER not in fields:
            return
        others = await self._others(store, _text(fields[USER]))
        if len(others) >= limit:
            raise SessionLimitError(limit)

    async def _evict(self, store: AsyncStore) -> None:
        user, limit = self.user, self._sessions.max_sessions
        if limit is None or user is None or self._sessions.when_full != "evict":
            return
        others = await self._others(store, user)
        for key, record in others[: max(0, len(others) + 1 - limit)]:
            removed = await self._end_other(store, user, key, record)
            if removed and events.destroyed.receivers:
                events.destroyed.send(self._sessions, session=None)

    async def _others(self, store: AsyncStore, user: str) -> list[tuple[str, Record]]:
        """Return the user's other sessions, the one unused the longest first."""
        mine = None if self._record is None else self._record.values.get(HANDLE)
        listed = await store.list(user)
        return [
            (key, record)
            for key, record in listed
            if key != self._key and (mine is None or record.values.get(HANDLE) != mine)
        ]

    async def _end_other(self, store: AsyncStore, user: str, key: str, record: Record) -> bool:
        """End a session, also if its id was renewed since it was listed."""
        handle = record.values.get(HANDLE)
        if handle is None:
            return bool(await store.delete(key))
        return bool(await store.revoke(user, None, _text(handle)))


class AsyncStoredSession(StoredSession):
    """A stored session under ASGI: nothing it does blocks the event loop."""

    __slots__ = ()

    def _fetch(self) -> None:
        if self._refusal is not None:  # the load before the view failed
            raise self._refusal
        if self._sessions.store_blocks and self._sessions.ids_in(self._cookies):
            raise SessionNotLoadedError
        super()._fetch()

    def load(self) -> Any:
        """Load the record, if it is not loaded; counts as no access.

        Await it in a coroutine. In a view that is none, which runs in a thread without an
        event loop, it is done on return.

        :raises SessionConfigError: there is no event loop, and the store is asynchronous.
        """
        if self._fields is None:
            if self._sessions.is_to_await("session.load()"):
                return self._load_awaited()
            at_once(self._load(self._sessions._at_once))
        return Results()

    def save(self) -> Any:
        """Do what :meth:`StoredSession.save` does; await it as :meth:`load`."""
        if self._sessions.is_to_await("session.save()"):
            return self._save_awaited()
        return super().save()

    async def _load_awaited(self) -> Results:
        if self._fields is None:  # it may be awaited late
            await self._load(self._sessions._awaited)
        return Results()

    async def _save_awaited(self) -> Results:
        self._write("session.save()")
        return await self._store_changes(self._sessions._awaited)


def _mark(key: str) -> bytes:
    """Return by what a record shows that ``key`` is its own; of it no key, nor id, can be had."""
    return key[:16].encode()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _not_to_be_added_to(record: Record, changes: Changes) -> list[str]:
    """Return the fields of counters that are none any more, or full."""
    sums = {
        op.field: (value_of(record.values.get(op.field, b"0")), op.amount)
        for op in changes.ops
        if isinstance(op, Incr)
    }
    return [
        field
        for field, (value, amount) in sums.items()
        if type(value) is not int or not MIN_INT <= value + amount <= MAX_INT
    ]


def value_of(raw: bytes | None) -> Any:
    """Return the value of a stored field, None where there is none or it cannot be read."""
    try:
        return None if raw is None else decode(raw)
    except ValueError:
        return None
