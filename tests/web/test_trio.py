"""What is served on trio: the App, the middleware and their sessions, over every store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from ctxlocal._async_library import is_trio
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.in_cookie.sessions import SignedCookieSessions
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionInterface
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.redis import AsyncRedisStore, RedisStore
from ctxlocal.sessions.stores.sql import AsyncSQLStore, SQLStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.web.app import App, Response, session
from ctxlocal.web.asgi import ContextMiddleware
from ctxlocal.web.context import copy_current_request_context, g, has_request_context, request

from ..support.patience import PATIENCE_S
from ..support.services import free_port
from .asgi_client import http_scope


class Answer:
    """What an application sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def cookie(self) -> str:
        fields = {name: value for name, value in self.sent[0]["headers"]}
        return bytes(fields[b"set-cookie"]).decode().partition(";")[0]


async def get(
    app: Any,
    path: str = "/",
    cookie: str = "",
    gone: trio.Event | None = None,
    answer: Answer | None = None,
) -> Answer:
    """Send a request; the client goes when ``gone`` is set."""
    answer = answer or Answer()
    messages: list[Any] = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await (trio.Event() if gone is None else gone).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        answer.sent.append(message)

    headers = (("cookie", cookie),) if cookie else ()
    await app(http_scope(path, headers=headers), receive, send)
    return answer


STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: MemoryStore(),
    "sqlite": lambda folder: SQLiteStore(folder / "sessions.db"),
}


