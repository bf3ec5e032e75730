"""Holds what a Context refers to, in many ways, while a value is set: what is held never changes.

That is what in-place mutation promises (native/layout.h). Each *way* of ``WAYS`` holds what
``take()`` returns in a manner of its own, calls ``write()`` meanwhile and returns what it held;
since Python 3.14 several of these hold it without counting a reference. Each *thing* of
``THINGS`` is a leaf, or something that leads to it, and can be asked later for the value that it
had. A write may itself be such an attack, in a copied Context, a thread or a greenlet.

    python -m tests.support.holding ROUNDS [SEED [THREADS]]

prints what has changed; the exit status is 1 if anything has.
"""

from __future__ import annotations

import functools
import gc
import random
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from types import FrameType
from typing import Any, cast

import greenlet

import ctxlocal

Take = Callable[[], Any]
Write = Callable[[], object]
Way = Callable[["World", Take, Write], Any]

WAYS: dict[str, Way] = {}
KINDS = ("Local", "LocalStack")
DEEPEST = 4
#: Ways whose callbacks come in all threads.
GLOBAL = ("a collection", "a monitor at each instruction")


class World:
    """A Local or LocalStack under the context strategy, and the value that it has to have now."""

    def __init__(self, kind: str, seed: int, others: int) -> None:
        self.random = random.Random(seed)
        self.kind = kind
        self.holder: Any = getattr(ctxlocal, kind)(ident="context")
        self.others: list[ContextVar[int]] = [ContextVar(f"other {i}") for i in range(others)]
        self.context = Context()
        self.number = self.now = 0
        self.depth = 0
        slot = self.holder._ctxlocal_slot if kind == "Local" else self.holder._slot
        self.var: ContextVar[Any] = slot.bound().first

    def run(self, function: Callable[[], object]) -> None:
        """Run in a new Context, in which there is a value and all other variables are set."""

        def begin() -> None:
            for other in self.others:
                other.set(0)
            if self.kind == "LocalStack":
                self.holder.push("below")
                self.holder.push(0)
            self.write()
            function()

        self.context.run(begin)

    def write(self) -> None:
        """Set another value."""
        self.number += 1
        self.now = self.number
        if self.kind == "Local":
            self.holder.value = self.now
        else:
            self.holder.pop()
            self.holder.push(self.now)

    def current(self) -> Any:
        return self.holder.value if self.kind == "Local" else self.holder.top

    def attack(self, way: str, thing: str) -> None:
        """Hold a thing while a value is set; AssertionError where either has not the right one."""
        take, view = THINGS[thing]
        before = self.now
        held = WAYS[way](self, lambda: take(self), self.deeper)
        after = self.now
        seen = view(self, held)
        assert seen == before, f"{self.kind}: {way}, {thing}: {seen} is not {before}"
        assert self.current() == after, f"{self.kind}: {way}, {thing}: {self.current()}, {after}"

    def attack_somewhere(self) -> None:
        """Attack in this way or that, here or elsewhere."""
        ways = [way for way in WAYS if threading.active_count() == 1 or way not in GLOBAL]
        attack = functools.partial(
            self.attack, self.random.choice(ways), self.random.choice([*THINGS])
        )
        place = self.random.choice([*PLACES, None, None, None])
        if place is None:
            attack()
            return
        now, context = self.now, self.context
        self.context = copy_context()
        try:
            PLACES[place](self.context, attack)
            there = self.now
        finally:
            copied, self.context, self.now = self.context, context, now
        assert copied.run(self.current) == there, f"{self.kind}: {place}: what was set is lost"
        assert self.current() == now, f"{self.kind}: {place}: it has changed the Context it left"

    def deeper(self) -> None:
        """Write; or attack again, and write."""
        if self.random.random() < 0.3 and self.depth < DEEPEST:
            self.depth += 1
            try:
                self.attack_somewhere()
            finally:
                self.depth -= 1
        if self.others and self.random.random() < 0.3:
            self.random.choice(self.others).set(self.number)
        self.write()


# Places


