"""Carrying state across owners: scopes, snapshots, bind, executors and frames."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import re
import sys
import threading
import types
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from functools import partial
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import errors
from ctxlocal.ident.travel import strategies, travelling_strategies

foreign: ContextVar[str] = ContextVar("foreign")


def whole(text: str) -> str:
    """Match exactly this message."""
    return f"^{re.escape(text)}$"


def in_thread(function: Callable[[], Any]) -> Any:
    """Run in another thread, and return or raise what comes of it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def in_greenlet(function: Callable[[], Any]) -> Any:
    import greenlet

    return greenlet.greenlet(function).switch()


class Value:
    """Something that can be seen to die."""


class Owner:
    """What the callable strategy of these tests returns."""


THE_OWNER = Owner()


def the_owner() -> Owner:
    return THE_OWNER


DEFAULTS: dict[str, Any] = {
    "context": "context",
    "thread": "thread",
    "greenlet": "greenlet",
    "gevent": "gevent",
    "task": "task",
    "callable": the_owner,
}


@pytest.fixture(params=DEFAULTS)
def default(request: pytest.FixtureRequest, impl: ModuleType) -> Any:
    """Each strategy as the application's default."""
    gc.collect()  # locals of other tests would have frames exchange more
    impl.ident.set_default(DEFAULTS[request.param])
    return DEFAULTS[request.param]


@pytest.fixture
def lost(impl: ModuleType) -> Iterator[list[errors.ScopeLostError]]:
    """The scopes that were left where they had not been entered."""
    found: list[errors.ScopeLostError] = []
    impl.flow.set_lost_scope_hook(found.append)
    yield found
    impl.flow.set_lost_scope_hook(None)


# Scopes


def test_scoped_restores_the_former_values(impl: ModuleType, default: Any) -> None:
    local = impl.Local()
    local.kept, local.changed = 1, 2
    with impl.scoped(local, changed=3, added=4) as entered:
        assert entered is local
        assert dict(local) == {"kept": 1, "changed": 3, "added": 4}
        local.kept = 5
        del local.added
    assert dict(local) == {"kept": 5, "changed": 2}


def test_scoped_refuses_a_name_that_an_annotated_class_does_not_have(impl: ModuleType) -> None:
    class Base(impl.Local):  # type: ignore[misc, name-defined]
        user: str

    class Request(Base):
        id: OnlyForTypeCheckers = None  # type: ignore[name-defined] # noqa: F821
        limit = 3

    request = Request()
    with impl.scoped(request, user="ada", id=1, limit=4):
        assert (request.user, request.id, request.limit) == ("ada", 1, 4)
    message = (
        f"scoped() of {request!r} was given 'usr', and Request declares no such attribute. "
        "It has id, user; annotate 'usr' there too, or correct the name."
    )
    with pytest.raises(TypeError, match=whole(message)):
        impl.scoped(request, usr="ada")

    class Open(impl.Local):  # type: ignore[misc, name-defined]
        limit = 3

    with impl.scoped(Open(), anything=1):
        pass


def test_scoped_works_with_names_that_were_never_set(impl: ModuleType, default: Any) -> None:
    class Fresh(impl.Local):  # type: ignore[name-defined,misc]
        """A class that has met no name yet."""

    local = Fresh()
    with impl.scoped(local, never_set_before=1):
        assert local.never_set_before == 1
    assert not hasattr(local, "never_set_before")


def test_pushed_restores_the_stack(impl: ModuleType, default: Any) -> None:
    stack = impl.LocalStack()
    stack.push(1)
    with stack.pushed(2) as pushed:
        assert pushed == stack.top == 2
        stack.push(3)
        with stack.pushed(4):
            stack.pop()
            stack.pop()
            assert stack.top == 2
        assert stack.top == 3
    assert stack.pop() == 1
    assert stack.top is None


def test_scopes_restore_after_an_error(impl: ModuleType, default: Any) -> None:
    local, stack = impl.Local(), impl.LocalStack()
    local.value = 1
    with (
        pytest.raises(ZeroDivisionError),
        impl.scoped(local, value=2),
        stack.pushed(1),
    ):
        _ = 1 / 0
    assert local.value == 1
    assert stack.top is None


def test_pushed_refuses_none(impl: ModuleType) -> None:
    stack = impl.LocalStack(name="contexts")
    message = (
        "LocalStack 'contexts'.pushed() takes any object but None, which an empty stack means."
    )
    with pytest.raises(TypeError, match=whole(message)):
        stack.pushed(None)


def test_a_scope_is_entered_once(impl: ModuleType) -> None:
    stack = impl.LocalStack(name="contexts")
    scope = stack.pushed(1)
    message = (
        "This scope of LocalStack 'contexts' is entered already. Make a new one for each with "
        "block."
    )
    with scope, pytest.raises(RuntimeError, match=whole(message)), scope:
        pass
    assert stack.top is None


