"""No input from Python crashes the interpreter: operations in any order, with hostile objects.

Nothing is asserted but that the process lives, that a Local works when all is over, and that the
operations do something: each of them succeeds somewhere, and of all that are tried a part. A
longer run: ``CTXLOCAL_FUZZ_EXAMPLES=20000``; a debug build checks the twin's invariants too.
"""

# mypy: disable-error-code="func-returns-value, misc, has-type, no-untyped-call"
# (calls in a tuple of lambdas: what they return is nobody's)

from __future__ import annotations

import copy
import gc
import itertools
import operator
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any

import greenlet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxlocal import flow, ident, scoped

from ..support.new_owner import in_new_owner
from ..support.twins import IMPLEMENTATIONS

EXAMPLES = int(os.environ.get("CTXLOCAL_FUZZ_EXAMPLES", "150"))

pytestmark = [
    pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the native twin is not built"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.timeout(0),
]

M: Any = IMPLEMENTATIONS.get("native", IMPLEMENTATIONS["pure"])


@pytest.fixture(autouse=True)
def _hostile_objects_die_here() -> Iterator[None]:
    """Let what raises when it is collected be collected in these tests, which expect it."""
    yield
    for _ in range(3):  # one that dies may let go of another
        gc.collect()


class World:
    """What the operations work on; small, so that they meet."""

    def __init__(self) -> None:
        self.depth = 0
        self.plan: list[Callable[[], object]] = []
        self.owner: Any = self
        self.var: ContextVar[Any] = ContextVar("fuzz")
        idents: tuple[Any, ...] = (None, "context", "thread", "greenlet", "task", self.who)
        self.locals: list[Any] = [M.Local(ident=each) for each in idents]
        self.locals += [M.Local(ident="thread", carry=True), M.Local(self.var), self.conn()]
        self.stacks: list[Any] = [M.LocalStack(ident=each) for each in idents]
        self.contexts = [Context() for _ in range(2)]
        self.frames = [flow.Frame()]
        self.snapshots: list[Any] = []
        self.proxies: list[Any] = [local("a") for local in self.locals]
        self.proxies += [stack() for stack in self.stacks]
        self.proxies += [M.LocalProxy(self.resolve), M.LocalProxy(self.var), M.LocalProxy(self.who)]
        self.kept: list[Any] = []

    def conn(self) -> Any:
        world = self

        class Conn(M.Local):
            label = "class attribute"

            def __init__(self, *args: Any) -> None:
                world.surprise()
                self.a = args

            @property
            def fixed(self) -> Any:
                world.surprise()
                return 1

        return Conn(1)

    def who(self) -> Any:
        self.surprise()
        return self.owner

    def resolve(self) -> Any:
        self.surprise()
        return self.locals[0].a

    def surprise(self) -> None:
        """Do what the plan says next, in the middle of something else."""
        if self.plan and self.depth < 4:
            self.depth += 1
            try:
                self.plan.pop()()
            finally:
                self.depth -= 1


class Hostile:
    """Does something at every occasion, and may return anything."""

    def __init__(self, world: World, answer: Any) -> None:
        self.__dict__.update(world=world, answer=answer)

    def __getattr__(self, name: str) -> Any:
        self.world.surprise()
        return self.answer

    def act(self, *args: Any) -> Any:
        self.world.surprise()
        if isinstance(self.answer, type) and issubclass(self.answer, BaseException):
            raise self.answer("hostile")
        return self.answer

    __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __next__ = __call__ = act
    __add__ = __radd__ = __iadd__ = __getitem__ = __contains__ = __index__ = act
    __repr__ = __str__ = __int__ = __float__ = __enter__ = __exit__ = __await__ = act
    __del__ = act
    __format__ = __dir__ = __bytes__ = __fspath__ = __pow__ = __lt__ = act


class Name(str):
    """A name that acts when it is hashed or compared."""

    world: World

    def __hash__(self) -> int:
        self.world.surprise()
        return hash(str.__str__(self))

    def __eq__(self, other: object) -> bool:
        self.world.surprise()
        return str.__eq__(self, other) is True


def name(world: World, number: int) -> Any:
    if number % 16 == 0:
        made = Name("abc"[number % 3])
        made.world = world
        return made
    if number % 16 == 1:
        return (5, None, b"a", "\ud800", "", "__dict__", "__class__", "x" * 5000)[number % 8]
    return ("a", "b", "label", "fixed", f"n{number % 1500}")[number % 5]


ANSWERS: tuple[Any, ...] = (
    None,
    0,
    1,
    "x",
    [],
    ValueError,
    RuntimeError,
    AttributeError,
    StopIteration,
    10**30,
)


