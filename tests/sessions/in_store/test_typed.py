"""Typed sessions: what a schema does not know, or not so, is kept for who wrote it."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxlocal.sessions import StoredSessions
from ctxlocal.sessions.codec import encode
from ctxlocal.sessions.errors import UnstorableValueError
from ctxlocal.sessions.in_store.session import StoredSession
from ctxlocal.sessions.schema import Schema
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import RESERVED, Change, Record

from ..conftest import Browser, Make
from ..stores.conftest import Clock
from ..test_codec import datetimes, is_same, times, values


class Old(msgspec.Struct):
    n: int = 0
    name: str = ""


class New(msgspec.Struct):
    n: int = 0
    name: str = ""
    cart: list[str] = msgspec.field(default_factory=list)
    tags: set[str] = msgspec.field(default_factory=set)
    when: datetime | None = None


@dataclass
class Other:
    """A version in which both fields have other types."""

    n: str = "none"
    name: list[str] = field(default_factory=list)


BERLIN = ZoneInfo("Europe/Berlin")
WHEN = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)


class Site:
    """Workers of several versions before one store, and a browser that meets each."""

    def __init__(self, make: Make, clock: Clock) -> None:
        self.store = MemoryStore(clock=clock)
        self.make = make
        self.browser = Browser(make(self.store))

    def worker(self, schema: type | None, **settings: Any) -> Browser:
        self.browser.sessions = self.make(self.store, schema=schema, **settings)
        return self.browser

    @property
    def record(self) -> Record:
        record = self.store.load(self.browser.key)
        assert record is not None
        return record

    @property
    def fields(self) -> dict[str, bytes]:
        """What is stored of the application's."""
        return {key: raw for key, raw in self.record.values.items() if key[:1] != RESERVED}


@pytest.fixture
def site(make: Make, clock: Clock) -> Site:
    site = Site(make, clock)
    with site.worker(New).request() as session:
        session.update(n=1, name="ada", cart=["lamp"], tags={"a", "b"}, when=WHEN)
        session.user = "alice"
    return site


def look(session: StoredSession) -> None:
    assert (session["n"], session["name"]) == (1, "ada")


def write(session: StoredSession) -> None:
    session["name"] = "eve"
    del session["n"]


def take(session: StoredSession) -> None:
    session.pop_once("n")
    assert session.pop_once("cart", "nothing") == "nothing"


def save(session: StoredSession) -> None:
    session.incr("n")
    session.save()
    session["name"] = "eve"
    session.save()


def renew(session: StoredSession) -> None:
    session.regenerate(grace=60)
    session.save()
    session["n"] = 7


