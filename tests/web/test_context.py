"""Contexts, the proxies for what is in them, and what carries them to other owners."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar
from random import Random
from types import ModuleType
from typing import Any

import greenlet
import pytest

from ctxlocal import Local, LocalProxy, UnboundError, flow, ident, is_bound
from ctxlocal.ident.named import KINDS
from ctxlocal.local.pure import latch
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.errors import SessionClosedError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web import contexts, wsgi
from ctxlocal.web.app import App
from ctxlocal.web.context import (
    AppContext,
    Application,
    Globals,
    RequestContext,
    after_this_request,
    call_now,
    copy_current_request_context,
    current_app,
    current_request_context,
    flash,
    g,
    get_flashed_messages,
    has_app_context,
    has_request_context,
    is_async,
    on_teardown,
    request,
    session,
    stream_with_context,
)

from ..support.interleaving import interleavings


@pytest.fixture
def app() -> App:
    return App("shop", sessions=StoredSessions(MemoryStore()))


class Recorder(Application):
    """An application that notes what its contexts ask of it."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def create_request(self, environ: Any) -> Any:
        return environ.get("request")

    def open_session(self, context: RequestContext) -> Session | None:
        self.events.append("open")
        return None

    def did_push_app_context(self) -> None:
        self.events.append("push app")

    def did_pop_app_context(self) -> None:
        self.events.append("pop app")

    def do_teardown_request(self, error: BaseException | None) -> None:
        assert current_request_context().app is self
        assert current_app == self  # type: ignore[comparison-overlap]
        self.events.append(("teardown request", error))

    def do_teardown_appcontext(self, error: BaseException | None) -> None:
        assert current_app == self  # type: ignore[comparison-overlap]
        self.events.append(("teardown app", error))

    def __repr__(self) -> str:
        return "<Recorder>"


def whole(text: str) -> str:
    """Match exactly this message."""
    return f"^{re.escape(text)}$"


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


# The proxies


def test_the_proxies_find_what_is_in_place(strategy: str, app: App) -> None:
    with app.test_request_context("/path?x=1") as context:
        assert request.path == "/path"
        assert request._get_current_object() is context.request  # type: ignore[attr-defined]
        assert current_app.name == "shop"
        g.user = "ada"
        assert ("user" in g, list(g), g.get("user"), g.get("other", 3)) == (
            True,
            ["user"],
            "ada",
            3,
        )
        session["key"] = [1]
        assert session == {"key": [1]}
        assert has_request_context()
        assert has_app_context()
    assert not has_request_context()
    assert not has_app_context()


def test_the_session_is_a_mapping_in_every_respect(app: App) -> None:
    assert not callable(session)
    with app.test_request_context():
        assert isinstance(session, MutableMapping)
        session["user"] = "ada"
        match session:
            case {"user": user}:
                assert user == "ada"
            case _:
                pytest.fail("a mapping pattern has to match")


OF_TASKS = (
    "Each task has values of its own, and frameworks run parts of a request in others, as what "
    "stands behind Starlette's BaseHTTPMiddleware: the strategy 'context' serves these. "
)


def test_outside_of_a_request_the_message_says_what_to_do(strategy: str) -> None:
    owner = ident.get_default().describe()
    for name, proxy in (("request", request), ("session", session)):
        message = (
            f"Working outside of request context: {name} needs one, and there is none in {owner} "
            f"(identity strategy {strategy!r}). {OF_TASKS * (strategy == 'task')}In a thread, "
            "greenlet or job that a request starts, wrap the function in "
            "copy_current_request_context(); in a test or script use `with "
            "app.test_request_context():`; around an application that is no App put the "
            "ContextMiddleware of ctxlocal.web.wsgi or ctxlocal.web.asgi."
        )
        with pytest.raises(UnboundError, match=whole(message)) as caught:
            proxy.anything  # type: ignore[union-attr]  # noqa: B018
        assert (caught.value.proxy, caught.value.ident) == (name, strategy)
        assert not is_bound(proxy)
        assert not proxy
        assert repr(proxy).endswith("unbound>")
        assert not hasattr(proxy, "anything")


