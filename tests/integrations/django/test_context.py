"""Django's requests in contexts of ours: found wherever their code runs, and nothing is left."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import get_urlconf, set_urlconf

from ctxlocal import Local, ident, unwrap
from ctxlocal.errors import UnboundError
from ctxlocal.integrations.django import ContextMiddleware, request, user
from ctxlocal.integrations.django.checks import check_context
from ctxlocal.integrations.django.context import MIDDLEWARE
from ctxlocal.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import has_request_context, on_teardown, session
from ctxlocal.web import request as web_request
from ctxlocal.web.asgi import ContextMiddleware as ASGIMiddleware
from ctxlocal.web.context import current_request_context
from ctxlocal.web.wsgi import ContextMiddleware as WSGIMiddleware

from .conftest import SETTINGS
from .urls import views

local = Local(name="of the tests")


@pytest.fixture(autouse=True)
def _in_contexts(django: None) -> Iterator[None]:
    with override_settings(MIDDLEWARE=[MIDDLEWARE, *SETTINGS["MIDDLEWARE"]]):
        yield


@pytest.fixture(params=["context", "thread", "greenlet"])
def strategy(request: pytest.FixtureRequest) -> str:
    ident.set_default(request.param)
    return str(request.param)


def text_of(view: Callable[[Any], Any], path: str = "/") -> str:
    views["page"] = view
    return str(Client().get(path).content.decode())


def ask_async(view: Callable[[Any], Any], path: str = "/awaited") -> Any:
    views["page"] = view
    return asyncio.run(AsyncClient().get(path))


def environ_of(path: str) -> dict[str, Any]:
    environ: dict[str, Any] = {"HTTP_HOST": "testserver", "PATH_INFO": path}
    setup_testing_defaults(environ)
    return environ


def start(status: str, headers: Any, failure: Any = None) -> Callable[[bytes], object]:
    """What a WSGI server gives an application."""
    return io.BytesIO().write


class TestAsyncTeardowns:
    @pytest.mark.parametrize("outcome", ["done", "failed", "streamed", "not streamed to its end"])
    def test_they_are_awaited_within_the_request(self, outcome: str) -> None:
        seen: list[object] = []

        async def teardown(error: object) -> None:
            await asyncio.sleep(0)
            seen.append(request.path)

        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            assert seen == []
            yield b"b"

        async def view(given: Any) -> Any:
            current_request_context().on_teardown_async(teardown)
            if outcome == "failed":
                raise LookupError
            return StreamingHttpResponse(parts()) if "streamed" in outcome else HttpResponse("")

        async def main() -> None:
            views["page"] = view
            client = AsyncClient(raise_request_exception=False)
            response: Any = await client.get("/awaited")
            if "streamed" in outcome:
                body = response.streaming_content
                assert await body.__anext__() == b"a"
                if outcome == "streamed":
                    assert [part async for part in body] == [b"b"]
                await sync_to_async(response.close)()  # as Django's handler does

        asyncio.run(main())
        assert seen == ["/awaited"]

    def test_a_cancelled_request_awaits_them(self) -> None:
        seen: list[object] = []
        waiting = asyncio.Event()

        async def teardown(error: object) -> None:
            await asyncio.sleep(0)
            seen.append(type(error))

        async def view(given: Any) -> Any:
            current_request_context().on_teardown_async(teardown)
            waiting.set()
            await asyncio.Event().wait()

        async def main() -> None:
            task = asyncio.create_task(ContextMiddleware(view)(RequestFactory().get("/")))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert seen == [asyncio.CancelledError]


class TestRequests:
    def test_it_and_its_user_are_found(self, strategy: str) -> None:
        def view(given: Any) -> Any:
            assert unwrap(request) is unwrap(web_request) is given
            return f"{request.path} {user.is_anonymous}"

        assert text_of(view) == "/ True"
        assert not has_request_context()

    def test_so_they_are_in_a_coroutine(self, strategy: str) -> None:
        async def view(given: Any) -> Any:
            await asyncio.sleep(0)
            assert unwrap(request) is given
            await given.auser()
            return f"{request.path} {user.is_anonymous}"

        assert ask_async(view).content == b"/awaited True"

    def test_so_they_are_in_a_synchronous_view_under_asgi(self) -> None:
        assert ask_async(lambda given: unwrap(request) is given, "/").content == b"True"

    def test_so_they_are_in_a_coroutine_under_wsgi(self) -> None:
        async def view(given: Any) -> Any:
            return unwrap(request) is given

        assert text_of(view, "/awaited") == "True"

    def test_two_at_once_have_each_its_own(self, strategy: str) -> None:
        both = threading.Barrier(2)
        seen: dict[str, str] = {}

        def view(given: Any) -> str:
            local.name = given.GET["name"]
            both.wait()
            return f"{local.name} {request.GET['name']}"

        views["page"] = view

        def ask(name: str) -> None:
            seen[name] = Client().get("/", {"name": name}).content.decode()

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("ada", "bob")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == {"ada": "ada ada", "bob": "bob bob"}

    def test_two_tasks_have_each_its_own(self, strategy: str) -> None:
        here: list[asyncio.Event] = []

        async def view(given: Any) -> str:
            local.name = given.GET["name"]
            here.append(asyncio.Event())
            if len(here) == 2:
                for event in here:
                    event.set()
            await here[-1].wait()
            return f"{local.name} {request.GET['name']}"

        async def ask() -> list[bytes]:
            asked = [AsyncClient().get("/awaited", {"name": name}) for name in ("ada", "bob")]
            return [answer.content for answer in await asyncio.gather(*asked)]

        views["page"] = view
        assert asyncio.run(ask()) == [b"ada ada", b"bob bob"]

    def test_locals_are_fresh_in_each_and_nothing_is_left(self, strategy: str) -> None:
        local.name = "outside"

        def view(given: Any) -> Any:
            found = getattr(local, "name", None)
            local.name = "inside"
            return found

        assert [text_of(view) for _ in range(2)] == ["None", "None"]
        assert local.name == "outside"

    def test_a_request_inside_of_a_request_hides_it(self, strategy: str) -> None:
        def view(given: Any) -> Any:
            if given.path == "/":
                return f"{Client().get('/response').content.decode()} {request.path}"
            return HttpResponse(request.path)

        assert text_of(view) == "/response /"

    def test_it_changes_to_no_other_thread_or_task(self) -> None:
        def here() -> Any:
            return threading.get_ident()

        made = RequestFactory().get("/")
        synchronous = ContextMiddleware(lambda given: HttpResponse(str(here())))
        assert not iscoroutinefunction(synchronous)
        assert synchronous(made).content.decode() == str(here())

        async def respond(given: Any) -> Any:
            return HttpResponse(str((here(), id(asyncio.current_task()))))

        async def ask() -> Any:
            awaited = ContextMiddleware(respond)
            assert iscoroutinefunction(awaited)
            found = (await awaited(made)).content.decode()
            return found == str((here(), id(asyncio.current_task())))

        assert asyncio.run(ask())


variable: ContextVar[Any] = ContextVar("variable", default=None)
seen_around: list[Any] = []


def around(get_response: Any) -> Any:
    def middleware(given: Any) -> Any:
        variable.set("outside")
        response = get_response(given)
        seen_around.append(variable.get())
        return response

    return middleware


class TestContextVariables:
    @pytest.mark.parametrize("asks", ["wsgi", "asgi"])
    def test_they_are_handed_through(self, asks: str, strategy: str) -> None:
        """As translations and time zones are, which middleware sets for views, or looks at."""

        def view(given: Any) -> Any:
            found = variable.get()
            variable.set("inside")
            return found

        async def coroutine(given: Any) -> Any:
            return view(given)

        seen_around.clear()
        with override_settings(MIDDLEWARE=[f"{__name__}.around", MIDDLEWARE]):
            if asks == "wsgi":
                assert text_of(view) == "outside"
            else:
                assert ask_async(coroutine).content == b"outside"
        assert seen_around == ["inside"]

    def test_a_thread_keeps_the_caches_it_has(self) -> None:
        from django.core.cache import caches

        found: list[Any] = []
        for _ in range(2):
            text_of(lambda given: found.append(caches["default"]))
        assert found[0] is found[1]


class TestStreams:
    def body(self, told: list[Any]) -> Iterator[str]:
        on_teardown(lambda error: told.append(("teardown", error)))
        try:
            for _ in range(3):
                yield f"{request.path} {local.name};"
        finally:
            told.append(("closed", request.path))

    def view(self, told: list[Any]) -> Any:
        def view(given: Any) -> Any:
            local.name = "kept"
            return StreamingHttpResponse(self.body(told))

        return view

    def test_the_context_lives_until_the_body_is_sent(self, strategy: str) -> None:
        told: list[Any] = []
        views["page"] = self.view(told)
        answer: Any = Client().get("/response")
        assert (told, has_request_context()) == ([], False)
        assert b"".join(answer) == b"/response kept;" * 3
        assert told == [("closed", "/response"), ("teardown", None)]
        answer.close()  # again

    def test_a_server_that_gives_up_ends_it(self, strategy: str) -> None:
        told: list[Any] = []
        views["page"] = self.view(told)
        body = WSGIHandler()(environ_of("/response"), start)
        assert next(iter(body)) == b"/response kept;"
        body.close()
        assert told == [("closed", "/response"), ("teardown", None)]

    def test_what_it_raises_is_told_to_teardowns(self) -> None:
        told: list[Any] = []

        def body() -> Iterator[str]:
            on_teardown(told.append)
            yield "one"
            raise LookupError("two")

        views["page"] = lambda given: StreamingHttpResponse(body())
        found = WSGIHandler()(environ_of("/response"), start)
        with pytest.raises(LookupError):
            list(found)
        found.close()
        assert [str(error) for error in told] == ["two"]

    def test_so_it_is_under_asgi(self, strategy: str) -> None:
        told: list[Any] = []

        async def body() -> AsyncIterator[str]:
            on_teardown(lambda error: told.append(("teardown", error)))
            for _ in range(3):
                await asyncio.sleep(0)
                yield f"{request.path} {local.name};"

        async def view(given: Any) -> Any:
            local.name = "kept"
            return StreamingHttpResponse(body())

        views["page"] = view
        assert asyncio.run(body_of("/awaited")) == b"/awaited kept;" * 3
        assert told == [("teardown", None)]

    @pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
    def test_so_is_one_that_django_reads_in_a_thread(self) -> None:
        told: list[Any] = []
        views["page"] = self.view(told)
        assert asyncio.run(body_of("/response")) == b"/response kept;" * 3
        assert told == [("closed", "/response"), ("teardown", None)]

    def test_a_hang_up_ends_it(self, strategy: str) -> None:
        told: list[Any] = []
        gone = asyncio.Event()

        async def body() -> AsyncIterator[str]:
            on_teardown(lambda error: told.append(("teardown", type(error))))
            yield "one"
            gone.set()
            try:
                await asyncio.Event().wait()
            finally:
                told.append(("cancelled", request.path))

        async def view(given: Any) -> Any:
            return StreamingHttpResponse(body())

        async def hangs_up() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        views["page"] = view
        asyncio.run(serve("/awaited", hangs_up))
        assert told == [("cancelled", "/awaited"), ("teardown", asyncio.CancelledError)]

    def test_what_is_set_at_its_end_is_handed_on(self) -> None:
        """As Django, which forgets the request's URLs then."""
        views["page"] = self.view([])
        variable.set("outside")
        body = WSGIHandler()(environ_of("/response"), start)
        set_urlconf("of the next request")
        body.close()
        assert (get_urlconf(), variable.get()) == (None, "outside")

    def test_a_file_is_still_the_servers_to_send(self) -> None:
        told: list[Any] = []

        def view(given: Any) -> Any:
            on_teardown(told.append)
            return FileResponse(io.BytesIO(b"text"))

        class Wrapper:
            def __init__(self, file: Any, size: int) -> None:
                self.file = file

        views["page"] = view
        environ = environ_of("/response") | {"wsgi.file_wrapper": Wrapper}
        found = WSGIHandler()(environ, start)
        assert (type(found), found.file.read(), told) == (Wrapper, b"text", [])
        found.file.close()
        assert told == [None]


