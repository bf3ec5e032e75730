"""What stands behind the ``?`` of a store's URL: our own keys, each with one meaning in all stores.

A key that is not in KEYS is the driver's. Whoever connects says which of these there are:
redis-py's are named in :mod:`ctxlocal.sessions.stores.redis.address`, and a database's driver is
asked. What nobody knows is refused where the URL is read, not left to do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, NamedTuple

from ..errors import SessionConfigError

REDIS, SQL, SQLITE = "Redis", "SQL", "SQLite"


class Key(NamedTuple):
    """One key: an option of that name of the stores that take it."""

    stores: tuple[str, ...]
    read: Callable[[str], Any]  #: raises ValueError for what is not legal
    legal: str


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < inf:
        raise ValueError
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _wait(text: str) -> tuple[int, float]:
    replicas, _, seconds = text.partition(",")
    return _count(replicas), _seconds(seconds)


KEYS = {
    "epoch_interval": Key((REDIS,), _seconds, "seconds, more than 0"),
    "pool_size": Key((REDIS, SQL), _count, "a whole number, 1 or more"),
    "prefix": Key((REDIS,), str, "text"),
    "schema": Key((SQL,), str, "text"),
    "table": Key((SQL,), str, "text"),
    "timeout": Key((REDIS, SQL, SQLITE), _seconds, "seconds, more than 0"),
    "wait": Key((REDIS,), _wait, "a number of replicas, a comma, and seconds"),
    "wait_for": Key((REDIS,), str, "changes or ends"),
}


def take(store: str, query: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the keys of a kind of store say, and the rest, which is the driver's.

    :param query: each key's value, text; anything else, as of a key that comes twice, is no value.
    :raises SessionConfigError: a value is not legal, or the key is another kind's.
    """
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in query.items():
        key = KEYS.get(name)
        if key is None:
            rest[name] = value
        elif store not in key.stores:
            raise refusal(store, name)
        else:
            own[name] = _read(name, key, value)
    return own, rest


def _read(name: str, key: Key, value: Any) -> Any:
    try:
        if isinstance(value, str):
            return key.read(value)
    except ValueError:
        pass
    raise SessionConfigError(name, f"it is {key.legal}; got {value!r}")


def refusal(store: str, name: str, driver: str = "", known: Iterable[str] = ()) -> Exception:
    """Return the error for a key that a store's URL cannot have.

    :param driver: what takes other keys, which are ``known``, or which it knows itself.
    """
    own = ", ".join(key for key, each in KEYS.items() if store in each.stores)
    others = f", and {driver}'s {', '.join(sorted(known)) or 'own'}" if driver else ""
    return SessionConfigError(
        "url", f"{store} takes no key {name!r} after the '?'; it takes {own}{others}"
    )