def test_outside_of_an_application_too(strategy: str) -> None:
    owner = ident.get_default().describe()
    for name, proxy in (("g", g), ("current_app", current_app)):
        message = (
            f"Working outside of application context: {name} needs one, and there is none in "
            f"{owner} (identity strategy {strategy!r}). {OF_TASKS * (strategy == 'task')}Use `with "
            "app.app_context():`, or carry it there with ctxlocal.flow.bind()."
        )
        with pytest.raises(UnboundError, match=whole(message)):
            proxy.anything  # type: ignore[union-attr] # noqa: B018


@pytest.mark.parametrize(
    "use",
    [
        lambda: after_this_request(lambda response: response),
        lambda: on_teardown(lambda error: None),
        lambda: copy_current_request_context(int),
        lambda: flash("message"),
        lambda: get_flashed_messages(),
        lambda: current_request_context(),
    ],
)
def test_what_needs_a_request_says_so(use: Callable[[], Any]) -> None:
    with pytest.raises(UnboundError, match=r"^Working outside of request context: "):
        use()


def test_g_names_what_it_lacks_and_is_a_namespace() -> None:
    namespace = Globals()
    with pytest.raises(
        AttributeError, match=whole("'g' has no attribute 'x'; nothing set it in this context")
    ):
        namespace.x  # noqa: B018
    assert namespace.setdefault("x", 1) == namespace.x == 1
    assert (namespace.pop("x"), namespace.pop("x", None)) == (1, None)
    with pytest.raises(KeyError):
        namespace.pop("x")
    assert repr(namespace) == "<g of nothing>"
    namespace.y = 1
    assert repr(namespace) == "<g of y>"


# Pushing and popping


def test_a_request_context_brings_an_application_context(strategy: str) -> None:
    app = Recorder()
    context = RequestContext(app, {})
    assert not context.is_pushed
    with context:
        assert context.is_pushed
        assert app.events == ["push app", "open"]
    assert not context.is_pushed
    assert app.events[2:] == [("teardown request", None), ("teardown app", None), "pop app"]


def test_each_request_has_a_g_of_its_own(strategy: str, app: App) -> None:
    with app.app_context():
        g.name = "outer"
        with app.test_request_context():
            assert "name" not in g
            g.name = "inner"
        assert g.name == "outer"


def test_the_session_is_opened_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real_open = app.session_interface.open

    def counting_open(cookies: str) -> Session:
        opened.append(cookies)
        return real_open(cookies)

    monkeypatch.setattr(app.session_interface, "open", counting_open)
    context = app.test_request_context(headers={"Cookie": "a=b"})
    for _ in range(2):
        with context:
            assert session == context.session
            copy_current_request_context(lambda: session.get("key"))()
    assert opened == ["a=b"]


def test_a_context_is_pushed_once_at_a_time(app: App) -> None:
    for context in (app.test_request_context(), app.app_context()):
        message = (
            f"{context!r} is pushed already. A context is in one place at a time: push a copy(), "
            "or wrap the function in copy_current_request_context."
        )
        with context, pytest.raises(RuntimeError, match=whole(message)):
            context.push()
    assert not has_app_context()


@pytest.mark.parametrize("kind", [AppContext, lambda app: RequestContext(app, {})])
def test_one_of_two_threads_pushes_a_context(kind: Callable[[Application], AppContext]) -> None:
    app = Recorder()

    def make() -> Any:
        app.events.clear()
        context = kind(app)
        return context.push, context.push

    for outcomes in interleavings(make, contexts, latch):
        refusal = next(outcome for outcome in outcomes if outcome is not None)
        assert outcomes.count(None) == 1
        assert isinstance(refusal, RuntimeError)
        assert "is pushed already" in str(refusal)
        assert [event for event in app.events if event != "open"] == ["push app"]  # and not ended


