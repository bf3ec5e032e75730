"""What leaves the process by name, and what may come in: export and imported."""

from __future__ import annotations

import copy
import enum
import gc
import json
import re
from collections import UserDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import flow
from ctxlocal.errors import UnboundError, WireError
from ctxlocal.flow import wire

from ..support.interleaving import interleavings

ID = "0f7c"


def whole(text: str) -> str:
    return f"^{re.escape(text)}$"


@pytest.fixture
def request_local(impl: ModuleType) -> Iterator[Any]:
    gc.collect()  # of earlier tests, which errors keep
    local = impl.Local(name="request", wire=("request_id", "tenant"))
    yield local
    local.__release_local__()


# What leaves


def test_what_the_wire_names_leaves_and_nothing_else(request_local: Any) -> None:
    request_local.request_id, request_local.password = ID, "secret"
    assert flow.export(request_local) == {"request": {"request_id": ID}}


def test_of_nothing_bound_nothing_leaves(impl: ModuleType, request_local: Any) -> None:
    assert flow.export(request_local) == {}
    assert flow.export() == {}
    other = impl.Local(name="other", wire=["user"])
    other.user = None
    assert flow.export(request_local, other) == {"other": {"user": None}}


@pytest.mark.parametrize(
    "value",
    ["", "é\u2028\U0001f600", 0, -(2**63), 2**63 - 1, 1.5, True, None, [], {"": [{}, [1, "a"]]}],
    ids=repr,
)
def test_a_json_value_arrives_equal_and_shares_nothing(request_local: Any, value: Any) -> None:
    request_local.tenant = value
    exported = flow.export(request_local)
    frame = flow.imported(json.loads(json.dumps(exported)))
    arrived = frame.run(lambda: request_local.tenant)
    assert (type(arrived), arrived) == (type(value), value)
    if isinstance(value, (list, dict)):
        assert exported["request"]["tenant"] is not value
        again = flow.imported(exported).run(lambda: request_local.tenant)
        assert again is not exported["request"]["tenant"]


class Word(str):
    pass


class Level(enum.IntEnum):
    HIGH = 1


EXACTLY = "JSON has str, int, float, bool, None, list and dict, exactly."
NO_JSON = {
    "bytes": (b"x", f"it is or has a bytes. {EXACTLY}"),
    "nan": (float("nan"), "it has a float that is not finite."),
    "infinity": ([float("-inf")], "it has a float that is not finite."),
    "large": (2**63, "it has an int beyond 64 bits."),
    "tuple": (("a",), f"it is or has a tuple. {EXACTLY}"),
    "set": ({"a": {"b"}}, f"it is or has a set. {EXACTLY}"),
    "object": (object(), f"it is or has a object. {EXACTLY}"),
    "a dict's like": (UserDict(), f"it is or has a UserDict. {EXACTLY}"),
    "str's subclass": (Word("w"), f"it is or has a Word. {EXACTLY}"),
    "enum": (Level.HIGH, f"it is or has a Level. {EXACTLY}"),
    "key": ({1: 2}, "it has a key of a dict that is no text, but int."),
    "key's subclass": ({Word("w"): 2}, "it has a key of a dict that is no text, but Word."),
    "half": ("\ud800", "it has text with half a surrogate pair, which is no Unicode."),
    "half a key": ({"\udfff": 1}, "it has a key of a dict that is no text, but str."),
}


@pytest.mark.parametrize("case", NO_JSON)
def test_what_is_no_json_does_not_cross_in_either_direction(request_local: Any, case: str) -> None:
    value, problem = NO_JSON[case]
    text = f"'tenant' of Local 'request' cannot cross to another process: {problem}"
    request_local.tenant = value
    with pytest.raises(WireError, match=whole(text)) as raised:
        flow.export(request_local)
    assert (raised.value.local, raised.value.name) == ("request", "tenant")
    with pytest.raises(WireError, match=whole(text)):
        flow.imported({"request": {"tenant": value}}, request_local)


def nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


def test_so_deep_and_no_deeper(request_local: Any) -> None:
    request_local.tenant = nested(32)
    flow.imported(flow.export(request_local))
    request_local.tenant = nested(33)
    with pytest.raises(WireError, match="more than 32 lists or dicts within one another"):
        flow.export(request_local)
    endless: list[Any] = []
    endless += [endless, endless]
    request_local.tenant = endless
    with pytest.raises(WireError, match="more than 32 lists or dicts within one another"):
        flow.export(request_local)


def test_what_shares_its_parts_is_as_large_as_its_json(request_local: Any) -> None:
    laughs: Any = "ha"
    for _ in range(31):
        laughs = [laughs, laughs]
    request_local.tenant = laughs
    with pytest.raises(WireError, match=r"to another process: it is too large\.$"):
        flow.export(request_local)


def test_a_dict_that_another_thread_changes_meanwhile_leaves_as_it_was_once(
    impl: ModuleType,
) -> None:
    def both() -> tuple[Callable[[], Any], Callable[[], Any]]:
        local = impl.Local(name="request", wire=("tenant",))
        cart: dict[str, Any] = {"apple": [1], "pear": [2]}

        def leave() -> Any:
            local.tenant = cart
            return flow.export(local)["request"]["tenant"]

        return leave, lambda: cart.update(plum=[3])

    for left, _ in interleavings(both, wire):
        assert left in ({"apple": [1], "pear": [2]}, {"apple": [1], "pear": [2], "plum": [3]})


def test_the_limit_is_in_bytes_of_json(request_local: Any) -> None:
    request_local.tenant = "é" * 10
    size = len(json.dumps(flow.export(request_local), separators=(",", ":")))
    data = flow.export(request_local, limit=size)
    flow.imported(data, limit=size)
    text = f"{size} bytes of JSON are to cross, and the limit is {size - 1}."
    with pytest.raises(WireError, match=whole(text)):
        flow.export(request_local, limit=size - 1)
    with pytest.raises(WireError, match=whole(text)):
        flow.imported(data, limit=size - 1)
    request_local.tenant = "x" * 4096
    with pytest.raises(WireError, match="the limit is 4096"):
        flow.export(request_local)


def test_the_values_that_leave_are_the_current_owners(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident, carry=True, name="request", wire=("tenant",))
    local.tenant = "here"
    frame = flow.imported({"request": {"tenant": "there"}}, local)
    assert flow.export(local) == {"request": {"tenant": "here"}}
    assert frame.run(flow.export, local) == {"request": {"tenant": "there"}}
    assert local.tenant == "here"


def test_a_local_without_a_wire_exports_nothing_and_says_so(impl: ModuleType) -> None:
    say = "says of none of its attributes that it may leave the process"
    for local in (impl.Local(), impl.Local(name="app"), impl.Local(name="app", wire=())):
        for use in (flow.export, lambda local: flow.imported({}, local)):
            with pytest.raises(WireError, match=f"^{repr(local)[1:-1]} {say}"):
                use(local)


def test_what_is_no_local_is_refused(impl: ModuleType) -> None:
    local = impl.Local(name="request", wire=("user",))
    others: list[Any] = [impl.LocalStack(name="s"), local("user"), {}]
    for other in others:
        with pytest.raises(TypeError, match=r"^export\(\) takes Locals, not (LocalS|LocalP|dict)"):
            flow.export(other)
        with pytest.raises(TypeError, match=r"^imported\(\) takes Locals, not "):
            flow.imported({}, other)


