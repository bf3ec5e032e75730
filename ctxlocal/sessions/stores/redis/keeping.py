"""Waiting until replicas have what was written: WAIT, https://redis.io/docs/latest/commands/wait.

It waits for what its own connection wrote last, so it goes out together with the script that
writes, as one batch on one connection; a script that finds its work done writes again what is
there. A batch that is repeated is repeated whole. So what is confirmed is what this very
server, as long as it was the master, has written.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from redis.exceptions import RedisError

from ...errors import SessionConfigError

WaitFor = Literal["changes", "ends"]


class Wait(msgspec.Struct, frozen=True):
    """How many replicas have to confirm a write, and within how many seconds."""

    replicas: int
    seconds: float
    command: tuple[str, int, int]  #: that asks for it
    is_for_ends_only: bool


class Keeping:
    """What one operation writes, and whether replicas have it.

    An operation does the rest of its work though they have not, and tells at its end.
    """

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        self.confirmed = wait.replicas

    @property
    def is_short(self) -> bool:
        """Whether too few replicas have confirmed something; no more is asked then."""
        return self.confirmed < self.wait.replicas

    def note(self, reply: Any, confirmed: int) -> None:
        """Take what WAIT answered, unless the script that it followed has done nothing."""
        has_done = reply and reply not in (b"R", b"X") and not isinstance(reply, list)
        if has_done:
            self.confirmed = min(self.confirmed, confirmed)


class Unkept(RedisError):
    """Too few replicas have confirmed what the server has written."""

    def __init__(self, keeping: Keeping) -> None:
        self.wait = keeping.wait
        self.confirmed = keeping.confirmed
        super().__init__(f"WAIT answered {keeping.confirmed}")


def tell(keeping: Keeping | None) -> None:
    """Raise Unkept if replicas lack what an operation has written."""
    if keeping is not None and keeping.is_short:
        raise Unkept(keeping)


def checked_wait(wait: object, wait_for: str, silence: float | None) -> Wait | None:
    """Return how to wait, None where nobody asked for it.

    :param silence: seconds that the client lets a server be silent; None: for ever.
    """
    if wait_for not in ("changes", "ends"):
        raise SessionConfigError("wait_for", 'it is "changes" or "ends"')
    match wait:
        case None:
            return None
        case (int(replicas), int() | float() as seconds) if replicas > 0 and seconds >= 0.001:
            pass
        case _:
            raise SessionConfigError(
                "wait", "give how many replicas, and seconds of 0.001 or more: (1, 0.5)"
            )
    if silence is not None and seconds >= silence:
        raise SessionConfigError(
            "wait",
            f"{seconds:g} seconds are not less than the client's socket_timeout, {silence:g}",
        )
    return Wait(replicas, seconds, ("WAIT", replicas, int(seconds * 1000)), wait_for == "ends")