@pytest.mark.parametrize("kind", [AppContext, lambda app: RequestContext(app, {})])
def test_one_of_two_threads_ends_a_context(kind: Callable[[Application], AppContext]) -> None:
    app = Recorder()

    def make() -> Any:
        app.events.clear()
        context = kind(app)
        in_thread(context.push)
        return context.pop, context.pop

    for outcomes in interleavings(make, contexts, latch):
        assert outcomes == [None, None]
        assert app.events.count(("teardown app", None)) == 1


def test_pop_again_is_harmless(strategy: str) -> None:
    app = Recorder()
    for context in (RequestContext(app, {}), AppContext(app)):
        context.push()
        for _ in range(3):
            context.pop()
    assert app.events.count(("teardown app", None)) == 2
    assert app.events.count(("teardown request", None)) == 1


def test_concurrent_pops_run_the_teardowns_once() -> None:
    app = Recorder()
    barrier = threading.Barrier(8)
    context = RequestContext(app, {})
    context.push()

    def pop() -> None:
        barrier.wait()
        context.pop()

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(pop) for _ in range(8)]:
            job.result()
    assert app.events.count(("teardown request", None)) == 1


@pytest.mark.parametrize("kind", [Recorder, Application])
@pytest.mark.parametrize("around", [AppContext, lambda app: RequestContext(app, {})])
def test_popped_in_another_owner_the_teardowns_find_their_context(
    strategy: str, kind: Any, around: Any
) -> None:
    context = RequestContext(kind(), {})
    seen = []
    context.on_teardown(lambda error: seen.append((current_request_context() is context, g.name)))
    context.push()
    g.name = "of the request"

    def pop_elsewhere() -> None:
        other = Application()
        with around(other) as outer:
            context.pop()
            assert current_app == other
            assert has_request_context() is isinstance(outer, RequestContext)
        assert not has_request_context()
        assert not has_app_context()

    in_thread(pop_elsewhere)
    assert seen == [(True, "of the request")]


@pytest.mark.parametrize("around", [AppContext, lambda app: RequestContext(app, {})])
def test_an_application_context_popped_in_another_owner_is_found_by_its_teardowns(
    strategy: str, around: Any
) -> None:
    seen: list[object] = []

    class Application(Recorder):
        def do_teardown_appcontext(self, error: BaseException | None) -> None:
            super().do_teardown_appcontext(error)
            seen.append(g.name)

    context = AppContext(Application())
    assert not context.is_pushed
    context.push()
    assert context.is_pushed
    g.name = "of the context"

    def pop_elsewhere() -> None:
        with around(Recorder()):
            context.pop()

    in_thread(pop_elsewhere)
    assert not context.is_pushed
    assert seen == ["of the context"]


def test_pain_point_1_a_context_left_in_another_context_raises_no_token_error(app: App) -> None:
    def steps() -> Iterator[None]:
        with app.test_request_context():
            yield

    generator = steps()
    Context().run(next, generator)
    Context().run(generator.close)  # type: ignore[attr-defined]
    assert not has_request_context()


def test_the_stacks_say_what_is_on_them() -> None:
    assert repr(contexts.app_stack) == "<LocalStack 'application contexts'>"
    assert repr(contexts.request_stack) == "<LocalStack 'request contexts'>"


def test_contexts_popped_out_of_order_leave_the_right_one(strategy: str) -> None:
    app = Recorder()
    lower, upper = RequestContext(app, {"n": 1}), RequestContext(app, {"n": 2})
    lower.push()
    upper.push()
    lower.pop()
    assert current_request_context() is upper
    upper.pop()
    assert not has_request_context()
    assert not has_app_context()


