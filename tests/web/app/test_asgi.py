"""The App as an ASGI application: the flow, threads for what is synchronous, and every end."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from inspect import iscoroutinefunction
from io import BytesIO
from typing import Any

import anyio
import pytest
import uvloop
from werkzeug.exceptions import Forbidden

import ctxlocal
from ctxlocal import Local, LocalStack
from ctxlocal._async_library import library
from ctxlocal.sessions import SignedCookieSessions
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import SessionClosedError, StoreUnavailableError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web.app import App, Response, abort
from ctxlocal.web.asgi.environ import IN_MEMORY, environ_of
from ctxlocal.web.context import (
    after_this_request,
    current_app,
    current_request_context,
    g,
    has_request_context,
    on_teardown,
    request,
    session,
)
from tests.support.patience import PATIENCE_S

from ..asgi_client import Exchange, call, cookie_of, http_scope, websocket_scope

foreign: ContextVar[str] = ContextVar("foreign")


class Owner:
    """What the callable strategy of these tests returns."""


_owners: dict[int, Owner] = {}


def owner_of_thread() -> Owner:
    return _owners.setdefault(threading.get_ident(), Owner())


DEFAULTS: dict[str, Any] = {
    "context": "context",
    "thread": "thread",
    "greenlet": "greenlet",
    "task": "task",
    "callable": owner_of_thread,
}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=DEFAULTS)
def default(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each strategy as the application's default."""
    ctxlocal.ident.set_default(DEFAULTS[request.param])
    yield request.param
    _owners.clear()


@pytest.fixture
def app() -> Iterator[App]:
    made = App("tested", sessions=StoredSessions(MemoryStore(), cookie=Cookie.for_development()))
    yield made
    made.executor.shutdown()


def run(coroutine: Any, loop_name: str = "asyncio") -> Any:
    """Run on a loop of its own, closed afterwards."""
    loop = LOOPS[loop_name]()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def records(app: App) -> int:
    """Count the stored sessions."""
    store = app.session_interface.store  # type: ignore[attr-defined]
    assert isinstance(store, MemoryStore)
    return store.stats().sessions


# The flow


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_views_and_hooks_of_both_kinds_have_the_request(
    app: App, default: str, kind: str, loop: str
) -> None:
    threads = []

    def hook() -> None:
        threads.append(threading.get_ident())
        g.hooked = request.path
        session["n"] = session.get("n", 0) + 1

    def view(name: str) -> str:
        threads.append(threading.get_ident())
        assert has_request_context()
        return f"{name} {g.hooked} {session['n']} {request.args['q']} {current_app.name}"

    async def async_hook() -> None:
        hook()

    async def async_view(name: str) -> str:
        await asyncio.sleep(0)
        return view(name)

    app.before_request(hook if kind == "sync" else async_hook)
    app.add_url_rule("/<name>", "view", view if kind == "sync" else async_view)

    async def main() -> None:
        first = await call(app.asgi, "/a", query_string=b"q=1")
        assert (first.status, first.body) == (200, b"a /a 1 1 tested")
        second = await call(app.asgi, "/b", query_string=b"q=2", cookie=cookie_of(first))
        assert second.body == b"b /b 2 2 tested"
        here = threading.get_ident()
        assert all((thread == here) == (kind == "async") for thread in threads)
        assert not has_request_context()

    run(main(), loop)


def test_concurrent_requests_are_kept_apart(app: App, default: str) -> None:
    local = Local()
    barrier = threading.Barrier(4)

    @app.get("/<name>")
    def view(name: str) -> str:
        assert not hasattr(local, "value")
        local.value = g.name = name
        barrier.wait(PATIENCE_S)
        return f"{local.value} {g.name} {request.path}"

    app.executor = ThreadPoolExecutor(4)

    async def main() -> None:
        done = await asyncio.gather(*(call(app.asgi, f"/{n}") for n in range(4)))
        assert [e.body for e in done] == [f"{n} {n} /{n}".encode() for n in range(4)]
        assert not hasattr(local, "value")

    run(main())


