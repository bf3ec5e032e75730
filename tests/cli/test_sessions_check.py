"""``ctxlocal sessions check``: a bad setting that is really set is found, and nothing is left."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy
from click.testing import CliRunner, Result

from ctxlocal.cli.commands import ctxlocal
from ctxlocal.lab.check import report, sqlite
from ctxlocal.lab.check.contract import try_contract
from ctxlocal.lab.check.finding import Finding, connections, merged
from ctxlocal.lab.check.mysql import find_mysql
from ctxlocal.lab.check.postgresql import find_postgresql
from ctxlocal.lab.check.redis import _judge
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Answer, Change, Record
from ctxlocal.sessions.stores.redis.server import Told
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.url import open_store
from tests.support.patience import PATIENCE_S
from tests.support.services import (
    free_port,
    mariadb_server,
    pgbouncer,
    postgresql_server,
    redis_cluster,
    redis_server,
)

PASSWORD = "hunter2"
KEY = "ab" * 32
Check = Callable[..., Any]


def run(*arguments: str, status: int, **environment: str) -> Result:
    env = {"CTXLOCAL_STORE": None, "COLUMNS": None, **environment}
    result = CliRunner().invoke(ctxlocal, ["sessions", "check", *arguments], env=env)
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit | None)
    return result


def checked(url: str) -> dict[str, Any]:
    """Return what was found, each finding by its name."""
    result = CliRunner().invoke(ctxlocal, ["sessions", "check", url, "--json"])
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if found["healthy"] else 1)
    return {**found, "findings": {each["name"]: each for each in found["findings"]}}


def levels(url: str) -> dict[str, str]:
    return {name: each["level"] for name, each in checked(url)["findings"].items()}


def warnings(url: str) -> set[str]:
    return {name for name, level in levels(url).items() if level == "warning"}


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    store = SQLiteStore(tmp_path / "sessions.db")
    store.create(KEY, {"a": b"1"}, 1000)
    store.close()
    return f"sqlite:///{tmp_path}/sessions.db"


class TestEveryStore:
    @pytest.fixture(
        params=[
            "sqlite",
            pytest.param("redis", marks=pytest.mark.redis),
            pytest.param("postgresql", marks=pytest.mark.postgresql),
            pytest.param("mariadb", marks=pytest.mark.mariadb),
        ]
    )
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/sessions.db"
        elif request.param == "redis":
            url = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/8"
        else:
            url = request.getfixturevalue(f"{request.param}_url")
        store = open_store(url)
        store.revoke_everyone()
        store.create(KEY, {"a": b"1"}, 1000)
        yield url
        store.delete(KEY)
        store.close()

    def test_nothing_is_left_and_nobodys_session_is_touched(self, url: str) -> None:
        store = open_store(url)
        before, rows = store.load(KEY), left(url)
        found = checked(url)
        assert found["findings"]["contract"] == {
            **{"name": "contract", "value": "kept in 65 calls", "level": "fine"},
            **{"text": "", "nodes": []},
        }
        after = store.load(KEY)
        assert before is not None
        assert after is not None
        assert (after.values, after.touched) == (before.values, before.touched)
        assert left(url) == rows
        store.close()

    def test_the_round_trips_are_told(self, url: str) -> None:
        trips = {each["call"]: each for each in checked(url)["round_trips"]}
        assert {"create", "load", "commit", "touch", "delete"} <= set(trips)
        assert all(0 < each["median_seconds"] <= each["worst_seconds"] for each in trips.values())
        assert trips["commit"]["calls"] == 25

    @pytest.mark.parametrize("width", ["60", "80", None])
    def test_a_line_fits_and_nothing_secret_is_in_it(self, url: str, width: str | None) -> None:
        env = {"CTXLOCAL_STORE": url, "COLUMNS": width}
        shown = CliRunner().invoke(ctxlocal, ["sessions", "check"], env=env)
        lines = shown.stdout.splitlines()
        assert "".join(shown.stdout.split()).startswith("".join(url_shown(url).split()))
        assert shown.exception is None or isinstance(shown.exception, SystemExit)
        assert KEY not in shown.output
        if width is not None:
            assert max(map(len, lines)) <= int(width)
        assert [line for line in lines if line != line.rstrip()] == []


def url_shown(url: str) -> str:
    store = open_store(url)
    store.close()
    return store.name


def left(url: str) -> Any:
    """Count what is in a store's tables, or keys, expired or not."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            return client.dbsize()
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            counts = [
                file.execute(f"SELECT count(*) FROM {table}").fetchone()
                for table in ("session", "old_key")
            ]
        file.close()
        return counts
    engine = sqlalchemy.create_engine(url)
    tables = ("ctxlocal_sessions", "ctxlocal_sessions_old_keys")
    with engine.connect() as on:
        counts = [on.execute(sqlalchemy.text(f"SELECT count(*) FROM {t}")).scalar() for t in tables]
    engine.dispose()
    return counts