def test_nested_scopes_left_out_of_order(
    impl: ModuleType, default: Any, lost: list[errors.ScopeLostError]
) -> None:
    local, stack = impl.Local(), impl.LocalStack()
    local.value = 0
    outer, inner = impl.scoped(local, value=1), impl.scoped(local, value=2)
    lower, upper = stack.pushed(1), stack.pushed(2)
    for scope in (outer, inner, lower, upper):
        scope.__enter__()
    for scope in (outer, lower):
        scope.__exit__(None, None, None)
    assert (local.value, stack.top) == (0, None)
    assert lost == []
    for scope in (inner, upper):
        scope.__exit__(None, None, None)
    assert (local.value, stack.top) == (0, None)
    assert len(lost) == 2


def lost_message(target: str, owner: str) -> str:
    return whole(
        f"A scope of {target} was left in {owner}, where it is not (or no longer) entered. "
        "Nothing was restored there. Leave a scope in the owner that entered it, and nested "
        "scopes in reverse order."
    )


def test_a_strict_scope_left_elsewhere_raises(
    impl: ModuleType, lost: list[errors.ScopeLostError]
) -> None:
    local, stack = impl.Local(name="request"), impl.LocalStack(name="contexts")
    for scope, target in (
        (impl.scoped(local, strict=True, value=1), "Local 'request'"),
        (stack.pushed(1, strict=True), "LocalStack 'contexts'"),
    ):
        scope.__enter__()
        message = lost_message(target, "the Context of thread 'MainThread'")
        with pytest.raises(errors.ScopeLostError, match=message) as caught:
            Context().run(scope.__exit__, None, None, None)
        assert caught.value.target == target
        assert lost[-1] is caught.value
        assert isinstance(caught.value, RuntimeError)
    assert (local.value, stack.top) == (1, 1)


def test_a_lost_scope_tells_the_owner_under_the_locals_own_strategy(impl: ModuleType) -> None:
    impl.ident.set_default("context")
    local = impl.Local(ident="thread", name="request")
    scope = impl.scoped(local, strict=True, value=1)
    with scope:
        pass
    message = lost_message("Local 'request'", "thread 'MainThread'")
    with pytest.raises(errors.ScopeLostError, match=message):
        scope.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["context", "thread", "greenlet"])
def test_a_scope_left_in_another_thread_restores_nothing_there(
    impl: ModuleType, name: str, lost: list[errors.ScopeLostError]
) -> None:
    impl.ident.set_default(name)
    local, stack = impl.Local(), impl.LocalStack()
    local.value = 0

    def steps() -> Generator[None, None, None]:
        with impl.scoped(local, value=1), stack.pushed(1):
            yield

    def elsewhere() -> tuple[int, int]:
        local.value = 10
        stack.push(10)
        generator.close()
        return local.value, stack.top

    generator = steps()
    next(generator)
    assert in_thread(elsewhere) == (10, 10)
    assert len(lost) == 2
    assert (local.value, stack.top) == (1, 1)


@pytest.mark.parametrize("name", ["greenlet", "gevent"])
def test_a_scope_left_in_another_greenlet_restores_nothing_there(
    impl: ModuleType, name: str, lost: list[errors.ScopeLostError]
) -> None:
    impl.ident.set_default(name)
    stack = impl.LocalStack()
    scope = stack.pushed(1)
    scope.__enter__()
    in_greenlet(lambda: scope.__exit__(None, None, None))
    assert len(lost) == 1
    assert stack.top == 1


@pytest.mark.parametrize("name", ["context", "task"])
def test_an_async_generator_finalised_in_another_task(
    impl: ModuleType, name: str, lost: list[errors.ScopeLostError]
) -> None:
    impl.ident.set_default(name)
    local, stack = impl.Local(), impl.LocalStack()

    async def steps() -> AsyncGenerator[int, None]:
        with impl.scoped(local, value=1), stack.pushed(1):
            yield 1
            yield 2

    async def start(generator: AsyncGenerator[int, None]) -> tuple[int, int]:
        await generator.__anext__()
        return local.value, stack.top

    async def main() -> None:
        local.value = 0
        closed_elsewhere, abandoned = steps(), steps()
        assert await asyncio.create_task(start(closed_elsewhere)) == (1, 1)
        assert await asyncio.create_task(start(abandoned)) == (1, 1)
        await asyncio.create_task(closed_elsewhere.aclose())
        del abandoned
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (local.value, stack.top) == (0, None)

    asyncio.run(main())
    assert len(lost) == 4


def test_a_context_copied_inside_a_scope_restores_its_own_copy(
    impl: ModuleType, lost: list[errors.ScopeLostError]
) -> None:
    local, stack = impl.Local(), impl.LocalStack()
    local.value = 0
    scopes = impl.scoped(local, value=1), stack.pushed(1)
    for scope in scopes:
        scope.__enter__()
    copied = copy_context()

    def leave() -> tuple[int, object]:
        for scope in scopes:
            scope.__exit__(None, None, None)
        return local.value, stack.top

    assert copied.run(leave) == (0, None)
    assert lost == []
    assert (local.value, stack.top) == (1, 1)


def test_a_scope_inside_a_frame_ends_with_the_next_step(impl: ModuleType, default: Any) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    local.value = 0
    scope = impl.scoped(local, value=1)
    frame.run(scope.__enter__)
    assert local.value == 0
    assert frame.run(getattr, local, "value") == 1
    frame.run(scope.__exit__, None, None, None)
    assert frame.run(hasattr, local, "value") is False
    assert local.value == 0


# Snapshots