@pytest.fixture(params=[*STORES, "signed"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> SessionInterface:
    cookie = Cookie.for_development()
    if request.param == "signed":
        return SignedCookieSessions("a secret that is long enough for that", cookie=cookie)
    return StoredSessions(STORES[request.param](tmp_path), cookie=cookie)


@pytest.fixture
def app() -> Iterator[App]:
    made = App("tested")
    yield made
    made.executor.shutdown()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_app_serves_sessions_over_every_store(
    app: App, sessions: SessionInterface, kind: str
) -> None:
    app.session_interface = sessions

    @app.get("/")
    def view() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    async def view_async() -> str:
        await trio.lowlevel.checkpoint()
        return view()

    if kind == "async":
        app.view_functions["view"] = view_async

    async def main() -> None:
        first = await get(app.asgi)
        assert (first.status, first.body) == (200, b"1")
        assert (await get(app.asgi, cookie=first.cookie)).body == b"2"

    trio.run(main)


def test_the_middleware_serves_sessions_over_every_store(sessions: SessionInterface) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["n"] = session.get("n", 0) + 1
        body = str(session["n"]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        middleware = ContextMiddleware(application, sessions)
        first = await get(middleware)
        assert (await get(middleware, cookie=first.cookie)).body == b"2"

    trio.run(main)


def test_load_and_save_are_awaited(app: App, tmp_path: Path) -> None:
    cookie = Cookie.for_development()
    store = SQLiteStore(tmp_path / "sessions.db")
    app.session_interface = StoredSessions(store, cookie=cookie, load="explicit")

    @app.get("/")
    async def view() -> str:
        await session.load()
        session["n"] = session.get("n", 0) + 1
        await session.save()
        return str(session["n"])

    async def main() -> None:
        first = await get(app.asgi)
        assert (await get(app.asgi, cookie=first.cookie)).body == b"2"

    trio.run(main)


def test_the_functions_of_a_request_run_in_one_thread(app: App) -> None:
    threads: dict[str, set[int]] = {}

    def note() -> None:
        g.path = g.get("path") or request.path
        threads.setdefault(g.path, set()).add(threading.get_ident())

    def body() -> Iterator[str]:
        for part in "abc":
            note()
            yield part

    async def hook() -> None:
        await trio.lowlevel.checkpoint()

    app.before_first_request(note)
    app.before_request(note)
    app.before_request(hook)
    app.teardown_request(lambda error: note())
    app.teardown_appcontext(lambda error: note())

    @app.get("/<name>")
    def view(name: str) -> Response:
        note()
        return Response(body())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            answers = [Answer() for _ in range(12)]
            for number, answer in enumerate(answers):
                nursery.start_soon(get, app.asgi, f"/{number}", "", None, answer)
        assert {(answer.status, answer.body) for answer in answers} == {(200, b"abc")}

    trio.run(main)
    assert [len(idents) for idents in threads.values()] == [1] * 12


def test_errors_are_handled_and_leave_alone(app: App) -> None:
    @app.get("/<what>")
    def view(what: str) -> str:
        raise LookupError if what == "handled" else ValueError

    @app.errorhandler(LookupError)
    async def handle(error: LookupError) -> str:
        await trio.lowlevel.checkpoint()
        return "handled"

    @app.get("/body")
    async def fail() -> AsyncIterator[str]:
        async def body() -> AsyncIterator[str]:
            yield "a"
            raise LookupError

        return body()

    async def main() -> None:
        assert (await get(app.asgi, "/handled")).body == b"handled"
        assert (await get(app.asgi, "/unhandled")).status == 500
        with pytest.raises(LookupError):  # in no group
            await get(app.asgi, "/body")

    trio.run(main)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_streams_until_the_client_goes(app: App, kind: str) -> None:
    events: list[Any] = []

    def body() -> Iterator[str]:
        try:
            while True:
                yield request.path
        finally:
            events.append("closed")

    async def body_async() -> AsyncIterator[str]:
        try:
            while True:
                await trio.lowlevel.checkpoint()
                yield request.path
        finally:
            events.append("closed")

    @app.get("/")
    async def view() -> Any:
        return Response(body() if kind == "sync" else body_async())  # type: ignore[arg-type]

    app.teardown_request(lambda error: events.append(error))

    async def main() -> None:
        gone, answer = trio.Event(), Answer()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, app.asgi, "/", "", gone, answer)
            while len(answer.sent) < 4:
                await trio.sleep(0)
            gone.set()

    trio.run(main)
    assert events == ["closed", None]


@pytest.mark.parametrize("steps", range(1, 20))
def test_a_request_cancelled_anywhere_is_torn_down_once(steps: int) -> None:
    events: list[Any] = []

    class Watched(App):
        pushed = 0

        def did_push_app_context(self) -> None:
            self.pushed += 1
            super().did_push_app_context()

    app = Watched("tested")
    app.before_request(lambda: None)

    @app.before_request
    async def before() -> None:
        await trio.lowlevel.checkpoint()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append((request.path, type(error).__name__))

    @app.get("/")
    def view() -> Any:
        async def chunks() -> AsyncIterator[str]:
            for _ in range(3):
                yield "chunk"
            await trio.sleep_forever()

        return chunks()

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(get, app.asgi)
                for step in range(steps):
                    if step % 3:
                        await trio.lowlevel.checkpoint()
                    else:
                        await trio.to_thread.run_sync(int)  # time for a thread
                scope.cancel()
        assert scope.cancelled_caught
        assert not has_request_context()

    trio.run(main)
    app.executor.shutdown()  # waits for a thread that was left behind
    assert events == [("/", "Cancelled")] * app.pushed


def test_a_view_that_is_cancelled_in_its_thread_is_not_waited_for(app: App) -> None:
    events: list[Any] = []
    begun, go_on = threading.Event(), threading.Event()

    @app.get("/")
    def view() -> str:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        events.append("view")
        return ""

    app.teardown_request(lambda error: events.append(type(error)))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, app.asgi)
            await trio.to_thread.run_sync(begun.wait, PATIENCE_S)
            nursery.cancel_scope.cancel()
        assert events == []
        go_on.set()

    trio.run(main)
    app.executor.shutdown()
    assert events == ["view", trio.Cancelled]


def test_first_requests_wait_for_the_functions_that_come_before(app: App) -> None:
    ran = []

    @app.before_first_request
    async def first() -> None:
        await trio.lowlevel.checkpoint()
        ran.append(1)

    @app.get("/")
    async def view() -> str:
        assert ran == [1]
        return ""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(get, app.asgi)

    trio.run(main)
    assert ran == [1]


def test_a_wrapped_function_has_the_request_in_another_task(app: App) -> None:
    seen = []

    async def child() -> None:
        await trio.lowlevel.checkpoint()
        seen.append(request.path)

    @app.get("/")
    async def view() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy_current_request_context(child))
        return ""

    async def main() -> None:
        assert (await get(app.asgi)).status == 200

    trio.run(main)
    assert seen == ["/"]


