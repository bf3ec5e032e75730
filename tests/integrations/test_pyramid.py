"""Pyramid's session, kept by ours."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.csrf import LegacySessionCSRFStoragePolicy
from pyramid.httpexceptions import HTTPFound
from pyramid.interfaces import ISession
from pyramid.response import Response
from werkzeug.test import Client
from zope.interface.verify import verifyObject

from ctxlocal import Local, ident
from ctxlocal.integrations.pyramid import session_factory
from ctxlocal.sessions import Cookie, Session, SignedCookieSessions, StoredSessions
from ctxlocal.sessions.errors import SessionClosedError, SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.web import session as web_session
from ctxlocal.web.wsgi import ContextMiddleware

from ..support.patience import PATIENCE_S

local = Local(name="local")
KEY = "a key of thirty-two bytes, or more"


@pytest.fixture(params=["context", "thread"], autouse=True)
def strategy(request: pytest.FixtureRequest) -> Any:
    ident.set_default(request.param)
    return request.param


def stored(store: Any = None) -> StoredSessions[Any]:
    return StoredSessions(store or MemoryStore(), cookie=Cookie.for_development("s"))


def make_app(sessions: Any = None, **views: Any) -> Any:
    with Configurator() as config:
        config.set_session_factory(session_factory(sessions or stored()))
        config.include("ctxlocal.integrations.pyramid")
        config.set_csrf_storage_policy(LegacySessionCSRFStoragePolicy())
        for name, view in {**VIEWS, **views}.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name, renderer="json")
        config.add_route("form", "/form")
        config.add_view(
            lambda request: "taken", route_name="form", renderer="json", require_csrf=True
        )
        return config.make_wsgi_app()


def put(request: Any) -> dict[str, Any]:
    request.session.update(request.params)
    return dict(request.session)


def login(request: Any) -> Any:
    request.session.user = "ada"
    raise HTTPFound("/show")


def logout(request: Any) -> int:
    request.session.invalidate()
    return 0


def fail(request: Any) -> None:
    request.session["half"] = "done"
    raise LookupError


VIEWS: dict[str, Any] = {
    "show": lambda request: dict(request.session),
    "put": put,
    "login": login,
    "logout": logout,
    "fail": fail,
    "apart": lambda request: 1,
    "token": lambda request: request.session.get_csrf_token(),
    "new_token": lambda request: request.session.new_csrf_token(),
}


def get(browser: Client, path: str) -> Any:
    answer = browser.get(path)
    assert answer.status_code == 200
    return json.loads(answer.text)


@pytest.fixture(params=["stored", "signed"])
def browser(request: pytest.FixtureRequest) -> Client:
    signed = SignedCookieSessions(KEY, cookie=Cookie.for_development("s"))
    return Client(make_app(signed if request.param == "signed" else None))


class TestSession:
    def test_it_goes_on(self, browser: Client) -> None:
        assert get(browser, "/show") == {}
        assert get(browser, "/put?a=1") == {"a": "1"}
        assert get(browser, "/put?b=2") == {"a": "1", "b": "2"}

    def test_a_response_varies_by_it_where_it_was_used(self, browser: Client) -> None:
        assert browser.get("/show").headers["Vary"] == "Cookie"
        assert "Vary" not in browser.get("/apart").headers

    def test_after_a_logout_a_copy_of_the_cookie_is_worth_nothing(self) -> None:
        browser = Client(make_app())
        assert browser.get("/login").status_code == 302
        get(browser, "/put?cart=full")
        stolen: Any = browser.get_cookie("s")
        get(browser, "/logout")
        assert browser.get_cookie("s") is None
        browser.set_cookie("s", stolen.value)
        assert get(browser, "/show") == {}

    def test_what_a_request_changed_that_failed_is_not_kept(self, browser: Client) -> None:
        get(browser, "/put?a=1")
        with pytest.raises(LookupError):
            browser.get("/fail")
        assert get(browser, "/show") == {"a": "1"}

    def test_nor_is_it_where_that_is_answered_500(self) -> None:
        def answered(request: Any) -> Response:
            request.session["half"] = "done"
            return Response(status=500)

        browser = Client(make_app(answered=answered))
        get(browser, "/put?a=1")
        assert browser.get("/answered").headers["Vary"] == "Cookie"
        assert get(browser, "/show") == {"a": "1"}

    def test_overlapping_requests_lose_nothing(self) -> None:
        all_are_in = threading.Barrier(5)

        def slow(request: Any) -> int:
            (key,) = request.params
            request.session[key] = 1
            request.session.flash(key)
            all_are_in.wait(PATIENCE_S)
            return 1

        app = make_app(slow=slow, flashed=lambda request: request.session.pop_flash())
        browser = Client(app)
        get(browser, "/put?a=1")
        cookie: Any = browser.get_cookie("s")
        keys = [f"k{number}" for number in range(5)]

        def ask(key: str) -> None:
            other = Client(app)
            other.set_cookie("s", cookie.value)
            get(other, f"/slow?{key}=1")

        threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert set(get(browser, "/flashed")) == set(keys)
        assert set(get(browser, "/show")) == {"a", *keys}

    def test_it_ends_with_its_request(self) -> None:
        kept: list[Any] = []

        def hang_up(request: Any) -> None:
            kept.append(request.session)
            raise GeneratorExit  # as servers end a request whose client has gone

        with pytest.raises(GeneratorExit):
            Client(make_app(hang_up=hang_up)).get("/hang_up")
        with pytest.raises(SessionClosedError):
            kept[0]["late"] = 1

    @pytest.mark.parametrize("operation", ["load", "create"])
    def test_a_store_that_is_down_is_a_503(self, operation: str) -> None:
        class Down(MemoryStore):
            pass

        def fail(*arguments: Any) -> Any:
            raise StoreUnavailableError("memory", operation)

        setattr(Down, operation, fail)
        browser = Client(make_app(stored(Down())))
        if operation == "load":
            browser.set_cookie("s", "A" * 43)
        assert get(browser, "/apart") == 1
        answer = browser.get("/put?a=1")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.text == "The session store is unavailable.\n"

    def test_a_mistake_of_the_program_is_none_of_the_stores(self) -> None:
        def view(request: Any) -> None:
            request.session["a"] = object()

        with pytest.raises(TypeError, match="cannot be stored"):
            Client(make_app(view=view)).get("/view")


class TestPyramids:
    def test_it_is_one_by_its_interface(self) -> None:
        def view(request: Any) -> int:
            verifyObject(ISession, request.session)
            assert isinstance(request.session.created, int)
            request.session.changed()
            return int(request.session.new)

        browser = Client(make_app(view=view))
        assert get(browser, "/view") == 1
        get(browser, "/put?a=1")
        assert get(browser, "/view") == 0

    def test_messages_stay_until_they_are_taken(self) -> None:
        def flash(request: Any) -> int:
            session = request.session
            session.flash("first")
            session.flash({"second": 2}, allow_duplicate=False)
            session.flash("first", allow_duplicate=False)
            session.flash("other", queue="a:b")
            return 0

        def peek(request: Any) -> Any:
            return request.session.peek_flash()

        def pop(request: Any) -> Any:
            return [request.session.pop_flash(queue) for queue in ("", "a:b", "a")]

        browser = Client(make_app(flash=flash, peek=peek, pop=pop))
        get(browser, "/flash")
        assert get(browser, "/peek") == ["first", {"second": 2}]
        assert get(browser, "/pop") == [["first", {"second": 2}], ["other"], []]
        assert get(browser, "/pop") == [[], [], []]

    def test_a_token_is_kept_and_asked_for(self, browser: Client) -> None:
        token = get(browser, "/token")
        assert get(browser, "/token") == token
        assert browser.post("/form").status_code == 400
        assert browser.post("/form", data={"csrf_token": token}).status_code == 200
        assert get(browser, "/new_token") != token
        assert browser.post("/form", data={"csrf_token": token}).status_code == 400

    def test_around_it_a_context_middleware_may_have_the_session(self) -> None:
        def view(request: Any) -> dict[str, Any]:
            local.n = getattr(local, "n", 0) + 1
            web_session["n"] = local.n
            request.session.flash("seen")
            return {"n": request.session["n"], "messages": request.session.pop_flash()}

        browser = Client(ContextMiddleware(make_app(view=view), stored()))
        assert get(browser, "/view") == {"n": 1, "messages": ["seen"]}
        assert get(browser, "/view") == {"n": 1, "messages": ["seen"]}
        assert get(browser, "/show") == {"n": 1}
        assert len(browser.get("/put?a=1").headers.getlist("Set-Cookie")) <= 1


@pytest.mark.parametrize(
    ("sessions", "text"),
    [
        (MemoryStore(), "sessions: a 'MemoryStore' is no SessionInterface"),
        (StoredSessions(ThreadedStore(MemoryStore())), "asynchronous, and WSGI cannot await it"),
    ],
    ids=["a store", "asynchronous"],
)
def test_what_cannot_be_used_is_refused_at_the_start(sessions: Any, text: str) -> None:
    with pytest.raises(SessionConfigError, match=text):
        session_factory(sessions)


def test_began_says_from_when_on_the_limit_counts() -> None:
    sessions = StoredSessions(MemoryStore(), clock=lambda: 1000.0)
    session: Session = sessions.open("")
    assert session.began is None
    session["a"] = 1
    session.save()
    assert sessions.open_id(session.id).began == 1000.0