@pytest.mark.redis
class TestRedis:
    def test_a_server_in_order(self) -> None:
        with redis_server("--appendonly", "yes") as server:
            url = f"redis://127.0.0.1:{server.port}/0"
            found = checked(url)
            assert found["healthy"]
            assert found["engine"].startswith("Redis ")
            assert {name: each["value"] for name, each in found["findings"].items()} == {
                "contract": "kept in 65 calls",
                "role": "master",
                "maxmemory-policy": "noeviction, no maxmemory",
                "appendonly": "yes, fsync everysec",
                "replicas": "0",
                "min-replicas-to-write": "0",
            }
            shown = run(url, status=0)
        assert shown.stdout.endswith("Nothing was found that endangers sessions.\n")

    @pytest.mark.parametrize(
        ("policy", "lost"),
        [("allkeys-lru", "sessions and users' indexes"), ("volatile-ttl", "sessions")],
    )
    def test_one_that_evicts(self, policy: str, lost: str) -> None:
        options = ("--maxmemory", "50mb", "--maxmemory-policy", policy)
        with redis_server(*options) as server:
            found = checked(f"redis://127.0.0.1:{server.port}/0")["findings"]["maxmemory-policy"]
        assert (found["value"], found["level"]) == (policy, "warning")
        assert found["text"] == (
            f"It drops {lost} when it is full. Set it to noeviction, and enough maxmemory."
        )

    @pytest.mark.parametrize(
        ("save", "value"), [("", "no, and no save"), ("900 1", "no, save 900 1")]
    )
    def test_one_that_forgets_with_a_crash(self, save: str, value: str) -> None:
        with redis_server("--save", save) as server:
            found = checked(f"redis://127.0.0.1:{server.port}/0")["findings"]["appendonly"]
        assert (found["value"], found["level"]) == (value, "warning")

    @pytest.mark.slow  # a store asks a server that takes no writes for some seconds
    def test_replicas_that_nobody_waits_for_and_one_itself(self) -> None:
        with redis_server() as primary, redis_server() as other:
            with redis.Redis(port=other.port) as client:
                client.replicaof("127.0.0.1", str(primary.port))
                until(lambda: client.info("replication")["master_link_status"] == "up")
            url = f"redis://127.0.0.1:{primary.port}/0"
            with redis.Redis(port=primary.port) as client:
                assert "min-replicas-to-write" in warnings(url)
                client.config_set("min-replicas-to-write", 1)
                assert "min-replicas-to-write" not in warnings(url)
                client.config_set("min-replicas-to-write", 2)
                assert {"contract", "min-replicas-to-write"} <= warnings(url)
            replica = checked(f"redis://127.0.0.1:{other.port}/0")["findings"]
            assert replica["role"]["level"] == replica["contract"]["level"] == "warning"
            assert "ReadOnlyError" in replica["contract"]["text"]

    def test_one_that_tells_nothing_is_not_known(self) -> None:
        user = ("--user", "default", "on", "nopass", "~*", "+@all", "-config", "-info")
        with redis_server(*user) as server:
            url = f"redis://127.0.0.1:{server.port}/0"
            found = levels(url)
            assert run(url, status=0).stdout.splitlines()[0] == f"{url}: Redis"
        assert found.pop("contract") == "fine"
        assert set(found.values()) == {"not known"}

    def test_one_without_config_as_managed_ones_are(self) -> None:
        user = ("--user", "default", "on", "nopass", "~*", "+@all", "-config")
        with redis_server(*user, "--appendonly", "yes") as server:
            found = checked(f"redis://127.0.0.1:{server.port}/0")
        assert found["healthy"]
        assert found["findings"]["appendonly"]["value"] == "yes"
        assert found["findings"]["min-replicas-to-write"]["level"] == "not known"

    def test_a_password_is_not_repeated(self) -> None:
        with redis_server("--requirepass", PASSWORD) as server:
            right = f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
            wrong = right.replace(PASSWORD, f"not-{PASSWORD}")
            shown = run(status=1, CTXLOCAL_STORE=right).output
            shown += run("--json", status=1, CTXLOCAL_STORE=right).output
            refused = run("--store", wrong, status=2)
        assert "AuthenticationError" in refused.stderr
        assert PASSWORD not in shown + refused.output

    @pytest.fixture
    def cluster_ports(self) -> Iterator[list[int]]:
        with redis_cluster(3) as ports:
            yield ports

    def test_each_node_of_a_cluster_is_asked(self, cluster_ports: list[int]) -> None:
        url = f"redis+cluster://127.0.0.1:{cluster_ports[0]}"
        found = checked(url)
        assert found["engine"].endswith("a cluster of 3 nodes")
        assert found["findings"]["cluster_state"]["value"] == "ok"
        assert found["findings"]["appendonly"]["nodes"] == []
        with redis.Redis(port=cluster_ports[1]) as client:
            client.config_set("maxmemory", "50mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
            try:
                result = CliRunner().invoke(ctxlocal, ["sessions", "check", url, "--json"])
            finally:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", "0")
        evicting = [
            each for each in json.loads(result.stdout)["findings"] if each["value"] == "allkeys-lru"
        ]
        assert [each["nodes"] for each in evicting] == [[f"127.0.0.1:{cluster_ports[1]}"]]
        assert [each["level"] for each in evicting] == ["warning"]
        with redis.Redis(port=cluster_ports[2]) as client:
            client.shutdown(nosave=True)
        down = checked(url)["findings"]
        assert down["node"]["nodes"] == [f"127.0.0.1:{cluster_ports[2]}"]
        assert down["contract"]["level"] == "warning"


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL whose settings may be changed, with the store's tables."""
    with postgresql_server() as server:
        url = f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"
        store = open_store(url)
        store.load(KEY)
        store.close()
        yield url


@pytest.mark.postgresql
class TestPostgreSQL:
    @pytest.fixture
    def url(self, own_postgresql: str) -> str:
        return own_postgresql

    @staticmethod
    @contextmanager
    def setting(url: str, *statements: str) -> Iterator[None]:
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as on:
            for statement in statements:
                on.execute(sqlalchemy.text(statement))
            try:
                yield
            finally:
                on.execute(sqlalchemy.text("SET default_transaction_read_only = off"))
                for undone in ("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"):
                    on.execute(sqlalchemy.text(undone))
                on.execute(sqlalchemy.text("ALTER ROLE postgres RESET ALL"))
        engine.dispose()

    def test_what_the_suites_own_has_wrong(self, url: str) -> None:
        found = checked(url)
        assert found["engine"].startswith("PostgreSQL ")
        assert {name: each["level"] for name, each in found["findings"].items()} == {
            "contract": "fine",
            "in recovery": "fine",
            "default_transaction_read_only": "fine",
            "synchronous_commit": "note",  # no standby
            "fsync": "warning",
            "full_page_writes": "fine",
            "statement_timeout": "fine",  # the store's own
            "default_transaction_isolation": "fine",
            "max_connections": "fine",
        }
        assert found["findings"]["statement_timeout"]["value"] == "5 s"

    @pytest.mark.parametrize(
        ("setting", "level"),
        [
            ("synchronous_commit = off", "warning"),
            ("default_transaction_isolation = 'serializable'", "note"),
        ],
    )
    def test_what_a_role_has_wrong(self, url: str, setting: str, level: str) -> None:
        name = setting.partition(" ")[0]
        with self.setting(url, f"ALTER ROLE postgres SET {setting}"):
            found = checked(url)["findings"]
        assert found[name]["level"] == level
        assert found["contract"]["level"] == "fine"

    def test_one_that_takes_no_writes(self, url: str) -> None:
        with self.setting(url, "ALTER ROLE postgres SET default_transaction_read_only = on"):
            found = checked(url)["findings"]
        assert found["default_transaction_read_only"]["level"] == "warning"
        assert found["contract"]["value"] == "not tried"
        assert "ReadOnlySqlTransaction" in found["contract"]["text"]
        assert found["repetitions"]["level"] == "note"

    @pytest.mark.slow  # each commit waits until the store gives up
    def test_standbys_that_are_waited_for_and_away(self, url: str) -> None:
        away = "ALTER SYSTEM SET synchronous_standby_names = '*'"
        with self.setting(url, away, "SELECT pg_reload_conf()"):
            until(lambda: "away" in checked(url)["findings"]["synchronous_commit"]["value"])
            found = checked(url)["findings"]
        assert found["synchronous_commit"]["level"] == "warning"
        assert found["contract"]["value"] == "not tried"

    @pytest.mark.pgbouncer
    def test_a_pooler_in_which_the_store_sets_no_limit(self, url: str) -> None:
        port = sqlalchemy.make_url(url).port
        assert port is not None
        with pgbouncer(port) as pooler:
            found = checked(str(sqlalchemy.make_url(url).set(port=pooler.port)))["findings"]
        assert found["statement_timeout"]["level"] == "warning"
        assert found["contract"]["level"] == "fine"

    def test_a_role_without_rights_is_enough(self, url: str) -> None:
        grants = (
            "CREATE ROLE shop LOGIN",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop",
        )
        with self.setting(url, *grants):
            found = levels(url.replace("postgres@", "shop@"))
        assert found["contract"] == "fine"
        assert "not known" not in found.values()


@pytest.mark.mariadb
def test_mariadb(mariadb_url: str) -> None:
    store = open_store(mariadb_url)
    store.load(KEY)
    store.close()
    found = checked(mariadb_url)
    assert found["engine"].startswith("MariaDB ")
    assert {name: each["level"] for name, each in found["findings"].items()} == {
        "contract": "fine",
        "read_only": "fine",
        "sql_mode": "fine",
        "transaction isolation": "fine",
        "innodb_flush_log_at_trx_commit": "warning",  # of the suite's own
        "max_statement_time": "fine",  # the store's own
        "wait_timeout": "fine",
        "max_connections": "fine",
    }


@pytest.mark.mariadb
@pytest.mark.slow
def test_mariadb_that_takes_no_writes() -> None:
    with mariadb_server("--wait-timeout=20", "--innodb-flush-log-at-trx-commit=2") as server:
        url = f"mysql+pymysql://root@127.0.0.1:{server.port}/test"
        admin = sqlalchemy.create_engine(url)
        store = open_store(url)
        store.load(KEY)
        store.close()
        with admin.connect() as on:
            on.execute(sqlalchemy.text("CREATE USER shop@'%'"))
            on.execute(sqlalchemy.text("GRANT ALL ON test.* TO shop@'%'"))
            on.execute(sqlalchemy.text("SET GLOBAL read_only = ON"))
        found = levels(url.replace("root@", "shop@"))
        admin.dispose()
    assert {name for name, level in found.items() if level == "warning"} == {
        "contract",
        "read_only",
        "innodb_flush_log_at_trx_commit",
    }
    assert found["wait_timeout"] == "note"


class TestSQLite:
    def test_a_file_in_order(self, sqlite_url: str) -> None:
        found = checked(sqlite_url)
        assert found["engine"] == f"SQLite {sqlite3.sqlite_version}"
        findings = found["findings"]
        assert findings["journal_mode"]["value"] == "wal"
        assert findings["writable"]["value"] == "yes"
        assert findings["free space"]["level"] == "fine"
        assert findings["file system"]["level"] in ("fine", "note")

    def test_one_without_a_log_that_is_written_ahead(self, sqlite_url: str) -> None:
        file = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
        file.execute("PRAGMA journal_mode = DELETE")
        file.close()
        assert warnings(sqlite_url) == {"journal_mode"}

    @pytest.mark.parametrize(
        ("kind", "level"),
        [
            *(("nfs4", "warning"), ("cifs", "warning"), ("fuse.sshfs", "warning")),
            *(("tmpfs", "note"), ("overlay", "note"), ("ext4", "fine")),
        ],
    )
    def test_where_it_lies(
        self, kind: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "22 1 0:1 / / rw - ext4 /dev/sda1 rw\n"
            f"23 22 0:2 / /srv/my\\040shop rw,relatime shared:1 - {kind} host:/shop rw\n"
        )
        monkeypatch.setattr(sqlite, "_MOUNTS", mounts)
        assert sqlite._file_system(Path("/srv/my shop/data/sessions.db")).level == level
        assert sqlite._file_system(Path("/srv/other.db")) == Finding("file system", "ext4")

    def test_where_that_cannot_be_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite, "_MOUNTS", tmp_path / "none")
        assert sqlite._file_system(tmp_path).level == "not known"

    def test_a_file_that_may_not_be_written(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith(".db"))
        assert warnings(sqlite_url) == {"writable"}

    def test_a_disk_that_is_full(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "_LEAST_FREE", 2**80)
        assert warnings(sqlite_url) == {"free space"}


