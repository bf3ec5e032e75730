"""The twins of a session's values do the same: results, errors, every slot, what would be stored.

Both do the same things at the same time, here and there with one method overridden, in an order
that hypothesis chooses. The native twin looks at what it needs in a dozen places, and leaves to the
pure one what is otherwise; so what is tried is mostly what is otherwise.
"""

# mypy: disable-error-code="func-returns-value"
# (calls in a tuple of lambdas: what they return is nobody's)

from __future__ import annotations

import copy
import enum
import inspect
import os
from collections.abc import Callable
from datetime import date
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from markupsafe import Markup

from ctxlocal.sessions.codec import decode, encode
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.protocol import MEMBER
from ctxlocal.sessions.values import Values
from ctxlocal.sessions.values import pure as reference

from ...support.session_twins import IS_NATIVE, SESSIONS

EXAMPLES = int(os.environ.get("CTXLOCAL_FUZZ_EXAMPLES", "150"))

pytestmark = pytest.mark.skipif(not IS_NATIVE, reason="the native twin is not built")

SLOTS = [name for name in reference.Values.__slots__ if name != "__weakref__"]


class Text(str):
    """No plain str."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Text({str(self)!r})"


class Raw(bytes):
    """No plain bytes."""


class Keys(dict[str, Any]):
    """No plain dict."""

    def __contains__(self, key: object) -> bool:
        return False

    def get(self, key: str, default: Any = None) -> Any:
        return b"\xa3own" if super().__contains__(key) else default


class Color(enum.IntEnum):
    RED = 1


# What a class derived from Session may have of its own.


class Nothing:
    __slots__ = ()


class OwnDecode:
    __slots__ = ()

    def _decode(self, raw: bytes, key: str = "") -> Any:
        return ("decoded", key, raw)


class OwnEncode:
    __slots__ = ()

    def _encode(self, key: str, value: Any) -> bytes:
        return b"\xa1" + encode(key, value)[:1]


class CodecByAnotherName:
    __slots__ = ()

    _encode, _decode = staticmethod(encode), staticmethod(decode)


class NoCodec:
    __slots__ = ()

    @property
    def _decode(self) -> Any:
        raise AttributeError("no codec here")

    _encode = _decode


class OwnRead:
    __slots__ = ()

    def _read(self: Any) -> Any:
        self.told.append("read")
        return super()._read()  # type: ignore[misc]


class OwnRemove:
    __slots__ = ()

    def _remove(self: Any, key: str) -> None:
        self.told.append(("remove", key))
        super()._remove(key)  # type: ignore[misc]


OWN = [Nothing, OwnDecode, OwnEncode, CodecByAnotherName, NoCodec, OwnRead, OwnRemove]


def kind(base: type[Session], own: type = Nothing) -> Any:
    """Return a class over a twin, whose fields come from no store."""

    class Loaded(base):  # type: ignore[misc, valid-type]
        __slots__ = ("stored", "told")

        def __init__(self, stored: Any) -> None:
            super().__init__("sessions", "cookies")
            self.stored = stored
            self.told: list[Any] = []

        def _fetch(self) -> None:
            self.told.append("fetched")
            self._begin(self.stored)

        def _void(self, error: ValueError) -> None:
            self.told.append(str(error))

        def _now(self) -> float:
            return 1.0

    return type("Loaded", (own, Loaded), {"__slots__": ()})


MEMBERS = [f"{MEMBER}{key}\0{'0' * 31}{n}" for key in ("a", "m") for n in range(2)]
KEYS: list[Any] = ["a", "b", "m", "ma", "é", "", "a\0m", "a\0", "\0", "\0x", "\0m", "\ud801"]
NO_KEYS: list[Any] = [5, None, b"a", [], ("a",), 1.5]
INTS = [0, 7, -1, 10**17, 10**18, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]
VALUES: list[Any] = [
    *(*INTS, True, False, None, 1.5, float("nan"), b"x", Color.RED, Text("a"), Markup("<b>")),
    *("", "x", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "é", "é" * 31, "\0", "\x7f", "\ud800"),
    *([], [1, [2]], {"a": 1}, {1: 2}, (1,), {1}, frozenset({"x"}), date(2020, 1, 1), object()),
]
RAWS: list[Any] = [
    *(b"", b"0", b"007", b"9" * 18, b"1" * 19, b"9" * 20, b"-5", b"-", b"1x", b"12 ", b"/", b":"),
    *(b"\xa0", b"\xa1x", b"\xa1", b"\xa1xx", b"\xa2\xc3\xa9", b"\xa1\xff", b"\xbf" + b"x" * 31),
    *(b"\xbf" + b"x" * 32, b"\xd9", b"\xd9\x00", b"\xd9\x01x", b"\xd9\x02x", b"\xd9\x01xx"),
    *(b"\xd9\xff" + b"x" * 255, b"\xd9\x03\xed\xa0\x80", b"\xda\x00\x01x", b"\xc0", b"\xc1"),
    *(b"\xc2", b"\xc3", b"\xc3\xc3", b"\xc0\xc0", b"\xc2x", b"\x05", b"\x9f", b"\x91\x01"),
    *(b"\xcb" + bytes(8), b"\x81\xa1a\x01", b"\x81\x01\x02"),
    *(Raw(b"5"), bytearray(b"5"), memoryview(b"5"), "5", 5),
]

keys = st.sampled_from([*KEYS, *KEYS, Text("a"), *NO_KEYS, "a", "b", "a", "b"])
plain_keys = st.sampled_from(["a", "b", "m"])
values = st.sampled_from(VALUES) | st.integers() | st.text(max_size=40)
raws = (
    st.sampled_from(RAWS)
    | st.binary(max_size=5)
    | st.sampled_from([encode("k", value) for value in VALUES[:5] + VALUES[-9:-1]])
)
fields = st.dictionaries(
    st.sampled_from([*KEYS, Text("a"), *MEMBERS, "a", "b", "c"]), raws, max_size=4
)
of_kind = st.sampled_from([dict, dict, dict, Keys, MappingProxyType])


def its_own(value: Any) -> Any:
    """Return a value that one session may change without the other."""
    return copy.deepcopy(value) if type(value) in (list, dict, set) else value


def outcome(use: Callable[[Any], Any], session: Any) -> Any:
    """What comes of it, with its type; of an error its class and text."""
    try:
        found = use(session)
    except Exception as error:
        return type(error), str(error)
    return shown(found)


def shown(found: Any) -> tuple[str, Any]:
    """An object by its type's name, as each twin has classes of its own, and what is in it."""
    is_set = isinstance(found, (set, frozenset))
    return type(found).__name__, sorted(map(repr, found)) if is_set else repr(found)


