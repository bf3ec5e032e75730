"""What Starlette and FastAPI run in threads: with the request's values, and seen by the request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from ctxlocal import Local, LocalStack, ident
from ctxlocal.errors import UnboundError
from ctxlocal.integrations.fastapi import SessionDep
from ctxlocal.integrations.starlette import ContextMiddleware, SessionMiddleware, request
from ctxlocal.web import session

from ..support.asgi_browser import Browser
from ..support.patience import PATIENCE_S

local = Local(name="local")
stack: LocalStack[str] = LocalStack(name="stack")
variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture(params=["context", "task", "thread", "greenlet"], autouse=True)
def strategy(request: pytest.FixtureRequest) -> Any:
    ident.set_default(request.param)
    return request.param


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, store="memory:")
    return app


def set_user(name: str = "ada") -> str:
    local.user = name
    stack.push(name)
    variable.set(name)
    return name


SET_USER = Depends(set_user)


class TestDependencies:
    def test_the_endpoint_sees_what_they_set(self, app: FastAPI) -> None:
        @app.get("/async", dependencies=[SET_USER])
        async def page() -> list[Any]:
            return [local.user, stack.top, variable.get()]

        app.get("/sync", dependencies=[SET_USER])(lambda: [local.user, stack.top, variable.get()])

        browser = Browser(app)
        assert browser.get("/async?name=bob").json() == ["bob", "bob", "bob"]
        assert browser.get("/sync?name=eve").json() == ["eve", "eve", "eve"]

    def test_so_it_does_of_those_that_yield(self, app: FastAPI) -> None:
        seen: list[Any] = []

        def connect() -> Iterator[None]:
            with stack.pushed("connection"):
                local.calls = 1
                yield
                seen.append((stack.top, local.calls))

        @app.get("/", dependencies=[Depends(connect)])
        async def page() -> list[Any]:
            local.calls += 1
            return [stack.top, local.calls]

        assert Browser(app).get("/").json() == ["connection", 2]
        assert seen == [("connection", 2)]

    def test_each_sees_what_those_before_it_set_and_deleted(self, app: FastAPI) -> None:
        def first() -> None:
            local.a, local.b = 1, 2
            stack.push("first")

        def second() -> None:
            del local.a
            stack.pop()
            local.c = local.b + 1

        @app.get("/", dependencies=[Depends(first), Depends(second)])
        async def page() -> dict[str, Any]:
            return {"local": dict(local), "top": stack.top}

        assert Browser(app).get("/").json() == {"local": {"b": 2, "c": 3}, "top": None}

    def test_an_error_handler_sees_what_was_set_before_the_error(self, app: FastAPI) -> None:
        def fail() -> None:
            local.user = "ada"
            raise LookupError

        @app.exception_handler(LookupError)
        async def handle(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse(local.user)

        app.get("/", dependencies=[Depends(fail)])(lambda: None)
        assert Browser(app).get("/").json() == "ada"

    def test_a_web_socket_sees_what_they_set(self, app: FastAPI) -> None:
        @app.websocket("/chat")
        async def chat(socket: WebSocket, name: str = SET_USER) -> None:
            await socket.accept()
            await socket.send_text(f"{local.user} {stack.top}")
            await socket.close()

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = Browser(app).scope("/chat", kind="websocket")
        asyncio.run(app(scope, receive, send))
        assert sent[1]["text"] == "ada ada"


class TestSeparation:
    def test_requests_at_once_see_their_own(self, app: FastAPI) -> None:
        names = [f"user{number}" for number in range(8)]
        all_are_in = threading.Barrier(len(names))

        def set_slowly(name: str) -> None:
            all_are_in.wait(PATIENCE_S)
            set_user(name)
            all_are_in.wait(PATIENCE_S)  # each has set its own before one goes on

        @app.get("/", dependencies=[Depends(set_slowly)])
        async def page(name: str) -> bool:
            await asyncio.sleep(0)
            return [local.user, stack.top, variable.get()] == [name] * 3

        async def ask_all() -> list[bool]:
            browser = Browser(app)
            answers = await asyncio.gather(*(browser.ask(f"/?name={name}") for name in names))
            return [answer.json() for answer in answers]

        assert asyncio.run(ask_all()) == [True] * len(names)

    def test_nothing_is_left_for_the_next_request_nor_in_the_thread(self, app: FastAPI) -> None:
        threads: list[Any] = []

        def look() -> list[Any]:
            threads.append(threading.get_ident())
            return [getattr(local, "user", None), stack.top, variable.get()]

        app.get("/look")(look)
        app.get("/set", dependencies=[SET_USER])(look)

        async def ask() -> list[Any]:
            browser = Browser(app)
            await browser.ask("/set")
            answer = await browser.ask("/look")
            return [answer.json(), await anyio.to_thread.run_sync(look)]

        empty = [None, None, "unset"]
        assert asyncio.run(ask()) == [empty, empty]
        assert len(set(threads)) == 1

    def test_what_a_thread_sets_for_a_child_task_stays_there(
        self, app: FastAPI, strategy: str
    ) -> None:
        async def child(name: str) -> str:
            await anyio.to_thread.run_sync(set_user, name)
            return str(local.user)

        @app.get("/", dependencies=[SET_USER])
        async def page() -> list[Any]:
            names = await asyncio.gather(child("bob"), child("eve"))
            return [*names, local.user, variable.get()]

        if strategy == "task":
            with pytest.raises(AttributeError):  # a child task is in no request
                Browser(app).get("/")
        elif strategy == "context":
            assert Browser(app).get("/").json() == ["bob", "eve", "ada", "ada"]

    def test_what_a_task_set_that_runs_at_once_is_kept(self, app: FastAPI) -> None:
        """A value that the thread only saw, and another step of the task's Context has changed."""

        @app.get("/")
        async def page() -> list[Any]:
            local.a, local.b = 1, 1
            started, may_end = threading.Event(), threading.Event()

            def change() -> None:
                started.set()
                may_end.wait(PATIENCE_S)
                local.b = 2

            async def let_it_end() -> None:
                while not started.is_set():
                    await asyncio.sleep(0)
                may_end.set()

            ending = asyncio.create_task(let_it_end())
            await anyio.to_thread.run_sync(change)
            await ending
            return [local.a, local.b]

        assert Browser(app).get("/").json() == [1, 2]

    def test_a_cancelled_call_sets_nothing(self, app: FastAPI) -> None:
        started, may_end, has_ended = (threading.Event() for _ in range(3))

        def set_late() -> None:
            started.set()
            may_end.wait(PATIENCE_S)
            set_user("late")
            has_ended.set()

        @app.get("/")
        async def page() -> list[Any]:
            async def give_up(scope: anyio.CancelScope) -> None:
                while not started.is_set():
                    await asyncio.sleep(0)
                scope.cancel()

            with anyio.CancelScope() as scope:
                cancelling = asyncio.create_task(give_up(scope))
                await anyio.to_thread.run_sync(set_late, abandon_on_cancel=True)
            await cancelling
            may_end.set()
            while not has_ended.is_set():
                await asyncio.sleep(0)
            return [getattr(local, "user", None), stack.top, variable.get()]

        assert Browser(app).get("/").json() == [None, None, "unset"]

    def test_outside_of_our_requests_nothing_is_different(self, strategy: str) -> None:
        async def call() -> list[Any]:
            variable.set("here")
            await anyio.to_thread.run_sync(set_user)
            return [getattr(local, "user", None), variable.get()]

        SessionMiddleware(None, store="memory:")
        assert hasattr(anyio.to_thread.run_sync, "is_carrying")
        assert asyncio.run(call()) == [None, "here"]


