"""Under ASGI the synchronous functions of a request run in one thread, its own for its length."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from ctxlocal._async_library import start_thread
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import request_thread, signals
from ctxlocal.web.app import App, Response, session
from ctxlocal.web.asgi.thread import _Job
from ctxlocal.web.context import (
    after_this_request,
    copy_current_request_context,
    current_request_context,
    g,
    on_teardown,
    request,
)
from ctxlocal.web.request_thread import RequestThread
from tests.support.patience import PATIENCE_S

from .asgi_client import Exchange, call, http_scope


@pytest.fixture
def app() -> Iterator[App]:
    made = App("tested", sessions=StoredSessions(MemoryStore(), cookie=Cookie.for_development()))
    made.executor = ThreadPoolExecutor(2)
    yield made
    made.executor.shutdown()  # waits for ever for a thread that was not given back


class Threads:
    """Notes in which thread each function of a request ran."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[str, int]]] = {}

    def note(self, name: str) -> None:
        g.path = g.get("path") or request.path  # a teardown of the application has no request
        self.of.setdefault(g.path, []).append((name, threading.get_ident()))

    def are_one_each(self) -> bool:
        here = threading.get_ident()
        found = [{ident for _, ident in noted} for noted in self.of.values()]
        return all(len(idents) == 1 and here not in idents for idents in found)


def use_everything(app: App, threads: Threads, kind: str) -> None:
    """Give the App synchronous functions of each sort around a view of a kind."""

    @app.before_first_request
    def first() -> None:
        threads.note("first")

    @app.before_request
    def before() -> None:
        threads.note("before")
        on_teardown(lambda error: threads.note("on_teardown"))

        @after_this_request
        def after_this(response: Response) -> Response:
            threads.note("after_this")
            return response

    @app.before_request
    async def before_async() -> None:
        await asyncio.sleep(0)

    def body() -> Iterator[str]:
        try:
            yield "a"
            threads.note("body")
            yield "b"
        finally:
            threads.note("closed")

    @app.get("/<name>")
    def view(name: str) -> Response:
        threads.note("view")
        if kind == "fail":
            raise LookupError
        response = Response(body())
        response.call_on_close(lambda: threads.note("on_close"))
        return response

    async def view_async(name: str) -> Response:
        await asyncio.sleep(0)
        return Response(body())

    if kind == "async":
        app.view_functions["view"] = view_async

    @app.errorhandler(LookupError)
    def handle(error: LookupError) -> Response:
        threads.note("handler")
        return Response(body())

    @app.after_request
    async def after_async(response: Response) -> Response:
        await asyncio.sleep(0)
        return response

    @app.after_request
    def after(response: Response) -> Response:
        threads.note("after")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        threads.note("teardown_request")

    @app.teardown_appcontext
    def teardown_app(error: BaseException | None) -> None:
        threads.note("teardown_appcontext")


@pytest.mark.parametrize("kind", ["sync", "async", "fail"])
def test_all_synchronous_functions_of_a_request_run_in_one_thread(app: App, kind: str) -> None:
    threads = Threads()
    use_everything(app, threads, kind)

    async def main() -> None:
        done = await asyncio.gather(*(call(app.asgi, f"/{n}") for n in range(20)))
        assert {(exchange.status, exchange.body) for exchange in done} == {(200, b"ab")}

    asyncio.run(main())
    assert len(threads.of) == 20
    assert threads.are_one_each()
    ran = {name for noted in threads.of.values() for name, _ in noted}
    expected = {"first", "before", "on_teardown", "after_this", "body", "closed", "after"}
    expected |= {"teardown_request", "teardown_appcontext"}
    expected |= {"sync": {"view", "on_close"}, "async": set(), "fail": {"view", "handler"}}[kind]
    assert ran == expected


