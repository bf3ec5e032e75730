"""App over WSGI: the whole flow of a request, its hooks, errors and signals."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from blinker import NamedSignal
from werkzeug.exceptions import (
    Conflict,
    Forbidden,
    HTTPException,
    InternalServerError,
    NotFound,
)
from werkzeug.routing import BuildError
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response as BaseResponse

from ctxlocal import UnboundError
from ctxlocal.sessions import events as event
from ctxlocal.sessions.errors import (
    FreshLoginRequiredError,
    SessionClosedError,
    SessionConflictError,
    SessionError,
    SessionLimitError,
    StoreUnavailableError,
)
from ctxlocal.sessions.in_cookie.sessions import SignedCookieSessions
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.session import NullSession, Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import signals
from ctxlocal.web.app import App, Request, Response, abort, jsonify, redirect, url_for
from ctxlocal.web.context import (
    RequestContext,
    after_this_request,
    current_app,
    current_request_context,
    flash,
    g,
    get_flashed_messages,
    has_request_context,
    on_teardown,
    request,
    session,
)
from ctxlocal.web.wsgi import ContextMiddleware


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def app(store: MemoryStore) -> App:
    return App("shop", sessions=StoredSessions(store))


def whole(text: str) -> str:
    """Match exactly this message."""
    return f"^{re.escape(text)}$"


def start(app: App, path: str = "/") -> Any:
    """Call the App as a server does, and return the body."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    return app(environ, lambda status, headers, exc_info=None: lambda data: None)


# The flow


def test_a_request_goes_through_the_steps_in_order(strategy: str, app: App) -> None:
    steps: list[str] = []
    note = steps.append
    app.before_first_request(lambda: note("first request"))
    app.before_request(lambda: note("before 1"))
    app.before_request(lambda: note("before 2"))
    app.teardown_request(lambda error: note("teardown 1"))
    app.teardown_request(lambda error: note("teardown 2"))
    app.teardown_appcontext(lambda error: note("app teardown"))

    @app.after_request
    def after_1(response: Response) -> Response:
        note("after 1")
        return response

    @app.after_request
    def after_2(response: Response) -> Response:
        note("after 2")
        return response

    @app.get("/")
    def view() -> Iterator[str]:
        @after_this_request
        def after_this(response: Response) -> Response:
            note("after this")
            response.headers["X-After"] = "this"
            return response

        note("view")
        return body()

    def body() -> Iterator[str]:
        note("body")
        yield request.path
        note("body ends")

    every = ["before 1", "before 2", "view", "after this", "after 2", "after 1", "body"]
    end = ["body ends", "teardown 2", "teardown 1", "app teardown"]
    client = app.test_client()
    response = client.get("/")
    assert (response.text, response.headers["X-After"]) == ("/", "this")
    response.close()
    assert steps == ["first request", *every, *end]
    steps.clear()
    response = client.get("/")
    assert response.text == "/"
    response.close()
    assert steps == [*every, *end]
    assert not has_request_context()


def test_a_before_request_function_can_answer(app: App) -> None:
    app.before_request(lambda: "closed for today")
    app.before_request(lambda: pytest.fail("is not reached"))
    app.get("/")(lambda: pytest.fail("is not reached"))
    assert app.test_client().get("/").text == "closed for today"


def test_the_hooks_know_where_the_url_leads(app: App) -> None:
    seen: list[tuple[Any, ...]] = []
    app.before_request(lambda: seen.append((request.endpoint, request.view_args)))  # type: ignore[attr-defined]
    app.route("/item/<int:number>", endpoint="item")(lambda number: str(number))
    client = app.test_client()
    assert client.get("/item/3").text == "3"
    assert client.get("/nowhere").status_code == 404
    assert seen == [("item", {"number": 3}), (None, None)]


def test_the_steps_can_be_taken_by_hand(app: App) -> None:
    app.before_request(lambda: setattr(g, "user", "ada"))
    app.get("/")(lambda: f"hello {g.user}")
    with app.test_request_context("/"):
        assert app.preprocess_request() is None
        assert g.user == "ada"
        assert app.dispatch_request() == "hello ada"
        response = app.finalize_request(("made", 201))
        assert (response.status_code, response.get_data()) == (201, b"made")
        assert app.full_dispatch_request().get_data() == b"hello ada"
        assert app.handle_user_exception(NotFound()).code == 404
        assert app.process_response(app.make_response("x")).get_data() == b"x"
    assert app.preprocess_request.__name__ == "preprocess_request"


