"""The tables of the SQL store in an application's migrations, by Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata, produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Integer, MetaData, Table, text

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.protocol import Change
from ctxlocal.sessions.stores.sql import SQLStore, make_tables

from .racing import KEY, TTL

NAME = "migrated"


@pytest.fixture
def engine(database_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(database_url)
    yield engine
    application().drop_all(engine)
    engine.dispose()


def application() -> MetaData:
    """Return what an application has, sessions among it."""
    metadata = MetaData()
    Table("of_the_application", metadata, Column("id", Integer, primary_key=True))
    make_tables(NAME, metadata=metadata)
    return metadata


def context(connection: sqlalchemy.Connection) -> MigrationContext:
    """Return one of a database in which the tables of other tests may be."""

    def is_ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or (name or "").startswith((NAME, "of_the_application"))

    return MigrationContext.configure(connection, opts={"include_name": is_ours})


def changes(engine: sqlalchemy.Engine) -> list[Any]:
    """Return what a migration would do."""
    with engine.connect() as connection:
        found = compare_metadata(context(connection), application())
    return [(change[0], change[1].name) for change in found]


def migrate(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        made = context(connection)
        steps = produce_migrations(made, application()).upgrade_ops
        assert steps is not None
        for step in steps.ops:
            run(Operations(made), step)


def run(operations: Operations, step: Any) -> None:
    for each in getattr(step, "ops", [step]) if not hasattr(step, "columns") else [step]:
        operations.invoke(each)


def test_a_migration_makes_what_a_store_makes(engine: sqlalchemy.Engine) -> None:
    migrate(engine)
    assert changes(engine) == []
    store = SQLStore(engine, table=NAME)
    store.create_table()
    assert changes(engine) == []
    assert store.create(KEY, {"a": b"1"}, TTL)
    assert store.commit(KEY, 0, Change("c", {"b": b"x" * 70_000}), TTL).outcome == "committed"


def test_a_migration_leaves_alone_what_a_store_has_made(engine: sqlalchemy.Engine) -> None:
    SQLStore(engine, table=NAME).create_table()
    assert changes(engine) == [("add_table", "of_the_application")]


def test_a_migration_takes_away_the_index_of_an_older_version(engine: sqlalchemy.Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE INDEX ix_{NAME}_expires ON {NAME} (expires)"))
    assert changes(engine) == [("remove_index", f"ix_{NAME}_expires")]
    migrate(engine)
    assert changes(engine) == []


@pytest.mark.postgresql
def test_a_store_is_in_the_schema_that_it_is_told(postgresql_url: str) -> None:
    engine = sqlalchemy.create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA apart"))
    store, other = SQLStore(engine, table=NAME, schema="apart"), SQLStore(engine, table=NAME)
    assert store.create(KEY, {"a": b"1"}, TTL)
    assert other.load(KEY) is None
    assert store.move(KEY, "another", {}, TTL, 100)
    assert store.load(KEY) is not None
    assert store.revoke_everyone() == 1
    metadata = make_tables(NAME, schema="apart").records.metadata
    assert {table.schema for table in metadata.tables.values()} == {"apart"}
    metadata.drop_all(engine)
    make_tables(NAME).records.metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE apart.{NAME} (key text)"))
    with pytest.raises(StoreUnavailableError) as caught:
        SQLStore(engine, table=NAME, schema="apart").load(KEY)
    assert isinstance(caught.value.__cause__, SessionConfigError)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA apart CASCADE"))
    engine.dispose()


@pytest.mark.postgresql
def test_tables_that_are_there_need_no_right_to_make_them(postgresql_url: str) -> None:
    admin = sqlalchemy.create_engine(postgresql_url)
    SQLStore(admin, table=NAME).create_table()
    with admin.begin() as connection:
        connection.execute(text("CREATE ROLE visitor LOGIN"))
        rights = f"SELECT, INSERT, UPDATE, DELETE ON {NAME}, {NAME}_old_keys"
        connection.execute(text(f"GRANT {rights} TO visitor"))
    url = sqlalchemy.make_url(postgresql_url).set(username="visitor")
    store = SQLStore.from_url(str(url), table=NAME)
    assert store.create(KEY, {}, TTL)
    assert store.revoke_everyone() == 1
    store.close()
    application().drop_all(admin)
    with admin.begin() as connection:
        connection.execute(text("DROP ROLE visitor"))
    admin.dispose()