def _in_thread(context: Context, function: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            context.run(function)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def _in_greenlet(context: Context, function: Callable[[], None]) -> None:
    child = greenlet.greenlet(function)
    child.gr_context = context
    child.switch()


PLACES: dict[str, Callable[[Context, Callable[[], None]], object]] = {
    "a copied Context": Context.run,
    "a thread": _in_thread,
    "a greenlet": _in_greenlet,
}


# Things: how to take one, and what value it has had since


def _view_leaf(world: World, leaf: Any) -> Any:
    def view() -> Any:
        world.var.set(leaf)
        return world.current()

    return Context().run(view)


def _copy_and_set_another(world: World) -> Context:
    """Return a Context that shares nodes of its map with the current one, but not the map."""
    context = copy_context()
    if world.others:
        world.random.choice(world.others).set(world.number)
    return context


def _copy_and_set_another_there(world: World) -> Context:
    context = copy_context()
    if world.others:
        context.run(world.random.choice(world.others).set, world.number)
    return context


def _view_context(world: World, context: Context) -> Any:
    return context.run(world.current)


def _view_iterator(world: World, pairs: Any) -> Any:
    leaf = next(value for var, value in pairs if var is world.var)
    return _view_leaf(world, leaf)


def _take_token(world: World) -> Any:
    return world.var.set(world.var.get())


THINGS: dict[str, tuple[Callable[[World], Any], Callable[[World, Any], Any]]] = {
    "a leaf": (lambda world: world.var.get(), _view_leaf),
    "a leaf of a Context": (lambda world: copy_context()[world.var], _view_leaf),
    "a Context": (lambda world: copy_context(), _view_context),
    "a Context, another variable set": (_copy_and_set_another, _view_context),
    "a Context with another variable set": (_copy_and_set_another_there, _view_context),
    "an iterator": (lambda world: iter(copy_context().items()), _view_iterator),
    "a token": (_take_token, lambda world, token: _view_leaf(world, token.old_value)),
}


# Ways


def way(name: str) -> Callable[[Way], Way]:
    def add(function: Way) -> Way:
        WAYS[name] = function
        return function

    return add


@way("the evaluation stack")
def _(world: World, take: Take, write: Write) -> Any:
    return (take(), write(), take())[0]


@way("a list that is being made")
def _(world: World, take: Take, write: Write) -> Any:
    return [take(), *[write() for _ in range(2)]][0]


@way("a dict that is being made")
def _(world: World, take: Take, write: Write) -> Any:
    return {1: take(), 2: write()}[1]


@way("a chain of operators")
def _(world: World, take: Take, write: Write) -> Any:
    class Operand:
        def __init__(self, held: Any) -> None:
            self.held = held

        def __add__(self, other: object) -> Operand:
            write()
            return self

    return (Operand(take()) + write() + 1).held


@way("a temporary argument")
def _(world: World, take: Take, write: Write) -> Any:
    def first(held: Any, ignored: object) -> Any:
        write()
        return held

    return first(take(), write())


@way("a borrowed argument")
def _(world: World, take: Take, write: Write) -> Any:
    def same(held: Any) -> Any:
        write()
        return held

    held = take()
    return same(held)


def _pass_on(held: Any, depth: int, write: Write) -> Any:
    if depth:
        return _pass_on(held, depth - 1, write)
    write()
    return held


@way("an argument that is borrowed on and on")
def _(world: World, take: Take, write: Write) -> Any:
    held = take()
    return _pass_on(held, 5, write)


@way("an argument whose variable is overwritten")
def _(world: World, take: Take, write: Write) -> Any:
    def same(held: Any) -> Any:
        sys._getframe(1).f_locals["held"] = None  # since 3.13 this writes
        write()
        gc.collect(0)
        write()
        return held

    held = take()
    return same(held)


@way("an argument whose callers' variables are overwritten")
def _(world: World, take: Take, write: Write) -> Any:
    def overwrite() -> None:
        frame = sys._getframe(2)
        while frame.f_code is _pass_on.__code__:
            frame.f_locals["held"] = None
            frame = cast("FrameType", frame.f_back)
        frame.f_locals["held"] = None
        write()

    held = take()
    return _pass_on(held, 4, overwrite)


@way("an argument whose variable is then deleted")
def _(world: World, take: Take, write: Write) -> Any:
    held = take()
    result = _pass_on(held, 1, write)
    del held
    write()
    return result


@way("a variable that is overwritten while it is used")
def _(world: World, take: Take, write: Write) -> Any:
    held = take()
    held = (held, write(), (held := None))[0]
    write()
    return held


@way("a variable of a class body")
def _(world: World, take: Take, write: Write) -> Any:
    class Body:
        held = take()
        write()

    return Body.held


@way("a global variable")
def _(world: World, take: Take, write: Write) -> Any:
    names = {"take": take, "write": write}
    exec("held = take()\ndef f(): write(); return held\nresult = f()\ndel held\nwrite()", names)
    return names["result"]


@way("a suspended generator")
def _(world: World, take: Take, write: Write) -> Any:
    def generator() -> Generator[Any]:
        held = take()
        while True:
            yield held
            write()

    held = generator()
    next(held)
    write()
    return next(held)


@way("a generator's evaluation stack")
def _(world: World, take: Take, write: Write) -> Any:
    def generator(held: Any) -> Generator[None, None, Any]:
        return (held, (yield), write())[0]

    suspended = generator(take())
    next(suspended)
    write()
    try:
        next(suspended)
    except StopIteration as end:
        return end.value


@way("a coroutine")
def _(world: World, take: Take, write: Write) -> Any:
    class Awaitable:
        def __await__(self) -> Generator[None]:
            yield

    async def coroutine(held: Any) -> Any:
        return (held, await Awaitable(), write())[0]  # type: ignore[func-returns-value]

    suspended: Coroutine[Any, Any, Any] = coroutine(take())
    suspended.send(None)
    write()
    try:
        suspended.send(None)
    except StopIteration as end:
        return end.value


@way("a closure")
def _(world: World, take: Take, write: Write) -> Any:
    held = take()

    def closure() -> Any:
        write()
        return held

    return closure()


@way("a loop's variable")
def _(world: World, take: Take, write: Write) -> Any:
    for held in (take(),):  # noqa: B007
        write()
    return held


@way("a comprehension")
def _(world: World, take: Take, write: Write) -> Any:
    [found] = [(write(), held)[1] for held in [take()]]
    return found


@way("functions written in C")
def _(world: World, take: Take, write: Write) -> Any:
    [held] = map(lambda held: (write(), held)[1], [take()])
    [held] = sorted([held], key=lambda _: str(write()))
    return functools.partial(_pass_on, held, 0, write)()


@way("a pattern")
def _(world: World, take: Take, write: Write) -> Any:
    match take():
        case held if write() is None:
            return held


@way("an exception")
def _(world: World, take: Take, write: Write) -> Any:
    try:
        raise KeyError(take(), write())
    except KeyError as error:
        write()
        return error.args[0]


@way("an exception's frames")
def _(world: World, take: Take, write: Write) -> Any:
    def fail() -> None:
        held = take()  # noqa: F841
        raise KeyError

    try:
        fail()
    except KeyError as error:
        write()
        traceback = cast("Any", error.__traceback__)
        return traceback.tb_next.tb_frame.f_locals["held"]


@way("what locals() returns")
def _(world: World, take: Take, write: Write) -> Any:
    held = take()
    names = locals()
    del held
    write()
    return names["held"]


@way("the collector's lists")
def _(world: World, take: Take, write: Write) -> Any:
    held = take()
    kept = gc.get_referrers(held), gc.get_referents(held)
    write()
    del kept
    write()
    return held


@way("a finaliser of something else")
def _(world: World, take: Take, write: Write) -> Any:
    class Dies:
        def __del__(self) -> None:
            write()

    return (take(), Dies(), write())[0]


@way("a weak reference's callback")
def _(world: World, take: Take, write: Write) -> Any:
    class Dies:
        pass

    dies = Dies()
    reference = weakref.ref(dies, lambda _: write())
    held = take()
    del dies
    assert reference() is None
    return held


@way("a collection")
def _(world: World, take: Take, write: Write) -> Any:
    def callback(phase: str, information: object) -> None:
        if phase == "start":
            write()

    held = take()
    gc.callbacks.append(callback)
    try:
        gc.collect(0)
    finally:
        gc.callbacks.remove(callback)
    return held


@way("a greenlet's evaluation stack")
def _(world: World, take: Take, write: Write) -> Any:
    parent = greenlet.getcurrent()
    child = greenlet.greenlet(lambda: (take(), parent.switch(), write())[0])
    child.gr_context = world.context  # two greenlets in one Context
    child.switch()
    write()
    return child.switch()


@way("while another greenlet of the Context writes")
def _(world: World, take: Take, write: Write) -> Any:
    child = greenlet.greenlet(write)
    child.gr_context = world.context
    return (take(), child.switch())[0]


def _body(held: Any, take: Take) -> Any:
    """What is traced: many instructions, a few lines."""
    several = held
    for _ in (1, 2):
        several = (several, take())[0]
    return (several,
            held)[1]  # fmt: skip


def _writing_in_body(write: Write) -> Callable[[FrameType], None]:
    """Return what writes when a hook is called for ``_body``, but not while it does so."""
    is_busy = False

    def hook(frame: FrameType) -> None:
        nonlocal is_busy
        if not is_busy and frame.f_code is _body.__code__:
            is_busy = True
            write()
            is_busy = False

    return hook


@way("a tracer at each line")
def _(world: World, take: Take, write: Write) -> Any:
    hook = _writing_in_body(write)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        hook(frame)
        return trace

    held = take()
    former = sys.gettrace()
    sys.settrace(trace)
    try:
        return _body(held, take)
    finally:
        sys.settrace(former)


@way("a profiler")
def _(world: World, take: Take, write: Write) -> Any:
    hook = _writing_in_body(write)
    held = take()
    former = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: hook(frame))
    try:
        return _body(held, take)
    finally:
        sys.setprofile(former)


