"""aiohttp's requests in our contexts, with our sessions; against its own server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import CookieJar, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from ctxlocal import Local, ident, unwrap
from ctxlocal.integrations import _versions, aiohttp
from ctxlocal.integrations.aiohttp import SESSION, middleware, prepare
from ctxlocal.sessions import Cookie, Session, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import session

local = Local(name="local")
KEY = "a key of thirty-two bytes, or more"
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(params=["context", "task"], autouse=True)
def strategy(request: pytest.FixtureRequest) -> Any:
    ident.set_default(request.param)
    return request.param


def stored(store: Any = None) -> StoredSessions[Any]:
    return StoredSessions(store or MemoryStore(), cookie=Cookie.for_development("s"))


@asynccontextmanager
async def serving(sessions: Any = None, **pages: Page) -> AsyncIterator[Any]:
    app = web.Application(middlewares=[middleware(sessions or stored())])
    pages = {"show": show, "put": put, "login": login, "logout": logout, **pages}
    for name, page in pages.items():
        app.router.add_get(f"/{name}", page)
    async with TestServer(app) as server:
        yield server


def browser_of(server: Any) -> TestClient[Any, Any]:
    return TestClient(server, cookie_jar=CookieJar(unsafe=True, quote_cookie=False))


async def show(request: web.Request) -> web.Response:
    return web.json_response(dict(request[SESSION]))


async def put(request: web.Request) -> web.Response:
    request[SESSION].update(request.query)
    return await show(request)


async def login(request: web.Request) -> web.Response:
    request[SESSION].user = request.query["user"]
    raise web.HTTPFound("/show")


async def logout(request: web.Request) -> web.Response:
    request[SESSION].destroy()
    return web.Response()


async def get(browser: TestClient[Any, Any], path: str) -> Any:
    async with browser.get(path) as answer:
        assert answer.status == 200
        return json.loads(await answer.text())


@pytest.mark.asyncio
async def test_a_session_goes_on() -> None:
    async with serving() as server, browser_of(server) as browser:
        assert await get(browser, "/show") == {}
        assert await get(browser, "/put?a=1") == {"a": "1"}
        assert await get(browser, "/put?b=2") == {"a": "1", "b": "2"}


@pytest.mark.asyncio
async def test_so_it_does_in_a_cookie() -> None:
    signed = SignedCookieSessions(KEY, cookie=Cookie.for_development())
    async with serving(signed) as server, browser_of(server) as browser:
        await get(browser, "/put?a=1")
        assert await get(browser, "/show") == {"a": "1"}


@pytest.mark.asyncio
async def test_the_header_says_what_the_session_asks_for() -> None:
    async def vary(request: web.Request) -> web.Response:
        request[SESSION]["a"] = 1
        headers = {"Vary": "Accept", "Cache-Control": "public", "X-Shop": "lamps"}
        response = web.Response(headers=headers)
        response.set_cookie("own", "1")
        return response

    async def apart(request: web.Request) -> web.Response:
        return web.Response(headers={"Vary": "Accept"})

    async with serving(vary=vary, apart=apart) as server, browser_of(server) as browser:
        async with browser.get("/vary") as answer:
            assert answer.headers.getall("Vary") == ["Accept", "Cookie"]
            assert answer.headers.getall("Cache-Control") == ["no-store"]
            assert answer.headers["X-Shop"] == "lamps"
            assert set(answer.cookies) == {"s", "own"}
        async with browser.get("/apart") as answer:
            assert answer.headers.getall("Vary") == ["Accept"]
            assert not answer.cookies


@pytest.mark.asyncio
async def test_a_login_holds_and_a_logout_ends_what_was_copied() -> None:
    async with serving() as server, browser_of(server) as browser, browser_of(server) as thief:
        async with browser.get("/login?user=ada") as answer:  # a redirect that is raised
            assert [each.status for each in answer.history] == [302]
        await get(browser, "/put?cart=full")
        (stolen,) = list(browser.session.cookie_jar)
        thief.session.cookie_jar.update_cookies({"s": stolen.value})
        assert await get(thief, "/show") == {"cart": "full"}
        async with browser.get("/logout") as answer:
            assert answer.cookies["s"].value == ""
        assert await get(thief, "/show") == {}


@pytest.mark.asyncio
async def test_overlapping_requests_lose_nothing() -> None:
    all_are_in = asyncio.Event()
    waiting: list[str] = []

    async def slow(request: web.Request) -> web.Response:
        (key,) = request.query
        request[SESSION][key] = local.key = key
        waiting.append(key)
        if len(waiting) == 10:
            all_are_in.set()
        await all_are_in.wait()
        return web.json_response(local.key == key)

    async with serving(slow=slow) as server, browser_of(server) as browser:
        await get(browser, "/put?a=1")
        keys = [f"k{number}" for number in range(10)]
        answers = await asyncio.gather(*(get(browser, f"/slow?{key}=1") for key in keys))
        assert answers == [True] * 10
        assert set(await get(browser, "/show")) == {"a", *keys}


@pytest.mark.asyncio
async def test_a_request_whose_client_hangs_up_keeps_nothing_and_disturbs_nobody() -> None:
    has_begun, may_end, is_over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        request[SESSION]["half"] = "done"
        local.left = "behind"
        has_begun.set()
        try:
            await may_end.wait()
        finally:
            is_over.set()
        raise LookupError

    async def look(request: web.Request) -> web.Response:
        return web.json_response(hasattr(local, "left"))

    async with serving(slow=slow, look=look) as server, browser_of(server) as browser:
        await get(browser, "/put?a=1")
        going = asyncio.create_task(get(browser, "/slow"))
        await has_begun.wait()
        going.cancel()
        await asyncio.wait([going])
        may_end.set()
        await is_over.wait()
        assert await get(browser, "/show") == {"a": "1"}
        assert await get(browser, "/look") is False


@pytest.mark.asyncio
async def test_requests_of_one_connection_have_contexts_of_their_own() -> None:
    async def count(request: web.Request) -> web.Response:
        local.n = getattr(local, "n", 0) + 1
        assert unwrap(aiohttp.request) is request
        assert isinstance(unwrap(session), Session)
        return web.json_response([local.n, aiohttp.request.path])

    async with serving(count=count) as server, browser_of(server) as browser:
        for _ in range(3):
            assert await get(browser, "/count") == [1, "/count"]


@pytest.mark.asyncio
async def test_a_dict_in_its_place_becomes_the_session() -> None:
    async def assign(request: web.Request) -> web.Response:
        request[SESSION] = {"b": 2}
        return web.Response()

    async with serving(assign=assign) as server, browser_of(server) as browser:
        await get(browser, "/put?a=1")
        async with browser.get("/assign"):
            pass
        assert await get(browser, "/show") == {"b": 2}


@pytest.mark.asyncio
@pytest.mark.parametrize("raises", [LookupError, web.HTTPInternalServerError])
async def test_what_a_request_changed_that_failed_is_not_kept(raises: Any) -> None:
    async def fail(request: web.Request) -> web.Response:
        request[SESSION]["half"] = "done"
        raise raises

    async with serving(fail=fail) as server, browser_of(server) as browser:
        await get(browser, "/put?a=1")
        async with browser.get("/fail") as answer:
            assert answer.status == 500
        assert await get(browser, "/show") == {"a": "1"}


@pytest.mark.asyncio
async def test_a_store_that_is_down_is_a_503_for_who_uses_the_session() -> None:
    class Down(MemoryStore):
        def load(self, key: str) -> Any:
            raise StoreUnavailableError("memory", "load")

    async def apart(request: web.Request) -> web.Response:
        return web.json_response(1)

    sessions = stored(Down())
    async with serving(sessions, apart=apart) as server, browser_of(server) as browser:
        browser.session.cookie_jar.update_cookies({"s": "A" * 43})
        assert await get(browser, "/apart") == 1
        async with browser.get("/show") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert await answer.text() == "The session store is unavailable.\n"


@pytest.mark.asyncio
async def test_a_stream_and_a_web_socket_prepare_with_the_session() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        request[SESSION]["n"] = 1
        response = web.StreamResponse()
        await prepare(response, request)
        await response.write(b"1")
        return response

    async def socket(request: web.Request) -> web.StreamResponse:
        request[SESSION]["m"] = 2
        response = web.WebSocketResponse()
        await prepare(response, request)
        await response.send_json(dict(request[SESSION]))
        await response.close()
        return response

    async with serving(stream=stream, socket=socket) as server, browser_of(server) as browser:
        assert await get(browser, "/stream") == 1
        async with browser.ws_connect("/socket") as chat:
            assert await chat.receive_json() == {"n": 1, "m": 2}
            assert (await chat.receive()).type is WSMsgType.CLOSE
        assert await get(browser, "/show") == {"n": 1, "m": 2}


@pytest.mark.asyncio
async def test_a_cookie_that_comes_too_late_is_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        request[SESSION]["n"] = 1
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    async with serving(stream=stream) as server, browser_of(server) as browser:
        async with browser.get("/stream") as answer:
            assert answer.status == 200
        (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
        assert "was sent before its session was saved" in record.getMessage()
        caplog.clear()
        await get(browser, "/put?a=1")
        async with browser.get("/stream"):  # which needs no other cookie
            pass
        assert await get(browser, "/show") == {"a": "1", "n": 1}
        assert [each for each in caplog.records if each.levelno > logging.INFO] == []


@pytest.mark.asyncio
async def test_standing_twice_it_says_so() -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        raise AssertionError

    serve = middleware(stored())

    async def inner(request: web.Request) -> web.StreamResponse:
        with pytest.raises(SessionConfigError, match=r"^middleware: it stands twice"):
            await serve(request, never)
        return web.json_response(1)

    async with serving(inner=inner) as server, browser_of(server) as browser:
        assert await get(browser, "/inner") == 1


def test_a_store_is_refused() -> None:
    with pytest.raises(SessionConfigError, match="a store was given"):
        middleware(MemoryStore())  # type: ignore[arg-type]


def test_an_old_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        r"^This integration is for aiohttp from 3\.11 on, and 3\.9\.5rc1 is installed\. pip "
        r"install -U aiohttp; or else\.$"
    )
    monkeypatch.setattr(_versions, "version", lambda name: "3.9.5rc1")
    with pytest.raises(_versions.UnsupportedVersionError, match=text):
        _versions.require("aiohttp", "3.11", "or else.")
    monkeypatch.setattr(_versions, "version", lambda name: "4.0.0a1")
    _versions.require("aiohttp", "3.11", "or else.")
