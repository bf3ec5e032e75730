"""What the Redis store asks a server, as values: nothing here does any input or output.

Every command can be repeated with the same effect, so one whose reply was lost is sent once
more, whatever the client itself retries.
"""

from __future__ import annotations

from typing import Any

import msgspec
from redis.exceptions import ConnectionError, NoScriptError, ResponseError, TimeoutError

from .scripts import Script

Argument = str | bytes | int


class Call(msgspec.Struct, frozen=True):
    """One command; ``node`` is where to send it if its key does not tell."""

    arguments: tuple[Argument, ...]
    node: object = None


class Batch(msgspec.Struct, frozen=True):
    """Many commands in one go, each of its own key; an error of the server's is its reply."""

    calls: list[tuple[Argument, ...]]


class Asking:
    """Asks a server, by whatever the subclass sends with."""

    async def _send(self, asked: Call | Batch) -> Any:
        """Return the reply; in a batch an error of the server's is a reply too."""
        raise NotImplementedError

    async def _ask(self, call: Call | Batch) -> Any:
        """Ask, and once more if the reply is lost."""
        try:
            return await self._send(call)
        except (ConnectionError, TimeoutError):
            return await self._send(call)

    async def _evaluate(self, script: Script, key: str, *arguments: Argument) -> Any:
        """Run a script; None if what is there is no hash."""
        try:
            try:
                return await self._ask(Call(("EVALSHA", script.sha, 1, key, *arguments)))
            except NoScriptError:
                return await self._ask(Call(("EVAL", script.text, 1, key, *arguments)))
        except ResponseError as error:
            is_wrong_type(error)  # which raises any other
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
