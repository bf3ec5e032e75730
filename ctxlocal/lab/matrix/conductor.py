"""Runs the cells in worker processes, one for each group and a few at once.

A worker that hangs or crashes costs the cell it was at; the others go on in a
new one. Whatever ends the command ends the workers, with all they have started.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any

from ctxlocal.lab.process import answers, end_on_signals, last_line

from .place import Relation
from .probe import Group, Probe
from .report import Cell, failed, measured, not_applicable
from .worker import CORE_KIT

SILENCE_S = 60.0  # the first answer comes after all imports, on a machine that may be busy
WORKERS_PER_GROUP = 3  # then the group is given up
WORKER = "ctxlocal.lab.matrix.worker"

PlannedCell = tuple[Probe, str]
Listener = Callable[[Cell], None]


def conduct(plans: Sequence[PlannedCell], on_cell: Listener, kit: str = CORE_KIT) -> list[Cell]:
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
    plans: Sequence[PlannedCell], on_cell: Listener, kit: str, received: list[int]
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

    def __init__(self, group: Group, plans: list[PlannedCell], on_cell: Listener, kit: str) -> None:
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

    def _remaining(self) -> list[PlannedCell]:
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
                spec = {"kit": self._kit, "cells": _cells(plans)}
                started = answers(WORKER, spec, SILENCE_S, errors, self._group.patch)
                async with aclosing(started) as received:
                    async for answer in received:
                        self._add(_judge(*self._remaining()[0], answer))
                        self._skip_what_cannot_run()
                reason = "the process ended"
            except asyncio.TimeoutError:
                reason = f"no answer within {SILENCE_S:g} s"
            if self._remaining():
                probe, strategy = self._remaining()[0]
                self._add(failed(probe, strategy, reason + last_line(errors)))


def _cells(plans: list[PlannedCell]) -> list[tuple[str, str, str]]:
    return [(probe.group.name, probe.way, strategy) for probe, strategy in plans]


def _judge(probe: Probe, strategy: str, answer: dict[str, Any]) -> Cell:
    if "unavailable" in answer:
        return not_applicable(probe, strategy, answer["unavailable"])
    if "error" in answer:
        return failed(probe, strategy, answer["error"])
    return measured(probe, strategy, Relation(**answer["relation"]), answer["details"])
