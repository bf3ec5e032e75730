"""TestClient: what a test sees of a request that is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ctxlocal import UnboundError, ident
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import SessionClosedError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web.app import App, redirect, url_for
from ctxlocal.web.context import (
    current_app,
    flash,
    g,
    get_flashed_messages,
    has_app_context,
    has_request_context,
    on_teardown,
    request,
    session,
)


@pytest.fixture(params=["context", "thread", "greenlet", "task"], autouse=True)
def strategy(request: pytest.FixtureRequest) -> str:
    ident.set_default(request.param)
    return str(request.param)


@pytest.fixture
def ended() -> list[Any]:
    """What the teardowns have been told."""
    return []


@pytest.fixture
def app(ended: list[Any]) -> App:
    app = App("shop", sessions=StoredSessions(MemoryStore(), cookie=Cookie.for_development()))
    app.testing = True

    @app.get("/set/<value>")
    def set_value(value: str) -> str:
        session["value"] = g.value = value
        on_teardown(lambda error: ended.append(("view", value)))
        return value

    @app.get("/plain")
    def plain() -> str:
        return ""

    @app.get("/fail")
    def fail() -> str:
        g.value = "failed"
        raise KeyError("mine")

    @app.get("/stream")
    def stream() -> Iterator[str]:
        g.value = "streamed"
        yield "a"
        yield str(g.value)

    @app.get("/moved")
    def moved() -> Any:
        return redirect("/set/new")

    @app.teardown_request
    def end_request(error: BaseException | None) -> None:
        ended.append(("request", request.path, error))

    @app.teardown_appcontext
    def end_app(error: BaseException | None) -> None:
        ended.append(("app", g.get("value"), error))

    return app


def test_a_with_block_keeps_the_last_request(app: App, ended: list[Any]) -> None:
    with app.test_client() as client:
        assert not has_request_context()
        client.get("/set/1?a=b")
        assert (request.path, request.args["a"]) == ("/set/1", "b")
        assert (session["value"], g.value, current_app.name) == ("1", "1", "shop")
        assert url_for("plain") == "/plain"
        assert ended == []
    assert not has_request_context()
    assert not has_app_context()
    assert ended == [("view", "1"), ("request", "/set/1", None), ("app", "1", None)]


def test_the_next_request_ends_the_one_before(app: App, ended: list[Any]) -> None:
    with app.test_client() as client:
        client.get("/set/1")
        client.get("/set/2")
        assert (g.value, session["value"]) == ("2", "2")
        assert ended == [("view", "1"), ("request", "/set/1", None), ("app", "1", None)]
    assert len(ended) == 6


def test_without_a_with_block_nothing_is_kept(app: App, ended: list[Any]) -> None:
    client = app.test_client()
    client.get("/set/1")
    assert not has_request_context()
    assert len(ended) == 3
    with client:
        client.get("/set/2")
    client.get("/set/3")
    assert not has_request_context()
    assert len(ended) == 9


def test_a_session_that_the_view_left_alone_can_be_read(app: App) -> None:
    with app.test_client() as client:
        client.get("/plain")
        assert "value" not in session
        client.get("/set/1")
        response = client.get("/plain")
        assert session["value"] == "1"
        assert "Vary" not in response.headers


def test_flashed_messages_can_be_looked_at_and_stay(app: App) -> None:
    app.add_url_rule("/flash", "flash", lambda: flash("hello") or "")  # type: ignore[func-returns-value]
    app.add_url_rule("/show", "show", lambda: get_flashed_messages())
    with app.test_client() as client:
        client.get("/flash")
        assert get_flashed_messages() == ["hello"]
        client.get("/plain")
        assert get_flashed_messages() == ["hello"]
        assert client.get("/show").json == ["hello"]
        assert get_flashed_messages() == ["hello"]  # again in the same request
        client.get("/plain")
        assert get_flashed_messages() == []


def test_an_app_without_sessions_keeps_its_requests_too() -> None:
    app = App("bare")
    app.add_url_rule("/", "index", lambda: "")
    with app.test_client() as client:
        client.get("/")
        assert (request.path, dict(session)) == ("/", {})
        assert get_flashed_messages() == []


def test_a_session_cannot_be_changed_afterwards(app: App) -> None:
    with app.test_client() as client:
        client.get("/set/1")
        with pytest.raises(SessionClosedError):
            session["value"] = "2"


def test_a_request_that_raised_is_kept_too(app: App, ended: list[Any]) -> None:
    with app.test_client() as client:
        with pytest.raises(KeyError, match="mine"):
            client.get("/fail")
        assert (request.path, g.value) == ("/fail", "failed")
        assert ended == []
        with pytest.raises(SessionClosedError):
            session["value"] = "lost"
    path, error = ended[0][1:]
    assert (path, type(error)) == ("/fail", KeyError)


def test_an_exception_in_the_block_ends_the_request(app: App, ended: list[Any]) -> None:
    def fail() -> None:
        with app.test_client() as client:
            client.get("/set/1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(ended) == 3
    assert not has_request_context()


def test_a_stream_is_kept_while_it_is_read(app: App, ended: list[Any]) -> None:
    with app.test_client() as client:
        response = client.get("/stream")
        assert request.path == "/stream"
        assert response.text == "astreamed"
        response.close()
        assert g.value == "streamed"
        assert ended == []
    assert [what for what, *_ in ended] == ["request", "app"]


def test_a_stream_is_not_spared_what_it_meets_without_the_block(app: App) -> None:
    @app.get("/late")
    def late() -> Iterator[str]:
        yield "a"
        for look in (lambda: session.get("value"), get_flashed_messages):
            with pytest.raises(SessionClosedError):
                look()
        yield "b"

    with app.test_client() as client:
        response = client.get("/late")
        assert response.text == "ab"
        response.close()
        assert session.get("value") is None


def test_a_stream_that_outlives_the_block_ends_by_itself(app: App, ended: list[Any]) -> None:
    with app.test_client() as client:
        response = client.get("/stream")
    assert not has_request_context()
    assert ended == []
    assert response.text == "astreamed"
    response.close()
    assert [what for what, *_ in ended] == ["request", "app"]


def test_the_end_of_a_redirect_is_kept(app: App, ended: list[Any]) -> None:
    with app.test_client() as client:
        client.get("/moved", follow_redirects=True)
        assert (request.path, g.value) == ("/set/new", "new")
        assert ended == [("request", "/moved", None), ("app", None, None)]


def test_clients_may_be_nested(app: App) -> None:
    with app.test_client() as outer:
        outer.get("/set/outer")
        with app.test_client() as inner:
            inner.get("/set/inner")
            assert g.value == session["value"] == "inner"
            outer.get("/set/again")
            assert g.value == "again"
        assert g.value == session["value"] == "again"


def test_other_contexts_around_are_there_again(app: App) -> None:
    with app.test_request_context("/around"):
        with app.test_client() as client:
            assert request.path == "/around"
            client.get("/set/1")
            assert request.path == "/set/1"
        assert request.path == "/around"


def test_a_transaction_in_the_block_is_its_own(app: App) -> None:
    with app.test_client() as client:
        client.get("/set/1")
        with client.session_transaction() as kept:
            kept["value"] = "2"
        assert session["value"] == "1"
        client.get("/plain")
        assert session["value"] == "2"


def test_a_client_is_in_one_with_block_at_a_time(app: App) -> None:
    client = app.test_client()
    with client, pytest.raises(RuntimeError, match="is in a with block already"):
        client.__enter__()
    with client:
        client.get("/set/1")
        assert g.value == "1"


def test_a_teardown_that_raises_fails_the_test_once(app: App) -> None:
    @app.teardown_request
    def fail(error: BaseException | None) -> None:
        raise ZeroDivisionError

    client = app.test_client()
    with pytest.raises(ZeroDivisionError), client:
        client.get("/set/1")
    assert not has_request_context()
    with pytest.raises(UnboundError):
        request.path  # noqa: B018