def test_views_and_hooks_may_be_asynchronous(strategy: str, app: App) -> None:
    app.before_request(make_async(lambda: setattr(g, "user", "ada")))
    app.before_first_request(make_async(lambda: app.config.update(ready=True)))

    @app.after_request
    async def after(response: Response) -> Response:
        await asyncio.sleep(0)
        response.headers["X-After"] = request.path
        return response

    @app.errorhandler(404)
    async def handler(error: HTTPException) -> tuple[str, int]:
        await asyncio.sleep(0)
        return f"no {request.path}", 404

    @app.get("/<name>")
    async def view(name: str) -> str:
        await asyncio.sleep(0)
        session["name"] = name
        return f"{g.user} {request.path} {current_app.config['ready']}"

    client = app.test_client()
    response = client.get("/x")
    assert response.text == "ada /x True"
    assert response.headers["X-After"] == "/x"
    assert client.get("/a/b").text == "no /a/b"
    with client.session_transaction() as saved:
        assert saved["name"] == "x"


def make_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any) -> None:
        await asyncio.sleep(0)
        function(*args)

    return run


@pytest.mark.parametrize("register", ["teardown_request", "teardown_appcontext"])
def test_a_teardown_cannot_be_asynchronous(app: App, register: str) -> None:
    with pytest.raises(TypeError, match=r"is asynchronous; a teardown cannot be"):
        getattr(app, register)(make_async(print))


# Routing


def test_head_and_options_are_automatic(app: App) -> None:
    app.get("/")(lambda: "body")
    app.post("/", endpoint="post")(lambda: "posted")
    client = app.test_client()
    head = client.head("/")
    assert (head.status_code, head.text, head.headers["Content-Length"]) == (200, "", "4")
    assert client.post("/").text == "posted"
    assert sorted(client.options("/").allow) == ["GET", "HEAD", "OPTIONS", "POST"]
    assert client.delete("/").status_code == 405


def test_a_view_can_answer_options_itself(app: App) -> None:
    app.route("/", methods=["options"])(lambda: "mine")
    assert app.test_client().options("/").text == "mine"


def test_one_view_can_have_several_rules_and_no_two_views_one_endpoint(app: App) -> None:
    def view(name: str = "nobody") -> str:
        return name

    app.add_url_rule("/", view_func=view)
    app.add_url_rule("/<name>", view_func=view)
    assert app.test_client().get("/ada").text == "ada"

    def other() -> None:
        """Is never registered."""

    message = (
        f"The endpoint 'view' belongs to {view!r}; {other!r} cannot have it too. Give one of them "
        "endpoint=..."
    )
    with pytest.raises(ValueError, match=whole(message)):
        app.add_url_rule("/other", "view", other)
    with pytest.raises(
        ValueError, match=whole("The rule '/' needs an endpoint or a view function.")
    ):
        app.add_url_rule("/")


def test_url_for_builds_the_urls_of_views(app: App) -> None:
    app.add_url_rule("/item/<int:number>", "item")
    with app.test_request_context("/", base_url="https://shop.example/root"):
        assert url_for("item", number=3) == "/root/item/3"
        assert url_for("item", number=3, page=2, _anchor="a b") == "/root/item/3?page=2#a%20b"
        assert url_for("item", number=3, _external=True) == "https://shop.example/root/item/3"
        with pytest.raises(BuildError):
            url_for("item")
    with pytest.raises(UnboundError, match=r"^Working outside of request context: url_for needs"):
        url_for("item", number=3)


def test_url_for_in_an_application_context_builds_external_urls(app: App) -> None:
    app.add_url_rule("/reset/<token>", "reset", lambda token: token)
    app.config.update(SERVER_NAME="shop.example:8000")
    with app.app_context():
        assert url_for("reset", token="t") == "http://shop.example:8000/reset/t"
        assert url_for("reset", token="t", _external=True, _scheme="https") == (
            "https://shop.example:8000/reset/t"
        )
        assert url_for("reset", token="t", _external=False) == "/reset/t"
        app.config.update(
            SERVER_NAME="shop.example", PREFERRED_URL_SCHEME="https", APPLICATION_ROOT="/eu"
        )
        assert url_for("reset", token="t", page=2) == "https://shop.example/eu/reset/t?page=2"
        with pytest.raises(BuildError):
            url_for("none")