@pytest.mark.parametrize("seed", range(5))
def test_what_was_pushed_last_is_in_place_in_whatever_order_they_are_popped(
    strategy: str, seed: int
) -> None:
    random = Random(seed)
    pushed: list[tuple[Any, int]] = []
    for number in range(200):
        if pushed and random.random() < 0.5:
            context, _ = pushed.pop(random.choice((-1, random.randrange(len(pushed)))))
            context.pop()
        else:
            app = random.choice((Recorder, Application))()
            context = random.choice((AppContext(app), RequestContext(app, {})))
            context.push()
            assert list(g) == []
            g.number = number
            pushed.append((context, number))
        requests = [context for context, _ in pushed if isinstance(context, RequestContext)]
        assert has_request_context() is bool(requests)
        assert has_app_context() is bool(pushed)
        if requests:
            assert current_request_context() is requests[-1]
        if pushed:
            assert (current_app, g.number) == (pushed[-1][0].app, pushed[-1][1])


def test_a_trace_tells_who_has_the_application_context_of_a_request(
    run_python: Callable[..., str],
) -> None:
    told = run_python("""
        from threading import Thread
        from ctxlocal import UnboundError, trace
        trace.enable()
        from ctxlocal.web import g
        from ctxlocal.web.wsgi import ContextMiddleware

        def look():
            try:
                g.name
            except UnboundError as error:
                print(error)

        def application(environ, start_response):
            thread = Thread(target=look)
            thread.start()
            thread.join()
            return []

        ContextMiddleware(application)({}, print)
    """)
    assert "- LocalStack 'application contexts' in the Context of thread 'MainThread': AppC" in told


def test_of_two_threads_that_ask_for_g_first_both_get_the_same() -> None:
    def make() -> Any:
        context = RequestContext(Application(), {})
        return (lambda: context.g,) * 2

    for first, second in interleavings(make, contexts):
        assert first is second


def test_the_one_below_may_be_popped_before_all_above_it(strategy: str) -> None:
    below, *above = [AppContext(Recorder()) for _ in range(4)]
    for context in (below, *above):
        context.push()
    below.pop()
    for context in reversed(above):
        assert current_app == context.app
        context.pop()
    assert not has_app_context()


def test_a_kept_context_that_is_popped_last_runs_its_teardowns_when_it_is_let_go() -> None:
    context = RequestContext(Application(), {})
    ended: list[BaseException | None] = []
    context.keep()
    context.push()
    error = ZeroDivisionError()
    context.pop_last(error)
    assert context.error is error
    assert not context.is_pushed
    assert not has_request_context()
    context.on_teardown(ended.append)
    with AppContext(Application()):
        context.show()
        assert current_app == context.app  # what is shown is above what was pushed before
        context.let_go()
        assert current_app != context.app
    assert ended == [error]


def test_a_context_that_is_popped_last_is_pushed_nowhere_and_keeps_no_error() -> None:
    context = RequestContext(Application(), {})
    context.error = ZeroDivisionError()

    def serve() -> None:
        context.push()
        context.pop_last()

    Context().run(serve)
    assert not context.is_pushed
    assert context.error is None


def test_a_context_that_is_popped_last_after_an_error_is_nowhere() -> None:
    context = RequestContext(Application(), {})
    context.push()
    context.pop_last(ZeroDivisionError())
    assert not has_request_context()


def test_every_teardown_runs_even_if_one_raises(strategy: str) -> None:
    ran = []

    class Failing(Recorder):
        def do_teardown_request(self, error: BaseException | None) -> None:
            ran.append("request")
            raise KeyError("request")

        def do_teardown_appcontext(self, error: BaseException | None) -> None:
            ran.append("app")
            raise ValueError("app")

    def fail(error: BaseException | None) -> None:
        ran.append("fails")
        raise ZeroDivisionError

    context = RequestContext(Failing(), {})
    context.on_teardown(lambda error: ran.append("first"))
    context.on_teardown(fail)
    context.on_teardown(lambda error: ran.append("last"))
    context.push()
    with pytest.raises(ValueError, match="app") as caught:
        context.pop()
    assert ran == ["last", "fails", "first", "request", "app"]
    errors = [caught.value, caught.value.__context__, caught.value.__context__.__context__]  # type: ignore[union-attr]
    assert [type(error) for error in errors] == [ValueError, KeyError, ZeroDivisionError]
    assert not has_request_context()
    assert not has_app_context()