def value(world: World, number: int) -> Any:
    kind = number % 8
    if kind < 3:
        return Hostile(world, ANSWERS[number % len(ANSWERS)])
    if kind == 3:
        return world.proxies[number % len(world.proxies)]
    if kind == 4:
        return world.locals[number % len(world.locals)]
    return (number, [number], object(), {"a": number})[number % 4]


def at(things: list[Any], number: int) -> Any:
    return things[number % len(things)]


outcomes: Counter[str] = Counter()


def operation(world: World, kind: int, a: int, b: int, c: int) -> bool:
    """Do one of the operations; whether it raised nothing."""
    try:
        at(operations(world, a, b, c), kind)()
    except Exception:
        outcomes["raised"] += 1
        return False
    outcomes["succeeded"] += 1
    return True


def operations(world: World, a: int, b: int, c: int) -> list[Callable[[], Any]]:
    local, stack, p = at(world.locals, a), at(world.stacks, a), at(world.proxies, a)
    context = at(world.contexts, a)
    return [
        lambda: setattr(local, name(world, b), value(world, c)),
        lambda: setattr(local, "a", value(world, c)),
        lambda: setattr(local, "b", value(world, c)),
        lambda: getattr(local, name(world, b)),
        lambda: delattr(local, name(world, b)),
        lambda: list(local),
        lambda: dir(local),
        lambda: local.__dict__.__setitem__(name(world, b), value(world, c)),
        lambda: local.__dict__.update({5: 6} if c % 2 else {"a": 7}),
        lambda: local.__dict__.clear(),
        lambda: M.release_local(local),
        lambda: M.release_local(stack),
        lambda: stack.push(value(world, b)),
        lambda: stack.push(value(world, b)),
        stack.pop,
        lambda: stack.top,
        lambda: stack.pushed(value(world, b)).__enter__(),
        lambda: world.kept.append(scoped(local, a=value(world, b))) or world.kept[-1].__enter__(),
        lambda: at(world.kept, b).__exit__(None, None, None),
        lambda: world.kept.append(copy.copy(local)),
        lambda: world.kept.append(copy.copy(stack)),
        lambda: context.run(operation, world, b, c, a, b),
        lambda: copy_context().run(operation, world, b, c, a, b),
        lambda: world.contexts.append(copy_context()),
        lambda: len(world.contexts) > 1 and world.contexts.pop(),
        lambda: at(world.frames, a).run(operation, world, b, c, a, b),
        lambda: world.frames.append(flow.Frame()),
        lambda: world.snapshots.append(flow.snapshot()),
        lambda: at(world.snapshots, a).run(operation, world, b, c, a, b),
        lambda: greenlet.greenlet(operation).switch(world, b, c, a, b),
        lambda: in_thread(world, b, c, a),
        lambda: ident.set_default(("context", "thread", "greenlet")[b % 3], discard=bool(c % 3)),
        lambda: setattr(world, "owner", (5, None, [], object(), world, "x", Hostile)[b % 7]),
        lambda: world.plan.append(lambda: operation(world, b, c, a, b)),
        lambda: world.plan.append(lambda: operation(world, b, c, a, b)),
        gc.collect,
        lambda: [v.set(value(world, b)) for v in copy_context() if v.name == "ctxlocal"],
        lambda: [v.set(copy_context().get(w)) for v in copy_context() for w in copy_context()],
        lambda: world.kept.extend(v.set(v.get()) for v in copy_context()),
        lambda: world.locals.__setitem__(a % len(world.locals), M.Local()),
        lambda: world.stacks.__setitem__(a % len(world.stacks), M.LocalStack()),
        lambda: world.proxies.append(M.LocalProxy(value(world, b), at([None, "a", "a.b", 5], c))),
        lambda: world.proxies.append(M.proxy(local, "a", like=at([int, list, dict, type], b))),
        lambda: type(p).__init__(p, at([local, stack, world.resolve, 5], b), "a"),
        lambda: operation_on_proxy(p, b, value(world, c)),
        lambda: operation_on_proxy(p, b, value(world, c)),
        lambda: world.var.set(value(world, b)),
        lambda: local.__init__(),
        lambda: stack.__init__(ident=("thread", "context")[b % 2]),
        # deallocations that nest, and recursion that does not end
        lambda: world.kept.append(nest([copy_context(), value(world, b), local], DEPTHS[c % 4])),
        lambda: world.kept.append(nest([stack, context.copy(), p], DEPTHS[c % 4])),
        lambda: world.kept and world.kept.pop(b % len(world.kept)),
        lambda: world.kept.clear(),
        lambda: setattr(local, "a", at(world.proxies, b)),
        lambda: stack.push(at(world.proxies, b)),
        lambda: world.var.set(M.LocalProxy(world.var)),
        lambda: world.proxies.append(M.LocalProxy(p._get_current_object, at([None, "a"], b))),
        # what is suspended, and ends or is dropped later
        lambda: world.kept.append(suspended(world, b, c, a)),
        lambda: world.kept.extend(
            leaf.copy()
            for leaf in copy_context().values()
            if type(leaf).__name__ in ("Namespace", "Pile")
        ),
        lambda: gc.set_threshold(1 + c % 50),
        lambda: local._ctxlocal_slot.storage.clear(),
        lambda: object.__setattr__(world, "locals", [*world.locals[1:], world.locals[0]]),
    ]


