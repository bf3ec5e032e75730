"""What is served: the least application of each framework, without a session and with one.

The frameworks, and what sessions they have, are those of :mod:`benchmarks.sessions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.sessions import django_apps, flask_apps, ours, starlette_apps
from benchmarks.sessions.place import Place
from benchmarks.sessions.visit import MODES, Visit
from ctxlocal.lab.bench.rival import load

NO_SESSION, SIGNED, MEMORY = "no session", "signed cookie", "in memory"
SESSION = "ctxlocal.session"


@dataclass(frozen=True)
class Application:
    """A row of the tables.

    :param session: what kind of session each request reads and writes.
    :param needs: modules without which it is left out.
    """

    name: str
    protocol: Literal["wsgi", "asgi"]
    session: str
    make: Callable[[Place], Any]
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name with the kind of session, which no other row of the protocol has."""
        return self.name if self.session == NO_SESSION else f"{self.name}, {self.session}"

    @property
    def path(self) -> str:
        """What each request asks for."""
        return MODES["untouched" if self.session == NO_SESSION else "read+write"]


def _answer(start_response: Any, body: bytes) -> list[bytes]:
    head = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", head)
    return [body]


def _plain_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return _answer(start_response, b"ok")


async def _answer_asgi(send: Any, body: bytes) -> None:
    head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"  # so that a server knows that there is no lifespan
    await _answer_asgi(send, b"ok")


def _middleware(sessions: Callable[[Place], Any] | None) -> Callable[[Place], Any]:
    def make(place: Place) -> Any:
        middleware = load("ctxlocal.web.wsgi").ContextMiddleware
        if sessions is None:
            return middleware(_plain_wsgi)
        visit = Visit()

        def view(environ: Any, start_response: Any) -> list[bytes]:
            body = visit(environ["PATH_INFO"], lambda: environ[SESSION])
            return _answer(start_response, body.encode())

        return middleware(view, sessions(place))

    return make


def _middleware_asgi(sessions: Callable[[Place], Any] | None) -> Callable[[Place], Any]:
    def make(place: Place) -> Any:
        middleware = load("ctxlocal.web.asgi").ContextMiddleware
        if sessions is None:
            return middleware(_plain_asgi)
        visit = Visit()

        async def view(scope: Any, receive: Any, send: Any) -> None:
            async def find() -> Any:
                return scope[SESSION]

            assert scope["type"] == "http"
            body = await visit.in_task(scope["path"], find)
            await _answer_asgi(send, body.encode())

        return middleware(view, sessions(place))

    return make


def _app(sessions: Callable[[Place], Any] | None) -> Callable[[Place], Any]:
    return lambda place: ours.application(sessions and sessions(place), Visit())


def _app_asgi(sessions: Callable[[Place], Any] | None) -> Callable[[Place], Any]:
    def make(place: Place) -> Any:
        visit = Visit()
        session = load("ctxlocal.web.context").session
        app = load("ctxlocal.web.app").App(__name__, sessions=sessions and sessions(place))

        async def find() -> Any:
            return session

        @app.get("/<path:what>")  # type: ignore[untyped-decorator]
        async def view(what: str) -> str:
            return await visit.in_task(f"/{what}", find)

        return app.asgi

    return make


def _falcon(place: Place) -> Any:
    falcon = load("falcon")

    class Page:
        def on_get(self, request: Any, response: Any, what: str) -> None:
            response.content_type, response.text = "text/plain", "ok"

    app = falcon.App()
    app.add_route("/{what}", Page())
    return app


def _falcon_asgi(place: Place) -> Any:
    class Page:
        async def on_get(self, request: Any, response: Any, what: str) -> None:
            response.content_type, response.text = "text/plain", "ok"

    app = load("falcon.asgi").App()
    app.add_route("/{what}", Page())
    return app