def test_the_teardowns_are_told_what_went_wrong() -> None:
    app, error = Recorder(), ZeroDivisionError()
    with pytest.raises(ZeroDivisionError), RequestContext(app, {}):
        raise error
    assert ("teardown request", error) in app.events
    assert ("teardown app", error) in app.events
    with RequestContext(app, {}) as context:
        context.error = error  # there is a response for it all the same
    assert app.events[-3:] == [("teardown request", error), ("teardown app", error), "pop app"]


@pytest.mark.parametrize("is_kept", [False, True])
def test_an_error_that_is_falsy_is_one(is_kept: bool) -> None:
    class FieldErrors(Exception):
        def __len__(self) -> int:
            return 0

    app, error = Recorder(), FieldErrors()
    context = RequestContext(app, {})
    if is_kept:
        context.keep()
    context.push()
    context.pop(error)
    if is_kept:
        context.let_go()
    assert ("teardown request", error) in app.events
    assert ("teardown app", error) in app.events


@pytest.mark.parametrize("where", ["open_session", "did_push_app_context"])
def test_a_push_that_fails_leaves_nothing(strategy: str, where: str) -> None:
    app = Recorder()

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    setattr(app, where, fail)
    with pytest.raises(ZeroDivisionError):
        RequestContext(app, {}).push()
    assert not has_request_context()
    assert not has_app_context()


# What a view calls


def test_flashed_messages_stay_for_the_length_of_a_request(app: App) -> None:
    with app.test_request_context() as context:
        flash("saved")
        flash("too long", "error")
        assert get_flashed_messages() == ["saved", "too long"]
        assert get_flashed_messages(with_categories=True) == [
            ("message", "saved"),
            ("error", "too long"),
        ]
        assert get_flashed_messages(category_filter=["error"]) == ["too long"]
        assert context.session is not None
        assert context.session.get_flashed() == []


def test_after_this_request_needs_a_response() -> None:
    with (
        RequestContext(Application(), {}),
        pytest.raises(UnboundError, match=r"^This request context has no response object"),
    ):
        after_this_request(lambda response: response)


def test_stream_with_context_changes_nothing() -> None:
    @stream_with_context
    def generate() -> Iterator[int]:
        yield 1

    generator = generate()
    assert stream_with_context(generator) is generator
    assert list(generator) == [1]


@pytest.mark.parametrize("strategy_name", KINDS)
def test_pain_point_6_one_wrapper_serves_a_hundred_threads_at_once(
    app: App, strategy_name: str
) -> None:
    ident.set_default(strategy_name)
    local = Local()
    barrier = threading.Barrier(100)
    ended = []
    app.teardown_request(lambda error: ended.append(g.number))

    with app.test_request_context("/path"):
        g.number = "the request's own"
        local.value = "captured"

        @copy_current_request_context
        def job(number: int) -> tuple[Any, ...]:
            barrier.wait()
            assert "number" not in g
            g.number = number
            local.value += str(number)
            barrier.wait()
            return request.path, g.number, local.value

        with ThreadPoolExecutor(100) as pool:
            jobs = [pool.submit(job, number) for number in range(100)]
            results = [job.result() for job in jobs]
            left = [pool.submit(has_request_context).result() for _ in range(100)]
        assert g.number == "the request's own"
        assert local.value == "captured"
    assert results == [("/path", number, f"captured{number}") for number in range(100)]
    assert not any(left)
    assert sorted(ended[:-1]) == list(range(100))
    assert ended[-1] == "the request's own"


