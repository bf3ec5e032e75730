"""Ctrl-C, a polite kill and a closed terminal end a command, and what it has started."""

from __future__ import annotations

import asyncio
import signal
import sys


def end_on_signals(received: list[int]) -> None:
    """Cancel the running task at the first signal, and note its number in ``received``.

    To be called in the main thread. Whoever catches the CancelledError has ended all
    processes by then, and exits with 128 and the number.
    """
    task = asyncio.current_task()

    def end(number: int) -> None:
        received.append(number)
        if task is not None and len(received) == 1:
            task.cancel()

    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, end, number)
