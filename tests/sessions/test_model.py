"""Sessions against a plain model of what the documentation says, under random interleavings.

Several requests of one or two browsers are open at once. Each does random things, saves in
the middle or at its end, or fails. After each save the store has to hold exactly what the
model holds: nothing lost, nothing brought back, nothing of somebody else.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctxlocal.sessions.codec import MAX_BYTES
from ctxlocal.sessions.errors import SessionEndedError, UnstorableValueError
from ctxlocal.sessions.in_store.session import StoredSession
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import FLASH, MEMBER, USER, Record

from .conftest import Browser

SET = "set"
PLAIN, COUNTERS = ["a", "b"], ["m", "n"]


class Kept:
    """A record of the model; ``token`` stands for the id that reaches it."""

    def __init__(self) -> None:
        self.token = object()
        self.olds: list[object] = []  # that still lead to it
        self.handle = object()
        self.generation = 0
        self.values: dict[str, Any] = {}
        self.members: set[str] = set()
        self.flashes: set[str] = set()
        self.user: str | None = None


def find(records: list[Kept], token: object) -> Kept | None:
    return next((kept for kept in records if token in (kept.token, *kept.olds)), None)


class Asked:
    """A request of the model: what it saw at its beginning, and what it did since."""

    def __init__(self, kept: Kept | None, token: object) -> None:
        self.has_cookie = False
        self.sent: bool | None = None  # the cookie with an id, or its deletion
        self.doomed: list[tuple[object, str | None, object]] = []  # token, user, handle
        self.is_lost = self.destroyed = False
        self.start(kept, token)

    def start(self, kept: Kept | None, token: object = None) -> None:
        self.token = None if kept is None else token
        self.handle = None if kept is None else kept.handle
        self.generation = 0 if kept is None else kept.generation
        self.base = {} if kept is None else kept.values.copy()
        self.base_members = set() if kept is None else kept.members.copy()
        self.base_flashes = set() if kept is None else kept.flashes.copy()
        self.base_user = None if kept is None else kept.user
        self.forget_changes()

    def forget_changes(self) -> None:
        self.sets: dict[str, Any] = {}
        self.deletes: set[str] = set()
        self.added: dict[str, int] = {}
        self.taken: set[str] = set()
        self.members: set[str] = set()
        self.members_gone: set[str] = set()
        self.flashes: set[str] = set()
        self.flashes_gone: set[str] = set()
        self.nested: set[str] = set()  # of the sets: loaded values that were changed inside
        self.cleared = False
        self.regenerate: float | None = None  # the grace
        self.login: str | None = None

    # What it sees.

    @property
    def user(self) -> str | None:
        return self.login or (None if self.cleared else self.base_user)

    @property
    def seen_members(self) -> set[str]:
        base = set() if self.cleared else self.base_members - self.members_gone
        return base | self.members

    @property
    def seen_flashes(self) -> set[str]:
        base = set() if self.cleared else self.base_flashes - self.flashes_gone
        return base | self.flashes

    @property
    def values(self) -> dict[str, Any]:
        hidden = self.deletes | self.taken
        base = {} if self.cleared else {k: v for k, v in self.base.items() if k not in hidden}
        for key, amount in self.added.items():
            base[key] = base.get(key, 0) + amount
        return base | self.sets

    @property
    def seen(self) -> dict[str, Any]:
        members = {SET: frozenset(self.seen_members)} if self.seen_members else {}
        return self.values | members

    # What it does.

    def is_ours(self, key: str) -> bool:
        return self.cleared or key in self.sets or key in self.deletes or key in self.taken

    def set(self, key: str, value: Any) -> None:
        self.drop(key)
        self.sets[key] = value

    def drop(self, key: str) -> None:
        self.sets.pop(key, None)
        self.nested.discard(key)
        self.added.pop(key, None)
        self.taken.discard(key)
        if key in self.base and not self.cleared:
            self.deletes.add(key)

    def incr(self, key: str, amount: int) -> None:
        if self.is_ours(key):
            self.set(key, self.values.get(key, 0) + amount)
        else:
            self.added[key] = self.added.get(key, 0) + amount

    def pop_once(self, key: str) -> None:
        takes = key in self.base and not self.is_ours(key)
        was_taken = key in self.taken
        if takes:
            self.drop(key)
            self.taken.add(key)
        elif not was_taken:
            self.drop(key)

    def drop_set(self) -> None:
        if not self.cleared:
            self.members_gone |= self.base_members
        self.members = set()

    def add_member(self, member: str) -> None:
        if member not in self.seen_members:
            self.members.add(member)
            self.members_gone.discard(member)

    def take_flashes(self) -> None:
        if not self.cleared:
            self.flashes_gone |= self.base_flashes
        self.flashes = set()

    def clear(self) -> None:
        regenerate = self.regenerate if self.user is None else 0.0
        self.forget_changes()
        self.cleared, self.regenerate = True, regenerate

    def log_in(self, user: str) -> None:
        if self.user not in (None, user):
            self.clear()
        self.login, self.regenerate = user, 0.0

    def renew(self, grace: float) -> None:
        self.regenerate = grace if self.regenerate is None else self.regenerate

    def destroy(self) -> None:
        self.doom()
        self.start(None)
        self.is_lost, self.destroyed = False, True

    # What is stored of it; True: it was not as the request was told, and that is an error.

    def save(self, records: list[Kept], must: bool) -> bool:
        if self.destroyed:
            for doomed in self.doomed:
                self.end(records, *doomed)
            self.doomed, self.destroyed = [], False
            self.sent = False if self.has_cookie else None
        if self.token is None:
            return self.create(records, must)
        kept, grace = find(records, self.token), self.regenerate
        if grace is None:
            return self.store(kept, must)
        if self.cleared:
            self.end(records, self.token, self.base_user, self.handle)
            self.sent = False if self.has_cookie else None
            return self.begin_anew(records)
        if self.login:
            return self.begin_anew(records) if kept is None else self.move_in(kept)
        return self.store(kept, True) or self.change_id(find(records, self.token), grace)

    def end(self, records: list[Kept], token: object, user: str | None, handle: object) -> None:
        kept = find(records, token)
        if kept is None and user is not None:  # it may have got another id
            kept = next((k for k in records if k.handle is handle and k.user == user), None)
        if kept is not None:
            records.remove(kept)

    def create(self, records: list[Kept], must: bool) -> bool:
        has_any = self.sets or self.added or self.members or self.flashes or self.login
        if self.is_lost and not self.login:
            return bool(must and (has_any or self.cleared))
        if has_any:
            kept = Kept()
            self.cleared = self.is_lost = False
            self.apply_own(kept)
            self.apply_rest(kept)
            records.append(kept)
            self.sent = True
            self.go_on(kept)
        return False

    def begin_anew(self, records: list[Kept]) -> bool:
        """Create another record, with nothing of the one that is gone."""
        self.token, self.base, self.base_user = None, {}, None
        self.base_members, self.base_flashes = set(), set()
        self.sets = {key: value for key, value in self.sets.items() if key not in self.nested}
        self.deletes, self.taken, self.regenerate = set(), set(), None
        self.members_gone, self.flashes_gone = set(), set()
        return self.create(records, False)

    def move_in(self, kept: Kept) -> bool:
        """Log in: nothing that another request cleared is in the way."""
        self.token = kept.token = object()
        kept.olds, kept.generation = [], kept.generation + 1
        generation = kept.generation if self.has_deltas() else self.generation + 1
        self.sent = True
        self.apply_own(kept)
        self.apply_rest(kept)
        self.go_on(kept, generation)
        return False

    def store(self, kept: Kept | None, must: bool) -> bool:
        if not self.has_changes():
            return False
        if kept is None or (kept.generation != self.generation and not self.cleared):
            return self.lose(kept, must or self.cleared)
        self.apply_own(kept)
        self.apply_rest(kept)
        self.go_on(kept)
        return False

    def change_id(self, kept: Kept | None, grace: float) -> bool:
        self.regenerate = None
        if kept is None:
            return self.lose(None, True)
        if grace and kept.token is not self.token:
            self.sent = None  # another renewed it first
            return False
        kept.olds = [*kept.olds, kept.token] if grace else []
        kept.generation += not grace
        self.generation += not grace
        self.token = kept.token = object()
        self.sent = True
        return False

    def has_deltas(self) -> bool:
        gone = self.deletes - self.sets.keys()
        return bool(gone or self.added or self.taken or self.members_gone or self.flashes_gone)

    def has_changes(self) -> bool:
        return bool(self.has_deltas() or self.sets or self.members or self.flashes or self.cleared)

    def apply_own(self, kept: Kept) -> None:
        if self.cleared:
            kept.values, kept.members, kept.flashes = {}, set(), set()
            kept.generation += 1
        kept.members |= self.members
        kept.flashes |= self.flashes
        kept.user = self.login or kept.user

    def apply_rest(self, kept: Kept) -> None:
        for key in (self.deletes - self.sets.keys()) | self.taken:
            kept.values.pop(key, None)
        kept.values.update(self.sets)
        for key, amount in self.added.items():
            kept.values[key] = kept.values.get(key, 0) + amount
        kept.members -= self.members_gone - self.members
        kept.flashes -= self.flashes_gone

    def go_on(self, kept: Kept, generation: int | None = None) -> None:
        """Go on from what it sees; it learns of others' changes to its counters alone."""
        own = Kept()
        own.handle = kept.handle
        own.generation = kept.generation if generation is None else generation
        own.values = self.values | {key: kept.values[key] for key in self.added}
        own.members, own.flashes, own.user = self.seen_members, self.seen_flashes, self.user
        self.start(own, self.token or kept.token)

    def doom(self) -> None:
        if self.token is not None:
            self.doomed.append((self.token, self.base_user, self.handle))

    def lose(self, kept: Kept | None, must: bool) -> bool:
        self.doom()
        self.start(None)
        self.is_lost = True
        if kept is None:
            self.sent = None
        return must


