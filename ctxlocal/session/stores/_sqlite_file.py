"""Connections to a file of sessions, its layout, and what must hold before it is used."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SessionConfigError

_APPLICATION = 0x63747873  # "ctxs": marks a file as ours (PRAGMA application_id)
_LAYOUT = 2  # of the tables below (PRAGMA user_version)
_MOST_IDLE = 8

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


class Connections:
    """The open connections of one process that nobody uses at the moment.

    Whoever needs one takes it and gives it back: so none is ever used by two threads,
    greenlets or finalisers at once, whatever switches, and none outlives its use for long.

    :param timeout: seconds to wait for another connection's lock.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_closed = False
        self.process = os.getpid()

    def in_child(self) -> Connections:
        """Return what a forked child uses in its place."""
        _inherited.append(self)
        return Connections(self._path, self._timeout)

    def reopened(self) -> Connections:
        """Return what takes its place when it is closed."""
        return Connections(self._path, self._timeout)

    def take(self) -> sqlite3.Connection:
        """Return a connection of one's own."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def give(self, connection: sqlite3.Connection) -> None:
        """Give back one that is in order."""
        if self._is_closed or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)
            if self._is_closed:  # since a moment ago
                self.close()

    def close(self) -> None:
        """Close what is idle now, and each other one when it is given back."""
        self._is_closed = True
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
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
    """Hold the file's write lock; what is done within is stored as one, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it itself after some errors
            connection.execute("ROLLBACK")
        raise
