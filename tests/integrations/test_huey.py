"""Huey: a task has the values of who enqueued it, and leaves nothing to the next."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from huey import MemoryHuey
from huey import api as huey_module

from ctxlocal import Local, ident, scoped
from ctxlocal.errors import WireError
from ctxlocal.integrations.huey import install
from tests.support.patience import PATIENCE_S

sender = Local(name="sender of Huey", wire=("user", "items"))
TAMPERED = [
    ("{", "it is no JSON"),
    (7, "it has to be a str, not int"),
    ('{"sender of Huey":{"is_admin":1}}', "lets no 'is_admin' in"),
    ("x" * 5000, "the limit is 4096"),
]


@pytest.fixture(params=["context", "thread", "greenlet"])
def strategy(request: pytest.FixtureRequest) -> None:
    ident.set_default(request.param)


@pytest.fixture
def huey() -> Any:
    huey = MemoryHuey("tested")
    install(huey, carry=[sender])
    return huey


@pytest.fixture
def consumed(huey: Any) -> Iterator[Any]:
    """The same, with a consumer of one thread, so that what is left would be found."""
    consumer = huey.create_consumer(workers=1, periodic=False, initial_delay=0.005, max_delay=0.01)
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {name: signal.getsignal(name) for name in names}
    consumer.start()
    for name, handler in handlers.items():
        signal.signal(name, handler)
    yield huey
    consumer.stop(graceful=False)  # its scheduler's thread would take another second
    for _, thread in consumer.worker_threads:
        thread.join()


def look(*arguments: Any, **options: Any) -> list[Any]:
    """Tell who enqueued the task, and leave something behind."""
    seen = [getattr(sender, "user", None), hasattr(sender, "left"), *arguments, *options]
    sender.user = sender.left = "left behind"
    return seen


def get(result: Any) -> Any:
    return result.get(blocking=True, timeout=PATIENCE_S)


@pytest.mark.usefixtures("strategy")
class TestConsumer:
    def test_the_senders_values_are_there_and_nothing_is_left(self, consumed: Any) -> None:
        task = consumed.task()(look)
        for user in ("ada", "bob"):
            with scoped(sender, user=user):
                assert get(task(1, a=2)) == [user, False, 1, "a"]
        assert get(task()) == [None, False]

    def test_a_signature_that_several_enqueue_has_the_values_of_each(self, consumed: Any) -> None:
        signature = consumed.task()(look).s()
        for user in ("ada", "bob"):
            with scoped(sender, user=user):
                assert get(consumed.enqueue(signature)) == [user, False]
        assert get(consumed.enqueue(signature)) == [None, False]

    def test_a_retry_has_the_same_values(self, consumed: Any) -> None:
        seen: list[Any] = []
        done = threading.Event()

        def fail(context: str) -> None:
            seen.append([context, *look()])
            if len(seen) < 3:
                raise LookupError
            done.set()

        task = consumed.task(retries=2)(fail)
        with scoped(sender, user="ada"):
            task("job")
        assert done.wait(PATIENCE_S)
        assert seen == [["job", "ada", False]] * 3

    def test_a_task_that_is_scheduled_has_them(self, consumed: Any) -> None:
        task = consumed.task()(look)
        with scoped(sender, user="ada"):
            assert get(task.schedule(delay=0)) == ["ada", False]

    def test_what_follows_has_the_same_values(self, consumed: Any) -> None:
        first = consumed.task(name="first")(lambda: 1)
        task = consumed.task()(look)
        with scoped(sender, user="ada"):
            results = consumed.enqueue(first.s().then(task.s()))
        assert get(results) == [1, ["ada", False, 1]]

    def test_so_has_what_follows_an_error(self, consumed: Any) -> None:
        seen: list[Any] = []
        done = threading.Event()

        def handle(error: Any) -> None:
            seen.append(look())
            done.set()

        first = consumed.task(name="first")(lambda: 1 / 0)
        with scoped(sender, user="ada"):
            consumed.enqueue(first.s().error(consumed.task()(handle).s()))
        assert done.wait(PATIENCE_S)
        assert seen == [["ada", False]]

    def test_a_task_enqueues_with_what_it_has_itself(self, consumed: Any) -> None:
        task = consumed.task()(look)
        results: list[Any] = []

        def outer() -> bool:
            results.append(task())
            sender.user = "bob"
            results.append(task())
            return True

        with scoped(sender, user="ada"):
            assert get(consumed.task()(outer)())
        assert [get(result)[0] for result in results] == ["ada", "bob"]


def test_immediate_tasks_have_frames_too() -> None:
    huey = MemoryHuey("tested", immediate=True)
    install(huey, carry=[sender])
    task = huey.task()(look)
    with scoped(sender, user="ada"):
        assert get(task()) == ["ada", False]
        assert sender.user == "ada"
    assert not hasattr(sender, "left")


@pytest.mark.skipif(not hasattr(huey_module, "chord"), reason="Huey 3 has groups and chords")
def test_groups_and_chords_carry_them(consumed: Any) -> None:
    def count(results: Any) -> list[Any]:
        return [*results, *look()]

    task, last = consumed.task()(look), consumed.task()(count)
    with scoped(sender, user="ada"):
        group = consumed.enqueue(huey_module.group([task.s(), task.s()]))
        chord = consumed.enqueue(huey_module.chord([task.s(), task.s()], last.s()))
    assert get(group) == [["ada", False]] * 2
    assert get(chord) == [["ada", False]] * 2 + ["ada", False]


@pytest.mark.parametrize(("header", "problem"), TAMPERED, ids=[each for _, each in TAMPERED])
def test_what_is_tampered_with_is_refused(
    consumed: Any, caplog: pytest.LogCaptureFixture, header: Any, problem: str
) -> None:
    task = consumed.task()(look)
    assert get(task(ctxlocal=header)) == [None, False]
    with scoped(sender, user="ada"):
        assert get(task()) == ["ada", False]
    (said,) = (each for each in caplog.records if each.name.startswith("ctxlocal"))
    assert said.levelno == logging.WARNING
    assert problem in said.getMessage()


def test_what_cannot_cross_is_not_enqueued(huey: Any) -> None:
    task = huey.task()(look)
    with scoped(sender, items={1, 2}), pytest.raises(WireError, match="cannot cross"):
        task()
    assert huey.pending() == []


def test_twice_is_refused(huey: Any) -> None:
    with pytest.raises(RuntimeError, match="carries Locals already"):
        install(huey, carry=[sender])
