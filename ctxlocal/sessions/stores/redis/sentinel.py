"""What redis-py's Sentinel client lacks for a store that keeps its connections itself.

redis-py asks the sentinels for the master before each new connection. Two things are ours:

- The sentinels are asked over connections that are closed again. So no fork and no other event loop
  finds those of another; and two that look at once, both past a sentinel that is down, cannot
  lose one of its list, which they share there and swap two places of.
- When the master is another one, the idle connections are closed that lead to the former. They are
  not in redis-py's pool, which would do so, but in :mod:`.direct`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio.sentinel
import redis.sentinel

_Sentinel: Any = redis.sentinel.Sentinel  # without types
_AsyncSentinel: Any = redis.asyncio.sentinel.Sentinel

Node = tuple[str, int]


class Discovery:
    """Asks sentinels who the master is; the one that knew it last comes first.

    :param nodes: the sentinels.
    :param settings: of the connections to them.
    """

    def __init__(self, nodes: Sequence[Node], settings: dict[str, Any]) -> None:
        self.nodes = nodes
        self._settings = settings

    def discover_master(self, service_name: str) -> Node:
        """Return the master's host and port.

        :raises MasterNotFoundError: no sentinel answers, or none knows one that is up.
        """
        asked = _Sentinel(self.nodes, sentinel_kwargs=self._settings)
        try:
            found: Node = asked.discover_master(service_name)
            self.nodes = nodes_of(asked)
        finally:
            for each in asked.sentinels:
                each.close()
        return found


class AsyncDiscovery(Discovery):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Node:  # type: ignore[override]
        """See :meth:`Discovery.discover_master`."""
        asked = _AsyncSentinel(self.nodes, sentinel_kwargs=self._settings)
        try:
            found: Node = await asked.discover_master(service_name)
            self.nodes = nodes_of(asked)
        finally:
            for each in asked.sentinels:
                await each.aclose()
        return found


class Pool(redis.sentinel.SentinelConnectionPool):
    """Describes the connections to the master; ``drop_idle`` closes those that wait elsewhere."""

    drop_idle: Callable[[], object] | None = None

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close what is idle, as redis-py asks for when the master is another."""
        if self.drop_idle is not None:
            self.drop_idle()
        super().disconnect(inuse_connections)


class AsyncPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """The same for asyncio."""

    drop_idle: Callable[[], Awaitable[object]] | None = None

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """See :meth:`Pool.disconnect`."""
        if self.drop_idle is not None:
            await self.drop_idle()
        await super().disconnect(inuse_connections)


def nodes_of(manager: Any) -> Sequence[Node]:
    """Return the sentinels that ours, or redis-py's Sentinel, asks."""
    if isinstance(manager, Discovery):
        return manager.nodes
    settings = [each.connection_pool.connection_kwargs for each in manager.sentinels]
    return [(each["host"], each["port"]) for each in settings]