def fill(impl: ModuleType) -> tuple[Any, Any]:
    local, stack = impl.Local(), impl.LocalStack()
    local.value = "captured"
    stack.push("captured")
    return local, stack


WHERE = {"here": lambda f: f(), "thread": in_thread, "greenlet": in_greenlet, "ctx": Context().run}


@pytest.mark.parametrize("where", WHERE)
def test_a_snapshot_puts_its_values_in_place(impl: ModuleType, default: Any, where: str) -> None:
    local, stack = fill(impl)
    token = foreign.set("captured")
    snapshot = impl.flow.snapshot()
    local.value = "later"
    stack.push("later")
    foreign.reset(token)

    def job(expected: str = "captured") -> str:
        assert (local.value, stack.pop(), stack.top) == (expected, expected, None)
        assert foreign.get() == expected
        local.value = local.another = "set inside"
        foreign.set("set inside")
        return expected

    for _ in range(2):  # nothing set inside stays
        assert WHERE[where](lambda: snapshot.run(job)) == "captured"
    assert (dict(local), stack.top) == ({"value": "later"}, "later")
    assert foreign.get(None) is None


def test_a_snapshot_passes_arguments_and_errors(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)
    snapshot = impl.flow.snapshot()
    assert snapshot.run(dict, [("a", 1)], b=2) == {"a": 1, "b": 2}
    with pytest.raises(AttributeError):
        snapshot.run(getattr, local, "missing")
    assert local.value == "captured"


def test_a_snapshot_is_reentrant(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)
    snapshot = impl.flow.snapshot()

    def job(depth: int) -> None:
        assert local.value == "captured"
        local.value = depth
        if depth:
            snapshot.run(job, depth - 1)
        assert local.value == depth

    snapshot.run(job, 5)
    assert local.value == "captured"


@pytest.mark.parametrize("name", ["context", "thread", "greenlet", "task"])
def test_a_snapshot_serves_many_threads_at_once(impl: ModuleType, name: str) -> None:
    impl.ident.set_default(name)
    local, stack = fill(impl)
    snapshot = impl.flow.snapshot()
    barrier = threading.Barrier(16)

    def job(number: int) -> tuple[Any, ...]:
        barrier.wait()
        seen = local.value, stack.pop()
        local.value = number
        stack.push(number)
        barrier.wait()
        return *seen, local.value, stack.top

    with ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(snapshot.run, job, number) for number in range(16)]
        results = [job.result() for job in jobs]
        left = [pool.submit(hasattr, local, "value").result() for _ in range(16)]
    assert results == [("captured", "captured", n, n) for n in range(16)]
    assert not any(left)


def test_a_snapshot_copies_shallowly(impl: ModuleType, default: Any) -> None:
    local = impl.Local()
    local.value = shared = ["object"]
    snapshot = impl.flow.snapshot()
    local.value = None
    assert snapshot.run(getattr, local, "value") is shared


def test_a_snapshot_holds_its_locals_weakly(impl: ModuleType) -> None:
    for name in ("context", "thread", "greenlet", "task"):
        impl.ident.set_default(name, discard=True)
        local = impl.Local()
        local.value = Value()
        reference, of_value = weakref.ref(local), weakref.ref(local.value)
        snapshot = impl.flow.snapshot()
        del local
        assert reference() is None
        if name == "context" and impl.IMPLEMENTATION == "pure":
            continue  # its values live as long as their Contexts
        assert of_value() is None
        snapshot.run(int)


def test_a_snapshot_of_nothing_hides_what_is_there(impl: ModuleType, default: Any) -> None:
    local = impl.Local()
    snapshot = impl.flow.snapshot()
    local.value = 1
    assert snapshot.run(hasattr, local, "value") is False
    assert local.value == 1


# What travels


def test_a_thread_local_with_an_ident_of_its_own_stays_at_home(
    impl: ModuleType, default: Any
) -> None:
    at_home = impl.Local(ident="thread")
    travelling = impl.Local(ident="thread", carry=True)
    stack = impl.LocalStack(ident="thread", carry=True)
    following = impl.Local()
    at_home.value = travelling.value = following.value = 1
    stack.push(1)

    def seen() -> tuple[Any, ...]:
        return (
            getattr(at_home, "value", None),
            getattr(travelling, "value", None),
            stack.top,
            getattr(following, "value", None),
        )

    snapshot, frame = impl.flow.snapshot(), impl.flow.Frame()
    assert snapshot.run(seen) == (1, 1, 1, 1)
    assert in_thread(partial(snapshot.run, seen)) == (None, 1, 1, 1)
    assert frame.run(seen) == (1, None, None, None)
    frame.run(setattr, at_home, "value", 2)
    assert seen() == (2, 1, 1, 1)


def test_carry_belongs_to_a_class_too(impl: ModuleType) -> None:
    class_of: Any = types.new_class("Connection", (impl.Local,), {"ident": "thread", "carry": True})
    local = class_of()
    local.value = 1
    assert in_thread(partial(impl.flow.snapshot().run, getattr, local, "value")) == 1