SENT = (
    "appcontext_pushed",
    "request_started",
    "got_request_exception",
    "request_finished",
    "request_tearing_down",
    "appcontext_tearing_down",
    "appcontext_popped",
)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_receivers_of_signals_run_in_the_thread_of_their_request(app: App, kind: str) -> None:
    heard = []

    def listen(name: str) -> Callable[..., None]:
        return lambda sender, **arguments: heard.append((name, threading.get_ident()))

    receivers = [listen(name) for name in SENT]  # signals refer to them weakly
    for name, receiver in zip(SENT, receivers, strict=True):
        getattr(signals, name).connect(receiver, app)

    @app.get("/")
    def view() -> str:
        raise LookupError

    async def view_async() -> str:
        raise LookupError

    if kind == "async":
        app.view_functions["view"] = view_async
    assert asyncio.run(call(app.asgi)).status == 500
    assert tuple(name for name, _ in heard) == SENT
    assert len({ident for _, ident in heard} - {threading.get_ident()}) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_connection_of_sqlite_lives_as_long_as_its_request(
    app: App, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    @app.before_request
    def connect() -> None:
        g.db = sqlite3.connect(":memory:")

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        g.db.close()

    @app.get("/")
    def view() -> str:
        return str(g.db.execute("select 1").fetchone()[0])

    async def view_async() -> str:
        await asyncio.sleep(0)
        return "1"

    if kind == "async":
        app.view_functions["view"] = view_async

    async def main() -> None:
        done = await asyncio.gather(*(call(app.asgi) for _ in range(20)))
        assert {exchange.body for exchange in done} == {b"1"}

    asyncio.run(main())
    assert caplog.records == []


def test_no_other_request_comes_between(app: App) -> None:
    """What a library keeps for its thread is the request's as long as that lasts."""
    kept = threading.local()
    everybody = asyncio.Barrier(9) if hasattr(asyncio, "Barrier") else None

    @app.before_request
    def before() -> None:
        assert not hasattr(kept, "path")
        kept.path = request.path

    @app.get("/<name>")
    async def view(name: str) -> str:
        if everybody is not None:
            await everybody.wait()
        return ""

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        assert kept.path == request.path
        del kept.path

    async def main() -> None:
        done = await asyncio.gather(*(call(app.asgi, f"/{n}") for n in range(9)))
        assert {exchange.status for exchange in done} == {200}

    asyncio.run(main())


def test_a_request_without_synchronous_functions_takes_no_thread(app: App) -> None:
    taken = []

    class Watched(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            taken.append(args)
            return super().submit(*args, **kwargs)

    app.executor.shutdown()
    app.executor = Watched(1)

    @app.before_request
    async def before() -> None: ...

    @app.get("/")
    async def view() -> AsyncIterator[str]:
        async def body() -> AsyncIterator[str]:
            yield "done"

        return body()

    assert asyncio.run(call(app.asgi)).body == b"done"
    assert taken == []


def test_threads_are_no_more_than_the_executor_has_for_synchronous_requests(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_thread, "AWAY_S", 60.0)  # however busy the machine is
    seen = set()

    @app.before_request
    def before() -> None:
        seen.add(threading.get_ident())

    @app.get("/")
    def view() -> str:
        session["n"] = session.get("n", 0) + 1
        return ""

    @app.teardown_request
    def teardown(error: BaseException | None) -> None: ...

    async def main() -> None:
        await asyncio.gather(*(call(app.asgi) for _ in range(50)))

    asyncio.run(main())
    assert len(seen) <= 2


def test_requests_that_hold_threads_may_wait_for_those_that_have_none(app: App) -> None:
    everybody = threading.Barrier(12)

    async def arrived() -> None:
        await asyncio.wrap_future(start_thread(lambda: everybody.wait(PATIENCE_S)))

    @app.before_request
    def before() -> None:
        g.thread = threading.get_ident()

    @app.get("/")
    async def view() -> str:
        await arrived()
        return ""

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        assert g.thread == threading.get_ident()

    async def main() -> None:
        done = await asyncio.gather(*(call(app.asgi) for _ in range(12)))
        assert {exchange.status for exchange in done} == {200}

    asyncio.run(main())


def test_a_client_that_does_not_read_keeps_no_thread_from_others(app: App) -> None:
    go_on = asyncio.Event()

    @app.get("/")
    def view() -> str:
        on_teardown(lambda error: None)
        return "x"

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def send_late(message: Any) -> None:
            await go_on.wait()
            await send(message)

        await app.asgi_app(scope, receive, send_late)

    async def main() -> None:
        slow_ones = [Exchange(slow, http_scope(), {"type": "http.request"}) for _ in range(3)]
        tasks = [exchange.start() for exchange in slow_ones]
        assert (await asyncio.wait_for(call(app.asgi), PATIENCE_S)).body == b"x"
        go_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


# Functions that call others


def test_a_function_may_run_an_event_loop_that_calls_others(app: App) -> None:
    threads = Threads()

    async def nested() -> str:
        await asyncio.sleep(0)
        await current_request_context().call(threads.note, "inner")
        await current_request_context().call(nested_async)
        return "done"

    async def nested_async() -> None:
        await asyncio.sleep(0)

    @app.get("/")
    def view() -> str:
        threads.note("view")
        return asyncio.run(nested())

    assert asyncio.run(call(app.asgi)).body == b"done"
    assert threads.are_one_each()


def test_a_function_may_wait_for_a_coroutine_in_the_server_s_loop(app: App) -> None:
    async def nested() -> str:
        await current_request_context().call(int)
        return "done"

    async def main() -> None:
        loop = asyncio.get_running_loop()

        @app.get("/")
        def view() -> str:
            copied = copy_current_request_context(nested)
            context = current_request_context()

            async def outer() -> str:
                await context.call(int)
                return "done"

            assert copied is not None
            return asyncio.run_coroutine_threadsafe(outer(), loop).result(PATIENCE_S)

        assert (await call(app.asgi)).body == b"done"

    asyncio.run(main())


def test_functions_may_make_requests_of_their_own_whatever_the_limit(app: App) -> None:
    inside = threading.Barrier(2)

    @app.get("/outer")
    def outer() -> bytes:
        inside.wait(PATIENCE_S)  # both threads of the executor are taken
        return asyncio.run(call(app.asgi, "/inner")).body

    @app.get("/inner")
    def inner() -> str:
        return "inner"

    async def main() -> None:
        done = await asyncio.gather(*(call(app.asgi, "/outer") for _ in range(2)))
        assert [exchange.body for exchange in done] == [b"inner", b"inner"]

    asyncio.run(main())


def test_an_asynchronous_hook_may_call_synchronous_functions(app: App) -> None:
    threads = Threads()

    @app.before_request
    def before() -> None:
        threads.note("before")

    @app.before_request
    async def before_async() -> None:
        await asyncio.sleep(0)
        await current_request_context().call(threads.note, "called")

    @app.get("/")
    def view() -> str:
        threads.note("view")
        return ""

    assert asyncio.run(call(app.asgi)).status == 200
    assert [name for name, _ in threads.of["/"]] == ["before", "called", "view"]
    assert threads.are_one_each()


def test_a_synchronous_view_may_return_a_coroutine(app: App) -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return request.path

    @app.get("/")
    def view() -> Any:
        return later()

    assert asyncio.run(call(app.asgi)).body == b"/"


def test_what_is_called_after_the_end_gives_its_thread_back(app: App) -> None:
    calls: list[Any] = []

    @app.get("/")
    def view() -> str:
        calls.append(current_request_context().call)
        return ""

    async def main() -> None:
        await call(app.asgi)
        assert await calls[0](int) == 0

    asyncio.run(main())


# How a request ends


def test_an_asynchronous_hook_that_is_cancelled_ends_the_flow_in_the_thread(app: App) -> None:
    events: list[Any] = []

    @app.before_request
    def before() -> None:
        g.thread = threading.get_ident()

    @app.before_request
    async def wait() -> None:
        events.append("waiting")
        await asyncio.Event().wait()

    @app.get("/")
    def view() -> str:
        raise AssertionError("not called")

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append((type(error), g.thread == threading.get_ident()))

    async def main() -> None:
        task = Exchange(app.asgi, http_scope(), {"type": "http.request"}).start()
        while not events:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    app.executor.shutdown()
    assert events == ["waiting", (asyncio.CancelledError, True)]


def test_a_request_that_is_dropped_ends_in_its_thread(app: App) -> None:
    events: list[Any] = []

    @app.before_request
    def before() -> None:
        g.thread = threading.get_ident()

    @app.get("/")
    async def view() -> str:
        events.append("view")
        await asyncio.Event().wait()
        return ""

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append((type(error), g.thread == threading.get_ident()))

    async def main() -> None:
        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None: ...

        coroutine = app.asgi_app(http_scope(), receive, send)
        driven = coroutine.__await__()
        while not events:  # drive it by hand, so that nothing else refers to it
            awaited = driven.send(None)
            while not events and awaited is not None and not awaited.done():
                await asyncio.sleep(0)
        driven.close()

    asyncio.run(main())
    gc.collect()
    app.executor.shutdown()
    assert events == ["view", (GeneratorExit, True)]


@pytest.mark.parametrize("where", ["before", "view", "after", "teardown", "body", "close"])
def test_the_thread_is_given_back_whatever_raises(
    app: App, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    def fail_in(place: str) -> None:
        if where == place:
            raise LookupError(place)

    @app.before_request
    def before() -> None:
        fail_in("before")

    def body() -> Iterator[str]:
        try:
            yield "a"
            fail_in("body")
        finally:
            fail_in("close")

    @app.get("/")
    def view() -> Response:
        fail_in("view")
        return Response(body())

    @app.after_request
    def after(response: Response) -> Response:
        fail_in("after")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        fail_in("teardown")

    async def main() -> None:
        for _ in range(5):  # more than the executor has threads
            try:
                await asyncio.wait_for(call(app.asgi), PATIENCE_S)
            except LookupError:
                assert where in ("body", "close")

    asyncio.run(main())


def test_the_interpreter_ends_though_a_request_holds_a_thread() -> None:
    program = """
import asyncio, threading
from ctxlocal.web import App
app = App("x")
begun = threading.Event()
@app.before_request
def before(): pass
@app.get("/")
async def view():
    begun.set()
    await asyncio.Event().wait()
async def main():
    async def receive(): return {"type": "http.request"}
    async def send(message): pass
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await app.asgi(scope, receive, send)
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
assert begun.wait(20)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_S, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


# Sessions


class Asynchronous(StoredSessions[Any]):
    """Saves in a way of its own, which needs the event loop."""

    async def save_async(self, session: Session) -> SessionHeaders:
        await asyncio.sleep(0)
        return await super().save_async(session)


@pytest.mark.parametrize("kind", [StoredSessions, Asynchronous])
def test_a_session_is_saved_where_its_interface_can(app: App, kind: Any) -> None:
    app.session_interface = kind(MemoryStore(), cookie=Cookie.for_development())

    @app.get("/")
    def view() -> str:
        session["a"] = 1
        return ""

    exchange = asyncio.run(call(app.asgi))
    assert (exchange.status, len(exchange.header("set-cookie"))) == (200, 1)


def test_a_step_that_was_overridden_has_the_event_loop(app: App) -> None:
    class Own(App):
        async def dispatch_request_async(self) -> Any:
            await asyncio.sleep(0)
            return await super().dispatch_request_async()

    own = Own("own")

    @own.before_request
    def before() -> None: ...

    @own.get("/")
    def view() -> str:
        return "own"

    assert asyncio.run(call(own.asgi)).body == b"own"
    own.executor.shutdown()


def test_functions_of_the_lifespan_run_in_one_thread(app: App) -> None:
    seen = []
    for _ in range(3):
        app.on_startup(lambda: seen.append(threading.get_ident()))

    async def main() -> None:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        await Exchange(app.asgi, {"type": "lifespan"}, *messages).run()

    asyncio.run(main())
    assert len(set(seen)) == 1


def test_a_coroutine_that_its_request_did_not_come_to_is_closed() -> None:
    """Else the warning that nobody awaited it comes wherever the next collection is."""

    async def late() -> None:
        raise AssertionError

    with ThreadPoolExecutor(1) as executor:
        thread = RequestThread(executor)
        coroutine, job = late(), _Job(lambda: None)
        thread.give_back()  # as at the end of a request whose task was cancelled meanwhile
        with pytest.raises(SystemExit):
            job.ask(coroutine, thread)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


@pytest.mark.parametrize("is_late", [False, True])
def test_a_coroutine_that_an_abandoned_call_returns_is_closed(is_late: bool) -> None:
    async def late() -> None:
        raise AssertionError

    def function() -> Any:
        if is_late:  # its task is cancelled while it runs
            job.abandon()
        return coroutine

    coroutine, job = late(), _Job(function)
    job.work()
    job.abandon()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_the_error_of_a_call_is_gone_with_who_caught_it() -> None:
    """And with it all locals of its traceback: nothing waits for the garbage collector."""

    class FailedError(Exception):
        def __init__(self) -> None:
            errors.append(weakref.ref(self))

    def fail() -> None:
        raise FailedError

    def ask() -> None:
        job = _Job(fail)
        job.work()
        with suppress(FailedError):
            job.outcome()

    errors: list[weakref.ref[FailedError]] = []
    gc.disable()
    try:
        ask()
        assert errors[0]() is None
    finally:
        gc.enable()


class Refuses(ThreadPoolExecutor):
    """One that takes no more work, as after its shutdown."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no more")


def test_what_an_executor_refuses_does_not_wait_for_a_thread() -> None:
    with Refuses(1) as executor:
        thread = RequestThread(executor)
        with pytest.raises(RuntimeError, match=r"^no more$"):
            thread.submit(lambda: None)
        assert not thread._desk._waiting


def lent(executor: ThreadPoolExecutor, count: int) -> list[RequestThread]:
    """Return so many requests that have a thread of the executor, all at once."""
    threads = [RequestThread(executor) for _ in range(count)]
    everybody = threading.Barrier(count + 1)
    for thread in threads:
        thread.submit(lambda: everybody.wait(PATIENCE_S) and None)
    everybody.wait(PATIENCE_S)
    return threads


def gone_away(thread: RequestThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return when the request has left its thread unused, and others may have one for it."""
    away, went_away = threading.Event(), thread._desk.went_away

    def note() -> None:
        went_away()
        away.set()

    monkeypatch.setattr(thread._desk, "went_away", note)
    thread.is_unused = True
    assert away.wait(PATIENCE_S)


def test_a_new_request_has_a_thread_beside_one_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadPoolExecutor(1) as executor:
        (first,) = lent(executor, 1)
        gone_away(first, monkeypatch)
        second, done = RequestThread(executor), threading.Event()
        second.submit(done.set)
        assert done.wait(PATIENCE_S)
        for each in (first, second):
            each.give_back()


def test_a_new_request_has_the_executors_own_thread_where_one_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[threading.Thread] = []
    with ThreadPoolExecutor(2) as executor:
        first, second = lent(executor, 2)
        second.give_back()
        executor.submit(lambda: None).result(PATIENCE_S)  # by the thread that is free again
        gone_away(first, monkeypatch)
        monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
        third, done = RequestThread(executor), threading.Event()
        third.submit(done.set)
        assert done.wait(PATIENCE_S)
        monkeypatch.undo()
        for each in (first, third):
            each.give_back()
    assert started == []