# What a wire may be


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"wire": "user"}, TypeError, "has to be a tuple of names, not 'user'."),
        ({"wire": None}, TypeError, "has to be a tuple of names, not None."),
        ({"wire": (1,)}, TypeError, "has 1 in it, which is no name."),
        ({"wire": (Word("user"),)}, TypeError, "has 'user' in it, which is no name."),
        ({"wire": ("a b",)}, ValueError, "has 'a b' in it, which is no name of an attribute"),
        ({"wire": ("",)}, ValueError, "has '' in it, which is no name of an attribute"),
        ({"wire": ("__dict__",)}, ValueError, "has '__dict__' in it, which is no name of an"),
        ({"wire": ("_ctxlocal_slot",)}, ValueError, "has '_ctxlocal_slot' in it, which is no"),
    ],
)
def test_a_wire_is_names(
    impl: ModuleType, arguments: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=f"^The wire of Local 'app' {re.escape(text)}"):
        impl.Local(name="app", **arguments)


@pytest.mark.parametrize("name", [None, ""])
def test_a_wire_needs_a_name(impl: ModuleType, name: Any) -> None:
    with pytest.raises(ValueError, match="has a wire, but no name by which another process knows"):
        impl.Local(name=name, wire=("user",))


def test_a_wire_needs_values_that_go_along_with_frames(impl: ModuleType, ident: Any) -> None:
    if ident == "context":
        impl.Local(name="app", ident=ident, wire=("user",))
        return
    with pytest.raises(ValueError, match=r"its values stay with their owners.*: carry=True\.$"):
        impl.Local(name="app", ident=ident, wire=("user",))


