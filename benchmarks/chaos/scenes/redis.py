"""Redis: alone, with a replica behind an address that moves, with Sentinels, and in a Cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis
from redis.sentinel import Sentinel

from benchmarks.chaos.trial import Scene
from ctxlocal.sessions.stores.redis import RedisStore
from tests.sessions.stores.proxy import Proxy, proxy_to
from tests.support.services import (
    Server,
    await_replicas,
    redis_nodes,
    redis_replica,
    redis_sentinels,
    redis_server,
)

Wait = tuple[int, float] | None
_NODES = ("--cluster-node-timeout", "2000")


@contextmanager
def killed() -> Iterator[Scene]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:

        def strike() -> None:
            server.stop(signal.SIGKILL)
            server.start()

        yield Scene(lambda: RedisStore.from_url(_url(server.port)), [strike] * 3)


@contextmanager
def _behind_an_address() -> Iterator[tuple[Server, Server, Proxy, ExitStack]]:
    """Yield a master, a replica, the address that leads to the master, and what ends with them."""
    with (
        redis_server() as master,
        redis_replica(master.port) as replica,
        proxy_to(master.port) as proxy,
        ExitStack() as stack,
    ):
        yield master, replica, proxy, stack


@contextmanager
def promoted(wait: Wait = None) -> Iterator[Scene]:
    with _behind_an_address() as (master, replica, proxy, stack):

        def strike() -> None:
            master.stop(signal.SIGKILL)
            with redis.Redis(port=replica.port) as client:
                client.replicaof("NO", "ONE")
            proxy.target = replica.port
            stack.enter_context(redis_replica(replica.port))  # whom `wait` can ask

        yield Scene(lambda: RedisStore.from_url(_url(proxy.port), wait=wait), [strike])


@contextmanager
def demoted(wait: Wait = None) -> Iterator[Scene]:
    with _behind_an_address() as (*servers, proxy, stack):
        pair = [(each.port, stack.enter_context(redis.Redis(port=each.port))) for each in servers]

        def strike() -> None:
            (former, master), (port, replica) = pair
            await_replicas(former, 1)
            replica.replicaof("NO", "ONE")  # for a moment both take writes
            master.replicaof("127.0.0.1", port)
            proxy.target = port
            pair.reverse()

        yield Scene(lambda: RedisStore.from_url(_url(proxy.port), wait=wait), [strike] * 3)


@contextmanager
def sentinel_killed(wait: Wait = None) -> Iterator[Scene]:
    with redis_server() as master, redis_replica(master.port), redis_replica(master.port):
        await_replicas(master.port, 2)
        with redis_sentinels(3, "chaos", master.port, 2) as sentinels:
            yield Scene(
                lambda: _by_sentinel(sentinels, wait), [lambda: master.stop(signal.SIGKILL)]
            )


@contextmanager
def sentinel_failover(wait: Wait = None, *options: str) -> Iterator[Scene]:
    with (
        redis_server(*options) as master,
        redis_replica(master.port, *options),
        redis_replica(master.port, *options),
        redis_sentinels(3, "chaos", master.port, 2) as sentinels,
    ):

        def strike() -> None:
            with redis.Redis(port=sentinels[0].port) as client:
                untyped: Any = client
                untyped.execute_command("SENTINEL FAILOVER", "chaos")

        yield Scene(lambda: _by_sentinel(sentinels, wait), [strike])


@contextmanager
def cluster_killed(wait: Wait = None) -> Iterator[Scene]:
    with redis_nodes(3, 1 if wait is None else 2, *_NODES) as nodes:
        strike = lambda: nodes[0].stop(signal.SIGKILL)  # noqa: E731
        yield Scene(lambda: _cluster(nodes, wait), [strike])


@contextmanager
def cluster_stopped() -> Iterator[Scene]:
    with redis_nodes(3, 1, *_NODES) as nodes, ExitStack() as stack:
        yield Scene(
            lambda: _cluster(nodes),
            [lambda: stack.enter_context(nodes[0].paused()), stack.close],
        )


@contextmanager
def cluster_resharded(wait: Wait = None) -> Iterator[Scene]:
    with redis_nodes(3, 1, *_NODES) as nodes:
        yield Scene(
            lambda: _cluster(nodes, wait),
            [lambda: _move_slots(nodes[0], nodes[1]), lambda: _move_slots(nodes[1], nodes[2])],
        )


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}"


def _by_sentinel(sentinels: list[Server], wait: Wait) -> RedisStore:
    addresses = [("127.0.0.1", sentinel.port) for sentinel in sentinels]
    made: Any = Sentinel
    known = made(addresses, sentinel_kwargs={"socket_timeout": 1})
    return RedisStore(known.master_for("chaos", socket_timeout=2), wait=wait)


def _cluster(nodes: list[Server], wait: Wait = None) -> RedisStore:
    return RedisStore.from_url(f"redis+cluster://127.0.0.1:{nodes[-1].port}", wait=wait)


def _slots(layout: Any, port: int) -> list[int]:
    """Return the slots of a master, by what CLUSTER SLOTS answers."""
    return [
        slot
        for first, last, (_, primary, *_), *_ in layout
        if primary == port
        for slot in range(first, last + 1)
    ]


def _move_slots(here: Server, there: Server, count: int = 200) -> None:
    """Move slots with what they hold, as ``redis-cli --cluster reshard`` does."""
    with redis.Redis(port=here.port) as giver, redis.Redis(port=there.port) as taker:
        ask: Any = giver.execute_command
        tell: Any = taker.execute_command
        ids = ask("CLUSTER MYID"), tell("CLUSTER MYID")
        for slot in _slots(ask("CLUSTER SLOTS"), here.port)[:count]:
            tell("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
            ask("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
            while keys := ask("CLUSTER GETKEYSINSLOT", slot, 100):
                ask("MIGRATE", "127.0.0.1", there.port, "", 0, 5000, "KEYS", *keys)
            tell("CLUSTER SETSLOT", slot, "NODE", ids[1])
            ask("CLUSTER SETSLOT", slot, "NODE", ids[1])