def slots(session: Any) -> dict[str, Any]:
    """What every slot holds."""
    return {name: shown(getattr(session, name, "unset")) for name in SLOTS}


class Twins(RuleBasedStateMachine):
    """Two sessions, one over each twin, that are used in the same way."""

    @initialize(stored=fields, of=of_kind, own=st.sampled_from(OWN))
    def begin(self, stored: dict[Any, Any], of: Any, own: type) -> None:
        self.sessions = [kind(base, own)(of(stored.copy())) for base in SESSIONS.values()]

    def do(self, use: Callable[[Any], Any]) -> None:
        native, pure = (outcome(use, session) for session in self.sessions)
        assert native == pure

    @invariant()
    def all_slots_are_the_same(self) -> None:
        native, pure = self.sessions
        assert slots(native) == slots(pure)
        assert native.told == pure.told

    @rule(key=keys)
    def get(self, key: Any) -> None:
        self.do(lambda s: s[key])
        self.do(lambda s: s[key])

    @rule(key=keys, value=values)
    def set(self, key: Any, value: Any) -> None:
        self.do(lambda s: s.__setitem__(key, its_own(value)))

    @rule(key=plain_keys, value=values)
    def set_and_get(self, key: Any, value: Any) -> None:
        values = {id(session): its_own(value) for session in self.sessions}
        self.do(lambda s: s.__setitem__(key, values[id(s)]))
        self.do(lambda s: s[key] is values[id(s)])

    @rule(key=plain_keys)
    def change_within(self, key: str) -> None:
        self.do(lambda s: s[key].append(1))

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        self.do(lambda s: s.__delitem__(key))

    @rule(key=keys, default=values)
    def other_ways(self, key: Any, default: Any) -> None:
        self.do(lambda s: key in s)
        self.do(lambda s: s.setdefault(key, its_own(default)))

    @rule()
    def look_at_all(self) -> None:
        self.do(dict)
        self.do(repr)

    @rule(key=plain_keys, amount=st.sampled_from([1, 2**62]))
    def count(self, key: str, amount: int) -> None:
        self.do(lambda s: s.incr(key, amount))

    @rule(key=plain_keys)
    def take(self, key: str) -> None:
        self.do(lambda s: s.pop_once(key))

    @rule(key=plain_keys, member=values)
    def add(self, key: str, member: Any) -> None:
        self.do(lambda s: s.add_to_set(key, member))

    @rule(user=st.sampled_from(["u", None]))
    def log_in(self, user: str | None) -> None:
        self.do(lambda s: setattr(s, "user", user))

    @rule()
    def clear(self) -> None:
        self.do(lambda s: s.clear())

    @rule()
    def destroy(self) -> None:
        self.do(lambda s: s.destroy())

    @rule(closed=st.booleans())
    def close(self, closed: bool) -> None:
        self.do(lambda s: setattr(s, "_closed", closed))

    @rule(refusal=st.sampled_from([None, OSError("refused")]))
    def refuse(self, refusal: Exception | None) -> None:
        self.do(lambda s: s._begun.__setitem__(1, refusal))

    @rule()
    def unload(self) -> None:
        """As before the first touch."""
        self.do(lambda s: s._begun.clear())
        self.do(lambda s: setattr(s, "_accessed", False))

    @rule(stored=fields, of=of_kind)
    def load_others(self, stored: dict[Any, Any], of: Any) -> None:
        self.do(lambda s: setattr(s, "_begun", [of(stored.copy()), None, {}, {}]))

    @rule(
        name=st.sampled_from(SLOTS),
        value=st.sampled_from([None, True, False, 1, 0, "x", {}, Keys(a=5), [], frozenset()]),
    )
    def put_into_a_slot(self, name: str, value: Any) -> None:
        """What no method does; both have to make the same of it, and be good for more."""
        before = [(s, getattr(s, name, s)) for s in self.sessions]
        self.do(lambda s: setattr(s, name, copy.copy(value)))
        for use in (lambda s: s["a"], lambda s: s.__setitem__("b", 1), lambda s: s._sets()):
            self.do(use)
        for session, former in before:
            setattr(session, name, former) if former is not session else delattr(session, name)

    @precondition(lambda self: self.sessions[0]._begun)
    @rule()
    def store(self) -> None:
        self.do(lambda s: s._sets())
        self.do(lambda s: s._changes())
        self.do(lambda s: s._settle(s._all_fields(), s._changes()))


