"""Complete responses: made and handed over as werkzeug makes and hands them over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ
from werkzeug.wrappers import Response as BaseResponse

from ctxlocal.web.app import Response
from ctxlocal.web.app.complete import made_of, wire_form

text = st.text() | st.binary()


def parts(response: BaseResponse) -> dict[str, Any]:
    return {**vars(response), "headers": (type(response.headers), list(response.headers))}


def by_werkzeug(response: BaseResponse) -> tuple[list[bytes], str, list[tuple[str, str]]]:
    body, status, headers = response.get_wsgi_response(create_environ())
    return list(body), status, headers


@settings(max_examples=50, deadline=None)
@given(text, st.sampled_from([None, "application/json", "text/html", "text/plain", "image/png"]))
def test_text_makes_the_response_that_its_class_makes(body: str | bytes, mime: str | None) -> None:
    made, expected = made_of(Response, body, mime), Response(body, mimetype=mime)
    assert type(made) is Response
    assert parts(made) == parts(expected)
    made.headers["X"] = "changed"
    made.call_on_close(lambda: None)
    assert parts(made_of(Response, body, mime)) == parts(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_mimetype", "text/csv"),
        ("default_mimetype", None),
        ("default_status", 201),
        ("automatically_set_content_length", False),
        ("set_data", lambda self, value: setattr(self, "response", [b"<", value, b">"])),
        ("_clean_status", lambda self, value: ("299 FINE", 299)),
    ],
)
def test_class_that_was_changed_makes_its_own(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(Response, name, value)
    assert parts(made_of(Response, b"text", None)) == parts(Response(b"text"))


def test_class_whose_making_was_changed_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BaseResponse] = []
    init: Any = BaseResponse.__init__

    def counted(self: BaseResponse, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(BaseResponse, "__init__", counted)
    assert made_of(Response, "text", None) in made


names = st.sampled_from(
    [
        "Content-Length",
        "content-length",
        "Content-Type",
        "Location",
        "CONTENT-LOCATION",
        "Set-Cookie",
    ]
)
values = st.sampled_from(["5", "/é", "//a b", "text/plain", "a=1"])


@settings(max_examples=200, deadline=None)
@given(
    text | st.lists(text) | st.tuples(text),
    st.sampled_from([200, 201, 100, 204, 304, 404, "299 Fine", "odd"]),
    st.lists(st.tuples(names, values), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_server_gets_what_werkzeug_gives(
    body: Any, status: Any, headers: Any, direct: bool, sets_length: bool
) -> None:
    class Kind(Response):
        automatically_set_content_length = sets_length

    response = Kind(body, status, headers, direct_passthrough=direct)
    form = wire_form(response, "GET")
    if form is not None:
        assert (form[0], response.status, form[1]) == by_werkzeug(response)


def test_plain_text_goes_the_short_way() -> None:
    assert wire_form(made_of(Response, "é", None), "GET") is not None
    assert wire_form(Response("é", 404), "GET") is not None


def overridden(name: str) -> BaseResponse:
    kind: Any = type("Kind", (Response,), {name: vars(BaseResponse)[name]})
    other: Any = lambda self, *args: None  # noqa: E731
    setattr(kind, name, property(lambda self: True) if name == "is_sequence" else other)
    made: BaseResponse = kind("text")
    return made


def with_(change: Callable[[Any], object]) -> BaseResponse:
    response = Response("text")
    change(response)
    return response


class OwnHeaders(Headers):
    def to_wsgi_list(self) -> list[tuple[str, str]]:
        return [("X", "own")]


@pytest.mark.parametrize(
    "response",
    [
        *map(
            overridden,
            [
                "get_wsgi_response",
                "get_wsgi_headers",
                "get_app_iter",
                "iter_encoded",
                "is_sequence",
            ],
        ),
        with_(lambda it: setattr(it, "get_wsgi_response", lambda environ: None)),
        with_(lambda it: it.call_on_close(lambda: None)),
        with_(lambda it: setattr(it, "headers", OwnHeaders(it.headers))),
        with_(lambda it: setattr(it, "response", iter([b"text"]))),
        with_(lambda it: setattr(it, "direct_passthrough", True)),
        with_(lambda it: setattr(it, "status", 204)),
        with_(lambda it: setattr(it, "status", 304)),
        with_(lambda it: setattr(it, "status", 102)),
        with_(lambda it: setattr(it, "location", "/é")),
        with_(lambda it: it.headers.add("content-Location", "/é")),
        with_(lambda it: it.headers.remove("Content-Length")),
    ],
)
def test_what_is_no_plain_text_goes_by_werkzeug(response: Response) -> None:
    assert wire_form(response, "GET") is None


def test_werkzeug_of_another_making_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctxlocal.web.app.complete._IS_KNOWN", False)
    assert wire_form(Response("text"), "GET") is None