DEPTHS = (3, 48, 60, 9_940) if sys.version_info >= (3, 13) else (3, 48, 50, 60)


def nest(obj: object, depth: int) -> object:
    for _ in range(depth):
        obj = [obj]
    return obj


def suspended(world: World, a: int, b: int, c: int) -> Any:
    """Return a greenlet that did something and waits; what it waits for may never come."""

    back = greenlet.getcurrent()

    def run() -> None:
        operation(world, a, b, c, a)
        try:
            back.switch()
        finally:
            operation(world, b, c, a, b)

    made = greenlet.greenlet(run)
    made.switch()
    return made


def operation_on_proxy(p: Any, kind: int, other: Any) -> None:
    operations: tuple[Callable[[], Any], ...] = (
        *(lambda f=f: f(p) for f in (repr, bool, dir, hash, len, iter, next, int, float, str)),
        *(
            lambda f=f: f(p)
            for f in (bytes, copy.copy, M.is_bound, M.unwrap, list, round, os.fspath)
        ),
        *(lambda f=f: f(p, other) for f in (operator.add, operator.iadd, operator.eq, operator.lt)),
        *(lambda f=f: f(other, p) for f in (operator.add, operator.contains, isinstance, format)),
        *(lambda f=f: f(p, other) for f in (operator.getitem, operator.delitem, pow, divmod)),
        lambda: p(other),
        lambda: setattr(p, "x", other),
        lambda: p.x,
        lambda: delattr(p, "x"),
        lambda: p._get_current_object(),
        lambda: operator.setitem(p, other, 1),
        lambda: pow(p, p, p),
        lambda: p.__wrapped__,
        lambda: memoryview(p),
        lambda: type(p).__enter__(p),
    )
    at(list(operations), kind)()


def in_thread(world: World, a: int, b: int, c: int) -> None:
    thread = threading.Thread(target=operation, args=(world, a, b, c, a))
    thread.start()
    thread.join()


numbers = st.integers(0, 10_000)
steps = st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=5, max_size=60)


def test_each_operation_succeeds_somewhere() -> None:
    """What always failed would try nothing."""

    def run() -> list[int]:
        world = World()
        count = len(operations(world, 0, 0, 0))
        failed = set(range(count))
        for numbers in itertools.product(range(2, 8), range(2, 6), range(2, 5)):
            for kind in sorted(failed):
                if operation(world, kind, *numbers):
                    failed.discard(kind)
            world.plan.clear()
        world.__dict__.clear()
        world.plan, world.depth = [], 9
        return sorted(failed)

    thresholds = gc.get_threshold()
    try:
        assert in_new_owner("thread", run) == []
    finally:
        gc.set_threshold(*thresholds)
        ident.set_default(None, discard=True)


def test_hostile_objects_crash_nothing() -> None:
    outcomes.clear()
    any_order()
    assert outcomes["succeeded"] > outcomes["raised"]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(steps=steps)
def any_order(steps: list[tuple[int, int, int, int]]) -> None:
    thresholds = gc.get_threshold()
    gc.set_threshold(50, 5, 5)

    def run() -> None:
        world = World()
        for step in steps:
            operation(world, *step)
        world.plan.clear()
        for stack in world.stacks:
            with suppress(Exception):
                M.release_local(stack)
        world.__dict__.clear()
        world.plan, world.depth = [], 9

    try:
        in_new_owner("thread", run)  # with which everything ends
        with suppress(Exception):
            ident.set_default(None, discard=True)
        local, stack = M.Local(), M.LocalStack()
        local.x = 1
        stack.push(local.x)
        assert (local.x, stack.pop(), list(local)) == (1, 1, [("x", 1)])
    finally:
        gc.set_threshold(*thresholds)
