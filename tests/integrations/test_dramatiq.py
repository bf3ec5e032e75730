"""Dramatiq: an actor has its sender's values, and leaves nothing to the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import (
    AsyncIO,
    Callbacks,
    Middleware,
    MiddlewareError,
    Pipelines,
    Retries,
    SkipMessage,
)

from ctxlocal import Local, ident, scoped
from ctxlocal.errors import WireError
from ctxlocal.integrations.dramatiq import Carry
from tests.support.patience import PATIENCE_S

sender = Local(name="sender of Dramatiq", wire=("user", "items"))
TAMPERED = [
    ("{", "it is no JSON"),
    ({"sender of Dramatiq": {"user": "eve"}}, "it has to be a str, not dict"),
    ('{"sender of Dramatiq":{"is_admin":1}}', "lets no 'is_admin' in"),
    ("x" * 5000, "the limit is 4096"),
]


class Skip(Middleware):
    def before_process_message(self, broker: Any, message: Any) -> None:
        if "skip" in message.args:
            raise SkipMessage


@pytest.fixture(params=["context", "thread", "greenlet", "task"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubBroker]:
    """A broker with one thread of a worker, so that what is left would be found."""
    ident.set_default(request.param)
    retries = Retries(min_backoff=1, max_backoff=1, max_retries=1)
    broker = StubBroker(middleware=[AsyncIO(), Pipelines(), Callbacks(), retries])
    broker.emit_after("process_boot")
    broker.add_middleware(Carry(carry=[sender]))
    broker.add_middleware(Skip())
    monkeypatch.setattr("dramatiq.broker.global_broker", broker)  # where callbacks are sent
    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=1)
    worker.start()
    yield broker
    worker.stop()
    broker.close()


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def look(broker: StubBroker, seen: list[Any]) -> Any:
    """An actor that tells who sent its message, and leaves something behind."""

    def note(*arguments: Any) -> None:
        seen.append((getattr(sender, "user", None), hasattr(sender, "left")))
        sender.user = sender.left = "left behind"

    return dramatiq.actor(broker=broker)(note)


def finish(broker: StubBroker) -> None:
    for queue in broker.get_declared_queues():
        broker.join(queue, timeout=int(PATIENCE_S * 1000))


def test_the_senders_values_are_there_and_nothing_is_left(
    broker: StubBroker, look: Any, seen: list[Any]
) -> None:
    for user in ("ada", "bob"):
        with scoped(sender, user=user):
            look.send()
        finish(broker)  # or the next could be before it
    look.send()
    finish(broker)
    assert seen == [("ada", False), ("bob", False), (None, False)]
    assert not hasattr(sender, "left")


def test_a_message_that_is_put_off_has_not_the_values_of_the_one_before(
    broker: StubBroker, look: Any, seen: list[Any]
) -> None:
    class Busy(Middleware):
        is_busy = True

        def before_process_message(self, broker: Any, message: Any) -> None:
            if "later" in message.args and self.is_busy:
                self.is_busy = False
                raise MiddlewareError("busy")

    broker.add_middleware(Busy(), before=Carry)  # so that no Frame is made the first time
    with scoped(sender, user="ada"):
        look.send()
    finish(broker)
    look.send("later")
    finish(broker)
    assert seen == [("ada", False), (None, False)]


def test_so_it_is_in_a_coroutine(broker: StubBroker, seen: list[Any]) -> None:
    @dramatiq.actor(broker=broker)
    async def look() -> None:
        seen.append(getattr(sender, "user", None))
        sender.user = "left behind"
        await asyncio.sleep(0)
        seen.append(sender.user)

    with scoped(sender, user="ada"):
        look.send()
    finish(broker)
    look.send()
    finish(broker)
    assert seen == ["ada", "left behind", None, "left behind"]


def test_a_retry_has_the_same_values(broker: StubBroker, seen: list[Any]) -> None:
    @dramatiq.actor(broker=broker)
    def fail() -> None:
        seen.append(getattr(sender, "user", None))
        sender.user = "left behind"
        if len(seen) < 2:
            raise LookupError

    with scoped(sender, user="ada"):
        fail.send()
    finish(broker)
    assert seen == ["ada", "ada"]


def test_what_follows_has_the_same_values(broker: StubBroker, look: Any, seen: list[Any]) -> None:
    @dramatiq.actor(broker=broker)
    def first() -> int:
        return 1

    with scoped(sender, user="ada"):
        (first.message() | look.message()).run()
        first.send_with_options(on_success=look)
    first.send_with_options(on_success=look)
    finish(broker)
    assert sorted(seen, key=str) == [("ada", False), ("ada", False), (None, False)]


def test_an_actor_sends_what_it_has_itself(broker: StubBroker, look: Any, seen: list[Any]) -> None:
    @dramatiq.actor(broker=broker)
    def outer(has_user: bool = True) -> None:
        assert hasattr(sender, "user") is has_user
        look.send()
        sender.user = "bob"
        look.send()
        del sender.user
        look.send()

    with scoped(sender, user="ada"):
        outer.send()
    finish(broker)
    assert sorted(str(user) for user, _ in seen) == ["None", "ada", "bob"]
    with scoped(sender, user="ada"):
        look.send()
    finish(broker)
    seen.clear()
    outer.send_with_options(kwargs={"has_user": False})
    finish(broker)
    assert sorted(str(user) for user, _ in seen) == ["None", "None", "bob"]


def test_a_message_that_is_sent_again_keeps_what_it_has(
    broker: StubBroker, look: Any, seen: list[Any]
) -> None:
    message = look.message()
    for user in ("ada", "bob"):
        with scoped(sender, user=user):
            broker.enqueue(message)
        finish(broker)
    assert seen == [("ada", False)] * 2


def test_an_actor_that_is_called_is_a_function(look: Any, seen: list[Any]) -> None:
    with scoped(sender, user="ada"):
        look()
        assert sender.left == "left behind"
    del sender.left
    assert seen == [("ada", False)]


def test_a_message_that_is_skipped_leaves_nothing(
    broker: StubBroker, look: Any, seen: list[Any]
) -> None:
    with scoped(sender, user="ada"):
        look.send("skip")
    look.send()
    finish(broker)
    assert seen == [(None, False)]


@pytest.mark.parametrize("broker", ["context"], indirect=True)
@pytest.mark.parametrize(("header", "problem"), TAMPERED, ids=[each for _, each in TAMPERED])
def test_what_is_tampered_with_is_refused(
    broker: StubBroker,
    look: Any,
    seen: list[Any],
    caplog: pytest.LogCaptureFixture,
    header: Any,
    problem: str,
) -> None:
    look.send_with_options(ctxlocal=header)
    finish(broker)
    with scoped(sender, user="ada"):
        look.send()
    finish(broker)
    assert seen == [(None, False), ("ada", False)]
    (said,) = (each for each in caplog.records if each.name.startswith("ctxlocal"))
    assert said.levelno == logging.WARNING
    assert problem in said.getMessage()


@pytest.mark.parametrize("broker", ["context"], indirect=True)
def test_what_cannot_cross_is_not_sent(broker: StubBroker, look: Any, seen: list[Any]) -> None:
    with scoped(sender, items={1, 2}), pytest.raises(WireError, match="cannot cross"):
        look.send()
    finish(broker)
    assert seen == []


@pytest.mark.parametrize("broker", ["context"], indirect=True)
def test_actors_declared_before_have_it_too(broker: StubBroker, seen: list[Any]) -> None:
    other = StubBroker(middleware=[])

    @dramatiq.actor(broker=other)
    def early() -> None:
        """Do nothing."""

    plain: Any = early.fn
    other.add_middleware(Carry(carry=[sender]))
    framed: Any = early.fn
    assert framed.__wrapped__ is plain
    other.declare_actor(early)
    assert early.fn is framed
