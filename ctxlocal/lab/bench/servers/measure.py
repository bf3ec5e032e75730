"""Measures one server: its processes side by side, a round of each in turn."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from ...process import end_on_signals
from ...servers.catalogue import BY_NAME, Server
from ...servers.process import running
from ..rival import missing
from . import STORE
from .load import Load

NEEDED = ("blinker", "msgspec")  # of what is served
MODES = ("plain", "contexts", "sessions")


def run(server: str, rounds: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield a step for each mode of a server, with the finding.

    :param rounds: how often each mode has its turn, in which it is under load for ``seconds``.
    """
    found = BY_NAME[server]
    if gap := missing((*found.needs, *NEEDED)):
        yield {"left_out": {f"server {server}": gap}}
        return
    for mode, rates in asyncio.run(_measure(found, rounds, seconds)).items():
        yield {"found": {"server": server, "mode": mode, **_told(rates)}}


def _told(rates: list[float]) -> dict[str, float]:
    """The best round is the figure; the worst one says how much of that is noise."""
    best = round(max(rates), 1)
    return {
        "requests_per_second": best,
        "lowest_per_second": round(min(rates), 1),
        "highest_per_second": best,
    }


async def _measure(server: Server, rounds: int, seconds: float) -> dict[str, list[float]]:
    end_on_signals([])  # the servers and the folder are not to outlive us
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        loads = {mode: await _started(server, mode, folder, stack) for mode in MODES}
        for load in loads.values():
            await load.warm_up()
        rates: dict[str, list[float]] = {mode: [] for mode in MODES}
        for _ in range(rounds):
            for mode, load in loads.items():
                rates[mode].append(await load.requests_per_second(seconds))
        return rates


async def _started(server: Server, mode: str, folder: str, stack: AsyncExitStack) -> Load:
    application = f"{__package__}.hello:{server.protocol}_{mode}"
    environment = {STORE: f"sqlite:///{Path(folder) / mode}.db"}
    process = await stack.enter_async_context(running(server, application, environment))
    return Load(process.port)
