"""The place where an application finds its session, and what it may put there instead."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import logging
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from werkzeug.test import Client

from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import SessionClosedError, UnstorableValueError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.web import asgi, wsgi
from ctxlocal.web import context as contexts

from .asgi_client import Exchange, call, cookie_of, http_scope, websocket_scope


@pytest.fixture
def sessions() -> StoredSessions[Any]:
    return new_sessions()


def new_sessions(name: str = "sid") -> StoredSessions[Any]:
    return StoredSessions(MemoryStore(), cookie=Cookie.for_development(name))


async def answer(send: Any, body: str = "", status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


def visits(app: Any, *paths: str) -> list[str]:
    """Send requests one after the other as a browser would; return the bodies."""

    async def main() -> list[str]:
        cookie, bodies = "", []
        for path in paths:
            exchange = await call(app, path, cookie=cookie)
            for line in exchange.header("set-cookie"):
                cookie = line.partition(";")[0]
            bodies.append(exchange.body.decode())
        return bodies

    return asyncio.run(main())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# The scope


def test_middleware_around_sees_what_routing_put_into_the_scope(
    sessions: StoredSessions[Any],
) -> None:
    async def user(request: Any) -> PlainTextResponse:
        request.state.user = request.session["user"] = request.path_params["user"]
        return PlainTextResponse()

    async def metrics(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        seen.update(request.path_params, state=request.state.user, said=request.session["user"])
        return response

    seen: dict[str, Any] = {}
    app = Starlette(
        routes=[Route("/users/{user}", user)],
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=metrics),
            Middleware(asgi.ContextMiddleware, sessions=sessions),
        ],
    )
    visits(app, "/users/ada")
    assert seen == {"user": "ada", "state": "ada", "said": "ada"}


@pytest.mark.parametrize("type", ["http", "websocket", "lifespan"])
def test_the_application_is_given_the_scope_itself(
    sessions: StoredSessions[Any], type: str
) -> None:
    given = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(scope)

    scope = {**http_scope(), "type": type}
    for middleware in (asgi.ContextMiddleware(app), asgi.ContextMiddleware(app, sessions)):
        asyncio.run(Exchange(middleware, scope).run())
    assert given[0] is given[1] is scope


def test_what_the_scope_holds_keeps_nothing_in_a_cycle(sessions: StoredSessions[Any]) -> None:
    ends: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["big"] = "x"
        ends.append(weakref.ref(scope["session"]))
        ends.append(weakref.ref(contexts.current_request_context()))
        await answer(send)

    async def main() -> None:
        await call(asgi.ContextMiddleware(app, sessions))

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
        assert [end() for end in ends] == [None, None]
    finally:
        gc.enable()


def test_a_scope_that_the_server_uses_again_brings_no_earlier_session(
    sessions: StoredSessions[Any],
) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["session"]))
        scope["session"]["path"] = scope["path"]
        await answer(send)

    async def main() -> None:
        scope = http_scope("/a")
        middleware = asgi.ContextMiddleware(app, sessions)
        await Exchange(middleware, scope).run()
        first = scope["session"]
        await Exchange(middleware, scope).run()
        assert scope["session"] is not first

    asyncio.run(main())
    assert seen == [{}, {}]


@pytest.mark.parametrize("status", [200, 500, None], ids=["200", "500", "raises"])
@pytest.mark.parametrize("protocol", ["asgi", "wsgi"])
def test_a_change_after_the_request_is_refused_however_it_ended(
    sessions: StoredSessions[Any], protocol: str, status: int | None
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["n"] = 1
        if status is None:
            raise ZeroDivisionError
        await answer(send, status=status)

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        environ["ctxlocal.session"]["n"] = 1
        if status is None:
            raise ZeroDivisionError
        start_response(f"{status} X", [])
        return []

    place: Any = http_scope()
    with contextlib.suppress(ZeroDivisionError):
        if protocol == "asgi":
            asyncio.run(Exchange(asgi.ContextMiddleware(app, sessions), place).run())
        else:
            wsgi.ContextMiddleware(wsgi_app, sessions)(place, lambda *head: print)
    with pytest.raises(SessionClosedError):
        place["ctxlocal.session"]["n"] = 2


class Around:
    """A session middleware of another make, outside."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"] = {"mine": 1}

        async def look(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(scope["session"] is session)
            await send(message)

        await self.app(scope, receive, look)
        self.seen.append(scope["session"] is session)


def test_a_session_middleware_around_finds_its_own_session(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["n"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert scope["session"] is contexts.session._get_current_object()  # type: ignore[attr-defined]
        await send({"type": "http.response.body", "body": b""})

    around = Around(asgi.ContextMiddleware(app, sessions))
    visits(around, "/")
    assert around.seen == [True, True]


def test_starlettes_session_middleware_may_stand_around(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        n = scope["session"]["n"] = scope["session"].get("n", 0) + 1
        await answer(send, str(n))

    around: Any = SessionMiddleware(asgi.ContextMiddleware(app, sessions), secret_key="x")
    assert visits(around, "/", "/", "/") == ["1", "2", "3"]


@pytest.mark.parametrize("is_split", [False, True], ids=["direct", "BaseHTTPMiddleware"])
def test_each_of_nested_middlewares_has_its_own_session(
    is_split: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def admin(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["admin"] = 1
        await answer(send, ",".join(scope["session"]))

    async def between(request: Any, call_next: Any) -> Any:
        request.session["shop"] = 1
        return await call_next(request)

    outer, inner = new_sessions("outer"), new_sessions("inner")
    middleware = [Middleware(asgi.ContextMiddleware, sessions=outer)]
    if is_split:
        middleware.append(Middleware(BaseHTTPMiddleware, dispatch=between))
    mounted = Mount("/admin", asgi.ContextMiddleware(admin, inner))
    app = Starlette(routes=[mounted], middleware=middleware)
    assert visits(app, "/admin/") == ["admin"]
    assert isinstance(inner.store, MemoryStore)
    assert isinstance(outer.store, MemoryStore)
    assert inner.store.stats().sessions == 1
    assert outer.store.stats().sessions == (1 if is_split else 0)
    assert warnings(caplog) == []


# A mapping in its place


class Replacing:
    """Counts in the way that Litestar's set_session and many a login do, in each protocol."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        place = "session" if scope["path"] != "/ours" else "ctxlocal.session"
        n = scope[place].get("n", 0) + 1
        scope[place] = self.kind({"n": n})
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await answer(send, str(n))

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        n = environ["ctxlocal.session"].get("n", 0) + 1
        environ["ctxlocal.session"] = self.kind({"n": n})
        start_response("200 OK", [])
        return [str(n).encode()]


@pytest.mark.parametrize("kind", [dict, OrderedDict], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("path", ["/", "/ours"])
def test_a_mapping_that_is_put_there_becomes_the_session(
    sessions: StoredSessions[Any], kind: Any, path: str
) -> None:
    app = asgi.ContextMiddleware(Replacing(kind).asgi, sessions)
    assert visits(app, path, path, path) == ["1", "2", "3"]


def test_a_mapping_becomes_the_session_of_a_wsgi_application(
    sessions: StoredSessions[Any],
) -> None:
    client = Client(wsgi.ContextMiddleware(Replacing(dict).wsgi, sessions))
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]


def test_a_mapping_becomes_the_session_when_a_websocket_is_accepted(
    sessions: StoredSessions[Any],
) -> None:
    app = asgi.ContextMiddleware(Replacing(dict).asgi, sessions)

    async def main() -> int:
        accepted = await Exchange(app, websocket_scope()).run()
        again = await sessions.open_async(cookie_of(accepted))
        return int(again["n"])

    assert asyncio.run(main()) == 1


def test_it_is_loaded_first_where_the_application_does_not(sessions: StoredSessions[Any]) -> None:
    explicit = StoredSessions(sessions.store, cookie=sessions.cookie, load="explicit")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = {"path": scope["path"]}
        await answer(send)

    middleware = asgi.ContextMiddleware(app, explicit)

    async def main() -> dict[str, Any]:
        with_old = sessions.open("")
        with_old["old"] = 1
        cookie = sessions.save(with_old).cookies[0].partition(";")[0]
        await call(middleware, "/new", cookie=cookie)
        return dict(sessions.open(cookie))

    assert asyncio.run(main()) == {"path": "/new"}


def started(sessions: StoredSessions[Any], **values: Any) -> str:
    """Begin a session and return its cookie."""
    session = sessions.open("")
    session.user = "ada"
    session.flash("hello")
    session.update(values)
    return sessions.save(session).cookies[0].partition(";")[0]


def replaced_by(sessions: StoredSessions[Any], cookie: str, function: Any) -> Any:
    """Send a request that puts what ``function`` makes of the session in its place."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = function(scope["session"])
        await answer(send)

    exchange = asyncio.run(call(asgi.ContextMiddleware(app, sessions), cookie=cookie))
    lines = exchange.header("set-cookie")
    return sessions.open(lines[0].partition(";")[0] if lines else cookie)


def test_keys_that_it_lacks_are_gone_and_the_user_stays(sessions: StoredSessions[Any]) -> None:
    cookie = started(sessions, a=1, b=2)
    after = replaced_by(sessions, cookie, lambda session: {"b": 3, "c": [4]})
    assert dict(after) == {"b": 3, "c": [4]}
    assert (after.user, after.get_flashed()) == ("ada", [("message", "hello")])


class Empty(enum.Enum):
    """As Litestar's ``clear_session`` puts it there; older versions put a class."""

    EMPTY = 0


Empty.__module__ = "litestar.types.empty"


@pytest.mark.parametrize("empty", [{}, None, Empty, Empty.EMPTY], ids=repr)
def test_nothing_in_its_place_clears_the_session_and_logs_out(
    sessions: StoredSessions[Any], empty: Any
) -> None:
    after = replaced_by(sessions, started(sessions, a=1), lambda session: empty)
    assert (dict(after), after.user) == ({}, None)


def test_an_empty_dict_begins_no_session(sessions: StoredSessions[Any]) -> None:
    assert replaced_by(sessions, "", lambda session: {}).new
    assert isinstance(sessions.store, MemoryStore)
    assert sessions.store.stats().sessions == 0


def test_what_is_equal_merges_with_what_other_requests_do(sessions: StoredSessions[Any]) -> None:
    cookie = started(sessions, mine=1, theirs=1, items=[1])

    def replace(session: Any) -> Any:
        other = sessions.open(cookie)
        other["theirs"] = 2
        sessions.save(other)
        session["items"].append(2)
        return {**session, "mine": 2}

    after = replaced_by(sessions, cookie, replace)
    assert dict(after) == {"mine": 2, "theirs": 2, "items": [1, 2]}


def test_a_session_that_was_not_loaded_is_loaded_first() -> None:
    store = ThreadedStore(MemoryStore())
    sessions = StoredSessions(store, cookie=Cookie.for_development(), load="explicit")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/replace":
            scope["session"] = {"b": 3}
        else:
            await scope["session"].load()
            scope["session"].setdefault("a", 1)
        await answer(send)

    async def main() -> dict[str, Any]:
        middleware = asgi.ContextMiddleware(app, sessions)
        cookie = cookie_of(await call(middleware, "/begin"))
        await call(middleware, "/replace", cookie=cookie)
        session = await sessions.open_async(cookie)
        await session.load()
        return dict(session)

    assert asyncio.run(main()) == {"b": 3}


def test_a_set_that_others_add_to_is_kept(sessions: StoredSessions[Any]) -> None:
    first = sessions.open("")
    first.add_to_set("seen", 1)
    cookie = sessions.save(first).cookies[0].partition(";")[0]
    after = replaced_by(sessions, cookie, lambda session: {**session, "n": 1})
    assert dict(after) == {"seen": frozenset({1}), "n": 1}


@pytest.mark.parametrize("values", [{"a": object()}, {1: "a"}], ids=["value", "key"])
@pytest.mark.parametrize("protocol", ["asgi", "wsgi"])
def test_what_cannot_be_kept_is_refused(
    sessions: StoredSessions[Any], protocol: str, values: Any
) -> None:
    replacing = Replacing(lambda _: values)
    middleware = asgi.ContextMiddleware(replacing.asgi, sessions)
    client = Client(wsgi.ContextMiddleware(replacing.wsgi, sessions))
    send: Any = client.get if protocol == "wsgi" else partial(visits, middleware)
    with pytest.raises(UnstorableValueError):
        send("/")


def test_nothing_is_taken_over_with_a_500(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = {"n": 1}
        await answer(send, status=500)

    exchange = asyncio.run(call(asgi.ContextMiddleware(app, sessions)))
    assert exchange.header("set-cookie") == []


def test_the_session_stands_there_again_afterwards(sessions: StoredSessions[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = {"n": 1}
        await answer(send)
        assert scope["session"]["n"] == 1
        with pytest.raises(SessionClosedError):
            scope["session"]["n"] = 2

    visits(asgi.ContextMiddleware(app, sessions), "/")


# What is not taken over


def test_another_session_middleware_inside_is_named_once(
    sessions: StoredSessions[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def index(request: Any) -> PlainTextResponse:
        request.session["theirs"] = 1
        contexts.session["ours"] = 1
        return PlainTextResponse()

    app = Starlette(
        routes=[Route("/", index)],
        middleware=[
            Middleware(asgi.ContextMiddleware, sessions=sessions),
            Middleware(SessionMiddleware, secret_key="x"),
        ],
    )
    visits(app, "/", "/")
    (said,) = warnings(caplog)
    # A Session of starlette's own, or a plain dict of one that has none yet.
    assert said.startswith("scope['session'] is a ")
    assert "starlette.middleware.sessions" in said
    assert "take it out" in said


def plain_session_middleware(app: Any) -> Any:
    """As those of Litestar and of older Starlettes: a plain dict, and a cookie of its own."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = {}

        async def send_wrapper(message: Any) -> None:
            if message["type"] == "http.response.start" and scope["session"]:
                message["headers"].append((str.encode("Set-Cookie"), b"theirs=1"))
            await send(message)

        await app(scope, receive, send_wrapper)

    return middleware


def test_a_session_middleware_inside_that_uses_a_plain_dict_leaves_ours_alone(
    sessions: StoredSessions[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, str(contexts.session.incr("n")))

    middleware = asgi.ContextMiddleware(plain_session_middleware(app), sessions)
    assert visits(middleware, "/", "/") == ["1", "2"]
    (said,) = warnings(caplog)
    assert "send_wrapper" in said


@pytest.mark.parametrize(
    ("module", "texts", "is_one"),
    [
        ("theirs.sessions", (), True),
        ("theirs", ("session", "Set-Cookie"), True),
        ("theirs", ("session",), False),
        ("theirs", ("Set-Cookie",), False),
        ("theirs", (), False),
    ],
)
def test_middleware_inside_is_one_of_sessions_by_its_module_or_by_what_it_names(
    sessions: StoredSessions[Any],
    module: str,
    texts: tuple[str, ...],
    is_one: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    passing: dict[str, Any] = {"__name__": module}
    lines = [f"        text = {text!r}" for text in texts]
    source = ["def make(send):", "    async def passing(message):", *lines]
    source += ["        await send(message)", "    return passing"]
    exec("\n".join(source), passing)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        n = contexts.session.get("n", 0)
        scope["session"] = {"n": n + 1}
        await answer(passing["make"](send), str(n))

    middleware = asgi.ContextMiddleware(app, sessions)
    assert visits(middleware, "/", "/") == (["0", "0"] if is_one else ["0", "1"])
    if is_one:
        (said,) = warnings(caplog)
        assert f"{module}.passing" in said
    else:
        assert warnings(caplog) == []


@pytest.mark.parametrize("protocol", ["asgi", "wsgi"])
def test_an_object_that_is_no_mapping_is_named_once(
    sessions: StoredSessions[Any], protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    replacing = Replacing(lambda values: Visitor())
    if protocol == "asgi":
        visits(asgi.ContextMiddleware(replacing.asgi, sessions), "/", "/")
    else:
        client = Client(wsgi.ContextMiddleware(replacing.wsgi, sessions))
        client.get("/")
        client.get("/")
    (said,) = warnings(caplog)
    assert f"{__name__}.Visitor" in said


class Visitor:
    """What somebody may keep a session in."""


def test_what_is_put_there_after_the_header_is_said_to_be_lost(
    sessions: StoredSessions[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await answer(send)
        scope["session"] = {"n": 1}

    middleware = asgi.ContextMiddleware(app, sessions)
    asyncio.run(Exchange(middleware, websocket_scope()).run())
    asyncio.run(Exchange(middleware, http_scope()).run())
    (said,) = warnings(caplog)
    assert said.startswith("scope['session'] was replaced after the response had started")


def test_what_a_stream_puts_there_is_said_to_be_lost(
    sessions: StoredSessions[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        environ["ctxlocal.session"] = {"n": 1}

    assert Client(wsgi.ContextMiddleware(app, sessions)).get("/").text == "a"
    (said,) = warnings(caplog)
    assert said.startswith("environ['ctxlocal.session'] was replaced after")


def test_nested_wsgi_middlewares_each_save_their_own(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        n = environ["ctxlocal.session"].incr("n")
        start_response("200 OK", [])
        return [str(n).encode()]

    inner = wsgi.ContextMiddleware(app, new_sessions("inner"))
    client = Client(wsgi.ContextMiddleware(inner, new_sessions("outer")))
    assert [client.get("/").text for _ in range(2)] == ["1", "2"]
    assert warnings(caplog) == []
