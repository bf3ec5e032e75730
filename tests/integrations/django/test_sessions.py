"""Django's session engine: what Django says of ``request.session``, and nothing is lost."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import alogin, alogout, get_user_model, login, logout
from django.contrib.sessions.backends.base import UpdateError
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import timezone

from ctxlocal.integrations.django.checks import check_sessions
from ctxlocal.integrations.django.configuration import (
    forget_sessions,
    get_sessions,
    merge_messages,
    refuse_no_store,
)
from ctxlocal.integrations.django.sessions import SessionStore
from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.stores.url import open_async_store

from .urls import views


def visit(client: Client, view: Callable[[Any], Any]) -> Any:
    """Make a request whose view this is; return its response."""
    views["page"] = view
    return client.get("/")


def text_of(client: Client, view: Callable[[Any], Any]) -> str:
    return str(visit(client, view).content.decode())


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def ada() -> Any:
    users = get_user_model().objects
    return users.filter(username="ada").first() or users.create_user("ada", password="pass")


class TestRequests:
    def test_it_comes_back(self, client: Client) -> None:
        visit(client, lambda request: request.session.update({"cart": ["lamp"]}))
        visit(client, lambda request: request.session["cart"].append("cup"))  # no modified = True
        assert text_of(client, lambda request: request.session["cart"]) == "['lamp', 'cup']"

    def test_a_request_that_leaves_it_alone_costs_nothing(self, client: Client) -> None:
        answer = visit(client, lambda request: None)
        assert "sessionid" not in answer.cookies
        assert "Vary" not in answer.headers

    def test_reading_sets_no_cookie(self, client: Client) -> None:
        answer = visit(client, lambda request: request.session.get("a"))
        assert ("sessionid" in answer.cookies, answer.headers["Vary"]) == (False, "Cookie")

    def test_messages_are_shown_once(self, client: Client) -> None:
        visit(client, lambda request: messages.info(request, "saved"))

        def show(request: Any) -> str:
            return ", ".join(str(message) for message in messages.get_messages(request))

        assert [text_of(client, show) for _ in range(2)] == ["saved", ""]

    def test_what_is_said_not_to_be_modified_is_not_stored(self, client: Client) -> None:
        visit(client, lambda request: request.session.update({"a": [1]}))

        def view(request: Any) -> None:
            request.session["a"].append(2)
            request.session["b"] = 1
            request.session.modified = False

        visit(client, view)
        assert dict(client.session.items()) == {"a": [1]}

        def again(request: Any) -> None:
            view(request)
            request.session["c"] = 1

        visit(client, again)
        assert dict(client.session.items()) == {"a": [1, 2], "b": 1, "c": 1}

    def test_test_client_sees_and_sets_it(self, client: Client) -> None:
        session = client.session
        session["a"] = 1
        session.save()
        assert text_of(client, lambda request: request.session["a"]) == "1"
        assert client.session["a"] == 1

    def test_an_unknown_key_is_never_taken_over(self, client: Client) -> None:
        client.cookies["sessionid"] = "x" * 43
        visit(client, lambda request: request.session.update({"a": 1}))
        assert client.cookies["sessionid"].value not in ("", "x" * 43)

    def test_two_requests_at_once_both_keep_what_they_did(self, client: Client) -> None:
        visit(client, lambda request: request.session.update({"begun": True}))
        loaded = threading.Barrier(2)

        def request(name: str) -> None:
            store = SessionStore(client.cookies["sessionid"].value)
            store.get("begun")
            loaded.wait()
            store[name] = 1
            store.save()

        threads = [threading.Thread(target=request, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert dict(client.session.items()) == {"begun": True, "a": 1, "b": 1}

    def test_two_requests_at_once_both_keep_their_messages(self, client: Client) -> None:
        def show(request: Any) -> str:
            return ", ".join(str(message) for message in messages.get_messages(request))

        def add(request: Any, text: str, by: Callable[[Any], Any] = show) -> Any:
            shown = by(request)
            other = Client()
            other.cookies["sessionid"] = client.cookies["sessionid"].value
            visit(other, lambda request: messages.info(request, text))
            return shown

        visit(client, lambda request: messages.info(request, "old"))
        visit(client, lambda request: add(request, "theirs", lambda it: messages.info(it, "mine")))
        assert text_of(client, lambda request: add(request, "new")) == "old, theirs, mine"
        assert text_of(client, show) == "new", "what was shown hides none that came"

    def test_of_messages_in_another_form_the_last_ones_win(self) -> None:
        assert merge_messages("_messages", None, ["theirs"], ["mine"]) == ["mine"]

    def test_of_messages_that_both_have_shown_nothing_is_left(self) -> None:
        assert merge_messages("_messages", '["shown"]', None, None) is None

    def test_a_session_that_ended_meanwhile_stores_nothing(
        self, client: Client, sessions: Any
    ) -> None:
        visit(client, lambda request: request.session.update({"a": 1}))

        def end(request: Any) -> None:
            request.session["b"] = 1
            sessions.revoke_everyone()

        assert visit(client, end).status_code == 400  # Django's SessionInterrupted
        assert text_of(client, lambda request: len(request.session.keys())) == "0"

    @pytest.mark.parametrize("every", [True, False])
    def test_while_the_store_is_down_readers_go_on_and_keep_their_cookie(self, every: bool) -> None:
        given = {"STORE": "redis://127.0.0.1:1", "WHEN_DOWN": "anonymous"}
        client = Client(raise_request_exception=False)
        client.cookies["sessionid"] = "x" * 43
        with override_settings(CTXLOCAL=given, SESSION_SAVE_EVERY_REQUEST=every):
            assert text_of(client, lambda request: request.session.get("a")) == "None"
            assert client.cookies["sessionid"].value == "x" * 43
            answer = visit(client, lambda request: request.session.update({"a": 1}))
        assert answer.status_code == 500

    def test_one_session_too_many_is_forbidden(self, ada: Any) -> None:
        given = {"STORE": "memory:", "MAX_SESSIONS": 1, "WHEN_FULL": "refuse"}
        with override_settings(CTXLOCAL=given):
            answers = [visit(Client(), lambda request: login(request, ada)) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 403]

    def test_the_same_key_is_refused_to_the_second_where_it_is_to_be(self, client: Client) -> None:
        with override_settings(CTXLOCAL={"STORE": "memory:", "SAME_KEY": "raise"}):
            visit(client, lambda request: request.session.update({"a": 1}))

            def view(request: Any) -> None:
                request.session["a"] = 2
                other = SessionStore(request.session.session_key)
                other["a"] = 3
                other.save()

            assert visit(client, view).status_code == 400
            assert client.session["a"] == 3


class TestLogins:
    def test_a_login_is_one_of_the_session(self, client: Client, ada: Any, sessions: Any) -> None:
        visit(client, lambda request: request.session.update({"cart": ["lamp"]}))
        planted = client.cookies["sessionid"].value
        visit(client, lambda request: login(request, ada))
        (info,) = sessions.list_sessions(str(ada.pk))
        assert info.values["cart"] == ["lamp"]
        assert client.cookies["sessionid"].value != planted
        assert not SessionStore().exists(planted)
        assert text_of(client, lambda request: request.user.username) == "ada"

    def test_cookie_of_before_a_logout_logs_nobody_in(
        self, client: Client, ada: Any, sessions: Any
    ) -> None:
        visit(client, lambda request: login(request, ada))
        visit(client, lambda request: request.session.update({"cart": ["lamp"]}))
        thief = Client()
        thief.cookies["sessionid"] = client.cookies["sessionid"].value
        visit(client, logout)
        assert sessions.list_sessions(str(ada.pk)) == []
        for browser in (client, thief):
            assert text_of(browser, lambda request: request.user.is_anonymous) == "True"
            assert text_of(browser, lambda request: len(request.session.keys())) == "0"

    def test_an_operator_ends_a_users_sessions(
        self, client: Client, ada: Any, sessions: Any
    ) -> None:
        other = Client()
        for browser in (client, other):
            browser.force_login(ada)
        assert len(sessions.list_sessions(str(ada.pk))) == 2
        assert sessions.revoke_all(str(ada.pk)) == 2
        for browser in (client, other):
            assert text_of(browser, lambda request: request.user.is_anonymous) == "True"

    def test_a_user_signs_out_elsewhere(self, client: Client, ada: Any, sessions: Any) -> None:
        other = Client()
        for browser in (client, other):
            browser.force_login(ada)

        def elsewhere(request: Any) -> Any:
            return sessions.revoke_all(str(request.user.pk), request.session.ctxlocal)

        assert text_of(client, elsewhere) == "1"
        assert text_of(client, lambda request: request.user.is_anonymous) == "False"
        assert text_of(other, lambda request: request.user.is_anonymous) == "True"

    def test_what_ours_can_do_is_saved_with_djangos(self, client: Client) -> None:
        def count(request: Any) -> Any:
            return request.session.ctxlocal.incr("visits")

        assert [text_of(client, count) for _ in range(2)] == ["1", "2"]

    def test_a_login_where_the_keys_of_another_were_deleted_holds(
        self, client: Client, ada: Any, sessions: Any
    ) -> None:
        client.force_login(ada)
        bob, _ = get_user_model().objects.get_or_create(username="bob")

        def view(request: Any) -> None:
            for key in list(request.session.keys()):
                del request.session[key]
            request.session.set_expiry(100)
            login(request, bob)

        visit(client, view)
        assert text_of(client, lambda request: request.user.username) == "bob"
        assert text_of(client, lambda request: request.session.ctxlocal.idle_timeout) == "100.0"
        assert sessions.list_sessions(str(ada.pk)) == []
        assert len(sessions.list_sessions(str(bob.pk))) == 1

    def test_one_that_is_created_of_it_is_the_users(
        self, client: Client, ada: Any, sessions: Any
    ) -> None:
        client.force_login(ada)
        visit(client, lambda request: request.session.set_expiry(100))

        def view(request: Any) -> Any:
            request.session.get("a")
            request.session.create()
            return request.session.ctxlocal.idle_timeout

        assert text_of(client, view) == "100.0"
        assert len(sessions.list_sessions(str(ada.pk))) == 2, "as with Django, the former stays"
        assert sessions.revoke_all(str(ada.pk)) == 2
        assert text_of(client, lambda request: request.user.is_anonymous) == "True"

    def test_none_is_created_of_one_that_has_ended(
        self, client: Client, ada: Any, sessions: Any
    ) -> None:
        client.force_login(ada)

        def view(request: Any) -> None:
            request.session.get("a")
            sessions.revoke_all(str(ada.pk))
            request.session.create()

        visit(client, view)
        assert text_of(client, lambda request: request.user.is_anonymous) == "True"

    def test_so_it_is_under_asgi(self, ada: Any, sessions: Any) -> None:
        async def go() -> None:
            store = SessionStore()

            class Request:
                session, user, META = store, None, {}  # type: ignore[var-annotated]

            request: Any = Request()
            await store.aset("cart", ["lamp"])
            await alogin(request, ada)
            await store.asave()
            assert (await SessionStore(store.session_key).aget("cart")) == ["lamp"]
            key = store.session_key
            await alogout(request)
            assert (store.session_key, await store.aexists(key or "")) == (None, False)

        asyncio.run(go())
        assert sessions.list_sessions(str(ada.pk)) == []

    @pytest.mark.parametrize("do", [lambda session: None, lambda session: session.cycle_key()])
    def test_one_that_is_cleared_goes_on_by_another_key(
        self, client: Client, ada: Any, sessions: Any, do: Callable[[Any], Any]
    ) -> None:
        client.force_login(ada)
        former = client.cookies["sessionid"].value

        def view(request: Any) -> None:
            request.session.clear()
            do(request.session)

        visit(client, view)
        key = client.cookies["sessionid"].value
        assert (SessionStore().exists(key), SessionStore().exists(former)) == (True, False)
        assert sessions.list_sessions(str(ada.pk)) == []


class TestKeys:
    def test_saving_an_empty_one_gives_it_a_key(self) -> None:
        store = SessionStore()
        assert store.session_key is None
        store.save()
        assert SessionStore().exists(store.session_key or "")

    def test_create_begins_another_with_the_same_values(self) -> None:
        store = SessionStore()
        store["a"] = 1
        store.save()
        former = store.session_key
        store.create()
        assert store.session_key not in (None, former)
        assert SessionStore(store.session_key)["a"] == 1

    def test_cycle_key_keeps_the_values_and_ends_the_key(self) -> None:
        store = SessionStore()
        store["a"] = 1
        store.save()
        former = store.session_key or ""
        store.cycle_key()
        assert SessionStore(store.session_key)["a"] == 1
        assert not store.exists(former)

    def test_cycle_key_of_an_ended_one_brings_nothing_back(self, sessions: Any) -> None:
        store = SessionStore()
        store["a"] = 1
        store.save()
        sessions.revoke_everyone()
        store.cycle_key()
        assert dict(SessionStore(store.session_key).items()) == {}

    def test_flush_ends_it(self) -> None:
        store = SessionStore()
        store["a"] = 1
        store.save()
        key = store.session_key or ""
        store.flush()
        assert (store.session_key, store.is_empty(), store.exists(key)) == (None, True, False)

    def test_delete_ends_that_of_a_key(self) -> None:
        store = SessionStore()
        store.save()
        SessionStore().delete(store.session_key)
        assert not store.exists(store.session_key or "")
        store["a"] = 1
        with pytest.raises(UpdateError):
            store.save()

    def test_clear_keeps_the_key(self) -> None:
        store = SessionStore()
        store["a"] = 1
        store.save()
        key = store.session_key
        store.clear()
        store["b"] = 2
        store.save()
        assert (store.session_key, dict(SessionStore(key).items())) == (key, {"b": 2})


class TestExpiry:
    def test_it_is_that_of_the_settings(self, sessions: Any) -> None:
        store = SessionStore()
        assert store.get_expiry_age() == sessions.idle_timeout == 1209600

    @pytest.mark.parametrize(("value", "idle"), [(100, 100), (0, 1209600), (None, 1209600)])
    def test_a_number_is_one_of_seconds(self, value: Any, idle: float) -> None:
        store = SessionStore()
        store.set_expiry(50)
        store.set_expiry(value)
        store.save()
        again = SessionStore(store.session_key)
        assert again.get_expire_at_browser_close() is (value == 0)
        assert again.ctxlocal.idle_timeout == idle

    def test_a_moment_ends_it(self) -> None:
        store = SessionStore()
        store["a"] = 1
        store.set_expiry(timezone.now() + timedelta(seconds=100))
        store.save()
        assert SessionStore(store.session_key)["a"] == 1
        store.set_expiry(timezone.now() - timedelta(seconds=1))
        store.save()
        over = SessionStore(store.session_key)
        assert (over.get("a"), over.session_key) == (None, None)

    def test_a_number_below_zero_ended_it(self) -> None:
        store = SessionStore()
        store["a"] = 1
        store.set_expiry(-3600)
        store.save()
        assert SessionStore(store.session_key).get("a") is None

    def test_what_the_absolute_limit_forbids_is_cut_down_to_it(self, sessions: Any) -> None:
        store = SessionStore()
        asyncio.run(store.aset_expiry(timedelta(days=1000)))
        assert store.ctxlocal.idle_timeout == sessions.absolute_timeout

    def test_clearsessions_purges(self, sessions: Any) -> None:
        store = SessionStore()
        store.save()
        call_command("clearsessions")
        assert store.exists(store.session_key or "")


class TestSettings:
    def test_first_requests_that_come_together_share_one_store(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ctxlocal.sessions.stores import url

        made, second_comes = [], threading.Event()
        open_store = url.open_store

        def slowly(name: str) -> Any:
            made.append(name)
            if len(made) == 1:
                second_comes.wait(0.1)  # with the lock it does not
            second_comes.set()
            return open_store(name)

        monkeypatch.setattr(url, "open_store", slowly)
        forget_sessions()
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(get_sessions())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(made), found[0] is found[1]) == (1, True)

    def test_they_are_those_of_stored_sessions(self) -> None:
        with override_settings(CTXLOCAL={"STORE": "memory:", "MAX_SESSIONS": 3}):
            assert get_sessions().max_sessions == 3
        assert get_sessions().max_sessions is None

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            (None, "CTXLOCAL: it is not set to a dict with a store"),
            ({"MAX_SESSIONS": 3}, "CTXLOCAL: it is not set to a dict with a store"),
            ({"STORE": "memory:", "MOST": 3}, "there is no 'MOST'; it may have ABSOLUTE_TIMEOUT, "),
            ({"STORE": "memory:", "max_sessions": 3}, "there is no 'max_sessions'"),
            ({"STORE": "memory:", 3: 3}, "there is no 3"),
            ({"STORE": "memory:", "COOKIE": None}, "there is no 'COOKIE'"),
            ({"STORE": "memory:", "MAX_SESSIONS": 0}, "max_sessions: 0 is not from 1 on"),
            ({"STORE": "nowhere"}, "url: "),
            ({"STORE": open_async_store("memory:")}, "is asynchronous, and WSGI cannot await it"),
        ],
    )
    def test_django_checks_them(self, given: Any, problem: str) -> None:
        assert check_sessions() == []
        with override_settings(CTXLOCAL=given):
            (found,) = check_sessions()
            assert problem in str(found)
            with pytest.raises(SessionConfigError):
                get_sessions()

    def test_without_a_store_the_project_does_not_start(self) -> None:
        """Django imports its engine when it starts, and not only to check it."""
        from ctxlocal.integrations.django import sessions

        with override_settings(CTXLOCAL={}):
            with pytest.raises(SessionConfigError, match="not set to a dict with a store"):
                importlib.reload(sessions)
            with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
                refuse_no_store()

    def test_a_cluster_that_is_down_is_no_mistake_of_theirs(self) -> None:
        with override_settings(CTXLOCAL={"STORE": "redis+cluster://127.0.0.1:1"}):
            (found,) = check_sessions()
        assert found.id == "ctxlocal.W002"

    def test_another_engine_beside_them_is_told(self) -> None:
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            (found,) = check_sessions()
            assert found.id == "ctxlocal.W001"
