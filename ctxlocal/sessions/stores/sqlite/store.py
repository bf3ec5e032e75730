"""SQLiteStore: records in one SQLite file that many processes, threads and greenlets share.

A record is one row, its fields and its last commit ids one msgpack blob. A commit tries
first to replace the very row that ``load`` saw (one UPDATE that names its version); if
somebody was faster it merges under the file's write lock. See https://sqlite.org/wal.html.

A move changes the row's key where it is, so whatever ends a record ends that one row, and no
renewal can carry it out of reach. The key before becomes a row of ``old_key``, which leads to
the record itself, not to its next key: after any number of moves that is one step.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from random import getrandbits
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import msgspec

from ...errors import CorruptRecordError, SessionConfigError, StoreUnavailableError
from ..grouped import WRITES
from ..in_loop import MOST_WAIT, InLoop
from ..merge import clears, merge
from ..protocol import HANDLE, KEPT_COMMITS, USER, Answer, Change, Record, Result, Stats
from ..unreadable import skip
from .file import Connection, Connections, Lent, transaction

if TYPE_CHECKING:
    from ..grouped import Call

_COMMITTED = Answer("committed")
_FOR_EVER = float("inf")

P = ParamSpec("P")
R = TypeVar("R")

_COLUMNS = "id, key, version, generation, touched, expires, body"
_SELECT = f"SELECT {_COLUMNS} FROM session WHERE key = ?"
# Without the record's own key, which nobody who comes by an old one may learn.
_SELECT_BY_OLD = (
    "SELECT id, '', version, generation, touched, session.expires, body "
    "FROM old_key JOIN session ON id = session WHERE old_key.key = ? AND old_key.expires > ?"
)
_INSERT = (
    "INSERT INTO session (key, version, generation, touched, expires, user, body) "
    "VALUES (?, ?, 0, ?, ?, ?, ?)"
)
_INSERT_UNUSED = (
    "INSERT OR IGNORE INTO session (key, version, generation, touched, expires, user, body) "
    "SELECT ?, ?, 0, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM old_key WHERE key = ?)"
)
_REPLACE = (
    "UPDATE session SET version = ?, touched = ?, expires = ?, body = ? "
    "WHERE id = ? AND version = ? AND expires > ?"
)
_CLEAR = "UPDATE session SET generation = ?, user = ? WHERE id = ?"
_MOVE = (
    "UPDATE session SET key = ?, version = ?, generation = ?, touched = ?, expires = ?, user = ?, "
    "body = ? WHERE id = ?"
)
_IS_USED = (
    "SELECT 1 FROM session WHERE key = ? "
    "UNION ALL SELECT 1 FROM old_key WHERE key = ? AND expires > ?"
)
_WAS_MOVED = (
    "SELECT 1 FROM old_key JOIN session ON id = session "
    "WHERE old_key.key = ? AND moved_to = ? AND session.expires > ?"
)
_END_GRACES = "DELETE FROM old_key WHERE session = ? AND expires <= ?"
_LEAD_ON = "INSERT OR REPLACE INTO old_key (key, session, moved_to, expires) VALUES (?, ?, ?, ?)"
_TOUCH = "UPDATE session SET touched = ?, expires = ? WHERE key = ? AND expires > ?"
_TOUCH_BY_OLD = (
    "UPDATE session SET touched = ?, expires = ? "
    "WHERE id = (SELECT session FROM old_key WHERE key = ? AND expires > ?) AND expires > ?"
)
_DELETE = "DELETE FROM session WHERE id = ?"
_LIST = f"SELECT {_COLUMNS} FROM session WHERE user = ? AND expires > ? ORDER BY touched"
_REVOKE = "DELETE FROM session WHERE user = ? AND expires > ? AND id IS NOT ?"
_REVOKE_ALL = "DELETE FROM session WHERE expires > ?"
_EXPIRED = "SELECT rowid FROM {} WHERE rowid > ? AND expires <= ? ORDER BY rowid LIMIT 1000"
_PURGE = "DELETE FROM {} WHERE rowid = ? AND expires <= ?"
_SCAN = f"SELECT {_COLUMNS} FROM session WHERE id > ? AND expires > ? ORDER BY id LIMIT 500"


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a row's blob holds."""

    values: dict[str, bytes]
    commits: list[str]  # the last ids, the latest at the end
    results: dict[str, list[Result]]  # of those that had operations

    def answer_to(self, commit_id: str) -> Answer | None:
        """Return the answer that this commit got when it was made."""
        if commit_id not in self.commits:
            return None
        return Answer("committed", tuple(self.results.get(commit_id, ())))


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Body).decode


