"""StoredSession: a session whose record lies in a store, as the application has it.

What asks the store is written once, as coroutines that are given the store they ask: one whose
calls never wait where blocking is allowed, one that waits where it is not. Each part of it is a
module: how the record is found is in ``loading``, what is done with it in the end in ``saving``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..._at_once import at_once
from .. import events
from ..cookie import MAX_AGE, scan
from ..errors import SessionEndedError, SessionNotLoadedError, StoreUnavailableError
from ..fields import begun
from ..headers import ACCESSED, NOTHING, SessionHeaders
from ..session import Results, Session
from ..stores.protocol import AsyncStore, Clear, Incr, Record
from ..values.pure import MORE
from .loading import find_live
from .saving import Saving
from .settings import StoredSettings, log
from .token import log_name

if TYPE_CHECKING:
    from .committing import Committed
    from .held import Held


class StoredSession(Session):
    """A session whose record lies in a store."""

    __slots__ = ()

    _sessions: StoredSettings
    _held: Held | None = begun(MORE)  # the record; None: there is none
    # The id that goes with the response; "": the cookie's deletion does.
    _send: str | None = begun(MORE + 1)
    _doomed: list[tuple[str, Mapping[str, bytes]]] = begun(MORE + 2)  # what destroy() ends
    _is_lost: bool = begun(MORE + 3)  # the record went, or was cleared: nothing more is stored
    # Keys of records that an event loop found to be over, and left there.
    _overdue: list[str] = begun(MORE + 4)

    def _begin_with(
        self,
        fields: Mapping[str, bytes],
        held: Held | None,
        refusal: Exception | None = None,
        overdue: Sequence[str] = (),
        adapted: object = None,
    ) -> None:
        """Do what :meth:`_begin` does, in the order of the attributes above.

        :param adapted: what a subclass knows beside.
        """
        self._begun.extend((fields, refusal, {}, {}, held, None, (), False, overdue, adapted))

    def _fetch(self) -> None:
        at_once(self._load(self._sessions._at_once))

    def _now(self) -> float:
        return self._sessions.clock()

    def destroy(self) -> None:
        """End the session: its record dies, its id too. What is set afterwards begins a new one."""
        self._write("session.destroy()")
        self._doom()
        super().destroy()
        self._is_lost, self._held = False, None

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
        return at_once(self._saving(self._sessions._at_once).run())

    @property
    def id(self) -> str | None:
        """The id that leads to its record, None before it is stored first; see Session.id."""
        self._read()
        return None if self._held is None else self._held.id

    # Loading.

    async def _load(self, store: AsyncStore, overdue: list[str] | None = None) -> None:
        sessions = self._sessions
        ids = sessions.ids_in(self._cookies)
        held = refusal = None
        try:
            held = await find_live(sessions, store, ids, overdue)
        except StoreUnavailableError as error:
            refusal = self._refused_by(error)
        if not ids and events.rejected.receivers and not self._begun and self._has_cookie():
            sessions.report_rejected("malformed id")
        fields = {} if held is None else held.record.values
        self._begin_with(fields, held, refusal, overdue or ())
        if held is not None and events.loaded.receivers and self._held is held:
            events.loaded.send(sessions, session=self)

    def _refused_by(self, error: StoreUnavailableError) -> StoreUnavailableError:
        """Return why nothing in it can be changed, as its store is down.

        :raises StoreUnavailableError: the settings want that.
        """
        if self._sessions.when_down == "raise":
            self._failure = error  # for a framework's 500, which should be a 503
            raise error
        log.warning("session store down, going on without a session: %s", error)
        return error

    def _has_cookie(self) -> bool:
        return bool(scan(self._cookies, self._sessions.cookie.name))

    # Saving.

    async def _finish(self, store: AsyncStore) -> SessionHeaders:
        if not self._begun:  # it could not be loaded, and the view went on
            self._closed = True
            return ACCESSED
        if self._closed:
            return NOTHING
        self._closed = True  # what an event's receiver changes from here on would not be kept
        try:
            await self._saving(store, is_last=True).run()
        except BaseException:
            self._closed = False
            raise
        return ACCESSED if self._send is None else SessionHeaders(True, self._set_cookies())

    def _saving(self, store: AsyncStore, is_last: bool = False) -> Saving:
        return Saving(self, self._sessions, store, is_last)

    def _set_cookies(self) -> tuple[str, ...]:
        if not self._send:
            return (self._sessions.cookie.delete(),)
        max_age = min(int(self._idle()), MAX_AGE) if self.permanent else None
        return (self._sessions.cookie._line(self._send, max_age),)

    def _withdraw_id(self) -> None:
        """Let the browser forget the id, if it has one."""
        self._send = "" if self._has_cookie() else None

    # What becomes of the values when they were stored, or could not be.

    def _settle_commit(self, held: Held, done: Committed) -> Results:
        """Go on from what a commit has stored; return what its operations came to."""
        changes = done.changes
        fields = self._all_fields()
        fields.update(changes.sets)  # a merge made others
        for key in changes.deletes:
            fields.pop(key, None)
        for op, result in zip(changes.ops, done.results, strict=True):
            if isinstance(op, Incr):
                self._values[op.field] = result
                fields[op.field] = str(result).encode()
        cleared = any(isinstance(op, Clear) for op in changes.ops)
        now = self._sessions.clock()
        held.record = Record(fields, done.generation + cleared, now, now + done.ttl)
        self._settle(fields, changes)
        return Results(
            self._taken(op.field, result) if isinstance(result, bytes) else result
            for op, result in zip(changes.ops, done.results, strict=True)
            if not isinstance(op, Clear)
        )

    def _taken(self, key: str, raw: bytes) -> Any:
        """Return a value that is not in the record any more, None if it cannot be read."""
        try:
            return self._decode(raw, key)
        except ValueError:
            return None

    def _take_merged(self, key: str, value: Any) -> None:
        """Show what the policy made of a key; None: it is absent."""
        self._baselines.pop(key, None)
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def _keep_unstored(self, stored: Mapping[str, bytes]) -> None:
        """Go on from fields of our own that were stored with a new id; the rest is to follow."""
        self._fields = {**self._fields, **stored}
        self._added = {k: v for k, v in self._added.items() if stored.get(k) != v}

    def _void(self, error: ValueError) -> None:
        if self._held is not None:
            self._sessions.report_corrupt(self._held.key, error)
            self._doom()
        self._held = None

    def _doom(self) -> None:
        if self._held is not None:
            self._doomed = [*self._doomed, (self._held.key, self._held.record.values)]

    def _lose(self, reason: str, must: bool) -> None:
        """Drop the changes: the record they were made to is not there any more (R7).

        :raises SessionEndedError: they must be stored.
        """
        assert self._held is not None
        log.info("session %s was %s: changes dropped", log_name(self._held.key), reason)
        if events.conflict.receivers:
            events.conflict.send(self._sessions, session=self, reason=reason)
        self._doom()  # to be removed by destroy(): it may be there, but cleared
        self._begin_anew()
        self._held = None
        self._is_lost = True
        if reason != "cleared":  # else the id is good, and this request may have made it
            self._send = None
        if must:
            raise SessionEndedError(reason)


class AsyncStoredSession(StoredSession):
    """A stored session under ASGI: nothing it does blocks the event loop."""

    __slots__ = ()

    def _fetch(self) -> None:
        if self._failure is not None:  # the load before the view failed
            raise self._failure
        sessions = self._sessions
        if not sessions.store_blocks or not sessions.ids_in(self._cookies):
            super()._fetch()
        elif sessions.load_in_loop is None:
            raise SessionNotLoadedError
        elif sessions.is_to_await("the session's first use"):
            at_once(self._load(sessions.load_in_loop, []))
        else:
            super()._fetch()

    async def _finish(self, store: AsyncStore) -> SessionHeaders:
        if self._begun and self._overdue:
            await self._remove_overdue(store)
        return await super()._finish(store)

    async def _remove_overdue(self, store: AsyncStore) -> None:
        """Remove what is over: before anything is stored, as it counts among a user's sessions."""
        with suppress(StoreUnavailableError):  # whoever loads one finds it over again
            while self._overdue:
                await store.delete(self._overdue.pop())

    def load(self) -> Any:
        """Load the record, if it is not loaded; counts as no access.

        Await it in a coroutine. In a view that is none, which runs in a thread without an
        event loop, it is done on return.

        :raises SessionConfigError: there is no event loop, and the store is asynchronous.
        """
        if not self._begun:
            if self._sessions.is_to_await("session.load()"):
                return self._load_awaited()
            at_once(self._load(self._sessions._at_once))
        return Results()

    def save(self) -> Any:
        """Do what :meth:`StoredSession.save` does; await it as :meth:`load`."""
        if self._sessions.is_to_await("session.save()"):
            return self._save_awaited()
        if self._begun:
            at_once(self._remove_overdue(self._sessions._at_once))
        return super().save()

    async def _load_awaited(self) -> Results:
        if not self._begun:  # it may be awaited late
            await self._load(self._sessions._awaited)
        return Results()

    async def _save_awaited(self) -> Results:
        self._write("session.save()")
        await self._remove_overdue(self._sessions._awaited)
        return await self._saving(self._sessions._awaited).run()