async def body_of(path: str, application: Any = None) -> bytes:
    async def stays() -> Any:
        await asyncio.Event().wait()

    sent = await serve(path, stays, application)
    return b"".join(message.get("body", b"") for message in sent)


async def serve(path: str, then: Callable[[], Any], application: Any = None) -> list[Any]:
    """Serve a request as an ASGI server; ``then`` is what comes after its body."""
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        return messages.pop() if messages else await then()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"testserver")]}
    await (application or ASGIHandler())(scope, receive, send)
    return sent


class TestErrors:
    @pytest.mark.parametrize("path", ["/", "/awaited"])
    def test_what_a_view_raises_is_told_to_teardowns(self, path: str) -> None:
        told: list[Any] = []

        def view(given: Any) -> Any:
            on_teardown(told.append)
            raise LookupError("no such page")

        async def coroutine(given: Any) -> Any:
            view(given)

        views["page"] = view if path == "/" else coroutine
        if path == "/":
            answer = Client(raise_request_exception=False).get(path)
        else:
            answer = asyncio.run(AsyncClient(raise_request_exception=False).get(path))
        assert answer.status_code == 500
        assert [str(error) for error in told] == ["no such page"]

    def test_what_another_request_raised_is_not(self) -> None:
        """As is asked in a thread where a request is served, under strategies that stay there."""
        told: list[Any] = []
        middleware = ContextMiddleware(lambda given: HttpResponse())

        def view(given: Any) -> str:
            on_teardown(told.append)
            middleware.process_exception(RequestFactory().get("/"), LookupError())
            return "sent"

        assert (text_of(view), told) == ("sent", [None])

    def test_what_no_response_can_be_made_of_ends_the_context(self) -> None:
        told: list[Any] = []

        def view(given: Any) -> Any:
            on_teardown(told.append)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            text_of(view)
        assert [type(error) for error in told] == [KeyboardInterrupt]
        assert not has_request_context()

    def test_what_a_teardown_raises_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        def view(given: Any) -> str:
            @on_teardown
            def fail(error: Any) -> None:
                raise LookupError("in the teardown")

            return "sent"

        assert text_of(view) == "sent"
        (record,) = caplog.records
        assert "in the teardown" in str(record.exc_info)