USES: dict[str, Callable[[StoredSession], object]] = {
    "look": look,
    "list": lambda session: (list(session), len(session), session.copy(), session.to_dict()),
    "ask for the user": lambda session: session.user,
    "write": write,
    "incr": lambda session: session.incr("n"),
    "take": take,
    "save": save,
    "flash": lambda session: session.flash("hello"),
    "add to a set": lambda session: session.add_to_set("seen", 1),
    "regenerate": renew,
    "log in again": lambda session: setattr(session, "user", "alice"),
    "refresh": lambda session: session.refresh(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("same_key", ["last-wins", "raise"])
def test_fields_of_another_version_stay_as_they_are(site: Site, use: str, same_key: str) -> None:
    before = site.fields
    with site.worker(Old, same_key=same_key).request() as session:
        USES[use](session)
    after = site.fields
    assert all(after[key] == before[key] for key in ("cart", "tags", "when"))
    session = site.worker(New).open()
    assert (session["cart"], session["tags"]) == (["lamp"], {"a", "b"})
    assert is_same(session["when"], WHEN)


def test_what_is_not_known_is_not_seen(site: Site) -> None:
    session = site.worker(Old).open()
    assert dict(session) == {"n": 1, "name": "ada"}
    assert "cart" not in session
    assert session.get("cart") is None
    assert not session.modified
    with pytest.raises(KeyError):
        del session["cart"]
    with pytest.raises(UnstorableValueError, match="no such field"):
        session["cart"] = []
    with pytest.raises(UnstorableValueError, match="no such field"):
        session.incr("cart")
    with pytest.raises(TypeError, match="no set made by"):
        session.add_to_set("cart", 1)
    view = Schema(Old).view(session)
    with pytest.raises(AttributeError, match="no field 'cart'"):
        del view.cart  # type: ignore[attr-defined]
    assert not session.modified


@pytest.mark.parametrize("end", ["clear", "destroy", "another user"])
def test_clear_is_clear(site: Site, end: str) -> None:
    with site.worker(Old).request() as session:
        if end == "another user":
            session.user = "bob"
        else:
            getattr(session, end)()
        session["name"] = "new"
    assert site.fields.keys() == {"name"}


@pytest.mark.parametrize("use", ["list", "ask for the user", "flash", "regenerate without"])
def test_a_field_of_an_old_type_stays_until_it_is_assigned(site: Site, use: str) -> None:
    with site.worker(Other).request() as session:
        assert dict(session) == {"n": "none", "name": []}
        if use in USES:
            USES[use](session)
        else:
            session.regenerate()
        assert session["n"] == "none"
        assert not session._changes().sets.keys() & {"n", "name"}
    with site.worker(Old).request() as session:
        look(session)
    with site.worker(Other).request() as session:
        session["name"].append("ada")  # of a default that was handed out
    assert site.worker(Other).values() == {"n": "none", "name": ["ada"]}
    assert site.worker(Old).values() == {"n": 1, "name": ""}
    with site.worker(Other).request() as session:
        session["n"] = "two"
        del session["name"]
    assert site.worker(Other).values() == {"n": "two", "name": []}


class Counted(msgspec.Struct):
    name: int = 0


def test_a_counter_that_was_something_else_counts_from_its_default(site: Site) -> None:
    with site.worker(Counted).request() as session:
        assert session.incr("name") == 1
        assert session.save() == ()
        assert session.incr("name") == 2
        assert session.save() == (2,), "from now on the store adds"
    with site.worker(Counted).request() as session:
        assert session.incr("name") == 3
        assert session.save() == (3,)


def test_a_view_has_the_fields_as_attributes_and_no_others(site: Site) -> None:
    session = site.worker(Old).open()
    view: Any = site.browser.sessions.view(session)
    assert (view.n, view.name) == (1, "ada")
    view.n = 5
    del view.name
    assert (session["n"], session["name"]) == (5, "")
    uses: list[Callable[[], object]] = [
        lambda: view.cart,
        lambda: setattr(view, "cart", []),
        lambda: delattr(view, "cart"),
    ]
    for use in uses:
        with pytest.raises(AttributeError, match=r"^Old has no field 'cart'$") as caught:
            use()
        assert caught.value.name == "cart"
    assert repr(view) == f"<Old in {session!r}>"


class Ten(msgspec.Struct):
    name: int = 10


def test_a_field_that_does_not_begin_at_0_is_no_counter(site: Site) -> None:
    session = site.worker(Ten).open()
    with pytest.raises(
        TypeError,
        match=r"^session\.incr\('name'\) counts from 0, but the field has another default$",
    ):
        session.incr("name")


def test_a_field_that_does_not_fit_is_told_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    browser = site.worker(Other)
    with caplog.at_level(logging.WARNING):
        browser.values()
        browser.values()
    assert [r.getMessage() for r in caplog.records] == [
        "Other: stored n, name does not fit: it is kept, and shown as the default"
    ]


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"-", b"\xd4\x63\x00", b"\x91" * 70])
@pytest.mark.parametrize("migrate", [None, lambda raw: raw])
def test_what_cannot_be_read_at_all_is_kept_too(site: Site, raw: bytes, migrate: Any) -> None:
    """A newer version may have stored it, with a codec that is newer too."""
    site.store.commit(site.browser.key, site.record.generation, Change("odd", {"n": raw}), 60)
    assert site.worker(Old, migrate=migrate).values() == {"n": 0, "name": "ada"}
    with site.worker(Old, migrate=migrate).request() as session:
        session["name"] = "eve"
    assert site.fields["n"] == raw


# Migrating


class Split(msgspec.Struct):
    """``name`` became two fields, ``n`` a text, and there is one more."""

    n: str = ""
    first: str = ""
    last: str = ""
    visits: int = 0


class Splitting:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        first, _, last = raw.pop("name", "").partition(" ")
        raw.update(first=first, last=last, n=str(raw.get("n", "")), visits=5)
        return raw  # with what it was given besides


