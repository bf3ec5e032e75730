"""What the SQL store does, apart from opening connections.

Each operation is a coroutine that awaits jobs (:class:`Job`), each done in a connection and a
transaction of its own. :mod:`ctxlocal.sessions.stores.sql` does them, for threads and for
asyncio, so nothing here is written twice.

A commit is first tried as one UPDATE that compares the version it was loaded with. Where
that fails, one merge under a row lock follows, in READ COMMITTED whatever the engine's
default: under REPEATABLE READ or SERIALIZABLE the second of two merges would fail, and
without a transaction (AUTOCOMMIT) its lock would end with the SELECT.
https://www.postgresql.org/docs/current/transaction-iso.html

A record is one row from its creation to its end. A move changes the row's key where it is,
under the row's lock; the key before becomes a row of the table of old keys, which leads to the
record's id, not to its next key. So what ends records needs one DELETE by what no move changes,
the id or the user: where a move has the row, READ COMMITTED waits for it, takes the row as the
move has left it, and asks again whether it is meant. InnoDB's DELETE reads the same way.

Ids are random: what was left of a former record's old keys leads nowhere.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    delete,
    insert,
    inspect,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from ...errors import CorruptRecordError, SessionConfigError, StoreUnavailableError
from ..forwarding import Operations, named, operation
from ..merge import clears, merge
from ..patience import PAUSES
from ..protocol import HANDLE, KEPT_COMMITS, USER, Answer, Change, Record, Result
from ..repeats import note_repeat
from ..unreadable import skip
from .tables import MYSQL, Tables, create_missing, make_tables, refuse_long_names

R = TypeVar("R")

AUTOCOMMIT, READ_COMMITTED = "AUTOCOMMIT", "READ COMMITTED"
RETRIES = 10  #: how often a transaction that lost against another one is repeated
_LOST = frozenset(("40001", "40P01"))  # SQLSTATE serialization_failure and deadlock_detected
# Its drivers have the number alone, as the first argument: ER_LOCK_DEADLOCK, and ER_CHECKREAD, by
# which MariaDB's snapshot isolation (the default from 11.6 on) answers who was overtaken.
_MYSQL_LOST = frozenset((1213, 1020))
# SQLSTATE read_only_sql_transaction, as a standby answers, and cannot_connect_now
_REFUSED = frozenset(("25006", "57P03"))
# ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
_MYSQL_REFUSED = frozenset((1290, 1836, 1792))
_PAGE = 500
_STEP = 1000  # rows that one statement of many removes
_NONE = 0  # no record's id
_FOR_EVER = sys.float_info.max

_encode = msgspec.msgpack.Encoder().encode
_decode_fields = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_Commit = tuple[str, list[Result]]  # its id, and its operations' results
_decode_recent = msgspec.msgpack.Decoder(list[_Commit]).decode


class Row(NamedTuple):
    """A row of the table; the ``version`` of a Record, as what a commit was based on.

    ``key`` is "" if it was read by an old key, to whose owner the record's own is not told.
    """

    id: int
    key: str
    fields: bytes
    recent: bytes
    version: int
    generation: int
    touched: float
    expires: float


class Job(NamedTuple):
    """Something to do in one transaction of its own; ``isolation`` is its level."""

    work: Callable[[Connection], Any]
    isolation: str = AUTOCOMMIT


class Tries:
    """The attempts at one commit, of which one whose connection was lost may have been done."""

    def __init__(self) -> None:
        self._latest: int | None = None  # the row's version then
        self._doubtful: int | None = None

    def begin(self, version: int) -> bool:
        """Note an attempt; False if one before may have been done and the row has forgotten it."""
        if self._doubtful is not None and version - self._doubtful > KEPT_COMMITS:
            return False
        self._latest = version
        return True

    def lose(self) -> None:
        """Note that the connection of the latest attempt was lost."""
        if self._doubtful is None:
            self._doubtful = self._latest


class SQLSteps(Operations):
    """The operations of the store; one object for all threads and tasks of a process."""

    _failures = (SQLAlchemyError, OSError, SessionConfigError)
    _timeout = 5.0  # seconds after which nothing is repeated that lost its connection

    def __init__(
        self, engine: Any, table: str, schema: str | None, clock: Callable[[], float], owned: bool
    ) -> None:
        if engine.dialect.name == "sqlite":
            raise SessionConfigError("engine", "it is SQLite's; use SQLiteStore")
        self.name = _name(engine.url)
        self._engine = engine
        self._owned = owned
        self._clock = clock
        self._is_ready = False
        self._tables = make_tables(table, schema=schema)
        refuse_long_names(self._tables, engine.dialect)
        self._table, self._old_keys = records, old_keys = self._tables
        column, old = records.c, old_keys.c
        rows = [column[name] for name in Row._fields]
        of: BindParameter[Any] = bindparam("of")
        now: BindParameter[float] = bindparam("now")
        is_live, is_id, is_old_of = column.expires > now, column.id == of, old.id == of
        leads = (old.key == of) & (old.expires > now)
        self._select = select(*rows).where(column.key == of)
        self._select_by_old = (
            select(*(literal("").label("key") if each is column.key else each for each in rows))
            .join(old_keys, old.id == column.id)
            .where(leads, is_live)
        )
        self._lock = self._select.with_for_update()
        self._lock_id = select(*rows).where(is_id).with_for_update()
        self._led_to = union_all(
            select(column.id).where(column.key == of, is_live),
            select(column.id).join(old_keys, old.id == column.id).where(leads, is_live),
        )
        self._was_moved = (
            select(column.id)
            .join(old_keys, old.id == column.id)
            .where(old.key == of, old.moved_to == bindparam("to"), is_live)
        )
        self._update = update(records).where(is_id)
        self._replace = self._update.where(column.version == bindparam("seen"), is_live)
        self._touch = update(records).where(column.key == of, is_live)
        # Not in one statement with where the key leads: MariaDB's snapshot isolation would then
        # refuse what somebody else has changed since it began, again and again.
        self._touch_by_id = self._update.where(is_live)
        self._delete = delete(records).where(is_id, is_live)
        self._delete_expired = delete(records).where(column.key == of, column.expires <= now)
        is_of_user = column.user_hash == bindparam("user")
        self._list = select(*rows).where(is_of_user, is_live).order_by(column.touched)
        self._revoke = delete(records).where(is_of_user, column.id != bindparam("but"), is_live)
        self._revoke_one = self._revoke.where(column.handle_hash == bindparam("handle"))
        page = column.id.in_(bindparam("page", expanding=True))
        self._next = (
            select(column.id, column.expires)
            .where(column.id > bindparam("after"))
            .order_by(column.id)
            .limit(_STEP)
        )
        self._revoke_page = delete(records).where(page, is_live)
        self._purge_page = delete(records).where(page, column.expires <= now)
        self._over = select(old.key).where(old.expires <= now).limit(_STEP)
        self._purge_old_keys = delete(old_keys).where(
            old.key.in_(bindparam("page", expanding=True)), old.expires <= now
        )
        self._forget = delete(old_keys).where(old.key == of)
        self._end_graces = delete(old_keys).where(is_old_of, old.expires <= bindparam("until"))
        self._scan = (
            select(*rows)
            .where(is_live, column.id > bindparam("after"))
            .order_by(column.id)
            .limit(_PAGE)
        )

    async def _perform(self, job: Job) -> Any:
        """Do a job in a connection of its own, by :func:`perform`."""
        raise NotImplementedError

    async def _pause(self, seconds: float) -> None:
        """Let some time pass."""
        raise NotImplementedError

    async def _drop_idle(self) -> None:
        """Close the engine's connections that nobody uses at this moment."""
        raise NotImplementedError

    async def _attempt(self, job: Job) -> Any:
        """Do a job, on new connections and for a while if the server takes no writes.

        Nothing is done then. Behind an address that moves the old connections stay with the
        server that was demoted, which does not end them.
        """
        for pause in PAUSES:
            try:
                return await self._perform(job)
            except DBAPIError as error:
                if not _is_refused(error):
                    raise
            await self._drop_idle()
            if pause:
                await self._pause(pause)
            note_repeat()
        return await self._perform(job)

    def _unavailable(self, operation: str, error: Exception) -> StoreUnavailableError:
        if isinstance(error, StatementError):
            error.hide_parameters = True  # keys and values would be in the traceback
        return super()._unavailable(operation, error)

    @operation
    async def create_table(self) -> None:
        """Create the tables and indexes that are missing; safe from many processes."""
        await self._create_tables()

    async def _create_tables(self) -> None:
        """Create what is missing; another process may be doing the same."""
        create = Job(partial(create_missing, tables=self._tables), READ_COMMITTED)
        for _ in Tables._fields:  # of which others may make one at a time, before us
            try:
                await self._attempt(create)
            except DBAPIError:
                continue
            break
        else:
            await self._attempt(create)
        self._is_ready = True

    @named("connect")
    async def _has_table(self) -> bool:
        name, schema = self._table.name, self._table.schema
        return bool(await self._attempt(Job(lambda on: inspect(on).has_table(name, schema))))

    @operation
    async def load(self, key: str) -> Record | None:
        """Return the record, None if there is none; one SELECT."""
        now = self._clock()
        values = {"of": key, "now": now}

        def work(connection: Connection) -> Row | None:
            # A key turns from the row's own into an old one, then into none, and never back:
            # so two looks, one after the other, miss nothing.
            row = _fetch(connection, self._select, values)
            return row or _fetch(connection, self._select_by_old, values)

        row = await self._do(work)
        return None if row is None or row.expires <= now else self._record(row)

    @operation
    async def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record; False if there is one."""
        return await self._create(key, sets, ttl)

    async def _create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        maker = os.urandom(16).hex()
        now = self._clock()
        recent = _encode([(maker, ())])
        row = Row(_random(), key, _encode(dict(sets)), recent, _random(), 0, now, now + ttl)
        where, values = {"of": key, "now": now}, {**row._asdict(), **_hashes(sets)}

        def work(connection: Connection) -> bool:
            if self._led(connection, key):
                there = _fetch(connection, self._select, where)
                # Ours, if the answer to a first try was lost.
                return there is not None and maker.encode() in there.recent
            connection.execute(insert(self._table), values)
            return True

        try:
            return await self._do(work)
        except IntegrityError:  # one that has expired is there, or somebody else was faster
            if not await self._count(self._delete_expired, where):
                return False
        return await self._create(key, sets, ttl)

    @operation
    async def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge a change into a record: one UPDATE if ``base`` is still what is there."""
        seen = None if base is None else base.version
        tries = Tries()
        if self._is_ready and isinstance(seen, Row) and seen.key == key:
            answer, values = self._merge(seen, generation, change, ttl)
            if values is not None and await self._replaced(seen, values, tries):
                return answer

        def work(connection: Connection) -> Answer:
            row = self._locked(connection, key)
            if row is None:
                return Answer("revoked")
            answer, values = self._merge(row, generation, change, ttl)
            if values is not None:
                if not tries.begin(row.version):
                    raise StoreUnavailableError(self.name, "commit")
                connection.execute(self._update, {"of": row.id, **values})
            return answer

        return await self._do(work, READ_COMMITTED, tries.lose)

    async def _replaced(self, seen: Row, values: dict[str, Any], tries: Tries) -> bool:
        tries.begin(seen.version)
        begun = monotonic()
        parameters = {"of": seen.id, "seen": seen.version, "now": self._clock(), **values}
        try:
            count: int = await self._attempt(
                Job(lambda on: on.execute(self._replace, parameters).rowcount)
            )
        except DBAPIError as error:
            if self._was_cut(error, begun):
                tries.lose()  # the merge finds the id if it was done
            elif not _has_lost(error):
                raise
            note_repeat()
            return False
        return count == 1

    def _merge(
        self, row: Row, generation: int, change: Change, ttl: float
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
        if row.generation != generation:
            return Answer("conflict"), None
        merged = merge(fields, change)
        if merged is None:
            return Answer("conflict"), None
        values: dict[str, Any] = {
            "fields": _encode(fields),
            "recent": _encode([(change.commit_id, merged), *recent][:KEPT_COMMITS]),
            "version": row.version + 1,
            "generation": row.generation + clears(change.ops),
            "touched": now,
            "expires": now + ttl,
            **_hashes(fields),
        }
        return Answer("committed", merged), values

    @operation
    async def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, in one transaction."""

        def work(connection: Connection) -> bool:
            row = self._locked(connection, old)
            now = self._clock()
            if row is None or row.key != old:
                same = {"of": old, "to": new, "now": now}
                if connection.execute(self._was_moved, same).first() is not None:
                    return True  # it is the same move again
                if row is None or grace > 0:
                    return False
            if row.expires <= now or self._led(connection, new):
                return False
            try:
                fields = {**self._decode(row)[0], **sets}
            except CorruptRecordError:
                return False
            moved = row._replace(
                key=new,
                fields=_encode(fields),
                version=row.version + 1,
                generation=row.generation if grace > 0 else row.generation + 1,
                touched=now,
                expires=now + ttl,
            )
            connection.execute(self._update, {"of": row.id, **moved._asdict(), **_hashes(fields)})
            self._lead_on(connection, old, moved, grace)
            return True

        try:
            return await self._do(work, READ_COMMITTED)
        except IntegrityError:  # there is a record of the new key
            return False

    def _lead_on(self, connection: Connection, old: str, moved: Row, grace: float) -> None:
        """Let the old key lead to the moved record, until the grace ends.

        Without one it leads nowhere, but tells that the same move was done if it comes again.
        """
        now = moved.touched
        until = now if grace > 0 else _FOR_EVER
        connection.execute(self._end_graces, {"of": moved.id, "until": until})
        connection.execute(self._forget, {"of": old})
        values = {"key": old, "id": moved.id, "moved_to": moved.key, "expires": now + max(grace, 0)}
        connection.execute(insert(self._old_keys), values)

    @operation
    async def touch(self, key: str, ttl: float) -> bool:
        """Renew the expiry; one UPDATE."""
        now = self._clock()
        values = {"of": key, "now": now, "touched": now, "expires": now + ttl}

        def work(connection: Connection) -> bool:
            if connection.execute(self._touch, values).rowcount:
                return True
            by_id = {**values, "of": self._led(connection, key)}
            return connection.execute(self._touch_by_id, by_id).rowcount > 0

        return await self._do(work)

    @operation
    async def delete(self, key: str) -> bool:
        """Remove the record that the key leads to, wherever a move that is under way takes it."""

        def work(connection: Connection) -> bool:
            values = {"of": self._led(connection, key), "now": self._clock()}
            return connection.execute(self._delete, values).rowcount > 0

        return await self._do(work, READ_COMMITTED)

    @operation
    async def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return a user's live records, the one touched longest ago first; one SELECT."""
        values = {"user": _hash(user.encode()), "now": self._clock()}
        rows = await self._do(lambda on: [Row(*row) for row in on.execute(self._list, values)])
        return list(self._readable(rows))

    @operation
    async def revoke(
        self, user: str, except_key: str | None = None, handle: str | None = None
    ) -> int:
        """Remove a user's records, or that of one handle; one DELETE. Return how many."""
        values = {"user": _hash(user.encode()), "now": self._clock()}
        statement = self._revoke
        if handle is not None:
            statement, values["handle"] = self._revoke_one, _hash(handle.encode())

        def work(connection: Connection) -> int:
            spared = _NONE if except_key is None else self._led(connection, except_key)
            return connection.execute(statement, {**values, "but": spared}).rowcount

        return await self._do(work, READ_COMMITTED)

    @operation
    async def revoke_everyone(self) -> int:
        """Remove every record, 1000 in one DELETE at most; return how many.

        One by one in the order of their ids, which a move leaves: so none is passed over.
        """
        count = await self._remove(self._revoke_page, lambda expires, now: expires > now)
        await self._purge_all()
        return count

    @operation
    async def purge(self) -> int:
        """Remove what has expired, 1000 in one DELETE at most; return how many rows.

        It looks at the expiry of every record, 1000 with each SELECT, which locks nothing. What
        is removed stays so if it is interrupted, and the next purge removes the rest.
        """
        return await self._purge_all()

    async def _purge_all(self) -> int:
        values = {"now": self._clock()}
        while over := await self._do(partial(_rows, self._over, values)):
            await self._count(self._purge_old_keys, {**values, "page": [key for (key,) in over]})
        return await self._remove(self._purge_page, lambda expires, now: expires <= now)

    async def _remove(self, statement: Any, is_meant: Callable[[float, float], bool]) -> int:
        """Walk through the table, and remove what is meant of each step."""
        removed, after, now = 0, _NONE, self._clock()
        while rows := await self._do(partial(_rows, self._next, {"after": after})):
            after = rows[-1].id
            if page := [row.id for row in rows if is_meant(row.expires, now)]:
                removed += await self._count(statement, {"page": page, "now": now})
        return removed

    @named("scan")
    async def _scan_page(self, after: int) -> tuple[int | None, Sequence[tuple[str, Record]]]:
        """Return some live records, in the order of their ids, from the one ``after``.

        And before them the last id that was seen, None at the end.
        """
        values = {"after": after, "now": self._clock()}
        rows = await self._do(lambda on: [Row(*row) for row in on.execute(self._scan, values)])
        return rows[-1].id if rows else None, list(self._readable(rows))

    def _decode(self, row: Row) -> tuple[dict[str, bytes], Sequence[_Commit]]:
        try:
            return _decode_fields(row.fields), _decode_recent(row.recent)
        except (msgspec.MsgspecError, ValueError) as error:  # ValueError: a name is no UTF-8
            raise CorruptRecordError(self.name, "a row's blob is no msgpack of ours") from error

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

    def _led(self, connection: Connection, key: str) -> int:
        """Return the id that a key leads to; of what has ended since, or ``_NONE``."""
        values = {"of": key, "now": self._clock()}
        found: int | None = connection.execute(self._led_to, values).scalar()
        return _NONE if found is None else found

    def _locked(self, connection: Connection, key: str) -> Row | None:
        """Return the row that a key leads to, locked; it may have expired."""
        row = _fetch(connection, self._lock, {"of": key})
        if row is None and (found := self._led(connection, key)):
            row = _fetch(connection, self._lock_id, {"of": found})
            if self._led(connection, key) != found:  # which only the lock keeps as it is
                return None
        return row

    async def _count(self, statement: Any, values: Mapping[str, Any]) -> int:
        def work(connection: Connection) -> int:
            return connection.execute(statement, values).rowcount

        return await self._do(work, READ_COMMITTED)

    async def _do(
        self,
        work: Callable[[Connection], R],
        isolation: str = AUTOCOMMIT,
        lose: Callable[[], None] | None = None,
    ) -> R:
        """Do a job, and again if it lost against another one, or lost its connection (once).

        :param lose: is called where the connection is lost, so that the job may have been done.
        """
        if not self._is_ready:
            await self._create_tables()
        is_second, begun = False, monotonic()
        for _ in range(RETRIES):
            try:
                return await self._attempt(Job(work, isolation))  # type: ignore[no-any-return]
            except DBAPIError as error:
                if self._was_cut(error, begun) and not is_second:
                    is_second = True
                    if lose:
                        lose()
                elif _has_lost(error):
                    isolation = READ_COMMITTED  # where less is lost than by a default of the server
                else:
                    raise
                note_repeat()
        return await self._attempt(Job(work, isolation))  # type: ignore[no-any-return]

    def _was_cut(self, error: DBAPIError, begun: float) -> bool:
        """Whether the connection was lost, but not by waiting for a server that is silent."""
        return error.connection_invalidated and monotonic() - begun < self._timeout


def perform(job: Job, connection: Connection) -> Any:
    """Do a job in a transaction of the connection, at the job's isolation level."""
    with _at_level(connection, job.isolation).begin():
        done = job.work(connection)
    if connection.dialect.name in MYSQL:  # whose drivers tell the server of a level
        _leave_level(connection)
    return done


def _at_level(connection: Connection, isolation: str) -> Connection:
    """Set a level, of which some drivers tell the server: that fails if the connection was lost.

    SQLAlchemy lets the driver's error through here, and keeps the connection.
    """
    try:
        return connection.execution_options(isolation_level=isolation)
    except connection.dialect.loaded_dbapi.Error as error:
        connection.invalidate(error)
        connection.engine.dispose()  # what else is idle was lost as well
        raise DBAPIError(None, None, error, connection_invalidated=True) from error


def _leave_level(connection: Connection) -> None:
    """Undo the level, as SQLAlchemy does when the connection goes back to the pool.

    There it fails if the connection was lost since: what was done would have no answer, and the
    pool one place less, for ever.
    """
    dialect = connection.dialect
    try:
        dialect.reset_isolation_level(connection.connection.dbapi_connection)  # type: ignore[arg-type]
    except dialect.loaded_dbapi.Error as error:
        connection.invalidate(error)


def _name(url: Any) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def _has_lost(error: DBAPIError) -> bool:
    state, number = _codes(error)
    return state in _LOST or number in _MYSQL_LOST


def _is_refused(error: DBAPIError) -> bool:
    state, number = _codes(error)
    return state in _REFUSED or number in _MYSQL_REFUSED


def _codes(error: DBAPIError) -> tuple[str | None, object]:
    """Return the SQLSTATE, which PostgreSQL's drivers tell, and the number that MySQL's do."""
    cause: Any = error.orig
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    number = cause.args[0] if cause is not None and cause.args else None
    return state, number if isinstance(number, int) else None


def _fetch(connection: Connection, statement: Any, values: Mapping[str, Any]) -> Row | None:
    row = connection.execute(statement, values).first()
    return None if row is None else Row(*row)


def _rows(statement: Any, values: Mapping[str, Any], connection: Connection) -> Sequence[Any]:
    return connection.execute(statement, values).all()


def _random() -> int:
    """Return an id, or a first version, that no other record is likely to have or have had."""
    return int.from_bytes(os.urandom(7), "big") + 1


def _hash(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def _hashes(fields: Mapping[str, bytes]) -> dict[str, str | None]:
    return {"user_hash": _hash(fields.get(USER)), "handle_hash": _hash(fields.get(HANDLE))}