class TestProxies:
    def test_outside_of_a_request_they_say_where_there_is_one(self) -> None:
        for proxy, name in ((request, "request"), (user, "user")):
            with pytest.raises(UnboundError, match=f"which '{name}' needs: ctx") as raised:
                unwrap(proxy)
            assert raised.value.proxy == name

    def test_without_users_it_says_what_gives_them(self) -> None:
        view = ContextMiddleware(lambda given: HttpResponse(str(user)))
        with pytest.raises(UnboundError, match=r"AuthenticationMiddleware gives it one"):
            view(RequestFactory().get("/"))

    def test_a_context_without_djangos_request_is_not_taken_for_one(self) -> None:
        def application(environ: Any, start: Any) -> list[bytes]:
            with pytest.raises(UnboundError, match="There is no request here"):
                unwrap(request)
            start("200 OK", [])
            return []

        list(WSGIMiddleware(application)(environ_of("/"), start))

    def test_session_of_a_middleware_around_the_project_is_found_inside(self) -> None:
        views["page"] = lambda given: session.setdefault("a", 1)
        around = WSGIMiddleware(WSGIHandler(), StoredSessions(MemoryStore()))
        assert b"".join(around(environ_of("/"), start)) == b"1"

    def test_so_it_is_under_asgi(self) -> None:
        views["page"] = lambda given: session.setdefault("a", 1)
        around = ASGIMiddleware(ASGIHandler(), StoredSessions(MemoryStore()))
        assert asyncio.run(body_of("/", around)) == b"1"

    def test_importing_them_needs_no_settings(self) -> None:
        program = (
            "from ctxlocal.integrations.django import ContextMiddleware, request, user\n"
            "from ctxlocal.integrations.django import sessions\n"
            "from django.conf import settings\n"
            "assert not settings.configured\n"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


class TestChecks:
    def test_first_is_its_place(self) -> None:
        assert check_context() == []
        with override_settings(MIDDLEWARE=[]):
            assert check_context() == []
        with override_settings(MIDDLEWARE=[f"{__name__}.around", MIDDLEWARE]):
            assert check_context() == [], "what needs no request may come before"

    def test_twice_is_refused_at_the_start(self) -> None:
        with override_settings(MIDDLEWARE=[MIDDLEWARE, MIDDLEWARE]):
            (found,) = check_context()
            assert (found.id, "is listed twice" in found.msg) == ("ctxlocal.E002", True)
            with pytest.raises(ImproperlyConfigured, match="is listed twice in MIDDLEWARE"):
                WSGIHandler()

    def test_after_what_needs_it_is_told(self) -> None:
        with override_settings(MIDDLEWARE=[*SETTINGS["MIDDLEWARE"], MIDDLEWARE]):
            (found,) = check_context()
        assert (found.id, "after django.contrib.sessions" in found.msg) == ("ctxlocal.W003", True)

    @pytest.mark.parametrize(
        ("strategy", "settings", "ids"),
        [
            ("context", {"ASGI_APPLICATION": "shop.asgi"}, []),
            ("thread", {}, []),
            ("thread", {"ASGI_APPLICATION": "shop.asgi"}, ["ctxlocal.W004"]),
            ("task", {}, ["ctxlocal.W004"]),
        ],
    )
    def test_strategy_that_does_not_reach_synchronous_views_is_told(
        self, strategy: str, settings: Any, ids: list[str]
    ) -> None:
        ident.set_default(strategy)
        with override_settings(**settings):
            assert [found.id for found in check_context()] == ids

    def test_so_it_is_where_no_check_is_run(
        self, caplog: pytest.LogCaptureFixture, strategy: str
    ) -> None:
        with caplog.at_level(logging.WARNING, "ctxlocal"):
            ASGIHandler()
            WSGIHandler()
        assert len(caplog.records) == (strategy != "context")

    def test_an_unknown_strategy_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CTXLOCAL_IDENT", "fiber")
        (found,) = check_context()
        assert (found.id, "fiber" in found.msg) == ("ctxlocal.E003", True)

    def test_an_older_django_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("django.VERSION", (4, 2, 30, "final", 0))
        with pytest.raises(ImproperlyConfigured, match=r"for Django from 5\.2 on, .* is 4\.2\.30"):
            WSGIHandler()