class TestContract:
    class Forgetful(MemoryStore):
        def commit(
            self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
        ) -> Answer:
            sets = dict(change.sets) if base is None else {**base.values, **change.sets}
            renamed = Change(change.commit_id, sets, change.deletes, change.ops)
            return super().commit(key, generation, renamed, ttl, base)

    class Fast(MemoryStore):
        def __init__(self) -> None:
            super().__init__(clock=lambda: time.time() + 90)

    def test_a_store_that_loses_an_update_is_found(self) -> None:
        store = self.Forgetful()
        trial = try_contract(store)
        assert trial.broken == "no update is lost"
        assert store.stats().sessions == 0
        (found, *_) = report.check(store, "").findings
        assert (found.name, found.level) == ("contract", "warning")
        assert found.text.startswith("This does not hold: no update is lost.")

    def test_a_clock_that_is_wrong_is_found(self) -> None:
        found = report.check(self.Fast(), "")
        assert not found.is_healthy
        (clock,) = [each for each in found.findings if each.name == "the server's clock"]
        assert clock.value == "90.0 s ahead"
        assert try_contract(MemoryStore()).ahead == 0

    def test_what_is_left_by_a_failure_is_removed(self) -> None:
        class Failing(MemoryStore):
            def touch(self, key: str, ttl: float) -> bool:
                raise StoreUnavailableError(self.name, "touch")

        store = Failing()
        trial = try_contract(store)
        assert trial.error is not None
        assert store.stats().sessions == 0


