"""Runs the plans one after the other: a server, its visitors, and what both have seen."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from ..process import end_on_signals
from ..servers.process import Process, ServerProblem, running
from . import SETTINGS
from .client import Unanswered, connect
from .frameworks import SAVE_FAILURES
from .pace import ROUNDS, Pace
from .plan import PlannedRun, Size
from .report import Memory, Outcome, Run, grown
from .stores import opened, shown, why_not
from .visitor import ClientFindings, Visitor

SAMPLES = 12  # of memory, in a run; fewer in a small one
SETTLE_S = 30.0  # for what was started and outlives its response
SETTLE_SABOTAGED_S = 1.0  # where it is known that something does not end
ASK_EVERY_S = 0.05
GIVE_UP_ERRORS = 200  # in a run: there is nothing more to learn
GIVE_UP_UNAVAILABLE = 20


Advance = Callable[[PlannedRun, int], object]


def conduct(plans: Sequence[PlannedRun], size: Size, advance: Advance, finished: list[Run]) -> None:
    """Run each plan, and append what came of it to ``finished``, in the same order.

    To be called in the main thread. Every process that was started has ended afterwards.

    :param advance: called with a plan and the number of requests it has made since.
    :raises SystemExit: a signal said to end; the run that was cut short is in ``finished``.
    """
    received: list[int] = []
    try:
        asyncio.run(_conduct(plans, size, advance, finished, received))
    except asyncio.CancelledError:
        raise SystemExit(128 + received[0]) from None


async def _conduct(
    plans: Sequence[PlannedRun],
    size: Size,
    advance: Advance,
    finished: list[Run],
    received: list[int],
) -> None:
    end_on_signals(received)
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        for plan in plans:
            reason = plan.why_not() or why_not(plan.store)
            if reason:
                finished.append(_planned(plan, "not run", reason))
                continue
            if plan.store not in urls:
                urls[plan.store] = await stack.enter_async_context(opened(plan.store))
            await _Soak(plan, size, advance).run(urls[plan.store], finished)


def _planned(plan: PlannedRun, outcome: Outcome, note: str) -> Run:
    where = plan.server.name, plan.strategy, shown(plan.store), plan.sabotage
    return Run(*where, outcome=outcome, note=note)


class _Soak:
    """One run."""

    def __init__(self, plan: PlannedRun, size: Size, advance: Advance) -> None:
        self._plan = plan
        self._size = size
        self._advance = advance
        self._findings = ClientFindings()
        self._samples: list[tuple[int, int]] = []
        self._told: dict[str, Any] = {}  # the server's last report
        self._begun = 0.0
        self._visitors = 0
        self._answered = 0
        self._pace = Pace(size.planned // ROUNDS)

    async def run(self, store_url: str, finished: list[Run]) -> None:
        plan = self._plan
        settings = {
            "store": store_url,
            "sabotage": plan.sabotage,
            "protocol": plan.server.protocol,
            "framework": plan.server.framework,
        }
        environment = {SETTINGS: json.dumps(settings), "CTXLOCAL_IDENT": plan.strategy}
        application = f"ctxlocal.lab.soak.target:{plan.server.protocol}"
        self._begun = time.monotonic()
        outcome: Outcome = "failed"
        problem = ""
        try:
            async with running(
                plan.server, application, environment, port=self._size.port
            ) as process:
                self._begun = time.monotonic()
                await self._watch(process)
                outcome = "clean"
        except ServerProblem as error:
            problem = str(error)
        except asyncio.CancelledError:
            outcome = "interrupted"
            raise
        finally:
            finished.append(self._result(outcome, problem))

    async def _watch(self, process: Process) -> None:
        try:
            await self._load(process)
            await self._settle(process)
        except (OSError, Unanswered, asyncio.TimeoutError) as error:
            ended = process.how_it_ended()
            raise ServerProblem(
                ended or f"it went away: {str(error) or type(error).__name__}"
            ) from error

    async def _load(self, process: Process) -> None:
        """Let visitors come until enough requests were made."""
        await self._sample(process)
        if self._told["strategy"] != self._plan.strategy:
            raise ServerProblem(f"it runs under {self._told['strategy']!r}: CTXLOCAL_IDENT is lost")
        target = self._size.sessions
        self._pace.begin()
        # A sample waits until the visitors have left: fewer would never be there together.
        each = max(self._size.visitors, target // SAMPLES)
        while self._visitors < target and not self._is_enough():
            await self._crowd(process, min(each, target - self._visitors))
            await self._sample(process)
            if self._findings.unavailable > GIVE_UP_UNAVAILABLE:
                count = self._findings.unavailable
                raise ServerProblem(f"its session store went away: {count} answers of status 503")

    def _is_enough(self) -> bool:
        limit = self._size.seconds
        is_late = limit is not None and time.monotonic() - self._begun > limit
        found = self._findings
        is_hopeless = found.errors > GIVE_UP_ERRORS or found.unavailable > GIVE_UP_UNAVAILABLE
        return is_late or is_hopeless

    async def _crowd(self, process: Process, count: int) -> None:
        """Let ``count`` visitors come, some of them at a time."""
        gate = asyncio.Semaphore(self._size.visitors)
        first, self._visitors = self._visitors, self._visitors + count

        async def visit(number: int) -> None:
            async with gate:
                if not self._is_enough():
                    name = f"v{number}"
                    await self._visitor(name, process.port).run()

        tasks = [asyncio.create_task(visit(first + number)) for number in range(count)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _visitor(self, name: str, port: int) -> Visitor:
        saves_failures = self._plan.server.framework in SAVE_FAILURES
        return Visitor(name, port, self._findings, self._answer, saves_failures=saves_failures)

    def _answer(self) -> None:
        self._answered += 1
        self._pace.answered()
        self._advance(self._plan, 1)

    async def _sample(self, process: Process) -> None:
        self._told = await _ask(process.port)
        self._samples.append((self._answered, self._told["memory"]))

    async def _settle(self, process: Process) -> None:
        """Wait for what goes on after its response; what does not end was skipped."""
        patience = SETTLE_S if self._plan.sabotage is None else SETTLE_SABOTAGED_S
        limit = time.monotonic() + patience
        while self._told["open"] and time.monotonic() < limit:
            await asyncio.sleep(ASK_EVERY_S)
            self._told = await _ask(process.port)

    def _result(self, outcome: Outcome, problem: str) -> Run:
        found, told = self._findings, self._told
        seconds = time.monotonic() - self._begun
        memory = grown(self._samples) if outcome == "clean" else Memory(self._samples)
        run = replace(
            _planned(self._plan, outcome, problem),
            seconds=round(seconds, 2),
            requests=found.requests,
            requests_per_second=round(found.requests / seconds, 1),
            lowest_per_second=self._pace.lowest,
            highest_per_second=self._pace.highest,
            foreign_reads=found.foreign_reads + told.get("foreign_reads", 0),
            stale_values=told.get("stale_values", 0),
            # While it runs, requests that have not ended are nothing unusual.
            teardowns_skipped=told.get("open", 0) if outcome == "clean" else 0,
            teardowns_doubled=told.get("teardowns_doubled", 0),
            teardowns_early=told.get("teardowns_early", 0),
            lost_updates=found.lost_updates,
            errors=found.errors,
            unanswered=found.unanswered,
            server_leaks=told.get("server_leaks", 0),
            memory=memory,
        )
        if outcome != "clean" or not run.violations:
            return run
        examples = [*found.examples, *told["examples"]]
        grew = f"memory grew by {memory.bytes_per_10000} bytes for 10,000 requests"
        return replace(run, outcome="violations", note="; ".join(examples[:3]) or grew)


async def _ask(port: int) -> dict[str, Any]:
    """Return what the server's ledger holds."""
    connection = await connect(port)
    try:
        connection.send("/report", None)
        answer = await connection.answer()
    finally:
        connection.hang_up()
    if answer.status != 200:
        raise ServerProblem(f"its report has status {answer.status}")
    try:
        told: dict[str, Any] = json.loads(answer.body)
        return {**told, "memory": told["memory"], "strategy": told["strategy"]}
    except (ValueError, TypeError, KeyError) as error:
        raise ServerProblem("another program answers on its port") from error