def test_lifespan_runs_the_hooks_of_both_kinds(app: App) -> None:
    events = []
    app.on_startup(lambda: events.append("start"))

    @app.on_shutdown
    async def stop() -> None:
        await trio.lowlevel.checkpoint()
        events.append("stop")

    async def main() -> None:
        messages = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

        async def receive() -> Any:
            return messages.pop()

        async def send(message: Any) -> None:
            events.append(message["type"])

        await app.asgi({"type": "lifespan"}, receive, send)

    trio.run(main)
    complete = "lifespan.{}.complete".format
    assert events == ["start", complete("startup"), "stop", complete("shutdown")]


def test_a_call_of_a_store_that_was_begun_runs_to_its_end(tmp_path: Path) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    class Slow(SQLiteStore):
        def touch(self, key: str, ttl: float) -> bool:
            begun.set()
            go_on.wait(PATIENCE_S)
            done.set()
            return True

    async def main() -> None:
        store = ThreadedStore(Slow(tmp_path / "sessions.db"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.touch, "a" * 43, 60.0)
            await trio.to_thread.run_sync(begun.wait, PATIENCE_S)
            nursery.cancel_scope.cancel()
        go_on.set()
        assert await trio.to_thread.run_sync(done.wait, PATIENCE_S)
        await store.close()

    trio.run(main)


def test_a_store_of_asyncio_s_says_what_to_use() -> None:
    async def main() -> None:
        stores: list[tuple[Any, str]] = [
            (AsyncSQLStore.from_url("postgresql+psycopg://localhost/none"), "SQLStore"),
            (AsyncRedisStore.from_url("redis://127.0.0.1:1/0"), "RedisStore"),
        ]
        for store, other in stores:
            message = (
                rf"^store: Async{other} needs asyncio, and trio runs here: use {other}, which "
                r"works in threads there\.$"
            )
            with pytest.raises(SessionConfigError, match=message):
                await store.load("a" * 43)

    trio.run(main)


@pytest.mark.redis
def test_redis_keeps_the_sessions_of_an_app(app: App, redis_port: int) -> None:
    serve_two_requests(app, RedisStore.from_url(f"redis://127.0.0.1:{redis_port}/0"))


@pytest.mark.postgresql
def test_postgresql_keeps_the_sessions_of_an_app(app: App, postgresql_url: str) -> None:
    store = SQLStore.from_url(postgresql_url, table="sessions_on_trio")
    store.create_table()
    serve_two_requests(app, store)


def serve_two_requests(app: App, store: Any) -> None:
    app.session_interface = StoredSessions(store, cookie=Cookie.for_development())

    @app.get("/")
    async def view() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    async def main() -> None:
        first = await get(app.asgi)
        assert (await get(app.asgi, cookie=first.cookie)).body == b"2"

    trio.run(main)
    store.close()


def test_hypercorn_s_trio_worker_serves_an_app(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(f"""
from ctxlocal.web import App, session
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.sqlite import SQLiteStore

store = SQLiteStore({str(tmp_path / "sessions.db")!r})
app = App("served", sessions=StoredSessions(store, cookie=Cookie.for_development()))
started = []
app.on_startup(lambda: started.append("started"))

@app.get("/")
def view():
    session["n"] = session.get("n", 0) + 1
    return f"{{started}} {{session['n']}}"

asgi = app.asgi
""")
    port = free_port()
    command = [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "served:asgi"], cwd=tmp_path) as server:
        try:
            url = f"http://127.0.0.1:{port}/"
            with _once_it_answers(url, server) as first:
                assert first.read() == b"['started'] 1"
                cookie = first.headers["Set-Cookie"].partition(";")[0]
            again = urllib.request.Request(url, headers={"Cookie": cookie})
            with urllib.request.urlopen(again, timeout=PATIENCE_S) as second:
                assert second.read() == b"['started'] 2"
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def _once_it_answers(url: str, server: subprocess.Popen[bytes]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return urllib.request.urlopen(url, timeout=PATIENCE_S)
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_trio_that_cannot_be_asked_outright_is_known_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(trio.lowlevel, "in_trio_task", raising=False)  # as before 0.29

    async def is_known() -> bool:
        return is_trio()

    assert trio.run(is_known)
    assert not asyncio.run(is_known())
    assert not is_trio()
