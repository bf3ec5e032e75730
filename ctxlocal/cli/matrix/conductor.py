"""Runs the cells in worker processes, one for each group and a few at once.

A worker that hangs or crashes costs the cell it was at; the others go on in a
new one. Whatever ends the command ends the workers, with all they have started.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import IO, Any

from ..ending import end_on_signals
from .place import Relation
from .probe import Group, Probe
from .report import Cell, failed, measured, not_applicable
from .worker import CORE_KIT

SILENCE_S = 20.0
WORKERS_PER_GROUP = 3  # then the group is given up
START = "import sys; sys.path[:] = {path!r}; {patch}; from {worker} import main; main()"

Plan = tuple[Probe, str]
Listener = Callable[[Cell], None]


def conduct(plans: Sequence[Plan], on_cell: Listener, kit: str = CORE_KIT) -> list[Cell]:
    """Run each probe under its strategy and return the cells in the same order.

    To be called in the main thread.

    :param on_cell: called with each cell as it comes, in any order.
    :param kit: ``module:name`` of the class of the objects under test.
    :raises SystemExit: a signal said to end; the workers have ended before.
    """
    received: list[int] = []
    try:
        return asyncio.run(_conduct(plans, on_cell, kit, received))
    except asyncio.CancelledError:
        raise SystemExit(128 + received[0]) from None


async def _conduct(
    plans: Sequence[Plan], on_cell: Listener, kit: str, received: list[int]
) -> list[Cell]:
    end_on_signals(received)
    gate = asyncio.Semaphore(os.cpu_count() or 1)
    groups = groupby(plans, key=lambda plan: plan[0].group)
    batches = [_Batch(group, list(members), on_cell, kit) for group, members in groups]
    tasks = [asyncio.ensure_future(batch.run(gate)) for batch in batches]
    try:
        # Unlike gather(), wait() leaves it to us to cancel the tasks, below: a second time would
        # cut short what they do to end their workers.
        finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in finished:
            task.result()
        return [cell for task in tasks for cell in task.result()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Batch:
    """The cells of one group, and the workers that run them."""

    def __init__(self, group: Group, plans: list[Plan], on_cell: Listener, kit: str) -> None:
        self._group = group
        self._plans = plans
        self._on_cell = on_cell
        self._kit = kit
        self._cells: list[Cell] = []

    async def run(self, gate: asyncio.Semaphore) -> list[Cell]:
        """Run all cells and return them."""
        async with gate:
            for _ in range(WORKERS_PER_GROUP):
                self._skip_what_cannot_run()
                if self._remaining():
                    await self._run_worker()
        for probe, strategy in self._remaining():
            self._add(failed(probe, strategy, "not run: the probes before it ended their process"))
        return self._cells

    def _remaining(self) -> list[Plan]:
        return self._plans[len(self._cells) :]

    def _skip_what_cannot_run(self) -> None:
        for probe, strategy in self._remaining():
            if not (reason := probe.why_not()):
                return
            self._add(not_applicable(probe, strategy, reason))

    def _add(self, cell: Cell) -> None:
        self._cells.append(cell)
        self._on_cell(cell)

    async def _run_worker(self) -> None:
        plans = [plan for plan in self._remaining() if not plan[0].why_not()]
        with tempfile.TemporaryFile() as errors:
            try:
                async with aclosing(_answers(self._group, plans, self._kit, errors)) as answers:
                    async for answer in answers:
                        self._add(_judge(*self._remaining()[0], answer))
                        self._skip_what_cannot_run()
                reason = "the process ended"
            except asyncio.TimeoutError:
                reason = f"no answer within {SILENCE_S:g} s"
            if self._remaining():
                probe, strategy = self._remaining()[0]
                self._add(failed(probe, strategy, reason + _last_line(errors)))


def _judge(probe: Probe, strategy: str, answer: dict[str, Any]) -> Cell:
    if "unavailable" in answer:
        return not_applicable(probe, strategy, answer["unavailable"])
    if "error" in answer:
        return failed(probe, strategy, answer["error"])
    return measured(probe, strategy, Relation(**answer["relation"]), answer["details"])


async def _answers(
    group: Group, plans: list[Plan], kit: str, errors: IO[bytes]
) -> AsyncGenerator[dict[str, Any], None]:
    """Start a worker and yield its answers; the worker is gone when this ends."""
    code = START.format(
        path=sys.path, patch=group.patch or "pass", worker="ctxlocal.cli.matrix.worker"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", code),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # a process group of its own can be ended as a whole
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        cells = [(group.name, probe.way, strategy) for probe, strategy in plans]
        process.stdin.write(json.dumps({"kit": kit, "cells": cells}).encode())
        process.stdin.close()
        while line := await asyncio.wait_for(process.stdout.readline(), SILENCE_S):
            yield json.loads(line)
        await asyncio.wait_for(process.wait(), SILENCE_S)
    finally:
        if process.returncode is None:
            _kill(process)
        await process.communicate()  # until the pipes are closed, or the loop complains


def _kill(process: asyncio.subprocess.Process) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last}" if last else ""