@pytest.fixture
def split(site: Site) -> Browser:
    with site.worker(Old).request() as session:
        session["name"] = "Ada Byron"
    return site.worker(Split, migrate=Splitting())


SHOWN = {"n": "1", "first": "Ada", "last": "Byron", "visits": 5}


def test_what_migrate_makes_is_shown_and_stored_when_it_is_changed(
    site: Site, split: Browser
) -> None:
    before = site.fields
    with split.request() as session:
        assert dict(session) == SHOWN
        assert not session.modified
    assert site.fields == before  # a look writes nothing
    with split.request() as session:
        session["first"] = "Eve"
    assert site.fields == before | {"first": encode("", "Eve")}
    assert split.values() == SHOWN | {"first": "Eve"}
    assert site.worker(Old).values() == {"n": 1, "name": "Ada Byron"}  # rolled back


def test_what_was_deleted_is_not_migrated_again(split: Browser) -> None:
    with split.request() as session:
        del session["first"]
        assert session["first"] == ""
        assert session.pop_once("n") == "1"
        assert session.save() == ("1",)
    assert split.values() == SHOWN | {"first": "", "n": ""}
    with split.request() as session:
        session["first"] = "Eve"
    assert split.values() == SHOWN | {"first": "Eve", "n": ""}
    with split.request() as session:
        session.clear()
        assert session["last"] == ""
        session["last"] = "Byron"
    assert split.values() == {"n": "", "first": "", "last": "Byron", "visits": 0}


def test_what_was_set_and_then_deleted_is_not_migrated_either(split: Browser) -> None:
    with split.request() as session:
        session["first"] = "Eve"
    with split.request() as session:
        del session["first"]
    assert split.values() == SHOWN | {"first": ""}


def test_what_was_migrated_counts_on(split: Browser) -> None:
    with split.request() as session:
        assert session.incr("visits") == 6
        assert session.save() == ()
        assert session.incr("visits", 0) == 6
        assert session.save() == (6,)
    with split.request() as session:
        assert session.incr("visits") == 7
        assert session.save() == (7,)


def test_when_every_field_is_stored_migrate_is_not_asked(split: Browser) -> None:
    with split.request() as session:
        session.update(dict(session))
    splitting = split.sessions.schema.migrate  # type: ignore[union-attr]
    assert isinstance(splitting, Splitting)
    calls = splitting.calls
    assert split.values() == SHOWN
    assert splitting.calls == calls


class Item(msgspec.Struct, frozen=True, rename="camel", tag=True):
    item_id: int = 0
    sizes: frozenset[int] = frozenset()


class Shade(enum.Enum):
    DARK = "dark"


class Rich(msgspec.Struct):
    tags: set[str] = msgspec.field(default_factory=set)
    size: tuple[int, int] = (0, 0)
    item: Item = msgspec.field(default_factory=Item)
    items: set[Item] = msgspec.field(default_factory=set)
    by_id: dict[int, Item] = msgspec.field(default_factory=dict)
    day: date = date(2026, 1, 1)
    at: time = time(1)
    when: datetime = WHEN
    gap: timedelta = timedelta(0)
    price: Decimal = Decimal(0)
    key: UUID = UUID(int=0)
    raw: bytes = b""
    shade: Shade = Shade.DARK
    rate: float = 0
    maybe: int | None = None
    anything: Any = None


RICH: dict[str, Any] = {
    "tags": {"a", "b"},
    "size": (1, 2),
    "item": Item(5, frozenset({1, 2})),
    "items": {Item(1), Item(2)},
    "by_id": {7: Item(7)},
    "day": date(2026, 2, 3),
    "at": time(2, 30, tzinfo=BERLIN),
    "when": WHEN,
    "gap": timedelta(days=-1, microseconds=1),
    "price": Decimal("1.10"),
    "key": UUID(int=5),
    "raw": b"\x00",
    "shade": Shade.DARK,
    "rate": -0.0,
    "maybe": 53,
    "anything": (1, {2, "x"}, {3: WHEN}),
}


def is_plain(value: Any) -> bool:
    """Whether a session without a schema takes it."""
    try:
        encode("", value)
    except UnstorableValueError:
        return False
    return True


class More(Rich):
    more: str = ""


