"""Connections of psycopg that do not wait for ever.

libpq has a limit for connecting, and one for what the other machine does not acknowledge. A
server that is stopped, or a proxy that is, acknowledges everything and answers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import monotonic
from typing import Any


def within(seconds: float) -> Callable[..., Any]:
    """Return a listener for ``do_connect`` whose connections give up an answer after a time."""

    def connect(dialect: Any, _: object, arguments: Any, options: dict[str, Any]) -> Any:
        import psycopg

        if dialect.is_async:
            options["async_creator_fn"] = _limited(psycopg.AsyncConnection, seconds).connect
            return None  # the dialect goes on
        return _limited(psycopg.Connection, seconds).connect(*arguments, **options)

    return connect


def _limited(kind: Any, seconds: float) -> Any:
    class Limited(kind):  # type: ignore[misc]
        def wait(self, answer: Any, *arguments: Any, **options: Any) -> Any:
            return kind.wait(self, _until_silent(self, answer, seconds), *arguments, **options)

    return Limited


def _until_silent(connection: Any, answer: Any, seconds: float) -> Generator[Any, Any, Any]:
    """Pass on what psycopg waits for, until it has waited too long for the server.

    From 3.3 on it asks ten times a second whether to go on, with nothing that is ready.
    """
    end = 0.0
    send = answer.send
    ready = None
    try:
        while True:
            ready = yield send(ready)
            if not ready:
                end = end or monotonic() + seconds
                if monotonic() >= end:
                    break
    except StopIteration as done:
        return done.value
    from psycopg import OperationalError

    connection.pgconn.finish()
    raise OperationalError(f"the server did not answer within {seconds:g} seconds")
