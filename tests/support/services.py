"""Starts the servers that tests need, and stops them: Redis, PostgreSQL, MariaDB.

Each is the suite's own: in a fresh directory, on a free port of the loopback interface,
started when first asked for, gone with the test run, also when that is killed. Where a
program is missing, the tests that need it are deselected, with a line that says so; with
``CI`` in the environment they fail.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from redis import Redis

PR_SET_PDEATHSIG = 1
SLOTS = 16384


def find(program: str) -> str | None:
    """Return where a program is: on PATH, or where Debian has MariaDB and PostgreSQL."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    return found or (str(debian[-1]) if debian else None)


NEEDED = {
    "redis": ["redis-server"],
    "postgresql": ["initdb"],
    "mariadb": ["mariadb-install-db", "mariadbd"],
    "pgbouncer": ["initdb", "pgbouncer"],
    "browser": ["chromium", "chromedriver"],
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """One server process: can be killed and started again on its port, with its data."""

    def __init__(self, command: list[str], ready: str, port: int, user: str | None = None) -> None:
        self.port = port
        self._command = command
        self._ready = ready
        self._user = user
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self._user,
            preexec_fn=die_with_parent,
        )
        output = self._process.stdout
        assert output is not None
        seen: list[str] = []
        alarm = threading.Timer(PATIENCE_S, self._process.kill)
        alarm.start()
        for line in output:
            seen.append(line)
            if self._ready in line:
                break
        else:
            raise RuntimeError(f"{self._command[0]} did not start:\n{''.join(seen)}")
        alarm.cancel()
        threading.Thread(target=_drain, args=(output,), daemon=True).start()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Stop it and wait for its end."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it accept connections, but answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


