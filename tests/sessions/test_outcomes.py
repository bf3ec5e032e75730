"""What a view did, times what became of its record meanwhile: done, dropped, or an error.

It is the table of docs/sessions.md, on each kind of session. "done" means that the next
request of the same browser sees what the view was told, "error" that it does not and that
SessionEndedError was raised. Only plain changes that are saved as the request ends may be
dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import (
    CorruptRecordError,
    SessionConflictError,
    SessionEndedError,
    StoreUnavailableError,
)
from ctxlocal.sessions.in_store.session import AsyncStoredSession, StoredSession
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import USER
from ctxlocal.sessions.stores.threaded import ThreadedStore
from ctxlocal.web.app import App
from ctxlocal.web.context import session as current_session

from .conftest import Browser

View = Callable[[Any], Awaitable[object]]


@dataclass
class Fields:
    """The schema of the typed kinds."""

    a: int = 0
    b: int = 0
    n: int = 0
    list: list[int] = field(default_factory=list)


def blocking(store: MemoryStore) -> MemoryStore:
    store.is_blocking = True
    return store


def by_the_flow(store: MemoryStore) -> StoredSessions[Any]:
    sessions = StoredSessions(store)
    sessions._kind, sessions._async_kind = StoredSession, AsyncStoredSession
    return sessions


#: Each kind of stored session; those that are awaited run on an event loop.
KINDS: dict[str, tuple[Callable[[MemoryStore], StoredSessions[Any]], bool]] = {
    "wsgi, at once": (StoredSessions, False),
    "wsgi, by the flow": (by_the_flow, False),
    "wsgi, typed": (lambda store: StoredSessions(store, schema=Fields), False),
    "wsgi, merging": (lambda store: StoredSessions(store, same_key="raise"), False),
    "asgi, at once": (StoredSessions, True),
    "asgi, in threads": (lambda store: StoredSessions(blocking(store)), True),
    "asgi, typed": (lambda store: StoredSessions(blocking(store), schema=Fields), True),
    "asgi, awaited store": (lambda store: StoredSessions(ThreadedStore(store)), True),
}


class Visitor:
    """A browser whose requests have a kind of session, and other requests that are plain."""

    def __init__(self, kind: str, store: MemoryStore, cookie: str = "") -> None:
        make, self.is_awaited = KINDS[kind]
        self.store = store
        self.browser = Browser(make(store), cookie)
        self.others = StoredSessions(store)

    def other(self) -> Browser:
        """Return the same browser in another tab, without that kind's peculiarities."""
        return Browser(self.others, self.browser.cookie)

    def request(self, view: View, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Answer a request; ``meanwhile`` happens after the session was loaded."""
        if self.is_awaited:
            asyncio.run(self._awaited(view, meanwhile))
            return
        session = self.browser.open()
        session.get("a")
        meanwhile()
        run_at_once(view(session))
        self.browser.save(session)

    async def _awaited(self, view: View, meanwhile: Callable[[], object]) -> None:
        session = await self.browser.open_async()
        session.get("a")
        meanwhile()
        await view(session)
        await self.browser.save_async(session)

    def now(self) -> StoredSession:
        """What the next request sees."""
        return self.other().open()


def run_at_once(view: Awaitable[object]) -> None:
    """Run a view that waits for nothing."""
    assert isinstance(view, Coroutine)
    with pytest.raises(StopIteration):
        view.send(None)


class Did(NamedTuple):
    """What a view does, and how the next request can tell that it was done."""

    view: View
    is_done: Callable[[Visitor], bool]
    is_users: bool = False  #: a user is logged in before


def does(*steps: Callable[[Any], object]) -> View:
    async def view(session: Any) -> None:
        for step in steps:
            result = step(session)
            if hasattr(result, "__await__"):
                await result

    return view


def now_is(look: Callable[[Any], object]) -> Callable[[Visitor], bool]:
    return lambda visitor: bool(look(visitor.now()))


def nobody_is_in(visitor: Visitor) -> bool:
    is_out = all(USER not in record.values for _, record in visitor.store.scan())
    return is_out and visitor.now().user is None


def set_a(session: Any) -> None:
    session["a"] = 2


def set_a_again(session: Any) -> None:
    session["a"] = 1


PLAIN = {
    "set": Did(does(set_a), now_is(lambda s: s.get("a") == 2)),
    "deleted": Did(does(lambda s: s.pop("b")), now_is(lambda s: s.get("a") == 1 and "b" not in s)),
    "nested": Did(does(lambda s: s["list"].append(1)), now_is(lambda s: s.get("list") == [1])),
    "incr": Did(does(lambda s: s.incr("n")), now_is(lambda s: s.get("n") == 1)),
    "flash": Did(does(lambda s: s.flash("x")), now_is(lambda s: s.get_flashed())),
    "permanent": Did(does(lambda s: setattr(s, "permanent", True)), now_is(lambda s: s.permanent)),
}
TOLD = {
    "save": Did(does(set_a, lambda s: s.save()), now_is(lambda s: s.get("a") == 2)),
    "incr, save": Did(
        does(lambda s: s.incr("n"), lambda s: s.save()), now_is(lambda s: s.get("n") == 1)
    ),
    "refresh, save": Did(
        does(lambda s: s.refresh(), lambda s: s.save()), now_is(lambda s: s.get("b") == 1)
    ),
    "clear": Did(
        does(lambda s: s.clear(), set_a), now_is(lambda s: s.get("a") == 2 and not s.get("b"))
    ),
    "clear, save": Did(
        does(lambda s: s.clear(), set_a, lambda s: s.save()),
        now_is(lambda s: s.get("a") == 2 and not s.get("b")),
    ),
    "regenerate": Did(
        does(lambda s: s.regenerate()), lambda v: len(v.browser.headers.cookies) == 1
    ),
    "regenerate, set, save": Did(
        does(lambda s: s.regenerate(), set_a, lambda s: s.save()),
        now_is(lambda s: s.get("a") == 2),
    ),
    "renew": Did(does(lambda s: s.regenerate(60)), now_is(lambda s: "b" in s)),
    "renew, set": Did(does(lambda s: s.regenerate(60), set_a), now_is(lambda s: s.get("a") == 2)),
    "authenticated_at": Did(
        does(lambda s: setattr(s, "authenticated_at", 5.0)),
        now_is(lambda s: s.authenticated_at == 5.0),
        is_users=True,
    ),
    "log in": Did(
        does(lambda s: setattr(s, "user", "ada"), set_a),
        now_is(lambda s: (s.user, s.get("a")) == ("ada", 2)),
    ),
    "log in, save": Did(
        does(lambda s: setattr(s, "user", "ada"), set_a, lambda s: s.save()),
        now_is(lambda s: (s.user, s.get("a")) == ("ada", 2)),
    ),
    "log in, incr, pop_once": Did(
        does(lambda s: setattr(s, "user", "ada"), lambda s: s.incr("n"), lambda s: s.pop_once("b")),
        now_is(lambda s: (s.user, s.get("n"), s.get("b")) == ("ada", 1, None)),
    ),
    "log in again": Did(
        does(lambda s: setattr(s, "user", "ada"), set_a),
        now_is(lambda s: (s.user, s.get("a")) == ("ada", 2)),
        is_users=True,
    ),
    "log in as another": Did(
        does(lambda s: setattr(s, "user", "bob"), set_a),
        lambda v: (v.now().user, dict(v.now())) == ("bob", {"a": 2})
        and not v.store.list("ada"),
        is_users=True,
    ),
    "log out": Did(does(lambda s: setattr(s, "user", None)), nobody_is_in, is_users=True),
    "clear a user's": Did(does(lambda s: s.clear(), set_a), nobody_is_in, is_users=True),
    "destroy": Did(does(lambda s: s.destroy()), nobody_is_in, is_users=True),
    "destroy, save": Did(
        does(lambda s: s.destroy(), lambda s: s.save()), nobody_is_in, is_users=True
    ),
}  # fmt: skip
DID = PLAIN | TOLD


def ended(visitor: Visitor) -> None:
    with visitor.other().request() as session:
        session.destroy()


def logged_in(visitor: Visitor) -> None:
    with visitor.other().request() as session:
        session.user = "ada"


def cleared(visitor: Visitor) -> None:
    with visitor.other().request() as session:
        session.clear()


def renewed(visitor: Visitor) -> None:
    with visitor.other().request() as session:
        session.regenerate(grace=60)


HAPPENED = (ended, logged_in, cleared, renewed)

#: What cannot be done as it was told. All else is done, but plain changes, which are dropped.
ERRORS: dict[Callable[[Visitor], None], set[str]] = {
    ended: {
        "save", "incr, save", "refresh, save", "clear", "clear, save", "regenerate",
        "regenerate, set, save", "renew", "renew, set", "authenticated_at",
    },
    logged_in: {
        "save", "incr, save", "refresh, save", "clear", "clear, save", "regenerate",
        "regenerate, set, save", "renew", "renew, set", "authenticated_at",
    },
    cleared: {
        "save", "incr, save", "regenerate, set, save", "renew, set",
        # of a user's session, a clear is its end
        "authenticated_at",
    },
    renewed: set(),
}  # fmt: skip
#: "b" is gone, by the other's clear().
NOT_TO_BE_SEEN: dict[Callable[[Visitor], None], set[str]] = {cleared: {"refresh, save", "renew"}}


def begun(kind: str, is_users: bool, store: MemoryStore | None = None) -> Visitor:
    """A visitor with a session."""
    visitor = Visitor(kind, MemoryStore() if store is None else store)
    with (first := visitor.other()).request() as session:
        session["a"], session["b"], session["list"] = 1, 1, []
        if is_users:
            session.user = "ada"
    visitor.browser.cookie = first.cookie
    return visitor


@pytest.mark.parametrize("did", DID)
@pytest.mark.parametrize("happened", HAPPENED, ids=lambda happened: happened.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_view_was_told_is_what_happened_or_an_error(
    kind: str, happened: Callable[[Visitor], None], did: str
) -> None:
    view, is_done, is_users = DID[did]
    visitor = begun(kind, is_users)
    if did in ERRORS[happened]:
        with pytest.raises(SessionEndedError) as caught:
            visitor.request(view, lambda: happened(visitor))
        assert isinstance(caught.value, SessionConflictError)
        assert caught.value.status == 409
        assert not is_done(visitor)
        return
    visitor.request(view, lambda: happened(visitor))
    if did in PLAIN and happened is not renewed:
        assert not is_done(visitor)
        assert visitor.browser.headers.cookies == ()
    elif did not in NOT_TO_BE_SEEN.get(happened, ()):
        assert is_done(visitor)


@pytest.mark.parametrize(
    "did", ["log in", "log in, save", "log in, incr, pop_once", "log in again"]
)
@pytest.mark.parametrize("happened", [ended, logged_in], ids=lambda happened: happened.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_login_whose_record_is_gone_begins_another_with_nothing_of_it(
    kind: str, happened: Callable[[Visitor], None], did: str
) -> None:
    view, is_done, is_users = DID[did]
    visitor = begun(kind, is_users)
    old = visitor.browser.cookie

    async def changing(session: Any) -> None:
        session["list"].append(1)  # the old one's, changed: not this request's own
        await view(session)

    visitor.request(changing, lambda: happened(visitor))
    now = visitor.now()
    assert is_done(visitor)
    assert (now.get("b"), now.get("list")) == (None, None)
    assert Browser(visitor.others, old).values() == {}


def test_a_login_whose_record_is_gone_takes_nothing_that_was_migrated() -> None:
    store = MemoryStore()
    visitor = begun("wsgi, at once", False, store)
    with visitor.other().request() as other:
        other["former"] = [1]
        for missing in ("list", "n", "b"):
            other.pop(missing, None)
    sessions: StoredSessions[Any] = StoredSessions(
        store, schema=Fields, migrate=lambda raw: {"list": raw["former"], "n": 3, "b": 4}
    )
    session = sessions.open(visitor.browser.cookie)
    assert (session["list"], session["n"], session["b"]) == ([1], 3, 4)
    session["b"] = 4
    session.user = "ada"
    ended(visitor)
    visitor.browser.receive(sessions.save(session))
    assert (visitor.now().user, dict(visitor.now())) == ("ada", {"b": 4})


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_clicks_on_a_login_button_both_are_logged_in(kind: str) -> None:
    first = begun(kind, False)
    second = Visitor("wsgi, at once", first.store, first.browser.cookie)
    log_in = DID["log in"].view
    first.request(log_in, lambda: second.request(log_in))
    assert (first.now().user, second.now().user) == ("ada", "ada")


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_may_end_a_users_sessions_and_log_him_in(kind: str) -> None:
    visitor = begun(kind, True)

    async def view(session: Any) -> None:
        visitor.others.revoke_all("ada")
        session.user = "ada"
        session["note"] = 1

    if "typed" not in kind:
        visitor.request(view)
        assert (visitor.now().user, dict(visitor.now())) == ("ada", {"note": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_a_login_after_a_save_that_failed_begins_a_session(kind: str) -> None:
    visitor = begun(kind, False)

    async def view(session: Any) -> None:
        session["a"] = 2
        with pytest.raises(SessionEndedError):
            await session.save()
        session["b"] = 2
        with pytest.raises(SessionEndedError):
            await session.save()
        session.user = "ada"
        await session.save()

    visitor.request(view, lambda: ended(visitor))
    assert (visitor.now().user, visitor.now()["b"]) == ("ada", 2)


@pytest.mark.parametrize("did", ["log out", "destroy", "log in as another", "clear a user's"])
@pytest.mark.parametrize("grace", [0, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_a_logout_ends_the_session_wherever_its_id_went(kind: str, grace: int, did: str) -> None:
    visitor = begun(kind, True)
    tab = visitor.other()

    def renewed_twice() -> None:
        for _ in range(2):
            with tab.request() as session:
                session.regenerate(grace)

    visitor.request(DID[did].view, renewed_twice)
    assert tab.open().user is None
    assert visitor.store.list("ada") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_clear_wins_over_any_number_of_others(kind: str) -> None:
    visitor = begun(kind, False)

    def three_times() -> None:
        for _ in range(3):
            cleared(visitor)

    visitor.request(does(lambda s: s.clear(), set_a), three_times)
    assert {k: v for k, v in visitor.now().items() if v} == {"a": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_login_sets_also_what_it_found_so(kind: str) -> None:
    visitor = begun(kind, False)
    if "merging" in kind:  # there it is a conflict
        return

    def change() -> None:
        with visitor.other().request() as session:
            session["a"] = 5

    log_in = does(lambda s: setattr(s, "user", "ada"), lambda s: s.incr("n"), set_a_again)
    visitor.request(log_in, change)
    assert visitor.now()["a"] == 1


# Answers that are lost, and rubbish.


class Mute(MemoryStore):
    """Does what it is told, and loses the next answer to a call that writes."""

    is_mute = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("create", "commit", "move", "delete", "touch", "revoke"):
            return found

        def call(*arguments: Any) -> Any:
            answer = found(*arguments)
            if self.is_mute:
                self.is_mute = False
                raise StoreUnavailableError("memory", name)
            return answer

        return call


WRITES = {name: did for name, did in DID.items() if name != "refresh, save"}


@pytest.mark.parametrize("did", WRITES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_answer_is_an_error(kind: str, did: str) -> None:
    view, _, is_users = DID[did]
    store = Mute()
    visitor = begun(kind, is_users, store)
    with pytest.raises(StoreUnavailableError):
        visitor.request(view, lambda: setattr(store, "is_mute", True))


@pytest.mark.parametrize("did", [name for name in WRITES if "save" not in name])
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_lost_answer_the_view_may_save_again(kind: str, did: str) -> None:
    view, is_done, is_users = DID[did]
    store = Mute()
    visitor = begun(kind, is_users, store)

    async def persistent(session: Any) -> None:
        await view(session)
        store.is_mute = True
        with pytest.raises(StoreUnavailableError):
            await session.save()

    visitor.request(persistent)
    assert not store.is_mute
    assert is_done(visitor)


class Torn(MemoryStore):
    """Cannot read the record it has."""

    is_torn = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("commit", "move") and self.is_torn:
            raise CorruptRecordError("memory", "it is torn")
        return super().__getattribute__(name)


@pytest.mark.parametrize("did", ["set", "save", "clear", "regenerate", "log in"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_cannot_be_read_any_more_is_none(kind: str, did: str) -> None:
    store = Torn()
    visitor = begun(kind, False, store)

    def tear() -> None:
        store.is_torn = True

    if did in ERRORS[ended]:
        with pytest.raises(SessionEndedError):
            visitor.request(DID[did].view, tear)
    else:
        visitor.request(DID[did].view, tear)
        assert DID[did].is_done(visitor) == (did == "log in")
    assert visitor.browser.sessions.corrupt_records == 1


# The cookie of an id that another request renews (R3).


@pytest.mark.parametrize("did", ["set", "permanent", "clear", "save", "renew, set", "flash"])
@pytest.mark.parametrize("kind", KINDS)
def test_r3_the_browser_does_not_go_back_to_an_id_that_was_renewed(kind: str, did: str) -> None:
    visitor = begun(kind, False)
    tab = visitor.other()
    with tab.request() as session:
        session.permanent = True
    new = []

    def renew() -> None:
        with tab.request() as session:
            session.regenerate(grace=60)
        new.append(tab.cookie)

    visitor.request(DID[did].view, renew)
    assert visitor.browser.headers.cookies == ()
    with tab.request() as session:
        session["b"] = 5
        session.permanent = True
    with tab.request() as session:
        session["b"] = 6
    assert "Max-Age" in tab.headers.cookies[0], "the new id is known to be the record's own"
    assert tab.cookie == new[0]


# What the client gets.


def answering(view: Callable[[], object]) -> tuple[App, StoredSessions[Any]]:
    sessions = StoredSessions(MemoryStore(), cookie=Cookie.for_development("sid"))
    app = App("outcomes", sessions)

    @app.get("/begin")
    def begin() -> str:
        current_session["a"] = 1
        return "begun"

    @app.get("/view")
    def answer() -> str:
        current_session.get("a")
        sessions.revoke_everyone()
        view()
        return f"user {current_session.user}"

    @app.get("/me")
    def me() -> str:
        return f"user {current_session.user}"

    return app, sessions


@pytest.mark.parametrize(
    "view",
    [
        lambda: current_session.regenerate(),
        lambda: current_session.regenerate(grace=60),
        lambda: current_session.clear(),
        lambda: setattr(current_session, "authenticated_at", 5.0),
        lambda: (current_session.update(a=2), current_session.save()),
    ],
)
def test_what_could_not_be_done_is_answered_with_409(view: Callable[[], object]) -> None:
    client = answering(view)[0].test_client()
    client.get("/begin")
    response = client.get("/view")
    assert response.status_code == 409
    assert "This session has ended meanwhile. Look again, and repeat it." in response.text
    assert "Set-Cookie" not in response.headers


def test_a_plain_change_of_a_session_that_ended_is_no_error_of_its_request() -> None:
    client = answering(lambda: current_session.update(a=2))[0].test_client()
    client.get("/begin")
    assert client.get("/view").status_code == 200
    assert client.get("/me").text == "user None"


def test_a_login_after_the_sessions_were_ended_is_one() -> None:
    client = answering(lambda: setattr(current_session, "user", "ada"))[0].test_client()
    client.get("/begin")
    assert client.get("/view").text == "user ada"
    assert client.get("/me").text == "user ada"
