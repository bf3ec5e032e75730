"""Processes of their own for work that must not touch this one: started, heard, ended for sure.

A worker is a module whose ``main`` reads one JSON document from its standard input and writes a
line of JSON for each answer.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import IO, Any, TypeVar

T = TypeVar("T")
_PR_SET_PDEATHSIG = 1
LONGEST_LINE = 2000  # bytes of what a process said

_WORD = re.compile("[A-Za-z]{2}")
START = "import sys; sys.path[:] = {path!r}; {patch}; from {worker} import main; main()"


async def answers(
    worker: str,
    spec: object,
    silence_s: float,
    errors: IO[bytes],
    patch: str = "",
    grace_s: float = 0,
) -> AsyncGenerator[dict[str, Any], None]:
    """Start a worker and yield its answers; the worker is gone when this ends.

    :param worker: the module's name.
    :param spec: what the worker reads; anything that JSON has.
    :param errors: a file that receives the worker's standard error.
    :param patch: a statement that the worker runs before it imports anything else.
    :param grace_s: seconds that it has after a SIGTERM to end what it has started itself.
    :raises asyncio.TimeoutError: there was no answer for ``silence_s`` seconds.
    """
    code = START.format(path=sys.path, patch=patch or "pass", worker=worker)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", *x_options(), "-c", code),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # a process group of its own can be ended as a whole
        preexec_fn=dying_with_parent(),
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(spec).encode())
        process.stdin.close()
        while line := await within(silence_s, process.stdout.readline()):
            yield json.loads(line)
        await within(silence_s, process.wait())
    finally:
        try:
            if process.returncode is None and grace_s:
                process.terminate()
                with suppress(asyncio.TimeoutError):
                    await within(grace_s, process.wait())
        finally:
            if process.returncode is None:
                _kill(process)
        await process.communicate()  # until the pipes are closed, or the loop complains


def x_options() -> list[str]:
    """Return the ``-X`` options of this process as arguments for another one.

    What stands in the environment (PYTHON_THREAD_INHERIT_CONTEXT=1) goes along by itself.
    """
    return [
        f"-X{name}" if value is True else f"-X{name}={value}"
        for name, value in sys._xoptions.items()
    ]


async def within(seconds: float, awaited: Coroutine[Any, Any, T]) -> T:
    """Do what ``asyncio.wait_for`` does, and hear a cancellation that comes with the result.

    Up to Python 3.11 that one drops it (bpo-37658), so that
    Ctrl-C in that moment would end nothing.

    :raises asyncio.TimeoutError: it took longer than ``seconds``.
    """
    task = asyncio.ensure_future(awaited)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if not done:
        raise asyncio.TimeoutError
    return task.result()


def end_on_signals(received: list[int]) -> None:
    """Make Ctrl-C, a polite kill and a terminal that is closed cancel the current task, once.

    :param received: the numbers of the signals are put here as they come.
    """
    task = asyncio.current_task()

    def end(number: int) -> None:
        received.append(number)
        if task is not None and len(received) == 1:
            task.cancel()

    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, end, number)


def dying_with_parent(number: int = signal.SIGTERM) -> Callable[[], object] | None:
    """Return a ``preexec_fn`` that lets a process get a signal when ours has ended.

    None where the kernel cannot do that.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork, after which little is allowed
    parent = os.getpid()

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it has ended already, and nothing will come
            os.kill(os.getpid(), number)

    return ask_for_signal


def last_line(errors: IO[bytes]) -> str:
    """Return the last line that has a word, after a colon; "" where there is none.

    Of a long one the end.
    """
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - LONGEST_LINE))
    lines = errors.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if _WORD.search(line)), "")
    return f": {last}" if last else ""


def die_when_orphaned(seconds: int) -> None:
    """Have the kernel end this process in ``seconds``, unless this is called again before.

    For workers, whose command may have been killed; nothing where there are no alarms.
    """
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _kill(process: asyncio.subprocess.Process) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