@pytest.mark.parametrize("way", ["frame", "snapshot", "bind"])
def test_the_first_write_ever_made_inside_does_not_stay(
    impl: ModuleType, default: Any, way: str
) -> None:
    """A Local finds its strategy at the first write, which may well be in the first request."""
    assert not travelling_strategies()
    local, stack = impl.Local(), impl.LocalStack()

    def first() -> None:
        local.value = 1
        stack.push(1)

    if way == "frame":
        frame = impl.flow.Frame()
        frame.run(first)
        assert not hasattr(local, "value")
        assert frame.run(lambda: (local.value, stack.top)) == (1, 1)
    elif way == "snapshot":
        impl.flow.snapshot().run(first)
    else:
        impl.flow.bind(first)()
    assert not hasattr(local, "value")
    assert stack.top is None


# bind


def test_bind_runs_with_what_was_there(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)

    def job(first: int, *, second: int) -> tuple[Any, ...]:
        """Documented."""
        return local.value, first, second

    bound = impl.flow.bind(job)
    local.value = "later"
    assert bound(1, second=2) == ("captured", 1, 2)
    assert in_thread(lambda: bound(1, second=2)) == ("captured", 1, 2)
    assert (bound.__name__, bound.__doc__, bound.__wrapped__) == ("job", "Documented.", job)


@pytest.mark.parametrize("name", ["context", "thread", "greenlet", "task"])
def test_one_bound_function_serves_many_threads(impl: ModuleType, name: str) -> None:
    impl.ident.set_default(name)
    local, _ = fill(impl)
    barrier = threading.Barrier(8)

    def job(number: int) -> tuple[Any, ...]:
        barrier.wait()
        seen, local.value = local.value, number
        barrier.wait()
        return seen, local.value

    bound = impl.flow.bind(job)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(bound, range(8))) == [("captured", number) for number in range(8)]


def test_bind_takes_partials_and_methods(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)

    class Job:
        def run(self, number: int) -> tuple[Any, ...]:
            return local.value, number

        async def arun(self, number: int) -> tuple[Any, ...]:
            await asyncio.sleep(0)
            return local.value, number

    bind = impl.flow.bind
    functions = bind(Job().run), bind(partial(Job().run, 1)), bind(partial(partial(Job().run), 1))
    coroutine_functions = bind(Job().arun), bind(partial(Job().arun, 1))
    local.value = "later"
    assert in_thread(lambda: functions[0](1)) == ("captured", 1)
    assert in_thread(functions[1]) == in_thread(functions[2]) == ("captured", 1)
    assert asyncio.run(coroutine_functions[0](1)) == ("captured", 1)
    assert asyncio.run(coroutine_functions[1]()) == ("captured", 1)


def test_bind_serves_threads_timers_and_callbacks(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)
    seen: list[str] = []
    bound = impl.flow.bind(lambda *_: seen.append(local.value))
    impl.release_local(local)
    thread = threading.Thread(target=bound)
    timer = threading.Timer(0, bound)
    for each in (thread, timer):
        each.start()
        each.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(bound).result()
        pool.submit(int).add_done_callback(bound)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(bound)
        future = loop.create_future()
        future.add_done_callback(bound, context=Context())
        future.set_result(None)
        await loop.run_in_executor(None, bound)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert seen == ["captured"] * 7
    assert not hasattr(local, "value")


def test_each_step_of_a_bound_coroutine_function_sees_the_captured_values(
    impl: ModuleType, default: Any
) -> None:
    local, stack = fill(impl)

    async def job(number: int) -> int:
        assert (local.value, stack.top) == ("captured", "captured")
        local.value = number
        stack.push(number)
        for _ in range(3):
            await asyncio.sleep(0)
            assert (local.value, stack.top) == (number, number)
        return number

    bound = impl.flow.bind(job)
    assert iscoroutinefunction(bound)
    impl.release_local(local)

    async def main() -> None:
        assert await asyncio.gather(*(bound(n) for n in range(10))) == list(range(10))
        assert not hasattr(local, "value")

    asyncio.run(main())
    assert not hasattr(local, "value")


def test_a_bound_coroutine_function_is_one(impl: ModuleType) -> None:
    async def job() -> None: ...

    assert iscoroutinefunction(impl.flow.bind(job))
    assert not iscoroutinefunction(impl.flow.bind(int))


def test_a_bound_coroutine_is_cancelled_where_it_waits(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)
    seen = []

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(local.value)
            await asyncio.sleep(0)
            seen.append(local.value)
            raise

    bound = impl.flow.bind(job)
    local.value = "later"

    async def main() -> None:
        local.value = "in main"
        task = asyncio.create_task(bound())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert local.value == "in main"

    asyncio.run(main())
    assert seen == ["captured", "captured"]


def test_a_bound_coroutine_catches_and_raises_as_any_other(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)

    async def job(future: asyncio.Future[None]) -> str:
        try:
            await future
        except ZeroDivisionError:
            return str(local.value)
        raise LookupError("no error")

    async def main() -> None:
        local.value = "captured"
        bound = impl.flow.bind(job)
        local.value = "later"
        futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
        futures[0].set_exception(ZeroDivisionError())
        futures[1].set_result(None)
        assert await bound(futures[0]) == "captured"
        with pytest.raises(LookupError, match=r"^no error$"):
            await bound(futures[1])
        assert local.value == "later"

    asyncio.run(main())


