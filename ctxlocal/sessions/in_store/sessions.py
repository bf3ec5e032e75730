"""StoredSessions: the cookie holds a random id, a store holds the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

from ..._at_once import at_once
from .. import events
from ..errors import SessionConfigError, StoreUnavailableError
from ..handle import handle_of, read_handle
from ..headers import SessionHeaders
from ..interface import SessionInterface
from ..session import BORN, NullSession, Session
from ..stores.protocol import HANDLE, MEMBER, RESERVED, USER, AsyncStore, Record, Store
from .held import Held
from .quick import AsyncQuickSession, QuickSession
from .same_key import value_of
from .session import AsyncStoredSession, StoredSession
from .settings import StoredSettings
from .token import is_key
from .typed import AsyncTypedStoredSession, TypedStoredSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal, TypedDict

    from typing_extensions import Unpack

    from ..cookie import Cookie
    from ..schema import Migrate
    from .settings import Merge

    class _Settings(TypedDict, total=False):
        cookie: Cookie | None
        idle_timeout: float
        absolute_timeout: float
        touch_interval: float | None
        load: Literal["cookie", "explicit"]
        same_key: Literal["last-wins", "raise"] | Merge | Mapping[str, Merge]
        max_sessions: int | None
        when_full: Literal["evict", "refuse"]
        when_down: Literal["raise", "anonymous"]
        clock: Callable[[], float]


T = TypeVar("T")


class SessionInfo(NamedTuple):
    """One of a user's sessions, as the user may see it."""

    #: What :meth:`StoredSessions.revoke` takes: it names the session for its life, whatever its id
    #: is. It is no id and none can be had from it; the user's id can.
    handle: str
    user: str | None
    began: float  #: seconds since the epoch
    last_seen: float  #: to within ``touch_interval``
    expires: float  #: when it ends if nothing touches it
    values: dict[str, Any]  #: what the application keeps in it
    is_current: bool = False  #: it is the session that asked