def test_url_for_in_a_request_knows_nothing_of_the_server_name(app: App) -> None:
    app.add_url_rule("/reset/<token>", "reset", lambda token: token)
    app.config.update(SERVER_NAME="shop.example", PREFERRED_URL_SCHEME="https")
    with app.test_request_context("/", base_url="http://other.example"):
        assert url_for("reset", token="t") == "/reset/t"
        assert url_for("reset", token="t", _scheme="https") == "https://other.example/reset/t"
        with app.app_context():
            assert url_for("reset", token="t") == "/reset/t"


def test_url_for_is_of_the_application_at_work(app: App) -> None:
    app.add_url_rule("/a", "view", lambda: "")
    other = App("other")
    other.add_url_rule("/b", "view", lambda: "")
    other.config["SERVER_NAME"] = "other.example"
    with app.test_request_context("/"), other.app_context():
        assert url_for("view") == "http://other.example/b"


def test_url_for_says_what_is_missing(app: App) -> None:
    for nothing in (None, ""):
        app.config["SERVER_NAME"] = nothing
        asked = pytest.raises(UnboundError, match=r"Set app.config\['SERVER_NAME'\]")
        with app.app_context(), asked as caught:
            url_for("index")
        assert caught.value.proxy == "url_for"
    middleware = ContextMiddleware(lambda environ, start_response: [])
    context = RequestContext(middleware, {})
    with context, pytest.raises(UnboundError, match=r"^url_for finds no URLs") as caught:
        url_for("index")
    assert caught.value.proxy == "url_for"
    with app.test_request_context("/"), pytest.raises(ValueError, match="_scheme is for an ext"):
        url_for("index", _scheme="https", _external=False)


def test_a_missing_slash_redirects_past_the_error_handlers(app: App) -> None:
    app.get("/folder/")(lambda: "index")
    app.errorhandler(HTTPException)(lambda error: pytest.fail("a redirect is no error"))
    response = app.test_client().get("/folder")
    assert (response.status_code, response.location) == (308, "http://localhost/folder/")


# Responses


@pytest.mark.parametrize(
    ("rv", "text", "mimetype"),
    [
        ("text", "text", "text/html"),
        (b"bytes", "bytes", "text/html"),
        ({"a": [1]}, '{"a":[1]}', "application/json"),
        ([1, None], "[1,null]", "application/json"),
        (Response("own", mimetype="text/plain"), "own", "text/plain"),
        (BaseResponse("base"), "base", "text/plain"),
        (iter(["a", "b"]), "ab", "text/html"),
        (BaseResponse("as an application").__call__, "as an application", "text/plain"),
        (("text", 201), "text", "text/html"),
        (("text", "201 Made"), "text", "text/html"),
        (("text", {"X-A": "b"}), "text", "text/html"),
        (("text", 201, [("X-A", "b")]), "text", "text/html"),
    ],
)
def test_what_a_view_returns_becomes_a_response(
    app: App, rv: Any, text: str, mimetype: str
) -> None:
    app.get("/")(lambda: rv)
    response = app.test_client().get("/")
    assert (response.text, response.mimetype) == (text, mimetype)
    if type(rv) is tuple:
        assert response.status_code == (200 if isinstance(rv[1], dict) else 201)
        assert response.headers.get("X-A") in (None, "b")


async def asynchronous_chunks() -> Any:
    yield "chunk"


@pytest.mark.parametrize(
    ("rv", "shown"),
    [
        (None, "None: it may lack a return"),
        (3, "a 'int' object"),
        (asynchronous_chunks(), "a 'async_generator' object"),
    ],
)
def test_what_is_no_response_is_named(app: App, rv: Any, shown: str) -> None:
    app.testing = True
    app.get("/page")(lambda: rv)
    message = (
        f"The view for '/page' returned {shown}. Return a str, bytes, dict, list, iterator "
        "(asynchronous only under ASGI), response, WSGI application, or a tuple of one of these "
        "and a status and headers."
    )
    with pytest.raises(TypeError, match=whole(message)):
        app.test_client().get("/page")


