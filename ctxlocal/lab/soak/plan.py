"""What is to be soaked: runs, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..servers.catalogue import Server

ROUNDS = 10  # requests of each habit in one session
HABITS = 4
PER_SESSION = 1 + HABITS * ROUNDS + 1  # the first, the habits', the audit


class PlannedRun(NamedTuple):
    """One run: a server, under a strategy, with a store (a name of ``stores``, or a URL)."""

    server: Server
    strategy: str
    store: str
    sabotage: str | None = None

    def why_not(self) -> str:
        """Why it cannot be run here; "" where it can."""
        framework = self.server.framework
        if framework is not None and self.sabotage == "frame-kept":
            return f"frame-kept breaks the middleware around plain applications, not {framework}'s"
        return self.server.why_not()


@dataclass(frozen=True)
class Size:
    """How large a run is.

    :param requests: about so many.
    :param seconds: stop after so long; None for no limit.
    :param visitors: sessions in use at once; each has several connections.
    :param port: where each server listens; None for any free port.
    """

    requests: int = 2_000
    seconds: float | None = None
    visitors: int = 10
    port: int | None = None

    @property
    def sessions(self) -> int:
        """How many sessions that is."""
        return max(1, self.requests // PER_SESSION)

    @property
    def planned(self) -> int:
        """How many requests, with those of each session's first and last moment."""
        return self.sessions * PER_SESSION
