"""Sessions in Redis, or Redis Cluster: one hash each, read in one round trip, changed in one.

Needs Redis 6 or later (or a server that speaks like it) and redis-py; hiredis makes
reading replies faster: ctxlocal's extra ``[redis]`` brings both. Importing this module imports
redis, which takes about 140 ms; nothing else in ctxlocal does.

Times are the server's. Redis removes expired records itself. A server that drops keys
when it is full (``maxmemory-policy`` other than noeviction) drops sessions, and by a policy for all
keys (``allkeys-...``) users' indexes too, without which a user's sessions are found later:
see :class:`RedisStore`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any

from ...._at_once import at_once
from ....errors import MissingDependencyError

try:
    import redis.asyncio
    from redis.exceptions import ConnectionError, TimeoutError
except ImportError:
    raise MissingDependencyError("The Redis session store", "redis", "redis") from None

from ...errors import SessionConfigError
from ..forwarding import Blocking
from ..protocol import USER, Record, Stats
from ..threaded import refuse_trio
from .calls import Argument, Batch, Call
from .connecting import TIMEOUT, connect
from .direct import AsyncDirect, Direct
from .keeping import Wait, WaitFor, checked_wait
from .server import ask_evicting
from .steps import RedisSteps

__all__ = ["AsyncRedisStore", "RedisStore"]

# Field values are bytes, so replies are left as they come, whatever the client decodes.
_EXACT: dict[str, Any] = {"NEVER_DECODE": True}


class RedisStore(Blocking):
    """Keeps records in Redis; a :class:`~ctxlocal.sessions.stores.protocol.Store`.

    Safe from many threads, greenlets and processes. A load is 1 round trip, a commit 1,
    a touch 1, a create 2 (3 with a user), a move 6, a list 2 (3 where the user's index needs
    healing), a revoke 4 (more if somebody moves what it ends). A load of a session that has a user
    is 1 more once in 60 seconds, by which his index heals. By an old key it is 1 to 4 more,
    after any number of moves. Where the reply to a command is lost, the command is sent once more,
    and counts once: a commit is known again for 300 seconds, whatever came in between.

    A server that refuses a command because it was demoted, is loading, or sees no master or no
    cluster (READONLY, LOADING, MASTERDOWN, CLUSTERDOWN, TRYAGAIN, NOREPLICAS) is asked again, on
    new connections, for some 2 seconds: so behind a proxy, a virtual IP or a name the store
    follows that to the new master. What is idle in the pool of ``client`` is closed then.

    A move takes several commands, as its keys lie on two nodes of a cluster, and is done in the
    instant of one of them; whoever meets a move that is not finished finishes it. On a
    cluster the nodes' clocks have to agree to some milliseconds, as NTP sees to.

    A user's index is a key of its own, which a server may lose alone: where it evicts keys by a
    policy for all, or in a failover, as it lies in another slot. Each session that is loaded
    enters it again within 60 seconds, and ``list`` tells those that are there. ``revoke`` also
    notes when the user's sessions were ended, for 400 days: one that the index lacked is ended
    when it is loaded, in the process that revoked at once, in others within 60 seconds.

    ``revoke_everyone`` removes what it finds and raises an epoch, which ends whatever was
    hidden from it; a process takes notice within ``epoch_interval``, and writes the epoch back
    if the server has lost it. ``purge`` clears the users' indexes of what has expired; it is
    worth running once a day.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with any settings; it stays
        the caller's. Give it timeouts: without, a silent server holds the request, and the client
        may repeat a commit later than in 300 seconds (redis-py's default of 10 retries does not,
        with timeouts of 5 seconds).
    :param prefix: what the names of all keys begin with; ASCII, ``"ctxlocal:"``. Stores of other
        prefixes keep to themselves, also where one prefix begins with another.
    :param epoch_interval: seconds between reads of the epoch, each one more round trip of
        the load or commit that makes it; 10.
    :param wait: ``(replicas, seconds)``, as ``(1, 0.5)``. What is written is acknowledged when so
        many replicas have confirmed it (WAIT, on the connection that wrote it), and is otherwise
        a :class:`~ctxlocal.sessions.errors.NotReplicatedError` after so long, though the server
        has done it. The same commit again counts once, and waits again. So it is unlikely that
        a failover loses what was acknowledged, but not impossible
        (https://redis.io/docs/latest/commands/wait). It takes a replica's round trip more for
        each create and commit, two for a move, one and one for each session that ends for a
        revocation; a touch does not wait. Less than the client's ``socket_timeout``. None, the
        default: no replica is asked.
    :param wait_for: what waits: ``"changes"``, or ``"ends"`` alone, which are delete, revoke,
        revoke_everyone, a move without a grace and a commit that clears. The end of everyone
        waits for the epoch alone, which ends what comes back.
    :raises SessionConfigError: a setting cannot be used.
    """

    _operations: _AtOnce

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        *,
        prefix: str = "ctxlocal:",
        epoch_interval: float = 10,
        wait: tuple[int, float] | None = None,
        wait_for: WaitFor = "changes",
        owned: bool = False,
    ) -> None:
        _refuse_url(client, "RedisStore")
        if hasattr(client, "aclose"):
            raise SessionConfigError("client", "it is asyncio's; use AsyncRedisStore")
        asked = checked_wait(wait, wait_for, _silence(client))
        self._operations = _AtOnce(client, prefix, epoch_interval, owned, asked)
        self.name = self._operations.name

    @classmethod
    def from_url(cls, url: str, *, timeout: float = TIMEOUT, **options: Any) -> RedisStore:
        """Make a store with connections of its own, which ``close`` closes.

        But for a cluster it goes without a client's layers on top of a connection: so a
        command takes 20 us less, and libraries that trace clients do not see it.

        :param url: ``redis://[user:password@]host[:port][/db]``, or ``rediss://`` (TLS);
            ``redis+unix://[user:password@]/path``, or ``unix://``;
            ``redis+cluster://[user:password@]host[:port],host[:port]`` for a cluster, whose nodes
            are asked for at once, of the first of these that answers;
            ``redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]`` for the
            master that sentinels know by the name ``service``, and whichever is it later. The last
            two have their ``rediss+...`` too, where sentinels speak TLS as well.
            After the ``?`` may come ``prefix``, ``epoch_interval``, ``wait`` (as ``1,0.5``),
            ``wait_for``, ``timeout``, ``pool_size`` (how many connections there are at most, 50;
            more requests than that wait for one; in a cluster each node has as many, and more are
            an error), what redis-py knows of a connection, as ``ssl_ca_certs``, and
            ``sentinel_username`` and ``sentinel_password``.
            What the URL says counts before the other parameters.
        :param timeout: seconds for a connection, a place in the pool and an answer.
        :param options: those of the constructor.
        :raises SessionConfigError: the URL is malformed, or has a key that nobody knows.
        :raises StoreUnavailableError: no node of the cluster answers.
        """
        made = connect(url, redis, timeout)
        return cls(made.client, owned=True, **{**options, **made.options})

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every live record, 500 at a time; a key may come twice, as SCAN has it."""
        operations = self._operations
        at_once(operations._scan_records([]))
        for node in operations._primaries():
            cursor = b"0"
            while True:
                cursor, names = at_once(operations._scan_page(node, cursor))
                yield from at_once(operations._scan_records(names))
                if cursor == b"0":
                    break

    def eviction_policies(self) -> set[str]:
        """Return by which policies a node drops keys when it is full, ``allkeys-lru`` for instance.

        Empty where none drops any: the policy is noeviction, or the memory has no limit. Safe is
        noeviction alone; ``volatile-...`` drops sessions, but no user's index.
        """
        return at_once(ask_evicting(self._operations))

    def stats(self) -> Stats:
        """Count the live records; reads them all."""
        keys: set[str] = set()
        users: set[bytes] = set()
        size = 0
        for key, record in self.scan():
            if key in keys:
                continue
            keys.add(key)
            if USER in record.values:
                users.add(record.values[USER])
            size += sum(len(name.encode()) + len(value) for name, value in record.values.items())
        return Stats(len(keys), len(users), size)


