"""What a Redis server tells of itself: INFO, and what of its configuration is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from ..forwarding import named
from .calls import Argument, Call

if TYPE_CHECKING:
    from .steps import RedisSteps


class Told(NamedTuple):
    """What one node tells; a user who may not ask for something is told nothing of it."""

    info: Mapping[str, str]
    settings: Mapping[str, str]

    @property
    def evicts_by(self) -> str | None:
        """By which policy it drops keys when it is full; None if it drops none, or is not told."""
        policy = self.info.get("maxmemory_policy", "noeviction")
        return None if policy == "noeviction" or self.info.get("maxmemory") == "0" else policy


@named("stats")
async def ask_node(store: RedisSteps, node: object, settings: Iterable[str] = ()) -> Told:
    """Ask a node; None is the only one.

    :param settings: names of its configuration, which managed servers keep to themselves.
    """
    # Out of a script it comes as it is, whatever a client makes of INFO.
    info = await _told(store, node, "EVAL", "return redis.call('INFO')", 0)
    found = {name: await _told(store, node, "CONFIG", "GET", name) for name in settings}
    return Told(
        _pairs(info, ":"),
        {name: value for name, reply in found.items() if (value := _value(reply)) is not None},
    )


@named("stats")
async def ask_cluster(store: RedisSteps, node: object) -> Mapping[str, str]:
    """Return what a node of a cluster tells of that."""
    return _pairs(await _told(store, node, "CLUSTER", "INFO"), ":")


@named("stats")
async def ask_evicting(store: RedisSteps) -> set[str]:
    """Return by which policies nodes drop keys when they are full; empty if none does."""
    told = [await ask_node(store, node) for node in store._primaries()]
    return {policy for each in told if (policy := each.evicts_by) is not None}


def nodes_of(store: RedisSteps) -> Sequence[object]:
    """Return all nodes, replicas too; ``[None]`` without a cluster."""
    client = store._client
    return client.get_nodes() if hasattr(client, "get_nodes") else [None]


async def _told(store: RedisSteps, node: object, *arguments: Argument) -> Any:
    try:
        reply = await store._ask(Call(arguments, node))
    except ResponseError:
        return None
    if isinstance(reply, dict) and node is not None and len(reply) == 1:
        (name,) = reply
        if isinstance(name, str):  # a cluster's answer may have one for each node
            return reply[name]
    return reply


def _pairs(reply: Any, mark: str) -> dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    lines = (line.partition(mark) for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, found, value in lines if found}


def _value(reply: Any) -> str | None:
    """Return the value of one setting: the second of a list, or of a mapping in RESP3."""
    flat = [part for pair in reply.items() for part in pair] if isinstance(reply, dict) else reply
    if not isinstance(flat, list) or len(flat) != 2:
        return None
    return flat[1].decode(errors="replace") if isinstance(flat[1], bytes) else str(flat[1])
