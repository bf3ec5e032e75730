"""PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy

from benchmarks.chaos.trial import Scene
from ctxlocal.sessions.stores.protocol import Store
from ctxlocal.sessions.stores.url import open_store
from tests.sessions.stores.proxy import proxy_to
from tests.support.services import Server, mariadb_server, postgresql_server, postgresql_standby


@contextmanager
def sqlite_killed() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory, 'sessions.db')}"
        yield Scene(lambda: open_store(url), [], url)


@contextmanager
def postgresql_terminated() -> Iterator[Scene]:
    with postgresql_server() as server:

        def strike() -> None:
            _do(
                server,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )

        yield Scene(_opening(server.port), [strike] * 10)


@contextmanager
def postgresql_restarted() -> Iterator[Scene]:
    with postgresql_server() as server:
        yield Scene(_opening(server.port), [_restarting(server, signal.SIGQUIT)] * 2)


@contextmanager
def postgresql_promoted() -> Iterator[Scene]:
    with (
        postgresql_server() as primary,
        postgresql_standby(primary.port) as standby,
        proxy_to(primary.port) as proxy,
    ):
        _do(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        _do(primary, "SELECT pg_reload_conf()")

        def strike() -> None:
            primary.stop(signal.SIGQUIT)  # immediate, as pg_ctl calls it
            _do(standby, "SELECT pg_promote()")
            proxy.target = standby.port

        yield Scene(_opening(proxy.port), [strike])


@contextmanager
def mariadb_killed() -> Iterator[Scene]:
    with mariadb_server("--innodb-flush-log-at-trx-commit=1") as server:
        url = f"mysql+pymysql://root@127.0.0.1:{server.port}/test"
        yield Scene(lambda: open_store(url), [_restarting(server, signal.SIGKILL)] * 2)


def _opening(port: int) -> Callable[[], Store]:
    return lambda: open_store(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")


def _restarting(server: Server, how: int) -> Callable[[], None]:
    def strike() -> None:
        server.stop(how)
        server.start()

    return strike


def _do(server: Server, statement: str) -> None:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()
