"""Map: what it keeps of werkzeug's answers is what werkzeug would answer again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, MapAdapter, Rule, Submount, ValidationError
from werkzeug.routing import Map as BaseMap
from werkzeug.test import create_environ

from ctxlocal.web.app import App, Request, url_for
from ctxlocal.web.app.map import LONGEST_HOST, MOST_HOSTS, Map

PATHS = ["/", "/a", "/a/", "/a//b", "/a/b", "/é", "/<name>", "/a/<int:number>", "/<path:rest>"]
VARIABLE = [
    *("/<name>/", "/<path:rest>/", "/<path:rest>/edit", "/a/<name>/<path:rest>", "/<name>/b"),
    *("/<odd:number>", "/<odd:number>/", "/a/<odd:number>", "/<any(a, b):name>/<odd:number>"),
    *("/<int:number>-<name>", "/<either:name>", "/<either:name>/<path:rest>", "/<named:name>"),
    *("/a/<path:rest>/<odd:number>", "/<path:rest>/<either:name>/"),
]
ASKED = [*PATHS, "", "//", "//a", "/a/7", "/a/b/", "/x", "/Ã©", "/\xff", "/é/", "/%61"]
ASKED_OF_VARIABLE = [
    *("/7", "/8", "/7/", "/8/", "/a/8", "/a/7/", "/b/7", "/7-b", "/x/y/edit", "/x/y/edit/"),
    *("/a/x/y/z", "/a/é", "/a//7", "/7//", "/x/b", "/x//b", "/a/b/c/7", "/a/b/c/8", "/x/y/a/"),
]
HOSTS = ["shop.test", "shop.test:80", "www.shop.test", "", "a b", "x" * 64, None]

options = st.fixed_dictionaries(
    {},
    optional={
        "methods": st.sampled_from([["GET"], ["POST", "get"], ["OPTIONS", "PUT"]]),
        "strict_slashes": st.booleans(),
        "merge_slashes": st.booleans(),
        "defaults": st.sampled_from([{"number": 7}, {"name": "a"}, {}]),
        "subdomain": st.sampled_from(["", "www", "<shop>"]),
        "host": st.sampled_from(["shop.test", "<shop>.test"]),
        "alias": st.booleans(),
        "build_only": st.booleans(),
        "redirect_to": st.sampled_from(["a", "/x"]),
        "websocket": st.just(True),
    },
)
paths = st.sampled_from([*PATHS, *VARIABLE])
methods = st.sampled_from([{}, {"methods": ["GET"]}, {"methods": ["POST"]}])
plain: Any = st.tuples(paths, st.sampled_from("abc"), methods)
rules = plain | st.tuples(paths, st.sampled_from("abc"), options)
environs = st.fixed_dictionaries(
    {
        "REQUEST_METHOD": st.sampled_from(["GET", "GET", "HEAD", "POST", "OPTIONS", "get", "PUT"]),
        "wsgi.url_scheme": st.sampled_from(["http", "http", "https", "ws", "ftp"]),
        "SERVER_NAME": st.sampled_from(["shop.test", "10.0.0.1"]),
        "SERVER_PORT": st.sampled_from(["80", "8000"]),
    },
    optional={
        "PATH_INFO": st.sampled_from([*ASKED, *ASKED_OF_VARIABLE]),
        "HTTP_HOST": st.sampled_from([host for host in HOSTS if host is not None]),
        "SCRIPT_NAME": st.sampled_from(["", "/root", "/é", "/Ā"]),
        "QUERY_STRING": st.sampled_from(["", "q=1", "q=é", "q=Ā"]),
        "HTTP_UPGRADE": st.sampled_from(["websocket", "h2c"]),
        "HTTP_CONNECTION": st.sampled_from(["Upgrade", "keep-alive"]),
    },
)
asked = environs | st.builds(  # mostly plain, so that much is asked again
    lambda path, method: create_environ(path, "http://shop.test", method=method),
    st.sampled_from([*PATHS, *ASKED_OF_VARIABLE]),
    st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]),
)
maps = st.fixed_dictionaries(
    {},
    optional={
        "strict_slashes": st.booleans(),
        "merge_slashes": st.booleans(),
        "redirect_defaults": st.booleans(),
        "host_matching": st.booleans(),
    },
)


class Described:
    """A request object with nothing but an environ, so that odd ones come to the map at all."""

    url_rule = view_args = routing_exception = None

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ


def answer(app: App, environ: dict[str, Any]) -> Any:
    """Return all that routing tells of a request, in a form that two maps can be compared by."""
    asked: Any = Described(dict(environ))
    try:
        adapter = app.create_url_adapter(asked)
    except Exception as error:  # of the server's making: no text, or not decodable
        return type(error), str(error)
    rule, refusal = asked.url_rule, asked.routing_exception
    return (
        None if rule is None else (rule.rule, rule.endpoint, rule.methods, rule.subdomain),
        asked.view_args,
        None if refusal is None else (type(refusal), refusal.code, getattr(refusal, "new_url", "")),
        set(getattr(refusal, "valid_methods", None) or ()),
        None if adapter is None else bound(adapter),
    )


def bound(adapter: MapAdapter) -> object:
    adapter.allowed_methods()
    values = vars(adapter)
    return {name: values[name] for name in values.keys() - {"map", "_values"}}


class Odd(BaseConverter):
    """Takes odd numbers, and counts the requests that it was asked for."""

    regex = r"\d+"

    def __init__(self, url_map: BaseMap) -> None:
        super().__init__(url_map)
        self.asked = 0

    def to_python(self, value: str) -> tuple[int, int]:
        self.asked += 1
        if int(value) % 2 == 0:
            raise ValidationError
        return int(value), self.asked

    def to_url(self, value: Any) -> str:
        return str(value)


class Either(BaseConverter):
    """Has a group of its own."""

    regex = "(a|b)"


class Named(BaseConverter):
    """Has a group with a name of its own."""

    regex = "(?P<letter>[abx])"


CONVERTERS: dict[str, type[BaseConverter]] = {"odd": Odd, "either": Either, "named": Named}


def new_app(url_map: BaseMap) -> App:
    app = App("shop")
    app.url_map = url_map
    url_map.converters |= CONVERTERS
    return app


def add(app: App, path: str, endpoint: str, options: dict[str, Any]) -> None:
    with suppress(ValueError, LookupError, AssertionError):  # werkzeug's own refusals
        app.url_map.add(Rule(path, endpoint=endpoint, **options))


@settings(max_examples=150, deadline=None)
@given(maps, st.lists(rules, min_size=1, max_size=5), st.lists(asked | rules, max_size=12))
def test_answers_are_those_of_werkzeug(
    settings: dict[str, bool],
    first: list[Any],
    steps: list[Any],
) -> None:
    ours, theirs = new_app(Map()), new_app(BaseMap())
    for app in (ours, theirs):
        for name, value in settings.items():
            setattr(app.url_map, name, value)
        for rule in first:
            add(app, *rule)
    for step in steps:
        if isinstance(step, tuple):
            add(ours, *step)
            add(theirs, *step)
            continue
        for _ in range(2):  # the second time from what is kept, if it may be
            assert answer(ours, step) == answer(theirs, step)


GET, POST, SOCKET = {"methods": ["GET"]}, {"methods": ["POST"]}, {"websocket": True}


@pytest.mark.parametrize(
    ("rules", "path", "found"),
    [
        (["/<name>"], "/x", {"name": "x"}),
        (["/a/<int:number>", "/a/<name>"], "/a/x", {"name": "x"}),
        (["/a/<int:number>", "/a/<name>"], "/a/7", {"number": 7}),
        (["/a/b/c", "/<path:rest>"], "/a/b/d", {"rest": "a/b/d"}),
        (["/<name>/a", "/<path:rest>"], "/x/b", {"rest": "x/b"}),
        ([("/<name>", POST), ("/<name>", GET)], "/x", {"name": "x"}),
        ([("/<odd:number>", POST), ("/<odd:number>", GET)], "/7", {"number": (7, 1)}),
        ([("/<odd:number>", POST), ("/<odd:number>", GET)], "/8", 405),
        (["/<odd:number>"], "/8", 404),
        ([("/<name>", SOCKET)], "/x", 400),
        ([("/<name>", SOCKET), "/<path:rest>"], "/x", {"rest": "x"}),
        (["/<name>/"], "/x/", {"name": "x"}),
        (["/<name>/"], "/x", 308),
        (["/<name>/", "/<path:rest>"], "/x", 308),
        ([("/<name>", {"strict_slashes": False})], "/x/", {"name": "x"}),
        ([("/<name>", {"strict_slashes": False}), "/<path:rest>"], "/x/", {"name": "x"}),
        (["/<path:rest>/"], "/x/y/", {"rest": "x/y"}),
        (["/<path:rest>/"], "/x/y", 308),
        (["/<path:rest>/edit"], "/x/y/edit", {"rest": "x/y"}),
        (["/x/<name>"], "/x//y", 308),
        (["/<either:name>/<odd:number>"], "/b/7", {"name": "b", "number": (7, 1)}),
        (["/<either:name>", "/<path:rest>"], "/a", {"name": "a"}),
        (["/<named:name>/<odd:number>"], "/b/7", {"name": "b", "number": (7, 1)}),
        (["/<int:a>-<int:b>.<int:c>"], "/7-8.9", {"a": 7, "b": 8, "c": 9}),
        ([("/<name>", {"defaults": {"page": 1}})], "/x", {"name": "x", "page": 1}),
        (["/<name>", ("/a/<name>", {"alias": True, "endpoint": "/<name>"})], "/a/x", 308),
        ([("/<name>", {"redirect_to": "/other/<name>"})], "/x", 308),
        ([("/all", {"defaults": {"page": 1}, "endpoint": "p"}), ("/<int:page>", {"endpoint": "p"})],
            "/1", 308),
    ],
)  # fmt: skip
def test_variable_part_leads_where_werkzeug_leads(rules: Any, path: str, found: Any) -> None:
    answers = []
    for url_map in (Map(), BaseMap()):
        app = new_app(url_map)
        for rule in rules:
            text, options = rule if isinstance(rule, tuple) else (rule, {})
            app.url_map.add(Rule(text, **{"endpoint": text, **options}))
        answers.append(answer(app, create_environ(path, "http://shop.test")))
    ours, theirs = answers
    assert ours == theirs
    assert found in (ours[1], ours[2] and ours[2][1])


# What is kept


@pytest.fixture
def app() -> App:
    app = App("shop")
    for path in ("/", "/a", "/a/<name>", "/b/", "/caf\xe9"):
        app.add_url_rule(path, endpoint=path)
    return app


def ask(app: App, path: str = "/a", **environ: Any) -> Any:
    """Route a request, and return the request object."""
    asked = Described(create_environ(path, "http://shop.test") | environ)
    app.create_url_adapter(asked)
    return asked


def known(app: App) -> dict[tuple[str, str], Rule]:
    url_map = app.url_map
    assert type(url_map) is Map
    return url_map._known


def asks_werkzeug(app: App, monkeypatch: pytest.MonkeyPatch, **environ: Any) -> bool:
    """Whether a request is matched by werkzeug, and not by what is kept."""
    calls = []
    with monkeypatch.context() as patch:
        match = MapAdapter.match

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return match(*args, **kwargs)

        patch.setattr(MapAdapter, "match", counted)
        ask(app, **environ)
    return bool(calls)


def test_path_is_asked_for_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asks_werkzeug(app, monkeypatch)
    assert not asks_werkzeug(app, monkeypatch)
    assert asks_werkzeug(app, monkeypatch, REQUEST_METHOD="HEAD")
    assert not asks_werkzeug(app, monkeypatch, REQUEST_METHOD="HEAD")


def test_no_more_is_kept_than_the_rules_have_methods(app: App) -> None:
    app.url_map.add(Rule("/any", endpoint="any"))  # every method
    for number in range(150):
        for path in (f"/a/{number}", f"/missing/{number}", "/" * number + "a", "/b" + "/" * number):
            ask(app, path=path)
        ask(app, PATH_INFO=f"/a?{number}")
        ask(app, "/any", REQUEST_METHOD=f"M{number}")
        ask(app, REQUEST_METHOD="gEt")
        ask(app, HTTP_HOST=f"{number}.test")
    assert set(known(app)) == {("GET", "/a"), ("GET", "/b/")}


def test_hosts_that_are_kept_are_few_and_short(app: App) -> None:
    url_map: Any = app.url_map
    for number in range(3 * MOST_HOSTS):
        ask(app, HTTP_HOST=f"{number}.test")
        assert 0 < len(url_map._hosts) <= MOST_HOSTS
    kept = set(url_map._hosts)
    ask(app, HTTP_HOST=".".join(["a" * 60] * (LONGEST_HOST // 60 + 1)))
    assert set(url_map._hosts) == kept


def test_what_is_kept_is_forgotten_when_a_rule_is_added(app: App) -> None:
    ask(app)
    app.add_url_rule("/c", endpoint="c")
    assert not known(app)


def test_what_is_kept_is_forgotten_if_only_some_rules_could_be_added(app: App) -> None:
    ask(app)
    with pytest.raises(LookupError):
        app.url_map.add(Submount("/sub", [Rule("/c", endpoint="c"), Rule("/<no:d>", endpoint="d")]))
    assert not known(app)


def test_answer_from_before_a_rule_was_added_is_not_kept(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = MapAdapter.match

    def match_meanwhile(*args: Any, **kwargs: Any) -> Any:
        found = match(*args, **kwargs)
        app.add_url_rule("/c", endpoint="c")
        return found

    monkeypatch.setattr(MapAdapter, "match", match_meanwhile)
    ask(app)
    assert not known(app)


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"HTTP_HOST": "a" * 64 + ".test"}, 400),
        ({"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "upgrade"}, 400),
        ({"wsgi.url_scheme": "ws"}, 400),
        ({"REQUEST_METHOD": "PUT"}, 405),
        ({"PATH_INFO": "/a/"}, 404),
        ({"PATH_INFO": "/b"}, 308),
    ],
)
def test_what_werkzeug_refuses_is_refused_also_if_much_is_known(
    app: App, environ: dict[str, str], code: int
) -> None:
    for path in ("/", "/a", "/b/"):
        assert ask(app, path).routing_exception is None
    for _ in range(2):
        assert ask(app, **environ).routing_exception.code == code


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "QUERY_STRING"])
def test_what_is_no_bytes_is_refused_also_if_the_path_is_known(app: App, name: str) -> None:
    ask(app)
    with pytest.raises(UnicodeEncodeError):
        ask(app, **{name: "\u0100"})


def test_map_that_matches_hosts_later_is_asked(app: App) -> None:
    ask(app)
    app.url_map.host_matching = True
    assert ask(app).routing_exception.code == 404


def test_rule_of_another_class_is_asked(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    class Moody(Rule):
        pass

    app.url_map.add(Moody("/moody", endpoint="moody"))
    ask(app)
    assert asks_werkzeug(app, monkeypatch)


def test_map_of_another_class_is_asked(app: App) -> None:
    class Own(Map):
        def bind_to_environ(self, *args: Any, **kwargs: Any) -> MapAdapter:
            raise NotFound

    ask(app)
    app.url_map = Own()
    assert ask(app).routing_exception.code == 404


def test_alias_redirects_as_soon_as_it_shall() -> None:
    app = App("shop")
    app.url_map.redirect_defaults = False
    app.url_map.add(Rule("/", endpoint="index"))
    app.url_map.add(Rule("/index", endpoint="index", methods=["GET"], alias=True))
    assert ask(app, "/index").url_rule.rule == "/index"
    app.url_map.redirect_defaults = True
    assert ask(app, "/index").routing_exception.code == 308


def test_defaults_redirect_as_soon_as_they_shall() -> None:
    app = App("shop")
    app.url_map.redirect_defaults = False
    app.add_url_rule("/all", endpoint="page", defaults={"page": 1})
    app.add_url_rule("/first", endpoint="page", defaults={"page": 1})
    for path in ("/all", "/first"):
        assert ask(app, path).view_args == {"page": 1}
    app.url_map.redirect_defaults = True
    codes = [getattr(ask(app, path).routing_exception, "code", None) for path in ("/all", "/first")]
    assert 308 in codes


def test_rule_of_websockets_is_for_no_request(app: App) -> None:
    app.add_url_rule("/socket", endpoint="socket", websocket=True)
    assert ask(app).url_rule.rule == "/a"
    assert ask(app, "/socket", **{"wsgi.url_scheme": "ws"}).url_rule.rule == "/socket"
    assert ask(app, "/socket").routing_exception.code == 400


def test_each_request_has_arguments_of_its_own(app: App) -> None:
    for _ in range(3):
        found = ask(app).view_args
        assert found == {}
        found["left"] = "by a view"


# The adapter


def test_adapter_is_bound_to_what_the_request_was(app: App) -> None:
    ask(app)
    environ = create_environ("/a", "http://shop.test/root", query_string="q=1")
    with app.request_context(environ) as context:
        environ["HTTP_HOST"] = "another.test"
        environ["SCRIPT_NAME"] = ""
        assert url_for("/", _external=True) == "http://shop.test/root/"
        assert context.url_adapter.query_args == "q=1"


@pytest.mark.parametrize(
    "arguments", [{"server_name": "test"}, {"subdomain": "www"}, {"server_name": "other.test"}]
)
@pytest.mark.filterwarnings("ignore:Current server name")
def test_adapter_is_bound_to_the_name_that_is_given(app: App, arguments: dict[str, str]) -> None:
    ask(app)
    environ = create_environ("/a", "http://shop.test")
    adapters = [each.bind_to_environ(environ, **arguments) for each in (app.url_map, BaseMap())]
    ours, theirs = ({**vars(adapter), "map": None} for adapter in adapters)
    assert ours == theirs


def test_adapter_is_bound_to_a_request(app: App) -> None:
    ask(app)
    request = Request(create_environ("/a", "http://shop.test"))
    assert app.url_map.bind_to_environ(request).match() == ("/a", {})