@pytest.mark.parametrize("is_given_back", [True, False])
def test_migrate_may_return_what_it_was_given_or_what_fits(
    make: Make, clock: Clock, is_given_back: bool
) -> None:
    site = Site(make, clock)
    with site.worker(None).request() as session:
        session["kept"] = 1
        session.update({key: value for key, value in RICH.items() if is_plain(value)})
    given: list[dict[str, Any]] = []

    def migrate(raw: dict[str, Any]) -> dict[str, Any]:
        given.append(dict(raw))
        return raw | {"more": "x"} if is_given_back else {**RICH, "more": "x"}

    rich = site.worker(More, migrate=migrate).open()
    assert rich["more"] == "x"
    for key in given[0].keys() & RICH.keys():
        assert is_same(rich[key], RICH[key]), key
    assert given[0]["kept"] == 1
    if not is_given_back:
        assert is_same([rich[key] for key in RICH], [*RICH.values()])


def test_migrate_is_given_back_what_a_typed_session_stored(make: Make, clock: Clock) -> None:
    """Sets, tuples, Structs, dates: it sees lists, dicts and texts, and may return them."""

    class Before(msgspec.Struct):
        before: set[Item] = msgspec.field(default_factory=set)
        on: date = date(2026, 1, 1)
        where: tuple[int, ...] = ()

    class After(msgspec.Struct):
        after: set[Item] = msgspec.field(default_factory=set)
        day: date = date(2026, 1, 1)
        at: tuple[int, ...] = ()

    site = Site(make, clock)
    with site.worker(Before).request() as session:
        session.update(before={Item(1)}, on=date(2026, 5, 6), where=(1, 2))

    def migrate(raw: dict[str, Any]) -> dict[str, Any]:
        return {"after": raw["before"], "day": raw["on"], "at": raw["where"]}

    session = site.worker(After, migrate=migrate).open()
    assert dict(session) == {"after": {Item(1)}, "day": date(2026, 5, 6), "at": (1, 2)}


@pytest.mark.parametrize(
    ("returned", "error", "why"),
    [
        (
            {"visits": "many"},
            UnstorableValueError,
            r"^session\['visits'\] cannot be stored: what migrate returned does not fit its type "
            r"in Split \(Expected `int`, got `str`\)\.$",
        ),
        ({"first": object()}, UnstorableValueError, r"^session\['first'\].*migrate returned"),
        (None, TypeError, "^migrate of Split returns a dict; it returned a NoneType$"),
    ],
)
def test_what_migrate_returns_is_checked(
    site: Site, returned: Any, error: type[Exception], why: str
) -> None:
    before = site.fields
    session = site.worker(Split, migrate=lambda raw: returned).open()
    for _ in range(2):  # an error page may look again
        with pytest.raises(error, match=why):
            session.get("first")
    site.browser.save(session)
    assert site.fields == before


def test_a_migrate_that_raises_raises_where_it_is_loaded_and_loses_nothing(site: Site) -> None:
    def migrate(raw: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("a mistake")

    before = site.fields
    session = site.worker(Split, migrate=migrate).open()
    with pytest.raises(LookupError):
        session["first"] = "Ada"
    site.browser.save(session)
    assert site.fields == before
    assert site.worker(New).open().user == "alice"


@pytest.mark.asyncio
async def test_the_same_under_asgi(site: Site) -> None:
    before = site.fields
    browser = site.worker(Split, migrate=Splitting())
    session = await browser.open_async()
    assert session["first"] == "ada"
    session["last"] = "Byron"
    await browser.save_async(session)
    assert site.fields == before | {"last": encode("", "Byron")}


# Values


def test_every_type_comes_back_as_it_was(make: Make) -> None:
    browser = Browser(make(schema=Rich))
    with browser.request() as session:
        session.update(RICH)
    session = browser.open()
    for key, value in RICH.items():
        assert is_same(session[key], value), key
    assert not session.modified
    session["tags"].add("c")
    session["by_id"][8] = Item(8)
    assert session._changes().sets.keys() == {"tags", "by_id"}


class Times(msgspec.Struct):
    when: datetime | None = None
    at: time | None = None
    several: list[datetime] = msgspec.field(default_factory=list)
    anything: Any = None


@given(datetimes, times, st.lists(datetimes, max_size=3), values)
def test_a_schema_changes_no_value(
    when: datetime, at: time, several: list[datetime], anything: Any
) -> None:
    schema = Schema(Times)
    for key, value in (("when", when), ("at", at), ("several", several), ("anything", anything)):
        assert is_same(schema.decode(key, schema.encode(key, value)), value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tags", ["a"]),
        ("size", [1, 2]),
        ("tags", frozenset("a")),
        ("size", (True, 2)),
        ("anything", Shade.DARK),
        ("anything", Item(1)),
        ("anything", [Item(1)]),
        ("raw", "text"),
        ("raw", bytearray()),
        ("rate", float("nan")),
        ("when", "2026-01-01T00:00:00"),
        ("maybe", 2**63),
        ("maybe", 1.0),
    ],
)
def test_what_a_schema_would_change_is_refused(key: str, value: Any) -> None:
    with pytest.raises(UnstorableValueError):
        Schema(Rich).encode(key, value)


