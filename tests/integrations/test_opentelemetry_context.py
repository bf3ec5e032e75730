"""OpenTelemetry's current span belongs to the owner of the strategy, and ends without complaint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.context import Context

from ctxlocal import flow, ident
from ctxlocal.integrations.opentelemetry_context import Runtime

from ..support.new_owner import in_new_owner

A, B, C = (Context({"name": name}) for name in "ABC")


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def strategy(ident: Any) -> Any:
    return ident


@pytest.fixture(autouse=True)
def _follow(strategy: Any) -> None:
    ident.set_default(strategy)


def test_an_attached_context_is_current_until_it_is_detached(runtime: Runtime) -> None:
    assert runtime.get_current() == {}
    one = runtime.attach(A)
    other = runtime.attach(B)
    assert runtime.get_current() is B
    runtime.detach(other)
    assert runtime.get_current() is A
    runtime.detach(one)
    assert runtime.get_current() == {}


def test_the_same_context_may_be_attached_twice(runtime: Runtime) -> None:
    tokens = [runtime.attach(A), runtime.attach(A)]
    runtime.detach(tokens.pop())
    assert runtime.get_current() is A
    runtime.detach(tokens.pop())
    assert runtime.get_current() == {}


def test_what_has_not_ended_stays_current_whatever_ends_before_it(runtime: Runtime) -> None:
    one, other = runtime.attach(A), runtime.attach(B)
    runtime.detach(one)
    assert runtime.get_current() is B
    runtime.detach(other)
    assert runtime.get_current() == {}
    runtime.detach(other)  # again changes nothing
    assert runtime.get_current() == {}


def test_a_new_owner_has_no_span(runtime: Runtime, strategy: Any) -> None:
    runtime.attach(A)
    assert in_new_owner(strategy, runtime.get_current) == {}
    assert in_new_owner(strategy, flow.bind(runtime.get_current)) is A
    with flow.ContextThreadPoolExecutor() as pool:
        assert pool.submit(runtime.get_current).result() is A


def test_detached_in_another_owner_it_takes_nothing_away_there(
    runtime: Runtime, strategy: Any
) -> None:
    outer, inner = runtime.attach(A), runtime.attach(B)

    def elsewhere() -> Context:
        runtime.attach(C)
        runtime.detach(inner)
        return runtime.get_current()

    assert in_new_owner(strategy, elsewhere) is C
    assert runtime.get_current() is A  # the other has ended, wherever that was
    runtime.detach(outer)
    assert runtime.get_current() == {}


def test_what_a_task_or_a_job_began_with_it_keeps(runtime: Runtime, strategy: Any) -> None:
    token = runtime.attach(A)
    begun = flow.snapshot()
    runtime.detach(token)

    def inside() -> list[Context]:
        seen = [runtime.get_current()]
        mine = runtime.attach(B)
        seen.append(runtime.get_current())
        runtime.detach(mine)
        return [*seen, runtime.get_current()]

    assert in_new_owner(strategy, lambda: begun.run(inside)) == [A, B, A]


# A process whose OpenTelemetry has chosen the runtime by its entry point.

PROGRAM = """
    import asyncio, gc, logging, sys, threading
    from opentelemetry import context, trace
    from opentelemetry.sdk.trace import TracerProvider
    from ctxlocal import flow, ident

    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    tracer = TracerProvider().get_tracer("tests")

    def current():
        return getattr(trace.get_current_span(), "name", None)
"""


@pytest.fixture
def run(run_python: Callable[..., str]) -> Callable[[str], list[str]]:
    def run(code: str) -> list[str]:
        return run_python(PROGRAM + code, OTEL_PYTHON_CONTEXT="ctxlocal").splitlines()

    return run


@pytest.mark.parametrize("twin", ["native"], indirect=True)
@pytest.mark.parametrize("strategy", ["context"])
def test_a_generator_that_another_task_closes_ends_its_span_quietly(
    run: Callable[[str], list[str]],
) -> None:
    code = """
    async def pages():
        with tracer.start_as_current_span("pages"):
            yield 1
            yield 2

    async def view():
        with tracer.start_as_current_span("view"):
            stream = pages()
            async for page in stream:
                print(current())
                break
            await asyncio.create_task(stream.aclose())
            async for page in pages():  # which the loop closes
                break
        gc.collect()
        for _ in range(9):
            await asyncio.sleep(0)
        print(current())

    asyncio.run(view())
    """
    assert run(code) == ["pages", "None"]


@pytest.mark.parametrize("twin", ["native"], indirect=True)
@pytest.mark.parametrize("strategy", ["greenlet"])
def test_greenlets_and_threads_have_spans_of_their_own(run: Callable[[str], list[str]]) -> None:
    code = """
    import greenlet
    ident.set_default("greenlet")
    main = greenlet.getcurrent()

    def work(name):
        with tracer.start_as_current_span(name):
            main.switch()
            print(current())

    both = [greenlet.greenlet(work), greenlet.greenlet(work)]
    with tracer.start_as_current_span("main"):
        for one, name in zip(both, "ab"):
            one.switch(name)
        for one in both:
            one.switch()
        print(current())
        for target in (lambda: print(current()), flow.bind(lambda: print(current()))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    print(current())
    """
    assert run(code) == ["a", "b", "main", "None", "main", "None"]


@pytest.mark.parametrize("twin", ["native"], indirect=True)
@pytest.mark.parametrize("strategy", ["context"])
def test_a_span_around_the_middleware_is_current_inside(run: Callable[[str], list[str]]) -> None:
    code = """
    from werkzeug.test import Client
    from ctxlocal.web.wsgi import ContextMiddleware

    def application(environ, start_response):
        print(current())
        trace.context_api.attach(context.set_value("left", "behind"))
        start_response("200 OK", [])
        return []

    with tracer.start_as_current_span("server"):
        client = Client(ContextMiddleware(application))
        client.get("/")
        client.get("/")
        print(current(), context.get_value("left"))
    client.get("/")
    """
    assert run(code) == ["server", "server", "server None", "None"]