def test_what_a_synchronous_function_sets_is_seen_by_the_asynchronous_ones(
    app: App, default: str
) -> None:
    local, stack = Local(), LocalStack[str]()
    seen: list[Any] = []

    @app.before_request
    async def before() -> None:
        local.kept = local.removed = local.changed = "before"
        stack.push("before")
        foreign.set("before")

    @app.get("/<outcome>")
    def view(outcome: str) -> str:
        seen.append((local.kept, local.removed, local.changed, stack.top, foreign.get()))
        del local.removed
        local.changed = local.added = "view"
        stack.push("view")
        foreign.set("view")
        if outcome == "fail":
            raise LookupError
        return ""

    @app.errorhandler(LookupError)
    async def handle(error: LookupError) -> str:
        look()
        return ""

    @app.after_request
    async def after(response: Response) -> Response:
        look()
        return response

    def look() -> None:
        seen.append((dict(local), stack.pop(), stack.top, foreign.get()))
        stack.push("view")

    values = {"kept": "before", "changed": "view", "added": "view"}
    for path in ("/pass", "/fail"):
        seen.clear()
        assert run(call(app.asgi, path)).status == 200
        assert seen[0] == ("before",) * 5
        assert seen[1:] == [(values, "view", "before", "view")] * (2 if path == "/fail" else 1)


def test_a_value_deleted_whole_is_gone_afterwards(app: App, default: str) -> None:
    local, stack = Local(), LocalStack[str]()

    @app.before_request
    async def before() -> None:
        local.value = 1
        stack.push("only")

    @app.get("/")
    def view() -> str:
        ctxlocal.release_local(local)
        stack.pop()
        return ""

    @app.after_request
    async def after(response: Response) -> Response:
        assert not hasattr(local, "value")
        assert stack.top is None
        return response

    assert run(call(app.asgi)).status == 200


def test_the_loop_goes_on_while_a_view_runs_in_its_thread(app: App) -> None:
    go_on = threading.Event()

    @app.get("/wait")
    def wait() -> str:
        assert go_on.wait(PATIENCE_S)
        return "waited"

    @app.get("/go")
    async def go() -> str:
        go_on.set()
        return "went"

    async def main() -> None:
        waiting = asyncio.create_task(call(app.asgi, "/wait"))
        await asyncio.sleep(0)
        assert (await call(app.asgi, "/go")).body == b"went"
        assert (await waiting).body == b"waited"

    run(main())


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, ValueError])
def test_any_exception_of_a_synchronous_view_is_a_500(app: App, error: type[Exception]) -> None:
    @app.get("/")
    def view() -> str:
        raise error

    assert run(call(app.asgi)).status == 500


def test_task_groups_and_timeouts_work_in_views(app: App, default: str) -> None:
    @app.get("/")
    async def view() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        with anyio.move_on_after(0) as scope:
            await anyio.Event().wait()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0)
        assert await anyio.to_thread.run_sync(int) == 0
        return f"{scope.cancelled_caught} {request.path}"

    assert run(call(app.asgi)).body == b"True /"


def test_first_request_functions_run_once_for_concurrent_first_requests(app: App) -> None:
    ran = []

    @app.before_first_request
    def first() -> None:
        ran.append(1)

    @app.get("/")
    async def view() -> str:
        return ""

    async def main() -> None:
        await asyncio.gather(*(call(app.asgi) for _ in range(8)))

    run(main())
    assert ran == [1]


def test_an_app_tells_its_callers_apart(app: App) -> None:
    @app.get("/")
    def view() -> str:
        return "both"

    def start_response(*args: Any) -> Callable[[bytes], object]:
        return lambda data: None

    environ = {**environ_of(http_scope()), "wsgi.input": None}
    assert b"".join(app(environ, start_response)) == b"both"
    assert run(call(app)).body == b"both"
    assert run(call(app.asgi_app)).body == b"both"
    assert iscoroutinefunction(type(app.asgi).__call__)  # what servers look at


# Sessions


