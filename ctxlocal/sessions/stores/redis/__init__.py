"""A store in Redis, or a Redis Cluster."""

from .store import AsyncRedisStore as AsyncRedisStore
from .store import RedisStore as RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
