"""Stores of others: registered, or brought by an installed package; each opens by its URL."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from ctxlocal.cli.commands import ctxlocal
from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.stores import plugins, register_store
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Store
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.sessions.stores.url import open_async_store, open_store
from ctxlocal.testing import check_store

MODULE = """
from ctxlocal.sessions.stores.sqlite import SQLiteStore

class Kept(SQLiteStore):
    def create_table(self): raise AssertionError("the command line looks, and makes nothing")

def open_store(url):
    return Kept(url.partition("://")[2])
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is registered, which is forgotten after the test."""
    empty: dict[str, Any] = {}
    monkeypatch.setattr(plugins, "_registered", empty)
    return empty


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module, with an entry point for each scheme."""

    def install(module: str, source: str, **schemes: str) -> None:
        where = tmp_path / module
        metadata = where / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (where / f"{module}.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = "".join(f"{scheme} = {value}\n" for scheme, value in schemes.items())
        (metadata / "entry_points.txt").write_text(f"[ctxlocal.stores]\n{lines}")
        monkeypatch.syspath_prepend(where)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def blocking(made: Callable[[str], Store]) -> Any:
    return SimpleNamespace(open_store=made)


class TestRegistered:
    def test_it_opens_the_urls_of_its_scheme(self) -> None:
        seen: list[str] = []
        store = MemoryStore()

        def make(url: str) -> Store:
            seen.append(url)
            return store

        register_store("kept", blocking(make))
        assert open_store("kept://host/name?x=1") is store
        assert seen == ["kept://host/name?x=1"]

    def test_it_is_tested_as_every_store_is(self) -> None:
        register_store("kept", blocking(lambda url: MemoryStore()))
        check_store(lambda: open_store("kept://"))

    def test_one_that_blocks_is_run_in_threads(self) -> None:
        register_store("kept", blocking(lambda url: MemoryStore()))
        assert isinstance(open_async_store("kept://"), ThreadedStore)

    def test_one_that_does_not_is_taken_as_it_is(self) -> None:
        store = ThreadedStore(MemoryStore())
        both = blocking(lambda url: MemoryStore())
        both.open_async_store = lambda url: store
        register_store("kept", both)
        assert open_async_store("kept://") is store

    def test_the_last_one_counts(self) -> None:
        first, last = MemoryStore(), MemoryStore()
        register_store("kept", blocking(lambda url: first))
        register_store("kept", blocking(lambda url: last))
        assert open_store("kept://") is last

    @pytest.mark.parametrize(
        "scheme",
        [
            *("memory", "sqlite", "redis", "rediss", "unix", "redis+cluster", "redis+any"),
            *("postgres", "postgresql", "postgresql+psycopg", "mysql", "mariadb+pymysql"),
        ],
    )
    def test_our_own_schemes_are_refused(self, scheme: str) -> None:
        message = f"scheme: {scheme!r} is ctxlocal's own; choose another"
        with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
            register_store(scheme, blocking(lambda url: MemoryStore()))

    @pytest.mark.parametrize("scheme", ["", "Kept", "kept://", "kept:", "1kept", "two words"])
    def test_what_is_no_scheme_is_refused(self, scheme: str) -> None:
        message = f"scheme: {scheme!r} is none: small letters, digits, + . -"
        with pytest.raises(SessionConfigError, match=f"^{re.escape(message)}$"):
            register_store(scheme, blocking(lambda url: MemoryStore()))

    def test_an_object_that_opens_nothing_is_refused(self) -> None:
        message = r"^opener: what opens kept:// needs a function open_store\(url\); got 1$"
        with pytest.raises(SessionConfigError, match=message):
            register_store("kept", 1)  # type: ignore[arg-type]


class TestInstalled:
    def test_it_is_imported_when_its_url_is_opened_and_not_before(
        self, install: Install, tmp_path: Path
    ) -> None:
        install("kept_sessions", MODULE, kept="kept_sessions")
        open_store("memory:")
        open_store(f"sqlite:///{tmp_path}/a.db")
        with pytest.raises(SessionConfigError):
            open_store("bogus://")
        assert "kept_sessions" not in sys.modules
        store = open_store(f"kept://{tmp_path}/a.db")
        assert isinstance(store, SQLiteStore)
        assert "kept_sessions" in sys.modules
        assert isinstance(open_async_store(f"kept://{tmp_path}/a.db"), ThreadedStore)

    def test_the_command_line_takes_it(self, install: Install, tmp_path: Path) -> None:
        install("kept_sessions", MODULE, kept="kept_sessions")
        url = f"kept://{tmp_path}/a.db"
        store = open_store(url)
        assert store.create("a" * 64, {}, 60)
        store.close()
        done = CliRunner().invoke(ctxlocal, ["sessions", "stats", "--store", url])
        assert done.output == "1 session, 0 users, 0 bytes\n"
        done = CliRunner().invoke(ctxlocal, ["sessions", "stats", "--store", f"{url}.none"])
        assert done.output == f"Error: there is no file '{tmp_path}/a.db.none'\n"

    def test_what_is_registered_comes_first(self, install: Install) -> None:
        install("kept_sessions", MODULE, kept="kept_sessions")
        store = MemoryStore()
        register_store("kept", blocking(lambda url: store))
        assert open_store("kept://a.db") is store
        assert "kept_sessions" not in sys.modules

    def test_our_own_schemes_are_not_taken(self, install: Install) -> None:
        install("greedy", "raise AssertionError", memory="greedy", redis="greedy", mysql="greedy")
        assert isinstance(open_store("memory:"), MemoryStore)
        assert open_store("redis://host").name == "redis://host:6379/0"
        assert open_store("mysql+pymysql://host/name").name == "mysql://host/name"

    @pytest.mark.parametrize(
        ("source", "value", "reason"),
        [
            ("import nothing_like_it", "broken", "No module named 'nothing_like_it'"),
            ("raise RuntimeError('no')", "broken", "RuntimeError: no"),
            ("", "broken:opener", "module 'broken' has no attribute 'opener'"),
        ],
    )
    def test_one_that_cannot_be_imported_is_named(
        self, install: Install, source: str, value: str, reason: str
    ) -> None:
        install("broken", source, kept=value)
        for open_it in (open_store, open_async_store):
            with pytest.raises(SessionConfigError) as caught:
                open_it("kept://u:s3cret@host")
            text = f"url: what opens kept:// cannot be imported: {value}, of broken 1.0: "
            assert str(caught.value).startswith(text)
            assert str(caught.value).endswith(reason)
            assert caught.value.__cause__ is not None
            sys.modules.pop("broken", None)

    def test_one_that_opens_nothing_is_named(self, install: Install) -> None:
        install("broken", "", kept="broken")
        with pytest.raises(SessionConfigError, match=r"^opener: what opens kept:// needs a functi"):
            open_store("kept://")

    def test_two_of_one_scheme_are_refused(self, install: Install) -> None:
        install("one", MODULE, kept="one")
        install("two", MODULE, kept="two")
        message = "^url: one and two both open kept://; uninstall one$"
        with pytest.raises(SessionConfigError, match=message):
            open_store("kept://")


def test_an_unknown_scheme_is_told_what_there_is(install: Install) -> None:
    install("kept_sessions", MODULE, kept="kept_sessions", redis="kept_sessions")
    register_store("other", blocking(lambda url: MemoryStore()))
    with pytest.raises(SessionConfigError) as caught:
        open_store("bogus://u:s3cret@host")
    assert str(caught.value).endswith(
        "or another URL of SQLAlchemy, or of a plug-in (kept://, other://): "
        "register_store(scheme, ...), or a package with an entry point of the group ctxlocal.stores"
    )


def test_it_is_told_without_sqlalchemy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith("sqlalchemy.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(SessionConfigError, match=r"^url: there is no kind of store 'bogus'\. "):
        open_store("bogus://host")