def test_r20_r21_r34_headers_and_the_end_of_writing(app: App) -> None:
    @app.get("/untouched")
    async def untouched() -> str:
        return ""

    @app.get("/read")
    def read() -> str:
        return str("a" in session)

    @app.get("/write")
    def write() -> Response:
        session["a"] = 1
        return Response("", headers={"Cache-Control": "public", "Vary": "Accept"})

    @app.get("/late")
    async def late() -> AsyncIterator[str]:
        return chunks()

    async def chunks() -> AsyncIterator[str]:
        with pytest.raises(SessionClosedError):
            session["late"] = 1
        yield "done"

    async def main() -> None:
        untouched, read, write, late = [
            await call(app.asgi, path) for path in ("/untouched", "/read", "/write", "/late")
        ]
        assert untouched.header("vary") == untouched.header("set-cookie") == []
        assert (read.header("vary"), read.header("set-cookie")) == (["Cookie"], [])
        assert write.header("vary") == ["Accept, Cookie"]
        assert write.header("cache-control") == ["no-store"]
        assert len(write.header("set-cookie")) == 1
        assert late.body == b"done"

    run(main())


def test_r33_an_unhandled_exception_saves_nothing_and_an_answer_saves(app: App) -> None:
    @app.get("/<what>")
    def view(what: str) -> str:
        session["a"] = 1
        if what == "abort":
            abort(404)
        raise ZeroDivisionError if what == "handled" else LookupError

    @app.errorhandler(ZeroDivisionError)
    async def handle(error: ZeroDivisionError) -> tuple[str, int]:
        return "handled", 400

    async def main() -> None:
        assert (await call(app.asgi, "/unhandled")).status == 500
        assert records(app) == 0
        assert (await call(app.asgi, "/handled")).status == 400
        assert (await call(app.asgi, "/abort")).status == 404
        assert records(app) == 2

    run(main())


class _Down(StoredSessions[Any]):
    moment = ""

    async def open_async(self, cookies: str) -> Session:
        if self.moment == "open":
            raise StoreUnavailableError("memory", "load")
        return await super().open_async(cookies)

    async def save_async(self, session: Session) -> Any:
        if self.moment == "save":
            raise StoreUnavailableError("memory", "commit")
        return await super().save_async(session)


class _AtOnce(SignedCookieSessions):
    """Sessions that are opened and saved at once, if the App asks for that."""

    async def open_async(self, cookies: str) -> Session:
        raise AssertionError("it could be opened at once")

    def open_at_once(self, cookies: str) -> Session:
        return self.open(cookies)

    async def save_async(self, session: Session) -> SessionHeaders:
        raise AssertionError("it could be saved at once")

    def save_at_once(self, session: Session) -> SessionHeaders:
        return self.save(session)


def test_sessions_that_wait_for_nothing_are_not_awaited(app: App) -> None:
    app.session_interface = _AtOnce("k" * 32, cookie=Cookie.for_development())

    @app.get("/")
    async def view() -> str:
        session["seen"] = session.get("seen", 0) + 1
        return str(session["seen"])

    first = run(call(app.asgi))
    again = run(call(app.asgi, cookie=cookie_of(first)))
    assert (first.body, again.body) == (b"1", b"2")


@pytest.mark.parametrize("moment", ["open", "save"])
def test_r31_a_store_that_is_down_is_a_503(app: App, moment: str) -> None:
    down = app.session_interface = _Down(MemoryStore(), cookie=Cookie.for_development())
    down.moment = moment
    ended = []

    @app.get("/")
    async def view() -> str:
        session["a"] = 1
        return "fine"

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        ended.append(type(error))

    exchange = run(call(app.asgi))
    assert exchange.status == 503
    assert exchange.header("cache-control") == ["no-store"]
    assert exchange.header("retry-after") == ["5"]
    assert ended == [StoreUnavailableError]


def test_r31_the_page_for_a_store_that_is_down_has_a_session_that_is_empty(app: App) -> None:
    down = app.session_interface = _Down(MemoryStore(), cookie=Cookie.for_development())
    down.moment = "open"

    @app.errorhandler(503)
    def page(error: object) -> tuple[str, int]:
        return f"{session.is_null}, {dict(session)}", 503

    assert run(call(app.asgi)).body == b"True, {}"


# Bodies of requests


def test_a_form_is_read_in_views_of_both_kinds(app: App) -> None:
    @app.post("/sync")
    def sync() -> str:
        return request.form["name"]

    @app.post("/async")
    async def asynchronous() -> str:
        return request.form["name"]

    kind = (("content-type", "application/x-www-form-urlencoded"),)
    for path in ("/sync", "/async"):
        assert run(call(app.asgi, path, "POST", body=b"name=Ada", headers=kind)).body == b"Ada"