class _AtOnce(RedisSteps):
    """The operations over a client that blocks."""

    _direct: Direct | None = None

    def __init__(
        self, client: Any, prefix: str, epoch_interval: float, owned: bool, wait: Wait | None
    ) -> None:
        super().__init__(client, prefix, epoch_interval, owned, wait)
        if (pool := self._own_pool()) is not None:
            self._direct = Direct(pool, pool.timeout)

    async def _send(self, asked: Call | Batch) -> Any:
        if self._direct is not None:
            return self._direct.ask(asked)
        if isinstance(asked, Call):
            return self._client.execute_command(*asked.arguments, **_options(asked))
        if asked.at is not None and _is_cluster(self._client):
            return await self._send_to_node(asked.calls, asked.at)
        return _piped(self._client, asked.calls)

    async def _send_to(self, node: Any, calls: Sequence[tuple[Argument, ...]]) -> Any:
        return _piped(self._client.get_redis_connection(node), calls)

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    async def _drop_idle(self) -> None:
        if self._direct is not None:
            self._direct.close()
        else:
            _close_idle(self._client)

    async def close(self) -> None:
        if self._direct is not None:
            self._direct.close()
        if self._owned:
            if hasattr(self._client, "disconnect_connection_pools"):
                self._client.disconnect_connection_pools()  # which close of a cluster leaves alone
            self._client.close()