class _Row(msgspec.Struct, frozen=True):
    """A row as it was read; ``key`` is "" if that was by an old key."""

    id: int
    key: str
    version: int
    generation: int
    touched: float
    expires: float
    body: bytes


class _Seen(msgspec.Struct, frozen=True):
    """The mark by which ``commit`` knows what ``load`` saw."""

    row: _Row
    body: _Body


class _OneFailed(Exception):
    """A call of a group raised something, which is kept in it."""


class SQLiteStore:
    """Keeps records in a SQLite file, made at the first use.

    Safe from threads, greenlets and processes at once; a forked child opens connections of
    its own. What is committed survives the end of the process; a power cut may lose the last
    moments, but never corrupts (WAL, ``synchronous=NORMAL``). The file has to lie on a local
    disk.

    A call may wait for the disk, and for others who write, so ASGI runs it in a thread, which
    takes some 100 µs. What requests want to write while the thread is busy is then written in
    one transaction, 64 at most, and answered when that is stored; each is merged, refused or an
    error as if it was alone. Where others lock the file a write may wait for twice the ``timeout``.
    All but one call: a session is loaded when it is first touched, by the event
    loop itself. That takes some 10 µs and waits for nobody who writes. The loop stands still
    for longer where a page is not in the system's cache, until the disk has answered, and for up
    to 0.1 s where readers are locked out too, while a process opens the file after another one's
    death. Once two loads within 10 s took over 50 ms, the sessions of the next 10 s are loaded
    before the view, in a thread, as they are until the file is open. ``loads_in_loop=False``
    has all loaded so.

    With ``is_blocking=False`` the event loop itself makes the calls, of 10 to 20 µs each. It
    stands still for longer than that while another process holds the file's lock (up to
    ``timeout``), when a page is not in the system's cache, and at each 1000th page that is
    written, which SQLite then moves into the file and waits until the disk has it. That is
    for one process per file and a fast disk.

    Each method raises StoreUnavailableError if the file is locked for too long, full,
    read-only where it has to be written, no database of ours, or if its directory is missing.
    On a row that cannot be read ``load`` raises CorruptRecordError; ``list`` and ``scan`` leave
    it out and log a line, a commit is ``"revoked"``, only ``delete`` removes it.

    :param path: the file; not ":memory:", of which each connection would have its own.
    :param clock: seconds since the epoch; of all processes the same.
    :param timeout: seconds to wait while others write, 5 by default.
    :param is_blocking: whether ASGI has to run the calls in a thread.
    :param loads_in_loop: whether, if so, the event loop itself loads; a subclass with a ``load``
        of its own never lets it.
    :raises SessionConfigError: a path that is none, or a negative timeout.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.time,
        timeout: float = 5.0,
        is_blocking: bool = True,
        loads_in_loop: bool = True,
    ) -> None:
        self.path = os.fspath(path)
        if self.path in ("", ":memory:"):
            raise SessionConfigError("path", f"{self.path!r} is no file; use MemoryStore()")
        if self.path.startswith("sqlite:"):
            raise SessionConfigError(
                "path", "it is a URL; use ctxlocal.sessions.stores.url.open_store(url)"
            )
        if timeout < 0:
            raise SessionConfigError("timeout", f"{timeout!r} is negative")
        self.name = f"sqlite {self.path}"
        self.is_blocking = is_blocking
        self._clock = clock
        self._connections = Connections(self.path, timeout)
        self.in_loop: InLoop | None = None  #: what an event loop loads by, if it may
        self._hasty: SQLiteStore | None = None
        # What a subclass makes of load may take any time.
        if is_blocking and loads_in_loop and type(self).load is SQLiteStore.load:
            most = min(timeout, MOST_WAIT)
            self._hasty = SQLiteStore(path, clock=clock, timeout=most, is_blocking=False)
            self.in_loop = InLoop(self, self._hasty)

    def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""
        row = self._run("load", _find, key, self._clock())
        return None if row is None else self._record(row)

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.create`."""
        now = self._clock()
        body = _pack(_Body(dict(sets), [], {}))
        row = (key, getrandbits(62), now, now + ttl, sets.get(USER), body)
        if self._run("create", _count, _INSERT_UNUSED, (*row, key)) == 1:
            return True
        return self._run("create", _create_again, row, now)

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.commit`."""
        now = self._clock()
        seen = None if base is None else base.version
        if (
            isinstance(seen, _Seen)
            and seen.row.key == key
            and not (change.ops and clears(change.ops))
        ):
            answer = self._run("commit", _replace, seen, generation, change, now, ttl)
            if answer is not None:
                return answer
        return self._run("commit", self._merge, key, generation, change, now, ttl)

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.move`."""
        return self._run("move", self._move, old, new, sets, ttl, grace)

    def touch(self, key: str, ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.touch`."""
        now = self._clock()
        values = (now, now + ttl, key, now)
        if self._run("touch", _count, _TOUCH, values) == 1:
            return True
        return self._run("touch", _count, _TOUCH_BY_OLD, (*values, now)) == 1

    def delete(self, key: str) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.delete`."""
        return self._run("delete", _delete, key, self._clock())

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.list`."""
        rows = self._run("list", _rows, _LIST, (user.encode(), self._clock()))
        return list(self._readable(rows))

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke`."""
        return self._run("revoke", self._revoke, user, except_key, handle)

    def revoke_everyone(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke_everyone`."""
        now = self._clock()
        count = self._run("revoke_everyone", _count, _REVOKE_ALL, (now,))
        self.purge()
        return count

    def purge(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.purge`.

        O(rows), of which each is read once. The file is locked while 1000 at a time are
        removed, not while they are looked for.
        """
        now = self._clock()
        purged = self._purge("session", now)
        self._purge("old_key", now)
        return purged

    def scan(self) -> Iterator[tuple[str, Record]]:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.scan`."""
        last = 0
        while rows := self._run("scan", _rows, _SCAN, (last, self._clock())):
            yield from self._readable(rows)
            last = rows[-1].id

    def stats(self) -> Stats:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.stats`. O(rows)."""
        sessions, size, users = 0, 0, set()
        for _, record in self.scan():
            sessions += 1
            size += sum(map(len, record.values)) + sum(map(len, record.values.values()))
            if USER in record.values:
                users.add(record.values[USER])
        return Stats(sessions, len(users), size)

    @property
    def groups(self) -> bool:
        """Whether writes may be done together: what a subclass does may want its own thread."""
        return type(self) is SQLiteStore

    def do_together(self, calls: Sequence[Call]) -> None:
        """See :meth:`ctxlocal.sessions.stores.grouped.Together.do_together`."""
        # A method that was put into this object, as tests do, would write past the transaction.
        if len(calls) == 1 or not WRITES.isdisjoint(vars(self)) or not self._do_as_one(calls):
            for call in calls:
                call.make(self)

    def _do_as_one(self, calls: Sequence[Call]) -> bool:
        """Make the calls in one transaction; False: that failed, and nothing was done."""
        begun: set[bool] = set()
        try:
            self._run("commit", self._make_each, calls, begun)
        except _OneFailed:
            return False
        except StoreUnavailableError as error:
            if begun:  # but it could not be stored, because of one of them perhaps
                return False
            for call in calls:
                call.fail(StoreUnavailableError(self.name, call.name), error.__cause__)
        return True

    def _make_each(self, connection: Connection, calls: Sequence[Call], begun: set[bool]) -> None:
        member = copy(self)
        member._connections = Lent(connection)
        with transaction(connection):
            begun.add(True)
            for call in calls:
                call.make(member)
                if call.error is not None:
                    raise _OneFailed

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that nobody uses at the moment."""
        return self._connections.has_idle

    def open(self) -> None:
        """Open a connection, if there is none, and the file with it."""
        self._run("load", _nothing)

    def close(self) -> None:
        """Close the connections; what is used afterwards is opened anew."""
        closed, self._connections = self._connections, self._connections.reopened()
        closed.close()
        if self._hasty is not None:
            self._hasty.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    def _run(
        self,
        operation: str,
        function: Callable[Concatenate[Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call ``function`` with a connection that nobody else uses meanwhile."""
        connections = self._connections
        if connections.process != os.getpid():
            connections = self._connections = connections.in_child()
        try:
            connection = connections.take()
            try:
                result = function(connection, *args, **kwargs)
            except BaseException:
                connections.drop(connection)
                raise
            connections.give(connection)
            return result
        except (sqlite3.Error, SessionConfigError) as error:
            raise StoreUnavailableError(self.name, operation) from error

    def _body(self, row: _Row) -> _Body:
        try:
            return _unpack(row.body)
        # ValueError: a name is no UTF-8; TypeError: it is no blob at all
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise CorruptRecordError(self.name, "a row's body is no msgpack of ours") from error

    def _record(self, row: _Row) -> Record:
        body = self._body(row)
        seen = _Seen(row, body)
        return Record(body.values.copy(), row.generation, row.touched, row.expires, seen)

    def _readable(self, rows: Sequence[_Row]) -> Iterator[tuple[str, Record]]:
        for row in rows:
            try:
                record = self._record(row)
            except CorruptRecordError as error:
                skip(error)
            else:
                yield row.key, record

    def _merge(
        self,
        connection: Connection,
        key: str,
        generation: int,
        change: Change,
        now: float,
        ttl: float,
    ) -> Answer:
        with transaction(connection):
            row = _find(connection, key, now)
            if row is None:
                return Answer("revoked")
            try:
                body = self._body(row)
            except CorruptRecordError:  # load says so
                return Answer("revoked")
            if (known := body.answer_to(change.commit_id)) is not None:
                return known
            if row.generation != generation:
                return Answer("conflict")
            if (applied := _apply(change, body)) is None:
                return Answer("conflict")
            after, answer = applied
            values = (row.version + 1, now, now + ttl, _pack(after))
            connection.execute(_REPLACE, (*values, row.id, row.version, now))
            if clears(change.ops):
                connection.execute(_CLEAR, (row.generation + 1, change.sets.get(USER), row.id))
            return answer

    def _move(
        self,
        connection: Connection,
        old: str,
        new: str,
        sets: Mapping[str, bytes],
        ttl: float,
        grace: float,
    ) -> bool:
        now = self._clock()
        with transaction(connection):
            row = _find(connection, old, now)
            if row is None or row.key != old:
                if connection.execute(_WAS_MOVED, (old, new, now)).fetchone():
                    return True  # it is the same move again
                if row is None or grace > 0:
                    return False
            if connection.execute(_IS_USED, (new, new, now)).fetchone():
                return False
            try:
                body = self._body(row)
            except CorruptRecordError:
                return False
            body.values.update(sets)
            generation = row.generation if grace > 0 else row.generation + 1
            moved = (new, row.version + 1, generation, now, now + ttl, body.values.get(USER))
            connection.execute(_MOVE, (*moved, _pack(body), row.id))
            connection.execute(_END_GRACES, (row.id, now if grace > 0 else _FOR_EVER))
            connection.execute(_LEAD_ON, (old, row.id, new, now + max(grace, 0)))
            return True

    def _revoke(
        self, connection: Connection, user: str, except_key: str | None, handle: str | None
    ) -> int:
        now = self._clock()
        of_user = (user.encode(), now)
        with transaction(connection):
            spared = None if except_key is None else _find(connection, except_key, now)
            spared_id = None if spared is None else spared.id
            if handle is None:
                return _count(connection, _REVOKE, (*of_user, spared_id))
            named = [
                (row.id,)
                for row in _rows(connection, _LIST, of_user)
                if row.id != spared_id and self._is_named(row, handle.encode())
            ]
            return connection.executemany(_DELETE, named).rowcount if named else 0

    def _is_named(self, row: _Row, handle: bytes) -> bool:
        try:
            return self._body(row).values.get(HANDLE) == handle
        except CorruptRecordError:  # it can be ended by its user alone
            return False

    def _purge(self, table: str, now: float) -> int:
        expired, purge = _EXPIRED.format(table), _PURGE.format(table)
        purged, last = 0, 0
        while found := self._run("purge", _ids, expired, (last, now)):
            purged += self._run("purge", _delete_each, purge, [(row, now) for row in found])
            last = found[-1]
        return purged


def _apply(change: Change, body: _Body) -> tuple[_Body, Answer] | None:
    """Return the body after a commit, and the answer; None is a conflict."""
    values = body.values.copy()
    results = merge(values, change)
    if results is None:
        return None
    commits = body.commits[1 - KEPT_COMMITS :]
    commits.append(change.commit_id)
    kept = body.results
    if kept or results:
        kept = {key: kept[key] for key in commits if key in kept}
        if results:
            kept[change.commit_id] = list(results)
    after = _Body(values, commits, kept)
    return after, Answer("committed", results) if results else _COMMITTED


def _replace(
    connection: Connection,
    seen: _Seen,
    generation: int,
    change: Change,
    now: float,
    ttl: float,
) -> Answer | None:
    """Commit if the row is still as it was seen; None leaves it to who holds the lock."""
    row, body = seen.row, seen.body
    if row.generation != generation or change.commit_id in body.commits:
        return None
    if (applied := _apply(change, body)) is None:
        return None
    after, answer = applied
    values = (row.version + 1, now, now + ttl, _pack(after), row.id, row.version, now)
    return answer if connection.execute(_REPLACE, values).rowcount == 1 else None


def _nothing(connection: Connection) -> None:
    pass


def _rows(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[_Row]:
    return [_Row(*row) for row in connection.execute(statement, values)]


def _count(connection: Connection, statement: str, values: tuple[Any, ...]) -> int:
    return connection.execute(statement, values).rowcount


def _ids(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[int]:
    return [row for (row,) in connection.execute(statement, values)]


def _delete_each(connection: Connection, statement: str, values: Sequence[tuple[Any, ...]]) -> int:
    with transaction(connection):
        return connection.executemany(statement, values).rowcount


def _find(connection: Connection, key: str, now: float) -> _Row | None:
    """Return the live row that a key leads to.

    A key turns from the row's own into an old one, then into none, and never back: so two
    looks, one after the other, miss nothing.
    """
    found = connection.execute(_SELECT, (key,)).fetchone()
    if found is None:
        found = connection.execute(_SELECT_BY_OLD, (key, now)).fetchone()
    if found is None or found[5] <= now:
        return None
    return _Row(*found)


def _create_again(connection: Connection, row: tuple[Any, ...], now: float) -> bool:
    """Create a record where one has expired; False if it has not."""
    key = row[0]
    with transaction(connection):
        if _find(connection, key, now) is not None:
            return False
        connection.execute("DELETE FROM session WHERE key = ?", (key,))
        connection.execute("DELETE FROM old_key WHERE key = ?", (key,))
        connection.execute(_INSERT, row)
        return True


def _delete(connection: Connection, key: str, now: float) -> bool:
    with transaction(connection):
        row = _find(connection, key, now)
        if row is not None:
            connection.execute(_DELETE, (row.id,))
        return row is not None
