"""What the URL of a Redis store says: which servers, by which settings, and which options."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from ...errors import SessionConfigError
from ..query import REDIS, refusal, take

SCHEMES = (
    *("redis", "rediss", "unix", "redis+unix"),
    *("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"),
)
Node = tuple[str, int]
_PORTS = {"sentinel": 26379}
# Those of redis-py's that say how to reach a server: what it answers is the store's affair.
_DRIVER = frozenset(
    (
        *("client_name", "health_check_interval", "max_connections", "password", "protocol"),
        *("socket_connect_timeout", "socket_timeout", "username"),
    )
)
_TLS = frozenset(
    (
        *("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile"),
        *("ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password"),
    )
)
_SENTINEL = frozenset(("sentinel_password", "sentinel_username"))
# redis-py drops these on the way to a cluster's nodes, or its asyncio does not take them.
_NOT_OF_CLUSTERS = frozenset(
    ("health_check_interval", "ssl_ca_path", "ssl_ciphers", "ssl_min_version", "ssl_password")
)
_parts = re.compile(r"([^:/?#]*)://([^/?#]*)(.*)", re.DOTALL).fullmatch
_service = re.compile(r"/([^/]+)(?:/(\d+))?/?").fullmatch


class Address(NamedTuple):
    """Where a store is, and how it is to be kept there."""

    kind: str  #: "", "unix", "cluster" or "sentinel"
    nodes: Sequence[Node]  #: of a cluster, or the sentinels; in the URL's order
    service: str  #: what sentinels call the server
    url: str  #: as redis-py takes it, of the last node: what all servers have in common
    sentinel: dict[str, str]  #: the sentinels' own user and password
    options: dict[str, Any]  #: the store's own, by the keys of :mod:`...query`


def read(url: str) -> Address:
    """Take a URL apart.

    :raises ValueError: it is malformed; the text may hold a part of the password.
    :raises SessionConfigError: it says what no such store can do.
    """
    parts = _split(url)
    if parts.scheme not in SCHEMES:
        raise ValueError
    # After an unquoted "?" or "#" in the password its rest looks like keys, which messages show.
    if parts.fragment or "@" in parts.query:
        raise ValueError
    family, _, kind = parts.scheme.partition("+")
    if "unix" in (family, kind):
        family = kind = "unix"
    given = parse_qs(parts.query, keep_blank_values=True)
    options, keys = take(REDIS, {name: _once(values) for name, values in given.items()})
    known = _known(family, kind)
    for name in keys:
        if name not in known:
            raise refusal(REDIS, name, "redis-py", known)
    own = {name.removeprefix("sentinel_"): keys.pop(name) for name in _SENTINEL & set(keys)}
    nodes, service, path = _place(kind, parts)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    host = _written(nodes[-1]) if kind in ("cluster", "sentinel") else parts.netloc[len(user) :]
    target = f"{family}://{user}{host}{path}"
    return Address(kind, nodes, service, f"{target}?{urlencode(keys)}", own, options)


def _split(url: str) -> SplitResult:
    """Do what urlsplit does, which takes one host alone where there is one in brackets."""
    if (found := _parts(url)) is None:
        return urlsplit(url)
    scheme, netloc, rest = found.groups()
    return urlsplit(f"{scheme}://{rest}")._replace(netloc=netloc)


def _known(family: str, kind: str) -> Set[str]:
    known = _DRIVER | _TLS if family == "rediss" else _DRIVER
    if kind != "unix":
        known |= {"socket_keepalive"}
    if kind == "sentinel":
        known |= _SENTINEL
    return known - _NOT_OF_CLUSTERS if kind == "cluster" else known | {"db"}


def _once(values: Sequence[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _place(kind: str, parts: SplitResult) -> tuple[Sequence[Node], str, str]:
    """Return the nodes, the service, and the path that is left for redis-py."""
    if kind == "unix":
        return [], "", parts.path
    nodes = [_node(each, _PORTS.get(kind, 6379)) for each in _hosts(parts).split(",")]
    if kind == "sentinel":
        named = _service(parts.path)
        if named is None:
            raise SessionConfigError(
                "url", "name the service that the sentinels watch: host,host/service[/database]"
            )
        return nodes, unquote(named[1]), f"/{named[2] or ''}"
    if kind == "cluster" and parts.path not in ("", "/", "/0"):
        raise SessionConfigError("url", "a cluster has the database 0 alone: nothing follows it")
    if kind == "" and len(nodes) > 1:
        raise SessionConfigError(
            "url",
            "redis:// is one server; several are redis+cluster://host,host or "
            "redis+sentinel://host,host/service",
        )
    return nodes, "", parts.path


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _node(text: str, port: int) -> Node:
    one = urlsplit(f"//{text}")
    return unquote(one.hostname or "localhost"), one.port or port


def _written(node: Node) -> str:
    host, port = node
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