class AsyncRedisStore(RedisSteps):
    """The same over ``redis.asyncio``; an :class:`~ctxlocal.sessions.stores.protocol.AsyncStore`.

    See :class:`RedisStore` for everything else.

    :param client: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``.
    """

    _direct: AsyncDirect | None = None

    def __init__(
        self,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster,
        *,
        prefix: str = "ctxlocal:",
        epoch_interval: float = 10,
        wait: tuple[int, float] | None = None,
        wait_for: WaitFor = "changes",
        owned: bool = False,
    ) -> None:
        _refuse_url(client, "AsyncRedisStore")
        if not hasattr(client, "aclose"):
            raise SessionConfigError("client", "it is not asyncio's; use RedisStore")
        asked = checked_wait(wait, wait_for, _silence(client))
        super().__init__(client, prefix, epoch_interval, owned, asked)
        self._is_cluster = hasattr(client, "get_primaries")
        if (pool := self._own_pool()) is not None:
            self._direct = AsyncDirect(pool, pool.timeout)

    @classmethod
    def from_url(cls, url: str, *, timeout: float = TIMEOUT, **options: Any) -> AsyncRedisStore:
        """Make a store with connections of its own; see :meth:`RedisStore.from_url`.

        Use it in one event loop: another one opens its own, and leaves those of the first.
        """
        made = connect(url, redis.asyncio, timeout)
        return cls(made.client, owned=True, **{**options, **made.options})

    async def close(self) -> None:
        """Close what ``from_url`` opened."""
        if self._direct is not None:
            await self._direct.close()
        if self._owned:
            await self._client.aclose()

    def _check_library(self) -> None:
        refuse_trio(self, "RedisStore")

    async def _send(self, asked: Call | Batch) -> Any:
        if self._direct is not None:
            return await self._direct.ask(asked)
        if self._is_cluster:
            # Else each of many that are first opens connections, and closes those of the others.
            await self._client.initialize()
        if isinstance(asked, Call):
            return await self._client.execute_command(*asked.arguments, **_options(asked))
        if asked.at is not None and self._is_cluster:
            return await self._send_to_node(asked.calls, asked.at)
        async with self._client.pipeline(transaction=False) as pipeline:
            for call in asked.calls:
                pipeline.execute_command(*call, **_EXACT)
            return await pipeline.execute(raise_on_error=False)

    async def _send_to(self, node: Any, calls: Sequence[tuple[Argument, ...]]) -> Any:
        from redis.asyncio.cluster import PipelineCommand

        commands = [PipelineCommand(at, *call, **_EXACT) for at, call in enumerate(calls)]
        await node.execute_pipeline(commands)
        replies = [command.result for command in commands]
        for reply in replies:
            if isinstance(reply, (ConnectionError, TimeoutError)):
                raise reply
        return replies

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _drop_idle(self) -> None:
        if self._direct is not None:
            await self._direct.close()
        elif (closing := _close_idle(self._client)) is not None:
            await closing


def _close_idle(client: Any) -> Any:
    """Close what is idle in a client's pool; return what asyncio's has to be awaited for.

    A cluster has none: it asks for its nodes anew itself.
    """
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return None
    if "inuse_connections" in signature(pool.disconnect).parameters:
        return pool.disconnect(inuse_connections=False)
    return pool.disconnect()  # redis-py 5's BlockingConnectionPool: what is in use is repeated


def _piped(client: Any, calls: Sequence[tuple[Argument, ...]]) -> Any:
    with client.pipeline(transaction=False) as pipeline:
        for call in calls:
            pipeline.execute_command(*call, **_EXACT)
        return pipeline.execute(raise_on_error=False)


def _is_cluster(client: Any) -> bool:
    return hasattr(client, "get_primaries")


def _silence(client: Any) -> float | None:
    """Return for how many seconds a client lets a server be silent; None: for ever, or unknown."""
    if _is_cluster(client):
        settings = client.get_connection_kwargs()
    else:
        settings = client.connection_pool.connection_kwargs
    seconds: float | None = settings.get("socket_timeout")
    return seconds


def _options(call: Call) -> dict[str, Any]:
    return _EXACT if call.node is None else {**_EXACT, "target_nodes": call.node}


def _refuse_url(client: object, store: str) -> None:
    if isinstance(client, str):  # with a password in it, perhaps
        raise SessionConfigError("client", f"it is a URL; use {store}.from_url(url)")
