"""Does what one extra is for, where that extra alone is installed: ``python extra_alone.py redis``.

It is run in a fresh environment that has no pytest and nothing else of the tests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def sessions() -> None:
    from ctxlocal.sessions import SignedCookieSessions
    from ctxlocal.sessions.stores.memory import MemoryStore
    from ctxlocal.sessions.stores.sqlite import SQLiteStore

    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "sessions.db")
        _count_in(_stored(MemoryStore()), _stored(store), SignedCookieSessions(b"k" * 32))
        store.close()


def web() -> None:
    from ctxlocal.sessions.cookie import Cookie
    from ctxlocal.sessions.in_store.sessions import StoredSessions
    from ctxlocal.sessions.stores.memory import MemoryStore
    from ctxlocal.web.app import App, session

    app = App("shop", StoredSessions(MemoryStore(), cookie=Cookie.for_development("sid")))

    @app.get("/")
    def count() -> dict[str, int]:
        return {"visits": session.incr("visits")}

    client = app.test_client()
    assert [client.get("/").json for _ in range(2)] == [{"visits": 1}, {"visits": 2}]


def crypto() -> None:
    from ctxlocal.sessions import EncryptedCookieSessions

    _count_in(EncryptedCookieSessions(b"k" * 32))


def redis() -> None:
    from ctxlocal.sessions.stores.redis import RedisStore

    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis"
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not Path(socket).exists():
                assert server.poll() is None, "redis-server ended"
                time.sleep(0.01)
            _count_in(_stored(RedisStore.from_url(f"unix://{socket}")))
        finally:
            server.terminate()
            server.wait()


def sql() -> None:
    """Without a driver and a server all of it is loaded, and refuses clearly."""
    from ctxlocal.sessions.errors import SessionConfigError
    from ctxlocal.sessions.stores.url import open_store

    said = ""
    try:
        open_store("postgresql+psycopg://localhost/shop")
    except SessionConfigError as error:
        said = str(error)
    assert "psycopg" in said, said


def prometheus() -> None:
    from prometheus_client import generate_latest

    from ctxlocal.integrations.prometheus import store_hook

    _load_watched(store_hook())
    assert b'{call="load",outcome="ok",store="memory"} 1.0' in generate_latest()


def opentelemetry() -> None:
    """Without an SDK nothing is recorded, and nothing goes wrong; the runtime is found."""
    import os

    os.environ["OTEL_PYTHON_CONTEXT"] = "ctxlocal"  # else it is only said that it failed to load
    from opentelemetry import context

    from ctxlocal.integrations.opentelemetry import store_hook

    token = context.attach(context.Context({"key": "value"}))
    assert type(token).__module__ == "ctxlocal.integrations.opentelemetry_context"
    assert context.get_value("key") == "value"
    context.detach(token)
    _load_watched(store_hook())


def celery() -> None:
    from celery import Celery

    from ctxlocal import Local, scoped
    from ctxlocal.integrations.celery import install

    visitor = Local(name="visitor", wire=("tenant",))
    app = Celery("shop", broker="memory://")
    install(app, carry=[visitor])

    @app.task  # type: ignore[untyped-decorator]
    def look() -> dict[str, Any]:
        return dict(visitor)

    with scoped(visitor, tenant="acme", password="secret"):
        assert look.apply().get() == {"tenant": "acme"}


def cli() -> None:
    _run("doctor", "--server", "threads")
    _run("matrix", "--only", "thread")


def demo() -> None:
    from ctxlocal.lab.demo.shop import make_shop
    from ctxlocal.sessions.stores.memory import MemoryStore

    client = make_shop(_stored(MemoryStore()), "no server").test_client()
    assert "lamp" in client.get("/").text


def prove() -> None:
    _run("prove", "--only", "matrix", "--output", tempfile.mkdtemp())


def servers() -> None:
    _run("soak", "--server", "waitress", "--server", "uvicorn-asyncio-h11", "--requests", "60")


def gevent() -> None:
    from gevent import spawn

    _isolates("gevent", spawn, lambda started: started.get())


def eventlet() -> None:
    from eventlet import spawn

    _isolates("eventlet", spawn, lambda started: started.wait())


def bench() -> None:
    _run("bench", "--quick", "--only", "micro", "--table", "local-get")


def _load_watched(hook: Callable[[Any], None]) -> None:
    from ctxlocal.sessions.stores.memory import MemoryStore
    from ctxlocal.sessions.stores.observed import observed

    assert observed(MemoryStore(), hook).load("none") is None


def _stored(store: Any) -> Any:
    from ctxlocal.sessions import Cookie, StoredSessions

    return StoredSessions(store, cookie=Cookie.for_development("sid"))


def _count_in(*interfaces: Any) -> None:
    """Serve two requests of one visitor with each, through the middleware."""
    from ctxlocal.web.context import session
    from ctxlocal.web.wsgi import ContextMiddleware

    def application(environ: Any, start_response: Any) -> list[bytes]:
        session["visits"] = session.get("visits", 0) + 1
        start_response("200 OK", [])
        return [str(session["visits"]).encode()]

    for interface in interfaces:
        served: list[bytes] = []
        cookie = ""
        for _ in range(2):
            headers: list[tuple[str, str]] = []
            middleware: Any = ContextMiddleware(application, interface)
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_COOKIE": cookie}
            body = middleware(environ, lambda status, given, into=headers: into.extend(given))
            served.append(b"".join(body))
            getattr(body, "close", int)()
            cookie = dict(headers).get("Set-Cookie", cookie).partition(";")[0]
        assert served == [b"1", b"2"], served


def _isolates(strategy: str, spawn: Callable[..., Any], result: Callable[[Any], Any]) -> None:
    from ctxlocal import Local

    local = Local(ident=strategy)
    local.value = 1
    assert result(spawn(lambda: hasattr(local, "value"))) is False
    assert local.value == 1


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ctxlocal", *arguments], check=True)


EXTRAS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        *(sessions, web, crypto, redis, sql, prometheus, opentelemetry, celery, cli),
        *(demo, prove, servers, gevent, eventlet, bench),
    )
}

if __name__ == "__main__":
    EXTRAS[sys.argv[1]]()
