from __future__ import annotations

import asyncio
import io
import subprocess
import sys

import pytest

from ctxlocal.lab.process import LONGEST_LINE, last_line, within


async def answer(event: asyncio.Event) -> str:
    await event.wait()
    return "answer"


def test_within_returns_what_comes_in_time() -> None:
    async def main() -> str:
        event = asyncio.Event()
        event.set()
        return await within(60, answer(event))

    assert asyncio.run(main()) == "answer"


def test_within_ends_what_takes_longer() -> None:
    cancelled: list[bool] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(within(0, hang()))
    # A coroutine that had not begun has nothing to end.
    assert cancelled in ([], [True])


def test_a_cancellation_that_comes_with_the_answer_is_heard() -> None:
    async def main() -> None:
        event = asyncio.Event()
        waiting = asyncio.ensure_future(within(60, answer(event)))
        for _ in range(3):
            await asyncio.sleep(0)  # until it waits for the answer
        event.set()
        for _ in range(2):
            await asyncio.sleep(0)  # until the answer is there
        waiting.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_the_last_line_is_told_and_of_a_long_one_the_end() -> None:
    assert last_line(io.BytesIO(b"first\nlast \n\n")) == ": last"
    assert last_line(io.BytesIO(b"\n")) == ""
    assert last_line(io.BytesIO(b"m" * 10**6 + b"end")) == f": {'m' * (LONGEST_LINE - 3)}end"


def test_a_worker_has_the_options_of_its_command() -> None:
    code = "from ctxlocal.lab.process import x_options; print(*x_options())"
    options = ["-Xthread_inherit_context=1", "-Xdev"]
    done = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == sorted(options)