class Open:
    """One request, in the library and in the model."""

    def __init__(self, browser: Browser, asked: Asked) -> None:
        self.browser = browser
        self.session = browser.open()
        self.asked = asked


class Requests(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.sessions: StoredSessions[Any] = StoredSessions(self.store)
        self.browsers = [Browser(self.sessions), Browser(self.sessions)]
        self.jars: list[object] = [None, None]
        self.records: list[Kept] = []
        self.open: list[Open] = []
        self.unique = itertools.count()

    def pick(self, data: st.DataObject) -> tuple[StoredSession, Asked]:
        chosen = data.draw(st.sampled_from(range(len(self.open))), label="request")
        return self.open[chosen].session, self.open[chosen].asked

    @precondition(lambda self: len(self.open) < 4)
    @rule(which=st.sampled_from([0, 0, 0, 1]), look=st.booleans())
    def begin(self, which: int, look: bool) -> None:
        asked = Asked(find(self.records, self.jars[which]), self.jars[which])
        asked.has_cookie = bool(self.browsers[which].cookie)
        request = Open(self.browsers[which], asked)
        assert request.session.get("nothing") is None  # loads it
        if look:
            assert dict(request.session) == asked.seen
        self.open.append(request)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), key=st.sampled_from(PLAIN))
    def set_value(self, data: st.DataObject, key: str) -> None:
        session, asked = self.pick(data)
        value = next(self.unique)
        session[key] = f"value {value}"
        asked.set(key, f"value {value}")

    @precondition(lambda self: self.open)
    @rule(data=st.data(), key=st.sampled_from(COUNTERS), number=st.integers(-5, 5))
    def set_counter(self, data: st.DataObject, key: str, number: int) -> None:
        session, asked = self.pick(data)
        session[key] = number
        asked.set(key, number)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), key=st.sampled_from([*PLAIN, *COUNTERS, "list"]))
    def delete(self, data: st.DataObject, key: str) -> None:
        session, asked = self.pick(data)
        assert (key in session) == (key in asked.seen)
        if key in session:
            del session[key]
            asked.drop(key)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def mutate(self, data: st.DataObject) -> None:
        session, asked = self.pick(data)
        item = next(self.unique)
        if "list" in asked.values and not asked.is_ours("list"):
            asked.nested.add("list")
        session.setdefault("list", []).append(item)
        asked.sets["list"] = [*asked.values.get("list", []), item]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), key=st.sampled_from(COUNTERS), amount=st.integers(-3, 3))
    def incr(self, data: st.DataObject, key: str, amount: int) -> None:
        session, asked = self.pick(data)
        asked.incr(key, amount)
        assert session.incr(key, amount) == asked.seen[key]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), key=st.sampled_from([*PLAIN, *COUNTERS]))
    def pop_once(self, data: st.DataObject, key: str) -> None:
        session, asked = self.pick(data)
        assert session.pop_once(key) == asked.seen.get(key)
        asked.pop_once(key)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), member=st.sampled_from("xyz"))
    def add_to_set(self, data: st.DataObject, member: str) -> None:
        session, asked = self.pick(data)
        session.add_to_set(SET, member)
        asked.add_member(member)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def delete_set(self, data: st.DataObject) -> None:
        session, asked = self.pick(data)
        session.pop(SET, None)
        asked.drop_set()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def flash(self, data: st.DataObject) -> None:
        session, asked = self.pick(data)
        text = f"flash {next(self.unique)}"
        session.flash(text)
        asked.flashes.add(text)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def get_flashed(self, data: st.DataObject) -> None:
        session, asked = self.pick(data)
        assert {text for _, text in session.get_flashed()} == asked.seen_flashes
        asked.take_flashes()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), change=st.sampled_from(["clear", "regenerate", "renew", "destroy"]))
    def change_all(self, data: st.DataObject, change: str) -> None:
        session, asked = self.pick(data)
        if change == "clear":
            session.clear()
            asked.clear()
        elif change == "regenerate":
            session.regenerate()
            asked.renew(0.0)
        elif change == "renew":
            session.regenerate(10_000)
            asked.renew(10_000)
        else:
            session.destroy()
            asked.destroy()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), user=st.sampled_from(["alice", "bob"]))
    def log_in(self, data: st.DataObject, user: str) -> None:
        session, asked = self.pick(data)
        session.user = user
        asked.log_in(user)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        session, asked = self.pick(data)
        assert dict(session) == asked.seen
        assert len(session) == len(asked.seen)
        assert session.user == asked.user

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        session, asked = self.pick(data)
        if asked.save(self.records, must=True):
            with pytest.raises(SessionEndedError):
                session.save()
        else:
            session.save()
        assert dict(session) == asked.seen
        assert session.user == asked.user

    @precondition(lambda self: self.open)
    @rule(data=st.data(), fails=st.sampled_from([False, False, False, True]))
    def finish(self, data: st.DataObject, fails: bool) -> None:
        request = self.open.pop(data.draw(st.sampled_from(range(len(self.open)))))
        if fails:
            return
        if request.asked.save(self.records, must=False):
            with pytest.raises(SessionEndedError):
                request.browser.save(request.session)
            return
        headers = request.browser.save(request.session)
        sent = request.asked.sent
        assert len(headers.cookies) == (sent is not None)
        if sent is not None:
            assert ("Max-Age=0" in headers.cookies[0]) == (not sent)
            which = self.browsers.index(request.browser)
            self.jars[which] = request.asked.token if sent else None
            if sent and request.asked.is_lost:
                self.jars[which] = request.asked.doomed[-1][0]

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        stored = Counter(shown(record) for _, record in self.store.scan())
        wanted = Counter(
            repr((sorted(k.values.items()), sorted(k.members), sorted(k.flashes), k.user))
            for k in self.records
        )
        assert stored == wanted

    @invariant()
    def each_browser_reaches_its_own(self) -> None:
        for browser, token in zip(self.browsers, self.jars, strict=True):
            kept = find(self.records, token)
            session = browser.open()
            assert session.user == (None if kept is None else kept.user)
            assert session.get("a") == (None if kept is None else kept.values.get("a"))