class StoredSessions(StoredSettings, SessionInterface, Generic[T]):
    """Sessions whose values a store keeps; the visitor's cookie holds a random id.

    :param store: a Store for WSGI and ASGI, or an AsyncStore for ASGI alone.
    :param cookie: its name and attributes; see :class:`~ctxlocal.sessions.Cookie`.
    :param idle_timeout: seconds after which an unused session ends.
    :param absolute_timeout: seconds after which it ends however much it is used, counted
        from its beginning or the last login.
    :param touch_interval: seconds in which a session that is only read is renewed once; 60,
        or a tenth of ``idle_timeout`` where that is less.
    :param load: under ASGI: ``"cookie"`` loads when the session is first touched, if the store
        can do that without blocking (memory, and SQLite as it says), else before the view whenever
        the request has a session cookie; ``"explicit"`` leaves it to ``await session.load()``.
    :param same_key: what happens when two requests change one key at once: ``"last-wins"``,
        ``"raise"``, or ``merge(key, loaded, theirs, mine)`` which returns what to store
        (None stands for an absent value), or a dict of such functions for some keys; of the
        others the last wins.
    :param schema: a msgspec Struct or a dataclass with defaults for all fields: they are the
        session's keys and types; see :meth:`view` and :class:`~ctxlocal.sessions.schema.Schema`.
    :param migrate: takes what a stored record that does not fit the schema holds, as a dict,
        and returns a dict of what it lacks; see :class:`~ctxlocal.sessions.schema.Schema`.
    :param max_sessions: of one user; None is any number. Concurrent logins may overshoot.
    :param when_full: ``"evict"`` ends the user's session that was unused the longest,
        ``"refuse"`` raises SessionLimitError at the login.
    :param when_down: what a request gets that touches the session while the store is down:
        ``"raise"``, StoreUnavailableError, which is a response 503; ``"anonymous"``, an
        empty session that cannot be changed.
    :param clock: seconds since the epoch, as the store's.
    :raises SessionConfigError: a value out of range.
    """

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: StoredSessions[Any],
            store: Store | AsyncStore,
            *,
            schema: None = None,
            **settings: Unpack[_Settings],
        ) -> None: ...
        @overload
        def __init__(
            self: StoredSessions[T],
            store: Store | AsyncStore,
            *,
            schema: type[T],
            migrate: Migrate | None = None,
            **settings: Unpack[_Settings],
        ) -> None: ...
        def __init__(self, store: Any, **settings: Any) -> None: ...

    def view(self, session: Session) -> T:
        """Return the session as an object with the schema's attributes, typed as the schema.

        Make it once, from the ``session`` proxy: each use then looks at the current session.

        :raises SessionConfigError: there is no schema.
        """
        if self.schema is None:
            raise SessionConfigError("schema", "none was given, so there are no attributes to show")
        typed: T = self.schema.view(session)
        return typed

    # The interface.

    def open(self, cookies: str) -> Session:
        """Return the session that the Cookie header names, or a new one; loads nothing yet."""
        if self._sync is None:
            raise SessionConfigError(
                "store",
                f"{self.store.name} is asynchronous, and WSGI cannot await it; use its "
                "synchronous twin.",
            )
        return self._kind(self, cookies)

    def save(self, session: Session) -> SessionHeaders:
        """Store what changed and close the session; called once, before headers are sent."""
        stored: Any = session
        asked: SessionHeaders | None = stored._finish_at_once()
        return at_once(stored._finish(self._at_once)) if asked is None else asked

    async def open_async(self, cookies: str) -> Session:
        """Return the session, with its record loaded unless it can be at its first touch.

        With ``load="explicit"`` it is left to ``await session.load()``.
        """
        session = self._async_kind(self, cookies)
        if self.loads_before_view and self.ids_in(cookies):
            try:
                await session.load()
            except StoreUnavailableError as error:  # for whoever touches it, and nobody else (R31)
                session._failure = error
        return session

    def open_at_once(self, cookies: str) -> Session | None:
        """Do what :meth:`open_async` does; None where that would load the record."""
        if self.store_blocks and self.loads_before_view and self.ids_in(cookies):
            return None
        return self._async_kind(self, cookies)

    def save_at_once(self, session: Session) -> SessionHeaders | None:
        """Do what :meth:`save_async` does; None where that would await the store."""
        stored: Any = session
        asked: SessionHeaders | None = stored._finish_at_once()
        return asked

    async def save_async(self, session: Session) -> SessionHeaders:
        """Do what :meth:`save` does without blocking the event loop."""
        stored: Any = session
        asked: SessionHeaders | None = stored._finish_at_once()
        return await stored._finish(self._awaited) if asked is None else asked

    @property
    def may_save_in_thread(self) -> bool:
        """Whether the store has a synchronous way, and no subclass another one to save."""
        return self._sync is not None and type(self).save_async is StoredSessions.save_async

    def _take_kinds(self) -> None:
        kind, awaited = StoredSession, AsyncStoredSession
        if self.schema is not None:
            kind, awaited = TypedStoredSession, AsyncTypedStoredSession
        elif self.same_key == "last-wins":
            kind, awaited = QuickSession, AsyncQuickSession
        self._kind: type[StoredSession] = kind  # of the session under WSGI
        self._async_kind = awaited if self.store_blocks else kind  # and under ASGI

    def null(self) -> Session:
        """Return an empty session that refuses every change."""
        return NullSession()

    # For a framework that keeps the id itself, and sets the cookie.

    def open_id(self, session_id: str | None) -> Session:
        """Return the session that an id leads to, or a new one; loads nothing yet.

        It is as that of a cookie: an id that leads to nothing is never taken over. ``session.id``
        is what to keep after :meth:`save`, whose cookies may be left alone.

        :param session_id: a ``session.id`` of before; None, or what cannot be one: none.
        :raises TypeError: it is neither a str nor None.
        """
        return self.open(self._cookie_of(session_id))

    async def open_id_async(self, session_id: str | None) -> Session:
        """Do what :meth:`open_id` does, with the record loaded as in :meth:`open_async`."""
        return await self.open_async(self._cookie_of(session_id))

    def _cookie_of(self, session_id: str | None) -> str:
        if session_id is not None and not isinstance(session_id, str):
            raise TypeError(f"a session's id is a str, or None; got a {type(session_id).__name__}")
        cookie = f"{self.cookie.name}={session_id}"
        return cookie if session_id is not None and self.ids_in(cookie) == [session_id] else ""

    # What an application, or an operator, asks about a user's sessions (R8).

    def list_sessions(self, user: str, current: Session | None = None) -> list[SessionInfo]:
        """Return the user's live sessions, the most recently used first. O(their number).

        :param current: the session that asks: its entry says ``is_current``.
        """
        return at_once(self._list(self._blocking("list_sessions"), user, current))

    def revoke(self, handle: str, *, user: str | None = None) -> bool:
        """End the session that a SessionInfo's ``handle`` names; False if it is gone already.

        Its id may have been renewed since it was listed, or be renewed just now.

        :param user: end it only if it is this user's: what a form sends back is not to be
            trusted.
        """
        return at_once(self._revoke(self._blocking("revoke"), handle, user))

    def revoke_all(self, user: str, except_current: Session | None = None) -> int:
        """End all sessions of a user, but for ``except_current``; return how many."""
        return at_once(self._revoke_all(self._blocking("revoke_all"), user, except_current))

    def revoke_everyone(self) -> int:
        """End all sessions of all users, and of visitors; return how many."""
        return at_once(self._blocking("revoke_everyone").revoke_everyone())

    def purge(self) -> int:
        """Remove what has expired, where the store does not do so itself; return how many."""
        return at_once(self._blocking("purge").purge())

    async def list_sessions_async(
        self, user: str, current: Session | None = None
    ) -> list[SessionInfo]:
        """Do what :meth:`list_sessions` does, awaited."""
        return await self._list(self._awaited, user, current)

    async def revoke_async(self, handle: str, *, user: str | None = None) -> bool:
        """Do what :meth:`revoke` does, awaited."""
        return await self._revoke(self._awaited, handle, user)

    async def revoke_all_async(self, user: str, except_current: Session | None = None) -> int:
        """Do what :meth:`revoke_all` does, awaited."""
        return await self._revoke_all(self._awaited, user, except_current)

    async def revoke_everyone_async(self) -> int:
        """Do what :meth:`revoke_everyone` does, awaited."""
        return await self._awaited.revoke_everyone()

    async def purge_async(self) -> int:
        """Do what :meth:`purge` does, awaited."""
        return await self._awaited.purge()

    async def _list(
        self, store: AsyncStore, user: str, current: Session | None
    ) -> list[SessionInfo]:
        held = _held_by(current)
        current_key = None if held is None else held.key
        name = None if held is None else held.record.values.get(HANDLE)
        records = await store.list(user)
        return [
            session_info(key, record, key == current_key or record.values.get(HANDLE, b"") == name)
            for key, record in reversed(records)
        ]

    async def _revoke(self, store: AsyncStore, handle: str, user: str | None) -> bool:
        if is_key(handle):  # of a record without a name, or what a form made up
            record = None if user is None else await store.load(handle)
            if user is not None and (record is None or record.values.get(USER) != user.encode()):
                return False
            removed: int = await store.delete(handle)
        else:
            named = read_handle(handle)
            if named is None or user not in (None, named.user):
                return False
            removed = await store.revoke(named.user, None, named.name)
        if removed and events.destroyed.receivers:
            events.destroyed.send(self, session=None)
        return bool(removed)

    async def _revoke_all(
        self, store: AsyncStore, user: str, except_current: Session | None
    ) -> int:
        held = _held_by(except_current)
        removed = await store.revoke(user, None if held is None else held.key)
        if removed and events.destroyed.receivers:
            events.destroyed.send(self, session=None)
        return removed