def test_a_copy_outlives_its_request(strategy: str, app: App) -> None:
    with app.test_request_context("/path"):
        session["key"] = "value"

        @copy_current_request_context
        def job() -> tuple[Any, ...]:
            return request.path, session["key"], current_app.name

        app.finalize_request("the response is made, and the session saved")

        @copy_current_request_context
        def late() -> None:
            session["key"] = "too late"

    assert in_thread(job) == ("/path", "value", "shop")
    with pytest.raises(SessionClosedError):
        in_thread(late)
    assert not has_request_context()


def test_a_copy_runs_in_greenlets(strategy: str, app: App) -> None:
    with app.test_request_context("/path"):
        job = copy_current_request_context(lambda: request.path)
        assert greenlet.greenlet(job).switch() == "/path"
    assert greenlet.greenlet(job).switch() == "/path"


def test_a_copy_of_a_coroutine_function_runs_in_tasks_at_once(strategy: str, app: App) -> None:
    ended = []
    app.teardown_request(lambda error: ended.append(error))

    async def main() -> None:
        everybody = asyncio.Event()
        arrived = 0

        async def job(number: int) -> tuple[str, int]:
            nonlocal arrived
            g.number = number
            arrived += 1
            if arrived == 50:
                everybody.set()
            await everybody.wait()
            return request.path, g.number

        with app.test_request_context("/path"):
            wrapped = copy_current_request_context(job)
            assert is_async(wrapped)
        found = await asyncio.gather(*(wrapped(number) for number in range(50)))
        assert found == [("/path", number) for number in range(50)]
        assert not has_request_context()

    asyncio.run(main())
    assert len(ended) == 51


def test_the_teardowns_of_a_copy_get_its_error(app: App) -> None:
    ended: list[BaseException | None] = []
    app.teardown_request(ended.append)
    with app.test_request_context():
        with pytest.raises(ZeroDivisionError):
            copy_current_request_context(lambda: 1 / 0)()
        assert [type(error) for error in ended] == [ZeroDivisionError]


def test_a_copy_keeps_the_functions_name(app: App) -> None:
    def job() -> None:
        """Documented."""

    with app.test_request_context():
        wrapped = copy_current_request_context(job)
    assert (wrapped.__name__, wrapped.__doc__) == ("job", "Documented.")


def test_bind_carries_the_request_itself(strategy: str, app: App) -> None:
    with app.test_request_context("/path"):
        g.name = "shared"
        assert in_thread(flow.bind(lambda: (request.path, g.name))) == ("/path", "shared")


# Calling asynchronous functions where nothing can be awaited


def complete(coroutine: Any) -> Any:
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def test_call_now_runs_coroutines_to_their_end(strategy: str, app: App) -> None:
    var: ContextVar[str] = ContextVar("var", default="before")
    local = Local()
    local.value = "before"

    async def job(argument: int, *, keyword: int) -> tuple[Any, ...]:
        await asyncio.sleep(0)
        seen = request.path, local.value, var.get()
        local.value = "set inside"
        var.set("set inside")
        return *seen, argument, keyword

    with app.test_request_context("/path"):
        found = complete(call_now(job, 1, keyword=2))
        assert found == ("/path", "before", "before", 1, 2)
        assert (local.value, var.get()) == ("set inside", "set inside")
        assert complete(call_now(lambda: 3)) == 3
    assert isinstance(found, tuple)


def test_call_now_passes_errors_and_puts_back_what_was_set(strategy: str, app: App) -> None:
    local = Local()

    async def job() -> None:
        local.value = "set inside"
        raise ZeroDivisionError

    with app.test_request_context(), pytest.raises(ZeroDivisionError):
        call_now(job).send(None)
    assert local.value == "set inside"


