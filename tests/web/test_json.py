"""jsonify, and views that return dicts, take what sessions take, as Flask has it where it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import flask
import msgspec
import pytest
from markupsafe import Markup

from ctxlocal.sessions import Cookie, StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web.app import App, jsonify, session


@dataclass
class Data:
    price: Decimal


class Struct(msgspec.Struct):
    day: date


class Page:
    def __html__(self) -> str:
        return "<p>"


AS_FLASK: list[Any] = [
    datetime(2026, 1, 2, 3, 4, 5, 678),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
    datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    date(2026, 1, 2),
    Decimal("1.10"),
    UUID(int=5),
    Markup("<b>"),
    Page(),
    Data(Decimal("1.5")),
    (1, (2, 3)),
    {1: "a", None: "b", 2.5: "c"},
]
OURS: list[tuple[Any, Any]] = [
    ({2, 1, (3,)}, [1, 2, [3]]),
    (frozenset("ab"), ["a", "b"]),
    (time(12, 30, tzinfo=timezone.utc), "12:30:00Z"),
    (timedelta(days=1, seconds=2), "P1DT2S"),
    (b"\x00x", "AHg="),
    (Struct(date(2026, 1, 2)), {"day": "Fri, 02 Jan 2026 00:00:00 GMT"}),
]


@pytest.fixture
def app() -> App:
    return App("test", StoredSessions(MemoryStore(), cookie=Cookie.for_development()))


def answer(app: App, view: Callable[[], Any]) -> Any:
    app.add_url_rule("/", "view", view)
    response = app.test_client().get("/")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    return response.json


@pytest.mark.parametrize("value", AS_FLASK, ids=lambda value: type(value).__name__)
def test_what_flask_takes_is_as_flask_has_it(app: App, value: Any) -> None:
    with flask.Flask("test").app_context():
        expected = json.loads(flask.json.dumps(value, sort_keys=False))
    assert answer(app, lambda: jsonify(value)) == expected
    assert answer(App("dict"), lambda: {"value": [value]}) == {"value": [expected]}


@pytest.mark.parametrize(("value", "expected"), OURS, ids=lambda value: type(value).__name__)
def test_what_else_a_session_takes_is_text_or_an_array(app: App, value: Any, expected: Any) -> None:
    assert answer(app, lambda: jsonify(value=value)) == {"value": expected}


@pytest.mark.parametrize(
    "view",
    [
        lambda: session,
        lambda: jsonify(session),
        lambda: jsonify(**session),
        lambda: (session, 200),
        lambda: session.to_dict(),
        lambda: session.copy(),
    ],
)
def test_a_view_may_return_the_session(app: App, view: Callable[[], Any]) -> None:
    @app.get("/set")
    def fill() -> str:
        session.update(a=(1, {2}), day=date(2026, 1, 2))
        return "ok"

    app.add_url_rule("/", "view", view)
    client = app.test_client()
    client.get("/set")
    response = client.get("/")
    assert response.json == {"a": [1, [2]], "day": "Fri, 02 Jan 2026 00:00:00 GMT"}
    assert response.vary.to_header() == "Cookie"


def test_the_session_within_other_values(app: App) -> None:
    def view() -> dict[str, Any]:
        session["a"] = 1
        return {"session": [session]}

    assert answer(app, view) == {"session": [{"a": 1}]}


@pytest.mark.parametrize("value", [object(), Data, 1j, {(1, 2): 3}, {UUID(int=1): 2}])
def test_what_json_does_not_have_is_a_type_error(app: App, value: Any) -> None:
    with app.test_request_context(), pytest.raises(TypeError, match=r"not|must be"):
        jsonify(value)