def die_with_parent() -> None:
    """Let the process that calls it be killed when the one that started it ends; Linux."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _drain(output: IO[str]) -> None:
    with output:
        for _ in output:
            pass


@contextmanager
def running(server: Server, how: int = signal.SIGTERM) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop(how)


@contextmanager
def redis_server(*options: str) -> Iterator[Server]:
    """Run a redis-server that keeps nothing on disk."""
    program = _program("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
        command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *options]
        with running(Server(command, "Ready to accept connections", port)) as server:
            yield server


@contextmanager
def redis_replica(port: int, *options: str) -> Iterator[Server]:
    """Run a replica of the redis-server on a port, which has it from the first write on."""
    with redis_server("--replicaof", f"127.0.0.1 {port}", *options) as server:
        await_replicas(port, 1)
        yield server


def await_replicas(port: int, count: int) -> None:
    """Return when so many replicas follow a server."""
    from redis import Redis

    limit = time.monotonic() + PATIENCE_S
    with Redis(port=port) as client:
        while True:
            info = client.info("replication")
            states = [info.get(f"slave{number}", {}).get("state") for number in range(count)]
            if set(states) == {"online"}:
                return
            assert time.monotonic() < limit, "no replica came"
            threading.Event().wait(0.02)


@contextmanager
def redis_cluster(count: int) -> Iterator[list[int]]:
    """Run a Redis Cluster of some primaries without replicas; yields their ports."""
    with redis_nodes(count, 0) as nodes:
        yield [node.port for node in nodes]


@contextmanager
def redis_nodes(count: int, replicas: int, *options: str) -> Iterator[list[Server]]:
    """Run a Redis Cluster of some primaries, which come first, and so many replicas of each."""
    from redis import Redis  # the core's tests run without it

    with ExitStack() as stack:
        nodes: list[tuple[Server, Any, int]] = []
        for _ in range(count * (1 + replicas)):
            bus = free_port()
            enabled = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            node = stack.enter_context(redis_server(*enabled, *options))
            nodes.append((node, stack.enter_context(Redis(port=node.port)), bus))
        for number, (_, client, _) in enumerate(nodes[:count]):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            slots = number * SLOTS // count, (number + 1) * SLOTS // count - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        first, _, first_bus = nodes[0]
        for _, client, _ in nodes[1:]:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, first_bus)
        for _, client, _ in nodes:
            _await_cluster(client, len(nodes))
        for number, (_, client, _) in enumerate(nodes[count:]):
            primary = nodes[number % count][1].execute_command("CLUSTER MYID")
            client.execute_command("CLUSTER", "REPLICATE", primary)
        for node, _, _ in nodes[: count if replicas else 0]:
            await_replicas(node.port, replicas)
        yield [node for node, _, _ in nodes]


@contextmanager
def redis_sentinels(
    count: int, service: str, master: int, replicas: int = 1
) -> Iterator[list[Server]]:
    """Run sentinels that watch the Redis on a port of the loopback interface; yields them.

    They know its replicas, and each other, and call it down when it is silent for a second.
    """
    from redis import Redis

    program = _program("redis-server")
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        sentinels = []
        for number in range(count):
            port = free_port()
            settings = Path(directory, f"{number}.conf")
            settings.write_text(
                f"sentinel monitor {service} 127.0.0.1 {master} {count // 2 + 1}\n"
                f"sentinel down-after-milliseconds {service} 1000\n"
                f"sentinel failover-timeout {service} 3000\n"
            )
            command = [program, str(settings), "--sentinel", "--port", str(port)]
            command += ["--bind", "127.0.0.1", "--dir", directory]
            sentinels.append(stack.enter_context(running(Server(command, "+monitor", port))))
        for sentinel in sentinels:
            with Redis(port=sentinel.port) as client:
                _await_sentinel(client, service, (replicas, count - 1))
        yield sentinels


def _await_sentinel(client: Redis, service: str, known: tuple[int, int]) -> None:
    """Return when a sentinel knows so many replicas and other sentinels, by their gossip."""
    limit = time.monotonic() + PATIENCE_S
    while True:
        untyped: Any = client
        state = untyped.sentinel_master(service)
        if (state["num-slaves"], state["num-other-sentinels"]) == known:
            return
        assert time.monotonic() < limit, "the sentinels did not find each other"
        threading.Event().wait(0.05)


def _await_cluster(client: Redis, count: int) -> None:
    """Return when a node knows all others; gossip tells it, and has no event to wait for."""
    limit = time.monotonic() + PATIENCE_S
    while True:
        untyped: Any = client
        info = untyped.execute_command("CLUSTER INFO")
        if info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count:
            return
        assert time.monotonic() < limit, "the cluster did not form"
        threading.Event().wait(0.02)


@contextmanager
def postgresql_server() -> Iterator[Server]:
    """Run a PostgreSQL that trusts the user postgres on the loopback interface."""
    initdb, postgres = _program("initdb"), _program("postgres")
    port = free_port()
    with _folder_of("postgres") as (directory, user):
        data = f"{directory}/data"
        _make(
            [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"], user
        )
        command = [postgres, "-D", data, "-p", str(port), "-k", directory]
        for setting in ("listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"):
            command += ["-c", setting]
        server = Server(command, "database system is ready to accept connections", port, user)
        with running(server, signal.SIGINT):  # it ends the sessions, then itself
            yield server


@contextmanager
def postgresql_standby(primary: int) -> Iterator[Server]:
    """Run a standby of the PostgreSQL on a port, which follows it and takes reads."""
    postgres, port = _program("postgres"), free_port()
    with _folder_of("postgres") as (directory, user):
        data = f"{directory}/data"
        source = ["-h", "127.0.0.1", "-p", str(primary), "-U", "postgres"]
        _make([_program("pg_basebackup"), *source, "-D", data, "-R", "-c", "fast"], user)
        command = [postgres, "-D", data, "-p", str(port), "-k", directory]
        for setting in ("listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"):
            command += ["-c", setting]
        server = Server(command, "ready to accept read-only connections", port, user)
        with running(server, signal.SIGINT):
            yield server


@contextmanager
def pgbouncer(port: int) -> Iterator[Server]:
    """Run a pgbouncer before a PostgreSQL, which shares 3 connections by transactions."""
    program, own = _program("pgbouncer"), free_port()
    with _folder_of("postgres") as (directory, user):
        settings = Path(directory, "pgbouncer.ini")
        settings.write_text(
            f"[databases]\npostgres = host=127.0.0.1 port={port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n"
        )
        with running(Server([program, str(settings)], "process up", own, user)) as server:
            yield server


@contextmanager
def mariadb_server(*options: str) -> Iterator[Server]:
    """Run a MariaDB that trusts the user root on the loopback interface; a database is ``test``."""
    install, mariadbd = _program("mariadb-install-db"), _program("mariadbd")
    port = free_port()
    with _folder_of("mysql") as (directory, user):
        data = f"--datadir={directory}/data"
        _make([install, "--no-defaults", data, "--auth-root-authentication-method=normal"], user)
        command = [mariadbd, "--no-defaults", data, f"--port={port}", "--bind-address=127.0.0.1"]
        command += [f"--socket={directory}/socket", f"--pid-file={directory}/pid"]
        command += ["--max-connections=700", "--innodb-flush-log-at-trx-commit=0", *options]
        with running(Server(command, "ready for connections", port, user)) as server:
            yield server


def _program(name: str) -> str:
    found = find(name)
    assert found is not None, f"{name} is not installed"
    return found


@contextmanager
def _folder_of(name: str) -> Iterator[tuple[str, str | None]]:
    """Make a folder for a server's data, and say whom it belongs to and the server may run as."""
    user = _unprivileged(name)
    with tempfile.TemporaryDirectory() as directory:
        if user is not None:
            shutil.chown(directory, user)
        yield directory, user


def _make(command: list[str], user: str | None) -> None:
    """Run what makes a server's data."""
    made = subprocess.run(command, capture_output=True, text=True, user=user)
    assert made.returncode == 0, made.stdout + made.stderr


def _unprivileged(name: str) -> str | None:
    """Return whom a server may run as that refuses to run as root; None: as ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return name if name in names else "nobody"


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    """The port of the suite's redis-server."""
    with redis_server() as server:
        yield server.port


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of the suite's PostgreSQL database, for SQLAlchemy with psycopg."""
    with postgresql_server() as server:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """The URL of the suite's MariaDB database, for SQLAlchemy with PyMySQL."""
    with mariadb_server() as server:
        yield f"mysql+pymysql://root@127.0.0.1:{server.port}/test"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CI"):
        return  # there a missing program is a failure
    missing: dict[str, list[str]] = {}
    for mark, programs in NEEDED.items():
        if absent := [program for program in programs if find(program) is None]:
            missing[mark] = absent
    left_out = [item for item in items if any(map(item.get_closest_marker, missing))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        absent = sorted(program for some in missing.values() for program in some)
        text = f"{len(left_out)} tests deselected: {', '.join(absent)} not installed"
        config.stash[_LEFT_OUT] = text


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if _LEFT_OUT in config.stash:
        terminalreporter.write_sep("-", config.stash[_LEFT_OUT], yellow=True)


_LEFT_OUT = pytest.StashKey[str]()
