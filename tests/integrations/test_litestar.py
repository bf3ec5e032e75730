"""Litestar's sessions, kept by ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, websocket
from litestar.exceptions import NotAuthorizedException
from litestar.response import Redirect

from ctxlocal import Local, ident
from ctxlocal.integrations.litestar import SessionMiddleware, request
from ctxlocal.sessions import Cookie, Session, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import session

from ..support.asgi_browser import Browser

local = Local(name="local")
KEY = "a key of thirty-two bytes, or more"
Any_Request = Request[Any, Any, Any]


@pytest.fixture(params=["context", "task"], autouse=True)
def strategy(request: pytest.FixtureRequest) -> Any:
    ident.set_default(request.param)
    return request.param


def stored(store: Any = None) -> StoredSessions[Any]:
    return StoredSessions(store or MemoryStore(), cookie=Cookie.for_development("s"))


@get("/show", sync_to_thread=False)
def show(request: Any_Request) -> dict[str, Any]:
    return dict(request.session)


@get("/put/{key:str}")
async def put(request: Any_Request) -> dict[str, Any]:
    request.session[request.path_params["key"]] = 1
    return dict(request.session)


@get("/set")
async def set_whole(request: Any_Request) -> None:
    request.set_session({"whole": 1})


@get("/clear")
async def clear(request: Any_Request) -> None:
    request.clear_session()


@get("/login")
async def login() -> Redirect:
    session.user = "ada"
    return Redirect("/show")


@get("/logout")
async def logout() -> None:
    session.destroy()


@get("/look")
async def look() -> list[Any]:
    local.n = getattr(local, "n", 0) + 1
    return [local.n, str(request.url.path), isinstance(request.session, Session)]


@get("/refuse")
async def refuse(request: Any_Request) -> None:
    request.session["tries"] = 1
    raise NotAuthorizedException


@get("/fail")
async def fail(request: Any_Request) -> None:
    request.session["half"] = "done"
    raise LookupError


@get("/apart", skip_session=True)
async def apart(request: Any_Request) -> bool:
    return "session" in request.scope and isinstance(request.scope["session"], Session)


@websocket("/chat")
async def chat(socket: WebSocket[Any, Any, Any]) -> None:
    values = dict(socket.session)
    await socket.accept()
    await socket.send_text(f"{values}")
    await socket.close()


PAGES: list[Any] = [
    *(show, put, set_whole, clear, login, logout, look, refuse, fail, apart, chat),
]


def browser_of(sessions: Any = None, *pages: Any, **options: Any) -> Browser:
    middleware = SessionMiddleware(sessions or stored(), **options)
    return Browser(Litestar([*PAGES, *pages], middleware=[middleware]))


@pytest.fixture(params=["stored", "signed"])
def browser(request: pytest.FixtureRequest) -> Browser:
    signed = SignedCookieSessions(KEY, cookie=Cookie.for_development("s"))
    return browser_of(signed if request.param == "signed" else None)


class TestSession:
    def test_it_goes_on(self, browser: Browser) -> None:
        assert browser.get("/show").json() == {}
        assert browser.get("/put/a").json() == {"a": 1}
        assert browser.get("/put/b").json() == {"a": 1, "b": 1}

    def test_set_whole_it_has_these_keys(self, browser: Browser) -> None:
        browser.get("/put/a")
        browser.get("/set")
        assert browser.get("/show").json() == {"whole": 1}

    def test_cleared_it_is_empty(self, browser: Browser) -> None:
        browser.get("/put/a")
        browser.get("/clear")
        assert browser.get("/show").json() == {}

    def test_after_a_logout_a_copy_of_the_cookie_is_worth_nothing(self) -> None:
        browser = browser_of()
        assert browser.get("/login").status == 302
        browser.get("/put/cart")
        stolen = dict(browser.cookies)
        browser.get("/logout")
        assert browser.cookies == {}
        browser.cookies = stolen
        assert browser.get("/show").json() == {}

    def test_what_a_request_changed_that_failed_is_not_kept(self, browser: Browser) -> None:
        browser.get("/put/a")
        assert browser.get("/fail").status == 500
        assert browser.get("/show").json() == {"a": 1}

    def test_what_one_changed_that_was_refused_is_kept(self, browser: Browser) -> None:
        assert browser.get("/refuse").status == 401
        assert browser.get("/show").json() == {"tries": 1}

    def test_overlapping_requests_lose_nothing(self) -> None:
        waiting: list[str] = []

        @get("/slow/{key:str}")
        async def slow(request: Any_Request) -> bool:
            key = local.key = request.path_params["key"]
            request.session[key] = 1
            waiting.append(key)
            while len(waiting) < 10:
                await asyncio.sleep(0)
            return bool(local.key == key)

        browser = browser_of(None, slow)
        browser.get("/put/a")
        keys = [f"k{number}" for number in range(10)]

        async def ask_all() -> list[Any]:
            answers = await asyncio.gather(*(browser.ask(f"/slow/{key}") for key in keys))
            return [answer.json() for answer in answers]

        assert asyncio.run(ask_all()) == [True] * 10
        assert set(browser.get("/show").json()) == {"a", *keys}

    def test_a_hang_up_keeps_nothing(self) -> None:
        has_begun = asyncio.Event()

        @get("/slow")
        async def slow(request: Any_Request) -> None:
            request.session["half"] = "done"
            has_begun.set()
            await asyncio.Event().wait()

        browser = browser_of(None, slow)
        browser.get("/put/a")

        asyncio.run(browser.hang_up("/slow", has_begun))
        assert browser.get("/show").json() == {"a": 1}

    def test_a_store_that_is_down_is_a_503_for_who_uses_the_session(self) -> None:
        class Down(MemoryStore):
            def load(self, key: str) -> Any:
                raise StoreUnavailableError("memory", "load")

        browser = browser_of(stored(Down()))
        browser.cookies["s"] = "A" * 43
        assert browser.get("/apart").json() is False
        assert browser.get("/show").status == 503


class TestContext:
    def test_each_request_has_its_own(self, browser: Browser) -> None:
        assert browser.get("/look").json() == [1, "/look", True]
        assert browser.get("/look").json() == [1, "/look", True]

    def test_a_web_socket_has_the_session(self, browser: Browser) -> None:
        browser.get("/put/a")
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = {**browser.scope("/chat", kind="websocket"), "subprotocols": []}
        asyncio.run(browser.app(scope, receive, send))
        assert sent[1]["text"] == "{'a': 1}"

    def test_excluded_routes_have_none(self) -> None:
        browser = browser_of(exclude="/show")
        assert browser.get("/show").status == 500
        assert browser.get("/apart").json() is False


def test_what_is_no_session_interface_is_refused() -> None:
    with pytest.raises(SessionConfigError, match="a store was given"):
        SessionMiddleware(MemoryStore())  # type: ignore[arg-type]
