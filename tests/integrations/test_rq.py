"""RQ: a job has the values of who enqueued it, and leaves nothing to the next."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.timeouts import TimerDeathPenalty

from ctxlocal import Local, ident, scoped
from ctxlocal.errors import WireError
from ctxlocal.integrations.rq import Job

pytestmark = pytest.mark.redis

sender = Local(name="sender of RQ", wire=("user", "items"))
TAMPERED = [
    ("{", "it is no JSON"),
    (7, "it has to be a str, not int"),
    ('{"sender of RQ":{"is_admin":1}}', "lets no 'is_admin' in"),
    ("x" * 5000, "the limit is 4096"),
]
seen: list[Any] = []


class TestedJob(Job):
    __test__ = False  # no class of pytest's
    carry = (sender,)


class Worker(SimpleWorker):
    """One that works in this process, and leaves its signals alone."""

    death_penalty_class = TimerDeathPenalty

    def _install_signal_handlers(self) -> None:
        """Install none."""


def look() -> list[Any]:
    """Tell who enqueued the job, and leave something behind."""
    seen.append(getattr(sender, "user", None))
    found = [seen[-1], hasattr(sender, "left")]
    sender.user = sender.left = "left behind"
    return found


async def look_async() -> list[Any]:
    await asyncio.sleep(0)
    return look()


def fail_once() -> None:
    look()
    if len(seen) < 2:
        raise LookupError


@pytest.fixture(params=["context", "thread", "greenlet"])
def strategy(request: pytest.FixtureRequest) -> None:
    ident.set_default(request.param)


@pytest.fixture
def queue(redis_port: int) -> Iterator[Queue]:
    seen.clear()
    handler = signal.getsignal(signal.SIGALRM)  # of pytest-timeout; RQ takes it for its own
    with Redis(port=redis_port, db=9) as redis:
        yield Queue("tested", connection=redis, job_class=TestedJob)
        redis.flushdb()
    signal.signal(signal.SIGALRM, handler)


def work(queue: Queue) -> None:
    worker = Worker([queue], connection=queue.connection, job_class=TestedJob)
    with warnings.catch_warnings():
        # Before 3.0 RQ does not close the loop in which it has run a coroutine.
        warnings.simplefilter("ignore", ResourceWarning)
        worker.work(burst=True, logging_level="ERROR")
        gc.collect()


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("function", [look, look_async])
def test_the_senders_values_are_there_and_nothing_is_left(queue: Queue, function: Any) -> None:
    jobs = []
    for user in ("ada", "bob"):
        with scoped(sender, user=user):
            jobs.append(queue.enqueue(function))
    jobs.append(queue.enqueue(function))
    work(queue)
    results = [job.return_value() for job in jobs]
    assert results == [["ada", False], ["bob", False], [None, False]]
    assert not hasattr(sender, "left")


@pytest.mark.usefixtures("strategy")
def test_a_retry_has_the_same_values(queue: Queue) -> None:
    with scoped(sender, user="ada"):
        job = queue.enqueue(fail_once, retry=Retry(max=1), meta={"mine": 1})
    work(queue)
    assert seen == ["ada", "ada"]
    assert job.get_meta()["mine"] == 1


@pytest.mark.parametrize(("header", "problem"), TAMPERED, ids=[each for _, each in TAMPERED])
def test_what_is_tampered_with_is_refused(
    queue: Queue, caplog: pytest.LogCaptureFixture, header: Any, problem: str
) -> None:
    bad = queue.enqueue(look, meta={"ctxlocal": header})
    with scoped(sender, user="ada"):
        good = queue.enqueue(look)
    work(queue)
    assert [bad.return_value(), good.return_value()] == [[None, False], ["ada", False]]
    (said,) = (each for each in caplog.records if each.name.startswith("ctxlocal"))
    assert said.levelno == logging.WARNING
    assert problem in said.getMessage()


def test_what_cannot_cross_is_not_enqueued(queue: Queue) -> None:
    with scoped(sender, items={1, 2}), pytest.raises(WireError, match="cannot cross"):
        queue.enqueue(look)
    assert queue.is_empty()


def test_a_class_without_locals_is_refused() -> None:
    with pytest.raises(ValueError, match="carry names no Local"):
        type("Empty", (Job,), {})