def shown(record: Record) -> str:
    """A stored record, as a session that loaded it would show it."""
    session = StoredSession(StoredSessions(MemoryStore()), "")
    session._begin_with(record.values, None)
    values = sorted((k, v) for k, v in session.items() if k != SET)
    flashes = sorted(text for _, text in session.get_flashed())
    user = record.values.get(USER)
    members = sorted(session.get(SET, ()))
    return repr((values, members, flashes, None if user is None else user.decode()))


Requests.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRequests = Requests.TestCase


# The mapping


@pytest.mark.parametrize("key", ["", " ", "ключ", "🔑", "a\0b", "x" * 10_000, "m", "f", "user"])
def test_any_text_is_a_key(browser: Browser, key: str) -> None:
    with browser.request() as session:
        session[key] = 1
        session.add_to_set(f"{key} set", 2)
    assert browser.values() == {key: 1, f"{key} set": {2}}
    with browser.request() as session:
        assert session.incr(key) == 2
        del session[f"{key} set"]
    assert browser.values() == {key: 2}


@pytest.mark.parametrize("key", [1, None, b"a", ("a",)])
def test_only_text_is_a_key(browser: Browser, key: Any) -> None:
    session = browser.open()
    session.add_to_set("1", "x")
    for use in (session.__setitem__, session.incr, session.add_to_set):
        with pytest.raises(TypeError, match="a session's keys are str"):
            use(key, 1)
    assert key not in session
    with pytest.raises(KeyError):
        session[key]


