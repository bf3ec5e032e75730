"""What the Redis store asks a server, as values: nothing here does any input or output.

Every command can be repeated with the same effect, so one whose reply was lost is sent once
more, whatever the client itself retries. One that a server refuses because it is not, or not
yet, the one to ask has done nothing: it is sent again, on new connections, for a while. Behind an
address that moves (a proxy, a virtual IP, a name) the old ones stay with the demoted server.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import redis.asyncio.sentinel
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from ..patience import PAUSES
from ..repeats import note_repeat
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

    async def _pause(self, seconds: float) -> None:
        """Let some time pass."""
        raise NotImplementedError

    async def _drop_idle(self) -> None:
        """Close the connections that nobody uses at this moment."""
        raise NotImplementedError

    async def _ask(self, asked: Call | Batch) -> Any:
        """Ask, and again if the reply is lost (once), or the server is not the one to ask."""
        try:
            return _taken(asked, await self._send(asked))
        except (ConnectionError, TimeoutError, ResponseError) as error:
            return await self._ask_again(asked, error)

    async def _ask_again(self, asked: Call | Batch, error: Exception) -> Any:
        pauses, is_second = iter(PAUSES), False
        while True:
            if _is_refused(error):
                pause = next(pauses, None)
                if pause is None:
                    raise error
                await self._drop_idle()
                if pause:
                    await self._pause(pause)
            elif is_second or isinstance(error, ResponseError):
                raise error
            else:
                is_second = True
            note_repeat()
            try:
                return _taken(asked, await self._send(asked))
            except (ConnectionError, TimeoutError, ResponseError) as another:
                error = another

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


_REFUSALS = (
    *(BusyLoadingError, ClusterDownError, ReadOnlyError, TryAgainError),
    *(MasterNotFoundError, redis.asyncio.sentinel.MasterNotFoundError),
)
# As an error out of a script holds them, and one that redis-py has no class of; the last is what
# it makes of READONLY where sentinels are asked for the master.
_names_refusal = re.compile(
    r"\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS"
    r"|previous master is now a slave)\b"
).search


def _is_refused(reply: object) -> bool:
    """Whether a server says that it takes no such command now; it has done nothing then."""
    return isinstance(reply, _REFUSALS) or (
        isinstance(reply, (ConnectionError, ResponseError))
        and _names_refusal(str(reply)) is not None
    )


def _taken(asked: Call | Batch, reply: Any) -> Any:
    """Return the reply; raise what refuses a part of a batch, which can be sent again whole."""
    if isinstance(asked, Batch):
        for each in reply:
            if isinstance(each, Exception) and _is_refused(each):
                raise each
    return reply


def is_wrong_type(reply: object) -> bool:
    """Whether a reply is the error that what is there is of another type.

    Out of a script it stands within the text. Any other error of the server's is raised.
    """
    if not isinstance(reply, Exception):
        return False
    if "WRONGTYPE" not in str(reply):
        raise reply
    return True


def in_batch(
    script: Script, key: str, *arguments: Argument, also: str | None = None
) -> tuple[Argument, ...]:
    """Make a script a command of a batch: by its text, as a cluster's node may not know it.

    :param also: a second key, of the same slot.
    """
    keys = (1, key) if also is None else (2, key, also)
    return ("EVAL", script.text, *keys, *arguments)
