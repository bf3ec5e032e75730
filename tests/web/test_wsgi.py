"""ContextMiddleware and serve: what a WSGI application and its server see (PEP 3333)."""

from __future__ import annotations

import gc
import logging
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from io import BytesIO
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from ctxlocal import Local, UnboundError, ident, unwrap
from ctxlocal.errors import FrameBusyError
from ctxlocal.sessions.errors import (
    CookieTooLargeError,
    FreshLoginRequiredError,
    SessionClosedError,
    SessionConflictError,
    SessionError,
    SessionLimitError,
    StoreUnavailableError,
    UnstorableValueError,
)
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Record
from ctxlocal.web.context import (
    RequestContext,
    current_request_context,
    g,
    has_app_context,
    has_request_context,
    on_teardown,
    request,
    session,
)
from ctxlocal.web.wsgi import ContextMiddleware, StartResponse

OK = "200 OK"
TEXT = [("Content-Type", "text/plain")]


class Server:
    """Calls an application as a server does, and keeps what it is told."""

    def __init__(self, application: Any, cookie: str = "", **environ: Any) -> None:
        self.environ: dict[str, Any] = {"QUERY_STRING": "", **environ}
        setup_testing_defaults(self.environ)
        if cookie:
            self.environ["HTTP_COOKIE"] = cookie
        self.events: list[object] = []
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.body = application(self.environ, self.start_response)

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        self.events.append(status)
        if exc_info is not None and len(self.events) > 1:
            raise exc_info[1]
        self.status, self.headers = status, list(headers)
        return self.events.append

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def run(self) -> bytes:
        """Iterate and close the body, and return all of it."""
        try:
            chunks = list(self.body)
        finally:
            if hasattr(self.body, "close"):
                self.body.close()
        return b"".join(chunk for chunk in (*self.events, *chunks) if isinstance(chunk, bytes))


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def new_sessions() -> StoredSessions[Any]:
    return StoredSessions(MemoryStore())


def cookie_of(server: Server) -> str:
    [cookie] = server.values("Set-Cookie")
    return cookie.partition(";")[0]


class Stages:
    """An application that notes what it does; how it answers is up to ``body``."""

    def __init__(self, body: Callable[[Stages], Iterable[bytes]]) -> None:
        self.body = body
        self.ended: list[BaseException | None] = []
        self.threads: list[str] = []

    def __call__(self, environ: Any, start_response: StartResponse) -> Iterable[bytes]:
        on_teardown(self.end)
        g.name = "of the request"
        start_response(OK, TEXT)
        return self.body(self)

    def end(self, error: BaseException | None) -> None:
        assert g.name == "of the request"
        self.threads.append(threading.current_thread().name)
        self.ended.append(error)


def three_chunks(stages: Stages) -> Iterator[bytes]:
    for number in range(3):
        assert g.name == "of the request"
        yield b"%d" % number


def complete(stages: Stages) -> list[bytes]:
    return [b"complete"]


def without_a_teardown(environ: Any, start_response: StartResponse) -> list[bytes]:
    start_response(OK, TEXT)
    return [b"complete"]


# Isolation


def test_a_request_starts_empty_and_leaves_nothing(strategy: str) -> None:
    local = Local()

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        assert not hasattr(local, "value")
        local.value = environ["REQUEST_METHOD"]
        assert list(g) == []
        g.value = 1
        start_response(OK, TEXT)
        yield local.value.encode()

    wrapped = ContextMiddleware(application)
    local.value = "left by an earlier job of the worker"
    for _ in range(3):
        assert Server(wrapped).run() == b"GET"
        assert local.value == "left by an earlier job of the worker"
        assert not has_request_context()
        assert not has_app_context()


@pytest.mark.parametrize("body", [complete, three_chunks])
def test_a_local_of_a_thread_that_travels_starts_empty_too(body: Any) -> None:
    ident.set_default("context")  # decided, so that what does not travel is not looked for
    local = Local(ident="thread", carry=True)
    local.value = "of the worker"

    class Setting(Stages):
        def __call__(self, environ: Any, start_response: StartResponse) -> Iterable[bytes]:
            assert not hasattr(local, "value")
            local.value = "of the request"
            return super().__call__(environ, start_response)

        def end(self, error: BaseException | None) -> None:
            self.threads.append(local.value)

    stages = Setting(body)
    server = Server(ContextMiddleware(stages))
    assert local.value == "of the worker"
    server.run()
    assert stages.threads == ["of the request"]
    assert local.value == "of the worker"


