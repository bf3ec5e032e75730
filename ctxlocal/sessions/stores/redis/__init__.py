"""A store in Redis, or a Redis Cluster.

``store`` is what sessions call; ``steps`` says what each call does, in terms of ``records`` and the
Lua of ``scripts``, which ``calls`` send; ``direct`` is a quicker connection for one of them;
``keeping`` asks replicas whether they have what was written. ``server`` is what a server tells of
itself. ``address`` reads URLs, and ``connecting`` makes clients of them, by what ``sentinel``
knows.
"""

from .store import AsyncRedisStore as AsyncRedisStore
from .store import RedisStore as RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
