"""The scenes: which servers run, and how they are struck."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from benchmarks.chaos.trial import Scene

from . import redis, sql


class Setting(NamedTuple):
    """A scene that can be tried out.

    :param what: is there, and what happens to it.
    :param keeps: whether nothing that was acknowledged may be lost.
    :param programs: that it needs.
    :param run: starts it.
    """

    what: str
    keeps: bool
    programs: tuple[str, ...]
    run: Callable[[], AbstractContextManager[Scene]]


_REDIS = ("redis-server",)
_POSTGRESQL = ("initdb", "postgres")
_MARIADB = ("mariadb-install-db", "mariadbd")
_WAIT = (1, 1.0)

SCENES: dict[str, Setting] = {
    "sqlite-killed": Setting(
        "SQLite: its 8 processes `kill -9`, 3 times", True, (), sql.sqlite_killed
    ),
    "redis-killed": Setting(
        "Redis, `appendfsync always`: `kill -9`, 3 times", True, _REDIS, redis.killed
    ),
    "redis-promoted": Setting(
        "Redis and a replica: `kill -9`, the replica takes over",
        False,
        _REDIS,
        redis.promoted,
    ),
    "redis-promoted-wait": Setting(
        "the same, `wait=(1, 1.0)`", True, _REDIS, partial(redis.promoted, _WAIT)
    ),
    "redis-demoted": Setting(
        "Redis and a replica: they change places, 3 times", False, _REDIS, redis.demoted
    ),
    "redis-demoted-wait": Setting(
        "the same, `wait=(1, 1.0)`", True, _REDIS, partial(redis.demoted, _WAIT)
    ),
    "sentinel-killed": Setting(
        "3 Sentinels, Redis and 2 replicas: `kill -9`", False, _REDIS, redis.sentinel_killed
    ),
    "sentinel-killed-wait": Setting(
        "the same, `wait=(1, 1.0)`", False, _REDIS, partial(redis.sentinel_killed, _WAIT)
    ),
    "sentinel-failover": Setting(
        "3 Sentinels, Redis and 2 replicas: `SENTINEL FAILOVER`, the old master lives",
        False,
        _REDIS,
        redis.sentinel_failover,
    ),
    "sentinel-failover-min": Setting(
        "the same, `min-replicas-to-write 1`",
        False,
        _REDIS,
        partial(redis.sentinel_failover, None, "--min-replicas-to-write", "1"),
    ),
    "sentinel-failover-wait": Setting(
        "the same, `wait=(1, 1.0)`: one of two",
        False,
        _REDIS,
        partial(redis.sentinel_failover, _WAIT),
    ),
    "sentinel-failover-wait-all": Setting(
        "the same, `wait=(2, 1.0)`: both", True, _REDIS, partial(redis.sentinel_failover, (2, 1.0))
    ),
    "cluster-killed": Setting(
        "Redis Cluster, 3 masters and 3 replicas: `kill -9` of a master",
        False,
        _REDIS,
        redis.cluster_killed,
    ),
    "cluster-killed-wait": Setting(
        "the same with 6 replicas, `wait=(1, 1.0)`",
        False,
        _REDIS,
        partial(redis.cluster_killed, _WAIT),
    ),
    "cluster-stopped": Setting(
        "Redis Cluster, 3 and 3: a master hangs (SIGSTOP), and comes back",
        False,
        _REDIS,
        redis.cluster_stopped,
    ),
    "cluster-resharded": Setting(
        "Redis Cluster, 3 and 3: slots move between masters",
        True,
        _REDIS,
        redis.cluster_resharded,
    ),
    "cluster-resharded-wait": Setting(
        "the same, `wait=(1, 1.0)`", True, _REDIS, partial(redis.cluster_resharded, _WAIT)
    ),
    "postgresql-terminated": Setting(
        "PostgreSQL: `pg_terminate_backend` of all, 10 times",
        True,
        _POSTGRESQL,
        sql.postgresql_terminated,
    ),
    "postgresql-restarted": Setting(
        "PostgreSQL: restarted, `-m immediate`, twice",
        True,
        _POSTGRESQL,
        sql.postgresql_restarted,
    ),
    "postgresql-promoted": Setting(
        "PostgreSQL and a synchronous standby, which takes over",
        True,
        _POSTGRESQL,
        sql.postgresql_promoted,
    ),
    "mariadb-killed": Setting("MariaDB: `kill -9`, twice", True, _MARIADB, sql.mariadb_killed),
}
