"""A session of SQLAlchemy for each owner, of which nothing is left when it has ended."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import greenlet
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool
from werkzeug.test import Client

from ctxlocal import flow, ident
from ctxlocal.integrations.sqlalchemy import async_scoped, scoped
from ctxlocal.web import asgi, on_teardown, wsgi
from ctxlocal.web.app import App
from ctxlocal.web.context import copy_current_request_context, current_request_context
from tests.web.asgi_client import Exchange, call, http_scope

COUNTS = [60, pytest.param(10_000, marks=pytest.mark.slow)]
# Of two, and whoever waits for a third one fails.
POOL: dict[str, Any] = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 0.5}


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture
def engine(url: str) -> Iterator[Any]:
    engine = create_engine(url, poolclass=QueuePool, **POOL)
    yield engine
    gc.collect()
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()


@pytest.fixture
def database(engine: Any) -> Iterator[Any]:
    database = scoped(sessionmaker(engine))
    yield database
    database.remove()
    gc.collect()
    assert database.registry.registry == {}


def names(database: Any) -> list[str]:
    return list(database.scalars(text("select name from items order by id")))


def write_and_fail(database: Any) -> None:
    database.add(Item(name="not committed"))
    database.flush()
    raise LookupError


def in_thread(function: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for error in failures:
        raise error


class TestRequests:
    """The request is the owner, whoever works for it."""

    @pytest.mark.parametrize("count", COUNTS)
    def test_a_pool_of_two_survives_any_number_under_wsgi(self, database: Any, count: int) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            assert names(database) == []
            if environ["PATH_INFO"] == "/fail":
                write_and_fail(database)
            start_response("200 OK", [])
            return iter([b"a", b"b"]) if environ["PATH_INFO"] == "/stream" else [b"ab"]

        client = Client(wsgi.ContextMiddleware(application))
        for _ in range(count // 10):
            for path in ("/", "/stream") * 5:
                assert client.get(path).data == b"ab"
            with pytest.raises(LookupError):
                client.get("/fail")

    @pytest.mark.parametrize("count", COUNTS)
    def test_a_pool_of_two_survives_any_number_under_asgi(self, database: Any, count: int) -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            assert names(database) == []
            if scope["path"] == "/fail":
                write_and_fail(database)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def main() -> None:
            served = asgi.ContextMiddleware(application)
            for _ in range(count // 10):
                for _ in range(10):
                    await call(served)
                with pytest.raises(LookupError):
                    await call(served, "/fail")

        asyncio.run(main())

    @pytest.mark.parametrize("strategy", ["context", "thread", "task"])
    def test_its_threads_and_tasks_have_the_same(self, database: Any, strategy: str) -> None:
        ident.set_default(strategy)
        seen: list[Session] = []

        def look() -> None:
            seen.append(database())

        async def look_async() -> None:
            seen.append(database())

        async def application(scope: Any, receive: Any, send: Any) -> None:
            look()
            await asyncio.to_thread(flow.bind(look))
            await asyncio.create_task(flow.bind(look_async)())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        served = asgi.ContextMiddleware(application)
        asyncio.run(call(served))
        asyncio.run(call(served))
        assert [session is seen[0] for session in seen] == [True] * 3 + [False] * 3
        assert len(set(map(id, seen))) == 2

    @pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
    def test_those_of_an_app_are_closed(self, database: Any, protocol: str) -> None:
        app = App("tested")

        @app.get("/<outcome>")
        def view(outcome: str) -> str:
            names(database)
            copied: Callable[[], Any] = copy_current_request_context(lambda: database())
            assert copied() is not database()
            if outcome == "fail":
                raise LookupError
            return "fine"

        @app.get("/async")
        async def asynchronous() -> str:
            names(database)
            return "fine"

        def get(path: str) -> int:
            if protocol == "wsgi":
                return Client(app).get(path).status_code
            return asyncio.run(call(app.asgi, path)).status

        for _ in range(3):
            assert [get(path) for path in ("/pass", "/fail", "/async")] == [200, 500, 200]
        app.executor.shutdown()

    def test_a_teardown_may_commit(self, database: Any) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            database()

            @on_teardown
            def commit(error: object) -> None:
                database.commit()

            database.add(Item(name="lamp"))
            start_response("200 OK", [])
            return []

        Client(wsgi.ContextMiddleware(application)).get("/")
        assert names(database) == ["lamp"]

    def test_what_goes_on_when_it_is_over_has_its_own(self, database: Any) -> None:
        seen: list[Session] = []
        go_on = threading.Event()

        def work() -> None:
            go_on.wait()
            seen.append(database())
            assert database() is seen[-1]

        def application(environ: Any, start_response: Any) -> Any:
            seen.append(database())
            threads.append(threading.Thread(target=flow.bind(work)))
            threads[0].start()
            start_response("200 OK", [])
            return []

        threads: list[threading.Thread] = []
        Client(wsgi.ContextMiddleware(application)).get("/")
        go_on.set()
        threads[0].join()
        assert seen[0] is not seen[1]

    def test_a_context_that_is_pushed_again_has_another(self, database: Any) -> None:
        app = App("tested")
        context = app.test_request_context()
        seen = []
        for _ in range(2):
            with context:
                seen.append(database())
                assert database() is seen[-1]
                names(database)
        assert seen[0] is not seen[1]


class TestOwners:
    """Where there is no request."""

    @pytest.mark.parametrize("strategy", ["context", "thread", "greenlet", "task"])
    def test_threads(self, database: Any, strategy: str) -> None:
        ident.set_default(strategy)
        seen = {id(database()): database()}

        def work() -> None:
            assert database() not in seen.values()
            names(database)

        for _ in range(4):
            in_thread(work)
        assert [*database.registry.registry.values()] == list(seen.values())

    @pytest.mark.parametrize("strategy", ["context", "greenlet"])
    def test_greenlets(self, database: Any, strategy: str) -> None:
        ident.set_default(strategy)
        mine = database()

        def work() -> None:
            assert database() is not mine
            names(database)

        for _ in range(4):
            running = greenlet.greenlet(work)
            running.switch()
            del running
            gc.collect()  # a raw greenlet has no callback at its end
        assert database() is mine

    @pytest.mark.parametrize("strategy", ["context", "task"])
    def test_tasks(self, database: Any, strategy: str) -> None:
        ident.set_default(strategy)
        running: list[asyncio.Task[Any]] = []

        async def work() -> Session:
            names(database)
            await asyncio.sleep(0)
            session: Session = database()
            return session

        async def main() -> None:
            mine = database()
            for _ in range(4):
                running.append(asyncio.create_task(work()))
                assert await running[-1] is not mine
            await asyncio.sleep(0)  # it is told of the last one after us
            assert database() is mine
            assert len(database.registry.registry) == 1  # though the tasks are still referred to

        asyncio.run(main())

    @pytest.mark.parametrize("strategy", ["context", "thread", "greenlet", "task"])
    def test_frames(self, database: Any, strategy: str) -> None:
        ident.set_default(strategy)
        mine = database()
        for _ in range(4):
            frame = flow.Frame()
            inside = frame.run(lambda: (names(database), database())[1])
            assert inside is not mine
            assert frame.run(database) is inside
            frame.close()
            assert database() is mine
            assert len(database.registry.registry) == 1

    @pytest.mark.parametrize("strategy", ["context", "thread"])
    def test_a_copy_of_the_owner_is_another_and_keeps_none_open(
        self, database: Any, engine: Any, strategy: str
    ) -> None:
        ident.set_default(strategy)
        kept: list[Callable[[], Any]] = []
        seen: list[bool] = []

        def work() -> None:
            mine = database()
            names(database)
            kept.append(flow.bind(database))
            in_thread(lambda: seen.append(kept[0]() is mine))

        in_thread(work)
        gc.collect()
        assert engine.pool.checkedout() == 0
        assert seen == [False]

    def test_a_context_ends_though_copies_of_it_live(self, database: Any) -> None:
        context = copy_context()
        kept = context.run(lambda: (database(), copy_context())[1])
        assert len(database.registry.registry) == 1
        del context
        assert database.registry.registry == {}
        assert kept

    def test_owners_that_are_known_by_equality_keep_theirs(self, database: Any) -> None:
        job = ["a"]
        ident.set_default(lambda: job[0])
        first = database()
        job[0] = "b"
        assert database() is not first
        database.remove()
        job[0] = "a"
        assert database() is first

    def test_nothing_grows_with_frames_in_one_thread(self, database: Any) -> None:
        from weakref import finalize

        ident.set_default("thread")
        database()
        before = len(finalize._registry)  # type: ignore[attr-defined]
        for _ in range(20):
            frame = flow.Frame()
            frame.run(database)
            frame.close()
        assert len(finalize._registry) == before  # type: ignore[attr-defined]

    @pytest.mark.slow
    @pytest.mark.parametrize("twin", ["native"], indirect=True)
    @pytest.mark.parametrize("strategy", ["context", "greenlet"])
    def test_a_rollback_may_wait_though_the_hub_of_gevent_sees_the_end(
        self, strategy: str, url: str, run_python: Callable[..., str]
    ) -> None:
        printed = run_python(f"""
            import gevent.monkey
            gevent.monkey.patch_all()
            from sqlalchemy import create_engine, event, text
            from sqlalchemy.orm import sessionmaker
            from ctxlocal import ident
            from ctxlocal.integrations.sqlalchemy import scoped

            ident.set_default({strategy!r})
            engine = create_engine({url!r})
            database = scoped(sessionmaker(engine))
            event.listen(engine, "rollback", lambda connection: (gevent.sleep(0), print("back")))
            gevent.spawn(lambda: database.execute(text("select 1")) and None).join()
            while database.registry.registry or engine.pool.checkedout():
                gevent.sleep(0)
        """)
        assert printed == "back\n"

    def test_a_forked_child_leaves_its_parents_alone(
        self, engine: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = scoped(sessionmaker(engine))

        def work() -> None:
            database()
            monkeypatch.setattr(os, "getpid", lambda: 0)

        in_thread(work)
        assert len(database.registry.registry) == 1

    def test_a_forked_child_has_one_of_its_own(
        self, engine: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = scoped(sessionmaker(engine))
        parents = database()
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: 0)
            assert database() is not parents
            database.remove()
        parents.close()

    def test_a_failing_close_is_logged_and_harms_nobody(
        self, engine: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Failing(Session):
            def close(self) -> None:
                super().close()
                raise OSError("gone")

        database = scoped(sessionmaker(engine, class_=Failing))
        in_thread(database)
        assert "could not be closed" in caplog.text


class TestItIsAScopedSession:
    def test_remove_and_the_registry(self, database: Any) -> None:
        first = database.registry()
        assert first is database()
        assert database.registry.has()
        names(database)
        database.remove()
        assert not database.registry.has()
        assert database() is not first

    def test_options_make_a_session_and_are_refused_later(self, database: Any) -> None:
        assert database(autoflush=False).autoflush is False
        with pytest.raises(InvalidRequestError):
            database(autoflush=True)

    def test_query_property(self, database: Any) -> None:
        class Thing(Item):
            query = database.query_property()

        assert Thing.query.count() == 0

    def test_it_is_configured_late(self, engine: Any) -> None:
        database = scoped(sessionmaker())
        database.configure(bind=engine)
        assert names(database) == []
        database.remove()


@asynccontextmanager
async def async_database(url: str) -> AsyncIterator[Any]:
    url = url.replace("sqlite:", "sqlite+aiosqlite:")
    engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, **POOL)
    try:
        yield async_scoped(async_sessionmaker(engine))
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    finally:
        await engine.dispose()


async def respond(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def run_async(function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    async def main() -> None:
        await function(*arguments)

    asyncio.run(main())
    gc.collect()


class TestAsyncSessions:
    @pytest.mark.parametrize("count", [30, pytest.param(2_000, marks=pytest.mark.slow)])
    def test_a_pool_of_two_survives_any_number_of_requests(self, url: str, count: int) -> None:
        async def main() -> None:
            async with async_database(url) as database:

                async def application(scope: Any, receive: Any, send: Any) -> None:
                    first: AsyncSession = database()
                    database.add(Item(name="not committed"))
                    await database.flush()
                    rows = await database.scalars(text("select name from items"))
                    assert rows.all() == ["not committed"]
                    assert database() is first
                    if scope["path"] == "/fail":
                        raise LookupError
                    await respond(send)

                served = asgi.ContextMiddleware(application)
                for _ in range(count // 2):
                    await call(served)
                    with pytest.raises(LookupError):
                        await call(served, "/fail")
                assert database.registry.registry == {}

        run_async(main)

    @pytest.mark.parametrize("kind", ["middleware", "app"])
    def test_a_request_that_is_cancelled_closes_its_own(self, url: str, kind: str) -> None:
        async def main() -> None:
            async with async_database(url) as database:
                waiting = asyncio.Event()

                async def wait() -> None:
                    await database.execute(text("select 1"))
                    waiting.set()
                    await asyncio.Event().wait()

                async def application(scope: Any, receive: Any, send: Any) -> None:
                    await wait()

                app = App("tested")

                @app.get("/")
                async def view() -> str:
                    await wait()
                    return ""

                served: Any = app.asgi
                if kind == "middleware":
                    served = asgi.ContextMiddleware(application)
                for _ in range(3):
                    waiting.clear()
                    task = Exchange(served, http_scope("/"), {"type": "http.request"}).start()
                    await waiting.wait()
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert database.registry.registry == {}

        run_async(main)

    @pytest.mark.postgresql
    def test_so_it_is_with_a_server(self, postgresql_url: str) -> None:
        async def main() -> None:
            async with async_database(postgresql_url) as database:

                async def application(scope: Any, receive: Any, send: Any) -> None:
                    await database.execute(text("select 1"))
                    await respond(send)

                for _ in range(6):
                    await call(asgi.ContextMiddleware(application))

        run_async(main)

    def test_those_of_an_app_are_closed(self, url: str) -> None:
        async def main() -> None:
            async with async_database(url) as database:
                app = App("tested")

                @app.get("/<outcome>")
                async def view(outcome: str) -> str:
                    await database.execute(text("select 1"))
                    if outcome == "fail":
                        raise LookupError
                    return "fine"

                for _ in range(3):
                    assert (await call(app.asgi, "/pass")).status == 200
                    assert (await call(app.asgi, "/fail")).status == 500
                    assert database.registry.registry == {}

        run_async(main)

    def test_copies_of_a_request_have_one_each(self, url: str) -> None:
        async def main() -> None:
            async with async_database(url) as database:
                seen: list[AsyncSession] = []

                async def work() -> None:
                    seen.append(database())
                    await database.execute(text("select 1"))

                async def application(scope: Any, receive: Any, send: Any) -> None:
                    await work()
                    copied = copy_current_request_context(work)
                    for _ in range(3):  # the pool has two
                        await asyncio.create_task(copied())
                    assert [*database.registry.registry.values()] == [seen[0]]
                    await respond(send)

                await call(asgi.ContextMiddleware(application))
                assert len(set(map(id, seen))) == 4

        run_async(main)

    @pytest.mark.parametrize("strategy", ["context", "task"])
    def test_a_tasks_is_closed_when_it_has_ended(self, url: str, strategy: str) -> None:
        ident.set_default(strategy)

        async def main() -> None:
            async with async_database(url) as database:

                async def work() -> None:
                    await database.execute(text("select 1"))

                await asyncio.gather(*(work() for _ in range(20)))
                while database.registry.registry or closing():
                    await asyncio.sleep(0)

        def closing() -> bool:
            return len(asyncio.all_tasks()) > 1

        run_async(main)

    @pytest.mark.parametrize("strategy", ["context", "task"])
    def test_what_the_loop_has_no_time_to_close_is_said(
        self, strategy: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        ident.set_default(strategy)
        database = async_scoped(async_sessionmaker())

        async def main() -> None:
            database()

        asyncio.run(main())
        gc.collect()
        assert "The AsyncSession of" in caplog.text
        assert "Await remove() before the end" in caplog.text

    def test_so_is_what_a_thread_has_left(self, caplog: pytest.LogCaptureFixture) -> None:
        database = async_scoped(async_sessionmaker())

        async def main() -> None:
            await asyncio.to_thread(in_thread, database)

        asyncio.run(main())
        assert "no event loop goes on" in caplog.text

    def test_so_is_what_another_loop_finds(self, caplog: pytest.LogCaptureFixture) -> None:
        database = async_scoped(async_sessionmaker())
        frame = flow.Frame()
        made, go_on = threading.Event(), threading.Event()

        async def use() -> None:
            frame.run(database)
            made.set()
            await asyncio.to_thread(go_on.wait)

        async def end() -> None:
            frame.close()

        thread = threading.Thread(target=lambda: asyncio.run(use()))
        thread.start()
        made.wait()
        asyncio.run(end())
        assert "no event loop goes on" in caplog.text
        go_on.set()
        thread.join()

    def test_a_request_whose_coroutine_is_closed_has_its_own_closed_after_it(
        self, url: str
    ) -> None:
        async def main() -> None:
            async with async_database(url) as database:

                async def application(scope: Any, receive: Any, send: Any) -> None:
                    await database.execute(text("select 1"))
                    waiting.set()
                    await forever

                waiting, forever = asyncio.Event(), asyncio.get_running_loop().create_future()
                served: Any = asgi.ContextMiddleware(application)
                serving = served(http_scope("/"), asyncio.Event().wait, asyncio.Event().wait)
                step = serving.send(None)
                while not waiting.is_set():
                    await asyncio.wait([step])
                    step = serving.send(None)
                serving.close()
                assert database.registry.registry == {}
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0)

        run_async(main)

    def test_remove_is_awaited(self, url: str) -> None:
        async def main() -> None:
            async with async_database(url) as database:
                first = database()
                await database.execute(text("select 1"))
                await database.remove()
                assert database() is not first
                await database.remove()

        run_async(main)


class TestAsyncTeardowns:
    """What requests await at their end, of which the AsyncSession is an example."""

    @pytest.mark.parametrize("kind", ["middleware", "app"])
    @pytest.mark.parametrize("strategy", ["context", "task", "thread"])
    def test_the_last_is_awaited_first_within_the_request(self, kind: str, strategy: str) -> None:
        ident.set_default(strategy)
        seen: list[object] = []

        def register() -> None:
            context = current_request_context()

            async def first(error: object) -> None:
                await asyncio.sleep(0)
                seen.append((error, current_request_context() is context))

            async def second(error: object) -> None:
                seen.append("second")
                raise OSError

            context.on_teardown(lambda error: seen.append("called"))
            context.on_teardown_async(first)
            context.on_teardown_async(second)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            register()
            await respond(send)

        app = App("tested")

        @app.get("/")
        async def view() -> str:
            register()
            return ""

        asyncio.run(call(app.asgi if kind == "app" else asgi.ContextMiddleware(application)))
        assert seen == ["second", (None, True), "called"]

    def test_under_wsgi_they_are_refused(self) -> None:
        async def teardown(error: object) -> None:
            raise AssertionError

        app = App("tested")
        with (
            app.test_request_context(),
            pytest.raises(RuntimeError, match="is served synchronously, so that nothing can await"),
        ):
            current_request_context().on_teardown_async(teardown)
