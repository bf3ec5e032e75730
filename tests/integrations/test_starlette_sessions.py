"""Starlette's SessionMiddleware by ours: the same arguments, cookie and dict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as Starlettes
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute

from ctxlocal import ident
from ctxlocal.integrations.starlette import ContextMiddleware, SessionMiddleware, sessions_of
from ctxlocal.sessions import Cookie, Session, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import session as web_session

from ..support.asgi_browser import Browser

KEY = "a key of thirty-two bytes, or more"
FORMER: dict[str, Any] = {"secret_key": "short"}
STORES = ["signed", "encrypted", "memory:"]


async def do(request: Request) -> JSONResponse:
    """Do what the address says, and show what is in the session then."""
    session: Any = request.session
    match request.path_params["action"].split(":"):
        case ["put", key, value]:
            session[key] = value
        case ["pop", key]:
            session.pop(key)
        case ["clear"]:
            session.clear()
        case ["assign", key, value]:
            request.scope["session"] = {key: value}
            session = request.scope["session"]
        case ["login", user]:
            session.user = user
        case ["fail"]:
            session["half"] = "done"
            raise RuntimeError("fails")
        case ["nothing"]:
            return JSONResponse({})
    return JSONResponse(dict(session))


def make_app(*middleware: Any, **options: Any) -> Starlette:
    if not middleware:
        options = {"secret_key": KEY, **options}
        middleware = (Middleware(SessionMiddleware, **options),)
    routes = [Route("/{action}", do, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=list(middleware))


@pytest.fixture(params=STORES)
def browser(request: pytest.FixtureRequest) -> Browser:
    return Browser(make_app(store=request.param))


@pytest.fixture(params=["context", "task"])
def strategy(request: pytest.FixtureRequest) -> None:
    ident.set_default(request.param)


@pytest.mark.usefixtures("strategy")
class TestSession:
    def test_it_is_there_in_the_next_request(self, browser: Browser) -> None:
        assert browser.get("/show").json() == {}
        assert browser.get("/put:a:1").json() == {"a": "1"}
        assert browser.get("/put:b:2").json() == {"a": "1", "b": "2"}
        assert browser.get("/pop:a").json() == {"b": "2"}
        assert browser.get("/show").json() == {"b": "2"}

    def test_cleared_it_is_empty(self, browser: Browser) -> None:
        browser.get("/put:a:1")
        assert browser.get("/clear").json() == {}
        assert browser.get("/show").json() == {}

    @pytest.mark.parametrize("browser", ["signed", "encrypted"], indirect=True)
    def test_cleared_the_cookie_is_deleted(self, browser: Browser) -> None:
        browser.get("/put:a:1")
        browser.get("/clear")
        assert browser.cookies == {}

    def test_it_is_ctxlocals(self, browser: Browser) -> None:
        async def page(request: Request) -> JSONResponse:
            assert isinstance(request.session, Session)
            web_session["a"] = 1
            return JSONResponse(request.session["a"])

        browser.app = make_app()
        browser.app.router.routes.insert(0, Route("/page", page))
        assert browser.get("/page").json() == 1

    def test_a_cookie_that_is_none_of_ours_is_an_empty_session(self, browser: Browser) -> None:
        browser.cookies["session"] = "invalid"
        assert browser.get("/show").json() == {}
        assert browser.get("/put:a:1").json() == {"a": "1"}

    def test_a_dict_that_is_assigned_becomes_the_session(self, browser: Browser) -> None:
        browser.get("/put:a:1")
        browser.get("/assign:b:2")
        assert browser.get("/show").json() == {"b": "2"}

    def test_what_a_request_changed_that_failed_is_not_kept(self, browser: Browser) -> None:
        browser.get("/put:a:1")
        with pytest.raises(RuntimeError, match="fails"):
            browser.get("/fail")
        assert browser.get("/show").json() == {"a": "1"}

    def test_popitem_takes_the_last_key(self) -> None:
        session: Any = SignedCookieSessions(KEY).open("")
        session.update(a=1, b=2)
        assert session.popitem() == ("b", 2)
        assert session.popitem() == ("a", 1)
        with pytest.raises(KeyError, match=r"popitem\(\): the session is empty"):
            session.popitem()

    def test_a_web_socket_has_it(self, browser: Browser) -> None:
        async def chat(socket: Any) -> None:
            socket.session["b"] = 2
            await socket.accept()
            await socket.send_json(dict(socket.session))
            await socket.close()

        browser.get("/put:a:1")
        browser.app.router.routes.append(WebSocketRoute("/chat", chat))
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        asyncio.run(browser.app(browser.scope("/chat", kind="websocket"), receive, send))
        assert sent[1]["text"].replace(" ", "") == '{"a":"1","b":2}'
        assert any(name == b"set-cookie" for name, _ in sent[0]["headers"])


class TestCookie:
    def line(self, **options: Any) -> str:
        (line,) = Browser(make_app(**options)).get("/put:a:1").all("set-cookie")
        return line.partition(";")[2].lower()

    def test_it_lasts_as_long_as_starlettes(self) -> None:
        assert self.line() == " max-age=1209600; path=/; httponly; samesite=lax"
        assert "max-age=60;" in self.line(max_age=60)

    def test_without_max_age_it_ends_with_the_browser(self) -> None:
        assert "max-age" not in self.line(max_age=None)

    def test_its_attributes_are_those_given(self) -> None:
        options = {"path": "/shop", "domain": ".example.com", "same_site": "none"}
        assert self.line(https_only=True, partitioned=True, **options) == (
            " max-age=1209600; path=/shop; domain=.example.com; secure; httponly; samesite=none; "
            "partitioned"
        )

    @pytest.mark.parametrize("store", STORES)
    def test_it_is_sent_when_the_session_changes(self, store: str) -> None:
        browser = Browser(make_app(store=store))
        assert browser.get("/put:a:1").all("set-cookie")
        assert not browser.get("/show").all("set-cookie")

    def test_a_login_alone_lasts_too(self) -> None:
        browser = Browser(make_app(store="memory:"))
        (line,) = browser.get("/login:ada").all("set-cookie")
        assert "Max-Age=1209600;" in line

    def test_a_response_varies_by_it_where_the_session_was_used(self, browser: Browser) -> None:
        assert browser.get("/put:a:1").all("vary") == ["Cookie"]
        assert browser.get("/show").all("vary") == ["Cookie"]
        assert browser.get("/nothing").all("vary") == []

    def test_of_several_keys_the_first_signs_and_all_verify(self) -> None:
        browser = Browser(make_app(secret_key=Secret(KEY)))
        browser.get("/put:a:1")
        browser.app = make_app(secret_key=["another, of thirty-two bytes or more", Secret(KEY)])
        assert browser.get("/put:b:2").json() == {"a": "1", "b": "2"}
        browser.app = make_app(secret_key="another, of thirty-two bytes or more")
        assert browser.get("/show").json() == {"a": "1", "b": "2"}
        browser.app = make_app()
        assert browser.get("/show").json() == {}


@pytest.mark.usefixtures("strategy")
class TestStore:
    def test_a_login_can_be_ended_elsewhere(self) -> None:
        store = MemoryStore()

        async def end(request: Request) -> JSONResponse:
            count = await sessions_of().revoke_all_async(
                "ada", except_current=request.scope["session"]
            )
            return JSONResponse(count)

        app = make_app(store=store, secret_key=None)
        app.router.routes.insert(0, Route("/end", end))
        here, there = Browser(app), Browser(app)
        for each in (here, there):
            each.get("/login:ada")
            each.get("/put:cart:full")
        assert here.get("/end").json() == 1
        assert there.get("/show").json() == {}
        assert here.get("/show").json() == {"cart": "full"}

    def test_the_cookie_of_before_a_logout_is_worth_nothing(self) -> None:
        browser = Browser(make_app(store="memory:"))
        browser.get("/login:ada")
        browser.get("/put:cart:full")
        stolen = dict(browser.cookies)
        browser.get("/clear")
        browser.cookies = stolen
        assert browser.get("/show").json() == {}

    def test_overlapping_requests_lose_nothing(self) -> None:
        both_are_in = asyncio.Event()
        arrived: list[str] = []

        async def page(request: Request) -> JSONResponse:
            key = request.path_params["key"]
            request.session[key] = 1
            arrived.append(key)
            if len(arrived) == 2:
                both_are_in.set()
            await both_are_in.wait()
            return JSONResponse({})

        app = make_app(store="memory:")
        app.router.routes.insert(0, Route("/overlap/{key}", page))
        browser = Browser(app)
        browser.get("/put:a:1")

        async def ask_both() -> None:
            await asyncio.gather(browser.ask("/overlap/b"), browser.ask("/overlap/c"))

        asyncio.run(ask_both())
        assert set(browser.get("/show").json()) == {"a", "b", "c"}

    def test_a_hang_up_keeps_nothing(self) -> None:
        has_begun = asyncio.Event()

        async def page(request: Request) -> JSONResponse:
            request.session["half"] = "done"
            has_begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        app = make_app(store="memory:")
        app.router.routes.insert(0, Route("/slow", page))
        browser = Browser(app)
        browser.get("/put:a:1")

        asyncio.run(browser.hang_up("/slow", has_begun))
        assert browser.get("/show").json() == {"a": "1"}


class TestImport:
    def visitor(self, app: Any, **options: Any) -> Browser:
        """Return a browser with a session of Starlette's, in another application now."""
        former = Middleware(Starlettes, **{**FORMER, **options})
        browser = Browser(make_app(former))
        browser.get("/put:cart:full")
        browser.app = app
        return browser

    @pytest.mark.parametrize("store", STORES)
    def test_a_visitor_keeps_what_he_had(self, store: str) -> None:
        visitor = self.visitor(make_app(store=store, import_from=FORMER))
        former = visitor.cookies["session"]
        answer = visitor.get("/put:b:2")
        assert answer.json() == {"cart": "full", "b": "2"}
        assert len(answer.all("set-cookie")) == 1
        assert visitor.cookies["session"] != former
        visitor.app.user_middleware[0].kwargs.pop("import_from")
        assert visitor.get("/show").json() == {"cart": "full", "b": "2"}

    def test_so_he_does_where_the_endpoint_asks_for_nothing(self) -> None:
        visitor = self.visitor(make_app(store="memory:", import_from=FORMER))
        former = visitor.cookies["session"]
        visitor.get("/nothing")
        assert visitor.cookies["session"] not in ("", former)
        assert visitor.get("/show").json() == {"cart": "full"}

    @pytest.mark.parametrize("store", STORES)
    def test_who_logs_out_at_once_is_logged_out(self, store: str) -> None:
        visitor = self.visitor(make_app(store=store, import_from=FORMER))
        visitor.get("/clear")
        assert visitor.cookies == {}
        assert visitor.get("/show").json() == {}

    def test_a_cookie_of_another_name_is_deleted(self) -> None:
        former = {**FORMER, "session_cookie": "former", "path": "/"}
        visitor = self.visitor(make_app(store="memory:", import_from=former), **former)
        visitor.get("/show")
        assert set(visitor.cookies) == {"session"}
        assert visitor.get("/show").json() == {"cart": "full"}

    def test_one_of_another_path_is_deleted_though_it_has_the_name(self) -> None:
        former = {**FORMER, "path": "/shop"}
        visitor = self.visitor(make_app(import_from=former), **former)
        lines = visitor.get("/show").all("set-cookie")
        assert [line.lower().split("path=")[1].split(";")[0] for line in lines] == ["/shop", "/"]
        assert visitor.get("/show").json() == {"cart": "full"}

    def test_what_is_there_of_ours_is_not_replaced(self) -> None:
        former = {**FORMER, "session_cookie": "former"}
        visitor = Browser(make_app(store="memory:", import_from=former))
        visitor.get("/put:mine:1")
        visitor.cookies |= self.visitor(None, **former).cookies
        assert visitor.get("/show").json() == {"mine": "1"}

    def test_who_has_logged_out_is_not_logged_in_by_what_came_meanwhile(self) -> None:
        former = {**FORMER, "session_cookie": "former", "path": "/"}
        visitor = Browser(make_app(import_from=former))
        visitor.get("/put:mine:1")
        visitor.cookies |= self.visitor(None, **former).cookies  # of a server that is still old
        visitor.get("/show")
        visitor.get("/clear")
        assert visitor.get("/show").json() == {}

    @pytest.mark.parametrize("secret", ["another", "short"], ids=["forged", "expired"])
    def test_what_starlette_would_refuse_is_refused(self, secret: str) -> None:
        options = {"secret_key": secret, "max_age": -1 if secret == "short" else 60}
        visitor = self.visitor(make_app(import_from=options))
        if secret == "another":
            visitor.cookies["session"] = visitor.cookies["session"][:-1]
        assert visitor.get("/show").json() == {}

    def test_it_is_kept_while_the_store_is_down(self) -> None:
        class Down(MemoryStore):
            is_down = True

            def create(self, *arguments: Any) -> bool:
                if self.is_down:
                    raise StoreUnavailableError("memory", "create")
                return super().create(*arguments)

        store = Down()
        visitor = self.visitor(make_app(store=store, import_from=FORMER))
        assert visitor.get("/nothing").status == 503
        store.is_down = False
        assert visitor.get("/show").json() == {"cart": "full"}

    def test_an_argument_that_starlettes_has_not_is_refused(self) -> None:
        with pytest.raises(TypeError, match="secret"):
            SessionMiddleware(None, KEY, import_from={"secret": "short"})


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"secret_key": "example"}, "keys: number 1 has 7 bytes; it needs 32 at least"),
            ({"secret_key": None}, "secret_key: it is not set, and store='signed' needs it"),
            ({"secret_key": [KEY, KEY]}, "keys: number 2 repeats another"),
            ({"max_age": -1}, "max_age: -1 is not from 1 to 34560000 seconds, or None"),
            ({"max_age": "60"}, "max_age: '60' is not from 1"),
            ({"same_site": "none"}, "secure: same_site='None' needs it"),
            ({"same_site": "any"}, "same_site: 'Any' is none of 'Lax', 'Strict', 'None'"),
            ({"store": "redis"}, "url: it names no kind of store"),
            (
                {"store": SignedCookieSessions(KEY)},
                "store: a SignedCookieSessions has a cookie of its own; give it to "
                r"ContextMiddleware\(sessions=...\)",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_be_used_is_refused(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(SessionConfigError, match=f"^{text}"):
            SessionMiddleware(None, **{"secret_key": KEY, **options})

    def test_further_settings_are_those_of_stored_sessions(self) -> None:
        middleware: Any = SessionMiddleware(None, store=MemoryStore(), settings={"max_sessions": 3})
        assert middleware.sessions.max_sessions == 3

    @pytest.mark.parametrize(
        "others",
        [
            [Middleware(Starlettes, secret_key="x")],
            [Middleware(SessionMiddleware, secret_key=KEY)],
            [Middleware(ContextMiddleware)],
        ],
        ids=["Starlette's", "itself", "a ContextMiddleware"],
    )
    @pytest.mark.parametrize("is_inside", [True, False], ids=["inside", "around"])
    def test_two_that_claim_the_session_are_refused_at_the_start(
        self, others: list[Middleware], is_inside: bool
    ) -> None:
        ours = [Middleware(SessionMiddleware, secret_key=KEY)]
        app = make_app(*(ours + others if is_inside else others + ours))
        text = r"^middleware: .*Middleware and .*Middleware stand in one application"
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        with pytest.raises(SessionConfigError, match=text):
            asyncio.run(app({"type": "lifespan"}, receive, send))
        assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
        assert "stand in one application" in sent[0]["message"]
        with pytest.raises(SessionConfigError, match=text):
            Browser(app).get("/show")

    def test_so_is_one_cookie_for_an_application_and_a_mounted_one(self) -> None:
        def nested(**options: Any) -> Browser:
            inner = make_app(store="memory:", **options)
            ours = Middleware(SessionMiddleware, store="memory:")
            return Browser(Starlette(routes=[Mount("/in", inner)], middleware=[ours]))

        with pytest.raises(SessionConfigError, match=r"^cookie: 'session' is that of a middleware"):
            nested().get("/in/show")
        assert nested(session_cookie="inner").get("/in/put:a:1").json() == {"a": "1"}
        assert nested(path="/in").get("/in/put:a:1").json() == {"a": "1"}

    def test_contexts_alone_may_have_starlettes_inside(self) -> None:
        app = make_app(Middleware(ContextMiddleware), Middleware(Starlettes, secret_key="x"))
        assert Browser(app).get("/put:a:1").json() == {"a": "1"}

    def test_a_context_middleware_with_sessions_is_as_strict(self) -> None:
        sessions = StoredSessions(MemoryStore(), cookie=Cookie.for_development())
        ours = Middleware(ContextMiddleware, sessions=sessions)
        app = make_app(ours, Middleware(Starlettes, secret_key="x"))
        with pytest.raises(SessionConfigError, match="stand in one application"):
            Browser(app).get("/show")