TestTwins = Twins.TestCase
TestTwins.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def session_with(stored: Any, base: type[Session] = Session) -> Any:
    return kind(base)(stored)


@given(raw=raws)
def test_a_field_is_the_value_that_the_codec_makes_of_it(raw: Any) -> None:
    def by_codec(_: Any) -> Any:
        try:
            return decode(raw)
        except ValueError:
            raise KeyError("k") from None

    def by_session(session: Any) -> Any:
        return session["k"]

    session = session_with({"k": raw})
    found = outcome(by_session, session)
    if session.told != ["fetched"] and found[0] is KeyError:  # the codec's encode has refused it
        return
    assert found == outcome(by_codec, None)


@given(value=values | st.none() | st.booleans())
@example(2**63 - 1)
@example("x" * 255)
def test_a_value_is_the_bytes_that_the_codec_makes_of_it(value: Any) -> None:
    def by_session(session: Any) -> Any:
        session["a"]
        session["k"] = value
        return session._sets()["k"]

    assert outcome(by_session, session_with({"a": b"1"})) == outcome(
        lambda _: encode("k", value), None
    )


def test_the_class_is_the_same() -> None:
    native, pure = Values, reference.Values
    own = {"__dict__", "__static_attributes__", "__firstlineno__", "__annotations__"}
    own |= {"__annotate_func__", "__annotations_cache__", "__slots__", "__weakref__", "__new__"}
    assert {*dir(native)} - own == {*dir(pure)} - own
    for name in ("__name__", "__qualname__", "__module__"):
        assert getattr(native, name) == getattr(pure, name)
    assert inspect.getdoc(native) == inspect.getdoc(pure)


