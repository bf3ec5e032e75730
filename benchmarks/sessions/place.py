"""Where the applications of one process keep things: a directory, a Redis, an event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from ctxlocal.lab.bench.rival import load

NAMES = count()


@dataclass
class Place:
    """What the applications of one process share.

    :param redis_port: of a server on the loopback interface; None: there is none.
    :param postgresql_url: for SQLAlchemy with psycopg; None: there is none.
    :param trips: counts the round trips to Redis, if it is to.
    """

    directory: Path
    redis_port: int | None = None
    postgresql_url: str | None = None
    trips: Trips | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def new_path(self) -> Path:
        """Return the path of something that is not there yet."""
        return self.directory / f"at-{next(NAMES)}"

    @property
    def sqlite_url(self) -> str:
        """The URL of a SQLite file that is not there yet."""
        return f"sqlite:///{self.new_path()}"

    @property
    def redis_url(self) -> str:
        """The server's URL."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    @cached_property
    def redis(self) -> Any:
        """A client for threads."""
        redis = load("redis")
        return redis.Redis(connection_pool=redis.ConnectionPool.from_url(**self.redis_options))

    @cached_property
    def redis_async(self) -> Any:
        """A client for the loop."""
        redis = load("redis.asyncio")
        options = {"url": self.redis_url}
        if self.trips is not None:
            options["connection_class"] = self.trips.counting(redis.Connection)
        return redis.Redis(connection_pool=redis.ConnectionPool.from_url(**options))

    @property
    def redis_options(self) -> dict[str, Any]:
        """What a pool for threads is made with."""
        options: dict[str, Any] = {"url": self.redis_url}
        if self.trips is not None:
            options["connection_class"] = self.trips.counting(load("redis").Connection)
        return options


class Trips:
    """Counts the round trips of Redis connections: each time that something is sent.

    A pipeline sends its commands at once, so it counts as the one round trip that it is.
    """

    def __init__(self) -> None:
        self.number = 0

    def counting(self, kind: Any) -> Any:
        """Return a connection class that counts, for threads or for asyncio."""
        trips = self

        class Counting(kind):  # type: ignore[misc]
            def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:
                trips.number += 1
                return super().send_packed_command(*args, **kwargs)

        return Counting
