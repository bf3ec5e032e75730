"""What of a Redis server's settings, or of a cluster's nodes, endangers sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..._at_once import at_once
from ...sessions.errors import StoreUnavailableError
from ...sessions.stores.redis import RedisStore
from ...sessions.stores.redis.server import Told, ask_cluster, ask_node, nodes_of
from .finding import Finding, judge, merged, not_known

SETTINGS = ("appendfsync", "save", "min-replicas-to-write")


def eviction(policy: str) -> str:
    """Say what a server that drops keys when it is full does to sessions."""
    lost = "sessions and users' indexes" if policy.startswith("allkeys") else "sessions"
    return f"drops {lost} when it is full"


def find(store: RedisStore) -> tuple[str, list[Finding]]:
    """Ask each node; return the engine with its version, and what was found.

    :raises StoreUnavailableError: no node can be asked.
    """
    operations = store._operations
    found: list[tuple[str, list[Finding]]] = []
    versions: set[str] = set()
    failure: StoreUnavailableError | None = None
    for node in nodes_of(operations):
        try:
            told = at_once(ask_node(operations, node, SETTINGS))
            cluster = {} if node is None else at_once(ask_cluster(operations, node))
        except StoreUnavailableError as error:
            failure = error
            text = "It cannot be asked: it is down, or cannot be reached from here."
            findings = [Finding("node", "no answer", "warning", text)]
        else:
            versions.add(_version(told.info))
            findings = list(_judge(told, cluster))
        found.append((getattr(node, "name", store.name), findings))
    if failure is not None and not versions:
        raise failure
    nodes = f", a cluster of {len(found)} nodes" if len(found) > 1 else ""
    return " and ".join(sorted(versions)) + nodes, merged(found)


def _version(info: Mapping[str, str]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', '')}".rstrip()


def _judge(told: Told, cluster: Mapping[str, str]) -> Iterator[Finding]:
    is_replica = told.info.get("role") == "slave"
    if cluster:
        yield _cluster_state(cluster)
    if is_replica and cluster:
        yield _link(told)
    else:
        yield _role(told)
    yield _memory(told)
    yield _persistence(told)
    yield from _failures_to_write(told)
    if not is_replica:
        yield from _replicas(told)


def _role(told: Told) -> Finding:
    role = told.info.get("role")
    text = "A replica takes no writes. Give the URL of the primary, or one that follows it."
    return judge("role", role, ("master",), text)


def _link(told: Told) -> Finding:
    link = told.info.get("master_link_status", "")
    text = "It has lost its primary, and lacks what came since: if it takes over, that is gone."
    return judge("role", f"replica, link {link}", ("replica, link up",), text)


def _cluster_state(cluster: Mapping[str, str]) -> Finding:
    text = "Nobody serves some slots: sessions in them, or all, are a 503. See CLUSTER NODES."
    return judge("cluster_state", cluster.get("cluster_state"), ("ok",), text)


def _memory(told: Told) -> Finding:
    policy = told.info.get("maxmemory_policy")
    if policy is None:
        return not_known("maxmemory-policy")
    if told.evicts_by is None:
        limit = ", no maxmemory" if told.info.get("maxmemory") == "0" else ""
        return Finding("maxmemory-policy", policy + limit)
    text = f"It {eviction(policy)}. Set it to noeviction, and enough maxmemory."
    return Finding("maxmemory-policy", policy, "warning", text)


def _persistence(told: Told) -> Finding:
    enabled = told.info.get("aof_enabled")
    if enabled is None:
        return not_known("appendonly")
    if enabled == "1":
        how = told.settings.get("appendfsync")
        return Finding("appendonly", "yes" if how is None else f"yes, fsync {how}")
    undone = "and brings back sessions that were ended since. Set appendonly yes."
    save = told.settings.get("save")
    if save is None:
        text = "A crash may lose what came since the last snapshot, if there is any, "
        return Finding("appendonly", "no, save not known", "note", text + undone)
    if save:
        text = "A crash loses what came since the last snapshot, "
        return Finding("appendonly", f"no, save {save}", "warning", text + undone)
    text = "Nothing is on disk: a restart ends every session. Set appendonly yes."
    return Finding("appendonly", "no, and no save", "warning", text)


def _failures_to_write(told: Told) -> Iterator[Finding]:
    for field in ("rdb_last_bgsave_status", "aof_last_write_status"):
        if (status := told.info.get(field, "ok")) != "ok":
            text = "Writing to disk failed, and until it succeeds writes are refused. See its log."
            yield Finding(field, status, "warning", text)


def _replicas(told: Told) -> Iterator[Finding]:
    count, least = told.info.get("connected_slaves"), told.settings.get("min-replicas-to-write")
    if count == "0":
        text = "No other machine has the sessions, and nothing takes over where this one fails."
        yield Finding("replicas", count, "note", text)
    else:
        yield not_known("replicas") if count is None else Finding("replicas", count)
    if count is None or least is None:
        yield not_known("min-replicas-to-write")
    else:
        yield _least_replicas(int(count), int(least))


def _least_replicas(count: int, least: int) -> Finding:
    text = ""
    if least > count:
        text = "There are fewer replicas, so every write is refused. Start them, or lower it."
    elif count and not least:
        text = (
            "A primary that is cut off goes on taking writes, which are lost when a replica takes "
            "over, and a logout can come undone. Set it to 1."
        )
    return Finding("min-replicas-to-write", str(least), "warning" if text else "fine", text)
