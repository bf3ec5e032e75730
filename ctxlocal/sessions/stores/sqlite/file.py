"""Connections to a file of sessions, its layout, and what must hold before it is used.

A connection goes on with the file that it opened, also when that was removed or another one
was put in its place. So each connection knows which file it opened (device and inode, which
nobody else gets as long as it is open), and is closed when that is no longer the one at the
path. See https://sqlite.org/howtocorrupt.html, 2.4, for what becomes of one that is not.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ...errors import SessionConfigError

_APPLICATION = 0x63747873  # "ctxs": marks a file as ours (PRAGMA application_id)
_LAYOUT = 2  # of the tables below (PRAGMA user_version)
_MOST_IDLE = 8
_TRIES = 5  # to open a file that nobody replaces meanwhile

# Without an index on the time of expiry: with one, load and commit take 70 us instead of 40
# (500 sessions in turn). Only purge would gain, which reads the table from end to end instead.
#
# A session is one row of ``session`` for as long as it lives; a renewal changes its key there.
# The keys that it had before are rows of ``old_key``, which lead to it until their grace ends.
# SQLite gives the id of a removed row to another one: hence the trigger, which leaves nothing
# that could lead there.
_TABLES = (
    """CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        key TEXT UNIQUE NOT NULL,
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        touched REAL NOT NULL,
        expires REAL NOT NULL,
        user BLOB,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX session_user ON session (user) WHERE user IS NOT NULL",
    """CREATE TABLE old_key (
        key TEXT PRIMARY KEY NOT NULL,
        session INTEGER NOT NULL,
        moved_to TEXT NOT NULL,
        expires REAL NOT NULL
    )""",
    "CREATE INDEX old_key_session ON old_key (session, expires)",
    """CREATE TRIGGER session_end AFTER DELETE ON session
        BEGIN DELETE FROM old_key WHERE session = OLD.id; END""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_LAYOUT}",
)

# Each commit writes whole pages; a record takes a few hundred bytes. Only a new file obeys.
_PAGES = "PRAGMA page_size = 2048"

_inherited: list[Connections] = []  # by a fork: SQLite forbids even to close them in the child


_Identity = tuple[int, int]  # device and inode

if sys.platform == "win32":  # there nobody can remove or replace a file that is open

    def _identify(path: str) -> _Identity | None:
        return None

    def _make(path: str) -> None:
        pass

else:
    import fcntl

    def _identify(path: str) -> _Identity | None:
        """Return which file is at the path; None: none that we can see."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _make(path: str) -> None:
        """Make an empty file where there is none, without what a removed one left beside it.

        Its shared memory would be ours too: that of processes which still use the removed
        file. Where this cannot be done, SQLite makes the file, or says why it cannot.
        """
        path = os.path.realpath(path)
        with suppress(OSError), _locked(os.path.dirname(path)):
            if os.path.exists(path):
                return
            for left in (_log(path), f"{path}-shm"):
                with suppress(FileNotFoundError):
                    os.remove(left)
            new = f"{path}-new"
            # Closed before anybody sees it: with a file's descriptor its locks would go.
            os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o644))
            os.rename(new, path)

    @contextmanager
    def _locked(directory: str) -> Iterator[None]:
        """Keep out other processes that are about to make a file there, or wait for them."""
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Connection(sqlite3.Connection):
    """One that knows which file it opened, and that file's write-ahead log."""

    file: _Identity | None = None
    log: _Identity | None = None