def test_the_strategy_may_change_between_two_requests() -> None:
    wrapped = ContextMiddleware(Stages(complete))
    for strategy in ("context", "thread", "context"):
        ident.set_default(strategy)
        assert Server(wrapped).run() == b"complete"
        assert not has_request_context()


FIRST_VALUE = """
    import asyncio
    from ctxlocal import Local, ident
    from ctxlocal.ident.travel import storages
    from ctxlocal.web import asgi, has_request_context, wsgi

    ident.set_default("thread")
    local = Local()

    def application(environ, start_response):
        local.value = 1
        return []

    async def asgi_application(scope, receive, send):
        local.value = 1

    assert not storages, "nothing follows the default yet"
    {enter}
    assert storages
    assert not hasattr(local, "value")
    assert not has_request_context()
    print("ok")
"""


@pytest.mark.parametrize(
    "enter",
    [
        "wsgi.ContextMiddleware(application)({}, print)",
        "asyncio.run(asgi.ContextMiddleware(asgi_application)({'type': 'http'}, None, None))",
    ],
)
def test_the_first_value_of_all_stays_inside(run_python: Callable[..., str], enter: str) -> None:
    assert run_python(FIRST_VALUE.format(enter=enter)) == "ok\n"


def test_context_variables_set_inside_stay_inside(strategy: str) -> None:
    var: ContextVar[str] = ContextVar("var", default="outside")

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        var.set("inside")
        yield b""
        yield var.get().encode()

    assert Server(ContextMiddleware(application)).run() == b"inside"
    assert var.get() == "outside"


def test_a_request_sees_no_variable_that_its_worker_kept(strategy: str) -> None:
    var: ContextVar[str] = ContextVar("var", default="empty")

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        yield var.get().encode()

    var.set("left by a server, or by middleware around")
    assert Server(ContextMiddleware(application)).run() == b"empty"


def test_a_request_inherits_foreign_variables_if_asked_to(strategy: str) -> None:
    var: ContextVar[str] = ContextVar("var")
    local = Local()

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        assert not hasattr(local, "value")
        yield var.get().encode()

    var.set("outer middleware")
    local.value = 1
    assert Server(ContextMiddleware(application, inherit=True)).run() == b"outer middleware"


def test_every_step_runs_in_the_frame_whatever_thread_runs_it(strategy: str) -> None:
    stages = Stages(three_chunks)
    server = Server(ContextMiddleware(stages))
    steps = iter(server.body)
    assert [in_thread(lambda: next(steps)) for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(StopIteration):
        next(steps)
    assert stages.ended == []
    in_thread(server.body.close)
    assert stages.ended == [None]
    assert not has_request_context()


def test_requests_of_a_thread_pool_do_not_mix(strategy: str) -> None:
    local = Local()
    barrier = threading.Barrier(8)

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        assert not hasattr(local, "number")
        local.number = g.number = environ["number"]
        start_response(OK, TEXT)
        barrier.wait()
        yield b"%d" % local.number
        barrier.wait()
        yield b" %d" % g.number

    wrapped = ContextMiddleware(application)

    def serve(number: int) -> bytes:
        return Server(wrapped, number=number).run()

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(serve, number) for number in range(64)]
        assert [job.result() for job in jobs] == [b"%d %d" % (n, n) for n in range(64)]
        left = [pool.submit(lambda: hasattr(local, "number")).result() for _ in range(16)]
    assert not any(left)


def test_a_request_inside_a_request_has_a_context_of_its_own(strategy: str) -> None:
    inner = ContextMiddleware(Stages(three_chunks))

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        g.name = "outer"
        context = current_request_context()
        body = Server(inner).run()
        assert (g.name, current_request_context()) == ("outer", context)
        start_response(OK, TEXT)
        yield body

    assert Server(ContextMiddleware(application)).run() == b"012"


