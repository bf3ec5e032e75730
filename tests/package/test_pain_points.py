"""The pain points of docs/evidence.md that belong to the core: each one is gone.

The numbers are docs/evidence.md's; 7, middleware, belongs to the layers above.
"""

from __future__ import annotations

import asyncio
import copy
import doctest
import gc
import pickle
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from ctxlocal import errors


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet", "task"])
def test_01_no_exit_raises_a_token_error(impl: ModuleType, strategy: str) -> None:
    """1. ``ValueError: Token was created in a different Context`` (cpython#118944)."""
    impl.ident.set_default(strategy)
    local, stack = impl.Local(), impl.LocalStack()

    def generator() -> Generator[None, None, None]:
        with impl.scoped(local, value=1), stack.pushed(1):
            yield

    async def async_generator() -> AsyncGenerator[None, None]:
        with impl.scoped(local, value=1), stack.pushed(1):
            yield

    streamed = generator()
    next(streamed)
    thread = threading.Thread(target=streamed.close)
    thread.start()
    thread.join()

    async def main() -> None:
        split = async_generator()
        await asyncio.create_task(_first(split))
        await asyncio.create_task(split.aclose())

    asyncio.run(main())


async def _first(generator: AsyncGenerator[Any, None]) -> None:
    await generator.__anext__()


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet", "task"])
def test_02_an_executor_carries_the_context(impl: ModuleType, strategy: str) -> None:
    """2. Context missing in threads and executors (cpython#78195, structlog#425, loguru#792)."""
    impl.ident.set_default(strategy)
    local = impl.Local()
    local.request = "mine"
    with impl.flow.ContextThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: local.request, range(4))) == ["mine"] * 4
    seen: list[str] = []
    thread = threading.Thread(target=impl.flow.bind(lambda: seen.append(local.request)))
    thread.start()
    thread.join()
    assert seen == ["mine"]


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet"])
def test_03_a_greenlet_can_be_given_the_context(impl: ModuleType, strategy: str) -> None:
    """3. Greenlets start with an empty context (greenlet#172, #196, sqlalchemy#5615)."""
    import greenlet

    impl.ident.set_default(strategy)
    local, foreign = impl.Local(), ContextVar[str]("foreign")
    local.request = "mine"
    foreign.set("mine")
    bound = impl.flow.bind(lambda: (local.request, foreign.get()))
    assert greenlet.greenlet(bound).switch() == ("mine", "mine")


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet"])
def test_04_a_pooled_worker_keeps_nothing_of_a_job(impl: ModuleType, strategy: str) -> None:
    """4. Bleed between requests: pooled threads keep what a job set (uvicorn#2167)."""
    impl.ident.set_default(strategy)
    local, stack = impl.Local(), impl.LocalStack()

    def job(user: str) -> tuple[Any, ...]:
        found = getattr(local, "user", None), stack.top
        local.user = user
        stack.push(user)
        return found

    with ThreadPoolExecutor(1) as pool:
        frames = [impl.flow.Frame() for _ in range(3)]
        found = [pool.submit(frame.run, job, "alice").result() for frame in frames]
        assert found == [(None, None)] * 3
        assert pool.submit(job, "bob").result() == (None, None)


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet"])
def test_05_an_abandoned_stream_poisons_no_worker(impl: ModuleType, strategy: str) -> None:
    """5. The body is closed on another thread: the context stays pushed (flask#6123, #5774)."""
    impl.ident.set_default(strategy)
    stack = impl.LocalStack()
    done: list[str] = []

    def body() -> Generator[Any, None, None]:
        with stack.pushed("request"):
            yield stack.top
            yield stack.top

    frame, stream = impl.flow.Frame(), body()
    for number in (1, 2):
        frame.callback(done.append, f"teardown {number}")

    def serve() -> object:
        assert frame.run(next, stream) == "request"
        return stack.top

    def abandon() -> object:
        frame.run(stream.close)
        frame.close()
        return stack.top

    with ThreadPoolExecutor(1) as serving, ThreadPoolExecutor(1) as closing:
        assert serving.submit(serve).result() is None
        assert closing.submit(abandon).result() is None
        assert serving.submit(lambda: stack.top).result() is None
    assert done == ["teardown 2", "teardown 1"]


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet", "task"])
def test_06_one_wrapper_serves_several_threads_at_once(impl: ModuleType, strategy: str) -> None:
    """6. One ``copy_current_request_context`` fails 82 of 100 calls (flask#2812, #5252)."""
    impl.ident.set_default(strategy)
    stack = impl.LocalStack()
    barrier = threading.Barrier(10)

    def job(_: int) -> object:
        barrier.wait()
        found = stack.top
        barrier.wait()
        return found

    with stack.pushed("request"):
        bound = impl.flow.bind(job)
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(bound, range(100))) == ["request"] * 100


