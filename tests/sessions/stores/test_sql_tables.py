"""The tables of the SQL store, on each database: their names, indexes, and what empties them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import delete, event, func, insert, select, text

from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from tests.support.pages import ROOT

from .racing import KEY, TTL
from .test_sql import Clock

STEP = 1000
#: What a commit, or a touch, changes of a row.
CHANGED = {"fields", "recent", "version", "touched", "expires"}


@pytest.fixture
def engine(database_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(database_url)
    yield engine
    engine.dispose()


def filled(engine: sqlalchemy.Engine, rows: int, expires: float) -> SQLStore:
    """Return a store of some records, of which as many old keys lead to the first."""
    store = SQLStore(engine, clock=Clock())
    store.revoke_everyone()
    tables = store._operations._tables
    blank = {"fields": b"\x80", "recent": b"\x90", "version": 1, "generation": 0, "touched": 0.0}
    keys = [{"key": f"{n:064}", "id": n + 1, "expires": expires} for n in range(rows)]
    with engine.begin() as connection:
        connection.execute(delete(tables.old_keys))
        connection.execute(insert(tables.records), [{**blank, **key} for key in keys])
        connection.execute(
            insert(tables.old_keys), [{**key, "id": 1, "moved_to": ""} for key in keys]
        )
    return store


def left(store: SQLStore, engine: sqlalchemy.Engine) -> list[int]:
    with engine.connect() as connection:
        tables = store._operations._tables
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        ]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("ending", ["purge", "revoke_everyone"])
def test_what_ends_many_goes_in_steps_that_stay_when_it_is_interrupted(
    engine: sqlalchemy.Engine, ending: str
) -> None:
    is_purge = ending == "purge"
    store = filled(engine, 2 * STEP + 500, 10.0 if is_purge else Clock.now + TTL)
    assert store.create(KEY, {}, TTL)
    removed: list[int] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(f"DELETE FROM {store._operations._table.name} "):
            removed.append(cursor.rowcount)

    def stop(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if len(removed) == 1 and statement.startswith("DELETE"):
            raise Interrupted

    event.listen(engine, "after_cursor_execute", note)
    event.listen(engine, "before_cursor_execute", stop)
    with pytest.raises(Interrupted):
        getattr(store, ending)()
    event.remove(engine, "before_cursor_execute", stop)
    assert left(store, engine)[0] == STEP + 500 + 1
    ended = getattr(store, ending)()
    assert ended == STEP + 500 + (not is_purge)
    assert max(removed) == STEP
    assert (store.load(KEY) is not None) == is_purge
    if is_purge:
        assert left(store, engine) == [1, 0]


@pytest.mark.postgresql
def test_what_the_docs_let_pg_cron_do_removes_the_same(postgresql_url: str) -> None:
    engine = sqlalchemy.create_engine(postgresql_url)
    store = filled(engine, 20, 10.0)
    SQLStore(engine).create(KEY, {}, TTL)
    jobs = (ROOT / "docs" / "sessions.md").read_text().split("$$")[1::2]
    with engine.begin() as connection:
        for job in jobs:
            connection.execute(text(job))
    assert left(store, engine) == [1, 0]
    engine.dispose()


def test_what_each_request_changes_is_in_no_index(engine: sqlalchemy.Engine) -> None:
    store = SQLStore(engine)
    store.create_table()
    indexes = sqlalchemy.inspect(engine).get_indexes("ctxlocal_sessions")
    assert not CHANGED & {column for index in indexes for column in index["column_names"]}


LONGEST = {"postgresql": 43, "mysql": 44}


def test_a_name_of_the_greatest_length_works(engine: sqlalchemy.Engine) -> None:
    store = SQLStore(engine, table="t" * LONGEST[engine.dialect.name])
    store.create_table()
    assert store.create(KEY, {}, TTL)
    assert store.purge() == 0
    store._operations._table.metadata.drop_all(engine)


@pytest.mark.parametrize(
    ("kind", "url", "limit"),
    [
        (SQLStore, "postgresql+psycopg://h/n", 63),
        (AsyncSQLStore, "postgresql+psycopg://h/n", 63),
        (SQLStore, "mysql+pymysql://h/n", 64),
    ],
)
@pytest.mark.parametrize("letter", ["t", "é"])
def test_a_name_that_is_too_long_for_an_index_is_refused_at_once(
    kind: Any, url: str, limit: int, letter: str
) -> None:
    name = letter * 45
    with pytest.raises(SessionConfigError) as caught:
        kind.from_url(url, table=name)
    database = url.partition("+")[0]
    assert str(caught.value) == (
        f"table: {name!r} is too long: 'ix_{name}_old_keys_expires' goes with it, of which "
        f"{database} takes no more than {limit} bytes"
    )