@pytest.mark.parametrize(
    "hook",
    [
        "create_request",
        "create_url_adapter",
        "did_push_app_context",
        "did_pop_app_context",
        "do_teardown_request",
        "do_teardown_appcontext",
    ],
)
def test_a_subclass_may_have_a_single_hook(hook: str) -> None:
    seen: list[tuple[bool, bool]] = []

    def note(self: Any, *arguments: Any) -> None:
        seen.append((has_app_context(), has_request_context()))

    hooked: Any = type("Hooked", (ContextMiddleware,), {hook: note})
    derived = type("Derived", (hooked,), {})
    in_place = {
        "did_push_app_context": (True, False),
        "do_teardown_request": (True, True),
        "do_teardown_appcontext": (True, False),
    }
    for kind in (hooked, derived):
        assert Server(kind(without_a_teardown)).run() == b"complete"
    assert seen == [in_place.get(hook, (False, False))] * 2


def test_a_second_greenlet_under_the_thread_strategy_gets_a_clear_error() -> None:
    greenlet = pytest.importorskip("greenlet")
    ident.set_default("thread")
    main = greenlet.getcurrent()

    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        start_response(OK, TEXT)
        main.switch()
        return [b"ok"]

    wrapped = ContextMiddleware(application)
    first = greenlet.greenlet(lambda: Server(wrapped).run())
    first.switch()
    with pytest.raises(FrameBusyError, match=r"Use the greenlet strategy"):
        Server(wrapped)
    assert first.switch() == b"ok"


GREENLETS = """
    import {hub}
    {patch}
    from {event} import Event
    import ctxlocal
    from ctxlocal.web import g, has_request_context, on_teardown
    from ctxlocal.web.wsgi import ContextMiddleware
    ctxlocal.ident.set_default({strategy!r})
    ready = Event()
    ended = []

    def application(environ, start_response):
        assert not list(g), "something was left"
        g.number = environ["number"]
        on_teardown(lambda error: ended.append(g.number))
        start_response("200 OK", [])
        if environ["number"] == 9:
            ready.{set}()
        ready.wait()
        yield b"%d" % g.number
        {hub}.sleep(0)
        yield b"%d" % g.number

    wrapped = ContextMiddleware(application)

    def connection(first):
        # A keep-alive connection: one greenlet serves several requests.
        served = []
        for number in (first, first + 10):
            body = wrapped({{"number": number}}, lambda status, headers, exc_info=None: None)
            chunks = list(body)
            if number != 5:  # this one is abandoned
                body.close()
            del body
            served.append((number, chunks))
            assert not has_request_context()
        return served

    greenlets = [{hub}.spawn(connection, n) for n in range(10)]
    for greenlet in greenlets:
        for number, chunks in (greenlet.get() if hasattr(greenlet, "get") else greenlet.wait()):
            assert chunks == [b"%d" % number] * 2, (number, chunks)
    assert sorted(ended) == list(range(20)), ended
    assert not has_request_context()
    print("ok")
"""


@pytest.mark.parametrize("strategy", ["context", "greenlet", "gevent"])
@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"])
def test_greenlets_of_gevent(run_python: Callable[..., str], strategy: str, patch: str) -> None:
    pytest.importorskip("gevent")
    code = GREENLETS.format(
        hub="gevent", event="gevent.event", set="set", patch=patch, strategy=strategy
    )
    assert run_python(code) == "ok\n"


@pytest.mark.parametrize("strategy", ["context", "greenlet", "eventlet"])
def test_greenlets_of_eventlet(run_python: Callable[..., str], strategy: str) -> None:
    pytest.importorskip("eventlet")
    patch = "eventlet.monkey_patch()"
    code = GREENLETS.format(
        hub="eventlet", event="eventlet.event", set="send", patch=patch, strategy=strategy
    )
    assert run_python(code) == "ok\n"


# How a request ends


@pytest.mark.parametrize("body", [complete, three_chunks], ids=["complete", "streaming"])
def test_the_teardowns_run_once(strategy: str, body: Any) -> None:
    stages = Stages(body)
    server = Server(ContextMiddleware(stages))
    server.run()
    if body is three_chunks:
        server.body.close()
    assert stages.ended == [None]


def test_the_teardowns_of_a_stream_run_when_it_is_closed(strategy: str) -> None:
    stages = Stages(three_chunks)
    server = Server(ContextMiddleware(stages))
    assert next(iter(server.body)) == b"0"
    assert stages.ended == []
    server.body.close()  # the client hung up
    assert stages.ended == [None]
    assert not has_request_context()


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_an_abandoned_body_ends_its_request(strategy: str, steps: int) -> None:
    stages = Stages(three_chunks)
    server = Server(ContextMiddleware(stages))
    for _ in range(steps):
        next(server.body)
    del server.body
    assert stages.ended == [None]
    assert not has_request_context()