def test_a_bound_coroutine_that_is_closed_early_ends(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)
    seen = []

    class Once:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def job() -> None:
        try:
            await Once()
        finally:
            seen.append(local.value)

    bound = impl.flow.bind(job)
    local.value = "later"
    coroutine = bound()
    coroutine.send(None)
    coroutine.close()
    assert seen == ["captured"]
    assert local.value == "later"
    bound().close()  # before its first step


SPAWN = """
    import {library} as library, threading
    import ctxlocal
    from ctxlocal import Local, LocalStack, flow

    join = {{"gevent": lambda g: g.get(), "eventlet": lambda g: g.wait()}}[library.__name__]
    for strategy in ("context", "greenlet", library.__name__):
        ctxlocal.ident.set_default(strategy, discard=True)
        local, stack = Local(), LocalStack()
        local.value = "captured"
        stack.push("captured")

        def job(number):
            seen = local.value, stack.top
            local.value = number
            library.sleep(0)
            return (*seen, local.value == number)

        bound = flow.bind(job)
        local.value = "later"
        spawned = [library.spawn(bound, number) for number in range(10)]
        assert [join(each) for each in spawned] == [("captured", "captured", True)] * 10
        assert local.value == "later"
        # A frame for each, too.
        spawned = [
            library.spawn(flow.Frame().run, setattr, local, "value", number) for number in range(10)
        ]
        for each in spawned: join(each)
        assert local.value == "later"
        print(strategy)
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
@pytest.mark.parametrize("patched", [False, True])
def test_bind_serves_green_threads(
    library: str, patched: bool, run_python: Callable[..., str]
) -> None:
    script = SPAWN.format(library=library)
    if patched:
        patch = {
            "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
            "eventlet": "import eventlet; eventlet.monkey_patch()",
        }
        script = f"\n    {patch[library]}" + script
    assert run_python(script).split() == ["context", "greenlet", library]


# The executor


@pytest.mark.parametrize("name", ["context", "thread", "greenlet", "task"])
def test_the_executor_carries_and_its_workers_keep_nothing(impl: ModuleType, name: str) -> None:
    impl.ident.set_default(name)
    local, stack = fill(impl)
    token = foreign.set("captured")

    def job() -> tuple[Any, ...]:
        seen = local.value, stack.pop(), foreign.get()
        local.value = local.another = "set in a job"
        stack.push("set in a job")
        foreign.set("set in a job")
        return seen

    def left() -> tuple[Any, ...]:
        return dict(local), stack.top, foreign.get(None)

    with impl.flow.ContextThreadPoolExecutor(1) as pool:
        assert pool.submit(job).result() == ("captured",) * 3
        assert [pool.submit(job).result() for _ in range(3)] == [("captured",) * 3] * 3
        assert list(pool.map(lambda _: job(), range(3))) == [("captured",) * 3] * 3
        assert ThreadPoolExecutor.submit(pool, left).result() == ({}, None, None)
        pending = pool.submit(job)
        local.value = "later"
        assert pending.result() == ("captured",) * 3
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
    foreign.reset(token)
    assert (dict(local), stack.top) == ({"value": "later"}, "captured")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="map has a buffersize since Python 3.14")
def test_map_beyond_its_buffer_has_the_context_of_who_takes_results(impl: ModuleType) -> None:
    local = impl.Local()
    local.value = "mapped"
    with impl.flow.ContextThreadPoolExecutor(1) as pool:
        found = pool.map(lambda _: local.value, range(3), buffersize=1)
        local.value = "taken"
        assert list(found) == ["mapped", "taken", "taken"]


def test_what_a_job_holds_dies_with_it(impl: ModuleType) -> None:
    for name in ("context", "thread", "greenlet"):
        impl.ident.set_default(name, discard=True)
        local = impl.Local()
        references: list[weakref.ref[Value]] = []

        def job(local: Any = local, references: list[Any] = references) -> None:
            local.value = Value()
            references.append(weakref.ref(local.value))

        with impl.flow.ContextThreadPoolExecutor(1) as pool:
            pool.submit(job).result()
            ThreadPoolExecutor.submit(pool, int).result()  # the worker has gone on
            gc.collect()
            assert references[0]() is None


# Frames


def test_a_frame_is_fresh_and_persists_between_steps(impl: ModuleType, default: Any) -> None:
    local, stack = fill(impl)
    frame = impl.flow.Frame()
    assert frame.run(lambda: (list(local), stack.top)) == ([], None)

    def step() -> None:
        local.count = getattr(local, "count", 0) + 1
        stack.push(local.count)

    for _ in range(3):
        frame.run(step)
    assert in_thread(partial(frame.run, getattr, local, "count")) == 3
    assert in_greenlet(partial(frame.run, getattr, local, "count")) == 3
    in_thread(partial(frame.run, step))
    assert frame.run(lambda: (local.count, stack.pop(), stack.pop())) == (4, 4, 3)
    assert (dict(local), stack.top) == ({"value": "captured"}, "captured")
    frame.close()


def test_a_step_leaves_nothing_in_the_thread_that_ran_it(impl: ModuleType, default: Any) -> None:
    local, stack = fill(impl)
    frame = impl.flow.Frame()

    def step() -> None:
        local.value = "in the frame"
        stack.push("in the frame")

    def fail() -> None:
        step()
        raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(lambda: (dict(local), stack.top)).result()
        pool.submit(frame.run, step).result()
        assert pool.submit(lambda: (dict(local), stack.top)).result() == before
        with pytest.raises(ZeroDivisionError):
            pool.submit(frame.run, fail).result()
        assert pool.submit(lambda: (dict(local), stack.top)).result() == before


def test_foreign_context_variables_are_a_copy_and_do_not_flow_out(
    impl: ModuleType, default: Any
) -> None:
    token = foreign.set("creator")
    frame = impl.flow.Frame()
    foreign.set("later")
    assert frame.run(foreign.get) == "creator"
    frame.run(foreign.set, "in the frame")
    assert foreign.get() == "later"
    assert in_thread(partial(frame.run, foreign.get)) == "in the frame"
    foreign.reset(token)


def test_a_frame_of_a_snapshot_starts_with_its_values(impl: ModuleType, default: Any) -> None:
    local, stack = fill(impl)
    snapshot = impl.flow.snapshot()
    first, second = snapshot.frame(), snapshot.frame()
    first.run(setattr, local, "value", "changed")
    assert first.run(getattr, local, "value") == "changed"
    assert second.run(lambda: (local.value, stack.top)) == ("captured", "captured")
    assert snapshot.run(getattr, local, "value") == local.value == "captured"


def test_frames_nest(impl: ModuleType, default: Any) -> None:
    local, _ = fill(impl)
    frames = [impl.flow.Frame() for _ in range(5)]

    def step(depth: int) -> None:
        assert not hasattr(local, "value")
        local.value = depth
        if depth + 1 < len(frames):
            frames[depth + 1].run(step, depth + 1)
        impl.flow.snapshot().run(setattr, local, "value", "lost")
        assert local.value == depth

    frames[0].run(step, 0)
    assert local.value == "captured"
    assert [frame.run(getattr, local, "value") for frame in frames] == list(range(5))


def busy(frame: Any) -> str:
    return whole(
        f"{frame!r} is active already: it can be entered once at a time. Make a Frame for each "
        "request or job."
    )


def test_a_frame_is_entered_while_another_thread_imports_greenlet(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    impl.ident.set_default("thread")
    monkeypatch.setitem(sys.modules, "greenlet", ModuleType("greenlet"))  # nothing is in it yet
    assert impl.flow.Frame().run(int) == 0


def test_a_frame_is_active_in_one_place_at_a_time(impl: ModuleType, default: Any) -> None:
    frame = impl.flow.Frame()

    def enter_again() -> None:
        with pytest.raises(errors.FrameBusyError, match=busy(frame)) as caught:
            frame.run(int)
        assert isinstance(caught.value, RuntimeError)
        assert caught.value.frame is frame

    def step() -> None:
        enter_again()
        in_thread(enter_again)
        in_greenlet(enter_again)

    frame.run(step)
    frame.run(int)  # and is free again


def test_a_frame_that_runs_in_another_thread_is_busy(impl: ModuleType, default: Any) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    inside, end = threading.Event(), threading.Event()

    def step() -> Any:
        local.value = "there"
        inside.set()
        end.wait()
        return local.value

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(frame.run, step)
        inside.wait()
        with pytest.raises(errors.FrameBusyError, match=busy(frame)):
            frame.run(int)
        end.set()
        assert running.result() == "there"
    assert frame.run(getattr, local, "value") == "there"


def test_what_was_set_in_a_frame_can_be_handed_on(impl: ModuleType, default: Any) -> None:
    other: ContextVar[str] = ContextVar("other")
    foreign.set("outside")
    local = impl.Local(name="local")
    frame = impl.flow.Frame()
    assert frame.variables()[foreign] == "outside"
    frame.run(foreign.set, "inside")
    frame.run(other.set, "inside")
    frame.run(setattr, local, "value", "of ours")
    found = frame.variables()
    assert (found[foreign], found[other], foreign.get()) == ("inside", "inside", "outside")
    assert all(var.name != "ctxlocal" for var in found)
    frame.close()
    assert frame.variables() == {}


def test_a_closed_frame_is_refused(impl: ModuleType, default: Any) -> None:
    frame = impl.flow.Frame()
    assert not frame.is_closed
    frame.close()
    frame.close()
    assert frame.is_closed
    message = f"{frame!r} is closed; its values are gone. Make a new one."
    with pytest.raises(errors.FrameClosedError, match=whole(message)):
        frame.run(int)
    with pytest.raises(errors.FrameClosedError, match=whole(message)):
        frame.run(int)
    message = f"{frame!r} is closed; {int!r} would never be called."
    with pytest.raises(errors.FrameClosedError, match=whole(message)):
        frame.callback(int)


def test_closing_drops_the_values(impl: ModuleType, default: Any) -> None:
    local, stack, frame = impl.Local(), impl.LocalStack(), impl.flow.Frame()
    references = []

    def step() -> None:
        local.value = Value()
        stack.push(Value())
        foreign.set("in the frame")
        references.extend([weakref.ref(local.value), weakref.ref(stack.top)])

    frame.run(step)
    assert all(reference() for reference in references)
    frame.close()
    assert [reference() for reference in references] == [None, None]


def test_a_dropped_frame_leaves_nothing(impl: ModuleType, default: Any) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    value = Value()
    reference = weakref.ref(value)
    frame.run(setattr, local, "value", value)
    frame.run(setattr, local, "frame", frame)
    del value, frame
    gc.collect()
    assert reference() is None


def test_callbacks_run_in_the_frame_last_first_even_if_some_raise(
    impl: ModuleType, default: Any
) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    frame.run(setattr, local, "value", "in the frame")
    seen: list[Any] = []

    def callback(number: int, *, fail: bool = False) -> None:
        seen.append((number, local.value))
        if fail:
            raise ValueError(number)

    frame.callback(callback, 1)
    frame.callback(callback, 2, fail=True)
    frame.callback(callback, 3)
    frame.callback(callback, 4, fail=True)
    frame.callback(callback, 5)
    with pytest.raises(ValueError, match=r"^2$") as caught:
        frame.close()
    assert str(caught.value.__context__) == "4"
    assert seen == [(number, "in the frame") for number in (5, 4, 3, 2, 1)]
    frame.close()
    assert len(seen) == 5
    assert not hasattr(local, "value")


def test_a_kept_traceback_keeps_no_value_of_a_closed_frame(impl: ModuleType, default: Any) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    travelling = impl.Local(ident="thread", carry=True)  # so that there is something to exchange
    travelling.value = None
    values = []

    def fail() -> None:
        local.value = {*()}
        values.append(weakref.ref(local.value))
        raise LookupError

    with pytest.raises(LookupError) as kept:
        frame.run(fail)
    frame.close()
    assert [value() for value in values] == [None]
    assert kept.value.__traceback__ is not None


def test_close_while_a_step_runs_waits_for_its_end(impl: ModuleType, default: Any) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    seen: list[Any] = []
    inside, closed = threading.Event(), threading.Event()
    frame.callback(lambda: seen.append((threading.get_ident(), local.value)))

    def step() -> int:
        local.value = "in the frame"
        inside.set()
        closed.wait()
        assert seen == []
        assert local.value == "in the frame"
        return threading.get_ident()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(frame.run, step)
        inside.wait()
        frame.close()
        assert frame.is_closed
        assert seen == []
        closed.set()
        worker = running.result()
        assert seen == [(worker, "in the frame")]
        assert pool.submit(hasattr, local, "value").result() is False
    with pytest.raises(errors.FrameClosedError):
        frame.run(int)


def test_a_step_may_close_its_own_frame(impl: ModuleType, default: Any) -> None:
    local, frame = impl.Local(), impl.flow.Frame()
    seen = []

    def step() -> None:
        local.value = 1
        frame.callback(lambda: seen.append(local.value))
        frame.close()
        assert seen == []
        assert local.value == 1

    frame.run(step)
    assert seen == [1]


def test_an_error_of_a_step_is_not_lost_when_teardown_runs_after_it(
    impl: ModuleType, default: Any
) -> None:
    frame = impl.flow.Frame()
    seen: list[int] = []

    def step() -> None:
        frame.callback(seen.append, 1)
        frame.close()
        raise LookupError

    with pytest.raises(LookupError):
        frame.run(step)
    assert seen == [1]


def test_many_threads_race_for_a_frame_and_its_close(impl: ModuleType) -> None:
    local = impl.Local()
    for _ in range(50):
        frame = impl.flow.Frame()
        barrier = threading.Barrier(6)
        closed: list[int] = []
        frame.callback(closed.append, 1)

        def step(barrier: threading.Barrier = barrier, frame: Any = frame) -> int:
            barrier.wait()
            entered = 0
            while True:
                try:
                    frame.run(lambda: setattr(local, "value", 1))
                    entered += 1
                except errors.FrameBusyError:
                    continue
                except errors.FrameClosedError:
                    return entered

        with ThreadPoolExecutor(5) as pool:
            running = [pool.submit(step) for _ in range(5)]
            barrier.wait()
            frame.close()
            for each in running:
                each.result()
        assert closed == [1]


@pytest.mark.parametrize("carry", ["following", "carry"])
def test_a_second_greenlet_on_a_thread_is_refused_under_the_thread_strategy(
    impl: ModuleType, carry: str
) -> None:
    import greenlet

    gc.collect()
    impl.ident.set_default("thread" if carry == "following" else "context")
    local = impl.Local() if carry == "following" else impl.Local(ident="thread", carry=True)
    local.value = "outside"
    first, second = impl.flow.Frame(), impl.flow.Frame()
    main = greenlet.getcurrent()

    def step() -> Any:
        local.value = "first"
        main.switch()
        return local.value

    inside = greenlet.greenlet(lambda: first.run(step))
    inside.switch()
    message = (
        r"^<greenlet\.greenlet object at .*> is inside a frame on this thread, and "
        r"<greenlet\.greenlet object at .*> would enter another: under the thread strategy they "
        r"would see each other's values\. Use the greenlet strategy: "
        r"ctxlocal\.ident\.set_default\('greenlet'\) or CTXLOCAL_IDENT=greenlet\.$"
    )
    with pytest.raises(errors.FrameBusyError, match=message) as caught:
        second.run(int)
    assert (caught.value.greenlet, caught.value.frame) == (inside, None)
    with pytest.raises(errors.FrameBusyError, match=message):
        impl.flow.snapshot().run(int)
    assert in_thread(partial(second.run, hasattr, local, "value")) is False
    assert inside.switch() == "first"
    assert local.value == "outside"
    assert second.run(hasattr, local, "value") is False


def test_a_close_that_was_refused_is_done_by_the_next(impl: ModuleType) -> None:
    import greenlet

    impl.ident.set_default("thread")
    local = impl.Local()
    local.value = "outside"  # so that there is something to exchange
    first, second = impl.flow.Frame(), impl.flow.Frame()
    main = greenlet.getcurrent()
    closed: list[int] = []
    second.callback(closed.append, 1)
    inside = greenlet.greenlet(lambda: first.run(main.switch))
    inside.switch()
    for _ in range(2):
        with pytest.raises(errors.FrameBusyError):
            second.close()
        assert (closed, second.is_closed) == ([], True)
    inside.switch()
    second.close()
    second.close()
    assert closed == [1]


def test_greenlets_may_be_inside_frames_at_once_under_the_others(
    impl: ModuleType,
) -> None:
    import greenlet

    for name in ("context", "greenlet", "gevent"):
        gc.collect()
        impl.ident.set_default(name, discard=True)
        local = impl.Local()
        main = greenlet.getcurrent()

        def step(number: int, local: Any = local, main: Any = main) -> Any:
            local.value = number
            main.switch()
            return local.value

        inside = [greenlet.greenlet(partial(impl.flow.Frame().run, step)) for _ in range(5)]
        for number, each in enumerate(inside):
            each.switch(number)
        assert not hasattr(local, "value")
        assert [each.switch() for each in inside] == list(range(5))
        assert not hasattr(local, "value")
        del local, step, inside


def test_a_greenlet_abandoned_inside_a_frame_frees_its_thread(impl: ModuleType) -> None:
    import greenlet

    impl.ident.set_default("thread")
    local = impl.Local()
    local.value = "outside"
    main = greenlet.getcurrent()
    abandoned = greenlet.greenlet(partial(impl.flow.Frame().run, main.switch))
    abandoned.switch()
    del abandoned
    gc.collect()
    assert local.value == "outside"
    assert impl.flow.Frame().run(hasattr, local, "value") is False


def test_a_driven_coroutine_runs_each_step_in_the_frame(impl: ModuleType, default: Any) -> None:
    local, stack = fill(impl)

    async def job(number: int) -> int:
        assert not hasattr(local, "value")
        local.value = number
        for _ in range(3):
            await asyncio.sleep(0)
            assert local.value == number
            assert stack.top is None
        async with asyncio.Lock():
            await asyncio.wait_for(asyncio.sleep(0), 60)
        return int(local.value)

    async def main() -> None:
        frames = [impl.flow.Frame() for _ in range(5)]
        driven = (frame.drive(job(number)) for number, frame in enumerate(frames))
        assert await asyncio.gather(*driven) == list(range(5))
        assert [frame.run(getattr, local, "value") for frame in frames] == list(range(5))

    local_before = dict(local)
    asyncio.run(main())
    assert dict(local) == local_before


def test_a_frame_under_the_callable_strategy_serves_the_owner_of_each_step(
    impl: ModuleType,
) -> None:
    current: list[Any] = [Owner()]
    impl.ident.set_default(lambda: current[0])
    local = impl.Local()
    frame = impl.flow.Frame()
    frame.run(setattr, local, "value", 1)
    former, current[0] = current[0], Owner()
    assert frame.run(getattr, local, "value") == 1
    assert not hasattr(local, "value")
    current[0] = former
    assert not hasattr(local, "value")


def test_a_frame_entered_and_left_five_thousand_times_leaves_nothing(
    impl: ModuleType, default: Any
) -> None:
    import sys

    local, frame = impl.Local(), impl.flow.Frame()

    def steps(count: int) -> None:
        for number in range(count):
            frame.run(setattr, local, "value", number)
            impl.flow.snapshot().run(setattr, local, "value", number)

    steps(100)
    gc.collect()
    blocks = sys.getallocatedblocks()
    steps(5_000)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 200


def test_copy_context_run_inside_a_frame(impl: ModuleType) -> None:
    local, frame = impl.Local(), impl.flow.Frame()

    def step() -> tuple[int, int]:
        local.value = 1
        copied = contextvars.copy_context()
        copied.run(setattr, local, "value", 2)
        return local.value, copied.run(getattr, local, "value")

    assert frame.run(step) == (1, 2)


def test_a_frame_exchanges_one_map_for_a_strategy_however_many_locals_use_it(
    impl: ModuleType,
) -> None:
    def who() -> str:
        return "one"

    strategy = impl.ident.resolve(who)
    before, known = travelling_strategies(), len(strategies)
    locals_ = [impl.Local(ident=strategy, carry=True) for _ in range(10)]
    assert travelling_strategies() == [*before, strategy]
    assert len(strategies) == known + 1
    assert len(strategy.travel.keys) == 10
    del locals_
    gc.collect()
    assert not strategy.travel.keys
    reference = weakref.ref(strategy)
    del strategy
    gc.collect()
    assert (travelling_strategies(), len(strategies)) == (before, known)
    assert reference() is None
