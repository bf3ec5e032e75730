from __future__ import annotations

import abc
import copy
import dataclasses
import gc
import inspect
import itertools
import json
import pickle
import re
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import pytest

from ctxlocal.errors import IdentCallableError, UnknownIdentError

from ..support.new_owner import in_new_owner
from ..support.twins import IMPLEMENTATIONS

# Naming the strategy imports eventlet.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Eventlet is deprecated")

SHARED = ("context",)  # the strategies whose __dict__ is a view


@runtime_checkable
class HasUser(Protocol):
    user: str


@runtime_checkable
class HasRole(Protocol):
    role: str


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


# Attributes


def test_attribute_is_set_read_changed_and_deleted(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.user = "ann"
    assert local.user == "ann"
    local.user = "bob"
    assert local.user == "bob"
    del local.user
    assert not hasattr(local, "user")


def test_attribute_never_set_raises_attribute_error(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    with pytest.raises(
        AttributeError, match=exactly("'Local' object has no attribute 'user'")
    ) as caught:
        _ = local.user
    assert caught.value.name == "user"
    assert caught.value.obj is local


def test_attribute_after_another_one_was_set_raises_the_same_error(
    impl: ModuleType, ident: Any
) -> None:
    local = impl.Local(ident=ident)
    local.other = local.user = 1
    del local.user
    with pytest.raises(AttributeError, match=exactly("'Local' object has no attribute 'user'")):
        _ = local.user


def test_deleting_a_missing_attribute_raises_attribute_error(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    for _ in range(2):
        with pytest.raises(AttributeError, match=exactly("'Local' object has no attribute 'user'")):
            del local.user
        local.other = 1


def test_message_of_a_missing_attribute_names_the_local(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident, name="app")
    text = exactly("Local 'app' has no attribute 'user'")

    def is_missing() -> None:
        with pytest.raises(AttributeError, match=text) as got:
            _ = local.user
        with pytest.raises(AttributeError, match=text) as deleted:
            del local.user
        for caught in (got, deleted):
            assert (caught.value.name, caught.value.obj) == ("user", local)

    is_missing()
    local.user = local.other = 1
    in_new_owner(ident, is_missing)
    assert local.user == 1
    del local.user
    is_missing()
    impl.release_local(local)
    is_missing()
    with pytest.raises(KeyError, match=exactly("'user'")):
        local.__dict__["user"]


def test_what_the_local_has_is_suggested_for_a_missing_attribute(
    impl: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (None, "app"):
        local = impl.Local(name=name)
        local.username = 1
        with pytest.raises(AttributeError) as caught:
            _ = local.user_name
        sys.__excepthook__(caught.type, caught.value, None)
        called = "'Local' object" if name is None else "Local 'app'"
        hint = ": 'username'?" if sys.version_info < (3, 15) else " '.username' instead of"
        said = f"{called} has no attribute 'user_name'. Did you mean{hint}"
        assert said in capsys.readouterr().err


def test_none_is_a_value(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.user = None
    assert local.user is None
    assert hasattr(local, "user")
    assert list(local) == [("user", None)]


def test_in_place_operation_on_an_attribute_is_stored(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.count = 1
    local.count += 2
    assert local.count == 3


@pytest.mark.parametrize("name", ["with space", "", "_private", "__dunder__", "ünïcode", "class"])
def test_any_string_is_a_name(impl: ModuleType, ident: Any, name: str) -> None:
    local = impl.Local(ident=ident)
    setattr(local, name, 1)
    assert getattr(local, name) == 1
    assert dict(local) == {name: 1}
    delattr(local, name)
    assert not hasattr(local, name)


def test_name_that_is_no_string_is_refused(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    with pytest.raises(TypeError, match="attribute name must be string"):
        setattr(local, 5, 1)  # type: ignore[arg-type]
    assert list(local) == []


def test_iteration_gives_pairs_in_the_order_in_which_they_were_first_set(
    impl: ModuleType, ident: Any
) -> None:
    local = impl.Local(ident=ident)
    local.b = 1
    local.a = 2
    local.c = 3
    local.b = 4
    assert list(local) == [("b", 4), ("a", 2), ("c", 3)]


def test_deleted_name_that_is_set_again_comes_last(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.a = 1
    local.b = 2
    del local.a
    local.a = 3
    assert list(local) == [("b", 2), ("a", 3)]


def test_iteration_is_of_one_moment(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.a = 1
    pairs = iter(local)
    local.b = 2
    del local.a
    assert list(pairs) == [("a", 1)]


def test_fresh_local_is_empty_and_reading_it_stores_nothing(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    assert list(local) == []
    assert dict(local) == {}
    assert not hasattr(local, "x")
    assert "x" not in dir(local)


def test_dir_lists_values_and_class_attributes(impl: ModuleType, ident: Any) -> None:
    class Defaults(impl.Local):  # type: ignore[name-defined,misc]
        role = "guest"

    local = Defaults(ident=ident)
    local.user = 1
    names = dir(local)
    assert {"user", "role", "__iter__", "__release_local__"} <= set(names)
    assert names == sorted(names)
    del local.user
    assert "user" not in dir(local)


def test_dir_tells_nothing_of_other_owners(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.user = 1
    assert "user" not in in_new_owner(ident, lambda: dir(local))


# Owners


def test_new_owner_sees_nothing_and_its_values_stay_its_own(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.here = 1

    def elsewhere() -> tuple[dict[str, int], dict[str, int]]:
        before = dict(local)
        local.there = local.here = 2
        return before, dict(local)

    assert in_new_owner(ident, elsewhere) == ({}, {"there": 2, "here": 2})
    assert dict(local) == {"here": 1}


def test_attribute_of_another_owner_cannot_be_deleted(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.user = 1
    with pytest.raises(AttributeError, match=exactly("'Local' object has no attribute 'user'")):
        in_new_owner(ident, lambda: delattr(local, "user"))
    assert local.user == 1


def test_release_drops_the_values_of_the_current_owner_alone(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.user = 1

    def elsewhere() -> dict[str, int]:
        local.user = 2
        impl.release_local(local)
        return dict(local)

    assert in_new_owner(ident, elsewhere) == {}
    assert local.user == 1
    impl.release_local(local)
    assert not hasattr(local, "user")
    local.user = 3
    assert list(local) == [("user", 3)]


def test_release_of_a_fresh_local_does_nothing(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    impl.release_local(local)
    assert list(local) == []


def test_two_locals_do_not_share_values(impl: ModuleType, ident: Any) -> None:
    one, two = impl.Local(ident=ident), impl.Local(ident=ident)
    one.user = 1
    assert not hasattr(two, "user")
    two.user = 2
    assert one.user == 1


def test_copied_context_has_a_snapshot(impl: ModuleType) -> None:
    local = impl.Local(ident="context")
    local.user = "parent"
    child = copy_context()
    local.user = "later"
    local.more = 1
    assert child.run(dict, local) == {"user": "parent"}
    child.run(setattr, local, "user", "child")
    child.run(delattr, local, "user")
    assert dict(local) == {"user": "later", "more": 1}
    assert child.run(dict, local) == {}


def test_release_in_a_copied_context_leaves_the_parents_values(impl: ModuleType) -> None:
    local = impl.Local(ident="context")
    local.user = 1
    copy_context().run(impl.release_local, local)
    assert local.user == 1


def test_first_writes_of_many_threads_at_once_stay_apart(impl: ModuleType) -> None:
    impl.ident.set_default("thread")
    local = impl.Local()
    barrier = threading.Barrier(8)
    seen: list[bool] = []

    def write(number: int) -> None:
        barrier.wait()
        local.value = number
        seen.append(local.value == number and list(local) == [("value", number)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 8
    assert not hasattr(local, "value")


# __dict__


def test_dict_is_the_current_owners_values(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.a = 1
    assert local.__dict__ == {"a": 1}
    assert vars(local) == {"a": 1}
    assert in_new_owner(ident, lambda: dict(local.__dict__)) == {}


def test_dict_is_a_real_one_where_the_values_are_the_owners_alone(
    impl: ModuleType, ident: Any
) -> None:
    values = impl.Local(ident=ident).__dict__
    if ident in SHARED:
        assert isinstance(values, MutableMapping)
    else:
        assert type(values) is dict


def test_dict_writes_through(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    values = local.__dict__
    values["a"] = 1
    values.update(b=2, c=3)
    assert values.setdefault("d", 4) == 4
    assert values.pop("b") == 2
    del values["c"]
    assert (local.a, local.d) == (1, 4)
    assert dict(local) == {"a": 1, "d": 4}
    assert not hasattr(local, "b")
    local.e = 5
    del local.a
    assert values == {"d": 4, "e": 5}
    assert (len(values), list(values), "e" in values, "a" in values) == (2, ["d", "e"], True, False)
    assert repr(values) == "{'d': 4, 'e': 5}"
    assert values.copy() == {"d": 4, "e": 5}
    values.clear()
    assert list(local) == []


def test_those_who_look_past_attribute_access_find_the_values(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident, name="app")
    local.user = "ada"
    inspect.getattr_static(local, "user")  # as debuggers, and completion at a prompt
    with pytest.raises(AttributeError):
        inspect.getattr_static(local, "role")
    assert isinstance(local, HasUser)  # which asks it from Python 3.12 on
    assert not isinstance(local, HasRole)


@pytest.mark.parametrize("shared", SHARED)
def test_dict_of_shared_values_has_the_operators_of_a_dict(impl: ModuleType, shared: str) -> None:
    local = impl.Local(ident=shared)
    values = local.__dict__
    local.a = 1
    assert isinstance(values, dict)
    assert (values | {"b": 2}, {"a": 0, "b": 2} | values) == ({"a": 1, "b": 2}, {"a": 1, "b": 2})
    values |= {"c": 3}
    assert local.c == 3
    assert {**values} == dict(values) == {"a": 1, "c": 3}
    assert json.dumps(local.__dict__) == '{"a": 1, "c": 3}'
    del values["a"]
    assert json.dumps(values) == '{"c": 3}'


def test_dict_raises_key_error_for_a_missing_name(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.other = 1
    with pytest.raises(KeyError, match=exactly("'user'")):
        local.__dict__["user"]
    with pytest.raises(KeyError, match=exactly("'user'")):
        del local.__dict__["user"]


def test_value_in_the_dict_comes_before_a_class_attribute(impl: ModuleType, ident: Any) -> None:
    class Defaults(impl.Local):  # type: ignore[name-defined,misc]
        role = "guest"

    local = Defaults(ident=ident)
    local.__dict__["role"] = "admin"
    assert local.role == "admin"
    assert in_new_owner(ident, lambda: local.role) == "guest"


@pytest.mark.parametrize("change", ["set", "delete"])
def test_dict_itself_is_read_only(impl: ModuleType, ident: Any, change: str) -> None:
    local = impl.Local(ident=ident)
    local.user = 1
    text = "'Local' object attribute '__dict__' is read-only"
    named = text.replace("'Local' object", "Local 'app'")
    with pytest.raises(AttributeError, match=exactly(named)):
        impl.Local(ident=ident, name="app").__dict__ = {}
    with pytest.raises(AttributeError, match=exactly(text)):
        setattr(local, "__dict__", {}) if change == "set" else delattr(local, "__dict__")
    assert local.user == 1


# Classes


def test_class_attribute_is_the_default(impl: ModuleType, ident: Any) -> None:
    class Defaults(impl.Local):  # type: ignore[name-defined,misc]
        role = "guest"

    local = Defaults(ident=ident)
    assert local.role == "guest"
    assert list(local) == []
    local.role = "admin"
    assert local.role == "admin"
    assert Defaults.role == "guest"
    assert in_new_owner(ident, lambda: local.role) == "guest"
    del local.role
    assert local.role == "guest"
    with pytest.raises(AttributeError, match=exactly("'Defaults' object has no attribute 'role'")):
        del local.role
    named = Defaults(ident=ident, name="rights")
    assert named.role == "guest"
    with pytest.raises(AttributeError, match=exactly("Defaults 'rights' has no attribute 'role'")):
        del named.role
    with pytest.raises(AttributeError, match=exactly("Defaults 'rights' has no attribute 'rank'")):
        _ = named.rank


def test_class_attribute_changed_later_is_seen(impl: ModuleType, ident: Any) -> None:
    class Defaults(impl.Local):  # type: ignore[name-defined,misc]
        role = "guest"

    local = Defaults(ident=ident)
    local.role = "admin"
    del local.role
    Defaults.role = "visitor"
    assert local.role == "visitor"
    del Defaults.role
    assert not hasattr(local, "role")


class Refusing:
    def __get__(self, obj: object, owner: object = None) -> str:
        return "described"

    def __set__(self, obj: object, value: object) -> None:
        raise AttributeError("refused")


def test_data_descriptor_set_later_comes_before_a_value(impl: ModuleType, ident: Any) -> None:
    class Changing(impl.Local):  # type: ignore[name-defined,misc]
        pass

    cls: Any = Changing
    local = cls(ident=ident)
    local.x = "value"
    p = local("x")
    for described in (Refusing(), property(lambda self: "described")):
        cls.x = described
        assert (local.x, p) == ("described", "described")
        with pytest.raises(AttributeError):
            local.x = 1
        with pytest.raises(AttributeError):
            del local.x
    cls.x = "default"
    assert (local.x, p) == ("value", "value")
    local.x = "changed"
    del cls.x
    assert (local.x, p) == ("changed", "changed")
    del local.x
    assert not hasattr(local, "x")


def test_special_attribute_set_later_is_seen(impl: ModuleType, ident: Any) -> None:
    class Changing(impl.Local):  # type: ignore[name-defined,misc]
        @classmethod
        def made(cls) -> str:
            return cls.__name__

    cls: Any = Changing
    local = cls(ident=ident)
    local.x = 1
    assert local.made() == "Changing"
    cls.made = lambda self: ("replaced", self is local)
    cls.__getattr__ = lambda self, name: f"no {name}"
    cls.__len__ = lambda self: 3
    cls.__doc__ = "Changed."
    assert (local.made(), local.y, local.x) == (("replaced", True), "no y", 1)
    assert (len(local), local.__doc__) == (3, "Changed.")
    del cls.made, cls.__getattr__, cls.__len__
    assert not hasattr(local, "made")
    assert not hasattr(local, "y")


def test_name_with_two_leading_underscores_is_a_name(impl: ModuleType, ident: Any) -> None:
    local = type("Private", (impl.Local,), {"__x": "default"})(ident=ident)
    local.__dict__["__x"] = "value"
    assert getattr(local, "__x") == "value"
    setattr(local, "__x", "changed")
    assert getattr(local, "__x") == "changed"
    delattr(local, "__x")
    assert getattr(local, "__x") == "default"


def test_class_that_a_subclass_claims_is_believed(impl: ModuleType, ident: Any) -> None:
    class Claiming(impl.Local):  # type: ignore[name-defined,misc]
        __class__ = property(lambda self: dict)

    local: Any = Claiming(ident=ident)
    assert isinstance(local, dict)
    assert local.__class__ is dict
    assert isinstance(copy.copy(local), Claiming)


def test_class_of_a_local_can_be_changed(impl: ModuleType, ident: Any) -> None:
    class First(impl.Local):  # type: ignore[name-defined,misc]
        x = "first"

    class Second(impl.Local):  # type: ignore[name-defined,misc]
        x = y = "second"

    local: Any = First(ident=ident)
    local.x = "value"
    local.__class__ = Second
    assert (local.x, local.y, local.__class__) == ("value", "second", Second)
    local.y = "set"
    del local.x
    assert (local.x, local.y) == ("second", "set")
    with pytest.raises(TypeError, match="only supported for"):
        local.__class__ = int


def test_a_class_that_a_subclass_describes_is_changed_by_its_setter(
    impl: ModuleType, ident: Any
) -> None:
    class Describing(impl.Local):  # type: ignore[name-defined,misc]
        @property
        def __class__(self) -> type:
            return dict

        @__class__.setter
        def __class__(self, cls: type) -> None:
            changes.append(cls)

    changes: list[type] = []
    local: Any = Describing(ident=ident)
    local.__class__ = list
    assert changes == [list]
    assert local.__class__ is dict


def test_objects_own_setattr_does_not_reach_a_value(impl: ModuleType, ident: Any) -> None:
    class Conn(impl.Local):  # type: ignore[name-defined,misc]
        pass

    local: Any = Conn(ident=ident)
    local.x = 1
    with suppress(AttributeError, TypeError):  # since 3.13 it may go past a native Local
        object.__setattr__(local, "x", 2)
    assert local.x == 1
    with suppress(AttributeError, TypeError):
        object.__delattr__(local, "x")
    assert local.x == 1


def test_objects_own_setattr_reaches_a_data_descriptor_that_came_later(ident: Any) -> None:
    """In the pure twin; a native Local refuses it."""

    class Conn(IMPLEMENTATIONS["pure"].Local):  # type: ignore[misc]
        pass

    class Described:
        def __set__(self, local: Any, value: Any) -> None:
            changes.append((local, value))

        def __delete__(self, local: Any) -> None:
            changes.append(local)

    changes: list[Any] = []
    local: Any = Conn(ident=ident)
    local.x = 1
    Conn.x = Described()
    object.__setattr__(local, "x", 2)
    object.__delattr__(local, "x")
    assert changes == [(local, 2), local]


def test_iteration_gives_what_was_there_though_the_collector_sets_more(
    impl: ModuleType, ident: Any
) -> None:
    """What a finaliser or another thread sets while a list of the attributes is made."""
    local = impl.Local(ident=ident)
    for number in range(50):
        setattr(local, f"first{number}", number)
    more = itertools.count()

    def collected(phase: str, info: dict[str, int]) -> None:
        if (number := next(more)) < 40:
            setattr(local, f"more{number}", None)

    threshold = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        found = [dict(local) for _ in range(3)]
    finally:
        gc.callbacks.remove(collected)
        gc.set_threshold(*threshold)
    assert all(each["first49"] == 49 for each in found)


def test_a_name_that_was_only_asked_for_is_not_kept(impl: ModuleType, ident: Any) -> None:
    class Name(str):
        pass

    local: Any = impl.Local(ident=ident, name="named")
    local.x = 1
    name: Any = Name("y")
    gone = weakref.ref(name)
    assert not hasattr(local, name)
    del name
    gc.collect()
    assert gone() is None


def test_getattribute_of_a_subclass_is_asked_by_proxies(impl: ModuleType, ident: Any) -> None:
    class Counting(impl.Local):  # type: ignore[name-defined,misc]
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            return [found] if name == "x" else found

    local = Counting(ident=ident)
    local.x = 1
    p = local("x")
    assert [local.x, p[0], local.x, p[0]] == [[1], 1, [1], 1]


def test_new_of_a_subclass_sets_attributes_and_may_call_init(impl: ModuleType, ident: Any) -> None:
    class Eager(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __new__(cls, *args: Any) -> Any:
            self = super().__new__(cls)
            self.x = "new"
            return self

    class Twice(impl.Local):  # type: ignore[name-defined,misc]
        def __new__(cls, *args: Any) -> Any:
            self = super().__new__(cls)
            self.__init__(*args)
            return self

    assert Eager().x == "new"
    values: ContextVar[dict[str, int]] = ContextVar("values")
    local = Twice(values)
    values.set({"x": 1})
    assert (local.x, list(local)) == (1, [("x", 1)])


def test_error_of_a_given_mapping_is_no_missing_attribute(impl: ModuleType) -> None:
    class Failing(dict[str, int]):
        def __getitem__(self, name: str) -> int:
            raise ValueError(name)

    values: ContextVar[dict[str, int]] = ContextVar("values")
    local = impl.Local(values)
    values.set(Failing(x=1))
    with pytest.raises(ValueError, match=exactly("x")):
        _ = local.x


def test_order_is_kept_where_a_copied_context_writes(impl: ModuleType) -> None:
    local = impl.Local(ident="context")
    local.a = local.b = local.c = 1
    del local.a
    local.a = 2

    def write() -> list[tuple[str, int]]:
        local.b = 3
        return list(local)

    assert copy_context().run(write) == [("b", 3), ("c", 1), ("a", 2)]
    assert list(local) == [("b", 1), ("c", 1), ("a", 2)]


def test_default_is_back_when_its_value_goes(impl: ModuleType, ident: Any) -> None:
    class Defaults(impl.Local):  # type: ignore[name-defined,misc]
        x = "default"

    local = Defaults(ident=ident)
    for value in ("one", "two"):
        local.x = value
        assert [local.x, local.x] == [value, value]
        del local.x
        assert [local.x, local.x] == ["default", "default"]


def test_slots_and_weak_references_show_as_those_of_a_class(impl: ModuleType) -> None:
    for made in (impl.Local(), impl.LocalStack()):
        assert "__weakref__" in made.__class__.__slots__
        assert hasattr(made, "__slots__")
        reference = weakref.ref(made)
        assert made.__weakref__ is not None
        assert reference() is made
    assert impl.LocalProxy.__slots__ == ()


def test_property_comes_before_a_value(impl: ModuleType, ident: Any) -> None:
    class Guarded(impl.Local):  # type: ignore[name-defined,misc]
        @property
        def double(self) -> int:
            return 2 * int(self.single)

        @double.setter
        def double(self, value: int) -> None:
            self.single = value // 2

        @double.deleter
        def double(self) -> None:
            del self.single

    local = Guarded(ident=ident)
    local.double = 6
    assert dict(local) == {"single": 3}
    assert local.double == 6
    local.__dict__["double"] = 100
    assert local.double == 6
    del local.double
    assert not hasattr(local, "single")


def test_read_only_property_refuses_a_value(impl: ModuleType, ident: Any) -> None:
    class Guarded(impl.Local):  # type: ignore[name-defined,misc]
        @property
        def fixed(self) -> int:
            return 1

    local = Guarded(ident=ident)
    with pytest.raises(AttributeError):
        local.fixed = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del local.fixed
    assert local.fixed == 1
    assert list(local) == []


def test_value_comes_before_a_method(impl: ModuleType, ident: Any) -> None:
    class Named(impl.Local):  # type: ignore[name-defined,misc]
        def name(self) -> str:
            return "method"

    local: Any = Named(ident=ident)
    assert local.name() == "method"
    local.name = "value"
    assert local.name == "value"
    del local.name
    assert local.name() == "method"


def test_slots_of_a_subclass_are_shared_by_all_owners(impl: ModuleType, ident: Any) -> None:
    class Slotted(impl.Local):  # type: ignore[name-defined,misc]
        __slots__ = ("number",)

    local = Slotted(ident=ident)
    local.number = 1
    local.own = 1
    in_new_owner(ident, lambda: setattr(local, "number", 2))
    assert local.number == 2
    assert dict(local) == {"own": 1}
    del local.number
    assert not hasattr(local, "number")


def test_classmethod_and_staticmethod_of_a_local_get_its_own_class(
    impl: ModuleType, ident: Any
) -> None:
    class Made(impl.Local):  # type: ignore[name-defined,misc]
        @classmethod
        def kind(cls) -> type:
            return cls

        @staticmethod
        def answer() -> int:
            return 42

    local = Made(ident=ident)
    assert local.kind() is Made
    local.kind2 = 1  # a value of the same class must not change that
    assert local.kind() is Made
    assert local.answer() == 42


def test_class_of_a_local_is_the_one_that_was_called(impl: ModuleType, ident: Any) -> None:
    class Sub(impl.Local):  # type: ignore[name-defined,misc]
        """A documented one."""

    local = Sub(ident=ident)
    assert local.__class__ is Sub
    assert isinstance(local, Sub)
    assert isinstance(local, impl.Local)
    assert type(local).__name__ == "Sub"
    assert type(local).__qualname__ == Sub.__qualname__
    assert type(local).__module__ == __name__
    assert local.__doc__ == "A documented one."
    assert isinstance(type(local)(ident=ident), Sub)


def test_subclass_hook_of_a_base_runs_once_for_each_subclass(impl: ModuleType) -> None:
    made: list[tuple[str, str]] = []

    class Base(impl.Local):  # type: ignore[name-defined,misc]
        def __init_subclass__(cls, *, table: str, **keywords: Any) -> None:
            super().__init_subclass__(**keywords)
            made.append((cls.__name__, table))

    class Conn(Base, table="users", ident="thread"):
        pass

    conn = Conn()
    conn.x = 1
    assert Conn().__class__ is Conn
    assert made == [("Conn", "users")]


def test_method_of_a_local_changes_its_own_class_by_type(impl: ModuleType, ident: Any) -> None:
    class Counted(impl.Local):  # type: ignore[name-defined,misc]
        made = 0

        def count(self) -> None:
            self.__class__.made += 1

    Counted(ident=ident).count()
    Counted(ident=ident).count()
    assert Counted.made == 2


def test_abstract_local_cannot_be_made(impl: ModuleType, ident: Any) -> None:
    class Abstract(impl.Local, abc.ABC):  # type: ignore[name-defined,misc]
        @abc.abstractmethod
        def close(self) -> None: ...

    class Concrete(Abstract):
        def close(self) -> None:
            self.closed = True

    with pytest.raises(TypeError, match=r"^Can't instantiate abstract class Abstract "):
        Abstract(ident=ident)
    local = Concrete(ident=ident)
    local.close()
    assert local.closed is True


def test_local_can_be_an_abstract_mapping_too(impl: ModuleType, ident: Any) -> None:
    class LocalMapping(impl.Local, Mapping[str, int]):  # type: ignore[name-defined,misc]
        def __getitem__(self, name: str) -> int:
            found: int = self.data[name]
            return found

        def __iter__(self) -> Iterator[str]:
            return iter(self.data)

        def __len__(self) -> int:
            return len(self.data)

    local = LocalMapping(ident=ident)
    local.data = {"a": 1}
    assert dict(local) == {"a": 1}
    assert local.__dict__ == {"data": {"a": 1}}
    assert "data" in dir(local)
    assert copy.copy(local).data is local.data
    assert not in_new_owner(ident, lambda: hasattr(local, "data"))


def test_dataclass_can_be_a_local(impl: ModuleType, ident: Any) -> None:
    @dataclasses.dataclass
    class Point(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        x: int
        y: int = 0

    point = Point(1)
    point.y = 5
    assert (point.x, point.y) == (1, 5)
    assert in_new_owner(ident, lambda: (point.x, point.y)) == (1, 0)
    assert dataclasses.asdict(point) == {"x": 1, "y": 5}


# __init__ of a subclass


def make_init_class(impl: ModuleType, ident: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    calls: list[tuple[Any, ...]] = []

    class Conn(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self, address: str, *, port: int = 80) -> None:
            super().__init__()
            calls.append((address, port))
            self.address = address
            self.port = port

    return Conn, calls


def test_init_runs_anew_with_its_arguments_in_each_owner(impl: ModuleType, ident: Any) -> None:
    Conn, calls = make_init_class(impl, ident)
    conn = Conn("host", port=1)
    assert calls == [("host", 1)]
    conn.address = "changed"
    assert in_new_owner(ident, lambda: conn.address) == "host"
    assert calls == [("host", 1)] * 2
    assert conn.address == "changed"
    assert calls == [("host", 1)] * 2


FIRST_USES = {
    "get": lambda conn: conn.port,
    "get missing": lambda conn: getattr(conn, "missing", None),
    "set": lambda conn: setattr(conn, "port", 2),
    "set other": lambda conn: setattr(conn, "other", 2),
    "delete": lambda conn: delattr(conn, "port"),
    "iter": list,
    "dir": dir,
    "dict": lambda conn: conn.__dict__,
    "copy": copy.copy,
}


@pytest.mark.parametrize("use", FIRST_USES)
def test_init_runs_before_the_first_use_in_an_owner(impl: ModuleType, ident: Any, use: str) -> None:
    Conn, calls = make_init_class(impl, ident)
    conn = Conn("host")

    def elsewhere() -> dict[str, Any]:
        FIRST_USES[use](conn)
        return dict(conn)

    found = in_new_owner(ident, elsewhere)
    assert found["address"] == "host"
    assert found.get("port") == {"set": 2, "delete": None}.get(use, 80)
    assert len(calls) == (3 if use == "copy" else 2)  # the copy has a first use of its own


def test_init_that_sets_nothing_runs_once_for_each_owner(impl: ModuleType, ident: Any) -> None:
    calls: list[int] = []

    class Empty(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self) -> None:
            calls.append(1)

    local = Empty()
    for _ in range(3):
        assert not hasattr(local, "x")
        assert list(local) == []
    assert len(calls) == 1
    local.x = 1
    del local.x
    assert not hasattr(local, "x")
    assert len(calls) == 1


def test_init_runs_anew_after_a_release(impl: ModuleType, ident: Any) -> None:
    Conn, calls = make_init_class(impl, ident)
    conn = Conn("host")
    conn.address = "changed"
    impl.release_local(conn)
    assert conn.address == "host"
    assert len(calls) == 2


def test_init_does_not_run_in_a_context_that_was_copied_with_values(impl: ModuleType) -> None:
    Conn, calls = make_init_class(impl, "context")
    conn = Conn("host")
    assert copy_context().run(lambda: conn.address) == "host"
    assert len(calls) == 1


def test_init_that_raises_passes_on_and_is_tried_again(impl: ModuleType, ident: Any) -> None:
    fails = False

    class Conn(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self) -> None:
            self.opened = True
            if fails:
                raise OSError("no route")
            self.ready = True

    conn = Conn()
    fails = True

    def elsewhere() -> bool:
        nonlocal fails
        for use in (lambda: conn.ready, lambda: setattr(conn, "x", 1), lambda: list(conn)):
            with pytest.raises(OSError, match=exactly("no route")):
                use()
        fails = False
        return bool(conn.ready) and dict(conn) == {"opened": True, "ready": True}

    assert in_new_owner(ident, elsewhere)
    assert conn.ready


def test_init_that_raises_at_once_leaves_nothing_behind(impl: ModuleType, ident: Any) -> None:
    class Value:
        pass

    values: list[weakref.ref[Value]] = []

    class Conn(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self) -> None:
            self.value = Value()
            values.append(weakref.ref(self.value))
            raise OSError("no route")

    def make() -> None:
        with pytest.raises(OSError, match=exactly("no route")):
            Conn()

    in_new_owner(ident, make)
    gc.collect()
    assert values[0]() is None


def test_init_may_read_its_own_values(impl: ModuleType, ident: Any) -> None:
    class Conn(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self) -> None:
            if not hasattr(self, "count"):
                self.count = 0
            self.count += 1

    conn = Conn()
    assert conn.count == 1
    assert in_new_owner(ident, lambda: conn.count) == 1


def test_init_is_inherited_with_the_strategy(impl: ModuleType, ident: Any) -> None:
    Conn, calls = make_init_class(impl, ident)

    class Sub(Conn):  # type: ignore[valid-type,misc]
        pass

    sub = Sub("host")
    assert in_new_owner(ident, lambda: sub.address) == "host"
    assert len(calls) == 2


def test_init_cannot_hand_a_strategy_on(impl: ModuleType) -> None:
    class Conn(impl.Local):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__(ident="thread")

    text = (
        "Conn defines __init__, which runs anew in each owner, so its strategy cannot be an "
        'argument. Write: class Conn(Local, ident="...")'
    )
    with pytest.raises(TypeError, match=exactly(text)):
        Conn()


def test_strategy_is_a_class_keyword(impl: ModuleType, ident: Any) -> None:
    class Conn(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        pass

    conn = Conn()
    conn.user = 1
    assert in_new_owner(ident, lambda: hasattr(conn, "user")) is False
    assert conn.user == 1


# Subclasses that define how attributes are found


def test_getattr_of_a_subclass_serves_what_is_missing(impl: ModuleType, ident: Any) -> None:
    asked: list[str] = []

    class Lazy(impl.Local):  # type: ignore[name-defined,misc]
        def __getattr__(self, name: str) -> str:
            asked.append(name)
            if name.startswith("no_"):
                raise AttributeError(name)
            return f"made {name}"

    local = Lazy(ident=ident)
    assert local.user == "made user"
    local.user = "set"
    assert local.user == "set"
    assert in_new_owner(ident, lambda: local.user) == "made user"
    assert asked == ["user", "user"]
    del local.user
    assert local.user == "made user"
    assert not hasattr(local, "no_such")


def test_getattr_of_a_subclass_is_asked_in_place_of_the_message(
    impl: ModuleType, ident: Any
) -> None:
    asked: list[str] = []

    class Lazy(impl.Local):  # type: ignore[name-defined,misc]
        def __getattr__(self, name: str) -> str:
            asked.append(name)
            if name.startswith("no_"):
                raise AttributeError(f"Lazy makes no {name}")
            return f"made {name}"

    local = Lazy(ident=ident, name="lazy")
    local.other = 1
    assert local.user == "made user"
    with pytest.raises(AttributeError, match=exactly("Lazy makes no no_such")):
        _ = local.no_such
    assert asked == ["user", "no_such"]
    with pytest.raises(AttributeError, match=exactly("Lazy 'lazy' has no attribute 'user'")):
        del local.user


def test_getattr_of_a_subclass_is_asked_once_for_each_miss(impl: ModuleType, ident: Any) -> None:
    asked: list[str] = []

    class Lazy(impl.Local, ident=ident):  # type: ignore[name-defined,misc,call-arg]
        def __init__(self) -> None:
            self.ready = True

        def __getattr__(self, name: str) -> str:
            asked.append(name)
            return "made"

    local = Lazy()
    local.user = 1
    assert in_new_owner(ident, lambda: (local.user, local.ready)) == ("made", True)
    assert asked == ["user"]


def test_getattribute_of_a_subclass_sees_each_access(impl: ModuleType, ident: Any) -> None:
    seen: list[str] = []

    class Watched(impl.Local):  # type: ignore[name-defined,misc]
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("_"):
                seen.append(name)
            return super().__getattribute__(name)

    local = Watched(ident=ident)
    local.user = 1
    assert local.user == 1
    assert not hasattr(local, "other")
    assert seen == ["user", "other"]
    named = Watched(ident=ident, name="watch")
    with pytest.raises(AttributeError, match=exactly("Watched 'watch' has no attribute 'other'")):
        _ = named.other
    assert seen == ["user", "other", "other"]


def test_setattr_and_delattr_of_a_subclass_hand_on_to_super(impl: ModuleType, ident: Any) -> None:
    class Upper(impl.Local):  # type: ignore[name-defined,misc]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value.upper())

        def __delattr__(self, name: str) -> None:
            super().__delattr__(f"{name}_x")

    local = Upper(ident=ident)
    local.user_x = "ann"
    assert local.user_x == "ANN"
    del local.user
    assert list(local) == []


def test_setattr_of_a_subclass_may_write_into_the_dict(impl: ModuleType, ident: Any) -> None:
    class Doubling(impl.Local):  # type: ignore[name-defined,misc]
        def __setattr__(self, name: str, value: Any) -> None:
            self.__dict__[name] = value * 2

        def __delattr__(self, name: str) -> None:
            del self.__dict__[name]

    local = Doubling(ident=ident)
    local.user = 1
    assert local.user == 2
    del local.user
    assert list(local) == []


# Many names


@pytest.mark.parametrize("count", [600, 1100])
def test_any_number_of_names(impl: ModuleType, ident: Any, count: int) -> None:
    local = impl.Local(ident=ident)
    names = [f"name{number}" for number in range(count)]
    for number, name in enumerate(names):
        setattr(local, name, number)
    assert [getattr(local, name) for name in names] == list(range(count))
    assert list(local) == list(zip(names, range(count), strict=True))
    delattr(local, names[3])
    delattr(local, names[-3])
    setattr(local, names[-1], -1)
    for name in (names[3], names[-3]):
        with pytest.raises(
            AttributeError, match=exactly(f"'Local' object has no attribute {name!r}")
        ):
            getattr(local, name)
        with pytest.raises(
            AttributeError, match=exactly(f"'Local' object has no attribute {name!r}")
        ):
            delattr(local, name)
    assert len(local.__dict__) == count - 2
    assert in_new_owner(ident, lambda: (dict(local), hasattr(local, names[-1]))) == ({}, False)
    setattr(local, names[3], "again")
    assert list(local)[-1] == (names[3], "again")
    assert list(copy.copy(local)) == list(local)
    impl.release_local(local)
    assert list(local) == []
    assert not hasattr(local, names[-1])


def test_names_beyond_the_cached_ones_keep_their_place(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    for number in range(1100):
        setattr(local, f"place{number}", number)
    for number in (0, 1050, 700):
        delattr(local, f"place{number}")
    for number in (700, 1050, 0):
        setattr(local, f"place{number}", number)
    assert [name for name, _ in list(local)[-3:]] == ["place700", "place1050", "place0"]


def test_class_default_of_a_name_beyond_the_cached_ones(impl: ModuleType, ident: Any) -> None:
    class Defaults(impl.Local):  # type: ignore[name-defined,misc]
        late = "default"

    local = Defaults(ident=ident)
    for number in range(1100):
        setattr(local, f"early{number}", number)
    assert local.late == "default"
    local.late = "value"
    assert local.late == "value"
    assert in_new_owner(ident, lambda: local.late) == "default"
    del local.late
    assert local.late == "default"


def test_copied_context_has_a_snapshot_of_many_names(impl: ModuleType) -> None:
    local = impl.Local(ident="context")
    for number in range(1100):
        setattr(local, f"snap{number}", number)
    child = copy_context()
    local.snap1090 = local.snap2 = "later"
    assert child.run(lambda: (local.snap1090, local.snap2)) == (1090, 2)
    child.run(delattr, local, "snap1091")
    assert local.snap1091 == 1091


# Copies, pickles, references


def leave_dead_values(impl: ModuleType) -> None:
    """Let the values of some Locals die, whose memory others may be given."""
    locals = [impl.Local() for _ in range(8)]

    def use() -> None:
        for local in locals:
            for number in range(10):
                setattr(local, f"name_{number}", number)

    Context().run(use)


def test_what_a_snapshot_copies_is_in_one_place(impl: ModuleType) -> None:
    local = impl.Local(ident="thread", carry=True)
    local.user = "ann"
    vars(local)  # from now on a real dict holds the values

    def change() -> None:
        local.user = "bob"
        local.user = "eve"
        assert (local.user, list(local), vars(local)) == ("eve", [("user", "eve")], {"user": "eve"})

    leave_dead_values(impl)
    impl.flow.snapshot().run(change)


def test_what_a_context_copies_of_many_names_is_in_one_place(impl: ModuleType) -> None:
    local = impl.Local()
    names = [f"name_{number}" for number in range(1100)]  # more than have a place of their own

    def change() -> None:
        local.name_0 = "first"
        local.name_0 = "second"
        assert (local.name_0, dict(local)["name_0"]) == ("second", "second")

    def use() -> None:
        for name in names:
            setattr(local, name, None)
        leave_dead_values(impl)
        copy_context().run(change)

    Context().run(use)


def test_copy_is_another_local_with_the_current_values(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.items = [1]
    other = copy.copy(local)
    assert type(other) is type(local)
    assert other.items is local.items
    other.items = 2
    other.more = 3
    assert dict(local) == {"items": [1]}
    assert in_new_owner(ident, lambda: dict(other)) == {}


def test_copy_keeps_the_name_and_has_its_own_address(impl: ModuleType, ident: Any) -> None:
    other = copy.copy(impl.Local(ident=ident, name="app"))
    assert repr(other) == "<Local 'app'>"
    with pytest.raises(AttributeError, match=exactly("Local 'app' has no attribute 'user'")):
        _ = other.user
    local = impl.Local(ident=ident)
    other = copy.copy(local)
    assert repr(other) == f"<Local at {id(other):#x}>"


def test_copy_of_a_subclass_runs_its_init(impl: ModuleType, ident: Any) -> None:
    Conn, _ = make_init_class(impl, ident)
    conn = Conn("host", port=5)
    conn.port = 6
    other = copy.copy(conn)
    assert (other.address, other.port) == ("host", 6)
    assert in_new_owner(ident, lambda: (other.address, other.port)) == ("host", 5)


def test_copy_of_a_local_that_follows_the_default_follows_it_too(impl: ModuleType) -> None:
    other = copy.copy(impl.Local())
    impl.ident.set_default("thread")
    other.user = 1
    assert in_new_owner("thread", lambda: hasattr(other, "user")) is False
    with pytest.raises(impl.errors.IdentInUseError):
        impl.ident.set_default("context")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused_and_says_why(impl: ModuleType, protocol: int) -> None:
    text = (
        "cannot pickle 'Local' object: its values belong to the owners of this process. "
        "Pickle dict(local) instead; copy.copy(local) makes another Local. "
        "One that is a global of a module can be pickled, by reference."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        pickle.dumps(impl.Local(), protocol)
    with pytest.raises(TypeError, match=exactly(text.replace("'Local' object", "Local 'app'"))):
        pickle.dumps(impl.Local(name="app"), protocol)


def test_deep_copy_is_refused(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"^cannot pickle 'Local' object: "):
        copy.deepcopy(impl.Local())


def test_weak_reference_dies_with_the_local(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    local.user = 1
    reference = weakref.ref(local)
    assert reference() is local
    del local
    gc.collect()
    assert reference() is None


def test_local_is_hashable_and_equal_to_itself_only(impl: ModuleType, ident: Any) -> None:
    one, two = impl.Local(ident=ident), impl.Local(ident=ident)
    assert one == one
    assert one != two
    assert len({one, two, one}) == 2


def test_repr_names_the_local(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    assert repr(local) == f"<Local at {id(local):#x}>"
    assert repr(impl.Local(ident=ident, name="request")) == "<Local 'request'>"
    assert repr(impl.Local(ident=ident, name="")) == "<Local ''>"


def test_repr_of_a_subclass_has_its_name(impl: ModuleType) -> None:
    class Conn(impl.Local):  # type: ignore[name-defined,misc]
        pass

    conn = Conn()
    assert repr(conn) == f"<Conn at {id(conn):#x}>"


def test_calling_a_local_makes_a_proxy(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    user = local("user", unbound_message="nobody is logged in")
    assert type(user) is impl.LocalProxy
    assert not user
    with pytest.raises(impl.UnboundError, match=exactly("nobody is logged in")):
        user._get_current_object()
    local.user = "ann"
    assert user == "ann"


# A given ContextVar


def test_given_context_var_holds_a_plain_dict(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local = impl.Local(var)
    assert list(local) == []
    local.a = 1
    local.b = 2
    assert type(var.get()) is dict
    assert var.get() == {"a": 1, "b": 2}
    del local.a
    assert var.get() == {"b": 2}
    impl.release_local(local)
    assert var.get() == {}


def test_given_context_var_is_read_as_it_is_now(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local = impl.Local(var)
    local.a = 1
    token = var.set({"b": 2})
    assert dict(local) == {"b": 2}
    assert not hasattr(local, "a")
    assert local.b == 2
    var.reset(token)
    assert dict(local) == {"a": 1}


@pytest.mark.skipif(sys.version_info < (3, 14), reason="a Token is a context manager since 3.14")
def test_given_context_var_has_its_values_back_after_a_with_block(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local: Any = impl.Local(var)
    local.x = 1
    token: Any = var.set({"x": 2})
    with token:
        local.x = local.y = 3
    assert dict(local) == {"x": 1}


def test_given_dict_is_never_changed_in_place(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    mine = {"a": 1}
    var.set(mine)
    local = impl.Local(var)
    local.b = 2
    del local.a
    local.__dict__["c"] = 3
    assert mine == {"a": 1}
    assert var.get() == {"b": 2, "c": 3}


def test_given_context_var_keeps_insertion_order(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local = impl.Local(var)
    local.a, local.b = 1, 2
    del local.a
    local.a = 3
    assert list(local) == [("b", 2), ("a", 3)]


def test_two_locals_on_one_context_var_share_values(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    one, two = impl.Local(var), impl.Local(var)
    one.a = 1
    assert two.a == 1


def test_copy_of_a_local_on_a_given_context_var_does_not_share_it(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local = impl.Local(var)
    local.a = 1
    other = copy.copy(local)
    other.b = 2
    assert dict(other) == {"a": 1, "b": 2}
    assert var.get() == {"a": 1}


def test_dict_of_a_local_on_a_given_context_var_changes_no_copy(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local = impl.Local(var)
    local.a = 1
    before, copied = var.get(), copy_context()
    local.__dict__["a"] = 2
    assert before == {"a": 1}
    assert copied.run(lambda: local.a) == 1
    assert var.get() == {"a": 2}


def test_given_context_var_is_isolated_by_contexts(impl: ModuleType) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    local = impl.Local(var)
    local.a = 1
    child = copy_context()
    child.run(setattr, local, "a", 2)
    assert local.a == 1
    assert child.run(lambda: local.a) == 2
    assert in_new_owner("context", lambda: dict(local)) == {}


# Bad input


def test_context_var_and_ident_together_are_refused(impl: ModuleType, ident: Any) -> None:
    var: ContextVar[dict[str, Any]] = ContextVar("given")
    text = (
        "Local 'users' takes a ContextVar or an ident, not both: with a ContextVar the strategy is "
        "context."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        impl.Local(var, ident=ident, name="users")


@pytest.mark.parametrize("wrong", ["thread", 5, {}, ContextVar])
def test_first_argument_that_is_no_context_var_is_refused(impl: ModuleType, wrong: object) -> None:
    text = (
        f"The first argument of Local 'users' has to be a ContextVar, not {wrong!r}. "
        "An identity strategy is given by name: ident=..."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        impl.Local(wrong, name="users")


@pytest.mark.parametrize("wrong", ["gevnt", "", 5, b"thread", int])
def test_unknown_strategy_is_refused(impl: ModuleType, wrong: object) -> None:
    text = (
        f"ident is {wrong!r}, which is no identity strategy. Use one of 'context', 'thread', "
        "'greenlet', 'gevent', 'eventlet', 'task', a strategy object of ctxlocal.ident, or a "
        "callable without arguments that returns the owner."
    )
    with pytest.raises(UnknownIdentError, match=exactly(text)) as caught:
        impl.Local(ident=wrong)
    assert caught.value.ident is wrong


def test_callable_that_needs_arguments_is_refused(impl: ModuleType) -> None:
    def owner(request: object) -> object:
        return request

    text = (
        f"{owner!r} cannot serve as an identity: it needs arguments (missing a required argument: "
        "'request'). It is called without arguments and has to return the owner: any object that "
        "can be weakly referenced, or else a hashable value."
    )
    with pytest.raises(IdentCallableError, match=exactly(text)):
        impl.Local(ident=owner)


def test_callable_that_returns_an_unusable_value_is_refused_at_use(impl: ModuleType) -> None:
    local = impl.Local(ident=lambda: [])
    with pytest.raises(IdentCallableError, match=r"neither weakly referenceable nor hashable"):
        local.user = 1
    with pytest.raises(IdentCallableError, match=r"neither weakly referenceable nor hashable"):
        hasattr(local, "user")


def test_unknown_keyword_is_refused(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'idnet'"):
        impl.Local(idnet="thread")
    with pytest.raises(TypeError):
        impl.Local(None, None)


def test_release_of_something_else_is_refused(impl: ModuleType) -> None:
    with pytest.raises(
        AttributeError, match=exactly("'int' object has no attribute '__release_local__'")
    ):
        impl.release_local(5)