def _fastapi(sessions: Callable[[Place], Any] | None) -> Callable[[Place], Any]:
    """Return what makes FastAPI with a route of its own, whose path has a parameter."""

    def make(place: Place) -> Any:
        fastapi = load("fastapi")
        app = fastapi.FastAPI(openapi_url=None)
        if sessions is not None:
            middleware = load("ctxlocal.integrations.starlette").ContextMiddleware
            app.add_middleware(middleware, sessions=sessions(place))
        visit = Visit()

        async def page(request: Any, what: str) -> str:
            async def find() -> Any:
                return request.session

            return await visit.in_task(f"/{what}", find)

        page.__annotations__["request"] = fastapi.Request
        plain = load("fastapi.responses").PlainTextResponse
        app.get("/{what}", response_class=plain)(page)
        return app

    return make


_FLASK_SESSION = ("flask", "flask_session", "cachelib")
_WSGI = (
    Application("bare", "wsgi", NO_SESSION, lambda place: _plain_wsgi),
    Application("ctxlocal middleware", "wsgi", NO_SESSION, _middleware(None)),
    Application("ctxlocal App", "wsgi", NO_SESSION, _app(None)),
    Application("Falcon", "wsgi", NO_SESSION, _falcon, ("falcon",)),
    Application(
        "Flask", "wsgi", NO_SESSION, lambda place: flask_apps.app(flask_apps.visit()), ("flask",)
    ),
    Application(
        "Django", "wsgi", NO_SESSION, lambda place: django_apps.app(place, Visit()), ("django",)
    ),
    Application("ctxlocal middleware", "wsgi", SIGNED, _middleware(ours.signed)),
    Application("ctxlocal App", "wsgi", SIGNED, _app(ours.signed)),
    Application(
        "Flask", "wsgi", SIGNED, lambda place: flask_apps.signed(place, Visit()), ("flask",)
    ),
    Application(
        "Django", "wsgi", SIGNED, lambda place: django_apps.signed(place, Visit()), ("django",)
    ),
    Application("ctxlocal middleware", "wsgi", MEMORY, _middleware(ours.memory)),
    Application("ctxlocal App", "wsgi", MEMORY, _app(ours.memory)),
    Application(
        "Flask-Session",
        "wsgi",
        MEMORY,
        lambda place: flask_apps.memory(place, Visit()),
        _FLASK_SESSION,
    ),
    Application(
        "Django", "wsgi", MEMORY, lambda place: django_apps.memory(place, Visit()), ("django",)
    ),
)
_ASGI = (
    Application("bare", "asgi", NO_SESSION, lambda place: _plain_asgi),
    Application("ctxlocal middleware", "asgi", NO_SESSION, _middleware_asgi(None)),
    Application("ctxlocal App", "asgi", NO_SESSION, _app_asgi(None)),
    Application("Falcon", "asgi", NO_SESSION, _falcon_asgi, ("falcon",)),
    Application(
        "Starlette",
        "asgi",
        NO_SESSION,
        lambda place: starlette_apps.app(Visit()),
        ("starlette",),
    ),
    Application("FastAPI", "asgi", NO_SESSION, _fastapi(None), ("fastapi",)),
    Application("ctxlocal middleware", "asgi", SIGNED, _middleware_asgi(ours.signed)),
    Application("ctxlocal App", "asgi", SIGNED, _app_asgi(ours.signed)),
    Application(
        "Starlette",
        "asgi",
        SIGNED,
        lambda place: starlette_apps.signed(place, Visit()),
        ("starlette", "itsdangerous"),
    ),
    Application("ctxlocal middleware", "asgi", MEMORY, _middleware_asgi(ours.memory)),
    Application("ctxlocal App", "asgi", MEMORY, _app_asgi(ours.memory)),
    Application(
        "starsessions",
        "asgi",
        MEMORY,
        lambda place: starlette_apps.memory(place, Visit()),
        ("starsessions",),
    ),
    Application("ctxlocal in FastAPI", "asgi", MEMORY, _fastapi(ours.memory), ("fastapi",)),
)
APPLICATIONS = (*_WSGI, *_ASGI)
BARE = "bare"