class TestThreads:
    def test_a_thread_may_run_a_loop_of_its_own(self, app: FastAPI) -> None:
        app.get("/")(lambda: anyio.run(anyio.sleep, 0))
        assert Browser(app).get("/").json() is None

    def test_a_thread_may_have_the_requests_loop_run_something(self, app: FastAPI) -> None:
        async def double(number: int) -> int:
            return number * 2

        app.get("/")(lambda: anyio.from_thread.run(double, 2))
        assert Browser(app).get("/").json() == 4

    def test_arguments_and_options_are_passed_on(self, app: FastAPI) -> None:
        @app.get("/")
        async def page() -> list[Any]:
            limiter = anyio.CapacityLimiter(1)
            return [
                await anyio.to_thread.run_sync(divmod, 7, 2, limiter=limiter),
                await anyio.to_thread.run_sync(lambda: limiter.borrowed_tokens, limiter=limiter),
            ]

        assert Browser(app).get("/").json() == [[3, 1], 1]

    def test_a_body_that_is_made_in_threads_keeps_what_its_steps_set(self, app: FastAPI) -> None:
        def rows() -> Iterator[str]:
            local.n = 0
            while local.n < 3:
                local.n += 1
                yield f"{local.n}{request.url.path}"

        app.get("/rows")(lambda: StreamingResponse(rows()))
        assert Browser(app).get("/rows").text == "1/rows2/rows3/rows"

    def test_session_and_request_are_there(self, app: FastAPI) -> None:
        seen: list[Any] = []

        def note(named: SessionDep) -> str:
            session["path"] = request.url.path
            return str(named["path"])

        @app.get("/page")
        def page(tasks: BackgroundTasks, path: str = Depends(note)) -> list[Any]:
            tasks.add_task(lambda: seen.append((request.url.path, session["path"])))
            return [path, session["path"]]

        browser = Browser(app)
        assert browser.get("/page").json() == ["/page", "/page"]
        assert seen == [("/page", "/page")]
        app.get("/again")(lambda: dict(session))
        assert browser.get("/again").json() == {"path": "/page"}

    def test_behind_base_http_middleware_too_or_the_error_says_why_not(self, strategy: str) -> None:
        async def pass_on(given: Request, call_next: Any) -> Any:
            return await call_next(given)

        app = FastAPI()
        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
        app.add_middleware(SessionMiddleware, store="memory:")
        app.get("/local", dependencies=[SET_USER])(lambda: local.user)
        app.get("/session")(lambda: len(session))
        browser = Browser(app)
        if strategy == "context":
            assert browser.get("/local").json() == "ada"
            assert browser.get("/session").json() == 0
        elif strategy == "task":
            with pytest.raises(
                UnboundError, match=r"behind Starlette's BaseHTTPMiddleware: the st"
            ):
                browser.get("/session")


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_on_each_library(library: str) -> None:
    seen: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(set_user, "bob")
        seen.append([local.user, stack.top, variable.get()])

    async def serve() -> None:
        await ContextMiddleware(page)(Browser(None).scope("/"), None, None)

    anyio.run(serve, backend=library)
    assert seen == [["bob", "bob", "bob"]]
