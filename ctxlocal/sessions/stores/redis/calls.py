"""What the Redis store asks a server, as values: nothing here does any input or output.

Every command can be repeated with the same effect, so one whose reply was lost is sent once
more, whatever the client itself retries. One that a server refuses because it is not, or not
yet, the one to ask has done nothing: it is sent again, on new connections, for a while. Behind an
address that moves (a proxy, a virtual IP, a name) the old ones stay with the demoted server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import redis.asyncio.sentinel
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from ..patience import PAUSES
from ..repeats import note_repeat
from .keeping import Keeping
from .scripts import Script

Argument = str | bytes | int

MOST_REDIRECTS = 8  # of a cluster's nodes, one to another


class Call(msgspec.Struct, frozen=True):
    """One command; ``node`` is where to send it if its key does not tell."""

    arguments: tuple[Argument, ...]
    node: object = None


class Batch(msgspec.Struct, frozen=True):
    """Many commands in one go, each of its own key; an error of the server's is its reply.

    With ``at``, a key, they go to that key's node, all on one connection.
    """

    calls: list[tuple[Argument, ...]]
    at: str | None = None


class Asking:
    """Asks a server, by whatever the subclass sends with."""

    _client: Any

    async def _send(self, asked: Call | Batch) -> Any:
        """Return the reply; in a batch an error of the server's is a reply too."""
        raise NotImplementedError

    async def _send_to(self, node: Any, calls: Sequence[tuple[Argument, ...]]) -> Any:
        """Return the replies of a cluster's node to what is sent on one connection."""
        raise NotImplementedError

    async def _pause(self, seconds: float) -> None:
        """Let some time pass."""
        raise NotImplementedError

    async def _drop_idle(self) -> None:
        """Close the connections that nobody uses at this moment."""
        raise NotImplementedError

    async def _send_to_node(self, calls: Sequence[tuple[Argument, ...]], key: str) -> Any:
        """Return the replies of the node that has a key, wherever the cluster has moved that.

        The client follows it by a command of its own, and then knows where it is.
        """
        follow = Call(("EXISTS", key))
        first: Sequence[tuple[Argument, ...]] = ()
        node = self._client.get_node_from_key(key)
        for _ in range(MOST_REDIRECTS):
            try:
                replies = await self._send_to(node, [*first, *calls])
            except (ConnectionError, TimeoutError):
                await self._send(follow)
                raise
            reply = replies[len(first)]
            if isinstance(reply, MovedError):
                await self._send(follow)
                first, node = (), self._client.get_node_from_key(key)
            elif isinstance(reply, AskError):
                first, node = (("ASKING",),), self._client.get_node(reply.host, reply.port)
            else:
                return replies[len(first) :]
            if node is None:
                break
        raise reply

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

    async def _evaluate(
        self, script: Script, key: str, *arguments: Argument, keeping: Keeping | None = None
    ) -> Any:
        """Run a script; None if what is there is no hash."""
        try:
            if keeping is not None and not keeping.is_short:
                return await self._evaluate_kept(script, key, arguments, keeping)
            try:
                return await self._ask(Call(("EVALSHA", script.sha, 1, key, *arguments)))
            except NoScriptError:
                return await self._ask(Call(("EVAL", script.text, 1, key, *arguments)))
        except ResponseError as error:
            is_wrong_type(error)  # which raises any other
            return None

    async def _evaluate_kept(
        self, script: Script, key: str, arguments: tuple[Argument, ...], keeping: Keeping
    ) -> Any:
        for run in (("EVALSHA", script.sha), ("EVAL", script.text)):
            calls = [(*run, 1, key, *arguments), keeping.wait.command]
            reply, confirmed = await self._ask(Batch(calls, key))
            if not isinstance(reply, NoScriptError):
                break
        for each in (reply, confirmed):
            if isinstance(each, Exception):
                raise each
        keeping.note(reply, confirmed)
        if keeping.is_short:  # another server may be the master by now: ask there the next time
            await self._drop_idle()
        return reply


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
