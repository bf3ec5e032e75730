"""What the SQL store does, apart from opening connections.

Each operation is a generator: it yields a :class:`Job`, which is done in a connection and
a transaction of its own, and is sent the job's result, or has the error thrown in.
:mod:`ctxlocal.session.stores.sql` does the jobs, for threads and for asyncio, so nothing
here is written twice.

A commit is first tried as one UPDATE that compares the version it was loaded with. Where
that fails, one merge under a row lock follows, in READ COMMITTED whatever the engine's
default: under REPEATABLE READ or SERIALIZABLE the second of two merges would fail, and
without a transaction (AUTOCOMMIT) its lock would end with the SELECT.
https://www.postgresql.org/docs/current/transaction-iso.html
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    inspect,
    null,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from ..errors import CorruptRecordError
from ..protocol import KEPT_COMMITS, USER, Answer, Op, Record, Result
from ._unreadable import skip
from .merge import clears, merge, reaches_moved

R = TypeVar("R")

AUTOCOMMIT, READ_COMMITTED = "AUTOCOMMIT", "READ COMMITTED"
RETRIES = 10  #: how often a transaction that lost against another one is repeated
# SQLSTATE serialization_failure and deadlock_detected; MySQL's number for a deadlock.
_LOST = frozenset(("40001", "40P01", 1213))
_KEY_LENGTH = 64
_PAGE = 500
_HOPS = 8

_encode = msgspec.msgpack.Encoder().encode
_decode_fields = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_Commit = tuple[str, list[Result]]  # its id, and its operations' results
_decode_recent = msgspec.msgpack.Decoder(list[_Commit]).decode


class Row(NamedTuple):
    """A row of the table; the ``version`` of a Record, as what a commit was based on."""

    key: str
    fields: bytes
    recent: bytes
    version: int
    generation: int
    touched: float
    expires: float
    moved_to: str | None


class Job(NamedTuple):
    """Something to do in one transaction of its own; ``isolation`` is its level."""

    work: Callable[[Connection], Any]
    isolation: str = AUTOCOMMIT


class Change(NamedTuple):
    """A commit: its parameters as in the protocol, the ids first."""

    key: str
    commit_id: str
    generation: int
    sets: Mapping[str, bytes]
    deletes: Sequence[str]
    ops: Sequence[Op]
    ttl: float


Steps = Generator[Job, Any, R]


def make_table(name: str) -> Table:
    """Describe the table: one row a session. It looks into nothing but times and users.

    ``user_hash`` is SHA-256, so that any text can be a user's id, of any length.
    """
    return Table(
        name,
        MetaData(),
        Column("key", String(_KEY_LENGTH), primary_key=True),
        Column("fields", LargeBinary, nullable=False),
        Column("recent", LargeBinary, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("touched", Double, nullable=False),
        Column("expires", Double, nullable=False),
        Column("moved_to", String(_KEY_LENGTH)),
        Column("user_hash", String(_KEY_LENGTH)),
        Index(f"ix_{name}_user", "user_hash"),
        Index(f"ix_{name}_expires", "expires"),
    )


class SQLSteps:
    """The operations of the store; one object for all threads and tasks of a process."""

    def __init__(self, name: str, table: Table, clock: Callable[[], float]) -> None:
        self._name = name
        self._table = table
        self._clock = clock
        self._is_ready = False
        column = table.c
        self._rows = select(*(column[name] for name in Row._fields))
        self._select = self._rows.where(column.key == bindparam("of"))
        self._lock = self._select.with_for_update()
        self._update = update(table).where(column.key == bindparam("of"))
        self._replace = self._update.where(column.version == bindparam("seen"))
        is_kept = column.expires > bindparam("now")
        is_live = is_kept & column.moved_to.is_(null())
        self._touch = self._update.where(is_live)
        self._delete = delete(table).where(column.key == bindparam("of"))
        self._delete_kept = self._delete.where(is_kept)
        self._list = self._rows.where(column.user_hash == bindparam("user"), is_live).order_by(
            column.touched
        )
        self._revoke = delete(table).where(
            column.user_hash == bindparam("user"), column.key != bindparam("but"), is_live
        )
        self._revoke_everyone = delete(table).where(is_live)
        self._purge = delete(table).where(column.expires <= bindparam("now"))
        self._scan = (
            self._rows.where(is_live, column.key > bindparam("after"))
            .order_by(column.key)
            .limit(_PAGE)
        )

    def create_table(self) -> Steps[None]:
        """Create what is missing; another process may be doing the same."""
        create = Job(self._table.metadata.create_all, READ_COMMITTED)
        try:
            yield create
        except DBAPIError:
            there = yield Job(lambda connection: inspect(connection).has_table(self._table.name))
            if not there:
                raise
        self._is_ready = True

    def load(self, key: str) -> Steps[Record | None]:
        def work(connection: Connection) -> Row | None:
            return self._follow(connection, self._select, key)[0]

        row = yield from self._do(work)
        return None if row is None else self._record(row)

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> Steps[bool]:
        maker = os.urandom(16).hex()
        now = self._clock()
        row = Row(
            key, _encode(dict(sets)), _encode([(maker, ())]), _first(), 0, now, now + ttl, None
        )
        values = {**row._asdict(), "user_hash": _user_hash(sets)}

        def work(connection: Connection) -> bool:
            there = _fetch(connection, self._select, key)
            if there is not None and there.expires <= now:
                connection.execute(self._delete, {"of": key})
                there = None
            if there is None:
                connection.execute(insert(self._table), values)
                return True
            # Ours, if the answer to a first try was lost.
            return maker.encode() in there.recent

        try:
            made: bool = yield from self._do(work)
        except IntegrityError:  # somebody else was faster
            return False
        return made

    def commit(self, change: Change, base: Record | None) -> Steps[Answer]:
        seen = None if base is None else base.version
        if self._is_ready and isinstance(seen, Row) and seen.key == change.key:
            answer, values = self._merge(seen, change, by_alias=False)
            if values is not None and (yield from self._replaced(seen, values)):
                return answer

        def work(connection: Connection) -> Answer:
            row, by_alias = self._follow(connection, self._lock, change.key)
            if row is None:
                return Answer("revoked")
            answer, values = self._merge(row, change, by_alias)
            if values is not None:
                connection.execute(self._update, {"of": row.key, **values})
            return answer

        return (yield from self._do(work, READ_COMMITTED))

    def _replaced(self, seen: Row, values: dict[str, Any]) -> Steps[bool]:
        parameters = {"of": seen.key, "seen": seen.version, **values}
        try:
            count: int = yield Job(lambda on: on.execute(self._replace, parameters).rowcount)
        except DBAPIError as error:
            if not (error.connection_invalidated or _has_lost(error)):
                raise
            return False  # it may have been done: the merge finds the commit's id then
        return count == 1

    def _merge(
        self, row: Row, change: Change, by_alias: bool
    ) -> tuple[Answer, dict[str, Any] | None]:
        """Return the answer to a commit, and the columns to write if there are any."""
        try:
            fields, recent = self._decode(row)
        except CorruptRecordError:  # load says so
            return Answer("revoked"), None
        for commit_id, results in recent:
            if commit_id == change.commit_id:
                return Answer("committed", tuple(results)), None
        now = self._clock()
        if row.expires <= now:
            return Answer("revoked"), None
        if by_alias and not reaches_moved(change.sets, change.deletes, change.ops):
            return Answer("revoked"), None
        if not by_alias and row.generation != change.generation:
            return Answer("conflict"), None
        merged = merge(fields, change.sets, change.deletes, change.ops)
        if merged is None:
            return Answer("conflict"), None
        values: dict[str, Any] = {
            "fields": _encode(fields),
            "recent": _encode([(change.commit_id, merged), *recent][:KEPT_COMMITS]),
            "version": row.version + 1,
            "touched": now,
            "expires": now + change.ttl,
        }
        if clears(change.ops):
            values |= {"generation": row.generation + 1, "user_hash": _user_hash(fields)}
        return Answer("committed", merged), values

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float
    ) -> Steps[bool]:
        def work(connection: Connection) -> bool:
            row = _fetch(connection, self._lock, old)
            now = self._clock()
            if row is None or row.moved_to is not None:
                return row is not None and row.moved_to == new  # the first answer was lost
            if row.expires <= now:
                return False
            try:
                fields = {**self._decode(row)[0], **sets}
            except CorruptRecordError:
                return False
            moved = row._replace(
                key=new,
                fields=_encode(fields),
                version=_first(),
                generation=row.generation + 1,
                touched=now,
                expires=now + ttl,
            )
            connection.execute(
                insert(self._table), {**moved._asdict(), "user_hash": _user_hash(fields)}
            )
            left: dict[str, Any] = {"fields": _encode({}), "recent": _encode([]), "user_hash": None}
            left |= {"version": row.version + 1, "moved_to": new, "expires": now + grace}
            connection.execute(self._update, {"of": old, **left})
            return True

        try:
            return (yield from self._do(work, READ_COMMITTED))
        except IntegrityError:  # there is a record of the new key
            return False

    def touch(self, key: str, ttl: float) -> Steps[bool]:
        now = self._clock()
        values = {"of": key, "now": now, "touched": now, "expires": now + ttl}
        return (yield from self._count(self._touch, values)) > 0

    def delete(self, key: str) -> Steps[bool]:
        """Remove the record that the key leads to, and the alias if it is one."""
        values = {"of": key, "now": self._clock()}

        def work(connection: Connection) -> bool:
            row, by_alias = self._follow(connection, self._lock, key)
            if row is not None:
                connection.execute(self._delete, {"of": row.key})
            if by_alias:
                connection.execute(self._delete_kept, values)
            return row is not None

        return (yield from self._do(work, READ_COMMITTED))

    def list_of(self, user: str) -> Steps[list[tuple[str, Record]]]:
        values = {"user": _user_hash({USER: user.encode()}), "now": self._clock()}
        rows = yield from self._do(lambda on: [Row(*row) for row in on.execute(self._list, values)])
        return list(self._readable(rows))

    def revoke(self, user: str, except_key: str | None) -> Steps[int]:
        values = {"user": _user_hash({USER: user.encode()}), "but": except_key or ""}
        return (yield from self._count_twice(self._revoke, values))

    def revoke_everyone(self) -> Steps[int]:
        count = yield from self._count_twice(self._revoke_everyone, {})
        yield from self._count(delete(self._table), {})
        return count

    def purge(self) -> Steps[int]:
        return (yield from self._count(self._purge, {"now": self._clock()}))

    def page(self, after: str) -> Steps[tuple[str | None, list[tuple[str, Record]]]]:
        """Return some live records, in the order of their keys, from the one ``after``.

        And before them the last key that was seen, None at the end.
        """
        values = {"after": after, "now": self._clock()}
        rows = yield from self._do(lambda on: [Row(*row) for row in on.execute(self._scan, values)])
        return rows[-1].key if rows else None, list(self._readable(rows))

    def _decode(self, row: Row) -> tuple[dict[str, bytes], list[_Commit]]:
        try:
            return _decode_fields(row.fields), _decode_recent(row.recent)
        except (msgspec.MsgspecError, ValueError) as error:  # ValueError: a name is no UTF-8
            raise CorruptRecordError(self._name, "a row's blob is no msgpack of ours") from error

    def _record(self, row: Row) -> Record:
        fields, _ = self._decode(row)
        return Record(fields, row.generation, row.touched, row.expires, row)

    def _readable(self, rows: Iterable[Row]) -> Iterator[tuple[str, Record]]:
        for row in rows:
            try:
                record = self._record(row)
            except CorruptRecordError as error:
                skip(error)
            else:
                yield row.key, record

    def _follow(self, connection: Connection, statement: Any, key: str) -> tuple[Row | None, bool]:
        """Return the live row that a key leads to, and whether it was reached by an alias."""
        by_alias = False
        for _ in range(_HOPS):
            row = _fetch(connection, statement, key)
            if row is None or row.expires <= self._clock():
                break
            if row.moved_to is None:
                return row, by_alias
            key, by_alias = row.moved_to, True
        return None, by_alias

    def _count_twice(self, statement: Any, values: Mapping[str, Any]) -> Steps[int]:
        """Delete twice: what a concurrent move wrote is not in the first one's snapshot."""
        parameters = {**values, "now": self._clock()}
        first = yield from self._count(statement, parameters)
        return first + (yield from self._count(statement, parameters))

    def _count(self, statement: Any, values: Mapping[str, Any]) -> Steps[int]:
        return (yield from self._do(lambda on: on.execute(statement, values).rowcount))

    def _do(self, work: Callable[[Connection], R], isolation: str = AUTOCOMMIT) -> Steps[R]:
        """Do a job, and again if it lost against another one, or lost its connection (once)."""
        if not self._is_ready:
            yield from self.create_table()
        is_second = False
        for _ in range(RETRIES):
            try:
                return (yield Job(work, isolation))  # type: ignore[no-any-return]
            except DBAPIError as error:
                if error.connection_invalidated and not is_second:
                    is_second = True
                elif not _has_lost(error):
                    raise
        return (yield Job(work, isolation))  # type: ignore[no-any-return]


def perform(job: Job, connection: Connection) -> Any:
    """Do a job in a transaction of the connection, at the job's isolation level."""
    connection = connection.execution_options(isolation_level=job.isolation)
    with connection.begin():
        return job.work(connection)


def _has_lost(error: DBAPIError) -> bool:
    cause: Any = error.orig
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state in _LOST or (isinstance(cause, Exception) and cause.args[:1] == (1213,))


def _fetch(connection: Connection, statement: Any, key: str) -> Row | None:
    row = connection.execute(statement, {"of": key}).first()
    return None if row is None else Row(*row)


def _first() -> int:
    """Return a first version that no former record of the same key is likely to have had."""
    return int.from_bytes(os.urandom(7), "big")


def _user_hash(fields: Mapping[str, bytes]) -> str | None:
    user = fields.get(USER)
    return None if user is None else hashlib.sha256(user).hexdigest()