if sys.version_info >= (3, 12):

    @way("a monitor at each instruction")
    def _(world: World, take: Take, write: Write) -> Any:
        monitoring, is_busy = sys.monitoring, False
        events = monitoring.events
        if monitoring.get_tool(3) is not None:  # it is at work further out
            return (take(), write())[0]

        def monitor(code: object, *arguments: object) -> None:
            nonlocal is_busy
            if not is_busy and code is _body.__code__:
                is_busy = True
                write()
                is_busy = False

        held = take()
        monitoring.use_tool_id(3, "holding")
        try:
            for event in (events.INSTRUCTION, events.PY_START, events.PY_RETURN, events.LINE):
                monitoring.register_callback(3, event, monitor)
            chosen = events.INSTRUCTION | events.PY_START | events.PY_RETURN | events.LINE
            monitoring.set_local_events(3, _body.__code__, chosen)
            return _body(held, take)
        finally:
            monitoring.set_local_events(3, _body.__code__, 0)
            monitoring.free_tool_id(3)


# Loops, for what only runs after many turns: specialised instructions, and the JIT


def stack_loop(world: World, turns: int) -> None:
    take: Take = world.var.get
    write: Write = world.write
    for _ in range(turns):
        held = (take(), write(), take())
        assert held[0] is not held[2], "a leaf on the evaluation stack was changed"