def test_08_a_child_task_never_changes_its_parents_values(impl: ModuleType) -> None:
    """8. A mutable value in a ContextVar is shared by child tasks (werkzeug#2102, asgiref#473)."""
    local, stack = impl.Local(), impl.LocalStack()

    async def child(number: int) -> tuple[Any, ...]:
        local.value = local.added = number
        stack.push(number)
        await asyncio.sleep(0)
        return local.value, local.added, stack.pop(), stack.top

    async def main() -> None:
        local.value = "parent"
        stack.push("parent")
        found = await asyncio.gather(*(child(number) for number in range(10)))
        assert found == [(number, number, number, "parent") for number in range(10)]
        assert (dict(local), stack.top) == ({"value": "parent"}, "parent")

    asyncio.run(main())


def test_09_the_application_chooses_the_identity_of_a_library(impl: ModuleType) -> None:
    """9. A library chose the identity and hurt its users (superset#42803, grpc#40123)."""
    import greenlet

    library = impl.Local()  # made when the library was imported
    assert not hasattr(library, "value")
    impl.ident.set_default("thread")
    library.value = 1
    with pytest.raises(errors.IdentInUseError):
        impl.ident.set_default("greenlet")
    scopefunc = impl.ident.current
    here = scopefunc()
    assert greenlet.greenlet(scopefunc).switch() is here
    impl.ident.set_default("greenlet", discard=True)
    assert greenlet.greenlet(scopefunc).switch() is not scopefunc()


def test_10_an_ended_owner_leaves_nothing(impl: ModuleType) -> None:
    """10. 461 to 645 bytes per thread or greenlet for ever (werkzeug#2205, sqlalchemy#8340).

    tests/local/test_memory.py does it 100,000 times for every kind of owner.
    """
    import greenlet

    locals_ = [impl.Local(ident=name) for name in ("context", "thread", "greenlet")]

    def body() -> None:
        for local in locals_:
            assert not hasattr(local, "value")  # what an owner of the same number left
            local.value = object()

    def in_turn(count: int) -> int:
        for _ in range(count):
            thread = threading.Thread(target=lambda: greenlet.greenlet(body).switch())
            thread.start()
            thread.join()
        gc.collect()
        return sys.getallocatedblocks()

    before = in_turn(100)
    assert in_turn(1_000) - before < 200


@pytest.mark.parametrize("fails", ["at once", "in the body", "in close"])
def test_11_cleanup_runs_when_the_application_raises(impl: ModuleType, fails: str) -> None:
    """11. Cleanup is skipped when the application raises (werkzeug's LocalManager)."""
    local = impl.Local()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"first"
            if fails == "in the body":
                raise LookupError

        def close(self) -> None:
            assert local.user
            if fails == "in close":
                raise LookupError

    @impl.LocalManager([local]).middleware  # type: ignore[untyped-decorator,unused-ignore]
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        local.user = "alice"
        if fails == "at once":
            raise LookupError
        return Body()

    def serve() -> None:
        body = application({}, None)
        try:
            assert list(body) == [b"first"]
        finally:
            body.close()

    with pytest.raises(LookupError):
        serve()
    assert not hasattr(local, "user")


