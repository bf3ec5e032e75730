"""Starlette's and FastAPI's request and session: found wherever a request's code runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from ctxlocal import unwrap
from ctxlocal.errors import UnboundError
from ctxlocal.integrations.fastapi import SessionDep, get_session, typed
from ctxlocal.integrations.starlette import ContextMiddleware, request
from ctxlocal.sessions import Cookie, Session, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import after_this_request
from ctxlocal.web import request as web_request


class Answer(NamedTuple):
    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """A browser of an application in this process; it keeps its cookie."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.cookie = b""

    def get(self, path: str, body: bytes = b"", method: str = "GET") -> Answer:
        return asyncio.run(self.ask(path, body, method))

    async def ask(self, path: str, body: bytes = b"", method: str = "GET") -> Answer:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        headers = [(b"host", b"shop"), (b"cookie", self.cookie)]
        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        await self.app({**scope, "query_string": b"", "scheme": "http"}, receive, send)
        for name, value in sent[0]["headers"]:
            if name == b"set-cookie":
                self.cookie = value.partition(b";")[0]
        text = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], text.decode())


def make_sessions(**settings: Any) -> StoredSessions[Any]:
    return StoredSessions(MemoryStore(), cookie=Cookie.for_development(), **settings)


def make_client(endpoint: Any, *inner: Any, **options: Any) -> Client:
    """Return a client of an application with one page; what is inner stands inside of ours."""
    app = Starlette(routes=[Route("/{name}", endpoint, methods=["GET", "POST"])])
    for middleware in inner:
        app.add_middleware(*middleware)
    app.add_middleware(ContextMiddleware, sessions=make_sessions(), **options)
    return Client(app)


class TestRequest:
    def test_it_is_that_of_the_endpoint(self) -> None:
        async def page(own: Request) -> JSONResponse:
            own.state.user = "ada"
            own.session["a"] = 1
            found = unwrap(request)
            assert type(found) is Request
            same: Any = unwrap(web_request)
            assert same is found
            return JSONResponse(
                [found.method, found.path_params["name"], found.state.user, found.session["a"]]
            )

        assert make_client(page).get("/lamp").json() == ["GET", "lamp", "ada", 1]

    def test_so_it_is_in_a_thread(self) -> None:
        def page(own: Request) -> PlainTextResponse:
            return PlainTextResponse(request.url.path)

        assert make_client(page).get("/lamp").text == "/lamp"

    def test_so_it_is_in_a_task_and_behind_other_middleware(self) -> None:
        async def path() -> str:
            return request.url.path

        async def page(own: Request) -> PlainTextResponse:
            return PlainTextResponse(await asyncio.create_task(path()))

        async def pass_on(own: Request, call_next: Callable[[Request], Any]) -> Any:
            return await call_next(own)

        client = make_client(page, (BaseHTTPMiddleware, pass_on))
        assert client.get("/lamp").text == "/lamp"

    def test_so_it_is_after_the_response(self) -> None:
        seen: list[str] = []

        async def page(own: Request) -> PlainTextResponse:
            task = BackgroundTask(lambda: seen.append(request.url.path))
            return PlainTextResponse("", background=task)

        make_client(page).get("/lamp")
        assert seen == ["/lamp"]

    def test_the_body_is_left_to_the_endpoint(self) -> None:
        async def page(own: Request) -> PlainTextResponse:
            with pytest.raises(RuntimeError):
                await request.body()
            return PlainTextResponse(await own.body())

        assert make_client(page).get("/lamp", b"body", "POST").text == "body"

    def test_each_request_has_its_own(self) -> None:
        async def page(own: Request) -> PlainTextResponse:
            await asyncio.sleep(0)
            return PlainTextResponse(request.path_params["name"])

        client = make_client(page)
        names = [str(number) for number in range(20)]

        async def ask_all() -> list[str]:
            answers = await asyncio.gather(*(client.ask(f"/{name}") for name in names))
            return [answer.text for answer in answers]

        assert asyncio.run(ask_all()) == names

    def test_a_web_socket_has_a_connection(self) -> None:
        app = FastAPI()

        @app.websocket("/chat")
        async def chat(socket: WebSocket) -> None:
            await socket.accept()
            await socket.send_text(f"{type(unwrap(request)).__name__} {request.url.path}")
            await socket.close()

        app.add_middleware(ContextMiddleware)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/chat", "headers": [], "query_string": b""}
        asyncio.run(app(scope, receive, send))
        assert sent[1]["text"] == f"{HTTPConnection.__name__} /chat"

    def test_outside_there_is_none(self) -> None:
        with pytest.raises(UnboundError, match="Working outside of request context"):
            unwrap(request)

    def test_nothing_waits_for_a_response_object_that_does_not_come(self) -> None:
        async def page(own: Request) -> PlainTextResponse:
            with pytest.raises(UnboundError, match="has no response object"):
                after_this_request(lambda response: response)
            return PlainTextResponse("")

        assert make_client(page).get("/lamp").status == 200


class TestDependencies:
    def test_session_is_a_parameter(self) -> None:
        app = FastAPI()
        app.add_middleware(ContextMiddleware, sessions=make_sessions())

        @app.get("/async")
        async def index(session: SessionDep) -> int:
            assert isinstance(session, Session)
            return session.incr("visits")

        @app.get("/sync")
        def threaded(session: SessionDep) -> int:
            return session.incr("visits")

        client = Client(app)
        assert [client.get(path).json() for path in ("/async", "/sync", "/async")] == [1, 2, 3]
        assert "session" not in client.get("/openapi.json").text

    def test_typed_it_has_the_schemas_attributes(self) -> None:
        class Visit(msgspec.Struct):
            pages: list[str] = msgspec.field(default_factory=list)

        app = FastAPI()
        sessions = make_sessions(schema=Visit)
        app.add_middleware(ContextMiddleware, sessions=sessions)

        of_visits = Depends(typed(sessions))

        async def index(name: str, visit: Any = of_visits) -> list[str]:
            visit.pages.append(name)
            return list(visit.pages)

        app.get("/{name}")(index)
        client = Client(app)
        assert [client.get(path).json() for path in ("/a", "/b")] == [["a"], ["a", "b"]]

    @pytest.mark.parametrize(
        ("others", "there"),
        [
            ([], "there is none"),
            ([(SessionMiddleware, "secret")], "stands in its place"),
        ],
        ids=["none", "Starlette's"],
    )
    def test_without_the_middleware_the_error_says_what_to_write(
        self, others: list[Any], there: str
    ) -> None:
        app = FastAPI()
        for middleware, secret in others:
            app.add_middleware(middleware, secret_key=secret)

        async def index(session: Annotated[Session, Depends(get_session)]) -> None:
            raise AssertionError

        app.get("/")(index)
        with pytest.raises(SessionConfigError, match=rf"^session: .*{there}\. Put app\.add_middle"):
            Client(app).get("/")
