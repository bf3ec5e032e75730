"""StoredSession: a session whose record lies in a store, and how it gets there and back.

The flows are generators that :class:`~ctxlocal.session.settings.StoredSettings` drives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import event
from .codec import decode
from .cookie import MAX_AGE, scan
from .errors import (
    CorruptRecordError,
    SessionConflictError,
    SessionLimitError,
    SessionNotLoadedError,
    StoreUnavailableError,
)
from .fields import Changes
from .interface import ACCESSED, NOTHING, SessionHeaders
from .model import AUTHENTICATED, BORN, PERMANENT, Results, Session
from .protocol import (
    ADDITIONS,
    MAX_INT,
    MIN_INT,
    RESERVED,
    USER,
    Answer,
    Clear,
    Expect,
    Incr,
    Op,
    Record,
    Result,
)
from .settings import Flow, StoredSettings, log
from .token import commit_id, key_of, log_name, new_id

MOST_MERGES = 16  # attempts to merge keys that others go on changing
MOST_CREATES = 3  # attempts to create a record, whose id nobody can have

_NO_CHANGES = Changes({}, [], [])


class StoredSession(Session):
    """A session whose record lies in a store."""

    __slots__ = ("_doomed", "_id", "_is_lost", "_key", "_limit", "_record", "_send", "_unanswered")

    _sessions: StoredSettings
    _doomed: list[str]  # keys of records that destroy() ends
    _unanswered: tuple[str, Changes] | None  # a commit's id, and what it was
    _is_lost: bool  # the record went, or was cleared: nothing more is stored

    def _fetch(self) -> None:
        self._sessions.run(self._load())

    def _now(self) -> float:
        return self._sessions.clock()

    def destroy(self) -> None:
        """End the session: its record dies, its id too. What is set afterwards begins a new one."""
        self._write("session.destroy()")
        doomed = self._doomed if self._key is None else [*self._doomed, self._key]
        super().destroy()
        self._doomed, self._unanswered, self._is_lost = doomed, None, False
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
        """
        self._write("session.save()")
        return self._sessions.run(self._store_changes())

    def _void(self, error: ValueError) -> None:
        if self._key is not None:
            self._sessions.report_corrupt(self._key, error)
            self._doomed.append(self._key)
        self._forget()

    def _forget(self) -> None:
        self._key: str | None = None
        self._record: Record | None = None

    # Loading.

    def _load(self) -> Flow[None]:
        """Begin with the first of the request's ids that has a live record (R2, R9, R17)."""
        refusal: StoreUnavailableError | None = None
        session_id, key, record, limit = "", "", None, 0.0
        ids = self._sessions.ids_in(self._cookies)
        try:
            for session_id in ids:
                key = key_of(session_id)
                try:
                    record = self._checked((yield "load", (key,)))
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
                if event.expired.receivers:
                    event.expired.send(self._sessions, session=None)
                yield "delete", (key,)
        except StoreUnavailableError as error:
            if self._sessions.when_down == "raise":
                self._refusal = error  # for a framework's 500, which should be a 503
                raise
            log.warning("session store down, going on without a session: %s", error)
            refusal = error
        if self._fields is not None:  # another thread or task of the request was first
            return
        if not ids and event.rejected.receivers and self._has_cookie():
            self._reject("malformed id")
        self._refusal = refusal
        self._start(session_id, key, record, limit)

    def _start(self, session_id: str, key: str, record: Record | None, limit: float) -> None:
        self._send: bool | None = None  # the cookie: with the id, or (False) its deletion
        self._doomed, self._unanswered, self._is_lost = [], None, False
        self._record = record
        self._limit = limit  # when the record ends, however much it is used
        self._is_plain = True
        if record is None:
            self._id, self._key = "", None
            self._begin({})
            return
        self._id, self._key = session_id, key
        self._begin(record.values)
        if event.loaded.receivers:
            event.loaded.send(self._sessions, session=self)

    def _has_cookie(self) -> bool:
        return bool(scan(self._cookies, self._sessions.cookie.name))

    def _reject(self, reason: str) -> None:
        if event.rejected.receivers:
            event.rejected.send(self._sessions, session=None, reason=reason)

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

    def _finish_flow(self) -> Flow[SessionHeaders]:
        if self._fields is None:  # it could not be loaded, and the view went on
            self._closed = True
            return ACCESSED
        if self._closed:
            return NOTHING
        self._closed = True  # what an event's receiver changes from here on would not be kept
        try:
            yield from self._store_changes(is_last=True)
        except BaseException:
            self._closed = False
            raise
        return ACCESSED if self._send is None else SessionHeaders(True, self._set_cookies())

    def _set_cookies(self) -> tuple[str, ...]:
        if not self._send:
            return (self._sessions.cookie.delete(),)
        max_age = min(int(self._sessions.idle_timeout), MAX_AGE) if self.permanent else None
        return (self._sessions.cookie._line(self._id, max_age),)

    def _store_changes(self, is_last: bool = False) -> Flow[Results]:
        if self._destroyed:
            yield from self._end()
        changes = self._changes()
        if self._key is None:
            yield from self._create(changes)
            return Results(self._values[op.field] for op in changes.ops if isinstance(op, Incr))
        if self._regenerate is not None:
            changes = yield from self._renew_id(changes)
        if changes and self._key is not None:
            return (yield from self._commit(changes, is_last))
        if self._key is not None and self._record is not None:
            due = self._sessions.clock() - self._record.touched >= self._sessions.touch_interval
            if due or self._renew:
                yield from self._touch()
        return Results()

    def _end(self) -> Flow[None]:
        while self._doomed:
            removed = yield "delete", (self._doomed[-1],)
            self._doomed.pop()
            if removed and event.destroyed.receivers:
                event.destroyed.send(self._sessions, session=self)
        self._destroyed = False
        self._send = False if self._has_cookie() else None

    def _create(self, changes: Changes) -> Flow[None]:
        """Store a new record under a new id, if there is anything to store (R6)."""
        if self._is_lost:
            return
        if not any(isinstance(op, Incr) for op in changes.ops) and not (
            changes.sets.keys() - {AUTHENTICATED, BORN, PERMANENT}
        ):
            return
        now = self._sessions.clock()
        fields = self._all_fields()
        fields.setdefault(BORN, repr(now).encode())
        yield from self._refuse_when_full(fields)
        limit = self._sessions.live_until(fields, now)
        ttl = self._sessions.ttl(limit)
        session_id = new_id()
        for _ in range(MOST_CREATES):
            if (yield "create", (key_of(session_id), fields, ttl)):
                break
            session_id = new_id()  # a reply was lost: the first try is there, and nobody has its id
        else:
            raise StoreUnavailableError(self._sessions.store.name, "create")
        self._take_id(session_id, Record(fields, 0, now, now + ttl), limit)
        self._settle(fields, changes)
        if event.created.receivers:
            event.created.send(self._sessions, session=self)
        yield from self._evict()

    def _take_id(self, session_id: str, record: Record, limit: float) -> None:
        self._id, self._key = session_id, key_of(session_id)
        self._record, self._limit = record, limit
        self._send = True

    def _renew_id(self, changes: Changes) -> Flow[Changes]:
        """Give the session another id (R3), and return the changes that are still to be stored."""
        assert self._record is not None
        if self._is_cleared:
            yield from self._refuse_when_full(changes.sets)
            if not (yield "delete", (self._key,)):
                self._lose("revoked")
                return _NO_CHANGES
            self._forget()
            self._send = False
            if event.destroyed.receivers:
                event.destroyed.send(self._sessions, session=self)
            yield from self._create(changes)
            return _NO_CHANGES
        if self._sessions.same_key != "last-wins":
            agreed = yield from self._agree(changes)
            if agreed is None:
                return _NO_CHANGES
            changes = agreed
        is_login = AUTHENTICATED in changes.sets or AUTHENTICATED in changes.deletes
        at_once = not changes.deletes and not changes.ops and self._sessions.same_key == "last-wins"
        sets = {k: v for k, v in changes.sets.items() if at_once or k[:1] == RESERVED}
        fields = {**self._record.values, **sets}
        if USER in sets:
            yield from self._refuse_when_full(fields)
        session_id, now = new_id(), self._sessions.clock()
        limit = self._sessions.live_until(fields, now)
        ttl = self._sessions.ttl(limit)
        grace = 0.0 if is_login else self._regenerate
        if not (yield "move", (self._key, key_of(session_id), sets, ttl, grace)):
            self._lose("revoked")
            return _NO_CHANGES
        record = Record(fields, self._record.generation + 1, now, now + ttl)
        self._take_id(session_id, record, limit)
        rest = {k: v for k, v in changes.sets.items() if k not in sets}
        self._regenerate = None
        if at_once:
            self._settle(self._all_fields(), changes)
        else:
            self._fields, self._added = {**(self._fields or {}), **sets}, {}
        if event.regenerated.receivers:
            event.regenerated.send(self._sessions, session=self)
        if USER in sets:
            yield from self._evict()
        return Changes(rest, changes.deletes, changes.ops)

    def _agree(self, changes: Changes) -> Flow[Changes | None]:
        """Settle disputes while the old id is good: an error after the move would lose both."""
        assert self._record is not None
        try:
            theirs = self._checked((yield "load", (self._key,)))
        except CorruptRecordError as error:
            self._sessions.report_corrupt(self._key or "", error)
            theirs = None
        if theirs is None or theirs.generation != self._record.generation:
            self._lose("revoked" if theirs is None else "cleared")
            return None
        changes, _ = self._merge(changes, _expectations(self._record, changes), theirs)
        self._record = theirs
        return changes

    def _commit(self, changes: Changes, is_last: bool) -> Flow[Results]:
        record = self._record
        assert record is not None
        expects = [] if self._sessions.same_key == "last-wins" else _expectations(record, changes)
        base = None if record.version is None else record
        for _ in range(MOST_MERGES):
            ops: list[Op] = [*expects, *changes.ops]
            theirs: Record | None = None
            if BORN in changes.sets:
                self._limit = self._sessions.live_until(changes.sets, self._sessions.clock())
            ttl = self._sessions.ttl(self._limit)
            state = (self._key, record.generation)
            name = self._name_commit(changes)
            args = (*state, changes.sets, changes.deletes, ops, ttl, name, base)
            try:
                answer: Answer = yield "commit", args
                self._unanswered = None
                if ops or type(answer) is not Answer:
                    self._check(answer, ops)
                if answer.outcome == "conflict":
                    theirs = self._checked((yield "load", (self._key,)))
            except CorruptRecordError as error:
                self._sessions.report_corrupt(self._key or "", error)
                self._lose("corrupt")
                return Results()
            if answer.outcome == "committed":
                self._send_permanent(changes)
                if is_last:  # nobody looks at the results
                    return Results()
                return self._settle_commit(changes, answer.results[len(expects) :], ttl)
            if theirs is None or theirs.generation != record.generation:
                self._lose("revoked" if theirs is None else "cleared")
                return Results()
            changes, expects = self._merge(changes, expects, theirs)
            base = theirs
        raise SessionConflictError(tuple(expect.field for expect in expects))

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

    def _send_permanent(self, changes: Changes) -> None:
        """Renew a cookie that outlives the browser, as the record was, or make it one or none.

        What only adds may have reached the record by an old id, which must not be sent.
        """
        assert self._record is not None
        if PERMANENT in changes.sets or (
            PERMANENT in self._record.values
            and (changes.deletes or not all(name.startswith(ADDITIONS) for name in changes.sets))
        ):
            self._send = True

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
            if event.conflict.receivers:
                event.conflict.send(self._sessions, session=self, reason="same key")
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

    def _lose(self, reason: str) -> None:
        """Drop the changes: the record they were made to is not there any more (R7)."""
        assert self._key is not None
        log.info("session %s was %s: changes dropped", log_name(self._key), reason)
        if event.conflict.receivers:
            event.conflict.send(self._sessions, session=self, reason=reason)
        doomed = [*self._doomed, self._key]
        self._begin({})
        self._unanswered = None
        self._doomed = doomed  # to be removed by destroy(): it may be there, but cleared
        self._forget()
        self._is_lost = True
        if reason != "cleared":  # else the id is good, and this request may have made it
            self._send = None

    def _touch(self) -> Flow[None]:
        assert self._record is not None
        try:
            renewed = yield "touch", (self._key, self._sessions.ttl(self._limit))
        except StoreUnavailableError as error:
            if self._sessions.when_down == "raise":
                raise
            log.warning("session store down, a session was not renewed: %s", error)
            return
        if renewed and self.permanent:
            self._send = True

    # How many sessions a user may have (R11).

    def _refuse_when_full(self, fields: Mapping[str, bytes]) -> Flow[None]:
        limit = self._sessions.max_sessions
        if limit is None or self._sessions.when_full != "refuse" or USER not in fields:
            return
        listed = yield "list", (fields[USER].decode(),)
        if sum(key != self._key for key, _ in listed) >= limit:
            raise SessionLimitError(limit)

    def _evict(self) -> Flow[None]:
        user = self.user
        if self._sessions.max_sessions is None or user is None:
            return
        if self._sessions.when_full != "evict":
            return
        others = [key for key, _ in (yield "list", (user,)) if key != self._key]
        for key in others[: max(0, len(others) + 1 - self._sessions.max_sessions)]:
            removed = yield "delete", (key,)
            if removed and event.destroyed.receivers:
                event.destroyed.send(self._sessions, session=None)


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
            self._sessions.run(self._load())
        return Results()

    def save(self) -> Any:
        """Do what :meth:`StoredSession.save` does; await it as :meth:`load`."""
        if self._sessions.is_to_await("session.save()"):
            return self._save_awaited()
        return super().save()

    async def _load_awaited(self) -> Results:
        if self._fields is None:  # it may be awaited late
            await self._sessions.run_async(self._load())
        return Results()

    async def _save_awaited(self) -> Results:
        self._write("session.save()")
        return await self._sessions.run_async(self._store_changes())


def _expectations(record: Record, changes: Changes) -> list[Expect]:
    if any(isinstance(op, Clear) for op in changes.ops):
        return []
    keys = [key for key in (*changes.sets, *changes.deletes) if key[:1] != RESERVED]
    return [Expect(key, record.values.get(key)) for key in keys]


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