def test_a_large_body_goes_to_a_file_and_comes_in_any_number_of_messages(app: App) -> None:
    files = []

    @app.post("/")
    def view() -> str:
        files.append(request.environ["wsgi.input"])
        data = request.get_data()
        return f"{len(data)} {data[:1]!r} {data[-1:]!r} {request.content_length}"

    chunks = [b"a" * IN_MEMORY, b"b" * 1000, b"c"]
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": c, "more_body": True} for c in chunks
    ]
    scope = http_scope(method="POST", headers=(("transfer-encoding", "chunked"),))
    exchange = run(Exchange(app.asgi, scope, *messages, {"type": "http.request"}).run())
    assert exchange.body == f"{IN_MEMORY + 1001} b'a' b'c' {IN_MEMORY + 1001}".encode()
    assert files[0].closed


def test_a_large_body_that_comes_at_once_goes_to_a_file(app: App) -> None:
    files = []

    @app.post("/")
    def view() -> str:
        files.append(request.environ["wsgi.input"])
        return f"{len(request.get_data())}"

    for size in (0, 1, IN_MEMORY, IN_MEMORY + 1):
        message = {"type": "http.request", "body": b"a" * size}
        exchange = run(Exchange(app.asgi, http_scope(method="POST"), message).run())
        assert exchange.body == str(size).encode()
    assert [isinstance(file, BytesIO) for file in files] == [True, True, True, False]
    assert all(file.closed for file in files)


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_a_413_that_can_be_handled(
    app: App, announced: bool, is_last: bool
) -> None:
    class Small(app.request_class):  # type: ignore[misc,name-defined]
        max_content_length = 10

    app.request_class = Small

    @app.post("/")
    def view() -> str:
        raise AssertionError("not called")

    @app.errorhandler(413)
    def handle(error: Exception) -> tuple[str, int]:
        return f"too large for {request.path}", 413

    headers = (("content-length", "11"),) if announced else ()
    scope = http_scope(method="POST", headers=headers)
    message = {"type": "http.request", "body": b"x" * 11, "more_body": not is_last}
    exchange = Exchange(app.asgi, scope, message)
    run(exchange.run())
    assert (exchange.status, exchange.body) == (413, b"too large for /")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_as_large_as_the_limit_is_read_to_its_end(app: App, announced: bool) -> None:
    class Small(app.request_class):  # type: ignore[misc,name-defined]
        max_content_length = 10

    app.request_class = Small

    @app.post("/")
    def view() -> str:
        return f"{len(request.get_data())} {request.environ['wsgi.input_terminated']}"

    headers = (("content-length", "10"),) if announced else ()
    parts = [
        {"type": "http.request", "body": b"x" * 5, "more_body": more} for more in (True, False)
    ]
    scope = http_scope(method="POST", headers=headers)
    assert run(Exchange(app.asgi, scope, *parts).run()).body == b"10 True"


def test_a_client_that_goes_while_it_sends_gets_nothing(app: App) -> None:
    @app.post("/")
    def view() -> str:
        raise AssertionError("not called")

    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert run(Exchange(app.asgi, http_scope(method="POST"), *messages).run()).sent == []


def test_the_environ_of_a_scope() -> None:
    environ = environ_of(
        http_scope(
            "/mount/ü",
            root_path="/mount",
            raw_path=b"/mount/%C3%BC",
            query_string=b"a=%20",
            headers=(
                ("host", "example.org"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("accept", "x"),
                ("accept", "y"),
                ("x_user", "spoofed"),
                ("x-user", "real"),
                ("content-type", "text/plain"),
            ),
        )
    )
    assert environ["SCRIPT_NAME"] == "/mount"
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/ü"
    assert environ["REQUEST_URI"] == "/mount/%C3%BC?a=%20"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_ACCEPT"] == "x,y"
    assert environ["HTTP_X_USER"] == "real"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "443")
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", "5000")
    assert environ["wsgi.url_scheme"] == "https"
    elsewhere = environ_of(http_scope("/mounted", root_path="/mount", server=None, client=None))
    assert (elsewhere["SCRIPT_NAME"], elsewhere["PATH_INFO"]) == ("/mount", "/mounted")
    assert "REMOTE_ADDR" not in elsewhere


