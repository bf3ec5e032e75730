"""The pure twin: what a Local costs the others of its class.

Its values are fast by properties, of which a class can have so many; nobody can take them all.
"""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from typing import Any

import pytest

from ctxlocal.local.pure import attribute

from ..support.twins import IMPLEMENTATIONS

LOCAL: Any = IMPLEMENTATIONS["pure"].Local


@pytest.fixture(params=[{"ident": "thread"}, {"name": "named"}], ids=["plain", "named"])
def fresh(request: pytest.FixtureRequest) -> Any:
    """Make Locals of a class that nobody else's names are in."""
    cls = type("Fresh", (LOCAL,), {})
    return lambda: cls(**request.param)


def fill(local: Any, count: int, stem: str = "name") -> None:
    for number in range(count):
        setattr(local, f"{stem}{number}", number)


def has_property(local: Any, name: str) -> bool:
    return isinstance(inspect.getattr_static(type(local), name, None), property)


def properties(local: Any) -> int:
    return sum(has_property(local, name) for name, _ in local)


def test_names_are_properties_after_another_local_had_thousands(fresh: Any) -> None:
    fill(fresh(), 2000)
    other = fresh()
    fill(other, 60, "other")
    assert properties(other) == 60


def test_names_are_properties_after_many_locals_had_many(fresh: Any) -> None:
    others = [fresh() for _ in range(10)]
    for number, local in enumerate(others):
        fill(local, 70, f"of{number}_")
    last = fresh()
    fill(last, 60, "last")
    assert [properties(local) for local in [*others, last]] == [70] * 10 + [60]


def test_names_that_come_later_are_properties_of_a_local_that_was_there_before(fresh: Any) -> None:
    local = fresh()
    local.early = "early"
    for number in range(10):
        fill(fresh(), 70, f"of{number}_")
    local.late = "late"
    assert (local.early, local.late) == ("early", "late")
    assert properties(local) == 2


def test_a_local_has_so_many_properties_and_all_its_values(fresh: Any) -> None:
    local = fresh()
    fill(local, 2000)
    assert properties(local) == attribute._MOST_SHARED + attribute._MOST_PROPERTIES
    assert list(local) == [(f"name{number}", number) for number in range(2000)]
    assert [getattr(local, name) for name, _ in local] == list(range(2000))


def test_the_class_of_a_local_with_many_names_is_its_own_alone(fresh: Any) -> None:
    local = fresh()
    fill(local, 100)
    assert type(local) is not type(fresh())
    assert type(type(local)()) is type(type(fresh())())
    assert type(local)._ctxlocal_class is local.__class__ is fresh().__class__


def test_the_class_of_a_local_with_many_names_ends_with_it(fresh: Any) -> None:
    local = fresh()
    fill(local, 100)
    cls = weakref.ref(type(local))
    del local
    gc.collect()
    assert cls() is None


def test_a_data_descriptor_comes_before_the_values_of_a_local_with_many_names(fresh: Any) -> None:
    local = fresh()
    fill(local, 100)
    local.__class__.name99 = property(lambda self: "described")
    assert local.name99 == "described"
    with pytest.raises(AttributeError):
        local.name99 = "value"
    del local.__class__.name99
    assert local.name99 == 99


@pytest.mark.parametrize("limit", ["_MOST_SHARED", "_MOST_PROPERTIES"])
def test_two_threads_that_give_a_local_a_class_of_its_own_lose_no_name(
    fresh: Any, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    both_derive = threading.Barrier(2)
    derive = attribute._derive

    def derive_at_once(*arguments: Any) -> Any:
        both_derive.wait()
        return derive(*arguments)

    local = fresh()
    local.first = local.second = 1
    monkeypatch.setattr(attribute, limit, 2)
    monkeypatch.setattr(attribute, "_derive", derive_at_once)
    threads = [
        threading.Thread(target=setattr, args=(local, name, name)) for name in ("one", "other")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name for name in ("one", "other") if has_property(local, name)} == {"one", "other"}