def test_call_now_refuses_where_a_loop_runs_already() -> None:
    async def job() -> None:
        """Is never run."""

    async def main() -> None:
        message = (
            r"^<coroutine object .*job at .*> needs an event loop of its own, and one runs in "
            r"this thread already: that of an asynchronous caller, or of a request in another "
            r"greenlet, for under gevent and eventlet a thread runs one at a time\. Serve the App "
            r"as an ASGI application \(uvicorn module:app\.asgi\), use workers with threads "
            r"\(gunicorn -k gthread\), or make the function synchronous\.$"
        )
        with pytest.raises(RuntimeError, match=message):
            await call_now(job)

    asyncio.run(main())


def test_is_async_knows_objects_too() -> None:
    class Async:
        async def __call__(self) -> None:
            """Do nothing."""

    class Sync:
        def __call__(self) -> None:
            """Do nothing."""

    assert is_async(Async())
    assert not is_async(Sync())
    assert is_async(Async().__call__)
    assert not is_async(int)


def test_the_types_are_those_of_what_is_found(app: App) -> None:
    with app.test_request_context():
        found: Mapping[str, Any] = session
        assert found == {}


# In the contexts of a framework


def test_inside_flasks_own_context_the_error_advises_something_else() -> None:
    import flask

    flask_app = flask.Flask("shop")
    middleware = wsgi.ContextMiddleware(
        flask_app.wsgi_app, StoredSessions(MemoryStore(), cookie=Cookie.for_development())
    )
    flask_app.wsgi_app = middleware  # type: ignore[method-assign]
    advice = re.escape(
        "A context of Flask is active here, but that is another one: Flask's own "
        "test_request_context(), app_context() and shell do not pass app.wsgi_app, where the "
        "ContextMiddleware stands. In a test send requests by app.test_client(), or enter "
        "RequestContext(app.wsgi_app, request.environ) of ctxlocal.web.context as well. "
    )
    with flask_app.test_request_context("/"):
        with pytest.raises(UnboundError, match=advice):
            session["x"] = 1
        with pytest.raises(UnboundError, match=f"context: This needs one.*{advice}"):
            current_request_context()
        with RequestContext(middleware, flask.request.environ):
            session["x"] = 1
            assert session["x"] == 1
    with flask_app.app_context(), pytest.raises(UnboundError, match=advice):
        g.x = 1
    with pytest.raises(UnboundError, match=r"Use `with app\.app_context\(\):`"):
        g.x = 1


# Mocks


@pytest.mark.parametrize("name", ["request", "session", "g", "current_app"])
def test_mock_takes_no_proxy_for_something_async(run_python: Callable[..., str], name: str) -> None:
    assert run_python(f"""
        import inspect
        from unittest import mock
        from ctxlocal.web import App, context

        def look():
            proxy = context.{name}
            with mock.patch("ctxlocal.web.context.{name}") as mocked:
                print(type(mocked).__name__, inspect.isawaitable(proxy))
            assert context.{name} is proxy

        look()
        with App("shop").test_request_context("/"):
            look()
    """).splitlines() == ["MagicMock False", "MagicMock False"]


def test_the_proxies_are_still_proxies() -> None:
    assert repr(request) == repr(g) == repr(current_app) == "<ContextProxy unbound>"
    for proxy in (request, g, current_app):
        assert issubclass(type(proxy), LocalProxy)
        assert not is_bound(proxy)


def test_inside_quarts_own_context_the_error_names_quart(monkeypatch: pytest.MonkeyPatch) -> None:
    quart = ModuleType("quart")
    monkeypatch.setitem(sys.modules, "quart", quart)
    with pytest.raises(UnboundError, match="In a thread, greenlet or job"):
        current_request_context()
    vars(quart)["has_app_context"] = lambda: True
    advice = re.escape(
        "A context of Quart is active here, but that is another one: Quart's own "
        "test_request_context(), app_context() and shell do not pass app.asgi_app, where the "
        "ContextMiddleware stands. In a test send requests by app.test_client(). To serve requests,"
    )
    with pytest.raises(UnboundError, match=advice):
        current_request_context()
    with pytest.raises(UnboundError, match=advice):
        g.x = 1