def test_a_tuple_of_another_length_is_refused(app: App) -> None:
    with (
        app.test_request_context(),
        pytest.raises(TypeError, match=r"^The view returned a tuple of 4"),
    ):
        app.make_response(("body", 200, {}, None))


def test_jsonify_takes_values_or_keywords(app: App) -> None:
    with app.app_context():
        assert jsonify(a=1).json == {"a": 1}
        assert jsonify(1, 2).json == [1, 2]
        assert jsonify("x").json == "x"
        with pytest.raises(TypeError, match=r"^jsonify\(\) takes values or keywords, not both$"):
            jsonify(1, a=2)


def test_a_class_of_requests_and_responses_can_be_chosen(app: App) -> None:
    class JSONResponse(Response):
        default_mimetype = "application/json"

    class OwnRequest(Request):
        is_own = True

    app.response_class, app.request_class = JSONResponse, OwnRequest
    app.get("/")(lambda: str(request.is_own))  # type: ignore[attr-defined]
    response = app.test_client().get("/")
    assert (response.text, response.mimetype) == ("True", "application/json")


def test_a_function_can_wait_for_the_end_of_the_body(app: App) -> None:
    ended: list[str] = []

    @app.get("/")
    def view() -> Response:
        response = Response("text")
        response.call_on_close(lambda: ended.append(request.path))
        return response

    body = start(app)
    assert (list(body), ended) == ([b"text"], [])
    body.close()
    assert ended == ["/"]


def test_a_complete_response_reaches_the_server_as_a_list(app: App) -> None:
    app.get("/")(lambda: "text")
    assert start(app) == [b"text"]


def test_the_validator_finds_nothing(app: App) -> None:
    app.get("/")(lambda: "complete")
    app.get("/stream", endpoint="stream")(lambda: iter(["a", "b"]))
    for path, expected in (("/", b"complete"), ("/stream", b"ab")):
        environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": ""}
        setup_testing_defaults(environ)
        body, status, _ = run_wsgi_app(validator(app), environ)
        assert (b"".join(body), status) == (expected, "200 OK")
        body.close()  # type: ignore[attr-defined]


# Errors


def test_errors_find_the_handler_of_the_closest_class(app: App) -> None:
    class Lost(NotFound):
        """A kind of 404."""

    class Teapot(HTTPException):
        code = 418

    handled = {
        Lost: "lost",
        404: "not found",
        HTTPException: "http",
        418: "teapot",
        KeyError: "key",
    }
    for kind, text in handled.items():
        app.errorhandler(kind)(lambda error, text=text: (text, 200))  # type: ignore[arg-type]
    raised: dict[str, Exception] = {}

    @app.get("/<name>")
    def view(name: str) -> None:
        raise raised[name]

    client = app.test_client()
    for error, text in (
        (Lost(), "lost"),
        (NotFound(), "not found"),
        (Forbidden(), "http"),
        (Teapot(), "teapot"),
        (KeyError(), "key"),
    ):
        raised["error"] = error
        assert client.get("/error").text == text


def test_errorhandler_refuses_what_is_no_error_code(app: App) -> None:
    message = "299 is no HTTP error code that werkzeug has an exception for."
    with pytest.raises(ValueError, match=whole(message)):
        app.errorhandler(299)


def test_abort_and_redirect_answer(app: App) -> None:
    app.get("/abort")(lambda: abort(403))
    app.get("/response", endpoint="response")(lambda: abort(Response("own", 402)))
    app.get("/redirect", endpoint="redirect")(lambda: redirect("/elsewhere"))
    app.errorhandler(HTTPException)(lambda error: ("handled", error.code))
    client = app.test_client()
    assert (client.get("/abort").status_code, client.get("/abort").text) == (403, "handled")
    assert (client.get("/response").status_code, client.get("/response").text) == (402, "own")
    assert client.get("/redirect").location == "/elsewhere"