def test_the_environ_has_all_that_pep_3333_asks_for_and_no_more() -> None:
    scope = {"type": "http", "method": "PUT", "path": "/a/b", "headers": []}
    assert environ_of(scope) == {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }


@pytest.mark.parametrize("root", ["/mount", "/mount/"])
@pytest.mark.parametrize(
    ("path", "rest"), [("/mount", ""), ("/mount/", "/"), ("/mount/a", "/a"), ("/a", "/a")]
)
def test_the_path_is_what_follows_the_root(root: str, path: str, rest: str) -> None:
    environ = environ_of(http_scope(path, root_path=root))
    found = (environ["SCRIPT_NAME"], environ["PATH_INFO"])
    # A path that is as long as the root with its slash is the application's own.
    assert found == (root, path if root == path + "/" else rest)


# The end


@pytest.mark.parametrize(
    "name", ["do_teardown_request", "do_teardown_appcontext", "did_pop_app_context"]
)
def test_end_of_a_class_of_its_own_is_called(name: str) -> None:
    calls = []

    def end(self: App, *args: Any) -> None:
        calls.append(name)
        getattr(App, name)(self, *args)

    app: App = type("Own", (App,), {name: end})("own")

    @app.get("/")
    async def view() -> str:
        return "ok"

    run(call(app.asgi, "/"))
    assert calls == [name]


def test_context_is_over_and_forgets_its_error_where_nothing_hears_of_the_end(app: App) -> None:
    contexts = []

    @app.get("/")
    async def view() -> str:
        contexts.append(current_request_context())
        raise Forbidden

    @app.errorhandler(403)
    async def refused(error: Forbidden) -> tuple[str, int]:
        contexts[0].error = error
        return "refused", 403

    run(call(app.asgi, "/"))
    (context,) = contexts
    assert not context.is_pushed
    assert context._app_context is not None
    assert not context._app_context.is_pushed
    assert context.error is None


# Bodies of responses


def streaming(app: App, kind: str, events: list[Any]) -> None:
    """Give the App a view that streams for ever, and says what becomes of it."""

    @app.get("/")
    async def view() -> Response:
        on_teardown(lambda error: events.append(("teardown", type(error))))
        return Response(sync_body() if kind == "sync" else async_body())  # type: ignore[arg-type]

    def sync_body() -> Iterator[str]:
        try:
            for n in range(1 << 30):
                g.n = n
                yield f"{request.path}{g.n}"
        finally:
            events.append(("closed", g.n))

    async def async_body() -> AsyncIterator[str]:
        try:
            for n in range(1 << 30):
                g.n = n
                await asyncio.sleep(0)
                yield f"{request.path}{g.n}"
        finally:
            events.append(("closed", g.n))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_streams_inside_its_request_until_the_client_goes(
    app: App, default: str, kind: str
) -> None:
    events: list[Any] = []
    streaming(app, kind, events)

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        task = exchange.start()
        while len(exchange.sent) < 4:
            await exchange.news()
        exchange.hang_up()
        await task
        await settled(lambda: len(events) == 2)
        assert exchange.body.startswith(b"/0/1/2")

    run(main())
    assert [name for name, _ in events] == ["closed", "teardown"]
    assert events[1] == ("teardown", type(None))