class TestJudged:
    """What cannot easily be set in a server that a test starts."""

    def test_a_cluster_that_has_lost_slots_and_a_replica_its_primary(self) -> None:
        told = Told({"role": "slave", "master_link_status": "down", "maxmemory": "0"}, {})
        found = {each.name: each for each in _judge(told, {"cluster_state": "fail"})}
        assert found["cluster_state"].level == found["role"].level == "warning"
        assert "replicas" not in found

    def test_a_disk_that_cannot_be_written(self) -> None:
        told = Told({"rdb_last_bgsave_status": "err", "aof_last_write_status": "ok"}, {})
        found = [each.name for each in _judge(told, {}) if each.level == "warning"]
        assert found == ["rdb_last_bgsave_status"]

    @pytest.mark.parametrize(
        ("commit", "names", "value", "level"),
        [
            ("on", "", "on, waits for no standby", "warning"),
            ("local", "*", "local, waits for no standby", "warning"),
            ("remote_apply", "*", "remote_apply, waits for a standby", "fine"),
        ],
    )
    def test_a_postgresql_with_standbys(
        self, commit: str, names: str, value: str, level: str
    ) -> None:
        rows = [("synchronous_commit", commit), ("synchronous_standby_names", names)]
        _, found = find_postgresql(lambda asked: rows if "name" in asked else [(False, 1, 2)])
        by_name = {each.name: each for each in found}
        assert (by_name["synchronous_commit"].value, by_name["synchronous_commit"].level) == (
            value,
            level,
        )
        assert by_name["fsync"].level == "not known"

    def test_a_standby_itself_waits_for_nobody(self) -> None:
        rows = [("synchronous_commit", "on")]
        _, found = find_postgresql(lambda asked: rows if "name" in asked else [(True, 1, 0)])
        levels = {each.name: each.level for each in found}
        assert levels["in recovery"] == "warning"
        assert "synchronous_commit" not in levels

    def test_what_speaks_like_postgresql_but_tells_nothing(self) -> None:
        engine, found = find_postgresql(lambda asked: [])
        assert engine == "PostgreSQL"
        assert {each.level for each in found} == {"not known"}

    def test_a_mysql_in_lax_mode(self) -> None:
        rows = [("version", "8.0.36"), ("sql_mode", "ANSI"), ("max_execution_time", "0")]
        engine, found = find_mysql(lambda asked: rows if "VARIABLES" in asked else [])
        by_name = {each.name: each.level for each in found}
        assert engine == "MySQL 8.0.36"
        assert by_name["sql_mode"] == by_name["max_execution_time"] == "warning"
        assert by_name["max_connections"] == "not known"

    def test_connections_that_run_out(self) -> None:
        assert connections("100", 79).level == "fine"
        assert connections("100", 80).level == "warning"

    def test_what_all_nodes_have_is_said_once(self) -> None:
        same, other = Finding("a", "1"), Finding("b", "2")
        assert merged([("x", [same]), ("y", [same, other])]) == [
            same,
            Finding("b", "2", nodes=("y",)),
        ]


class TestNoStore:
    def test_a_missing_file_stays_missing(self, tmp_path: Path) -> None:
        done = run(f"sqlite:///{tmp_path}/typo.db", status=2)
        assert done.stderr.startswith("Error: there is no file")
        assert list(tmp_path.iterdir()) == []

    def test_no_store_is_named(self) -> None:
        assert "no store is given" in run(status=2).stderr

    @pytest.mark.parametrize("scheme", ["redis", "postgresql+psycopg", "mysql+pymysql"])
    def test_one_that_is_down(self, scheme: str) -> None:
        url = f"{scheme}://u:{PASSWORD}@127.0.0.1:{free_port()}/0"
        done = run(url, status=2)
        assert done.stderr.count("\n") == 1
        assert PASSWORD not in done.output


def until(is_so: Callable[[], bool]) -> None:
    """Return when something is so that a server tells only when it is asked."""
    limit = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.02)