def test_an_unhandled_exception_is_a_500_and_a_log_line(
    strategy: str, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[BaseException | None] = []
    app.get("/")(lambda: 1 / 0)
    app.teardown_request(ended.append)
    app.after_request(lambda response: response.headers.update({"X-After": "ran"}) or response)
    with caplog.at_level(logging.ERROR, "ctxlocal.web.app"):
        response = app.test_client().get("/")
    assert (response.status_code, response.headers["X-After"]) == (500, "ran")
    [record] = caplog.records
    assert (record.name, record.getMessage()) == ("ctxlocal.web.app", "Exception on GET /")
    assert [type(error) for error in ended] == [ZeroDivisionError]
    assert not has_request_context()


@pytest.mark.parametrize("kind", [500, InternalServerError, HTTPException])
def test_the_page_of_an_unhandled_exception_can_be_made(app: App, kind: Any) -> None:
    app.get("/")(lambda: 1 / 0)

    @app.errorhandler(kind)
    def page(error: InternalServerError) -> tuple[str, int]:
        return type(error.original_exception).__name__, 500

    assert app.test_client().get("/").text == "ZeroDivisionError"


def test_an_after_request_function_that_raises_is_a_500(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    app.get("/")(lambda: "text")
    app.after_request(lambda response: 1 / 0)
    with caplog.at_level(logging.ERROR, "ctxlocal.web.app"):
        assert app.test_client().get("/").status_code == 500
    assert [record.getMessage() for record in caplog.records] == [
        "Exception on GET /",
        "An after_request function failed for the response to an exception",
    ]


def test_testing_lets_exceptions_pass(app: App) -> None:
    app.testing = True
    app.get("/")(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/")
    assert not has_request_context()


def test_pain_point_11_an_exception_skips_no_teardown(
    strategy: str, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    app.get("/")(lambda: 1 / 0)
    app.teardown_request(lambda error: ran.append("request"))
    app.teardown_request(lambda error: 1 / 0)
    app.teardown_appcontext(lambda error: ran.append("app"))
    with caplog.at_level(logging.CRITICAL):
        assert app.test_client().get("/").status_code == 500
    assert ran == ["request", "app"]
    assert not has_request_context()


# Streaming


def test_pain_point_5_an_abandoned_stream_leaves_a_clean_worker(strategy: str, app: App) -> None:
    ended: list[str] = []
    app.teardown_request(lambda error: ended.append(request.path))

    @app.get("/<name>")
    def view(name: str) -> Iterator[str]:
        def body() -> Iterator[str]:
            while True:
                yield request.path

        return body()

    abandoned, closed = start(app, "/abandoned"), start(app, "/closed")
    assert (next(abandoned), next(closed)) == (b"/abandoned", b"/closed")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(closed.close).result()
        assert pool.submit(has_request_context).result() is False
    del abandoned
    assert ended == ["/closed", "/abandoned"]
    assert not has_request_context()


def test_pain_point_4_requests_of_one_worker_do_not_mix(strategy: str, app: App) -> None:
    barrier = threading.Barrier(8)

    @app.get("/<int:number>")
    def view(number: int) -> Iterator[str]:
        assert list(g) == []
        g.number = number
        barrier.wait()
        assert get_flashed_messages() == []
        return body()

    def body() -> Iterator[str]:
        yield f"{g.number} "
        barrier.wait()
        yield request.path

    def get(number: int) -> str:
        return app.test_client().get(f"/{number}").text

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(get, number) for number in range(64)]
        assert [job.result() for job in jobs] == [f"{n} /{n}" for n in range(64)]


# First-request functions


def test_first_request_functions_run_once_under_concurrent_first_requests(app: App) -> None:
    calls: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    @app.before_first_request
    def first() -> None:
        inside.set()
        go_on.wait()
        calls.append(request.path)

    app.get("/<name>")(lambda name: f"{name} after {len(calls)}")

    def get(number: int) -> str:
        return app.test_client().get(f"/{number}").text

    with ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(get, number) for number in range(16)]
        inside.wait()
        assert not any(job.done() for job in jobs)  # the others wait
        go_on.set()
        assert [job.result() for job in jobs] == [f"{n} after 1" for n in range(16)]
    assert len(calls) == 1


def test_a_first_request_function_that_fails_is_tried_again_by_the_next_request(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    app.before_first_request(lambda: calls.append("done before"))

    @app.before_first_request
    def failing() -> None:
        calls.append("failing")
        if calls.count("failing") == 1:
            raise ZeroDivisionError

    app.before_first_request(lambda: calls.append("done after"))
    app.get("/")(lambda: "text")
    client = app.test_client()
    with caplog.at_level(logging.CRITICAL):
        assert [client.get("/").status_code for _ in range(3)] == [500, 200, 200]
    assert calls == ["done before", "failing", "failing", "done after"]


def test_who_waits_for_a_first_request_function_that_fails_tries_it_next(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0
    barrier = threading.Barrier(8)

    @app.before_first_request
    def failing() -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise ZeroDivisionError

    def get() -> int:
        barrier.wait()
        return app.test_client().get("/").status_code

    app.get("/")(lambda: "text")
    with caplog.at_level(logging.CRITICAL), ThreadPoolExecutor(8) as pool:
        statuses = [job.result() for job in [pool.submit(get) for _ in range(8)]]
    assert (calls, sorted(statuses)) == (4, [200] * 5 + [500] * 3)


def test_a_first_request_function_cannot_come_late(app: App) -> None:
    app.test_client().get("/")

    def late() -> None:
        """Is never called."""

    message = (
        f"{late!r} would never be called: the first request was handled already. Register it "
        "while the application is set up."
    )
    with pytest.raises(RuntimeError, match=whole(message)):
        app.before_first_request(late)


FIRST_REQUESTS = """
    import {hub}
    {patch}
    from ctxlocal.web import App
    app = App("shop")
    calls = []

    @app.before_first_request
    def first():
        {hub}.sleep(0.01)
        calls.append(1)

    app.get("/")(lambda: str(len(calls)))
    get = lambda: app.test_client().get("/").text
    greenlets = [{hub}.spawn(get) for _ in range(20)]
    print({{greenlet.{wait}() for greenlet in greenlets}})
"""


@pytest.mark.parametrize("hub", ["gevent", "eventlet"])
@pytest.mark.parametrize("is_patched", [True, False])
def test_first_request_functions_under_greenlets(
    run_python: Callable[..., str], hub: str, is_patched: bool
) -> None:
    pytest.importorskip(hub)
    patches = {
        "gevent": "from gevent import monkey; monkey.patch_all()",
        "eventlet": "eventlet.monkey_patch()",
    }
    code = FIRST_REQUESTS.format(
        hub=hub,
        patch=patches[hub] if is_patched else "",
        wait="get" if hub == "gevent" else "wait",
    )
    assert run_python(code, CTXLOCAL_IDENT="greenlet") == "{'1'}\n"


# Sessions


def test_a_session_lasts_from_one_request_to_the_next(strategy: str, app: App) -> None:
    @app.get("/")
    def view() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    client, other = app.test_client(), app.test_client()
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
    assert other.get("/").text == "1"
    with client.session_transaction() as saved:
        assert saved["visits"] == 3
        saved["visits"] = 10
    assert client.get("/").text == "11"


def test_flashed_messages_reach_the_next_page_once(app: App) -> None:
    @app.post("/")
    def save() -> BaseResponse:
        flash("saved", "info")
        return redirect("/")

    app.get("/")(lambda: {"messages": get_flashed_messages(with_categories=True)})
    client = app.test_client()
    assert client.post("/", follow_redirects=True).json == {"messages": [["info", "saved"]]}
    assert client.get("/").json == {"messages": []}


def test_r6_an_untouched_session_leaves_no_trace(app: App, store: MemoryStore) -> None:
    app.get("/")(lambda: "text")
    response = app.test_client().get("/")
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers
    assert store.stats().sessions == 0


def test_r20_r21_headers_of_a_touched_session(app: App) -> None:
    app.get("/read")(lambda: str("key" in session))
    app.get("/write", endpoint="write")(lambda: session.update(key=1) or "written")
    client = app.test_client()
    read = client.get("/read")
    assert (read.headers["Vary"], "Set-Cookie" in read.headers) == ("Cookie", False)
    written = client.get("/write")
    assert (written.headers["Vary"], written.headers["Cache-Control"]) == ("Cookie", "no-store")
    assert len(written.headers.getlist("Set-Cookie")) == 1


@pytest.mark.parametrize(
    ("raised", "is_saved"),
    [
        (Conflict(), True),
        (KeyError(), True),
        (HTTPException(response=Response("", 302)), True),
        (ZeroDivisionError(), False),
    ],
)
def test_r33_only_an_unhandled_exception_saves_nothing(
    app: App,
    store: MemoryStore,
    caplog: pytest.LogCaptureFixture,
    raised: Exception,
    is_saved: bool,
) -> None:
    app.errorhandler(KeyError)(lambda error: "handled")
    app.errorhandler(500)(lambda error: ("the page of an unhandled one", 500))

    @app.get("/")
    def view() -> None:
        session["key"] = 1
        raise raised

    with caplog.at_level(logging.CRITICAL):
        response = app.test_client().get("/")
    assert store.stats().sessions == is_saved
    assert ("Set-Cookie" in response.headers) == is_saved
    assert response.headers["Vary"] == "Cookie"


def test_r34_a_stream_cannot_change_the_session(app: App) -> None:
    refused: list[SessionClosedError] = []

    @app.get("/")
    def view() -> Iterator[str]:
        session["key"] = "in time"
        return body()

    def body() -> Iterator[str]:
        yield session["key"]
        with pytest.raises(SessionClosedError) as caught:
            session["key"] = "too late"
        refused.append(caught.value)

    assert app.test_client().get("/").text == "in time"
    assert len(refused) == 1


class DownStore(MemoryStore):
    """A store in which one operation fails."""

    def __init__(self, failing: str) -> None:
        super().__init__()
        self._failing = failing

    def load(self, key: str) -> Any:
        self._fail("load")
        return super().load(key)

    def create(self, key: str, sets: Any, ttl: float) -> bool:
        self._fail("create")
        return super().create(key, sets, ttl)

    def _fail(self, operation: str) -> None:
        if operation == self._failing:
            raise StoreUnavailableError("the test's store", operation)


@pytest.mark.parametrize("failing", ["load", "create"])
def test_r31_a_store_that_is_down_is_a_503(caplog: pytest.LogCaptureFixture, failing: str) -> None:
    app = App("shop", sessions=StoredSessions(DownStore(failing)))
    app.testing = True  # it is no bug of the application

    @app.get("/")
    def view() -> str:
        session["key"] = 1
        return "text"

    app.get("/static", endpoint="static")(lambda: "works")
    client = app.test_client()
    client.set_cookie("__Host-session", "A" * 43)
    with caplog.at_level(logging.ERROR, "ctxlocal.web.app"):
        response = client.get("/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    assert client.get("/static").text == "works"
    app.errorhandler(503)(lambda error: ("come back later", 503))
    with caplog.at_level(logging.CRITICAL):
        assert client.get("/").text == "come back later"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SessionConflictError(("key",)), 409),
        (SessionLimitError(3), 403),
        (FreshLoginRequiredError(60), 403),
    ],
)
@pytest.mark.parametrize("moment", ["view", "save"])
def test_what_the_session_refuses_has_a_status_of_its_own(
    error: SessionError, status: int, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(StoredSessions[Any]):
        def save(self, session: Session) -> SessionHeaders:
            raise error

    app = App("shop", sessions=Refusing(MemoryStore()))
    app.testing = True  # it is no bug of the application

    @app.get("/")
    def view() -> str:
        if moment == "view":
            raise error
        session["key"] = 1
        return "text"

    response = app.test_client().get("/")
    assert (response.status_code, response.headers["Cache-Control"]) == (status, "no-store")
    assert error.answer in response.text
    assert "Retry-After" not in response.headers
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    app.errorhandler(status)(lambda error: ("another page", status))
    assert app.test_client().get("/").text == "another page"


def test_a_cookie_that_is_too_large_is_a_500_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App("shop", sessions=SignedCookieSessions(["k" * 32]))
    app.get("/")(lambda: session.update(key="x" * 5000) or "text")
    response = app.test_client().get("/", base_url="https://localhost")
    assert (response.status_code, response.headers.get("Set-Cookie")) == (500, None)
    assert "would be" in caplog.text


def test_r20_r34_a_generator_runs_after_the_session_was_saved(app: App) -> None:
    def stream(use: Callable[[], Any]) -> Iterator[str]:
        with pytest.raises(SessionClosedError, match="in an App before the view returns"):
            use()
        yield "end"

    app.get("/look", endpoint="look")(lambda: stream(lambda: session.get("key")))
    app.get("/change", endpoint="change")(lambda: stream(lambda: session.update(key=1)))
    assert [app.test_client().get(path).text for path in ("/look", "/change")] == ["end", "end"]


def test_an_app_without_sessions_says_so_at_the_first_write(app: App) -> None:
    app = App("shop")
    app.testing = True
    app.get("/read")(lambda: str(session.get("key")))
    app.get("/write", endpoint="write")(lambda: session.update(key=1))
    app.get("/flashed", endpoint="flashed")(lambda: str(get_flashed_messages()))
    client = app.test_client()
    assert client.get("/read").text == "None"
    assert client.get("/flashed").text == "[]"
    with pytest.raises(SessionError, match=r"^There is no session here"):
        client.get("/write")


def test_an_app_without_sessions_sends_nothing_of_them() -> None:
    interface = App("shop").session_interface
    assert interface.save(interface.open("")) == SessionHeaders()
    assert asyncio.run(interface.save_async(NullSession())) == SessionHeaders()


def test_an_interface_that_opens_nothing_gets_a_null_session(app: App) -> None:
    class Nothing(StoredSessions[Any]):
        def open_session(self, app: Any, request: Any) -> Session:
            return None  # type: ignore[return-value]

        def save(self, session: Session) -> SessionHeaders:
            raise AssertionError

    app = App("shop", sessions=Nothing(MemoryStore()))
    app.get("/")(lambda: str(current_request_context().session.is_null))  # type: ignore[union-attr]
    assert app.test_client().get("/").text == "True"


# Signals


def test_whatever_registers_a_function_returns_it(app: App) -> None:
    def function(*_: Any) -> Any: ...

    hooks = (app.before_request, app.after_request, app.teardown_request, app.teardown_appcontext)
    registering: list[Callable[[Any], Any]] = [
        *hooks,
        *(app.on_startup, app.on_shutdown),
        *(app.get("/get"), app.route("/route"), app.errorhandler(404)),
    ]
    with app.test_request_context():
        for register in (*registering, on_teardown, after_this_request):
            assert register(function) is function


@pytest.mark.parametrize("prefix", ["", "session-"])
def test_a_signal_is_named_like_the_attribute_it_is(prefix: str) -> None:
    module = event if prefix else signals
    named = {
        key: value.name for key, value in vars(module).items() if isinstance(value, NamedSignal)
    }
    assert named
    assert named == {key: prefix + key.replace("_", "-") for key in named}


def test_signals_are_sent_in_order(strategy: str, app: App) -> None:
    sent: list[str] = []
    app.get("/")(lambda: "text")
    names = [
        "appcontext_pushed",
        "request_started",
        "request_finished",
        "request_tearing_down",
        "appcontext_tearing_down",
        "appcontext_popped",
    ]
    receivers = []
    for name in names:

        def receive(sender: App, name: str = name, **arguments: Any) -> None:
            sent.append(" ".join((name, *arguments)))

        receivers.append(receive)  # blinker holds them weakly
        getattr(signals, name).connect(receive, app)
    app.test_client().get("/")
    assert [line.split()[0] for line in sent] == names
    assert sent[2:5] == [
        "request_finished response",
        "request_tearing_down exc",
        "appcontext_tearing_down exc",
    ]


def test_an_unhandled_exception_is_a_signal(app: App, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Exception] = []
    finished: list[int] = []

    def receive(sender: App, exception: Exception) -> None:
        seen.append(exception)

    def finish(sender: App, response: Response) -> None:
        finished.append(response.status_code)

    app.get("/")(lambda: 1 / 0)
    with (
        signals.got_request_exception.connected_to(receive, app),
        signals.request_finished.connected_to(finish, app),
        caplog.at_level(logging.CRITICAL),
    ):
        app.test_client().get("/")
        app.test_client().get("/nowhere")
    assert [type(error) for error in seen] == [ZeroDivisionError]
    assert finished == [500, 404]


# Contexts


def test_app_context_is_for_work_without_a_request(app: App) -> None:
    ended: list[BaseException | None] = []
    app.teardown_appcontext(ended.append)
    with app.app_context():
        g.name = "script"
        assert current_app.name == "shop"
        assert repr(current_app) == "<App 'shop'>"
    assert ended == [None]


def test_a_step_that_waits_in_a_synchronous_request_is_refused(app: App) -> None:
    app.get("/")(lambda: "text")
    with app.test_request_context("/") as context:

        async def suspend(function: Any, *args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)

        context.call = suspend
        with pytest.raises(
            RuntimeError, match=r"^dispatch_request_async has to wait, in a request"
        ):
            app.dispatch_request()