@pytest.mark.parametrize("key", ["\0", "\0user", "\0fx", "\ud800"])
def test_some_text_is_no_key(browser: Browser, key: str) -> None:
    session = browser.open()
    for use in (session.__setitem__, session.incr, session.add_to_set):
        with pytest.raises(ValueError, match="a session's keys"):
            use(key, 1)
    assert key not in session
    assert session.get(key) is None


def test_fields_of_our_own_are_no_keys(browser: Browser) -> None:
    with browser.request() as session:
        session.user = "alice"
        session.permanent = True
        session.flash("x")
    session = browser.open()
    assert dict(session) == {}
    assert "\0user" not in session
    with pytest.raises(KeyError):
        del session["\0user"]


@pytest.mark.slow
def test_ten_thousand_keys(browser: Browser) -> None:
    with browser.request() as session:
        session.update({f"key{n}": n for n in range(10_000)})
        session.add_to_set("set", 1)
    with browser.request() as session:
        for n in range(10_000):
            assert session.get(f"no{n}") is None
            session[f"new{n}"] = n
        assert len(session) == 20_001


def test_a_value_too_large_to_be_read_again_is_refused(browser: Browser) -> None:
    session = browser.open()
    for value in ("x" * (MAX_BYTES + 1), ["x" * (MAX_BYTES + 1)], b"x" * (MAX_BYTES + 1)):
        with pytest.raises(UnstorableValueError, match="are over"):
            session["a"] = value
    session["a"] = "x" * (MAX_BYTES - 5)
    browser.save(session)
    assert len(browser.values()["a"]) == MAX_BYTES - 5