def session_info(key: str, record: Record, is_current: bool = False) -> SessionInfo:
    """Return what may be shown of a record."""
    user = record.values.get(USER)
    try:
        began = float(record.values[BORN])
    except (KeyError, ValueError):
        began = record.touched
    name = None if user is None else user.decode("utf-8", "replace")
    values = _values_of(record)
    return SessionInfo(
        handle_of(key, record), name, began, record.touched, record.expires, values, is_current
    )


def _values_of(record: Record) -> dict[str, Any]:
    """Return what the application keeps; None stands for what cannot be read."""
    values: dict[str, Any] = {}
    members: dict[str, list[bytes]] = {}
    for name, raw in record.values.items():
        if name[:1] != RESERVED:
            values[name] = value_of(raw)
        elif name[:2] == MEMBER:
            members.setdefault(name[2:].rpartition("\0")[0], []).append(raw)
    for key, found in members.items():
        try:
            values[key] = frozenset(value_of(raw) for raw in found)
        except TypeError:  # unhashable: another program stored it
            values[key] = None
    return values


def _held_by(session: Session | None) -> Held | None:
    """Return the record behind a session, with its key; None where there is none."""
    if session is None:
        return None
    session._read()  # the key is known once it is loaded
    held: Held | None = getattr(session, "_held", None)
    return held