@pytest.mark.parametrize("name", ["", "__getitem__", "__setitem__", "_sets"])
def test_its_methods_have_the_same_signatures(name: str) -> None:
    def shape(cls: Any) -> list[tuple[str, Any]]:
        parameters = inspect.signature(getattr(cls, name) if name else cls).parameters.values()
        return [(each.name, each.default) for each in parameters]

    assert shape(Values) == shape(reference.Values)


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, "c"), {}),
    ((1, "c", 3), {}),
    ((1,), {"cookies": "c"}),
    ((), {"cookies": "c", "sessions": 1}),
    ((1, "c"), {"cookies": "c"}),
    ((1, "c"), {"other": 1}),
]


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_they_are_made_alike(args: Any, kwargs: Any) -> None:
    def make(base: Any) -> Any:
        return slots(base(*args, **kwargs))

    native, pure = (outcome(make, base) for base in SESSIONS.values())
    assert native == pure


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.__setitem__(),
        lambda s: s.__setitem__("a"),
        lambda s: s.__setitem__("a", 1, 2),
        lambda s: s.__getitem__(),
        lambda s: s._sets(1),
        lambda s: hasattr(s, "__dict__"),
        lambda s: setattr(s, "other", 1),
        lambda s: s._values,
        lambda s: (s["a"], delattr(s, "_values"), s["a"]),
        lambda s: (s["a"], delattr(s, "_fields"), s["a"]),
        lambda s: (s["a"], delattr(s, "_accessed"), s["a"]),
        lambda s: (s["a"], delattr(s, "_dropped"), s["b"]),
        lambda s: (s["a"], delattr(s, "_closed"), s.__setitem__("a", 1)),
        lambda s: (s["a"], delattr(s, "_assigned"), s.__setitem__("a", 1)),
        lambda s: (s["a"], delattr(s, "_assigned"), s._sets()),
    ],
)
def test_wrong_uses_are_told_alike(use: Callable[[Any], Any]) -> None:
    native, pure = (
        outcome(use, session_with({"a": b"1", "b": b"2"}, base)) for base in SESSIONS.values()
    )
    assert native == pure or (native[0] is pure[0] is TypeError)  # CPython's words on arguments


class Spare(dict[str, Any]):
    """Hands out and takes in no value as it is."""

    def __contains__(self, key: object) -> bool:
        return key == "spare"

    def __getitem__(self, key: str) -> Any:
        return "spare"

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, (value,))


