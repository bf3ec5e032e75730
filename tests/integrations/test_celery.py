"""Values of Locals in Celery's tasks: what goes along, what stays, in every pool."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ctxlocal import Local, flow, ident, scoped
from ctxlocal.errors import FrameBusyError, WireError

from ..support.patience import PATIENCE_S

celery = pytest.importorskip("celery")
from celery.app.task import Task  # noqa: E402
from celery.app.trace import trace_task  # noqa: E402

from ctxlocal.integrations.celery import install  # noqa: E402


@pytest.fixture
def visitor() -> Iterator[Local]:
    gc.collect()
    local = Local(name="visitor", wire=("request_id", "tenant"))
    yield local
    local.__release_local__()


def trace(task: Any, uuid: str, args: Any, kwargs: Any, request: Any) -> Any:
    """Do what a worker does for a message."""
    return trace_task(task, uuid, args, kwargs, request, app=task.app)


class Shop:
    """An application, and a worker for it that works off one message after the other, here."""

    def __init__(self, visitor: Local, **settings: Any) -> None:
        self.app = celery.Celery("shop", broker="memory://", set_as_current=False)
        self.app.conf.update(result_backend="cache+memory://", **settings)
        self.seen: list[Any] = []
        self.queue = str(uuid4())
        self.app.conf.task_default_queue = self.queue
        install(self.app, carry=[visitor])

        @self.app.task(name="look", shared=False)  # type: ignore[untyped-decorator]
        def look(*_: Any) -> None:
            self.seen.append(dict(visitor))
            visitor.left = visitor.tenant = "left behind"

        self.look = look

    def headers(self) -> list[Any]:
        """Take the messages that wait, and return their headers."""
        return [headers for headers, _ in self._messages()]

    def work(self) -> list[Any]:
        """Work off all messages, and those that come of it; return what the tasks have seen."""
        while messages := self._messages():
            for headers, (args, kwargs, embedded) in messages:
                request = {**headers, **embedded, "delivery_info": {}}
                trace(self.app.tasks[headers["task"]], headers["id"], args, kwargs, request)
        taken, self.seen = self.seen, []
        return taken

    def _messages(self) -> list[tuple[Any, Any]]:
        found = []
        with self.app.connection_for_read() as connection:
            queue = connection.SimpleQueue(self.queue)
            while queue.qsize():
                message = queue.get_nowait()
                message.ack()
                found.append((message.headers, message.payload))
            queue.close()
        return found


@pytest.fixture
def shop(visitor: Local) -> Shop:
    return Shop(visitor)


# What goes along


def test_what_the_wire_names_is_in_one_header(shop: Shop, visitor: Local) -> None:
    with scoped(visitor, request_id="4f1c", password="secret"):
        shop.look.delay()
    (headers,) = shop.headers()
    assert json.loads(headers["ctxlocal"]) == {"visitor": {"request_id": "4f1c"}}
    assert "secret" not in str(headers)


def test_where_nothing_is_bound_there_is_no_header(shop: Shop) -> None:
    shop.look.apply_async(headers={"mine": 1})
    (headers,) = shop.headers()
    assert (headers["mine"], "ctxlocal" in headers) == (1, False)


WAYS: dict[str, Callable[[Shop], Any]] = {
    "delay": lambda shop: shop.look.delay(),
    "apply_async": lambda shop: shop.look.apply_async(headers={"mine": 1}),
    "send_task": lambda shop: shop.app.send_task("look", (), {}),
    "signature": lambda shop: shop.app.signature("look").apply_async(),
    "chain": lambda shop: (shop.look.s() | shop.look.s())(),
    "group": lambda shop: celery.group([shop.look.s()], app=shop.app)(),
    "link": lambda shop: shop.look.apply_async(link=shop.look.s()),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_there_whichever_way_the_task_is_published(
    shop: Shop, visitor: Local, way: str
) -> None:
    with scoped(visitor, request_id="4f1c"):
        WAYS[way](shop)
    seen = shop.work()
    assert seen[0] == {"request_id": "4f1c"}
    # What follows a task takes along what was current at its end.
    assert seen[1:] in ([], [{"request_id": "4f1c", "tenant": "left behind"}])
    assert (len(seen) == 2) == (way in ("chain", "link"))


def test_a_retry_takes_it_along(shop: Shop, visitor: Local) -> None:
    @shop.app.task(name="again", shared=False, bind=True)  # type: ignore[untyped-decorator]
    def again(self: Any) -> None:
        shop.seen.append((self.request.retries, visitor.request_id, hasattr(visitor, "left")))
        visitor.left = 1
        if not self.request.retries:
            raise self.retry(countdown=0)

    with scoped(visitor, request_id="4f1c"):
        again.delay()
    assert shop.work() == [(0, "4f1c", False), (1, "4f1c", False)]


def test_handlers_and_what_celery_itself_logs_are_inside(
    shop: Shop, visitor: Local, caplog: pytest.LogCaptureFixture
) -> None:
    class Handled(Task):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            visitor.called = True
            return self.run(*args, **kwargs)

        def on_failure(self, *_: Any) -> None:
            shop.seen.append(dict(visitor))

        before_start = on_failure

    @shop.app.task(name="fail", shared=False, base=Handled)  # type: ignore[untyped-decorator]
    def fail() -> None:
        raise ValueError

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shop.seen.append((record.levelname, visitor.request_id))

    handler = Noting(logging.ERROR)
    logging.getLogger("celery.app.trace").addHandler(handler)
    try:
        with scoped(visitor, request_id="4f1c"):
            fail.delay()
        before, failed, logged = shop.work()
    finally:
        logging.getLogger("celery.app.trace").removeHandler(handler)
    assert (before, failed) == ({"request_id": "4f1c"}, {"request_id": "4f1c", "called": True})
    assert logged == ("ERROR", "4f1c")


# What stays


def test_nothing_is_left_for_the_next_task(shop: Shop, visitor: Local) -> None:
    @shop.app.task(name="fail", shared=False)  # type: ignore[untyped-decorator]
    def fail() -> None:
        visitor.left = visitor.tenant = "left behind"
        raise ValueError

    for task in (shop.look, fail, shop.look, shop.look):
        task.delay()
    assert shop.work() == [{}, {}, {}]
    assert dict(visitor) == {}


def test_tasks_of_another_application_are_as_they_were(shop: Shop, visitor: Local) -> None:
    other = celery.Celery("other", broker="memory://", set_as_current=False)
    other.conf.result_backend = "cache+memory://"

    @other.task(name="leave", shared=False)  # type: ignore[untyped-decorator]
    def leave() -> None:
        visitor.left = 1

    trace(leave, str(uuid4()), (), {}, {"delivery_info": {}})
    leave.apply()
    assert dict(visitor) == {"left": 1}


def test_a_task_that_is_called_as_a_function_is_one(shop: Shop, visitor: Local) -> None:
    visitor.own = 1
    shop.look()
    assert shop.seen == [{"own": 1}]
    assert visitor.left == "left behind"


# Applied at once


@pytest.mark.parametrize("way", ["apply", "delay", "chain"])
def test_a_task_that_is_applied_at_once_is_in_its_own_frame(visitor: Local, way: str) -> None:
    shop = Shop(visitor, task_always_eager=True)
    ways: dict[str, Callable[[], Any]] = {
        "apply": shop.look.apply,
        "delay": shop.look.delay,
        "chain": celery.chain(shop.look.s(), shop.look.s(), app=shop.app),
    }
    with scoped(visitor, request_id="4f1c", own=1):
        ways[way]()
        assert dict(visitor) == {"request_id": "4f1c", "own": 1}
    assert shop.seen == [{"request_id": "4f1c"}] * (1 + (way == "chain"))


# What is wrong


HOSTILE = {
    "tampered": '{"visitor":{"is_admin":true}}',
    "no JSON": "4f1c",
    "no text": {"visitor": {"request_id": 1}},
    "oversized": json.dumps({"visitor": {"tenant": "x" * 5000}}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_nobody_could_have_sent_is_refused_and_told(
    shop: Shop, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    request = {"ctxlocal": HOSTILE[case], "delivery_info": {}}
    with caplog.at_level(logging.WARNING, "ctxlocal.integrations"):
        trace(shop.look, "7", (), {}, request)
    assert shop.seen == [{}]
    (said,) = caplog.messages
    assert said.startswith("the header 'ctxlocal' of task look[7] was refused, and nothing of it ")


def test_the_header_of_the_former_protocol_is_found_too(shop: Shop) -> None:
    header = '{"visitor":{"tenant":"acme"}}'
    request = {"headers": {"ctxlocal": header}, "delivery_info": {}}
    trace(shop.look, "7", (), {}, request)
    assert shop.seen == [{"tenant": "acme"}]


@pytest.mark.parametrize("headers", [["tampered"], "tampered", 7, True])
def test_a_task_runs_though_its_headers_are_none(shop: Shop, headers: object) -> None:
    trace(shop.look, "7", (), {}, {"headers": headers, "delivery_info": {}})
    assert shop.seen == [{}]


def test_a_value_that_is_no_json_is_the_publishers_error(shop: Shop, visitor: Local) -> None:
    with scoped(visitor, tenant=b"acme"):
        for publish in (shop.look.delay, shop.look.apply):
            with pytest.raises(WireError, match=r"^'tenant' of Local 'visitor' cannot cross"):
                publish()
    assert shop.headers() == []


def test_a_header_of_another_message_does_not_go_on_where_nothing_is_bound(shop: Shop) -> None:
    shop.look.apply_async(headers={"ctxlocal": "of a signature that was made of a message"})
    assert "ctxlocal" not in shop.headers()[0]


def test_a_frame_that_cannot_be_entered_fails_the_task(shop: Shop, visitor: Local) -> None:
    """As in a pool of greenlets under the thread strategy: the two would see each other."""
    ident.set_default(lambda: 1)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        leave.wait(PATIENCE_S)

    other = threading.Thread(target=flow.Frame().run, args=(stay,))
    other.start()
    inside.wait(PATIENCE_S)
    try:
        result = trace(shop.look, "busy", (), {}, {"delivery_info": {}, "id": "busy"})
    finally:
        leave.set()
        other.join()
    assert isinstance(result.info.retval, FrameBusyError)
    assert isinstance(shop.look.AsyncResult("busy").result, FrameBusyError)
    assert shop.seen == []


def test_the_current_app_can_be_given(visitor: Local) -> None:
    app = celery.Celery("current", broker="memory://", set_as_current=False)
    proxy = celery.local.Proxy(lambda: app)
    install(proxy, carry=[visitor])
    del proxy
    with pytest.raises(RuntimeError, match="carries Locals already"):
        install(app, carry=[visitor])


def test_what_cannot_be_installed_says_why(
    shop: Shop, visitor: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match=r"carries Locals already. Call install\(\) once"):
        install(shop.app, carry=[visitor])
    with pytest.raises(TypeError, match=r"takes a Celery application, not str\.$"):
        install("shop", carry=[visitor])
    app = celery.Celery("new", set_as_current=False)
    with pytest.raises(ValueError, match=r"^carry names no Local"):
        install(app, carry=[])
    with pytest.raises(WireError, match=r"says of none of its attributes"):
        install(app, carry=[Local(name="app")])
    monkeypatch.setattr(celery, "VERSION", (5, 3, 6))
    with pytest.raises(ImportError, match=r"needs Celery from 5\.4 on"):
        install(app, carry=[visitor])
    monkeypatch.undo()
    install(app, carry=[visitor])


# Real workers

POOLS = ("prefork", "threads", "gevent", "solo")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@pytest.fixture
def workers(redis_port: int, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A worker of each pool, all begun at once; the environment of whoever gives them work."""
    environment = {**os.environ, "SHOP_REDIS": f"redis://127.0.0.1:{redis_port}"}
    command = [sys.executable, "-m", "celery", "-A", "tests.integrations.celery_shop", "worker"]
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        for pool in POOLS:
            log = stack.enter_context((tmp_path / pool).open("wb"))
            options = ["-P", pool, "-c", "2", "-l", "WARNING", "-Q", pool, *QUIET]
            worker = subprocess.Popen(
                [*command, *options],
                env={**environment, "SHOP_QUEUE": pool},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(worker.wait, PATIENCE_S)
            started.append(worker)
        try:
            yield environment
        finally:
            for worker in started:  # all of them, before any is waited for
                worker.terminate()


@pytest.mark.slow
@pytest.mark.redis
def test_workers_of_all_pools(workers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    client = subprocess.run(
        [sys.executable, "-m", "tests.integrations.celery_shop", *POOLS],
        env=workers,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    said = {pool: (tmp_path / pool).read_text() for pool in POOLS}
    assert client.stdout == "all as it should be\n", f"{client.stderr}\n{said}"
    for pool in POOLS:
        assert "the header 'ctxlocal' of task look[" in said[pool], said[pool]
