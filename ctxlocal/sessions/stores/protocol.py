"""What a session store has to do: the contract between sessions and stores.

A record is a set of fields, each a ``str`` name and ``bytes``. A store never looks into
the bytes, with three exceptions: an integer is stored as ASCII decimal, so that
:class:`Incr` can be done where the record lies; the field :data:`USER` holds the user's
id, so that a store can list and revoke the sessions of a user; and :data:`HANDLE` names
one of them for :meth:`Store.revoke`.

Keys are SHA-256 of session ids in hexadecimal (64 characters), never the ids. Times are
seconds since the epoch, lengths of time are seconds. Each method is atomic in the store
and safe from many threads, greenlets and processes at once. A store that cannot be
reached raises :class:`~ctxlocal.sessions.errors.StoreUnavailableError`.

A record is one from its creation to its end, whatever its keys. It has one key of its own.
:meth:`Store.move` gives it another, and with a grace the key before becomes an *old key*:
until its own grace ends it leads to the record, wherever later moves take that, and can do
there all that the record's own key can, but one thing: move it on with a grace. No answer
to an old key tells a newer one. A move without a grace ends every grace before it, and so
does the record's end.

``ctxlocal.testing.check_store(factory)`` tells whether an object fulfils it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from ...errors import MissingDependencyError

try:
    import msgspec
except ImportError as error:
    raise MissingDependencyError("ctxlocal.sessions", "msgspec", "sessions") from error

#: Fields of the session layer itself begin so; an application's keys never do.
RESERVED = "\0"
FLASH = "\0f"  #: and what sorts messages by time: one message
MEMBER = "\0m"  #: key, NUL, digest: one member of a set
USER = "\0user"  #: the user's id, UTF-8; only set by create and move, or dropped by Clear
#: The record's lasting name, 32 random hexadecimal digits: a field like any other, carried along
#: by move, and dropped by a Clear whose ``sets`` do not hold it. It is no id, and may be shown. A
#: record may lack it: it then has no such name.
HANDLE = "\0handle"

KEPT_COMMITS = 16  #: how many commit ids a record remembers at least
MIN_INT, MAX_INT = -(2**63), 2**63 - 1  #: what a counter can hold


# Struct, not NamedTuple, where each request makes one: it takes a quarter of the time.


class Record(msgspec.Struct, frozen=True):
    """What a store keeps of a session."""

    values: dict[str, bytes]  #: field to value; the caller's own
    generation: int  #: 0 when created, one more with each Clear and each move without a grace
    touched: float  #: when it was last created, committed, moved or touched
    expires: float  #: ``touched`` plus the ``ttl`` given then; a load after that returns None
    version: object = None  #: the store's own mark of this state, for ``commit(base=...)``


class Incr(NamedTuple):
    """Add ``amount`` to the integer in ``field``, 0 if absent. Result: the sum, an int.

    A field that holds no ASCII decimal, or a sum beyond 64 bits: nothing of the commit is
    done, and its outcome is ``"conflict"``.
    """

    field: str
    amount: int


class Take(NamedTuple):
    """Remove ``field``. Result: its bytes, or None if somebody else took it first."""

    field: str


class Clear(NamedTuple):
    """Drop every field and begin the next generation; done before the commit's ``sets``.

    Result: None.
    """


class Expect(NamedTuple):
    """Go on only if ``field`` holds ``value`` (None: is absent), else ``"conflict"``.

    Checked before anything is changed. Result: None.
    """

    field: str
    value: bytes | None


Op = Incr | Take | Clear | Expect


class Change(msgspec.Struct, frozen=True):
    """What one commit wants of a record: all of it is done, or nothing.

    Names are any ``str`` that UTF-8 can encode, values any bytes, both of any length. One field
    may be in several of the three: :meth:`Store.commit` tells in which order they are done. A
    store changes none of the three, nor keeps one: they are the caller's.
    """

    commit_id: str  #: at most 64 characters, new for each commit; the same when it is repeated
    sets: Mapping[str, bytes] = {}  #: field to its new value
    deletes: Sequence[str] = ()  #: fields to drop; it is no error if one is absent
    ops: Sequence[Op] = ()  #: what depends on what the record holds then


Outcome = Literal["committed", "revoked", "conflict"]
Result = int | bytes | None


class Answer(NamedTuple):
    """What became of a commit. Unless it is ``"committed"`` nothing was changed."""

    outcome: Outcome
    results: tuple[Result, ...] = ()  #: one for each operation, in their order, if committed


class Stats(NamedTuple):
    """Numbers about a store's live records."""

    sessions: int
    users: int  #: different users among them
    bytes: int  #: of field names and values


