"""ContextMiddleware: contexts and sessions for any ASGI application."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import pytest
import trio
import uvloop

import ctxlocal
from ctxlocal import Local, LocalStack
from ctxlocal.errors import FrameBusyError
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import (
    CookieTooLargeError,
    FreshLoginRequiredError,
    SessionClosedError,
    SessionConflictError,
    SessionError,
    SessionLimitError,
    StoreUnavailableError,
)
from ctxlocal.sessions.in_cookie.sessions import SignedCookieSessions
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionHeaders, SessionInterface
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Record
from ctxlocal.web.asgi import ContextMiddleware
from ctxlocal.web.asgi.middleware import encoded, refusal_messages, with_headers
from ctxlocal.web.context import (
    copy_current_request_context,
    g,
    has_app_context,
    has_request_context,
    on_teardown,
    session,
)

from ..asgi_client import Exchange, call, cookie_of, http_scope, websocket_scope

foreign: ContextVar[str] = ContextVar("foreign")


class Owner:
    """What the callable strategy of these tests returns."""


THE_OWNER = Owner()
DEFAULTS: dict[str, Any] = {
    "context": "context",
    "thread": "thread",
    "greenlet": "greenlet",
    "task": "task",
    "callable": lambda: THE_OWNER,
}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=DEFAULTS)
def default(request: pytest.FixtureRequest) -> Any:
    """Each strategy as the application's default."""
    ctxlocal.ident.set_default(DEFAULTS[request.param])
    return request.param


@pytest.fixture
def sessions() -> StoredSessions[Any]:
    return StoredSessions(MemoryStore(), cookie=Cookie.for_development())


def stored(sessions: StoredSessions[Any]) -> int:
    """Count the records."""
    assert isinstance(sessions.store, MemoryStore)
    return sessions.store.stats().sessions