def test_an_abandoned_body_that_cannot_be_closed_is_logged(
    strategy: str, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(stages: Stages) -> Iterator[bytes]:
        try:
            yield b"first"
            yield b"second"
        finally:
            raise LookupError("closing")

    stages = Stages(failing)
    server = Server(ContextMiddleware(stages))
    next(server.body)
    del server.body
    assert stages.ended == [None]
    [record] = caplog.records
    beginning = "Ending the abandoned response to <RequestContext of "
    assert record.getMessage().startswith(beginning)
    assert "LookupError: closing" in (record.exc_text or "")


def test_an_abandoned_body_in_a_cycle_ends_with_the_garbage(strategy: str) -> None:
    stages = Stages(three_chunks)
    server = Server(ContextMiddleware(stages))
    cycle: list[Any] = [server.body]
    cycle.append(cycle)
    del server.body, cycle
    assert stages.ended == []
    in_thread(gc.collect)
    assert stages.ended == [None]


def test_close_during_a_step_ends_the_request_after_it(strategy: str) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def waiting(stages: Stages) -> Iterator[bytes]:
        yield b"first"
        inside.set()
        go_on.wait()
        assert stages.ended == []
        yield b"second"

    stages = Stages(waiting)
    server = Server(ContextMiddleware(stages))
    next(server.body)
    with ThreadPoolExecutor(1, "streaming") as pool:
        step = pool.submit(next, server.body)
        inside.wait()
        server.body.close()
        assert stages.ended == []
        go_on.set()
        assert step.result() == b"second"
    assert stages.ended == [None]
    assert stages.threads[0].startswith("streaming")


@pytest.mark.parametrize("before", [True, False], ids=["before", "while streaming"])
def test_an_application_that_raises_leaves_a_clean_worker(strategy: str, before: bool) -> None:
    def failing(stages: Stages) -> Iterator[bytes]:
        if not before:
            yield b"chunk"
        raise ZeroDivisionError

    stages = Stages(failing)
    wrapped = ContextMiddleware(stages)
    if before:
        with pytest.raises(ZeroDivisionError):
            Server(wrapped)
    else:
        server = Server(wrapped)
        assert next(server.body) == b"chunk"
        with pytest.raises(ZeroDivisionError):
            next(server.body)
        # The request has ended, whether or not the server closes the body now.
        assert len(stages.ended) == 1
        server.body.close()
    [error] = stages.ended
    assert isinstance(error, ZeroDivisionError)
    assert not has_request_context()
    stages.body = complete
    assert Server(wrapped).run() == b"complete"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_ends_the_request_too(strategy: str, kind: Any) -> None:
    def failing(stages: Stages) -> list[bytes]:
        raise kind

    stages = Stages(failing)
    with pytest.raises(kind):
        Server(ContextMiddleware(stages))
    assert [type(error) for error in stages.ended] == [kind]
    assert not has_request_context()


def test_the_bodys_close_runs_inside_and_before_the_teardowns(strategy: str) -> None:
    class Body:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def close(self) -> None:
            assert g.name == "of the request"
            assert stages.ended == []
            Body.closed += 1

    stages = Stages(lambda stages: Body())
    server = Server(ContextMiddleware(stages))
    assert server.run() == b"ab"
    server.body.close()
    assert (Body.closed, stages.ended) == (1, [None])


def test_a_body_that_never_reaches_the_server_is_closed(strategy: str) -> None:
    class Body:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            raise ZeroDivisionError

        def close(self) -> None:
            assert g.name == "of the request"
            Body.closed += 1

    stages = Stages(lambda stages: Body())
    with pytest.raises(ZeroDivisionError):
        Server(ContextMiddleware(stages))
    assert (Body.closed, len(stages.ended)) == (1, 1)


def test_a_close_that_raises_reaches_the_server_after_the_teardowns(strategy: str) -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            raise ZeroDivisionError

    stages = Stages(lambda stages: Body([b"a"]))
    server = Server(ContextMiddleware(stages))
    with pytest.raises(ZeroDivisionError):
        server.body.close()
    assert stages.ended == [None]


def test_teardowns_that_raise_are_logged_and_the_others_run(
    strategy: str, caplog: pytest.LogCaptureFixture
) -> None:
    ran = []

    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        on_teardown(lambda error: ran.append("first"))
        on_teardown(lambda error: 1 / 0)
        on_teardown(lambda error: ran.append("last"))
        start_response(OK, TEXT)
        return [b"fine"]

    with caplog.at_level(logging.ERROR, "ctxlocal.web.wsgi"):
        server = Server(ContextMiddleware(application))
    assert (server.status, server.run()) == (OK, b"fine")
    assert ran == ["last", "first"]
    [record] = caplog.records
    assert record.name == "ctxlocal.web.wsgi"
    assert record.getMessage().startswith("A teardown of <RequestContext of ")
    assert "ZeroDivisionError" in (record.exc_text or "")
    assert not has_request_context()


def test_nothing_of_a_request_stays_in_memory(strategy: str) -> None:
    class Value:
        """Something that can be seen to die."""

    kept: list[weakref.ref[Value]] = []

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        g.value = Value()
        kept.append(weakref.ref(g.value))
        start_response(OK, TEXT)
        yield b"a"
        yield b"b"

    server = Server(ContextMiddleware(application))
    server.run()
    del server
    assert kept[0]() is None


# What PEP 3333 asks for


@pytest.mark.parametrize("body", [complete, three_chunks], ids=["complete", "streaming"])
def test_the_validator_finds_nothing_on_either_side(strategy: str, body: Any) -> None:
    def answer(stages: Stages) -> Iterable[bytes]:
        return list(three_chunks(stages)) if body is complete else three_chunks(stages)

    application = validator(Stages(answer))
    # The validator's own body is no list; it has to be closed, which it checks.
    wrapped = validator(ContextMiddleware(application, new_sessions()))
    assert Server(wrapped).run() == b"012"


def test_wsgiref_serves_it() -> None:
    def serve(application: Any) -> bytes:
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        out = BytesIO()
        SimpleHandler(BytesIO(), out, BytesIO(), environ, multithread=False).run(application)  # type: ignore[arg-type]
        return out.getvalue()

    stages = Stages(complete)
    answer = serve(ContextMiddleware(stages, new_sessions()))
    assert b"Content-Length: 8\r\n" in answer  # the server could count the only chunk
    assert answer.endswith(b"\r\n\r\ncomplete")
    stages.body = three_chunks
    assert serve(ContextMiddleware(stages)).endswith(b"\r\n\r\n012")
    assert stages.ended == [None, None]


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_complete_body_reaches_the_server_as_it_is(kind: Any) -> None:
    chunks = kind([b"a", b"b"])
    server = Server(ContextMiddleware(Stages(lambda stages: chunks)))
    assert server.body is chunks


def test_the_servers_file_wrapper_reaches_the_server_as_it_is() -> None:
    file = FileWrapper(BytesIO(b"content"))
    stages = Stages(lambda stages: file)
    environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
    server = Server(ContextMiddleware(stages), **environ)
    assert server.body is file
    assert stages.ended == [None]
    assert server.run() == b"content"


def test_the_status_waits_for_the_first_chunk() -> None:
    events: list[str] = []

    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response("500 Too early", [])
        events.append("not told yet")
        assert server_events == []
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 An error page", TEXT, sys.exc_info())
        yield b"page"

    server_events: list[Any] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        server_events.append((status, exc_info and exc_info[0]))

    body = ContextMiddleware(application)({}, start)
    assert server_events == [("500 An error page", ZeroDivisionError)]
    assert list(body) == [b"page"]
    assert events == ["not told yet"]


def test_an_error_after_the_status_is_for_the_server_to_decide() -> None:
    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        yield b"first"
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Too late", TEXT, sys.exc_info())
        yield b"never"

    server = Server(ContextMiddleware(application))
    assert next(server.body) == b"first"
    with pytest.raises(ZeroDivisionError):
        next(server.body)
    assert server.events == [OK, "500 Too late"]
    assert not has_request_context()


@pytest.mark.parametrize("streams", [True, False])
def test_a_second_status_is_refused(streams: bool) -> None:
    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        if streams:
            yield b"chunk"
        start_response("404 Not Found", TEXT)
        yield b""

    message = (
        "start_response was called a second time without exc_info; PEP 3333 allows that in an "
        "error handler only, with sys.exc_info()."
    )

    with pytest.raises(AssertionError, match=f"^{re.escape(message)}$"):
        Server(ContextMiddleware(application)).run()


def test_write_sends_the_status_first() -> None:
    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        write = start_response(OK, TEXT)
        session["key"] = 1
        write(b"written, ")
        write(b"twice, ")
        return [b"returned"]

    server = Server(ContextMiddleware(application, new_sessions()))
    assert server.events == [OK, b"written, ", b"twice, "]
    assert server.run() == b"written, twice, returned"
    assert len(server.values("Set-Cookie")) == 1


def test_an_application_without_a_status_is_the_servers_affair() -> None:
    server = Server(ContextMiddleware(lambda environ, start_response: [b"no status"]))
    assert (server.events, server.body) == ([], [b"no status"])


def test_a_body_without_chunks_has_a_status() -> None:
    server = Server(ContextMiddleware(Stages(lambda stages: iter(()))))
    assert (server.run(), server.status) == (b"", OK)


# Sessions


def counting(environ: Any, start_response: StartResponse) -> list[bytes]:
    session["visits"] = session.get("visits", 0) + 1
    start_response(OK, TEXT)
    return [b"%d" % session["visits"]]


def test_the_session_comes_back_with_its_cookie(strategy: str) -> None:
    wrapped = ContextMiddleware(counting, new_sessions())
    first = Server(wrapped)
    assert first.run() == b"1"
    second = Server(wrapped, cookie_of(first))
    assert second.run() == b"2"
    assert Server(wrapped).run() == b"1"


def test_the_environ_has_the_session() -> None:
    seen = []

    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        seen.append(environ["ctxlocal.session"])
        assert session == environ["ctxlocal.session"]
        assert current_request_context().environ is environ
        start_response(OK, TEXT)
        return []

    Server(ContextMiddleware(application, new_sessions()))
    assert isinstance(seen[0], Session)


def test_a_session_changed_before_the_first_chunk_is_saved(strategy: str) -> None:
    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        session["visits"] = session.get("visits", 0) + 1
        yield b"%d" % session["visits"]

    wrapped = ContextMiddleware(application, new_sessions())
    first = Server(wrapped)
    assert first.values("Cache-Control") == ["no-store"]
    assert first.values("Vary") == ["Cookie"]
    assert Server(wrapped, cookie_of(first)).run() == b"2"


def test_r34_a_write_after_the_first_chunk_raises(strategy: str) -> None:
    def application(environ: Any, start_response: StartResponse) -> Iterator[bytes]:
        start_response(OK, TEXT)
        yield b"chunk"
        session["key"] = "too late"

    server = Server(ContextMiddleware(application, new_sessions()))
    assert next(server.body) == b"chunk"
    with pytest.raises(SessionClosedError):
        next(server.body)


def test_r20_a_first_look_after_the_first_chunk_raises(strategy: str) -> None:
    def stream(stages: Stages) -> Iterator[bytes]:
        yield b"chunk"
        with pytest.raises(SessionClosedError, match=r"^the session's first use after"):
            session.get("key")
        yield b"end"

    server = Server(ContextMiddleware(Stages(stream), new_sessions()))
    assert server.run() == b"chunkend"
    assert server.values("Vary") == []


def test_r6_an_untouched_session_leaves_no_trace() -> None:
    sessions = new_sessions()
    server = Server(ContextMiddleware(Stages(complete), sessions))
    assert server.headers == TEXT
    assert sessions.store.stats().sessions == 0  # type: ignore[union-attr]


def test_r20_a_read_varies_and_is_merged_into_what_is_there() -> None:
    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        headers = [*TEXT, ("Vary", "Accept")]
        session.get("key")
        start_response(OK, headers)
        assert headers == [*TEXT, ("Vary", "Accept")]  # the application's own list
        return []

    server = Server(ContextMiddleware(application, new_sessions()))
    assert "Cookie" in ", ".join(server.values("Vary"))
    assert "Accept" in ", ".join(server.values("Vary"))
    assert server.values("Set-Cookie") == []


@pytest.mark.parametrize("way", ["raised", "raised in the stream", "exc_info", "500"])
def test_r33_an_unhandled_exception_saves_nothing(way: str) -> None:
    def application(environ: Any, start_response: StartResponse) -> Iterable[bytes]:
        session["visits"] = 1
        if way == "500":  # as Flask and Django answer, outside of their ``except``
            start_response("500 Oops", TEXT)
            return [b"error page"]
        if way != "exc_info":
            start_response(OK, TEXT)
            if way == "raised":
                raise ZeroDivisionError
            return failing()
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", TEXT, sys.exc_info())
        return [b"error page"]

    def failing() -> Iterator[bytes]:
        raise ZeroDivisionError
        yield b""

    sessions = new_sessions()
    wrapped = ContextMiddleware(application, sessions)
    if way in ("exc_info", "500"):
        server = Server(wrapped)
        assert server.run() == b"error page"
        assert (server.values("Set-Cookie"), server.values("Vary")) == ([], ["Cookie"])
    else:
        with pytest.raises(ZeroDivisionError):
            Server(wrapped)
    assert sessions.store.stats().sessions == 0  # type: ignore[union-attr]


class DownSessions(StoredSessions[Any]):
    """Sessions whose store fails at the moment the test wants."""

    def save(self, session: Session) -> SessionHeaders:
        if session.accessed:
            raise StoreUnavailableError("the test's store", "commit")
        return super().save(session)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("where", ["call", "first chunk", "save"])
def test_r31_a_store_that_is_down_is_a_503(
    where: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(stages: Stages) -> Iterable[bytes]:
        if where == "call":
            raise StoreUnavailableError("the test's store", "load")
        if where == "first chunk":
            return stream()
        len(session)
        return [b"never sent"]

    def stream() -> Iterator[bytes]:
        raise StoreUnavailableError("the test's store", "load")
        yield b""

    stages = Stages(fail)
    with caplog.at_level(logging.ERROR, "ctxlocal.web.wsgi"):
        server = Server(
            ContextMiddleware(stages, DownSessions(MemoryStore())), REQUEST_METHOD=method
        )
    assert server.events == ["503 Service Unavailable"]
    assert server.values("Retry-After") == ["5"]
    assert server.values("Cache-Control") == ["no-store"]
    assert server.run() == (b"" if method == "HEAD" else b"The session store is unavailable.\n")
    assert [type(error) for error in stages.ended] == [StoreUnavailableError]
    assert len(caplog.records) == 1


class FailingStore(MemoryStore):
    """A store that is down."""

    def load(self, key: str) -> Record | None:
        raise StoreUnavailableError("the test's store", "load")


@pytest.mark.parametrize(
    ("touches", "status"), [(True, "503 Service Unavailable"), (False, "500 Oops")]
)
@pytest.mark.parametrize("streams", [False, True])
def test_r31_the_500_of_a_framework_is_a_503_if_the_store_was_the_reason(
    touches: bool, status: str, streams: bool
) -> None:
    closed = []

    class Page(list[bytes]):
        def close(self) -> None:
            closed.append(1)

    def application(environ: Any, start_response: StartResponse) -> Iterable[bytes]:
        with suppress(Exception):
            session.get("key") if touches else 1 / 0
        start_response("500 Oops", TEXT)
        return Page([b"error page"]) if streams else [b"error page"]

    wrapped = ContextMiddleware(application, StoredSessions(FailingStore()))
    server = Server(wrapped, "__Host-session=" + "A" * 43)
    server.run()
    assert server.events == [status]
    assert len(closed) == streams


class RefusingSessions(StoredSessions[Any]):
    """Sessions that cannot be saved."""

    error: SessionError

    def save(self, session: Session) -> SessionHeaders:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SessionConflictError(("a",)), "409 Conflict"),
        (SessionLimitError(3), "403 Forbidden"),
        (FreshLoginRequiredError(60), "403 Forbidden"),
        (CookieTooLargeError("session", 5000, 4096), None),
        (UnstorableValueError("a", "it is a set"), None),
    ],
)
def test_what_the_session_refuses_has_a_status_of_its_own(
    error: SessionError, status: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = RefusingSessions(MemoryStore())
    sessions.error = error
    stages = Stages(complete)
    wrapped = ContextMiddleware(stages, sessions)
    if status is None:  # a mistake in the program: the server's 500, and its log
        with pytest.raises(type(error)):
            Server(wrapped)
    else:
        server = Server(wrapped)
        assert (server.events, server.run()) == ([status], f"{error.answer}\n".encode())
        assert (server.values("Cache-Control"), server.values("Retry-After")) == (["no-store"], [])
        assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert stages.ended == [error]


def test_r31_pages_without_a_session_work_while_the_store_is_down() -> None:
    wrapped = ContextMiddleware(Stages(complete), DownSessions(MemoryStore()))
    assert Server(wrapped).run() == b"complete"


def test_r31_a_store_that_fails_while_streaming_is_an_error_of_the_stream() -> None:
    def failing(stages: Stages) -> Iterator[bytes]:
        yield b"chunk"
        raise StoreUnavailableError("the test's store", "load")

    stages = Stages(failing)
    server = Server(ContextMiddleware(stages, new_sessions()))
    next(server.body)
    with pytest.raises(StoreUnavailableError):
        next(server.body)
    assert len(stages.ended) == 1


def test_without_sessions_and_request_objects_the_proxies_say_so() -> None:
    messages = []

    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        for proxy in (session, request):
            with pytest.raises(UnboundError) as caught:
                len(proxy)  # type: ignore[arg-type]
            messages.append(str(caught.value))
        start_response(OK, TEXT)
        return []

    Server(ContextMiddleware(application))
    assert messages == [
        "This request context has no session: none is configured. Give the middleware a "
        "SessionInterface: ContextMiddleware(app, sessions=...).",
        "This request context has no request object: the middleware makes none. Use an App, or "
        "make one of what current_request_context().environ holds.",
    ]


def test_it_works_without_werkzeug(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import sys
        sys.modules["werkzeug"] = None
        from ctxlocal.web import g, session
        from ctxlocal.sessions.in_store.sessions import StoredSessions
        from ctxlocal.sessions.stores.memory import MemoryStore
        from ctxlocal.web.wsgi import ContextMiddleware

        def application(environ, start_response):
            session["key"] = g.key = "value"
            start_response("200 OK", [])
            return [g.key.encode()]

        wrapped = ContextMiddleware(application, StoredSessions(MemoryStore()))
        print(wrapped({}, lambda status, headers, exc_info=None: print(status, len(headers))))
        try:
            import ctxlocal.web.app
        except ImportError as error:
            print(error)
    """)
    assert printed.splitlines() == [
        "200 OK 3",
        "[b'value']",
        "ctxlocal.web.app needs werkzeug, which is not installed. "
        "Install it with: pip install werkzeug (ctxlocal's extra [web] has all it goes with).",
    ]


def test_a_middleware_may_open_sessions_of_its_own() -> None:
    opened = new_sessions().open("")

    class Own(ContextMiddleware):
        def open_session(self, context: RequestContext) -> Session | None:
            assert super().open_session(context) is None
            return opened

    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        start_response(OK, TEXT)
        assert current_request_context().session is opened
        assert unwrap(session) is opened
        return [b""]

    assert Server(Own(application)).run() == b""


def test_a_middleware_may_be_given_sessions_later() -> None:
    def application(environ: Any, start_response: StartResponse) -> list[bytes]:
        start_response(OK, TEXT)
        session["name"] = "ada"
        return [b""]

    middleware = ContextMiddleware(application)
    middleware.sessions = new_sessions()
    server = Server(middleware)
    assert server.run() == b""
    assert cookie_of(server)


class StartsAnew:
    """A body that may be iterated again, and is its own iterator."""

    def __iter__(self) -> StartsAnew:
        self.left = [b"c", b"b", b"a"]
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        return self.left.pop()


class BareIterator:
    """One that a ``for`` takes, though it cannot be iterated itself."""

    def __init__(self) -> None:
        self.left = [b"c", b"b", b"a"]

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        return self.left.pop()


class HasBareIterator:
    def __iter__(self) -> BareIterator:
        return BareIterator()


@pytest.mark.parametrize("body", [StartsAnew, HasBareIterator])
def test_a_body_is_asked_for_its_iterator_once(body: Any) -> None:
    def application(environ: Any, start_response: StartResponse) -> Any:
        start_response(OK, TEXT)
        return body()

    assert Server(ContextMiddleware(application)).run() == b"abc"
