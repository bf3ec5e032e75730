"""Requests and sessions as a type checker sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session as SQLSession
from sqlalchemy.orm import scoped_session, sessionmaker
from typing_extensions import assert_type

from ctxlocal.integrations import prometheus
from ctxlocal.integrations.opentelemetry import store_hook
from ctxlocal.integrations.sqlalchemy import async_scoped, scoped
from ctxlocal.sessions import EncryptedCookieSessions, Session, SessionInfo, StoredSessions
from ctxlocal.sessions.session import Results
from ctxlocal.sessions.stores import plugins, register_store
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.observed import (
    AsyncObservedStore,
    ObservedStore,
    StoreCall,
    observed,
)
from ctxlocal.sessions.stores.protocol import AsyncStore, Record, Store
from ctxlocal.sessions.stores.redis import AsyncRedisStore
from ctxlocal.sessions.stores.sql import AsyncSQLStore
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.sessions.stores.url import open_async_store, open_store
from ctxlocal.web import asgi, wsgi
from ctxlocal.web.app import App, Response, TestClient, jsonify
from ctxlocal.web.context import copy_current_request_context, current_app, g, request, session
from ctxlocal.web.wsgi import ContextMiddleware


class Cart(msgspec.Struct):
    items: list[str] = msgspec.field(default_factory=list)
    visits: int = 0


@dataclass
class Visit:
    page: str = "/"
    sizes: tuple[int, int] = (0, 0)
    tags: set[str] = field(default_factory=set)


def test_stores_fulfil_the_protocol() -> None:
    stores: list[Store] = [MemoryStore(), SQLiteStore("never-opened.db")]
    assert all(isinstance(store, Store) for store in stores)


def test_async_stores_fulfil_the_protocol() -> None:
    stores: list[AsyncStore] = [
        ThreadedStore(MemoryStore()),
        AsyncRedisStore.from_url("redis://never-opened"),
        AsyncSQLStore.from_url("postgresql+psycopg://never-opened/none"),
    ]
    assert all(isinstance(store, AsyncStore) for store in stores)


def test_a_store_that_is_observed_is_one_of_its_kind() -> None:
    def note(call: StoreCall) -> None:
        assert_type(call.seconds, float)
        assert_type(call.error, type[BaseException] | None)

    blocking = observed(MemoryStore(), note)
    awaited = observed(
        ThreadedStore(MemoryStore()), prometheus.store_hook(registry=CollectorRegistry())
    )
    assert_type(blocking, ObservedStore)
    assert_type(awaited, AsyncObservedStore)
    assert_type(blocking.load("none"), Record | None)
    stores: list[Store | AsyncStore] = [blocking, awaited, observed(blocking, store_hook())]
    assert len(list(map(StoredSessions, stores))) == 3


class Memory:
    """A plug-in, as a module may be one."""

    @staticmethod
    def open_store(url: str) -> Store:
        return MemoryStore()


def test_stores_are_opened_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {})  # for the time of the test
    register_store("typed-memory", Memory)
    assert_type(open_store("typed-memory://"), Store)
    assert_type(open_async_store("typed-memory://"), AsyncStore)


def test_session() -> None:
    app = App("typed", sessions=StoredSessions(MemoryStore()))
    with app.test_request_context():
        assert_type(session, Session)
        assert_type(session.get("key"), Any | None)
        assert_type(session.user, str | None)
        assert_type(session.refusal, Exception | None)
        assert_type(session.incr("n"), int)
        assert_type(session.get_flashed(), list[tuple[str, str]])
        assert_type(request.method, str)
        assert_type(g.get("anything"), Any)
        assert_type(session.save(), Results)
        assert_type(current_app, App)
        assert_type(current_app.name, str)


def test_saving_awaited() -> None:
    async def view() -> None:
        session.incr("n")
        assert_type(await session.save(), Results)

    with App("typed", sessions=StoredSessions(MemoryStore())).test_request_context():
        asyncio.run(view())


def test_an_application_without_types_is_taken() -> None:
    def untyped(environ, start_response):  # type: ignore[no-untyped-def]
        async def later() -> None: ...

        return later() if environ is None else [b""]

    assert ContextMiddleware(untyped).app is untyped


def test_session_as_a_dict() -> None:
    app = App("typed", sessions=StoredSessions(MemoryStore()))
    with app.test_request_context():
        assert_type(session.copy(), dict[str, Any])
        assert_type(session.to_dict(), dict[str, Any])
        assert_type(session | {"a": 1}, dict[str, Any])
        assert_type({"a": 1} | session, dict[str, Any])
        assert_type(list(reversed(session)), list[str])
        assert_type(jsonify(session), Response)
        opened = StoredSessions(MemoryStore()).open("")
        opened |= {"a": 1}
        assert_type(opened, Session)
        assert isinstance(opened, dict)


def test_schema() -> None:
    carts = StoredSessions(MemoryStore(), schema=Cart)
    cart = carts.view(session)  # of whatever request asks
    assert_type(cart, Cart)
    with App("typed", sessions=carts).test_request_context():
        assert_type(cart.items, list[str])
        assert_type(cart.visits, int)
        assert (cart.items, cart.visits) == ([], 0)

    visits = StoredSessions(MemoryStore(), schema=Visit, idle_timeout=60)
    visit = visits.view(session)
    with App("typed", sessions=visits).test_request_context():
        assert_type(visit.sizes, tuple[int, int])
        assert_type(visit.tags, set[str])
        visit.sizes = (1, 2)
        assert visit.sizes == (1, 2)


def test_management() -> None:
    sessions = StoredSessions(MemoryStore(), max_sessions=3)
    assert_type(sessions.list_sessions("ada"), list[SessionInfo])
    assert_type(sessions.revoke("handle", user="ada"), bool)
    assert_type(sessions.revoke_all("ada"), int)


def test_app() -> None:
    app = App("typed", sessions=EncryptedCookieSessions(b"k" * 32))

    @app.get("/<int:number>")
    def view(number: int) -> str:
        return str(number)

    assert_type(view(1), str)
    with app.test_request_context():
        job: Callable[[int], str] = copy_current_request_context(view)
        assert job(1) == "1"
    with app.test_client() as client:
        assert_type(client, TestClient)


def test_sessions_of_sqlalchemy() -> None:
    assert_type(scoped(sessionmaker()), scoped_session[SQLSession])
    assert_type(async_scoped(async_sessionmaker()), async_scoped_session[AsyncSession])


def test_what_is_inherited() -> None:
    request_id: ContextVar[str] = ContextVar("request_id")
    numbers: list[ContextVar[int]] = []

    async def service(scope: Any, receive: Any, send: Any) -> None:
        """Serve nothing."""

    assert App("typed", inherit=[request_id])
    assert App("typed", inherit=True)
    assert wsgi.ContextMiddleware(lambda environ, start_response: [], inherit=(request_id,))
    assert asgi.ContextMiddleware(service, inherit=numbers)
