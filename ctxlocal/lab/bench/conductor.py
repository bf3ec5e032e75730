"""Runs the jobs, one after the other: two at once would disturb each other's figures.

A job that hangs or crashes costs what it had not told yet; the others run. Whatever ends the
command ends the job that runs, and what was found before is kept.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import aclosing

from ctxlocal.lab.process import answers, end_on_signals, last_line

from .part import CORE_LOCAL, BenchJob, BenchPart, Options
from .parts import PARTS
from .report import BenchReport, PartFindings
from .worker import DONE, SILENCE_S

WORKER = "ctxlocal.lab.bench.worker"
GRACE_S = 8.0  # servers are killed, one after the other, when they do not end in 4

Advance = Callable[[str], None]  # hears the name of a job after each of its steps
PlannedJobs = list[tuple[BenchPart, list[BenchJob]]]


def conduct(
    only: Sequence[str] = (),
    tables: Sequence[str] = (),
    *,
    quick: bool = False,
    advance: Advance = lambda job: None,
    ours: str = CORE_LOCAL,
) -> BenchReport:
    """Measure, and return all that was found.

    To be called in the main thread. A signal that says to end (Ctrl-C) ends the job that runs and
    returns what was found before: ``report.signal`` is its number then, None otherwise.

    :param only: names of parts; empty: all.
    :param tables: names of tables; empty: all, or when ``quick`` those of a quick run.
    :param quick: take about 20 seconds, and rougher figures.
    :param advance: called after each step of a job with the job's name; ``plan`` tells how many.
    :param ours: ``module:name`` of the class that is measured as ours.
    :raises ValueError: there is no such part, or no such table in the parts.
    """
    planned = plan(only, tables, quick=quick, ours=ours)
    report = BenchReport(
        {part.name: PartFindings(part) for part, _ in planned}, _command(only, tables, quick)
    )
    received: list[int] = []
    try:
        asyncio.run(_conduct(planned, report, advance, received))
    except asyncio.CancelledError:
        report.signal = received[0]
    return report


def plan(
    only: Sequence[str] = (),
    tables: Sequence[str] = (),
    *,
    quick: bool = False,
    ours: str = CORE_LOCAL,
) -> PlannedJobs:
    """Return the parts that are asked for with their jobs; arguments and errors as ``conduct``."""
    _refuse_unknown("part", only, [part.name for part in PARTS])
    chosen = [part for part in PARTS if not only or part.name in only]
    _refuse_unknown("table", tables, [table for part in chosen for table in part.tables])
    planned = []
    for part in chosen:
        wanted = tables or (part.quick_tables if quick else part.tables)
        of_part = tuple(table for table in part.tables if table in wanted)
        if of_part:
            planned.append((part, part.jobs(Options(of_part, quick, ours))))
    return planned


def _refuse_unknown(kind: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no {kind} {name!r}; there are {', '.join(known)}")


def _command(only: Sequence[str], tables: Sequence[str], quick: bool) -> str:
    options = [f"--only {name}" for name in only] + [f"--table {name}" for name in tables]
    return " ".join(["ctxlocal bench", *options, *(["--quick"] if quick else [])])


async def _conduct(
    planned: PlannedJobs, report: BenchReport, advance: Advance, received: list[int]
) -> None:
    end_on_signals(received)
    for part, jobs in planned:
        for job in jobs:
            reason = await run_job(job, report.findings[part.name], advance)
            if reason:
                report.failed[job.name] = reason


async def run_job(
    job: BenchJob, findings: PartFindings, advance: Advance = lambda job: None
) -> str:
    """Run one job in a process of its own; return why it failed, "" if it did not."""
    spec = {"target": job.target, "arguments": job.arguments}
    with tempfile.TemporaryFile() as errors:
        try:
            async with aclosing(answers(WORKER, spec, SILENCE_S, errors, grace_s=GRACE_S)) as steps:
                async for step in steps:
                    if step == DONE:
                        return ""
                    findings.add(step)
                    advance(job.name)
            reason = "the process ended"
        except asyncio.TimeoutError:
            reason = f"no answer within {SILENCE_S} s"
        return reason + last_line(errors)
