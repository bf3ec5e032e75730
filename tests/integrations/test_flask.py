"""Flask's own session, kept by ctxlocal: what uses it goes on, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import flask
import flask_login
import flask_wtf
import pytest
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import generate_csrf

from ctxlocal.integrations.flask import Sessions, merge_flashes, sessions_of
from ctxlocal.sessions import Cookie, EncryptedCookieSessions, Session, StoredSessions
from ctxlocal.sessions.errors import (
    FreshLoginRequiredError,
    SessionConfigError,
    StoreUnavailableError,
)
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.url import open_async_store

SECRET = "a secret of more than thirty-two bytes"
FLASK = tuple(int(part) for part in version("flask").split(".")[:3])
View = Callable[[], Any]


def make_app(store: Any = None, *, config: dict[str, Any] | None = None, **settings: Any) -> Any:
    app = flask.Flask(__name__)
    app.config.update({"SECRET_KEY": SECRET, "SESSION_STORE": MemoryStore()} | (config or {}))
    Sessions(app, store, **settings)
    return app


@pytest.fixture(params=["store", "sqlite", "signed", "encrypted"])
def app(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    store = {"store": None, "sqlite": f"sqlite:///{tmp_path}/sessions.db"}
    return make_app(store.get(request.param, request.param))


def visit(client: Any, view: View) -> Any:
    """Make a request whose view this is; return its response."""
    app = client.application
    app.view_functions["view"] = lambda: view() or ""
    if "view" not in {rule.endpoint for rule in app.url_map.iter_rules()}:
        app.url_map.add(app.url_rule_class("/", endpoint="view"))
    return client.get("/")


def text_of(client: Any, view: View) -> str:
    return str(visit(client, lambda: str(view())).text)


class TestSession:
    def test_it_is_ours(self, app: Any) -> None:
        def view() -> str:
            found: Any = flask.session
            assert isinstance(found._get_current_object(), Session)
            return "yes"

        assert text_of(app.test_client(), view) == "yes"

    def test_it_comes_back(self, app: Any) -> None:
        client = app.test_client()
        visit(client, lambda: flask.session.update(cart=["lamp"]))
        visit(client, lambda: flask.session["cart"].append("cup"))
        assert text_of(client, lambda: flask.session["cart"]) == "['lamp', 'cup']"

    def test_a_request_that_leaves_it_alone_costs_nothing(self, app: Any) -> None:
        answer = visit(app.test_client(), lambda: "")
        assert "Set-Cookie" not in answer.headers
        assert "Vary" not in answer.headers

    def test_response_to_a_look_varies_by_the_cookie(self, app: Any) -> None:
        answer = visit(app.test_client(), lambda: str(flask.session.get("a")))
        assert (answer.headers["Vary"], "Set-Cookie" in answer.headers) == ("Cookie", False)

    @pytest.mark.parametrize(
        ("there", "joined"),
        [
            (["Accept-Encoding"], ["Accept-Encoding, Cookie"]),
            (["Accept", "Accept-Encoding"], ["Accept, Accept-Encoding, Cookie"]),
            (["accept, cookie"], ["accept, cookie"]),
            (["*"], ["*"]),
        ],
    )
    def test_vary_is_one_field(self, app: Any, there: list[str], joined: list[str]) -> None:
        def view() -> Any:
            flask.session["a"] = 1
            response = flask.Response("done")
            for value in there:
                response.headers.add("Vary", value)
            return response

        answer = visit(app.test_client(), view)
        assert answer.headers.getlist("Vary") == joined

    def test_a_test_may_look_first_when_the_request_is_over(self, app: Any) -> None:
        with app.test_client() as client:
            visit(client, lambda: flask.session.update(a=1))
            visit(client, lambda: "")
            assert flask.session["a"] == 1

    @pytest.mark.skipif(FLASK < (3, 1, 3), reason="Flask tells it since 3.1.3")
    def test_a_view_that_names_it_and_does_not_look_varies_too(self, app: Any) -> None:
        assert visit(app.test_client(), lambda: repr(flask.session)).headers["Vary"] == "Cookie"

    def test_messages_are_shown_once(self, app: Any) -> None:
        client = app.test_client()
        visit(client, lambda: flask.flash("saved", "info"))

        def show() -> str:
            return flask.render_template_string(
                "{% for kind, text in get_flashed_messages(with_categories=true) %}"
                "{{ kind }}: {{ text }}{% endfor %}"
            )

        assert [text_of(client, show) for _ in range(2)] == ["info: saved", ""]

    def test_templates_see_it(self, app: Any) -> None:
        client = app.test_client()
        visit(client, lambda: flask.session.update(name="Ada"))
        found = text_of(client, lambda: flask.render_template_string("{{ session.name }}"))
        assert found == "Ada"

    def test_test_client_reads_and_writes_it(self, app: Any) -> None:
        client = app.test_client()
        with client.session_transaction() as session:
            session["a"] = 1
        assert text_of(client, lambda: flask.session["a"]) == "1"
        with client.session_transaction() as session:
            assert session["a"] == 1

    def test_a_permanent_one_outlives_the_browser(self, app: Any) -> None:
        client = app.test_client()
        assert visit(client, lambda: flask.session.update(a=1))
        answer = visit(client, lambda: setattr(flask.session, "permanent", True))
        assert "Max-Age=2678400" in answer.headers["Set-Cookie"]  # Flask's 31 days

    def test_what_an_error_page_sets_is_kept(self, app: Any) -> None:
        def fail() -> None:
            flask.session["a"] = 1
            flask.abort(404)

        client = app.test_client()
        assert visit(client, fail).status_code == 404
        assert text_of(client, lambda: flask.session["a"]) == "1"

    def test_what_cannot_be_kept_is_refused_where_it_is_set(self, app: Any) -> None:
        app.testing = True
        with pytest.raises(TypeError, match=r"session\['a'\] cannot be stored"):
            visit(app.test_client(), lambda: flask.session.update(a=object()))


class TestSettings:
    def test_cookie_is_as_flask_says(self) -> None:
        config = {
            "SESSION_COOKIE_NAME": "shop",
            "SESSION_COOKIE_SECURE": True,
            "SESSION_COOKIE_SAMESITE": "Strict",
            "SESSION_COOKIE_PATH": "/shop",
            "SESSION_COOKIE_DOMAIN": "example.org",
            "SESSION_COOKIE_HTTPONLY": False,
            "SESSION_COOKIE_PARTITIONED": True,
        }
        cookie = sessions_of(make_app(config=config)).cookie
        assert cookie.delete() == (
            "shop=; Max-Age=0; Path=/shop; Domain=example.org; Secure; SameSite=Strict; Partitioned"
        )

    def test_defaults_are_flasks(self) -> None:
        cookie = sessions_of(make_app()).cookie
        assert cookie.delete() == "session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"

    def test_lifetime_is_that_of_flask(self) -> None:
        app = make_app(config={"PERMANENT_SESSION_LIFETIME": 1000})
        assert sessions_of(app).idle_timeout == 1000

    def test_others_are_those_of_stored_sessions(self) -> None:
        assert sessions_of(make_app(max_sessions=3)).max_sessions == 3

    def test_own_interface_is_taken_as_it_is(self) -> None:
        own = StoredSessions(MemoryStore())
        assert sessions_of(make_app(own)) is own
        with pytest.raises(SessionConfigError, match=r"^max_sessions: give it to StoredSessions$"):
            make_app(own, max_sessions=3)

    def test_there_has_to_be_a_store(self) -> None:
        with pytest.raises(SessionConfigError, match=r"^SESSION_STORE: it is not set"):
            make_app(config={"SESSION_STORE": None})

    def test_an_asynchronous_store_is_refused(self) -> None:
        with pytest.raises(SessionConfigError, match="is asynchronous, and WSGI cannot await it"):
            make_app(open_async_store("memory:"))

    def test_a_cookie_needs_a_secret(self) -> None:
        with pytest.raises(SessionConfigError, match=r"^SECRET_KEY: it is not set"):
            make_app("signed", config={"SECRET_KEY": None})

    def test_a_former_secret_still_opens(self) -> None:
        former, new = "a former secret of thirty-two bytes", "another secret of thirty-two bytes"
        before = make_app("encrypted", config={"SECRET_KEY": former}).test_client()
        visit(before, lambda: flask.session.update(a=1))
        config = {"SECRET_KEY": new, "SECRET_KEY_FALLBACKS": [former]}
        after = make_app("encrypted", config=config).test_client()
        after.set_cookie("session", before.get_cookie("session").value)
        assert text_of(after, lambda: flask.session["a"]) == "1"

    def test_an_application_factory_gives_the_app_later(self) -> None:
        extension = Sessions(store=MemoryStore())
        apps = [flask.Flask(name) for name in ("one", "two")]
        for app in apps:
            extension.init_app(app)
        assert sessions_of(apps[0]) is not sessions_of(apps[1])
        with apps[1].app_context():
            assert sessions_of() is sessions_of(apps[1])


def test_an_interface_by_itself_is_refused_with_what_makes_it_work() -> None:
    app = flask.Flask("shop")
    own: Any = StoredSessions(MemoryStore())
    app.session_interface = own
    app.testing = True
    with pytest.raises(
        SessionConfigError,
        match=r"^session_interface: StoredSessions cannot be that of a Flask, by itself\. Write "
        r"ctxlocal\.integrations\.flask\.Sessions\(app, sessions\), which makes it so, with flash "
        r"messages and logins\.$",
    ):
        app.test_client().get("/")


class TestOverlapping:
    """Two requests that load the session at once, and change it."""

    def run(self, client: Any, *changes: View) -> None:
        app = client.application
        cookie = client.get_cookie("session")
        loaded = threading.Barrier(len(changes))

        def request(change: View) -> None:
            def view() -> str:
                flask.session.get("a")
                loaded.wait()
                change()
                return ""

            with app.test_request_context(headers={"Cookie": f"session={cookie.value}"}):
                response = app.response_class(view())
                app.process_response(response)

        threads = [threading.Thread(target=request, args=(change,)) for change in changes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @pytest.fixture
    def client(self) -> Any:
        client: Any = make_app().test_client()
        visit(client, lambda: flask.session.update(begun=True))
        return client

    def test_both_keep_what_they_did(self, client: Any) -> None:
        self.run(
            client,
            lambda: flask.session.update(a=1),
            lambda: flask.session.update(b=2),
            lambda: flask.flash("one"),
            lambda: flask.flash("two"),
        )
        with client.session_transaction() as session:
            assert (session["a"], session["b"]) == (1, 2)
            assert sorted(text for _, text in session["_flashes"]) == ["one", "two"]

    def test_a_message_that_is_shown_hides_none_that_comes(self, client: Any) -> None:
        visit(client, lambda: flask.flash("old"))
        self.run(client, flask.get_flashed_messages, lambda: flask.flash("new"))
        with client.session_transaction() as session:
            assert session["_flashes"] == [("message", "new")]


@pytest.mark.parametrize(
    ("loaded", "theirs", "mine", "merged"),
    [
        (None, ["a"], ["b"], ["a", "b"]),
        (["x"], ["x", "a"], ["x", "b"], ["x", "a", "b"]),
        (["x"], None, ["x", "b"], ["b"]),  # the other one showed x
        (["x"], ["x", "a"], None, ["a"]),  # this one did
        (["x"], None, None, None),
        (["x"], ["x", "a"], ["b"], ["a", "b"]),  # this one did, and has another
    ],
)
def test_messages_of_two_requests_are_all_kept(
    loaded: Any, theirs: Any, mine: Any, merged: Any
) -> None:
    assert merge_flashes("_flashes", loaded, theirs, mine) == merged


def test_forms_of_flask_wtf_find_their_token(app: Any) -> None:
    flask_wtf.CSRFProtect(app)
    app.add_url_rule("/form", view_func=lambda: generate_csrf(), endpoint="form")
    app.add_url_rule("/sent", view_func=lambda: "sent", endpoint="sent", methods=["POST"])
    client = app.test_client()
    token = client.get("/form").text
    assert client.post("/sent").status_code == 400
    assert client.post("/sent", data={"csrf_token": token}).text == "sent"
    stranger = app.test_client()
    assert stranger.post("/sent", data={"csrf_token": token}).status_code == 400


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.fixture
def login_app() -> Any:
    app = make_app()
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)
    return app


def log_in_here(name: str, **options: Any) -> str:
    return str(flask_login.login_user(User(name), **options))


def log_in(client: Any, name: str, **options: Any) -> Any:
    return visit(client, lambda: log_in_here(name, **options))


def who(client: Any) -> str:
    return text_of(client, lambda: getattr(flask_login.current_user, "id", "nobody"))


class TestLogins:
    def test_a_login_is_one_of_the_session(self, login_app: Any) -> None:
        client = login_app.test_client()
        visit(client, lambda: flask.session.update(cart=["lamp"]))
        planted = client.get_cookie("session").value
        log_in(client, "ada")
        (info,) = sessions_of(login_app).list_sessions("ada")
        assert (who(client), info.values["cart"]) == ("ada", ["lamp"])
        assert client.get_cookie("session").value != planted

    def test_cookie_of_before_a_logout_logs_nobody_in(self, login_app: Any) -> None:
        client, thief = login_app.test_client(), login_app.test_client()
        log_in(client, "ada")
        thief.set_cookie("session", client.get_cookie("session").value)
        assert who(thief) == "ada"

        def log_out() -> str:
            flask_login.logout_user()
            flask.flash("bye")
            return ""

        visit(client, log_out)
        assert (who(client), who(thief)) == ("nobody", "nobody")
        assert sessions_of(login_app).list_sessions("ada") == []
        assert text_of(client, flask.get_flashed_messages) == "['bye']"

    def test_signed_in_elsewhere_can_be_ended(self, login_app: Any) -> None:
        clients = [login_app.test_client() for _ in range(3)]
        for client in clients:
            log_in(client, "ada")

        def end_others() -> int:
            found: Any = flask.session
            return int(sessions_of().revoke_all("ada", found._get_current_object()))

        assert text_of(clients[0], end_others) == "2"
        assert [who(client) for client in clients] == ["ada", "nobody", "nobody"]

    def test_nothing_of_another_users_session_is_left(self, login_app: Any) -> None:
        client = login_app.test_client()
        log_in(client, "ada")
        visit(client, lambda: flask.session.update(cart=["lamp"]))
        log_in(client, "bob")
        assert who(client) == "bob"
        assert text_of(client, lambda: flask.session.get("cart")) == "None"
        assert sessions_of(login_app).list_sessions("ada") == []

    @pytest.mark.parametrize("change", [flask_login.logout_user, lambda: log_in_here("bob")])
    def test_a_permanent_one_stays_so(self, login_app: Any, change: View) -> None:
        client = login_app.test_client()
        log_in(client, "ada")

        def view() -> str:
            flask.session.permanent = True
            flask.session["cart"] = ["lamp"]
            return str(change())

        assert "Max-Age" in visit(client, view).headers["Set-Cookie"]
        assert text_of(client, lambda: flask.session.permanent) == "True"

    def test_a_logout_of_nobody_stores_nothing(self, login_app: Any) -> None:
        client = login_app.test_client()
        visit(client, lambda: flask.session.update(a=1))
        cookie = f"session={client.get_cookie('session').value}"

        def log_out() -> str:
            flask_login.logout_user()
            with login_app.test_request_context(headers={"Cookie": cookie}):
                flask.session["a"] = 2
                login_app.process_response(login_app.response_class())
            return ""

        visit(client, log_out)
        assert text_of(client, lambda: flask.session["a"]) == "2"

    @pytest.mark.parametrize(("protection", "left"), [("strong", 0), ("basic", 1)])
    def test_protection_that_logs_out_ends_the_session(self, protection: str, left: int) -> None:
        app = make_app(config={"SESSION_PROTECTION": protection})
        flask_login.LoginManager(app).user_loader(User)
        client, thief = app.test_client(), app.test_client()
        log_in(client, "ada")
        assert who(client) == "ada"
        thief.set_cookie("session", client.get_cookie("session").value)
        thief.get("/", headers={"User-Agent": "another"})
        assert len(sessions_of(app).list_sessions("ada")) == left
        assert who(client) == ("ada" if left else "nobody")

    def test_a_login_that_is_not_fresh_is_none(self, login_app: Any) -> None:
        client = login_app.test_client()
        log_in(client, "ada", fresh=False)

        def need_a_fresh_one() -> None:
            found: Any = flask.session
            found.require_fresh(300)

        assert visit(client, need_a_fresh_one).status_code == FreshLoginRequiredError.status

    @pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login
    def test_whoever_is_remembered_is_logged_in_but_not_freshly(self, login_app: Any) -> None:
        client = login_app.test_client()
        log_in(client, "ada", remember=True)
        client.delete_cookie("session")
        assert who(client) == "ada"
        assert len(sessions_of(login_app).list_sessions("ada")) == 2

        def need_a_fresh_one() -> None:
            found: Any = flask.session
            found.require_fresh(300)

        assert visit(client, need_a_fresh_one).status_code == FreshLoginRequiredError.status
        visit(client, lambda: str(flask_login.confirm_login()))
        assert visit(client, need_a_fresh_one).status_code == 200


class TestFailure:
    class Down(MemoryStore):
        is_down = False

        def load(self, key: str) -> Any:
            if self.is_down:
                raise StoreUnavailableError("a store", "load")
            return super().load(key)

        def commit(self, *arguments: Any) -> Any:
            if self.is_down:
                raise StoreUnavailableError("a store", "commit")
            return super().commit(*arguments)

    @pytest.fixture
    def client(self) -> Any:
        client: Any = make_app(self.Down()).test_client()
        visit(client, lambda: flask.session.update(a=1))
        return client

    def check(self, answer: Any) -> None:
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.text == f"{StoreUnavailableError.answer}\n"

    def test_a_store_that_is_down_is_a_503(self, client: Any) -> None:
        sessions_of(client.application).store.is_down = True
        self.check(visit(client, lambda: str(flask.session["a"])))
        assert visit(client, lambda: "no session").text == "no session"

    def test_so_it_is_at_the_end_of_the_request(self, client: Any) -> None:
        store = sessions_of(client.application).store

        def view() -> str:
            flask.session["a"] = 2
            store.is_down = True
            return "done"

        self.check(visit(client, view))
        store.is_down = False
        assert text_of(client, lambda: flask.session["a"]) == "1"

    def test_so_it_is_where_each_request_looks_at_it_afterwards(self) -> None:
        app = make_app(self.Down())
        flask_login.LoginManager(app).user_loader(User)
        client = app.test_client()
        visit(client, lambda: flask.session.update(a=1))
        sessions_of(app).store.is_down = True
        self.check(visit(client, lambda: str(flask.session["a"])))
        self.check(visit(client, lambda: "no session, but for Flask-Login"))

    @pytest.mark.parametrize("is_before", [True, False])
    def test_an_application_may_answer_otherwise(self, is_before: bool) -> None:
        app = flask.Flask(__name__)
        if not is_before:
            Sessions(app, self.Down())
        app.errorhandler(StoreUnavailableError)(lambda error: ("later", 503))
        if is_before:
            Sessions(app, self.Down())
        client = app.test_client()
        visit(client, lambda: flask.session.update(a=1))
        store = sessions_of(app).store

        def view() -> str:
            flask.session["a"] = 2
            store.is_down = True
            return "done"

        assert visit(client, view).text == "later"  # at the end of the request, and in the view
        assert visit(client, lambda: str(flask.session["a"])).text == "later"

    def test_a_body_that_is_not_sent_is_closed(self, client: Any) -> None:
        closed = []

        class Body:
            def __iter__(self) -> Any:
                return iter([b"done"])

            def close(self) -> None:
                closed.append("body")

        def view() -> Any:
            flask.session["a"] = 2
            sessions_of(client.application).store.is_down = True
            response = flask.Response(Body(), direct_passthrough=True)
            response.call_on_close(lambda: closed.append("response"))
            return response

        answer = visit(client, view)
        self.check(answer)
        answer.close()
        assert closed == ["body", "response"]


class TestImport:
    def test_flasks_own_cookie_is_taken_over_once(self) -> None:
        before = flask.Flask(__name__)
        before.config["SECRET_KEY"] = SECRET
        old: Any = before.test_client()
        flask_login.LoginManager(before).user_loader(User)

        def begin() -> str:
            flask.session["cart"] = [("lamp", 2)]
            flask.session.permanent = True
            flask_login.login_user(User("ada"))
            flask.flash("hello")
            return ""

        visit(old, begin)
        after = make_app(import_from=SecureCookieSessionInterface())
        flask_login.LoginManager(after).user_loader(User)
        client = after.test_client()
        client.set_cookie("session", old.get_cookie("session").value)
        assert who(client) == "ada"
        (info,) = sessions_of(after).list_sessions("ada")
        assert info.values["cart"] == [("lamp", 2)]
        assert "Max-Age" in visit(client, lambda: flask.session.update(b=1)).headers["Set-Cookie"]
        visit(client, lambda: flask.session.pop("cart"))
        assert text_of(client, lambda: flask.session.get("cart")) == "None", "it does not come back"

    def test_flask_sessions_records_are_taken_over(self, tmp_path: Any) -> None:
        from cachelib import FileSystemCache
        from flask_session.cachelib import CacheLibSessionInterface

        cache = FileSystemCache(str(tmp_path))
        former = CacheLibSessionInterface(None, client=cache)
        before = flask.Flask(__name__)
        before.session_interface = former
        old: Any = before.test_client()
        visit(old, lambda: flask.session.update(cart=["lamp"]))
        client = make_app(import_from=former).test_client()
        client.set_cookie("session", old.get_cookie("session").value)
        assert text_of(client, lambda: flask.session["cart"]) == "['lamp']"
        assert client.get_cookie("session").value != old.get_cookie("session").value

    @pytest.fixture
    def former_cookie(self) -> str:
        before = flask.Flask(__name__)
        before.config["SECRET_KEY"] = SECRET
        flask_login.LoginManager(before).user_loader(User)
        old: Any = before.test_client()
        log_in(old, "ada")
        return str(old.get_cookie("session").value)

    @pytest.mark.parametrize("log_out", [flask_login.logout_user, lambda: flask.session.clear()])
    @pytest.mark.parametrize("name", ["session", "shop"])
    def test_a_logout_as_the_first_request_logs_out(
        self, former_cookie: str, log_out: View, name: str
    ) -> None:
        own = StoredSessions(MemoryStore(), cookie=Cookie.for_development(name))
        after = make_app(own, import_from=SecureCookieSessionInterface())
        flask_login.LoginManager(after).user_loader(User)
        client = after.test_client()
        client.set_cookie("session", former_cookie)
        visit(client, lambda: str(log_out()))
        assert who(client) == "nobody"
        client.set_cookie("session", former_cookie)
        assert who(client) == "ada"
        visit(client, lambda: str(log_out()))
        assert who(client) == "nobody"

    def test_what_does_not_use_the_session_is_left_alone(self) -> None:
        app = make_app(TestFailure.Down(), import_from=SecureCookieSessionInterface())
        sessions_of(app).store.is_down = True
        client = app.test_client()
        client.set_cookie("session", "x" * 43)
        answer = visit(client, lambda: "no session")
        assert (answer.text, "Vary" in answer.headers) == ("no session", False)
        TestFailure().check(visit(client, lambda: str(flask.session.get("a"))))

    @pytest.mark.parametrize("when_down", ["raise", "anonymous"])
    def test_a_store_that_is_down_is_told_who_uses_the_session(self, when_down: Any) -> None:
        class Former(SecureCookieSessionInterface):
            def open_session(self, app: Any, request: Any) -> Any:
                return self.session_class({"a": 1})

        app = make_app(TestFailure.Down(), import_from=Former(), when_down=when_down)
        sessions_of(app).store.is_down = True
        client = app.test_client()
        client.set_cookie("session", "x" * 43)
        assert visit(client, lambda: "no session").text == "no session"
        assert client.get_cookie("session").value == "x" * 43
        TestFailure().check(visit(client, lambda: flask.session.update(a=1)))

    def test_a_cookie_that_nobody_knows_begins_an_empty_session(self) -> None:
        client = make_app(import_from=SecureCookieSessionInterface()).test_client()
        client.set_cookie("session", "x" * 43)
        assert text_of(client, lambda: dict(flask.session)) == "{}"


@pytest.mark.parametrize("kind", [StoredSessions, EncryptedCookieSessions])
def test_session_of_a_null_interface_is_told_from_others(kind: Any) -> None:
    app = make_app(kind(MemoryStore() if kind is StoredSessions else SECRET))
    null = app.session_interface.make_null_session(app)
    assert app.session_interface.is_null_session(null)
    assert not app.session_interface.is_null_session({})