def slot(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda s: setattr(s, f"_{name}", value)


def get(key: Any) -> Callable[[Any], Any]:
    return lambda s: s[key]


def put(key: Any, value: Any = 5) -> Callable[[Any], Any]:
    return lambda s: s.__setitem__(key, its_own(value))


def put_in(name: str, make: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda s: setattr(s, f"_{name}", make())


def refuse(session: Any) -> None:
    session._begun[1] = OSError("refused")


MEMBER_OF_A = MEMBERS[0]
#: What each check of the native twin is there for: it is otherwise there than in most requests.
OTHERWISE: dict[str, tuple[Any, list[Callable[[Any], Any]]]] = {
    "a reserved key": ({"\0x": b"1"}, [get("a"), get("\0x"), put("\0x")]),
    "the empty key": ({"": b"1", "a": b"1"}, [get(""), put(""), get("")]),
    "a key beyond ASCII": ({"é": b"1"}, [get("é"), put("é", 6), get("é")]),
    "a key that is none": ({"a": b"1"}, [get("a"), put("x\udc01"), put("\ud801"), get("\ud801")]),
    "a key of another class": ({"a": b"1"}, [get(Text("a")), put(Text("a")), put(Text("b"))]),
    "a key that is no str": ({"a": b"1"}, [get("a"), get(5), get([]), put(5), put([])]),
    "fields of another class": (Keys(a=b"1"), [get("a"), put("a"), get("a"), put("b")]),
    "fields that are no dict": (MappingProxyType({"a": b"1"}), [get("a"), put("a"), put("b")]),
    "bytes of another class": ({"a": Raw(b"1"), "b": bytearray(b"1")}, [get("a"), get("b")]),
    "values of another class": (
        {"a": b"1"},
        [
            *(get("a"), put_in("values", lambda: Spare(a=1)), get("a"), get("spare")),
            *(put("a"), put("b")),
        ],
    ),
    "changes of another class": (
        {"a": b"1"},
        [
            *(get("a"), put_in("assigned", lambda: Spare(a=b"1")), put("a")),
            *(put_in("assigned", Spare), put("b"), put_in("assigned", list), put("b")),
        ],
    ),
    "a dropped key": ({"a": b"1", "b": b"2"}, [get("b"), lambda s: s.__delitem__("a"), get("a")]),
    "dropped, though there": ({"a": b"1"}, [get("b"), slot("dropped", {"a"}), get("a")]),
    "a value that may change": ({"a": b"\x91\x01"}, [get("a"), put("a"), put("b", [1])]),
    "a field of our own": ({}, [lambda s: setattr(s, "permanent", True), put("a"), put("b")]),
    "an operation": ({"a": b"1"}, [lambda s: s.incr("a"), put("a"), put("b")]),
    "a member": ({MEMBER_OF_A: b"1"}, [get("b"), put("a"), get("a")]),
    "a member of others": ({"b": b"1", MEMBER_OF_A: b"1"}, [get("b"), put("a"), get("a")]),
    "a member beyond ASCII": ({f"{MEMBER}é\0{'0' * 32}": b"1"}, [get("b"), put("é"), put("a")]),
    "beside one beyond ASCII": ({"é": b"1", "a": b"1"}, [get("é"), put("a")]),
    "a sign of a member": ({"a\0m": b"1", "a": b"1"}, [get("a"), put("a")]),
    "one within": ({"\0x\0m": b"1", "a": b"1"}, [get("a"), put("a")]),
    "one in two": ({"\0": b"1", "m": b"1"}, [get("m"), put("m")]),
    "one in two others": ({"a\0": b"1", "m": b"1"}, [get("m"), put("m")]),
    "a name as a member's": ({"\0mx": b"1", "a": b"1"}, [get("a"), put("a")]),
    "a name that is no str": ({5: b"1", "a": b"1"}, [get("a"), put("a")]),
    "closed": ({"a": b"1"}, [get("a"), slot("closed", True), put("a"), get("b")]),
    "closed at first": ({"a": b"1"}, [slot("closed", True), get("a"), put("a")]),
    "refused": ({"a": b"1"}, [get("a"), refuse, put("a"), get("a")]),
    "not accessed": ({"a": b"1"}, [get("a"), slot("accessed", False), put("a"), get("b")]),
    "not accessed, read": ({"a": b"1"}, [get("a"), slot("accessed", False), get("a")]),
    "accessed otherwise": ({"a": b"1"}, [slot("accessed", 0), get("a"), slot("accessed", 1)]),
    "not loaded": ({"a": b"1"}, [put("b"), put("a"), get("a")]),
    "loaded again": ({"a": b"1"}, [get("a"), lambda s: s._begun.clear(), get("a"), put("a")]),
    "begun otherwise": (
        {"a": b"1"},
        [get("a"), slot("begun", ({}, None, {}, {})), get("a")],
    ),
    "begun with less": ({"a": b"1"}, [get("a"), put_in("begun", lambda: [{"a": b"2"}]), get("a")]),
    "not begun": ({"a": b"1"}, [get("a"), slot("begun", None), get("a"), put("a")]),
    "encoded late": ({}, [get("a"), put("a", [1]), lambda s: s["a"].append(2)]),
    "changed within": ({"a": b"\x91\x01"}, [lambda s: s["a"].append(2)]),
    "handed out": ({}, [get("a"), put("a"), lambda s: s._sets().clear(), put("b")]),
    **{
        f"no {name}": ({"a": b"1"}, [get("a"), slot(name, 5), get("b"), put("a"), put("b")])
        for name in ("values", "fields", "baselines", "assigned", "added", "ops")
    },
    "no fields, not accessed": (
        {"a": b"1"},
        [get("a"), slot("fields", False), slot("accessed", False), get("a"), put("a")],
    ),
}


def do_all(stored: Any, uses: list[Callable[[Any], Any]], own: type) -> None:
    """Do it in a session over each twin, and look at both after each step."""
    sessions = [kind(base, own)(stored) for base in SESSIONS.values()]
    for use in (*uses, lambda s: s._sets(), lambda s: s._changes(), dict):
        native, pure = ((outcome(use, session), slots(session)) for session in sessions)
        assert native == pure
        assert sessions[0].told == sessions[1].told


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("case", OTHERWISE)
def test_they_do_the_same_where_it_is_otherwise(case: str, own: type) -> None:
    do_all(*OTHERWISE[case], own)


@pytest.mark.parametrize("raw", RAWS)
def test_they_read_the_same(raw: Any) -> None:
    do_all({"a": raw}, [get("a"), get("a")], Nothing)


@pytest.mark.parametrize("value", VALUES)
def test_they_set_the_same(value: Any) -> None:
    do_all({"a": b"1"}, [get("a"), put("a", value), get("a"), put("b", value)], Nothing)


def test_what_asks_meanwhile_gets_the_same_object() -> None:
    """As another thread may, when the codec is found in Python code."""

    class Asked(Session):
        __slots__ = ("found",)

        def __getattribute__(self, name: str) -> Any:
            if name == "_decode" and not hasattr(self, "found"):
                self.found: list[Any] = []
                self.found.append(self["a"])
            return super().__getattribute__(name)

        def _fetch(self) -> None:
            self._begin({"a": b"\xa3two"})

    session = Asked()
    assert session["a"] is session.found[0] is session["a"]


def test_it_is_weakly_referenced_once_and_hashed_as_before() -> None:
    assert Session.__weakrefoffset__
    assert Session.__dictoffset__ == 0
    assert (Session.__hash__ is None) == (SESSIONS["pure"].__hash__ is None)
