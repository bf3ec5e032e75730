"""The how-to's recipe for SQLAlchemy's scoped sessions, as it is written, with a pool of two."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import Client

from ctxlocal.web import asgi, wsgi
from ctxlocal.web.app import App
from ctxlocal.web.context import copy_current_request_context

from .asgi_client import Exchange, call, http_scope

PAGE = Path(__file__).parents[2] / "docs" / "howto.md"
REQUESTS = 6
SELECT = text("select 1")


def documented(**urls: str) -> dict[str, Any]:
    """Run the blocks of the recipe, with engines of ours."""
    section = PAGE.read_text().partition("## Give each request a session of SQLAlchemy")[2]
    blocks = re.findall(r"^```python\n(.*?)^```", section.partition("\n## ")[0], re.S | re.M)
    source = re.sub(r"^from database import .*", "", "\n".join(blocks), flags=re.M)  # one is it
    for documented_url, url in (
        ("sqlite:///shop.db", urls["sync"]),
        ("postgresql+psycopg://localhost/shop", urls.get("asynchronous", "postgresql+psycopg://")),
    ):
        assert documented_url in source
        source = source.replace(f'"{documented_url}"', f'"{url}", pool_timeout=1')
    names: dict[str, Any] = {}
    exec(source, names)
    return names


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[dict[str, Any]]:
    names = documented(sync=f"sqlite:///{tmp_path / 'shop.db'}")
    yield names
    assert names["engine"].pool.checkedout() == 0
    assert names["database"].registry.registry == {}
    names["engine"].dispose()


def test_the_middleware_of_wsgi_removes_each_session(recipe: dict[str, Any]) -> None:
    database = recipe["database"]

    def application(environ: Any, start_response: Any) -> Any:
        first = database()
        database.execute(SELECT)
        assert database() is first
        if environ["PATH_INFO"] == "/fail":
            raise LookupError
        start_response("200 OK", [])
        return iter([b"a", b"b"])

    client = Client(wsgi.ContextMiddleware(application))
    for _ in range(REQUESTS):
        assert client.get("/").data == b"ab"
        with pytest.raises(LookupError):
            client.get("/fail")


def test_the_middleware_of_asgi_removes_each_session(recipe: dict[str, Any]) -> None:
    database = recipe["database"]

    def query() -> int:
        return int(database.execute(SELECT).scalar())

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert query() == await asyncio.to_thread(query) == 1  # the request's one session
        assert len(database.registry.registry) <= 2
        if scope["path"] == "/fail":
            raise LookupError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    middleware = asgi.ContextMiddleware(application)

    async def main() -> None:
        for _ in range(REQUESTS):
            await call(middleware)
            with pytest.raises(LookupError):
                await call(middleware, "/fail")

    asyncio.run(main())


@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
def test_an_app_removes_each_session(recipe: dict[str, Any], protocol: str) -> None:
    app = App("tested")
    database = recipe["database"]

    @app.before_request
    def before() -> None:
        database.execute(SELECT)

    @app.get("/<outcome>")
    def view(outcome: str) -> str:
        assert len(database.registry.registry) <= 2  # the one of before()
        if outcome == "fail":
            raise LookupError
        copied: Callable[[], Any] = copy_current_request_context(lambda: database.execute(SELECT))
        database.remove()
        copied()
        return "fine"

    @app.get("/async")
    async def asynchronous() -> str:
        database.execute(SELECT)
        return "fine"

    def get(path: str) -> int:
        if protocol == "wsgi":
            return Client(app).get(path).status_code
        return asyncio.run(call(app.asgi, path)).status

    for _ in range(REQUESTS):
        assert [get(path) for path in ("/pass", "/fail", "/async")] == [200, 500, 200]
    app.executor.shutdown()


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", ["middleware", "app"])
def test_asynchronous_sessions_are_removed(kind: str, postgresql_url: str) -> None:
    names = documented(sync="sqlite:///none.db", asynchronous=postgresql_url)
    database, engine = names["async_database"], names["async_engine"]
    waiting: list[None] = []

    async def use(path: str) -> None:
        first = database()
        await database.execute(SELECT)
        assert database() is first
        if path == "/fail":
            raise LookupError
        if path == "/wait":
            waiting.append(None)
            await asyncio.Event().wait()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await use(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app: App = names["Shop"]("shop")

    @app.get("/<what>")
    async def view(what: str) -> str:
        await use(f"/{what}")
        return "fine"

    served: Any = app.asgi
    if kind == "middleware":
        served = asgi.ContextMiddleware(names["removing"](application))

    async def main() -> None:
        for _ in range(REQUESTS):
            assert (await call(served, "/pass")).status == 200
            if kind == "app":
                assert (await call(served, "/fail")).status == 500
            waiting.clear()
            task = Exchange(served, http_scope("/wait"), {"type": "http.request"}).start()
            while not waiting:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert database.registry.registry == {}
        assert engine.pool.checkedout() == 0
        await engine.dispose()

    asyncio.run(main())
    gc.collect()
