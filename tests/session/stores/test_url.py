"""Stores by URL; no message shows one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ctxlocal.session.errors import SessionConfigError
from ctxlocal.session.stores.memory import MemoryStore
from ctxlocal.session.stores.sqlite import SQLiteStore
from ctxlocal.session.stores.url import open_async_store, open_store
from ctxlocal.session.threaded import ThreadedStore

EXAMPLES = (
    "Use memory:, sqlite:///relative.db, sqlite:////absolute.db, redis://host, "
    "postgresql+psycopg://host/name, or another URL of SQLAlchemy"
)


def test_memory() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize("path", ["relative.db", "/absolute/it is.db"])
def test_sqlite(path: str) -> None:
    store = open_store(f"sqlite:///{path}")
    assert isinstance(store, SQLiteStore)
    assert store.path == path


def test_async_stores_run_blocking_ones_in_threads(tmp_path: Path) -> None:
    for url in ("memory:", f"sqlite:///{tmp_path}/a.db"):
        assert isinstance(open_async_store(url), ThreadedStore)


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
@pytest.mark.parametrize("url", ["", "secret", "nothing:secret", "/secret.db"])
def test_no_url_is_refused(open_it: type, url: str) -> None:
    message = f"^{re.escape(f'url: it names no kind of store. {EXAMPLES}')}$"
    with pytest.raises(SessionConfigError, match=message):
        open_it(url)


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
@pytest.mark.parametrize("rest", ["user:secret@host/db", "user:secret@host:port/db"])
def test_an_unknown_kind_is_refused_without_showing_the_password(open_it: type, rest: str) -> None:
    pytest.importorskip("sqlalchemy")
    problem = f"there is no kind of store 'mongodb', or the rest is malformed. {EXAMPLES}"
    with pytest.raises(SessionConfigError, match=f"^url: {re.escape(problem)}$") as caught:
        open_it(f"mongodb://{rest}")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://a.db", "sqlite:///a.db?x=1"])
def test_a_sqlite_url_without_a_plain_path_is_refused(url: str) -> None:
    message = (
        "url: a path has to follow, and no more: sqlite:///relative.db, sqlite:////absolute.db"
    )
    with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
        open_store(url)


def test_memory_takes_no_more() -> None:
    with pytest.raises(SessionConfigError, match=r"^url: memory: takes nothing after the colon$"):
        open_store("memory:x")
