"""The client that a Redis store makes of a URL: it waits for what is busy, but not long."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from redis.backoff import NoBackoff

from ...errors import SessionConfigError, StoreUnavailableError
from . import address, sentinel
from .address import Address, Node
from .steps import FAILURES

TIMEOUT = 5.0  #: seconds for a connection, a place in the pool and an answer
_POOL_SIZE = 50


class Made(NamedTuple):
    """A client, and the store's own options that stand in the URL."""

    client: Any
    options: dict[str, Any]


def connect(url: str, library: Any, timeout: float) -> Made:
    """Make a client of ``redis`` or ``redis.asyncio``.

    :param timeout: seconds, unless the URL says ``timeout=``.
    :raises SessionConfigError: the URL cannot be used.
    :raises StoreUnavailableError: no node of a cluster answers.
    """
    where, said = _read(url, library)
    options = where.options
    timeout = options.pop("timeout", timeout)
    settings = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **said}
    if (pool_size := options.pop("pool_size", None)) is not None:
        settings["max_connections"] = pool_size
    if where.kind == "cluster":
        return Made(_cluster(where.nodes, library, settings), options)
    # A hash comes as a flat list then, of which hiredis makes a reply in a third of the time:
    # a load takes a twentieth less.
    settings.setdefault("protocol", 2)
    # The store itself repeats what got lost, so the client need not do so in addition, with pauses.
    settings["retry"] = import_module(f"{library.__name__}.retry").Retry(NoBackoff(), 0)
    if where.kind == "sentinel":
        pool = _sentinel(where, library, settings)
    else:  # redis-py's usual pool refuses at once what is over its size
        pool = library.BlockingConnectionPool(**settings)
    pool.timeout = timeout
    return Made(library.Redis.from_pool(pool), options)


def _read(url: str, library: Any) -> tuple[Address, dict[str, Any]]:
    """Return what a URL says, to us and to redis-py."""
    parse_url = import_module(f"{library.__name__}.connection").parse_url
    try:
        where = address.read(url)
        return where, parse_url(where.url)
    except SessionConfigError:
        raise
    except ValueError as error:  # whose text may hold a part of the password
        is_harmless = str(error).startswith("Invalid value for ")
        problem = str(error) if is_harmless else "it is no URL of a Redis server"
        raise SessionConfigError("url", problem) from None


def _cluster(nodes: Sequence[Node], library: Any, settings: dict[str, Any]) -> Any:
    make_node = import_module(f"{library.__name__}.cluster").ClusterNode
    starts = [make_node(*node) for node in nodes]
    try:
        return library.RedisCluster(startup_nodes=starts, **_without_place(settings))
    except FAILURES as error:
        raise StoreUnavailableError("redis+cluster", "connect") from error


def _sentinel(where: Address, library: Any, settings: dict[str, Any]) -> Any:
    """Make the pool of a master that sentinels know; they are reached by the same means."""
    settings = _without_place(settings)
    is_shared = re.compile("ssl|socket_|retry$").match
    shared = {name: value for name, value in settings.items() if is_shared(name)}
    make_pool, make_discovery = _OF_SENTINEL[library.__name__]
    discovery = make_discovery(where.nodes, {**shared, **where.sentinel})
    return make_pool(where.service, discovery, **{"max_connections": _POOL_SIZE, **settings})


def _without_place(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that all servers have in common."""
    is_tls = "connection_class" in settings
    place = ("host", "port", "connection_class")
    return {**{name: settings[name] for name in settings.keys() - place}, "ssl": is_tls}


_OF_SENTINEL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "redis": (sentinel.Pool, sentinel.Discovery),
    "redis.asyncio": (sentinel.AsyncPool, sentinel.AsyncDiscovery),
}