class Connections:
    """The open connections of one process that nobody uses at the moment.

    Whoever needs one takes it and gives it back: so none is ever used by two threads,
    greenlets or finalisers at once, whatever switches, and none outlives its use for long.

    :param timeout: seconds to wait for another connection's lock.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path = os.path.abspath(path)  # the same file wherever the process goes
        self._timeout = timeout
        self._idle: deque[Connection] = deque()
        self._latest: Connection | None = None  # that was opened
        self._is_closed = False
        self.process = os.getpid()

    def in_child(self) -> Connections:
        """Return what a forked child uses in its place."""
        _inherited.append(self)
        return Connections(self._path, self._timeout)

    def reopened(self) -> Connections:
        """Return what takes its place when it is closed."""
        return Connections(self._path, self._timeout)

    @property
    def has_idle(self) -> bool:
        """Whether one is open that nobody uses, in this process or the one that forked it."""
        return bool(self._idle)

    def take(self) -> Connection:
        """Return a connection of one's own, to the file that is at the path now."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._open()
        if connection.file == _identify(self._path):
            return connection
        return self._leave(connection)

    def give(self, connection: Connection) -> None:
        """Give back one that is in order."""
        if self._is_closed or len(self._idle) >= _MOST_IDLE:
            self.drop(connection)
        else:
            self._idle.append(connection)
            if self._is_closed:  # since a moment ago
                self.close()

    def drop(self, connection: Connection) -> None:
        """Close one, whatever state it is in. Others may get its file's number then."""
        if connection is self._latest:
            self._latest = None
        connection.close()

    def close(self) -> None:
        """Close what is idle now, and each other one when it is given back."""
        self._is_closed = True
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _leave(self, stale: Connection) -> Connection:
        """Return a connection to the file that is there now, and close those to a former one.

        Not before: until then they keep the numbers of their files from being given to others.
        """
        former = [stale]
        with suppress(IndexError):
            while True:
                former.append(self._idle.pop())
        try:
            connection = self._open()
        except BaseException:
            self._idle.extend(former)
            raise
        for each in former:
            self.drop(each)
        return connection

    def _open(self) -> Connection:
        """Open the file that is at the path, and nothing that comes or goes meanwhile."""
        for _ in range(_TRIES):
            if (file := _identify(self._path)) is None:
                _make(self._path)
                file = _identify(self._path)
            self._refuse_former_log(file)
            connection = self._connect("rwc" if file is None else "rw")
            if _identify(self._path) == file:
                connection.file = file
                connection.log = _identify(_log(self._path))
                self._latest = connection
                return connection
            connection.close()
        raise sqlite3.OperationalError("the file is replaced again and again")

    def _refuse_former_log(self, file: _Identity | None) -> None:
        """Refuse a file beside which the log of the one before it was left.

        SQLite would put the pages in that log over those of the file.
        """
        former = self._latest
        if former is None or former.log is None or former.file == file:
            return
        if _identify(_log(self._path)) == former.log:
            raise SessionConfigError(
                "path",
                f"{self._path!r} was replaced, but the file beside it that ends in -wal is still "
                "the former one's. Stop every process that uses it, remove the files that end in "
                "-wal and -shm, and start again",
            )

    def _connect(self, mode: str) -> Connection:
        connection = sqlite3.connect(
            f"{_uri(self._path)}?mode={mode}",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            if not _is_ours(connection, self._path):
                self._prepare(connection)
            connection.execute("PRAGMA synchronous = NORMAL")  # in WAL nothing can be torn
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                connection.execute(_PAGES)
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:  # SQLite itself does not wait here
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        with transaction(connection):
            if not _is_ours(connection, self._path):  # another process was first
                for statement in _TABLES:
                    connection.execute(statement)


class Lent(Connections):
    """The one connection of a store that works within a transaction of another."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.process = os.getpid()

    def take(self) -> Connection:
        """Return it."""
        return self._connection

    def give(self, connection: Connection) -> None:
        """Leave it to whoever lent it."""

    drop = give  # what failed, that one undoes


def _uri(path: str) -> str:
    # Not Path.as_uri, which from Python 3.14 on loads urllib.request, an HTTP client, at the first
    # use: where a server that has given up its rights may not read.
    return "file:///" + quote(os.fsencode(Path(path).as_posix().removeprefix("/")))


def _log(path: str) -> str:
    """Return where SQLite writes ahead; it follows symbolic links first."""
    return f"{os.path.realpath(path)}-wal"


def _is_ours(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file has our tables; False if it is empty.

    :raises SessionConfigError: it is somebody else's, or of another version.
    """
    # In this order: another process may make the tables in between, all at once.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if application == _APPLICATION:
        if layout != _LAYOUT:
            raise SessionConfigError(
                "path",
                f"the sessions in {path!r} are of layout {layout}; this version of ctxlocal "
                f"knows layout {_LAYOUT} alone. Remove the file, which ends the sessions in it, "
                "or use another one",
            )
        return True
    if tables or application:
        raise SessionConfigError(
            "path", f"{path!r} is a database of something else. Use a file of its own for sessions"
        )
    return False


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the file's write lock; what is done within is stored as one, or not at all.

    Within another one it is a part of that, which has to be undone as a whole.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it itself after some errors
            connection.execute("ROLLBACK")
        raise
