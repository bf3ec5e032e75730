"""No input crashes the native twin of a session's values: neither what comes back while it works.

Objects that are compared, and classes that look attributes up by themselves, run operations in the
middle of others: these take slots away, or put something else into them. Nothing is asserted but
that the process lives, and that a session works when all is over. ``CTXLOCAL_FUZZ_EXAMPLES=20000``
takes longer; .ci/run has it run under AddressSanitizer.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxlocal.sessions.session import Session
from ctxlocal.sessions.values import pure

from ...support.session_twins import IS_NATIVE

EXAMPLES = int(os.environ.get("CTXLOCAL_FUZZ_EXAMPLES", "150"))

pytestmark = [
    pytest.mark.skipif(not IS_NATIVE, reason="the native twin is not built"),
    pytest.mark.timeout(0),
]

SLOTS = [name for name in pure.Values.__slots__ if name != "__weakref__"]


class World:
    """One session, and what is done to it in the middle of something else."""

    def __init__(self) -> None:
        self.plan: list[Callable[[World], object]] = []
        self.depth = 0
        self.session: Any = Hostile(self)

    def surprise(self) -> None:
        """Do what the plan says next."""
        if self.plan and self.depth < 4:
            self.depth += 1
            try:
                self.run(self.plan.pop())
            finally:
                self.depth -= 1

    def run(self, operation: Callable[[World], object]) -> None:
        with suppress(Exception):
            operation(self)


class Hostile(Session):
    """Does something whenever an attribute of the kind that C code looks up is asked for."""

    __slots__ = ("world",)

    def __init__(self, world: World) -> None:
        super().__init__(None, "")
        self.world = world

    def __getattribute__(self, name: str) -> Any:
        if name in ("_decode", "_encode", "_read"):
            self.world.surprise()
        return super().__getattribute__(name)

    def _fetch(self) -> None:
        self._begin(fields_of(self.world))
        self.world.surprise()


class Key:
    """Is compared with every other one, and takes its time for it."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        self.world.surprise()
        return False


class Mourned:
    """Does something when it goes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __del__(self) -> None:
        self.world.surprise()


def fields_of(world: World) -> Any:
    return {"a": b"\xa1x", "b": b"12", "c": b"\xc0", "\0x": b"1"}


def hostile_fields_of(world: World) -> Any:
    return {Key(world, name): b"1" for name in "abc"} | fields_of(world)


NAMES = ["a", "b", "c", "z"]
VALUES = [1, "x" * 40, None, True, -1, 2.5, [1], "é", object()]


def get(name: str) -> Callable[[World], object]:
    return lambda world: world.session[name]


def get_hostile(name: str) -> Callable[[World], object]:
    return lambda world: world.session[Key(world, name)]


def put(name: str, value: Any) -> Callable[[World], object]:
    return lambda world: world.session.__setitem__(name, value)


def sets(world: World) -> object:
    return world.session._sets()


def begin_again(world: World) -> None:
    world.session._begun = [fields_of(world), None, {}, {}]


def make_again(world: World) -> None:
    world.session.__init__(world)


def unload(world: World) -> None:
    world.session._accessed = False
    world.session._begun.clear()


def take_away(slot: str) -> Callable[[World], object]:
    return lambda world: delattr(world.session, slot)


def put_in(slot: str, make: Callable[[World], Any]) -> Callable[[World], object]:
    return lambda world: setattr(world.session, slot, make(world))


def collect(world: World) -> None:
    gc.collect(0)


MADE: list[Callable[[World], Any]] = [
    lambda world: {},
    hostile_fields_of,
    lambda world: {Key(world, name): Mourned(world) for name in NAMES},
    lambda world: {name: Mourned(world) for name in NAMES},
    lambda world: {name: Key(world, name) for name in NAMES},
    Mourned,
    lambda world: [],
    lambda world: [hostile_fields_of(world), None, {}, {}, Mourned(world)],
    lambda world: [5, None],
    lambda world: world.session,
    lambda world: None,
    lambda world: True,
    lambda world: False,
    lambda world: 5,
    lambda world: pure.NOTHING,
    lambda world: pure.NO_NAMES,
]

TOUCHED = ["_begun", "_fields", "_values", "_assigned"]
names, slots = st.sampled_from(NAMES), st.sampled_from(SLOTS)
operations = st.one_of(
    st.builds(get, names),
    st.builds(get, names),
    st.builds(get_hostile, names),
    st.builds(put, names, st.sampled_from(VALUES)),
    st.builds(put, names, st.sampled_from(VALUES)),
    st.builds(put_in, slots, st.sampled_from(MADE)),
    st.builds(
        put_in,
        st.sampled_from(TOUCHED),
        st.sampled_from(MADE),
    ),
    st.builds(take_away, slots),
    st.sampled_from([sets, sets, begin_again, begin_again, make_again, unload, collect]),
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=st.lists(operations, max_size=20), then=st.lists(operations, min_size=1, max_size=20))
def test_the_process_lives(plan: list[Any], then: list[Any]) -> None:
    world = World()
    world.plan = plan
    for operation in then:
        world.run(operation)
    world.plan = []
    session = world.session
    session.__init__(world)
    session._begin({"a": b"\xa1x"})
    assert session["a"] == "x"
    session["a"] = 5
    assert session._sets() == {"a": b"5"}


def test_the_operations_do_something() -> None:
    world = World()
    for operation in (get("a"), put("c", 1), sets, begin_again, get("c"), unload, get("a")):
        operation(world)
    assert world.session._sets() == {"c": b"1"}