def run(coroutine: Any, loop_name: str = "asyncio") -> Any:
    """Run on a loop of its own, closed afterwards."""
    loop = LOOPS[loop_name]()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def respond(
    send: Any, body: bytes = b"", status: int = 200, headers: tuple[Any, ...] = ()
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def receive_nothing() -> Any:
    return {"type": "http.request", "body": b""}


# Isolation


@pytest.mark.parametrize("loop", LOOPS)
def test_each_request_starts_empty_and_leaves_nothing(default: str, loop: str) -> None:
    local, stack = Local(), LocalStack[str]()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((hasattr(local, "value"), stack.top, foreign.get(None), "x" in g))
        assert has_request_context()
        local.value = g.x = scope["path"]
        stack.push(scope["path"])
        foreign.set(scope["path"])
        await asyncio.sleep(0)
        await receive()
        assert (local.value, stack.top, foreign.get()) == (scope["path"],) * 3
        await respond(send)
        assert (local.value, g.x) == (scope["path"], scope["path"])

    async def main() -> None:
        middleware = ContextMiddleware(app)
        local.value = "the server's"
        stack.push("the server's")
        foreign.set("the server's")
        await asyncio.gather(*(call(middleware, f"/{n}") for n in range(10)))
        for n in range(3):  # in one task, as on a connection that is kept alive
            await call(middleware, f"/{n}")
        assert (local.value, stack.top, foreign.get()) == ("the server's",) * 3
        assert not has_request_context()
        assert not has_app_context()

    run(main(), loop)
    assert seen == [(False, None, None, False)] * 13


def test_a_request_inherits_foreign_variables_if_asked_to() -> None:
    local = Local()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((foreign.get(), hasattr(local, "value")))
        foreign.set("inside")

    async def main() -> None:
        foreign.set("outer middleware")
        local.value = 1
        await call(ContextMiddleware(app, inherit=True))
        assert foreign.get() == "outer middleware"

    run(main())
    assert seen == [("outer middleware", False)]


def test_what_begins_to_travel_in_a_request_stays_there(default: str) -> None:
    made: list[Local] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local = Local(ident="thread", carry=True)
        made.append(local)
        await asyncio.sleep(0)
        local.value = "inside"
        await respond(send)
        assert local.value == "inside"

    async def main() -> None:
        async def send(message: Any) -> None:
            assert not hasattr(made[0], "value")
            await asyncio.sleep(0)
            assert not hasattr(made[0], "value")

        await ContextMiddleware(app)(http_scope(), receive_nothing, send)
        assert not hasattr(made[0], "value")

    run(main())


def test_a_server_whose_send_calls_the_receive_of_the_application_is_refused(default: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["receive"] = receive
        await respond(send)

    async def main() -> None:
        scope = http_scope()

        async def send(message: Any) -> None:
            await scope["receive"]()

        with pytest.raises(FrameBusyError, match="is active already"):
            await ContextMiddleware(app)(scope, receive_nothing, send)

    run(main())


def test_a_runtime_error_of_the_server_is_the_servers(default: str) -> None:
    error = RuntimeError("of the server")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send)

    async def send(message: Any) -> None:
        raise error

    async def main() -> None:
        with pytest.raises(RuntimeError) as caught:
            await ContextMiddleware(app)(http_scope(), receive_nothing, send)
        assert caught.value is error

    run(main())


def test_callbacks_that_a_server_registers_while_it_receives_hold_nothing_of_the_request(
    default: str,
) -> None:
    """A server resumes reading in receive(); what it starts then is the next request's parent."""
    local = Local()
    of_the_connection: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local.value = 1
        foreign.set("request")
        async with anyio.create_task_group() as group:
            group.start_soon(receive)  # frameworks listen for a disconnect in a child task
        await receive()
        await respond(send)

    def look() -> None:
        of_the_connection.append((foreign.get(None), hasattr(local, "value")))

    async def main() -> None:
        async def receive() -> Any:
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(look)
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            asyncio.get_running_loop().call_soon(look)

        foreign.set("server")
        await ContextMiddleware(app)(http_scope(), receive, send)
        await asyncio.sleep(0)

    run(main())
    assert of_the_connection == [("server", False)] * 4


def test_a_server_may_return_any_awaitable_and_runs_outside_from_the_call_on(default: str) -> None:
    local = Local()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local.value = "of the request"
        message = await asyncio.create_task(receive())
        await asyncio.gather(asyncio.ensure_future(send(message)), asyncio.sleep(0))
        assert local.value == "of the request"

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def receive() -> asyncio.Future[Any]:
            seen.append(hasattr(local, "value"))
            answer = loop.create_future()
            loop.call_soon(answer.set_result, {"type": "http.request"})
            return answer

        def send(message: Any) -> asyncio.Future[Any]:
            seen.append(message["type"])
            seen.append(hasattr(local, "value"))
            answer = loop.create_future()
            answer.set_result(None)
            return answer

        await ContextMiddleware(app)(http_scope(), receive, send)

    run(main())
    assert seen == [False, "http.request", False]


def test_a_mutable_value_is_not_shared_by_requests(default: str) -> None:
    local = Local()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not hasattr(local, "items"):
            local.items = []
        local.items.append(scope["path"])
        await asyncio.sleep(0)
        await respond(send, ",".join(local.items).encode())

    async def main() -> list[bytes]:
        middleware = ContextMiddleware(app)
        done = await asyncio.gather(*(call(middleware, f"/{n}") for n in range(4)))
        return [exchange.body for exchange in done]

    assert run(main()) == [b"/0", b"/1", b"/2", b"/3"]


def test_the_application_runs_in_the_servers_task(default: str) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(asyncio.current_task())

    async def main() -> None:
        await call(ContextMiddleware(app))
        assert seen == [asyncio.current_task()]

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_task_groups_timeouts_and_cancel_scopes_work_inside(default: str, loop: str) -> None:
    """What a child task sees is the strategy's affair; none of it is seen by its parent."""
    local = Local()
    seen: list[Any] = []
    children_see = {
        "context": ["request", "request"],  # a copy each
        "task": [None, None],
        "thread": [None, "a"],  # the thread outside of the frame, which they share
        "greenlet": [None, "a"],
        "callable": [None, "a"],
    }

    async def child(name: str) -> None:
        seen.append(getattr(local, "value", None))
        local.value = name
        await anyio.sleep(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local.value = "request"
        async with anyio.create_task_group() as group:
            group.start_soon(child, "a")
            group.start_soon(child, "b")
        with anyio.move_on_after(0) as scope_of_time:
            await anyio.Event().wait()
        assert scope_of_time.cancelled_caught
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await anyio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0)
        await anyio.to_thread.run_sync(int)
        assert local.value == "request"
        await respond(send)

    assert run(call(ContextMiddleware(app)), loop).status == 200
    assert seen == children_see[default]


def test_middleware_that_runs_the_application_in_a_child_task_works(
    sessions: StoredSessions[Any],
) -> None:
    """As Starlette's BaseHTTPMiddleware does: the messages cross a memory stream."""

    def in_child(app: Any) -> Any:
        async def outer(scope: Any, receive: Any, send: Any) -> None:
            into, out_of = anyio.create_memory_object_stream[Any]()
            async with anyio.create_task_group() as group, into, out_of:

                async def inner() -> None:
                    async with into:
                        await app(scope, receive, into.send)

                group.start_soon(inner)
                async for message in out_of:
                    await send(message)

        return outer

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["n"] = scope["session"].get("n", 0) + 1
        await respond(send, b"%d" % scope["session"]["n"])

    async def main() -> None:
        middleware = ContextMiddleware(in_child(app), sessions)
        first = await call(middleware)
        second = await call(middleware, cookie=cookie_of(first))
        assert (first.body, second.body) == (b"1", b"2")

    run(main())


def test_it_serves_trio(default: str) -> None:
    local = Local()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert not hasattr(local, "value")
        local.value = scope["path"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
        with trio.move_on_after(0):
            await trio.sleep_forever()
        await receive()
        assert local.value == scope["path"]
        await send(local.value)

    async def main() -> None:
        sent: list[str] = []

        async def receive() -> Any:
            await trio.lowlevel.checkpoint()
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

        async with trio.open_nursery() as nursery:
            for n in range(5):
                middleware = ContextMiddleware(app)
                nursery.start_soon(middleware, http_scope(f"/{n}"), receive, send)
        assert sorted(sent) == [f"/{n}" for n in range(5)]

    trio.run(main)


def test_lifespan_has_an_application_context_and_no_request(default: str) -> None:
    local = Local()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert has_app_context()
        assert not has_request_context()
        scope["state"]["ready"] = True
        local.value = 1
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def main() -> None:
        scope = {"type": "lifespan", "state": {}}
        exchange = Exchange(ContextMiddleware(app), scope, {"type": "lifespan.startup"})
        task = exchange.start()
        await exchange.wait_for("lifespan.startup.complete")
        assert scope["state"] == {"ready": True}
        assert not hasattr(local, "value")
        exchange.tell({"type": "lifespan.shutdown"})
        await task

    run(main())


def test_a_background_task_keeps_a_copy_and_the_teardown_does_not_wait_for_it() -> None:
    local = Local()
    events = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local.value = 1
        g.name = "request"
        on_teardown(lambda error: events.append("teardown"))

        @copy_current_request_context
        async def job() -> None:
            await go_on.wait()
            assert has_request_context()
            events.append(local.value)

        tasks.append(asyncio.create_task(job()))
        await respond(send)

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        await call(ContextMiddleware(app))
        assert events == ["teardown"]
        go_on.set()
        await tasks[0]

    go_on = asyncio.Event()
    run(main())
    assert events == ["teardown", 1]


# Ends


class Suspended:
    """Waits for whoever sends it something."""

    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize("steps", range(12))
def test_a_request_cancelled_anywhere_is_torn_down_once(
    default: str, steps: int, sessions: StoredSessions[Any]
) -> None:
    local = Local()
    torn_down: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        on_teardown(lambda error: torn_down.append((type(error), local.value)))
        local.value = scope["path"]
        scope["session"]["seen"] = True
        await asyncio.sleep(0)
        await receive()
        await respond(send)
        await receive()

    async def main() -> None:
        exchange = Exchange(
            ContextMiddleware(app, sessions), http_scope(), {"type": "http.request"}
        )
        task = exchange.start()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not has_request_context()
        assert not hasattr(local, "value")
        if steps:  # before its first step nothing of it runs
            assert torn_down == [(asyncio.CancelledError, "/")]
        exchange = await call(ContextMiddleware(lambda s, r, s_: respond(s_), sessions))
        assert exchange.status == 200

    run(main())


def test_every_teardown_runs_once_whatever_raises(
    default: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []

    def failing(error: BaseException | None) -> None:
        events.append(type(error))
        raise LookupError("teardown")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        on_teardown(lambda error: events.append("first registered"))
        on_teardown(failing)
        if scope["path"] == "/fail":
            raise ZeroDivisionError
        await respond(send)

    async def main() -> None:
        assert (await call(ContextMiddleware(app))).status == 200
        with pytest.raises(ZeroDivisionError):
            await call(ContextMiddleware(app), "/fail")
        assert not has_request_context()

    run(main())
    assert events == [type(None), "first registered", ZeroDivisionError, "first registered"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError] * 2
    for record in caplog.records:
        assert record.getMessage().startswith("A teardown of <RequestContext of ")


def test_a_coroutine_that_is_never_finished_is_torn_down(default: str) -> None:
    """A loop that stops in the middle closes what is left of its coroutines."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        on_teardown(lambda error: events.append(type(error)))
        await receive()

    async def never() -> Any:
        await Suspended()

    async def send(message: Any) -> None: ...

    coroutine = ContextMiddleware(app)(http_scope(), never, send)
    coroutine.send(None)
    coroutine.close()
    assert events == [GeneratorExit]
    assert not has_request_context()


def test_messages_it_does_not_know_pass_untouched(sessions: StoredSessions[Any]) -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": 200, "trailers": True}
    messages: list[dict[str, Any]] = [
        {"type": "http.response.early_hint", "links": [b"</a.css>"]},
        start,
        {"type": "http.response.pathsend", "path": "/tmp/x"},
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    sent = run(call(ContextMiddleware(app, sessions))).sent
    assert len(sent) == 4
    assert all(got is given for got, given in zip(sent, messages, strict=True))


# Sessions


class CountedSessions(StoredSessions[Any]):
    """Counts, and may fail."""

    saves = 0
    failure: Exception | None = None

    async def save_async(self, session: Session) -> SessionHeaders:
        self.saves += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return await super().save_async(session)


class CountedAtOnce(CountedSessions):
    """The same, where a save that need not be awaited is not."""

    def save_at_once(self, session: Session) -> SessionHeaders | None:
        if self.failure is not None:
            self.saves += 1
            raise self.failure
        asked = super(CountedSessions, self).save_at_once(session)
        self.saves += asked is not None
        return asked


@pytest.fixture(params=[CountedSessions, CountedAtOnce])
def counted(request: pytest.FixtureRequest) -> CountedSessions:
    kind: type[CountedSessions] = request.param
    return kind(MemoryStore(), cookie=Cookie.for_development())


class Awaiting:
    """Mixed in before sessions, so that theirs are not the only way to open and save one."""

    done: list[str]

    async def open_async(self, cookies: str) -> Session:
        self.done.append("opened")
        opened: Session = await super().open_async(cookies)  # type: ignore[misc]
        return opened

    async def save_async(self, session: Session) -> SessionHeaders:
        self.done.append("saved")
        asked: SessionHeaders = await super().save_async(session)  # type: ignore[misc]
        return asked


class AwaitedSessions(Awaiting, StoredSessions[Any]):
    pass


class AwaitedCookieSessions(Awaiting, SignedCookieSessions):
    pass


@pytest.mark.parametrize(
    "make", [partial(AwaitedSessions, MemoryStore()), partial(AwaitedCookieSessions, "k" * 32)]
)
def test_another_way_to_open_and_save_is_gone_though_nothing_need_be_awaited(
    make: Callable[[], Awaiting],
) -> None:
    sessions: Any = make()
    sessions.done = []
    assert run(call(ContextMiddleware(counter, sessions))).body == b"1"
    assert sessions.done == ["opened", "saved"]


async def counter(scope: Any, receive: Any, send: Any) -> None:
    assert scope["session"] is scope["ctxlocal.session"]
    session["n"] = session.get("n", 0) + 1
    assert scope["session"]["n"] == session["n"]
    await respond(send, b"%d" % session["n"])


def test_a_session_goes_from_one_request_to_the_next(
    default: str, counted: CountedSessions
) -> None:
    async def main() -> None:
        middleware = ContextMiddleware(counter, counted)
        first = await call(middleware)
        second = await call(middleware, cookie=cookie_of(first))
        assert (first.body, second.body) == (b"1", b"2")
        split = http_scope(headers=(("cookie", "a=b"), ("cookie", cookie_of(first))))
        assert (await Exchange(middleware, split).run()).body == b"3"
        assert counted.saves == 3

    run(main())


def test_r6_a_request_that_does_not_touch_the_session_gets_no_header(
    sessions: StoredSessions[Any],
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        repr(session), scope["session"]
        await respond(send, headers=((b"Content-Type", b"text/plain"),))

    assert run(call(ContextMiddleware(app, sessions))).headers == [("Content-Type", "text/plain")]


@pytest.mark.parametrize(
    "look",
    [
        lambda s: "a" in s,
        len,
        list,
        lambda s: s.get("a"),
        lambda s: s.refresh(),
        lambda s: s.user,
        bool,
        dict,
    ],
)
def test_r20_looking_at_the_session_varies_on_the_cookie(
    sessions: StoredSessions[Any], look: Callable[[Any], object]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        look(session if scope["path"] == "/proxy" else scope["session"])
        await respond(send, headers=((b"vary", b"Accept"),))

    for path in ("/proxy", "/object"):
        exchange = run(call(ContextMiddleware(app, sessions), path))
        assert exchange.header("vary") == ["Accept", "Cookie"]


def test_r21_a_set_cookie_forbids_storing_the_response(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        await respond(send, headers=((b"Cache-Control", b"public"), (b"set-cookie", b"other=1")))

    exchange = run(call(ContextMiddleware(app, sessions)))
    assert exchange.header("cache-control") == ["no-store"]
    assert len(exchange.header("set-cookie")) == 2


def test_the_session_is_saved_before_the_header_is_passed_on(sessions: StoredSessions[Any]) -> None:
    moments: list[Any] = []

    async def main() -> None:
        async def send(message: Any) -> None:
            moments.append((message["type"], stored(sessions)))

        async def receive() -> Any: ...

        await ContextMiddleware(counter, sessions)(http_scope(), receive, send)

    run(main())
    assert moments == [("http.response.start", 1), ("http.response.body", 1)]


def test_r33_an_exception_that_leaves_the_application_saves_nothing(
    counted: CountedSessions,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(call(ContextMiddleware(app, counted)))
    assert (counted.saves, stored(counted)) == (0, 0)


@pytest.mark.parametrize(("status", "saves"), [(500, 0), (404, 1), (302, 1)])
def test_r33_an_answer_to_an_exception_saves_unless_it_was_unhandled(
    counted: CountedSessions, status: int, saves: int
) -> None:
    """Frameworks answer 500 inside their ``except`` and let the exception pass afterwards."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            session["a"] = 1
            raise ZeroDivisionError
        except ZeroDivisionError:
            await asyncio.sleep(0)
            await respond(send, status=status)
            if status == 500:
                raise

    async def main() -> Exchange:
        exchange = Exchange(ContextMiddleware(app, counted), http_scope())
        try:
            await exchange.run()
        except ZeroDivisionError:
            assert status == 500
        return exchange

    exchange = run(main())
    assert exchange.status == status
    assert exchange.header("vary") == ["Cookie"]
    assert len(exchange.header("set-cookie")) == counted.saves == saves
    assert stored(counted) == saves


def test_r33_a_500_saves_nothing_though_no_exception_can_be_seen(counted: CountedSessions) -> None:
    """Django answers outside of its ``except``."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        await respond(send, status=500)

    exchange = run(call(ContextMiddleware(app, counted)))
    assert (exchange.status, exchange.header("vary")) == (500, ["Cookie"])
    assert (counted.saves, stored(counted)) == (0, 0)


def test_r20_a_first_look_after_the_header_raises(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(SessionClosedError, match=r"^the session's first use after"):
            session.get("a")
        await send({"type": "http.response.body", "body": b"done"})

    assert run(call(ContextMiddleware(app, sessions))).body == b"done"


def test_r34_a_change_after_the_header_raises(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(SessionClosedError):
            session["b"] = 2
        assert session["a"] == 1
        await send({"type": "http.response.body", "body": b"done"})

    assert run(call(ContextMiddleware(app, sessions))).body == b"done"


DOWN = StoreUnavailableError("memory", "load")


class DownSessions(SessionInterface):
    """A store that is down, noticed at a given moment."""

    def __init__(self, moment: str) -> None:
        self._moment = moment
        self._sessions = StoredSessions(MemoryStore(), cookie=Cookie.for_development())

    def open(self, cookies: str) -> Session:
        return self._sessions.open(cookies)

    def save(self, session: Session) -> SessionHeaders:
        return self._sessions.save(session)

    def null(self) -> Session:
        return self._sessions.null()

    async def open_async(self, cookies: str) -> Session:
        if self._moment == "open":
            raise DOWN
        return await self._sessions.open_async(cookies)

    async def save_async(self, session: Session) -> SessionHeaders:
        if self._moment == "save":
            raise DOWN
        return await self._sessions.save_async(session)

    def save_at_once(self, session: Session) -> SessionHeaders | None:
        if self._moment == "save at once":
            raise DOWN
        return None


def framework(app: Any) -> Any:
    """Answer 500 to whatever the application raises, and raise it again, as Starlette does."""

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            await respond(send, b"Internal Server Error", 500)
            raise

    return answering


def test_r33_a_session_that_could_be_saved_at_once_is_not_with_a_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        await respond(send, b"Internal Server Error", 500)

    exchange = run(call(ContextMiddleware(app, SignedCookieSessions("k" * 32))))
    assert (exchange.status, exchange.header("set-cookie")) == (500, [])
    assert exchange.header("vary") == ["Cookie"]


def test_what_is_sent_after_a_refusal_is_dropped_and_saves_nothing() -> None:
    sends = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sends.append(send)
        session["a"] = 1
        raise DOWN

    async def main() -> None:
        exchange = await call(ContextMiddleware(app, SignedCookieSessions("k" * 32)))
        await respond(sends[0])
        assert [message.get("status") for message in exchange.sent] == [503, None]

    run(main())


@pytest.mark.parametrize("wrap", [lambda app: app, framework])
@pytest.mark.parametrize("moment", ["open", "use", "save", "save at once"])
def test_r31_a_store_that_is_down_is_a_503(
    moment: str, wrap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        if moment == "use":
            raise DOWN
        await respond(send)

    with caplog.at_level(logging.ERROR, "ctxlocal.web.asgi"):
        exchange = run(call(ContextMiddleware(wrap(app), DownSessions(moment))))
    assert (exchange.status, exchange.body) == (503, b"The session store is unavailable.\n")
    assert exchange.header("cache-control") == ["no-store"]
    assert exchange.header("retry-after") == ["5"]
    assert len(caplog.records) == 1


def test_a_store_that_fails_after_the_header_is_raised(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send)
        raise DOWN

    with pytest.raises(StoreUnavailableError):
        run(call(ContextMiddleware(app, sessions)))


def test_another_failure_to_save_is_the_applications_and_is_not_tried_again(
    counted: CountedSessions,
) -> None:
    counted.failure = CookieTooLargeError("session", 5000, 4096)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        try:
            await respond(send)
        except CookieTooLargeError:
            await respond(send, b"too large", 400)

    exchange = run(call(ContextMiddleware(app, counted)))
    assert (exchange.status, exchange.body) == (400, b"too large")
    assert exchange.header("vary") == ["Cookie"]
    assert counted.saves == 1


def hiding(app: Any) -> Any:
    """Answer 500 to whatever the application raises, after its ``except``, as Django does."""

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            pass
        else:
            return
        await respond(send, b"Internal Server Error", 500)

    return answering


@pytest.mark.parametrize("cookie", ["", "session=" + "A" * 43])
def test_r31_the_500_of_a_framework_is_a_503_if_the_store_was_the_reason(cookie: str) -> None:
    store = FailingStore()
    sessions = StoredSessions(store, cookie=Cookie.for_development())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = session.get("a", 0) + 1
        await respond(send)

    exchange = run(call(ContextMiddleware(hiding(app), sessions), cookie=cookie))
    assert exchange.status == 503


def test_r31_a_500_that_the_store_has_nothing_to_do_with_stays_one() -> None:
    sessions = StoredSessions(FailingStore(), cookie=Cookie.for_development())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    exchange = run(call(ContextMiddleware(hiding(app), sessions), cookie="session=" + "A" * 43))
    assert exchange.status == 500


class FailingStore(MemoryStore):
    """A store that is down."""

    is_blocking = True

    def load(self, key: str) -> Record | None:
        raise DOWN

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        raise DOWN


@pytest.mark.parametrize("wrap", [lambda app: app, framework])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SessionConflictError(("a",)), 409),
        (SessionLimitError(3), 403),
        (FreshLoginRequiredError(60), 403),
    ],
)
@pytest.mark.parametrize("moment", ["use", "save"])
def test_what_the_session_refuses_has_a_status_of_its_own(
    counted: CountedSessions, error: SessionError, status: int, moment: str, wrap: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["a"] = 1
        if moment == "use":
            raise error
        counted.failure = error
        await respond(send)

    exchange = run(call(ContextMiddleware(wrap(app), counted)))
    assert (exchange.status, exchange.body) == (status, f"{error.answer}\n".encode())
    assert exchange.header("cache-control") == ["no-store"]
    assert exchange.header("retry-after") == []


# WebSockets


def test_a_socket_has_its_session_before_it_is_accepted(
    default: str, counted: CountedSessions
) -> None:
    local = Local()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert has_request_context()
        local.value = scope["path"]
        assert (await receive())["type"] == "websocket.connect"
        session["n"] = session.get("n", 0) + 1
        await send({"type": "websocket.accept"})
        with pytest.raises(SessionClosedError):
            session["n"] = 0
        while (message := await receive())["type"] == "websocket.receive":
            text = f"{message['text']} {session['n']} {local.value}"
            await send({"type": "websocket.send", "text": text})

    async def socket(cookie: str) -> Exchange:
        headers = (("cookie", cookie),) if cookie else ()
        exchange = Exchange(
            ContextMiddleware(app, counted),
            websocket_scope("/ws", headers=headers),
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.disconnect", "code": 1000},
        )
        return await exchange.run()

    async def main() -> None:
        first = await socket("")
        second = await socket(cookie_of(first))
        texts = [exchange.sent[1]["text"] for exchange in (first, second)]
        assert texts == ["hello 1 /ws", "hello 2 /ws"]
        assert counted.saves == 2

    run(main())


def test_a_socket_writes_later_in_a_session_opened_for_it(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        cookies = dict(scope["headers"])[b"cookie"].decode()
        later: Any = await sessions.open_async(cookies)
        later["seen"] = True
        await later.save()

    async def read(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, repr(dict(session)).encode())

    async def main() -> bytes:
        cookie = cookie_of(await call(ContextMiddleware(counter, sessions)))
        scope = websocket_scope(headers=(("cookie", cookie),))
        await Exchange(ContextMiddleware(app, sessions), scope).run()
        return (await call(ContextMiddleware(read, sessions), cookie=cookie)).body

    assert run(main()) == b"{'n': 1, 'seen': True}"


def test_a_denial_response_saves_and_a_plain_refusal_does_not(counted: CountedSessions) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session["tried"] = True
        if scope["path"] == "/deny":
            start = {"type": "websocket.http.response.start", "status": 403, "headers": []}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b"no"})
        else:
            await send({"type": "websocket.close"})

    async def main() -> None:
        middleware = ContextMiddleware(app, counted)
        denied = await Exchange(middleware, websocket_scope("/deny")).run()
        assert denied.status == 403
        assert cookie_of(denied)
        refused = await Exchange(middleware, websocket_scope("/close")).run()
        assert refused.sent == [{"type": "websocket.close"}]
        assert counted.saves == 1

    run(main())


def test_r31_a_socket_is_refused_while_the_store_is_down() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not called")

    async def main() -> None:
        middleware = ContextMiddleware(app, DownSessions("open"))
        plain = await Exchange(middleware, websocket_scope()).run()
        assert [(m["type"], m["code"]) for m in plain.sent] == [("websocket.close", 1013)]
        scope = websocket_scope(extensions={"websocket.http.response": {}})
        denied = await Exchange(middleware, scope).run()
        assert [m["type"] for m in denied.sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert denied.status == 503

    run(main())


def test_contexts_alone_leave_the_scope_alone() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        with pytest.raises(ctxlocal.UnboundError, match="no session: none is configured"):
            session["a"] = 1

    scope = http_scope()
    before = dict(scope)
    run(Exchange(ContextMiddleware(app), scope).run())
    assert seen == [before]
    assert scope == before


def test_a_context_copied_inside_is_no_ones_else() -> None:
    local = Local()
    copies: list[contextvars.Context] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        local.value = scope["path"]
        copies.append(contextvars.copy_context())

    async def main() -> None:
        await call(ContextMiddleware(app), "/a")
        await call(ContextMiddleware(app), "/b")

    run(main())
    assert [copied.run(getattr, local, "value") for copied in copies] == ["/a", "/b"]


def test_a_refusal_has_no_body_where_none_is_asked_for() -> None:
    error = StoreUnavailableError("redis", "load")
    head, get = (refusal_messages(http_scope(method=method), error) for method in ("HEAD", "GET"))
    assert head[0] == get[0]
    assert get[1] == {
        "type": "http.response.body",
        "body": b"The session store is unavailable.\n",
    }
    assert head[1] == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("vary", ["Cookie", "accept, COOKIE", "*", "accept", None])
@pytest.mark.parametrize(
    ("varies", "cookies"), [(True, ()), (True, ("a=1", "b=2")), (False, ("a=1",))]
)
def test_a_header_has_what_wsgi_would_have(
    vary: str | None, varies: bool, cookies: tuple[str, ...]
) -> None:
    asked = SessionHeaders(varies, cookies)
    fields = [("link", "*"), ("last-modified", "1"), ("cache-control", "public"), ("age", "2")]
    if vary is not None:
        fields.append(("VARY", vary))
    message = {"type": "http.response.start", "status": 200, "headers": encoded(fields)}
    before = encoded(fields)
    asked.merge_into(fields)
    assert sorted(with_headers(message, asked)["headers"]) == sorted(encoded(fields))
    assert message["headers"] == before


def test_a_response_that_a_session_asks_nothing_of_is_the_same() -> None:
    message = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    assert with_headers(message, SessionHeaders()) is message
    assert with_headers(message, SessionHeaders(vary=True)) == {
        **message,
        "headers": [(b"a", b"b"), (b"vary", b"Cookie")],
    }
