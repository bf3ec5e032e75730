"""Sessions in Redis, or Redis Cluster: one hash each, read in one round trip, changed in one.

Needs Redis 6 or later (or a server that speaks like it) and redis-py; hiredis makes
reading replies faster: ctxlocal's extra ``[redis]`` brings both. Importing this module imports
redis, which takes about 140 ms; nothing else in ctxlocal does.

Times are the server's. Redis removes expired records itself. A server that drops keys
when it is full (``maxmemory-policy`` other than noeviction) drops sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import MissingDependencyError

try:
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisClusterException, RedisError
except ImportError:
    raise MissingDependencyError("The Redis session store", "redis", "redis") from None

from ..errors import SessionConfigError, StoreUnavailableError
from ..protocol import USER, Answer, Change, Record, Stats
from ..threaded import refuse_trio
from ._redis_calls import Batch, Call, Steps
from ._redis_direct import AsyncDirect, Direct
from ._redis_steps import RedisSteps

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["AsyncRedisStore", "RedisStore"]

R = TypeVar("R")
# Field values are bytes, so replies are left as they come, whatever the client decodes.
_EXACT: dict[str, Any] = {"NEVER_DECODE": True}
_FAILURES = (RedisError, RedisClusterException, OSError)  # the second is no RedisError
_SECONDS = 5  # how long from_url lets a server be silent


class _Twin:
    """What both stores have in common but the way a command is sent."""

    def __init__(self, client: Any, prefix: str, epoch_interval: float, owned: bool) -> None:
        if not epoch_interval >= 0:
            raise SessionConfigError("epoch_interval", "give seconds, 0 or more")
        self.name = _name(client)
        self._client = client
        self._owned = owned
        self._steps = RedisSteps(self.name, prefix, epoch_interval, self._primaries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _primaries(self) -> Sequence[object]:
        if not hasattr(self._client, "get_primaries"):
            return [None]
        nodes: Sequence[object] = self._client.get_primaries()
        return nodes


class RedisStore(_Twin):
    """Keeps records in Redis; a :class:`~ctxlocal.session.protocol.Store`.

    Safe from many threads, greenlets and processes. A load is 1 round trip, a commit 1,
    a touch 1, a create 2 (3 with a user), a move 6. By an old key it is 1 to 4 more, after any
    number of moves. Where the reply to a command is lost, the command is sent once more,
    and counts once.

    A move takes several commands, as its keys lie on two nodes of a cluster, and is done in the
    instant of one of them; whoever meets a move that is not finished finishes it. On a
    cluster the nodes' clocks have to agree to some milliseconds, as NTP sees to.

    ``revoke_everyone`` removes what it finds and raises an epoch, which ends whatever was
    hidden from it; a process takes notice within ``epoch_interval``, and writes the epoch back
    if the server has lost it. ``purge`` clears the users' indexes of what has expired; it is
    worth running once a day.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``, with any settings; it stays
        the caller's. Give it timeouts: without, a silent server holds the request.
    :param prefix: what the names of all keys begin with; ASCII, ``"ctxlocal:"``.
    :param epoch_interval: seconds between reads of the epoch, each one more round trip of
        the load or commit that makes it; 10.
    :raises SessionConfigError: a setting cannot be used.
    """

    is_blocking = True

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        *,
        prefix: str = "ctxlocal:",
        epoch_interval: float = 10,
        owned: bool = False,
    ) -> None:
        _refuse_url(client, "RedisStore")
        if hasattr(client, "aclose"):
            raise SessionConfigError("client", "it is asyncio's; use AsyncRedisStore")
        super().__init__(client, prefix, epoch_interval, owned)
        pool = getattr(client, "connection_pool", None)  # a cluster has none
        self._direct = Direct(pool, _SECONDS) if owned and pool is not None else None

    @classmethod
    def from_url(cls, url: str, **options: Any) -> RedisStore:
        """Make a store with connections of its own, which ``close`` closes.

        But for a cluster it goes without a client's layers on top of a connection: so a
        command takes 20 us less, and libraries that trace clients do not see it.

        :param url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` (TLS),
            ``unix://path``; ``redis+cluster://`` and ``rediss+cluster://`` for a cluster.
            Settings of the connections go into the query, for instance ``max_connections``
            (50; more requests than that wait for one). All timeouts are 5 seconds.
            A cluster is asked for its nodes at once.
        :param options: those of the constructor.
        :raises SessionConfigError: the URL is malformed.
        :raises StoreUnavailableError: no node of the cluster answers.
        """
        import redis

        return cls(_connect(url, redis), owned=True, **options)

    def load(self, key: str) -> Record | None:
        """Return the record, None if there is none; 1 round trip, 3 or 5 by an old key."""
        return self._run("load", self._steps.load(key))

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record; False if there is one."""
        return self._run("create", self._steps.create(key, sets, ttl))

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge changes into a record; 1 round trip. ``base`` is not needed here."""
        return self._run("commit", self._steps.commit(key, generation, change, ttl))

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, in one instant for whoever watches; 6 round trips."""
        return self._run("move", self._steps.move(old, new, sets, ttl, grace))

    def touch(self, key: str, ttl: float) -> bool:
        """Renew the expiry; 1 round trip, 2 or 4 by an old key."""
        return self._run("touch", self._steps.touch(key, ttl))

    def delete(self, key: str) -> bool:
        """Remove the record; 1 round trip, 2 or 4 by an old key."""
        return self._run("delete", self._steps.delete(key))

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return a user's live records and heal the index; 2 round trips, 3 if it was not."""
        return self._run("list", self._steps.list_of(user))

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        """Remove a user's records, whoever moves them meanwhile; 3 round trips and more then."""
        return self._run("revoke", self._steps.revoke(user, except_key, handle))

    def revoke_everyone(self) -> int:
        """Remove every record on every node, whoever moves it meanwhile."""
        return self._run("revoke_everyone", self._steps.revoke_everyone())

    def purge(self) -> int:
        """Drop what the users' indexes hold of expired records; return how many entries."""
        return self._run("purge", self._steps.purge())

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every live record, 500 at a time; a key may come twice, as SCAN has it."""
        self._run("scan", self._steps.records([]))
        for node in self._primaries():
            cursor = b"0"
            while True:
                page = self._steps.page(node, cursor)
                cursor, names = self._run("scan", page)
                yield from self._run("scan", self._steps.records(names))
                if cursor == b"0":
                    break

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

    def close(self) -> None:
        """Close what ``from_url`` opened; what is used afterwards is opened anew."""
        if self._direct is not None:
            self._direct.close()
        if self._owned:
            self._client.close()

    def _run(self, operation: str, steps: Steps[R]) -> R:
        try:
            asked = next(steps)
            while True:
                try:
                    reply = self._ask(asked)
                except _FAILURES as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result
        except _FAILURES as error:
            raise StoreUnavailableError(self.name, operation) from error

    def _ask(self, asked: Call | Batch) -> Any:
        if self._direct is not None:
            return self._direct.ask(asked)
        if isinstance(asked, Call):
            return self._client.execute_command(*asked.arguments, **_options(asked))
        with self._client.pipeline(transaction=False) as pipeline:
            for call in asked.calls:
                pipeline.execute_command(*call, **_EXACT)
            return pipeline.execute(raise_on_error=False)


class AsyncRedisStore(_Twin):
    """The same over ``redis.asyncio``; an :class:`~ctxlocal.session.protocol.AsyncStore`.

    See :class:`RedisStore` for everything else.

    :param client: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster,
        *,
        prefix: str = "ctxlocal:",
        epoch_interval: float = 10,
        owned: bool = False,
    ) -> None:
        _refuse_url(client, "AsyncRedisStore")
        if not hasattr(client, "aclose"):
            raise SessionConfigError("client", "it is not asyncio's; use RedisStore")
        super().__init__(client, prefix, epoch_interval, owned)
        pool = getattr(client, "connection_pool", None)  # a cluster has none
        self._direct = AsyncDirect(pool, _SECONDS) if owned and pool is not None else None

    @classmethod
    def from_url(cls, url: str, **options: Any) -> AsyncRedisStore:
        """Make a store with connections of its own; see :meth:`RedisStore.from_url`.

        Use it in one event loop: another one opens its own, and leaves those of the first.
        """
        import redis.asyncio

        return cls(_connect(url, redis.asyncio), owned=True, **options)

    async def load(self, key: str) -> Record | None:
        """Return the record, None if there is none; 1 round trip, 3 or 5 by an old key."""
        return await self._run("load", self._steps.load(key))

    async def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record; False if there is one."""
        return await self._run("create", self._steps.create(key, sets, ttl))

    async def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge changes into a record; 1 round trip."""
        return await self._run("commit", self._steps.commit(key, generation, change, ttl))

    async def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, in one instant for whoever watches; 6 round trips."""
        return await self._run("move", self._steps.move(old, new, sets, ttl, grace))

    async def touch(self, key: str, ttl: float) -> bool:
        """Renew the expiry; 1 round trip, 2 or 4 by an old key."""
        return await self._run("touch", self._steps.touch(key, ttl))

    async def delete(self, key: str) -> bool:
        """Remove the record; 1 round trip, 2 or 4 by an old key."""
        return await self._run("delete", self._steps.delete(key))

    async def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return a user's live records and heal the index."""
        return await self._run("list", self._steps.list_of(user))

    async def revoke(
        self, user: str, except_key: str | None = None, handle: str | None = None
    ) -> int:
        """Remove a user's records, whoever moves them meanwhile."""
        return await self._run("revoke", self._steps.revoke(user, except_key, handle))

    async def revoke_everyone(self) -> int:
        """Remove every record on every node, whoever moves it meanwhile."""
        return await self._run("revoke_everyone", self._steps.revoke_everyone())

    async def purge(self) -> int:
        """Drop what the users' indexes hold of expired records; return how many entries."""
        return await self._run("purge", self._steps.purge())

    async def close(self) -> None:
        """Close what ``from_url`` opened."""
        if self._direct is not None:
            await self._direct.close()
        if self._owned:
            await self._client.aclose()

    async def _run(self, operation: str, steps: Steps[R]) -> R:
        refuse_trio(self, "RedisStore")
        try:
            asked = next(steps)
            while True:
                try:
                    reply = await self._ask(asked)
                except _FAILURES as error:
                    asked = steps.throw(error)
                else:
                    asked = steps.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result
        except _FAILURES as error:
            raise StoreUnavailableError(self.name, operation) from error

    async def _ask(self, asked: Call | Batch) -> Any:
        if self._direct is not None:
            return await self._direct.ask(asked)
        if isinstance(asked, Call):
            return await self._client.execute_command(*asked.arguments, **_options(asked))
        async with self._client.pipeline(transaction=False) as pipeline:
            for call in asked.calls:
                pipeline.execute_command(*call, **_EXACT)
            return await pipeline.execute(raise_on_error=False)


def _options(call: Call) -> dict[str, Any]:
    return _EXACT if call.node is None else {**_EXACT, "target_nodes": call.node}


def _refuse_url(client: object, store: str) -> None:
    if isinstance(client, str):  # with a password in it, perhaps
        raise SessionConfigError("client", f"it is a URL; use {store}.from_url(url)")


def _connect(url: str, library: Any) -> Any:
    """Make a client of ``redis`` or ``redis.asyncio`` that waits for what is busy, but not long."""
    scheme, found, rest = url.partition("://")
    settings = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
    try:
        if scheme.endswith("+cluster"):
            url = scheme.removesuffix("+cluster") + found + rest
            return library.RedisCluster.from_url(url, **settings)
        # Its own pool refuses at once what is over its size. The store itself repeats what
        # got lost, so the client need not do so in addition, with pauses.
        retry = import_module(f"{library.__name__}.retry").Retry(NoBackoff(), 0)
        pool = library.BlockingConnectionPool.from_url(
            url, retry=retry, timeout=_SECONDS, **settings
        )
        return library.Redis.from_pool(pool)
    except ValueError:  # its text may hold a part of the password
        raise SessionConfigError("url", "it is no URL of a Redis server") from None
    except _FAILURES as error:
        raise StoreUnavailableError("redis+cluster", "connect") from error


def _name(client: Any) -> str:
    if hasattr(client, "get_primaries"):
        nodes = sorted(client.nodes_manager.startup_nodes)
        return f"redis+cluster://{nodes[0]}" if nodes else "redis+cluster"
    known = client.connection_pool.connection_kwargs
    if "path" in known:
        return f"unix://{known['path']}"
    return (
        f"redis://{known.get('host', 'localhost')}:{known.get('port', 6379)}/{known.get('db') or 0}"
    )
