"""A view that asks Redis itself, without any session: the least that a session's trips can cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .place import Place
from .visit import MODES, Visit

KEY = "bare"
VALUE = b"x" * 150  # about what the sessions here take
SECONDS = 3600


class _BlockingTrips(Visit):
    def __init__(self, place: Place) -> None:
        super().__init__()
        self._redis = place.redis

    def __call__(self, path: str, find: Callable[[], Any], request: Any = None) -> str:
        if path != MODES["untouched"]:
            self._redis.get(KEY)
        if path == MODES["read+write"]:
            self._redis.set(KEY, VALUE, ex=SECONDS)
        return "ok"


class _AwaitedTrips(Visit):
    def __init__(self, place: Place) -> None:
        super().__init__()
        self._redis = place.redis_async

    async def in_task(
        self, path: str, find: Callable[[], Awaitable[Any]], request: Any = None
    ) -> str:
        if path != MODES["untouched"]:
            await self._redis.get(KEY)
        if path == MODES["read+write"]:
            await self._redis.set(KEY, VALUE, ex=SECONDS)
        return "ok"


def visit_redis(place: Place) -> Visit:
    """Return a view whose read is one GET, and whose write is one SET."""
    place.redis.set(KEY, VALUE)
    return _BlockingTrips(place)


def visit_redis_async(place: Place) -> Visit:
    """Return the same, awaited."""
    place.redis.set(KEY, VALUE)
    return _AwaitedTrips(place)