def borrowing_loop(world: World, turns: int) -> None:
    take, write = world.var.get, world.write
    for _ in range(turns):
        held = take()
        same = _pass_on(held, 2, write)
        assert same is held is not take(), "a leaf that is an argument was changed"


def temporary_loop(world: World, turns: int) -> None:
    take, write = world.var.get, world.write
    for _ in range(turns):
        held = _pass_on(take(), 1, write)
        assert held is not take(), "a leaf that is a temporary argument was changed"


def generator_loop(world: World, turns: int) -> None:
    take, write = world.var.get, world.write

    def generator() -> Generator[Any]:
        held = take()
        while True:
            yield held

    suspended, before = generator(), world.now
    for _ in range(turns):
        held = next(suspended)
        write()
        assert held is not take(), "a leaf of a suspended generator was changed"
    assert _view_leaf(world, held) == before


def copying_loop(world: World, turns: int) -> None:
    write, current = world.write, world.current
    for _ in range(turns):
        before, context = world.now, copy_context()
        write()
        assert context.run(current) == before, "a copied Context was changed"


def in_place_loop(world: World, turns: int) -> None:
    """Nobody holds anything: the leaf is the same for ever."""
    take, write, current = world.var.get, world.write, world.current
    write()
    first = id(take())
    for _ in range(turns):
        write()
        assert current() == world.now
    assert id(take()) == first, "a leaf that nobody holds was copied"


LOOPS = {
    "stack": stack_loop,
    "borrowing": borrowing_loop,
    "temporary": temporary_loop,
    "generator": generator_loop,
    "copying": copying_loop,
    "in place": in_place_loop,
}


def rounds(count: int, seed: int, found: list[str]) -> None:
    """Attack in random ways; what is wrong is added to ``found``, and ends it."""
    for number in range(seed, seed + count):
        others = (0, 1, 40, 70)[number % 4]
        world = World(KINDS[number // 4 % 2], number, others)
        try:
            for _ in range(20):
                if not found:
                    world.run(world.attack_somewhere)
                    world.context = Context()
        except AssertionError as error:
            found.append(f"round {number}: {error}")


def main(count: int, seed: int = 0, threads: int = 1) -> list[str]:
    """Attack in so many threads at once; return what was found."""
    found: list[str] = []
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6 if threads > 1 else former)
    try:
        workers = [
            threading.Thread(target=rounds, args=(count, seed + 1000 * i, found))
            for i in range(threads - 1)
        ]
        for worker in workers:
            worker.start()
        rounds(count, seed + 1000 * threads, found)
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(former)
    return found


if __name__ == "__main__":
    wrong = main(*(int(each) for each in sys.argv[1:]))
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))