def test_a_wire_over_a_context_variable(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("var")
    local = impl.Local(var, name="request", wire=("user",))

    def cross() -> None:
        local.user = "ada"
        frame = flow.imported({"request": {"user": "grace"}}, local)
        assert frame.run(flow.export, local) == {"request": {"user": "grace"}}
        assert flow.export(local) == {"request": {"user": "ada"}}

    copy_context().run(cross)


def test_a_subclass_with_its_own_init_takes_no_wire(impl: ModuleType) -> None:
    class Connection(impl.Local):  # type: ignore[name-defined, misc]
        def __init__(self, *wire: str) -> None:
            super().__init__(wire=wire)

    assert Connection()  # no wire is no argument
    with pytest.raises(TypeError, match=r"^Connection defines __init__, which runs anew"):
        Connection("user")


def test_a_data_descriptor_can_leave_and_be_set(impl: ModuleType) -> None:
    class Request(impl.Local):  # type: ignore[name-defined, misc]
        @property
        def user(self) -> Any:
            return self._user

        @user.setter
        def user(self, value: Any) -> None:
            self._user = value

    local = Request(name="request", wire=("user",))
    assert flow.export(local) == {}
    frame = flow.imported({"request": {"user": "ada"}}, local)
    assert frame.run(flow.export, local) == {"request": {"user": "ada"}}


# What may come in


HOSTILE: dict[str, tuple[Any, str, str | None]] = {
    "nothing": (None, "What is to be imported has to be a dict, not NoneType.", None),
    "text": ("{}", "What is to be imported has to be a dict, not str.", None),
    "a subclass": (UserDict(), "What is to be imported has to be a dict, not UserDict.", None),
    "another key": ({1: {}}, "What is to be imported has a key that is no str.", None),
    "no values": (
        {"request": []},
        "What is to be imported of Local 'request' has to be a dict, not list.",
        "request",
    ),
    "another name": (
        {"request": {b"user": 1}},
        "What is to be imported of Local 'request' has a key that is no str.",
        "request",
    ),
    "unknown Local": (
        {"requests": {}},
        "There is no Local 'requests' here that lets anything in. Make it with "
        "Local(name=..., wire=(...)) before; known are 'request'.",
        "requests",
    ),
    "unknown attribute": (
        {"request": {"tenant": 1, "is_admin" * 9: True}},
        f"Local 'request' lets no {('is_admin' * 5)!r} in; its wire has 'request_id', 'tenant'.",
        "request",
    ),
    "a class's": (
        {"request": {"__class__": 1}},
        "Local 'request' lets no '__class__' in; its wire has 'request_id', 'tenant'.",
        "request",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_could_not_have_been_exported_is_refused_and_changes_nothing(
    request_local: Any, case: str
) -> None:
    data, text, local = HOSTILE[case]
    request_local.tenant = "before"
    with pytest.raises(WireError, match=whole(text)) as raised:
        flow.imported(data, request_local)
    assert (raised.value.local, dict(request_local)) == (local, {"tenant": "before"})


def test_no_value_is_in_a_message(request_local: Any) -> None:
    for value in ([b"secret"], {"secret": 1, 1: "secret"}, "secret" * 999):
        with pytest.raises(WireError) as raised:
            flow.imported({"request": {"tenant": value}}, request_local)
        assert "secret" not in str(raised.value)


def test_the_frame_holds_what_came_and_nothing_else(request_local: Any) -> None:
    user = request_local("user")
    request_local.user, request_local.request_id = "ada", "before"
    frame = flow.imported({"request": {"tenant": "acme"}})
    assert frame.run(lambda: dict(request_local)) == {"tenant": "acme"}
    with pytest.raises(UnboundError):
        frame.run(user._get_current_object)
    frame.run(setattr, request_local, "tenant", "changed")
    assert dict(request_local) == {"user": "ada", "request_id": "before"}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(frame.run, lambda: request_local.tenant).result() == "changed"


# Which Local is meant


def test_of_two_of_one_name_the_one_that_is_given_is_meant(impl: ModuleType) -> None:
    one, two = (impl.Local(name="twice", wire=("user",)) for _ in range(2))
    data = {"twice": {"user": "ada"}}
    with pytest.raises(WireError, match=r"^Two Locals with a wire and the name 'twice' live here"):
        flow.imported(data)
    assert flow.imported(data, two).run(lambda: (dict(one), dict(two))) == ({}, {"user": "ada"})
    for use in (flow.export, lambda *locals: flow.imported(data, *locals)):
        with pytest.raises(WireError, match="the name 'twice' are given here"):
            use(one, two)
    flow.export(one, one)
    assert flow.imported({}).run(lambda: dict(one)) == {}  # whom nobody means is in nobody's way


def test_one_that_is_gone_is_no_longer_meant(impl: ModuleType) -> None:
    local = impl.Local(name="gone", wire=("user",))
    flow.imported({"gone": {"user": 1}})
    locals_ = [impl.Local(name="gone", wire=("user",))]
    del local
    gc.collect()
    assert flow.imported({"gone": {"user": 1}}).run(lambda: locals_[0].user) == 1
    locals_.clear()
    gc.collect()
    with pytest.raises(WireError, match=r"^There is no Local 'gone' here"):
        flow.imported({"gone": {"user": 1}})


def test_where_nothing_has_a_wire_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "wired", list)  # other tests' Locals may live still
    with pytest.raises(WireError, match=r"^There is no Local 'request' here .*known are none\.$"):
        flow.imported({"request": {"tenant": "acme"}})


def test_a_copy_lets_nothing_out_and_is_in_nobodys_way(request_local: Any) -> None:
    other = copy.copy(request_local)
    with pytest.raises(WireError, match=r"^Local 'request' says of none"):
        flow.export(other)
    flow.imported({"request": {"tenant": 1}})


def test_a_local_that_is_made_anew_has_the_wire_of_now(impl: ModuleType) -> None:
    local = impl.Local(name="anew", wire=("user",))
    local.__init__(name="anew", wire=("tenant",))
    assert flow.imported({"anew": {"tenant": 1}}).run(lambda: local.tenant) == 1
    with pytest.raises(WireError, match=r"lets no 'user' in; its wire has 'tenant'"):
        flow.imported({"anew": {"user": 1}})


def test_those_that_threads_make_meanwhile_are_in_nobodys_way(
    impl: ModuleType, request_local: Any
) -> None:
    def make(number: int) -> None:
        for _ in range(50):
            impl.Local(name=f"of thread {number}", wire=("user",))
            flow.imported({"request": {"tenant": number}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