class Elsewhere(tzinfo):
    """A zone that nothing stored could lead back to."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, when: datetime | None) -> str:
        return "elsewhere"


class Meeting(msgspec.Struct):
    when: datetime | None = None
    price: Decimal | None = None
    others: list[datetime] = []
    next: Meeting | None = None


ELSEWHERE = datetime(2024, 1, 1, tzinfo=Elsewhere())


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("when", ELSEWHERE, "a datetime's tzinfo, 'Elsewhere', does not come back"),
        ("others", [ELSEWHERE], "a datetime's tzinfo, 'Elsewhere', does not come back"),
        ("next", Meeting(when=ELSEWHERE), "a datetime's tzinfo, 'Elsewhere', does not come back"),
        ("price", Decimal("NaN"), "a NaN does not equal itself"),
        ("next", Meeting(price=Decimal("sNaN")), "a NaN does not equal itself"),
    ],
)
def test_a_scalar_that_cannot_be_stored_is_refused_as_without_a_schema(
    key: str, value: Any, reason: str
) -> None:
    match = rf"^session\['{key}'\] cannot be stored: {reason}"
    with pytest.raises(UnstorableValueError, match=match):
        Schema(Meeting).encode(key, value)


def test_an_int_is_a_float_where_a_float_is_wanted() -> None:
    schema = Schema(Rich)
    assert schema.decode("rate", schema.encode("rate", 53)) == 53.0


@pytest.mark.parametrize("number", [0, 5, 45, 48, 53, 57, -1, 10**15])
def test_an_int_is_read_under_another_type_of_field(number: int) -> None:
    """It is stored as decimals, whatever the field's type."""

    class Plain(msgspec.Struct):
        x: int = 0

    class Optional(msgspec.Struct):
        x: int | None = None

    class Float(msgspec.Struct):
        x: float = 0

    for one in (Plain, Optional):
        for other in (Plain, Optional, Float):
            assert Schema(other).decode("x", Schema(one).encode("x", number)) == number


def test_values_of_an_earlier_version_are_read() -> None:
    pack, schema = msgspec.msgpack.Encoder().encode, Schema(Rich)
    for key, value in RICH.items():
        if key not in ("when", "at", "anything", "maybe"):
            assert is_same(schema.decode(key, pack(value)), value), key
    utc = WHEN.astimezone(timezone.utc)
    assert is_same(schema.decode("when", pack(utc)), utc)


@pytest.mark.parametrize("kind", [StoredSessions])
def test_a_mutable_default_of_other_numbers_can_be_handed_out(kind: Any) -> None:
    class Sizes(msgspec.Struct):
        sizes: list[float] = msgspec.field(default_factory=lambda: [0, 1])

    assert kind(MemoryStore(), schema=Sizes).open("")["sizes"] == [0, 1]


def test_a_merge_is_given_values_of_the_fields_types(site: Site) -> None:
    seen: list[Any] = []

    def merge(key: str, loaded: Any, theirs: Any, mine: Any) -> Any:
        seen.append((key, loaded, theirs, mine))
        return theirs | mine

    browser = site.worker(New, same_key=merge)
    first, second = browser.open(), browser.open()
    first["tags"].add("c")
    second["tags"].add("d")
    browser.save(first)
    browser.save(second)
    assert seen == [("tags", {"a", "b"}, {"a", "b", "c"}, {"a", "b", "d"})]
    assert browser.open()["tags"] == {"a", "b", "c", "d"}
