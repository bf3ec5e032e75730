"""``ctxlocal sessions``: what it shows, what it ends, and what it never shows."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from ctxlocal.cli.commands import ctxlocal
from ctxlocal.sessions.cookie import Cookie, scan
from ctxlocal.sessions.handle import handle_of
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.in_store.token import key_of
from ctxlocal.sessions.stores.protocol import USER
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.url import open_store
from tests.support.services import free_port, redis_server

PASSWORD = "hunter2"
Run = Callable[..., Result]


class Kept(NamedTuple):
    """A session that was stored."""

    id: str
    handle: str


@pytest.fixture
def run() -> Run:
    def run(*arguments: str, status: int = 0, **environment: str) -> Result:
        env = {"CTXLOCAL_STORE": None, "COLUMNS": None, **environment}
        result = CliRunner().invoke(ctxlocal, ["sessions", *arguments], env=env)
        assert result.exit_code == status, result.output
        assert isinstance(result.exception, SystemExit | None)
        return result

    return run


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/sessions.db"


def keep(url: str, user: str | None = None, **values: Any) -> Kept:
    """Store a session as a request does."""
    store = open_store(url)
    sessions: StoredSessions[Any] = StoredSessions(store, cookie=Cookie.for_development())
    session = sessions.open("")
    if user is not None:
        session.user = user
    session.update(values or {"cart": ["lamp"]})
    (cookie,) = sessions.save(session).cookies
    (session_id,) = scan(cookie, "ctxlocal-session")
    record = store.load(key_of(session_id))
    store.close()
    assert record is not None
    return Kept(session_id, handle_of(key_of(session_id), record))


def renew(url: str, session_id: str, user: str | None = None) -> str:
    """Give a session another id, as a request does, and return that."""
    store = open_store(url)
    sessions: StoredSessions[Any] = StoredSessions(store, cookie=Cookie.for_development())
    session = sessions.open(f"ctxlocal-session={session_id}")
    if user is None:
        session.regenerate()
    else:
        session.user = user
    (cookie,) = sessions.save(session).cookies
    store.close()
    (new_id,) = scan(cookie, "ctxlocal-session")
    return new_id


def handles(result: Result) -> set[str]:
    return {found["handle"] for found in json.loads(result.stdout)}


class TestEveryStore:
    @pytest.fixture(
        params=[
            "sqlite",
            pytest.param("redis", marks=pytest.mark.redis),
            pytest.param("redis, a prefix", marks=pytest.mark.redis),
            pytest.param("postgresql", marks=pytest.mark.postgresql),
            pytest.param("postgresql, a table", marks=pytest.mark.postgresql),
        ]
    )
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/sessions.db"
        elif request.param.startswith("redis"):
            prefix = "?prefix=shop:&timeout=50" * request.param.endswith("prefix")
            url = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/9{prefix}"
        else:
            table = "?table=shop_sessions&pool_size=2" * request.param.endswith("table")
            url = f"{request.getfixturevalue('postgresql_url')}{table}"
        yield url
        store = open_store(url)
        for key, _ in list(store.scan()):
            store.delete(key)
        store.close()

    def test_r8_a_life(self, run: Run, url: str) -> None:
        ada, other_ada, visitor = keep(url, "ada"), keep(url, "ada"), keep(url)
        grace = keep(url, "grace")
        assert handles(run("list", "--store", url, "--json")) == {
            kept.handle for kept in (ada, other_ada, visitor, grace)
        }
        of_ada = run("list", "--user", "ada", "--json", CTXLOCAL_STORE=url)
        assert handles(of_ada) == {ada.handle, other_ada.handle}
        counted = json.loads(run("stats", "--store", url, "--json").stdout)
        assert (counted["sessions"], counted["users"]) == (4, 2)
        assert run("stats", "--store", url).stdout.startswith("4 sessions, 2 users, ")

        shown = json.loads(run("show", visitor.handle[:10], "--store", url, "--json").stdout)
        assert shown["handle"] == visitor.handle
        assert shown["user"] is None
        assert shown["keys"] == {"cart": "list"}
        assert run("revoke", visitor.handle[:10], "--store", url).stdout == "1 session ended\n"
        run("show", visitor.handle, "--store", url, status=1)

        ended = run("revoke-all", "--user", "ada", "--store", url, "--json")
        assert json.loads(ended.stdout) == {"ended": 2}
        assert handles(run("list", "--store", url, "--json")) == {grace.handle}
        everyone = run("revoke-all", "--everyone", "--store", url)
        assert everyone.stdout == "1 session ended\n"
        assert run("list", "--store", url).stdout == "No live sessions\n"
        assert run("list", "--store", url, "--json").stdout == "[]\n"

    def test_r4_r5_no_id_and_no_value_is_shown(self, run: Run, url: str) -> None:
        kept = keep(url, "ada", token="s3cr3t-value", other=["s3cr3t-value"])
        assert not any(
            secret in run(*arguments, "--store", url).output
            for secret in (kept.id, "s3cr3t-value")
            for arguments in (
                ("list",),
                ("list", "--json"),
                ("show", kept.handle),
                ("show", kept.handle, "--json"),
                ("stats",),
                ("purge",),
                ("revoke-all", "--user", "nobody"),
            )
        )

    def test_values_are_shown_when_asked_for(self, run: Run, url: str) -> None:
        kept = keep(url, "ada", cart={"lamp": 2}, raw=b"\x00\xff", name="A")
        assert "{'lamp': 2}" in run("show", kept.handle, "--values", "--store", url).stdout
        shown = run("show", kept.handle, "--values", "--json", "--store", url).stdout
        assert json.loads(shown)["values"] == {"cart": {"lamp": 2}, "raw": "AP8=", "name": "A"}


class TestWhatIsShown:
    @pytest.mark.parametrize("width", [60, 80, 200])
    def test_a_table_fits(self, run: Run, url: str, width: int) -> None:
        kept = keep(url, "grace.hopper@navy.example.org")
        shown = run("list", "--store", url, COLUMNS=str(width)).stdout
        assert max(map(len, shown.splitlines())) <= width
        assert "…" not in shown
        assert kept.handle[:12] in shown
        assert re.search(r"keys\s*\n", shown)

    def test_where_there_is_no_terminal_a_session_is_one_line(self, run: Run, url: str) -> None:
        keep(url, "u" * 150)
        lines = run("list", "--store", url).stdout.splitlines()
        assert len(lines) == 2
        assert "u" * 150 in lines[1]

    def test_names_command_neither_the_table_nor_the_terminal(self, run: Run, url: str) -> None:
        kept = keep(url, "[/red]\x1b[2J", **{"key\x1b]0;title\x07": "[/b]\x1b[2J"})
        listed = run("list", "--store", url).stdout
        shown = run("show", kept.handle, "--values", "--store", url).stdout
        assert "[/red]\\x1b[2J" in listed
        assert "[/red]\\x1b[2J" in shown
        assert "[key\\x1b]0;title\\x07]" in shown
        assert "\x1b" not in listed + shown

    def test_the_limit_is_told_apart_from_the_end(self, run: Run, url: str) -> None:
        keep(url), keep(url)
        one = run("list", "--store", url, "--limit", "1", "--json")
        assert len(json.loads(one.stdout)) == 1
        assert one.stderr == "These are the first 1; --limit shows more.\n"
        assert run("list", "--store", url, "--limit", "2").stderr == ""

    def test_a_user_has_the_last_used_first(self, run: Run, url: str) -> None:
        first, second = keep(url, "ada"), keep(url, "ada")
        found = json.loads(run("list", "--user", "ada", "--store", url, "--json").stdout)
        assert [info["handle"] for info in found] == [second.handle, first.handle]

    def test_r32_a_record_of_somebody_elses_making(self, run: Run, url: str) -> None:
        store = open_store(url)
        fields = {
            "\0born": b"inf",
            USER: b"\xff",
            "bad": b"\xc1",
            "nan": b"\xcb\x7f\xf8" + 6 * b"\0",
        }
        store.create("ab" * 32, fields, 60)
        store.close()
        assert "?" in run("list", "--store", url).stdout
        shown = run("show", "ababab", "--values", "--json", "--store", url).stdout
        assert json.loads(shown)["began"] is None
        assert json.loads(shown)["values"]["bad"] is None

    def test_purge_removes_what_has_expired(self, run: Run, url: str, tmp_path: Path) -> None:
        past = SQLiteStore(tmp_path / "sessions.db", clock=lambda: 1000.0)
        past.create("ab" * 32, {}, 60)
        past.close()
        kept = keep(url)
        assert run("purge", "--store", url).stdout == "1 session removed\n"
        assert json.loads(run("purge", "--store", url, "--json").stdout) == {"removed": 0}
        assert handles(run("list", "--store", url, "--json")) == {kept.handle}


class TestHandles:
    def test_a_cookies_value_is_refused_and_not_repeated(self, run: Run, url: str) -> None:
        kept = keep(url)
        done = run("show", "--store", url, "--", kept.id, status=2)
        assert done.stderr == (
            "Error: HANDLE has to be 6 or more hexadecimal digits, as `list` shows them\n"
        )

    @pytest.mark.parametrize("command", ["show", "revoke"])
    @pytest.mark.parametrize("handle", ["abcdef", "ab" * 32])
    def test_there_is_no_such_session(self, run: Run, url: str, command: str, handle: str) -> None:
        kept = keep(url)
        handle = handle if not kept.handle.startswith(handle) else "fedcba"
        done = run(command, handle, "--store", url, "--json", status=1)
        assert done.stdout == ""
        assert re.match("Error: (No session in|There is no such session)", done.stderr)

    @pytest.mark.parametrize("length", [10, 32, None])
    @pytest.mark.parametrize("user", ["ada", None])
    def test_r8_it_names_the_session_after_its_id_was_renewed(
        self, run: Run, url: str, user: str | None, length: int | None
    ) -> None:
        kept = keep(url, user)
        renew(url, renew(url, kept.id))
        handle = kept.handle[:length]
        assert json.loads(run("show", handle, "--store", url, "--json").stdout)["user"] == user
        assert run("revoke", handle, "--store", url).stdout == "1 session ended\n"
        assert run("list", "--store", url).stdout == "No live sessions\n"
        run("revoke", handle, "--store", url, status=1)

    def test_r8_a_visitors_names_the_session_that_he_logged_in_with(
        self, run: Run, url: str
    ) -> None:
        kept = keep(url)
        renew(url, kept.id, "ada")
        assert run("revoke", kept.handle, "--store", url).stdout == "1 session ended\n"
        assert run("list", "--store", url).stdout == "No live sessions\n"

    def test_one_that_is_not_unique(self, run: Run, url: str) -> None:
        store = open_store(url)
        for ending in "01":
            store.create("ab" * 31 + f"a{ending}", {}, 60)
        store.close()
        done = run("revoke", "abababab", "--store", url, status=2)
        assert done.stderr.endswith("have a handle that begins so; say more\n")
        assert len(handles(run("list", "--store", url, "--json"))) == 2

    def test_whose_sessions_has_to_be_said(self, run: Run, url: str) -> None:
        keep(url)
        for options in ((), ("--user", "ada", "--everyone")):
            done = run("revoke-all", "--store", url, *options, status=2)
            assert "either --user NAME or --everyone" in done.stderr

    def test_a_user_that_is_no_text(self, run: Run, url: str) -> None:
        assert "no UTF-8" in run("list", "--user", "\udcff", "--store", url, status=2).stderr


class TestNoStore:
    @pytest.mark.parametrize("command", ["list", "stats", "purge", "show abcdef", "revoke abcdef"])
    def test_a_missing_file_stays_missing(self, run: Run, tmp_path: Path, command: str) -> None:
        path = tmp_path / "typo.db"
        done = run(*command.split(), "--store", f"sqlite:///{path}", status=2)
        assert done.stderr == f"Error: there is no file {str(path)!r}\n"
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_file_stays_empty(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "empty.db"
        path.touch()
        assert "is empty" in run("stats", "--store", f"sqlite:///{path}", status=2).stderr
        assert path.stat().st_size == 0

    def test_a_foreign_file_is_left_alone(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE t (x)")
        other.close()
        before = path.read_bytes()
        done = run("list", "--store", f"sqlite:///{path}", status=2)
        assert done.stderr.startswith(f"Error: the store's URL: {str(path)!r} is a database of")
        (tmp_path / "text.db").write_text("no database\n")
        done = run("list", "--store", f"sqlite:///{tmp_path}/text.db", status=2)
        assert done.stderr.endswith("DatabaseError: file is not a database\n")
        assert path.read_bytes() == before

    @pytest.mark.postgresql
    def test_a_database_without_our_table_gets_none(self, run: Run, postgresql_url: str) -> None:
        from sqlalchemy import create_engine, inspect, text

        engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE without_sessions"))
        engine.dispose()
        url = postgresql_url.removesuffix("postgres") + "without_sessions"
        assert "has no table ctxlocal_sessions" in run("list", "--store", url, status=2).stderr
        engine = create_engine(url)
        assert inspect(engine).get_table_names() == []
        engine.dispose()

    def test_memory_is_refused(self, run: Run) -> None:
        done = run("list", "--store", "memory:", status=2)
        assert done.stderr == "Error: memory: is in one process, and no other can look into it\n"

    def test_no_store_is_named(self, run: Run) -> None:
        done = run("list", status=2)
        assert done.stderr.endswith(
            "Error: no store is given: use --store STORE, or the environment variable "
            "CTXLOCAL_STORE\n"
        )

    @pytest.mark.parametrize(
        "url",
        [
            f"redis://u:{PASSWORD}@127.0.0.1:PORT/0",
            f"redis+cluster://u:{PASSWORD}@127.0.0.1:PORT,127.0.0.1:PORT",
            f"redis+sentinel://u:{PASSWORD}@127.0.0.1:PORT/shop?sentinel_password={PASSWORD}",
            f"postgresql://u:{PASSWORD}@127.0.0.1:PORT/x",
            f"postgresql://127.0.0.1:PORT/x?password={PASSWORD}",
            f"redis://u:{PASSWORD}@host:port/",
            f"redis://u:{PASSWORD}@[::1/",
            f"bogus://u:{PASSWORD}@host/",
            f"no-driver://u:{PASSWORD}@host/",
            f"u:{PASSWORD}@host",
            f"sqlite://{PASSWORD}",
        ],
    )
    def test_one_line_without_the_password(self, run: Run, url: str) -> None:
        done = run("stats", "--store", url.replace("PORT", str(free_port())), status=2)
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert PASSWORD not in done.output

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis://h?prefx=a", "Redis takes no key 'prefx' after the '?'; it takes epoch_int"),
            ("postgresql://h/n?prefx=a", "SQL takes no key 'prefx' after the '?'; it takes pool_"),
            ("redis://h?timeout=soon", "timeout: it is seconds, more than 0; got 'soon'"),
        ],
    )
    def test_a_key_that_is_none_is_told(self, run: Run, url: str, said: str) -> None:
        done = run("stats", "--store", url, status=2)
        assert done.stderr.startswith(f"Error: the store's URL: {said}")
        assert done.stderr.count("\n") == 1

    @pytest.mark.redis
    def test_a_wrong_password_is_not_repeated(self, run: Run) -> None:
        with redis_server("--requirepass", PASSWORD) as server:
            wrong = f"redis://:not-{PASSWORD}@127.0.0.1:{server.port}/0"
            done = run("list", "--json", CTXLOCAL_STORE=wrong, status=2)
        assert done.stdout == ""
        assert "AuthenticationError" in done.stderr
        assert PASSWORD not in done.output

    @pytest.mark.redis
    @pytest.mark.parametrize(
        ("policy", "lost"),
        [("allkeys-lru", "sessions and users' indexes"), ("volatile-ttl", "sessions")],
    )
    def test_stats_warns_of_a_server_that_evicts(self, run: Run, policy: str, lost: str) -> None:
        with redis_server("--maxmemory", "50mb", "--maxmemory-policy", policy) as server:
            url = f"redis://127.0.0.1:{server.port}/0"
            done = run("stats", "--store", url)
        assert done.stdout.startswith("0 sessions")
        assert done.stderr == (
            f"Warning: {url} drops {lost} when it is full (maxmemory-policy {policy}); "
            "set it to noeviction\n"
        )

    @pytest.mark.redis
    @pytest.mark.parametrize(
        "options",
        [
            ("--maxmemory", "50mb", "--maxmemory-policy", "noeviction"),
            ("--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"),
            ("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--user", "default", "on",
             "nopass", "~*", "+@all", "-info"),
        ],
        ids=["refuses", "has no limit", "may not be asked"],
    )  # fmt: skip
    def test_stats_warns_of_no_other(self, run: Run, options: tuple[str, ...]) -> None:
        with redis_server(*options) as server:
            assert run("stats", "--store", f"redis://127.0.0.1:{server.port}/0").stderr == ""

    def test_a_library_that_is_missing(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        dropped = ("redis.", "ctxlocal.sessions.stores.redis.")
        for name in [name for name in sys.modules if f"{name}.".startswith(dropped)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "redis", None)
        done = run("list", "--store", "redis://localhost", status=2)
        assert done.stderr.endswith(
            "pip install redis (ctxlocal's extra [redis] has all it goes with).\n"
        )


def test_the_command_in_a_process_of_its_own(run_python: Callable[..., str], url: str) -> None:
    kept = keep(url)
    listed = run_python(
        "from ctxlocal.cli import main\n"
        "import sys; sys.argv[1:] = ['sessions', 'list', '--json']; main()",
        CTXLOCAL_STORE=url,
        PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
    )
    assert json.loads(listed)[0]["handle"] == kept.handle