@runtime_checkable
class Store(Protocol):
    """Where records are kept. Every method raises StoreUnavailableError when it cannot work.

    ``name`` is for people: it holds no credentials. ``is_blocking`` says whether a method
    may wait for a disk or a network; one that does is run in a thread under ASGI.
    """

    name: str
    is_blocking: bool

    def load(self, key: str) -> Record | None:
        """Return the record; None if there is none, it is revoked or its ``expires`` is past.

        An old key loads the record too, after any number of moves, and as fast.
        """

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record of generation 0. False if there is one: it is left as it is."""

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge a change into a record, field by field; never make one.

        Order: a ``change.commit_id`` that was ``"committed"`` gets that answer again and changes
        nothing (any other answer is not remembered: a repetition is evaluated anew); no record
        (or a revoked or expired one) is ``"revoked"``; another ``generation``, or an Expect
        that fails, is ``"conflict"``; then Clear, ``deletes``, ``sets``, Incr and Take. A commit
        renews ``touched`` and ``expires``. By an old key it is the same, in all of this. At
        least the last 16 commit ids that were ``"committed"`` are remembered. A store that itself
        repeats a commit whose answer was lost, or is given a client that does, remembers it for as
        long as that may take, or refuses what it may have forgotten with StoreUnavailableError.

        :param generation: that of the record that the change was made to.
        :param ttl: seconds after which the record expires, if nothing renews it.
        :param change: it bears the commit's id, the same when a commit is repeated because its
            answer was lost.
        :param base: what ``load`` returned, a hint: a store may try to replace that state in
            one step before it takes a lock.
        """

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, and ``sets`` merged into it; renew it as a commit does.

        Without a grace every key before is dead at once, for every method, and the record
        begins its next generation; the call may come by an old key. With one, ``old`` is
        an old key for ``grace`` seconds, whatever the graces of others; the generation stays.

        Who watches sees the record by ``old`` as it was, or the move done, and nothing
        between, however slow the caller is or if it dies: no request by ``old`` finds
        nothing, and no commit that was answered is lost. ``new`` is told to nobody
        before this returns True.

        False, with nothing changed, if there is no record, if there is one by the key ``new``,
        or if ``old`` is an old key and a grace is asked for: another move was first, and the
        caller goes on by ``old``. The same move again, because its answer was lost, is True.
        """

    def touch(self, key: str, ttl: float) -> bool:
        """Renew ``touched`` and ``expires``, by an old key too; False if there is no record."""

    def delete(self, key: str) -> bool:
        """Remove the record, by an old key too. False: there was none when this was called.

        A move that is under way is done before, and the record removed where it went, or is
        not done at all.
        """

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return the live records whose :data:`USER` is ``user``, oldest touch first.

        Each comes once, with its own key.
        """

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        """Remove the records of ``user``; return how many, each counted once.

        On return no key loads that led to such a record when this was called, nor any key that
        one was moved to since: whoever moves it meanwhile, again and again, with or without
        a grace, also in a move that began before the call and ends after it.

        :param except_key: a key, or an old key, of a record that stays, also if it is moved
            meanwhile.
        :param handle: only the record whose :data:`HANDLE` is this.
        """

    def revoke_everyone(self) -> int:
        """Remove every record, also what is moved meanwhile, as revoke does; return how many."""

    def purge(self) -> int:
        """Remove what has expired, where the store does not do so itself; return how many."""

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every live record, in no order; what changes meanwhile may be missed."""

    def stats(self) -> Stats:
        """Count the live records."""

    def close(self) -> None:
        """Give back what the store opened itself; what it was given stays open."""


@runtime_checkable
class AsyncStore(Protocol):
    """The same with coroutines; see :class:`Store` for each method.

    Each is an ``async def``. That it is none here is for pyright, to which one in a protocol
    promises a type that no decorated method has.
    """

    name: str

    def load(self, key: str) -> Coroutine[Any, Any, Record | None]: ...  # noqa: D102
    def create(  # noqa: D102
        self, key: str, sets: Mapping[str, bytes], ttl: float
    ) -> Coroutine[Any, Any, bool]: ...
    def commit(  # noqa: D102
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Coroutine[Any, Any, Answer]: ...
    def move(  # noqa: D102
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> Coroutine[Any, Any, bool]: ...
    def touch(self, key: str, ttl: float) -> Coroutine[Any, Any, bool]: ...  # noqa: D102
    def delete(self, key: str) -> Coroutine[Any, Any, bool]: ...  # noqa: D102
    def list(self, user: str) -> Coroutine[Any, Any, Sequence[tuple[str, Record]]]: ...  # noqa: D102
    def revoke(  # noqa: D102
        self, user: str, except_key: str | None = None, handle: str | None = None
    ) -> Coroutine[Any, Any, int]: ...
    def revoke_everyone(self) -> Coroutine[Any, Any, int]: ...  # noqa: D102
    def purge(self) -> Coroutine[Any, Any, int]: ...  # noqa: D102
    def close(self) -> Coroutine[Any, Any, None]: ...  # noqa: D102