def test_12_unbound_proxies_break_no_tool_and_the_message_names_all(impl: ModuleType) -> None:
    """12. pytest, doctest, mock, ``hasattr`` (pytest#214, flask#1680, werkzeug#2485, mock#490)."""
    proxy = impl.Local(name="app")("request")
    assert not hasattr(proxy, "anything")
    assert getattr(proxy, "anything", 1) == 1
    assert repr(proxy) == "<LocalProxy unbound>"
    assert not proxy
    module = ModuleType("documented")
    module.request = proxy  # type: ignore[attr-defined]
    assert doctest.DocTestFinder(exclude_empty=False).find(module)
    with mock.patch.object(module, "request", 1):
        pass
    mock.create_autospec(module)
    with pytest.raises(
        errors.UnboundError,
        match=r"^LocalProxy 'request' of Local 'app' is not bound in the Context of thread "
        r"'MainThread' \(identity strategy 'context'\)\. Set its attribute 'request' there first, "
        r"or carry it there with ctxlocal\.flow\.bind\(\)\.$",
    ):
        proxy._get_current_object()


def test_13_a_proxy_claims_only_the_protocols_of_its_type(impl: ModuleType) -> None:
    """13. Callable, awaitable, iterable, copy, pickle (werkzeug#596, #1979, #811)."""
    local = impl.Local()
    number = impl.proxy(local, "number", like=int)
    assert not callable(number)
    assert not isinstance(number, Awaitable)
    assert not isinstance(number, Iterable)
    local.values = [1, [2]]
    values = impl.proxy(local, "values", like=list)
    assert isinstance(values, Iterable)
    assert not callable(values)
    for copied in (copy.copy(values), copy.deepcopy(values), pickle.loads(pickle.dumps(values))):
        assert type(copied) is list
        assert copied == [1, [2]]


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet"])
def test_14_tests_do_not_leak_into_each_other(impl: ModuleType, strategy: str) -> None:
    """14. Tests leak into each other (pytest-asyncio#127, flask#4773): each runs in a Frame."""
    impl.ident.set_default(strategy)
    local, stack = impl.Local(), impl.LocalStack()

    def one_test() -> None:
        assert list(local) == []
        assert stack.top is None
        local.user = "alice"
        stack.push("request")

    for _ in range(3):
        frame = impl.flow.Frame()
        frame.run(one_test)
        frame.close()
    assert list(local) == []
    assert stack.top is None


@pytest.mark.parametrize(
    "patch",
    [
        "import gevent.monkey as library; patch = library.patch_all; import gevent as library",
        "import eventlet as library; patch = library.monkey_patch",
    ],
)
def test_15_the_order_of_monkey_patching_does_not_matter(
    patch: str, run_python: Callable[..., str]
) -> None:
    """15. A local made before patching stays shared (sentry-python#395, gevent#1656).

    tests/ident/test_ident.py tries every order and real OS threads too.
    """
    printed = run_python(f"""
        import threading
        from threading import get_ident
        from ctxlocal import Local
        early, naive = Local(ident="greenlet"), threading.local()
        {patch}
        patch()
        late = Local(ident="greenlet")
        found = []

        def request(user):
            found.append([hasattr(each, "user") for each in (early, late, naive)])
            early.user = late.user = naive.user = user
            library.sleep(0)
            assert early.user == late.user == user

        for greenlet in [library.spawn(request, user) for user in ("alice", "bob")]:
            (greenlet.get if hasattr(greenlet, "get") else greenlet.wait)()
        print(*map(any, zip(*found)))
    """)
    assert printed == "False False True\n"  # threading.local shows what the trap is