def test_a_body_that_a_thread_makes_when_the_client_goes_ends_without_an_error(
    app: App, default: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    errors: list[BaseException | None] = []
    app.teardown_request(errors.append)

    @app.get("/")
    def view() -> Iterator[str]:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        yield "late"

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        task = exchange.start()
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        exchange.hang_up()
        await task
        assert errors == []  # the thread is still at work
        go_on.set()
        await settled(lambda: len(errors) == 1)
        assert exchange.body == b""

    run(main())
    assert errors == [None]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_is_closed_when_the_server_cancels(app: App, default: str, kind: str) -> None:
    events: list[Any] = []
    streaming(app, kind, events)

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        task = exchange.start()
        while len(exchange.sent) < 4:
            await exchange.news()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(lambda: len(events) == 2)

    run(main())
    assert [name for name, _ in events] == ["closed", "teardown"]
    assert events[1] == ("teardown", asyncio.CancelledError)


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until a thread has brought something about."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.to_thread(threading.Event().wait, 0.001)


def test_what_a_body_raises_while_it_is_ended_is_no_cancellation() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def work() -> None:
            try:
                gone.set()
                await asyncio.Event().wait()
            finally:
                raise LookupError("closing")

        with pytest.raises(LookupError, match=r"^closing$"):
            await library().until(gone.wait, work())

    run(main())


def test_a_server_that_cannot_say_whether_the_client_has_gone_gets_the_whole_body(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    failed = asyncio.Event()

    @app.get("/")
    async def view() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            await failed.wait()
            await asyncio.sleep(0)
            yield b"b"

        return Response(body())  # type: ignore[arg-type]

    class Failing(Exchange):
        async def receive(self) -> Any:
            if self.sent:
                failed.set()
                raise OSError("the server's own")
            return await super().receive()

    exchange = run(Failing(app.asgi, http_scope(), {"type": "http.request"}).run())
    assert exchange.body == b"ab"
    assert [record.getMessage() for record in caplog.records] == [
        "The server cannot say whether the client has gone"
    ]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_that_raises_ends_the_connection_and_tears_down_once(app: App, kind: str) -> None:
    events: list[Any] = []

    def body() -> Iterator[str]:
        yield "a"
        raise LookupError

    async def async_body() -> AsyncIterator[str]:
        yield "a"
        raise LookupError

    @app.get("/")
    def view() -> Any:
        return body() if kind == "sync" else async_body()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append(type(error))

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        with pytest.raises(LookupError):
            await exchange.run()
        assert (exchange.status, exchange.body) == (200, b"a")
        assert exchange.sent[-1].get("more_body") is True

    run(main())
    assert events == [LookupError]


def test_functions_that_wait_for_the_end_of_a_response_are_called(app: App) -> None:
    events: list[str] = []

    @app.get("/")
    async def view() -> Response:
        response = Response("whole")
        response.call_on_close(lambda: events.append(request.path))
        return response

    assert run(call(app.asgi)).body == b"whole"
    assert events == ["/"]


def test_head_and_empty_responses_have_no_body_and_are_closed(app: App) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"never"

        def close(self) -> None:
            closed.append(request.method)

    @app.get("/")
    def view() -> Response:
        return Response(Body(), headers={"Content-Length": "5"})

    @app.route("/", methods=["DELETE"])
    def delete() -> Response:
        return Response(Body(), status=204)

    head = run(call(app.asgi, method="HEAD"))
    assert (head.status, head.body, head.header("content-length")) == (200, b"", ["5"])
    assert run(call(app.asgi, method="DELETE")).body == b""
    assert closed == ["HEAD", "DELETE"]


# Ends


class Watched(App):
    """Knows how many contexts were pushed."""

    pushed = 0

    def did_push_app_context(self) -> None:
        self.pushed += 1
        super().did_push_app_context()


@pytest.mark.parametrize("steps", range(1, 40))
def test_a_request_cancelled_anywhere_is_torn_down_once(default: str, steps: int) -> None:
    events: list[Any] = []
    local = Local()
    app = Watched("tested")

    @app.before_request
    async def before() -> None:
        local.value = request.path
        await asyncio.sleep(0)

    @app.before_request
    def in_thread() -> None:
        local.value = request.path

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append((request.path, getattr(local, "value", "/"), type(error)))

    @app.get("/")
    async def view() -> Any:
        await asyncio.sleep(0)

        async def chunks() -> AsyncIterator[str]:
            for _ in range(3):
                yield "chunk"
            await asyncio.Event().wait()

        return chunks()

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        task = exchange.start()
        for step in range(steps):
            if step % 3:
                await asyncio.sleep(0)
            else:
                await asyncio.to_thread(int)  # time for a thread
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not has_request_context()
        assert not hasattr(local, "value")

    run(main())
    app.executor.shutdown()  # waits for a thread that was left behind
    assert events == [("/", "/", asyncio.CancelledError)] * app.pushed


def blocking(app: App, events: list[Any]) -> tuple[threading.Event, threading.Event]:
    """Give the App a view that blocks its thread, and say when it has begun and may go on."""
    begun, go_on = threading.Event(), threading.Event()

    @app.get("/")
    def view() -> str:
        session["a"] = 1
        foreign.set("view")
        begun.set()
        assert go_on.wait(PATIENCE_S)
        events.append(("view", request.path, has_request_context()))
        return "done"

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append(("teardown", request.path, type(error)))

    return begun, go_on


def test_a_client_that_goes_during_a_synchronous_view_harms_nothing(app: App, default: str) -> None:
    events: list[Any] = []
    begun, go_on = blocking(app, events)

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        task = exchange.start()
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        exchange.hang_up()
        go_on.set()
        await task
        assert exchange.body == b"done"

    run(main())
    assert events == [("view", "/", True), ("teardown", "/", type(None))]


def test_a_task_cancelled_during_a_synchronous_view_does_not_wait_for_it(
    app: App, default: str
) -> None:
    events: list[Any] = []
    begun, go_on = blocking(app, events)
    seen = []

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app.asgi_app(scope, receive, send)
        finally:
            seen.append(foreign.get(None))

    async def main() -> None:
        exchange = Exchange(wrapped, http_scope(), {"type": "http.request"})
        task = exchange.start()
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == []  # the view is still at work
        assert exchange.sent == []
        go_on.set()
        await settled(lambda: len(events) == 2)

    run(main())
    assert events == [("view", "/", True), ("teardown", "/", asyncio.CancelledError)]
    assert seen == [None]
    assert records(app) == 0


def test_the_loop_may_end_while_a_view_is_still_at_work(
    app: App, default: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []
    begun, go_on = blocking(app, events)

    async def main() -> None:
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        exchange.start()
        await asyncio.to_thread(begun.wait, PATIENCE_S)

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())  # cancels what is left
        assert events == []
        go_on.set()
        app.executor.shutdown()
    assert events == [("view", "/", True), ("teardown", "/", asyncio.CancelledError)]
    assert caplog.records == []


def test_a_view_that_still_waits_for_a_thread_is_never_called_once_cancelled(
    app: App, default: str
) -> None:
    events: list[Any] = []
    begun, go_on = blocking(app, events)
    app.executor = ThreadPoolExecutor(1)

    async def main() -> None:
        first = Exchange(app.asgi, http_scope(), {"type": "http.request"}).start()
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        second = Exchange(app.asgi, http_scope(), {"type": "http.request"}).start()
        for _ in range(10):
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)  # or the thread might be free before it is cancelled
        await asyncio.sleep(0)
        go_on.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await settled(lambda: len(events) == 3)

    run(main())
    assert [name for name, *_ in events].count("view") == 1


def test_a_teardown_that_waits_for_a_thread_runs_though_the_task_is_cancelled(
    app: App, default: str
) -> None:
    events: list[Any] = []
    begun, go_on = threading.Event(), threading.Event()
    app.executor = ThreadPoolExecutor(1)

    def block() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    @app.get("/")
    async def view() -> str:
        return "done"

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append(request.path)

    async def main() -> None:
        app.executor.submit(block)
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
        task = exchange.start()
        await exchange.wait_for("http.response.body")
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert events == ["/"]


def test_a_teardown_is_not_cut_short_by_a_second_cancellation(app: App, default: str) -> None:
    """Cancel scopes of anyio cancel every await of a cancelled task anew."""
    events: list[str] = []
    begun = threading.Event()

    @app.get("/")
    async def view() -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append(request.path)

    async def main() -> None:
        with anyio.CancelScope() as scope:
            exchange = Exchange(app.asgi, http_scope(), {"type": "http.request"})
            async with anyio.create_task_group() as group:
                group.start_soon(exchange.run)
                await asyncio.to_thread(begun.wait, PATIENCE_S)
                scope.cancel()
        await settled(lambda: bool(events))

    run(main())
    assert events == ["/"]


def test_a_coroutine_that_is_closed_is_torn_down_at_once(app: App, default: str) -> None:
    events: list[Any] = []

    class Suspended:
        def __await__(self) -> Any:
            yield

    @app.get("/")
    async def view() -> str:
        on_teardown(lambda error: events.append(type(error)))
        await Suspended()
        return ""

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None: ...

    coroutine = app.asgi_app(http_scope(), receive, send)
    coroutine.send(None)
    coroutine.close()
    assert events == [GeneratorExit]


def test_every_teardown_runs_though_one_raises_and_the_response_stands(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []

    @app.teardown_request
    def first(error: BaseException | None) -> None:
        events.append("first")

    @app.teardown_request
    def failing(error: BaseException | None) -> None:
        raise LookupError

    @app.get("/")
    async def view() -> str:
        return "fine"

    @after_this_request_of(app)
    def after(response: Response) -> Response:
        response.headers["X-After"] = "1"
        return response

    exchange = run(call(app.asgi))
    assert (exchange.body, exchange.header("x-after")) == (b"fine", ["1"])
    assert events == ["first"]
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError
    assert record.getMessage() == "The end of a request failed"


def after_this_request_of(app: App) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        app.before_request(lambda: after_this_request(function) and None)
        return function

    return register


def test_a_request_leaves_nothing_in_memory(app: App, default: str) -> None:
    @app.get("/<kind>")
    def view(kind: str) -> str:
        session["a"] = g.a = [kind]
        if kind == "forbidden":
            raise Forbidden
        return kind

    async def main(count: int) -> None:
        for _ in range(count):
            await call(app.asgi, "/fine")
            await call(app.asgi, "/forbidden")

    import sys

    app.session_interface = StoredSessions(MemoryStore(max_sessions=10))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main(50))
        gc.collect()
        before = sys.getallocatedblocks()
        loop.run_until_complete(main(400))
        gc.collect()
        grown = sys.getallocatedblocks() - before
        assert grown < 700  # one for each request would be 800
    finally:
        loop.close()


# Other scopes


def test_lifespan_runs_the_hooks_in_an_application_context(app: App, default: str) -> None:
    events: list[Any] = []

    @app.on_startup
    async def start() -> None:
        events.append(("start", current_app.name))

    @app.on_startup
    def start_too() -> None:
        events.append(("start too", current_app.name))

    @app.on_shutdown
    def stop() -> None:
        events.append(("stop", current_app.name))

    @app.on_shutdown
    async def stop_first() -> None:
        events.append(("stop first", has_request_context()))

    async def main() -> None:
        exchange = Exchange(app.asgi, {"type": "lifespan"}, {"type": "lifespan.startup"})
        task = exchange.start()
        await exchange.wait_for("lifespan.startup.complete")
        assert len(events) == 2
        exchange.tell({"type": "lifespan.shutdown"})
        await task
        assert exchange.sent[-1] == {"type": "lifespan.shutdown.complete"}

    run(main())
    name = "tested"
    assert events == [("start", name), ("start too", name), ("stop first", False), ("stop", name)]


def test_hooks_of_the_lifespan_that_fail(app: App, caplog: pytest.LogCaptureFixture) -> None:
    events = []

    @app.on_shutdown
    def stop() -> None:
        events.append("stop")

    @app.on_shutdown
    def failing() -> None:
        raise LookupError("stop")

    async def lifespan() -> list[Any]:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        return (await Exchange(app.asgi, {"type": "lifespan"}, *messages).run()).sent

    assert run(lifespan()) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.failed", "message": "LookupError('stop')"},
    ]
    assert events == ["stop"]

    @app.on_startup
    def start() -> None:
        raise LookupError("start")

    assert run(lifespan()) == [
        {"type": "lifespan.startup.failed", "message": "LookupError('start')"}
    ]
    logged = [(record.getMessage(), record.exc_text or "") for record in caplog.records]
    assert [message for message, _ in logged] == [
        "A shutdown function failed",
        "The application cannot start",
    ]
    assert all("LookupError" in trace for _, trace in logged)


def test_what_ends_the_process_is_no_failure_of_a_shutdown_function(app: App) -> None:
    class StopError(BaseException):
        pass

    @app.on_shutdown
    def stop() -> None:
        raise StopError

    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    exchange = Exchange(app.asgi, {"type": "lifespan"}, *messages)
    with pytest.raises(StopError):
        run(exchange.run())
    assert exchange.sent == [{"type": "lifespan.startup.complete"}]


def test_a_socket_is_refused_and_an_unknown_scope_an_error(app: App) -> None:
    exchange = run(Exchange(app.asgi, websocket_scope(), {"type": "websocket.connect"}).run())
    assert [message["type"] for message in exchange.sent] == ["websocket.close"]
    message = r"^<App 'tested'> serves http and lifespan scopes, not 'other'$"
    with pytest.raises(ValueError, match=message):
        run(Exchange(app.asgi, {"type": "other"}).run())