def test_nested_changes_are_found_and_nothing_else_is_written(browser: Browser) -> None:
    with browser.request() as session:
        session["deep"] = {"a": [{"b": []}]}
        session["other"] = [1]
    with browser.request() as session:
        assert session["other"] == [1]
        session["deep"]["a"][0]["b"].append(1)
        assert session.modified
        assert session._changes().sets.keys() == {"deep"}
    with browser.request() as session:
        assert session["deep"] == {"a": [{"b": [1]}]}
        assert not session.modified


def test_a_key_that_became_a_set_meanwhile_goes_whole(browser: Browser) -> None:
    with browser.request() as session:
        session["other"] = 1
    first, second = browser.open(), browser.open()
    first["x"] = 1
    second.add_to_set("x", "member")
    browser.save(first)
    browser.save(second)
    assert browser.values() == {"other": 1, "x": 1}
    with browser.request() as session:
        del session["x"]
        assert "x" not in session
    assert browser.values() == {"other": 1}


def test_a_counter_stays_within_64_bits(browser: Browser) -> None:
    with browser.request() as session:
        session["n"] = -(2**63)
    session = browser.open()
    assert session.incr("n", 2**63 - 1) == -1
    with pytest.raises(OverflowError):
        session.incr("n", 2**63 - 1)  # the sum would fit, what is added would not
    with pytest.raises(OverflowError):
        session.incr("n", 2**64)
    with pytest.raises(TypeError):
        session.incr("n", 1.5)  # type: ignore[arg-type]
    browser.save(session)
    assert browser.values() == {"n": -1}


def test_counting_again_what_was_popped_keeps_the_new_count(browser: Browser) -> None:
    with browser.request() as session:
        session["n"] = 5
    with browser.request() as session:
        assert session.pop_once("n") == 5
        assert session.incr("n") == 1
    assert browser.values() == {"n": 1}


def test_reserved_prefixes_do_not_meet() -> None:
    assert not FLASH.startswith(MEMBER)
    assert not MEMBER.startswith(FLASH)


def test_asking_for_a_view_counts_as_access(browser: Browser) -> None:
    for name in ("keys", "values", "items"):
        session = browser.open()
        getattr(session, name)()
        assert session.accessed
