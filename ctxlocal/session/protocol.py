"""What a session store has to do: the contract between sessions and stores.

A record is a set of fields, each a ``str`` name and ``bytes``. A store never looks into
the bytes, with two exceptions: an integer is stored as ASCII decimal, so that
:class:`Incr` can be done where the record lies; and the field :data:`USER` holds the
user's id, so that a store can list the sessions of a user.

Keys are SHA-256 of session ids in hexadecimal (64 characters), never the ids. Times are
seconds since the epoch, lengths of time are seconds. Each method is atomic in the store
and safe from many threads, greenlets and processes at once. A store that cannot be
reached raises :class:`~ctxlocal.session.errors.StoreUnavailableError`.

``ctxlocal.testing.check_store(factory)`` tells whether an object fulfils it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

#: Fields of the session layer itself begin so; an application's keys never do.
RESERVED = "\0"
FLASH = "\0f"  #: and what sorts messages by time: one message
MEMBER = "\0m"  #: key, NUL, digest: one member of a set
ADDITIONS = (FLASH, MEMBER)  #: fields that begin so are each one request's own: none is set twice
USER = "\0user"  #: the user's id, UTF-8; only set by create and move, or dropped by Clear

KEPT_COMMITS = 16  #: how many commit ids a record remembers at least
MIN_INT, MAX_INT = -(2**63), 2**63 - 1  #: what a counter can hold


class Record(NamedTuple):
    """What a store keeps of a session."""

    values: dict[str, bytes]  #: field to value; the caller's own
    generation: int  #: 0 when created, one more with each Clear and each move
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

        A key that was moved with a grace still loads the record it was moved to.
        """

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record of generation 0. False if there is one: it is left as it is."""

    def commit(
        self,
        key: str,
        generation: int,
        sets: Mapping[str, bytes],
        deletes: Sequence[str],
        ops: Sequence[Op],
        ttl: float,
        commit_id: str,
        base: Record | None = None,
    ) -> Answer:
        """Merge changes into a record, field by field; never make one.

        Order: a ``commit_id`` that was ``"committed"`` gets that answer again and changes
        nothing (any other answer is not remembered: a repetition is evaluated anew); no record
        (or a revoked or expired one) is ``"revoked"``; another ``generation``, or an Expect
        that fails, is ``"conflict"``; then Clear, ``deletes``, ``sets``, Incr and Take. A commit
        renews ``touched`` and ``expires``. By a key that was moved with a grace, Incr, Take and
        ``sets`` of :data:`ADDITIONS` alone reach the record (whatever its generation), all
        else is ``"revoked"``.

        :param commit_id: at most 64 characters, new for each commit, the same when it is
            repeated because its answer was lost. At least the last 16 that were
            ``"committed"`` are remembered.
        :param base: what ``load`` returned, a hint: a store may try to replace that state in
            one step before it takes a lock.
        """

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, the next generation, and ``sets`` merged into it.

        The old key is dead at once, except that for ``grace`` seconds it still loads the
        record. False, with nothing changed, if there is no record (a key that was moved
        itself has none). Where old and new cannot change together, the old is dead first.
        """

    def touch(self, key: str, ttl: float) -> bool:
        """Renew ``touched`` and ``expires``; False if there is no record (or only a moved one)."""

    def delete(self, key: str) -> bool:
        """Remove the record; by a key that was moved with a grace too. False: there is none."""

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return the keys and live records whose :data:`USER` is ``user``, oldest touch first."""

    def revoke(self, user: str, except_key: str | None = None) -> int:
        """Remove every record of ``user`` but that of ``except_key``; return how many."""

    def revoke_everyone(self) -> int:
        """Remove every record; return how many."""

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
    """The same with coroutines; see :class:`Store` for each method."""

    name: str

    async def load(self, key: str) -> Record | None: ...  # noqa: D102
    async def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool: ...  # noqa: D102
    async def commit(  # noqa: D102
        self,
        key: str,
        generation: int,
        sets: Mapping[str, bytes],
        deletes: Sequence[str],
        ops: Sequence[Op],
        ttl: float,
        commit_id: str,
        base: Record | None = None,
    ) -> Answer: ...
    async def move(  # noqa: D102
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool: ...
    async def touch(self, key: str, ttl: float) -> bool: ...  # noqa: D102
    async def delete(self, key: str) -> bool: ...  # noqa: D102
    async def list(self, user: str) -> Sequence[tuple[str, Record]]: ...  # noqa: D102
    async def revoke(self, user: str, except_key: str | None = None) -> int: ...  # noqa: D102
    async def revoke_everyone(self) -> int: ...  # noqa: D102
    async def purge(self) -> int: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102
