"""The tables of the SQL store, and what a table that is there already must be like."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Double,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    inspect,
)
from sqlalchemy.dialects import mysql

from ...errors import SessionConfigError

NAME = "ctxlocal_sessions"
MYSQL = ("mysql", "mariadb")
# A BLOB of theirs holds 64 KB, a LONGBLOB 4 GB, more than any packet that they take.
_Blob = LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)
# Theirs that are compared as they are: by default a key equals its capital letters.
_Key = String(64).with_variant(mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), *MYSQL)


class Tables(NamedTuple):
    """Where records are, and where old keys lead."""

    records: Table
    old_keys: Table


def make_tables(
    name: str = NAME, *, schema: str | None = None, metadata: MetaData | None = None
) -> Tables:
    """Describe the tables: one row a session, and one for each key that it had before.

    For migrations: put into the application's MetaData, Alembic sees them as its own. What a store
    creates by itself is the same. They look into nothing but times, users and handles. Of these
    two there is SHA-256, so that any text can be one, of any length.

    A record's expiry is in no index: each request changes it, and PostgreSQL would then make a
    new entry in every index, where it makes none now (heap-only tuples): 42 % less to write
    ahead. InnoDB, which locks what it looks through, would let two that commit at once wait for
    each other. Only a purge would gain.
    https://www.postgresql.org/docs/current/storage-hot.html

    :param name: what the store's ``table`` is; its indexes are named after it.
    :param schema: what the store's ``schema`` is; None is the connection's own.
    :param metadata: where the two are put; None is a new one, ``tables.records.metadata``.
    :raises InvalidRequestError: of SQLAlchemy: ``metadata`` has a table of that name.
    """
    metadata = MetaData() if metadata is None else metadata
    records = Table(
        name,
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("key", _Key, nullable=False),
        Column("fields", _Blob, nullable=False),
        Column("recent", _Blob, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("touched", Double, nullable=False),
        Column("expires", Double, nullable=False),
        Column("user_hash", _Key),
        Column("handle_hash", _Key),
        Index(f"ix_{name}_key", "key", unique=True),
        Index(f"ix_{name}_user", "user_hash"),
        schema=schema,
    )
    old_keys = Table(
        f"{name}_old_keys",
        metadata,
        Column("key", _Key, primary_key=True),
        Column("id", BigInteger, nullable=False),
        Column("moved_to", _Key, nullable=False),
        Column("expires", Double, nullable=False),
        Index(f"ix_{name}_old_keys_id", "id", "expires"),
        Index(f"ix_{name}_old_keys_expires", "expires"),
        schema=schema,
    )
    return Tables(records, old_keys)


def refuse_long_names(tables: Tables, dialect: Dialect) -> None:
    """Refuse a table one of whose indexes the database could not name.

    :raises SessionConfigError: its name is too long.
    """
    limit = min(dialect.max_identifier_length, dialect.max_index_name_length or sys.maxsize)
    indexes = [index.name or "" for table in tables for index in table.indexes]
    longest = max([table.name for table in tables] + indexes, key=len)
    if len(longest.encode()) > limit:
        raise SessionConfigError(
            "table",
            f"{tables.records.name!r} is too long: {longest!r} goes with it, of which "
            f"{dialect.name} takes no more than {limit} bytes",
        )


def create_missing(connection: Connection, tables: Tables) -> None:
    """Create what is missing.

    :raises SessionConfigError: a table is there that another version of ctxlocal made, or
        somebody else.
    """
    there = inspect(connection)
    for table in tables:
        if there.has_table(table.name, table.schema):
            found = there.get_columns(table.name, table.schema)
            columns = {column["name"]: column["type"] for column in found}
            _refuse_layout(table, columns)
            _refuse_short_blobs(table, columns)
    tables.records.metadata.create_all(connection, tables)


def _refuse_layout(table: Table, columns: Mapping[str, object]) -> None:
    if lacking := [column.name for column in table.c if column.name not in columns]:
        raise SessionConfigError(
            "table",
            f"the database has a table {table.name!r} of another layout, without the columns "
            f"{', '.join(lacking)}. Drop it, which ends the sessions in it, or give the store "
            "another name: table=...",
        )


def _refuse_short_blobs(table: Table, columns: Mapping[str, object]) -> None:
    """Refuse a table of MySQL or MariaDB that holds 64 KB a session, as former versions made."""
    if any(isinstance(columns[column.name], mysql.BLOB) for column in table.c):
        raise SessionConfigError(
            "table",
            f"the table {table.name!r} holds 64 KB of a session, and no more. Keep its sessions: "
            f"ALTER TABLE `{table.name}` MODIFY `fields` LONGBLOB NOT NULL, MODIFY `recent` "
            "LONGBLOB NOT NULL",
        )
