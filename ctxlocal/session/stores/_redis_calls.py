"""What the Redis store asks a server, as values: nothing here does any input or output.

A step is a generator: it yields what to ask the server and is sent the reply, or has the
error thrown in. Every command can be repeated with the same effect, so one whose reply was
lost is sent once more, whatever the client itself retries.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import ConnectionError, NoScriptError, ResponseError, TimeoutError

from ._redis_scripts import Script

R = TypeVar("R")
Argument = str | bytes | int


class Call(NamedTuple):
    """One command; ``node`` is where to send it if its key does not tell."""

    arguments: tuple[Argument, ...]
    node: object = None


class Batch(NamedTuple):
    """Many commands in one go, each of its own key; an error of the server's is its reply."""

    calls: list[tuple[Argument, ...]]


Steps = Generator[Call | Batch, Any, R]


def ask(call: Call | Batch) -> Steps[Any]:
    """Ask, and once more if the reply is lost."""
    try:
        return (yield call)
    except (ConnectionError, TimeoutError):
        return (yield call)


def evaluate(script: Script, key: str, *arguments: Argument) -> Steps[Any]:
    """Run a script; None if what is there is no hash."""
    try:
        try:
            return (yield from ask(Call(("EVALSHA", script.sha, 1, key, *arguments))))
        except NoScriptError:
            return (yield from ask(Call(("EVAL", script.text, 1, key, *arguments))))
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        return None


def is_wrong_type(reply: object) -> bool:
    """Whether a reply is the error that what is there is of another type.

    Out of a script it stands within the text. Any other error of the server's is raised.
    """
    if not isinstance(reply, Exception):
        return False
    if "WRONGTYPE" not in str(reply):
        raise reply
    return True


def in_batch(script: Script, key: str, *arguments: Argument) -> tuple[Argument, ...]:
    """Make a script a command of a batch: by its text, as a cluster's node may not know it."""
    return ("EVAL", script.text, 1, key, *arguments)
