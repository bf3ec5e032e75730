"""Identity strategies: names, callables, the application's default, current()."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import inspect
import itertools
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import errors, ident
from ctxlocal.ident import default as default_module
from ctxlocal.ident.named import NAMED
from tests.support.patience import PATIENCE_S


def whole(text: str) -> str:
    """Match exactly this message."""
    return f"^{re.escape(text)}$"


def in_context(function: Callable[[], Any]) -> Any:
    return Context().run(function)


def in_copy(function: Callable[[], Any]) -> Any:
    return copy_context().run(function)


def in_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def in_greenlet(function: Callable[[], Any]) -> Any:
    import greenlet

    return greenlet.greenlet(function).switch()


def in_task(function: Callable[[], Any]) -> Any:
    async def task() -> Any:
        return function()

    async def main() -> Any:
        return await asyncio.get_running_loop().create_task(task())

    return asyncio.run(main())


class Owner:
    """An owner of the callable strategy."""


class Chosen:
    """A callable strategy whose owner the test chooses."""

    def __init__(self) -> None:
        self.owner: Any = Owner()

    def __call__(self) -> Any:
        return self.owner


# What Local(ident=...) takes

KNOWN = ", ".join(map(repr, NAMED))


@pytest.mark.parametrize(
    "wrong", ["gevnt", "", "Thread", 42, ["thread"], b"thread", Owner, Owner()]
)
def test_an_unknown_ident_is_refused_by_name(impl: ModuleType, wrong: Any) -> None:
    message = (
        f"ident is {wrong!r}, which is no identity strategy. Use one of {KNOWN}, a strategy "
        "object of ctxlocal.ident, or a callable without arguments that returns the owner."
    )
    with pytest.raises(errors.UnknownIdentError, match=whole(message)) as caught:
        impl.Local(ident=wrong)
    assert isinstance(caught.value, ValueError)
    assert caught.value.ident is wrong
    assert caught.value.source == "ident"
    assert "task" in caught.value.known
    with pytest.raises(errors.UnknownIdentError, match=whole(message)):
        impl.LocalStack(ident=wrong)
    with pytest.raises(errors.UnknownIdentError, match=whole(message)):
        impl.ident.current(wrong)


def test_an_unknown_hub_is_refused_by_name() -> None:
    message = (
        "GreenletIdent's hub is 'gevnt', which is no identity strategy. Use one of 'gevent', "
        "'eventlet', a strategy object of ctxlocal.ident, or a callable without arguments that "
        "returns the owner."
    )
    with pytest.raises(errors.UnknownIdentError, match=whole(message)):
        ident.GreenletIdent("gevnt")


def test_set_default_refuses_an_unknown_ident_and_changes_nothing(impl: ModuleType) -> None:
    impl.ident.set_default("thread")
    local = impl.Local()
    local.value = 1
    message = (
        f"set_default()'s ident is 'gevnt', which is no identity strategy. Use one of {KNOWN}, "
        "a strategy object of ctxlocal.ident, or a callable without arguments that returns the "
        "owner."
    )
    with pytest.raises(errors.UnknownIdentError, match=whole(message)):
        impl.ident.set_default("gevnt", discard=True)
    assert impl.ident.get_default().name == "thread"
    assert local.value == 1


def needs_two(first: int, second: int) -> None:
    """Cannot be an identity."""


def test_a_callable_that_needs_arguments_is_refused(impl: ModuleType) -> None:
    message = (
        f"{needs_two!r} cannot serve as an identity: it needs arguments (missing a required "
        "argument: 'first'). It is called without arguments and has to return the owner: any "
        "object that can be weakly referenced, or else a hashable value."
    )
    with pytest.raises(errors.IdentCallableError, match=whole(message)) as caught:
        impl.Local(ident=needs_two)
    assert isinstance(caught.value, TypeError)
    assert caught.value.function is needs_two
    impl.Local(ident=partial(needs_two, 1, 2))


def test_a_built_in_that_tells_no_signature_is_taken(impl: ModuleType) -> None:
    first_letter = partial(min, "one")
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(first_letter)
    local = impl.Local(ident=first_letter)
    local.value = 1
    assert in_thread(lambda: local.value) == 1  # "e" is everybody


def test_callable_ident_refuses_what_cannot_be_called(impl: ModuleType) -> None:
    message = (
        "42 cannot serve as an identity: it is not callable. It is called without arguments and "
        "has to return the owner: any object that can be weakly referenced, or else a hashable "
        "value."
    )
    with pytest.raises(errors.IdentCallableError, match=whole(message)):
        impl.ident.CallableIdent(42)


def test_a_callable_that_returns_an_unusable_value_raises_at_use(impl: ModuleType) -> None:
    chosen = Chosen()
    strategy = impl.ident.CallableIdent(chosen)
    local, stack = impl.Local(ident=strategy), impl.LocalStack(ident=strategy)
    local.value = 1
    owner, chosen.owner = chosen.owner, [1]
    message = (
        f"{strategy!r} cannot serve as an identity: it returned [1], which is neither weakly "
        "referenceable nor hashable. It is called without arguments and has to return the owner: "
        "any object that can be weakly referenced, or else a hashable value."
    )
    with pytest.raises(errors.IdentCallableError, match=whole(message)):
        local.value = 2
    with pytest.raises(errors.IdentCallableError, match=whole(message)):
        stack.push(2)
    with pytest.raises(errors.IdentCallableError, match=whole(message)):
        impl.ident.current(strategy)
    chosen.owner = owner
    assert local.value == 1  # nothing stored is lost
    assert stack.top is None


def test_an_error_of_the_callable_passes_through(impl: ModuleType) -> None:
    def broken() -> None:
        raise LookupError("no request")

    local = impl.Local(ident=broken)
    with pytest.raises(LookupError, match=r"^no request$"):
        local.value = 1


def test_none_can_be_an_owner(impl: ModuleType) -> None:
    chosen = Chosen()
    local = impl.Local(ident=chosen)
    chosen.owner = None
    local.value = 1
    chosen.owner = Owner()
    assert not hasattr(local, "value")
    chosen.owner = None
    assert local.value == 1
    impl.release_local(local)


def test_two_locals_with_one_callable_have_the_same_owners(impl: ModuleType) -> None:
    chosen = Chosen()
    first, second = impl.Local(ident=chosen), impl.Local(ident=chosen)
    first.value, second.value = 1, 2
    assert (first.value, second.value) == (1, 2)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (threading.get_ident, "thread"),
        (threading.get_native_id, "thread"),
        (asyncio.current_task, "task"),
    ],
)
def test_well_known_callables_mean_the_built_in_strategies(
    impl: ModuleType, function: Callable[[], Any], name: str
) -> None:
    assert impl.ident.resolve(function) is impl.ident.resolve(name)


def test_greenlets_getcurrent_means_the_greenlet_strategy(impl: ModuleType) -> None:
    import greenlet

    assert impl.ident.resolve(greenlet.getcurrent) is impl.ident.resolve("greenlet")


@pytest.mark.parametrize(
    ("library", "patch"),
    [
        ("gevent", "import gevent.monkey; gevent.monkey.patch_all()"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_gevent_and_eventlet_callables_mean_greenlet(
    library: str, patch: str, run_python: Callable[..., str]
) -> None:
    printed = run_python(f"""
        import threading, _thread, {library}
        from ctxlocal.ident import resolve
        unpatched = threading.get_ident
        print(resolve({library}.getcurrent).name, resolve(unpatched).name)
        {patch}
        print(resolve(threading.get_ident).name, resolve(_thread.get_ident).name)
        print(resolve(unpatched).name)
    """)
    assert printed.split() == ["greenlet", "thread", "greenlet", "greenlet", "thread"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_that_a_task_forks_has_no_task(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import asyncio, os
        from ctxlocal import Local

        locals_ = {name: Local(ident=name) for name in ("context", "thread", "task")}

        async def main():
            for local in locals_.values():
                local.value = 1
            if (child := os.fork()) == 0:
                found = [name for name, local in locals_.items() if hasattr(local, "value")]
                print(*found, flush=True)
                os._exit(0)
            os.waitpid(child, 0)

        asyncio.run(main())
    """)
    assert printed.split() == ["context", "thread"]


def test_a_strategy_of_ones_own(impl: ModuleType) -> None:
    owner = Owner()

    class Mine(impl.ident.Ident):  # type: ignore[name-defined,misc]
        name = "mine"

        def owner(self) -> object:
            return owner

    local = impl.Local(ident=Mine())
    local.value = 1
    owner = Owner()
    assert not hasattr(local, "value")


# Missing packages and other hubs


@pytest.mark.parametrize(
    ("name", "blocked", "package", "extra"),
    [
        ("greenlet", "greenlet", "greenlet", "gevent"),
        ("gevent", "gevent", "gevent", "gevent"),
        ("eventlet", "eventlet", "eventlet", "eventlet"),
    ],
)
def test_a_strategy_whose_package_is_missing_names_the_pip_command(
    name: str, blocked: str, package: str, extra: str, run_python: Callable[..., str]
) -> None:
    printed = run_python(f"""
        import sys
        sys.modules[{blocked!r}] = None
        import ctxlocal
        from ctxlocal import Local, ident, errors
        local = Local()
        for use in (lambda: Local(ident={name!r}), lambda: ident.set_default({name!r})):
            try:
                use()
            except errors.MissingDependencyError as error:
                assert isinstance(error, ImportError) and isinstance(error.__cause__, ImportError)
                print(error.package, error.extra, error)
        local.value = 1
    """)
    message = (
        f"{package} {extra} The identity strategy {name!r} needs {package}, which is not "
        f"installed. Install it with: pip install {package} (ctxlocal's extra [{extra}] has all it "
        "goes with)."
    )
    assert printed.splitlines() == [message] * 2


def test_the_environment_names_a_strategy_whose_package_is_missing(
    run_python: Callable[..., str],
) -> None:
    printed = run_python(
        """
        import sys
        sys.modules["gevent"] = None
        from ctxlocal import Local, LocalStack, errors
        local, stack = Local(), LocalStack()
        assert not hasattr(local, "value") and stack.top is None and list(local) == []
        for write in (lambda: setattr(local, "value", 1), lambda: stack.push(1)):
            try:
                write()
            except errors.MissingDependencyError as error:
                print(error)
        """,
        CTXLOCAL_IDENT="gevent",
    )
    message = (
        "The identity strategy 'gevent' needs gevent, which is not installed. "
        "Install it with: pip install gevent (ctxlocal's extra [gevent] has all it goes with)."
    )
    assert printed.splitlines() == [message] * 2


MISMATCH = """
    import ctxlocal, {running} as library, {expected}
    from ctxlocal import Local, errors
    local, following, fitting = Local(ident={expected!r}), Local(), Local(ident="greenlet")
    ctxlocal.ident.set_default({expected!r})

    def run():
        if {other_first}:
            fitting.value = 1
        for each in (local, following):
            try:
                each.value = 1
            except errors.HubMismatchError as error:
                assert isinstance(error, RuntimeError)
                print(error.expected, error.running, error)
        fitting.value = 1

    owner = library.spawn(run)
    owner.get() if library.__name__ == "gevent" else owner.wait()
    local.value = 1  # the main greenlet stands for its thread
"""


@pytest.mark.parametrize("other_first", [False, True])
@pytest.mark.parametrize(("expected", "running"), [("gevent", "eventlet"), ("eventlet", "gevent")])
def test_a_strategy_refuses_greenlets_of_the_other_hub(
    expected: str, running: str, other_first: bool, run_python: Callable[..., str]
) -> None:
    message = (
        f"{expected} {running} The identity strategy is {expected!r}, but the hub of this thread "
        f"is {running}'s. Use ident={running!r}, or 'greenlet', which serves both."
    )
    printed = run_python(
        MISMATCH.format(expected=expected, running=running, other_first=other_first)
    )
    assert printed.splitlines() == [message] * 2


@pytest.mark.parametrize("expected", ["gevent", "eventlet"])
def test_a_raw_greenlet_beside_a_hub_fits_every_strategy(
    expected: str, run_python: Callable[..., str]
) -> None:
    printed = run_python(f"""
        import eventlet, gevent, greenlet
        from ctxlocal import Local
        eventlet.sleep(0), gevent.sleep(0)  # both hubs run now
        local = Local(ident={expected!r})
        greenlet.greenlet(lambda: setattr(local, "value", 1)).switch()
        print(hasattr(local, "value"))
    """)
    assert printed.strip() == "False"


def test_the_thread_is_the_owner_while_the_interpreter_ends(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = impl.ident.GreenletIdent()

    def getcurrent() -> None:  # as greenlet's does then
        raise RuntimeError("greenlet is being finalized")

    monkeypatch.setattr(strategy, "_getcurrent", getcurrent)
    assert strategy.owner() is impl.ident.THREAD


# The application's default


def test_the_default_is_context(impl: ModuleType) -> None:
    assert impl.ident.get_default().name == "context"
    assert impl.ident.default_source() == "built-in"


def test_locals_made_before_follow_a_default_that_is_set_later(impl: ModuleType) -> None:
    before, stack_before = impl.Local(), impl.LocalStack()
    assert not hasattr(before, "value")  # reads decide nothing
    assert stack_before.top is None
    assert stack_before.pop() is None
    impl.release_local(before)
    impl.ident.set_default("thread")
    after = impl.Local()
    before.value = after.value = 1
    stack_before.push(1)
    assert Context().run(lambda: (before.value, after.value, stack_before.top)) == (1, 1, 1)
    assert impl.ident.default_source() == "set_default"


def test_a_default_set_again_to_the_same_keeps_the_values(impl: ModuleType) -> None:
    impl.ident.set_default("thread")
    local = impl.Local()
    local.value = 1
    impl.ident.set_default("thread")
    impl.ident.set_default(impl.ident.resolve("thread"), discard=True)
    assert local.value == 1


def test_an_explicit_ident_does_not_follow(impl: ModuleType) -> None:
    local = impl.Local(ident="context")
    local.value = 1
    impl.ident.set_default("thread")
    impl.ident.set_default("greenlet")
    assert local.value == 1
    assert Context().run(lambda: hasattr(local, "value")) is False


def in_use(old: str, new: str, *names: str) -> str:
    return whole(
        f"The default strategy cannot change from {old!r} to {new!r}: values are stored in "
        f"{', '.join(names)}. Call set_default() before the first value is stored, release these "
        "locals first, or pass discard=True to drop their values."
    )


def test_the_default_cannot_change_while_values_are_stored(impl: ModuleType) -> None:
    local, stack, other = (
        impl.Local(name="request"),
        impl.LocalStack(name="contexts"),
        impl.Local(),
    )
    unused = impl.Local(name="unused")
    local.value = other.value = 1
    stack.push(1)
    names = ("Local 'request'", f"Local at {id(other):#x}", "LocalStack 'contexts'")
    with pytest.raises(errors.IdentInUseError, match=in_use("context", "thread", *names)) as caught:
        impl.ident.set_default("thread")
    assert isinstance(caught.value, RuntimeError)
    assert (caught.value.old, caught.value.new) == ("context", "thread")
    assert caught.value.locals == names
    assert (local.value, stack.top, impl.ident.get_default().name) == (1, 1, "context")
    for each in (local, stack, other):
        impl.release_local(each)
    impl.ident.set_default("thread")
    unused.value = 1


def test_values_in_another_living_context_count(impl: ModuleType) -> None:
    local = impl.Local(name="request")
    context = Context()
    context.run(setattr, local, "value", 1)
    with pytest.raises(
        errors.IdentInUseError, match=in_use("context", "greenlet", "Local 'request'")
    ):
        impl.ident.set_default("greenlet")
    del context
    impl.ident.set_default("greenlet")


def test_values_in_a_snapshot_count(impl: ModuleType) -> None:
    for strategy, new in (("context", "thread"), ("thread", "greenlet")):
        impl.ident.set_default(strategy)
        local = impl.Local(name="request")
        local.value = 1
        snapshot = impl.flow.snapshot()
        impl.release_local(local)
        with pytest.raises(errors.IdentInUseError, match=in_use(strategy, new, "Local 'request'")):
            impl.ident.set_default(new)
        del snapshot
        impl.ident.set_default(new)


@pytest.mark.parametrize("old", ["thread", "greenlet", "context"])
def test_values_in_another_living_thread_count(impl: ModuleType, old: str) -> None:
    impl.ident.set_default(old)
    local = impl.Local(name="request")
    here, end = threading.Barrier(2), threading.Event()

    def run() -> None:
        local.value = 1
        here.wait()
        end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    here.wait()
    with pytest.raises(errors.IdentInUseError, match=in_use(old, "task", "Local 'request'")):
        impl.ident.set_default("task")
    end.set()
    thread.join()
    impl.ident.set_default("task")


def test_values_in_another_living_greenlet_count(impl: ModuleType) -> None:
    import greenlet

    impl.ident.set_default("greenlet")
    stack = impl.LocalStack(name="contexts")
    main = greenlet.getcurrent()
    suspended = greenlet.greenlet(lambda: (stack.push(1), main.switch()))
    suspended.switch()
    with pytest.raises(
        errors.IdentInUseError, match=in_use("greenlet", "thread", "LocalStack 'contexts'")
    ):
        impl.ident.set_default("thread")
    suspended.switch()
    del suspended
    impl.ident.set_default("thread")


def test_values_in_another_living_task_count(impl: ModuleType) -> None:
    impl.ident.set_default("task")
    local = impl.Local(name="request")

    async def hold() -> None:
        local.value = 1
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(hold())
        await asyncio.sleep(0)
        with pytest.raises(
            errors.IdentInUseError, match=in_use("task", "thread", "Local 'request'")
        ):
            impl.ident.set_default("thread")
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        impl.ident.set_default("thread")

    asyncio.run(main())


@pytest.mark.parametrize("old", ["context", "thread", "greenlet", "task"])
def test_discard_drops_the_values_everywhere(impl: ModuleType, old: str) -> None:
    impl.ident.set_default(old)
    local, stack = impl.Local(), impl.LocalStack()
    seen: list[bool] = []
    here, end = threading.Barrier(2), threading.Event()

    def run() -> None:
        local.value = 1
        stack.push(1)
        here.wait()
        end.wait()
        seen.append(hasattr(local, "value") or stack.top is not None)

    thread = threading.Thread(target=run)
    thread.start()
    local.value = 1
    stack.push(1)
    here.wait()
    new = "greenlet" if old == "thread" else "thread"
    impl.ident.set_default(new, discard=True)
    end.set()
    thread.join()
    assert seen == [False]
    assert not hasattr(local, "value")
    assert stack.top is None
    local.value = 2
    assert local.value == 2
    impl.ident.set_default(None, discard=True)
    assert not hasattr(local, "value")


@pytest.mark.parametrize("nth", range(1, 5))
def test_the_default_may_change_while_a_value_is_stored(impl: ModuleType, nth: int) -> None:
    """By what the strategy calls, or another thread: the value is stored, or gone with the rest."""

    def current() -> object:
        if next(calls) == nth:
            impl.ident.set_default("thread", discard=True)
        return owner

    class Owner:
        pass

    owner = Owner()
    ways: list[tuple[Any, Callable[[Any], object], Callable[[Any], object]]] = [
        (impl.LocalStack, lambda stack: stack.push(1), lambda stack: stack.top),
        (impl.Local, lambda local: setattr(local, "x", 1), lambda local: getattr(local, "x", None)),
        (impl.Local, lambda local: vars(local).update(x=1), lambda local: vars(local).get("x")),
    ]
    for make, store, look in ways:
        calls = itertools.count(1)
        impl.ident.set_default(current, discard=True)
        holder = make()
        store(holder)
        assert look(holder) in (None, 1)


def test_discarded_values_die(impl: ModuleType) -> None:
    for old in ("thread", "greenlet"):
        impl.ident.set_default(old, discard=True)
        local = impl.Local()
        local.value = Owner()
        reference = weakref.ref(local.value)
        impl.ident.set_default("context", discard=True)
        assert reference() is None


def test_none_goes_back_to_the_environment(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    impl.ident.set_default("thread")
    monkeypatch.setenv("CTXLOCAL_IDENT", "greenlet")
    impl.ident.set_default(None)
    assert impl.ident.get_default().name == "greenlet"
    assert impl.ident.default_source() == "CTXLOCAL_IDENT"
    local = impl.Local(name="request")
    local.value = 1
    with pytest.raises(
        errors.IdentInUseError,
        match=in_use("greenlet", "the environment's", "Local 'request'"),
    ):
        impl.ident.set_default(None)


@pytest.mark.parametrize("name", ["context", "thread", "greenlet", "gevent", "task"])
def test_the_environment_chooses_the_default(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CTXLOCAL_IDENT", name)
    local = impl.Local()
    local.value = 1
    assert impl.ident.get_default() is impl.ident.resolve(name)
    assert Context().run(hasattr, local, "value") is (name != "context")


def test_a_wrong_environment_raises_at_the_first_write_only(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTXLOCAL_IDENT", "gevnt")
    local, stack = impl.Local(), impl.LocalStack()
    proxy = impl.LocalProxy(local, "value")
    assert not hasattr(local, "value")
    assert list(local) == []
    assert stack.top is None
    assert stack.pop() is None
    assert not proxy
    assert repr(proxy) == "<LocalProxy unbound>"
    assert not impl.is_bound(proxy)
    impl.release_local(local)
    impl.release_local(stack)
    message = (
        "The environment variable CTXLOCAL_IDENT is 'gevnt', which is no identity strategy. Use "
        f"one of {KNOWN}, a strategy object of ctxlocal.ident, or a callable without arguments "
        "that returns the owner."
    )
    for write in (lambda: setattr(local, "value", 1), lambda: stack.push(1)):
        with pytest.raises(errors.UnknownIdentError, match=whole(message)) as caught:
            write()
        assert caught.value.source == "The environment variable CTXLOCAL_IDENT"
    impl.ident.set_default("thread")  # the application may still decide
    local.value = 1


def test_an_unbound_proxy_reports_while_the_environment_is_wrong(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTXLOCAL_IDENT", "gevnt")
    with pytest.raises(errors.UnboundError):
        impl.LocalProxy(impl.Local(), "value")._get_current_object()


def test_import_never_reads_the_environment(run_python: Callable[..., str]) -> None:
    printed = run_python(
        """
        import os
        import ctxlocal
        from ctxlocal import Local
        local = Local()
        getattr(local, "value", None)
        os.environ["CTXLOCAL_IDENT"] = "thread"
        local.value = 1
        print(ctxlocal.ident.get_default().name)
        """,
        CTXLOCAL_IDENT="gevnt",
    )
    assert printed == "thread\n"


def test_many_threads_may_write_first_at_once(impl: ModuleType) -> None:
    for _ in range(50):
        impl.ident.set_default(None, discard=True)
        impl.ident.set_default("greenlet")
        local = impl.Local()
        here = threading.Barrier(8)
        lost: list[int] = []

        def run(
            number: int,
            here: threading.Barrier = here,
            local: Any = local,
            lost: list[int] = lost,
        ) -> None:
            here.wait()
            local.value = number
            here.wait()
            if getattr(local, "value", None) != number:
                lost.append(number)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost == []


# current()


@pytest.mark.parametrize("strategy", ["context", "thread", "greenlet", "gevent", "task"])
def test_current_is_hashable_and_stable_within_an_owner(impl: ModuleType, strategy: str) -> None:
    def twice() -> tuple[Hashable, Hashable]:
        first = impl.ident.current(strategy)
        contextvars.ContextVar[int]("another").set(1)
        gc.collect()
        return first, impl.ident.current(strategy)

    for run in (lambda f: f(), in_thread, in_greenlet, in_task, Context().run):
        first, second = run(twice)
        assert first is second
        assert hash(first) == hash(second)


def test_current_follows_the_default(impl: ModuleType) -> None:
    assert impl.ident.current() is impl.ident.current("context")
    impl.ident.set_default("thread")
    assert impl.ident.current() is impl.ident.current("thread")


DIFFERENT: list[Any] = [
    ("context", [in_context, in_copy, in_thread, in_task]),
    ("thread", [in_thread]),
    ("greenlet", [in_thread, in_greenlet]),
    ("gevent", [in_thread, in_greenlet]),
    ("task", [in_thread, in_task]),
]


@pytest.mark.parametrize(("strategy", "ways"), DIFFERENT)
def test_current_is_unique_among_all_owners(
    impl: ModuleType, strategy: str, ways: list[Callable[[Callable[[], Any]], Any]]
) -> None:
    current = partial(impl.ident.current, strategy)
    seen = [current(), *(way(current) for way in ways for _ in range(100))]
    # Ended owners' numbers are reused; their identities are not, even once these are dropped.
    assert len(set(seen)) == len(seen)
    assert current() is seen[0]


def test_current_of_a_callable(impl: ModuleType) -> None:
    chosen = Chosen()
    first = impl.ident.current(chosen)
    assert impl.ident.current(chosen) is first
    former, chosen.owner = chosen.owner, Owner()
    assert impl.ident.current(chosen) is not first
    chosen.owner = former
    assert impl.ident.current(chosen) is first


def test_a_copied_context_is_another_identity(impl: ModuleType) -> None:
    context = Context()
    first = context.run(impl.ident.current)
    copied = context.copy()
    second = copied.run(impl.ident.current)
    assert first is not second
    assert context.run(impl.ident.current) is first
    assert copied.run(impl.ident.current) is second


def test_a_task_keeps_no_context_that_something_of_it_ran_in(impl: ModuleType) -> None:
    local, var = impl.Local(ident="task"), contextvars.ContextVar[Owner]("var")
    kept: list[weakref.ref[Owner]] = []

    def write() -> None:
        owner = Owner()
        kept.append(weakref.ref(owner))
        var.set(owner)
        local.value = 1

    async def main() -> None:
        Context().run(write)
        gc.collect()
        assert kept[0]() is None
        assert local.value == 1

    asyncio.run(main())


def test_a_copied_owner_does_not_share_the_originals_values(impl: ModuleType) -> None:
    function = Chosen()
    local = impl.Local(ident=function)
    original = function.owner
    local.value = "original"
    function.owner = copied = copy.copy(original)
    assert not hasattr(local, "value")
    local.value = "copy"
    function.owner = original
    assert local.value == "original"
    function.owner = copied
    assert local.value == "copy"


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda owner: pickle.loads(pickle.dumps(owner))],
    ids=["deepcopy", "pickle"],
)
def test_a_deep_copied_or_pickled_owner_carries_no_values(
    impl: ModuleType, duplicate: Callable[[Owner], Owner]
) -> None:
    function = Chosen()
    local = impl.Local(ident=function)
    original = function.owner
    local.value = 1
    local.lock = threading.Lock()  # which could be neither pickled nor copied
    function.owner = duplicate(original)
    assert not hasattr(local, "value")
    local.value = "another"
    function.owner = original
    assert local.value == 1


def test_tasks_never_share_an_identity(impl: ModuleType) -> None:
    async def identity() -> Hashable:
        await asyncio.sleep(0)
        found: Hashable = impl.ident.current()
        return found

    async def main() -> None:
        outer = impl.ident.current()
        seen = await asyncio.gather(*(identity() for _ in range(50)))
        assert len({outer, *seen}) == 51
        assert impl.ident.current() is outer

    asyncio.run(main())


def test_current_keeps_no_value_of_its_owner_alive(impl: ModuleType) -> None:
    for strategy, run in (
        ("context", in_context),
        ("thread", in_thread),
        ("greenlet", in_greenlet),
        ("task", in_task),
    ):
        local = impl.Local(ident=strategy)
        references: list[weakref.ref[Owner]] = []

        def own(
            local: Any = local, strategy: str = strategy, references: list[Any] = references
        ) -> Hashable:
            local.value = Owner()
            references.append(weakref.ref(local.value))
            found: Hashable = impl.ident.current(strategy)
            return found

        identity = run(own)
        gc.collect()
        assert references[0]() is None
        assert repr(identity).startswith("<identity of ")


# Monkey-patching, in whatever order

PATCHED = """
    import sys, threading
    {before}
    import ctxlocal
    from ctxlocal import Local, LocalStack
    made_before = {{s: (Local(ident=s), LocalStack(ident=s)) for s in ("greenlet", "thread")}}
    {after}
    made_after = {{s: (Local(ident=s), LocalStack(ident=s)) for s in ("greenlet", "thread")}}

    def occupy(strategy, value):
        '''Whether nothing was there; then something is.'''
        fresh = True
        for local, stack in (made_before[strategy], made_after[strategy]):
            fresh &= not hasattr(local, "value") and stack.top is None
            local.value = value
            stack.push(value)
        return fresh

    print(occupy("greenlet", 0), occupy("thread", 0))
    {run}
    assert made_before["greenlet"][0].value == made_after["greenlet"][1].top == 0
"""
RUN = {
    "gevent": """
    import gevent, gevent.monkey
    print(gevent.spawn(occupy, "greenlet", 1).get(), gevent.spawn(occupy, "thread", 1).get())
    pool = gevent.get_hub().threadpool
    print(pool.apply(occupy, ("greenlet", 2)), pool.apply(occupy, ("thread", 2)))
    """,
    "eventlet": """
    import eventlet, eventlet.tpool
    eventlet.tpool.set_num_threads(1)
    print(eventlet.spawn(occupy, "greenlet", 1).wait(), eventlet.spawn(occupy, "thread", 1).wait())
    execute = eventlet.tpool.execute
    print(execute(occupy, "greenlet", 2), execute(occupy, "thread", 2))
    """,
}
FINISH = """
    def run_patched():
        print(occupy("greenlet", 3), occupy("thread", 3))
    patched_thread = threading.Thread(target=run_patched)
    patched_thread.start()
    patched_thread.join()
    print(made_before["thread"][0].value)
"""
PATCH = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}


@pytest.mark.parametrize("library", PATCH)
@pytest.mark.parametrize("order", ["patched first", "ctxlocal first"])
def test_isolation_does_not_depend_on_the_order_of_monkey_patching(
    library: str, order: str, run_python: Callable[..., str]
) -> None:
    patch = PATCH[library]
    printed = run_python(
        PATCHED.format(
            before=patch if order == "patched first" else "",
            after=patch if order == "ctxlocal first" else "",
            run=RUN[library] + FINISH,
        )
    )
    lines = printed.splitlines()
    assert lines[0] == "True True"
    assert lines[1] == "True False"  # a green thread: its own greenlet, on the main OS thread
    assert lines[2] == "True True"  # a thread of the pool: another OS thread
    assert lines[3] == "True False"  # a patched Thread is a green thread
    assert lines[4] == "3"


def test_an_early_get_ident_is_no_trap(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        from threading import get_ident
        from ctxlocal import Local
        early = Local(ident=get_ident)
        import gevent.monkey
        gevent.monkey.patch_all()
        import gevent, threading
        late = Local(ident=threading.get_ident)
        early.value = late.value = 1
        print(*gevent.spawn(lambda: (hasattr(early, "value"), hasattr(late, "value"))).get())
    """)
    assert printed.split() == ["True", "False"]


def test_modules_that_are_not_loaded_stay_so(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import sys
        import ctxlocal
        for strategy in ("context", "thread", "task"):
            local = ctxlocal.Local(ident=strategy)
            local.value = 1
            ctxlocal.ident.current(strategy)
        print(*({"asyncio", "greenlet", "gevent", "eventlet"} & set(sys.modules)))
    """)
    assert printed == "\n"
    assert ident.resolve("thread") is ident.resolve("thread")
    assert sys.modules["ctxlocal.ident"] is ident


def test_all_contexts_are_looked_for_once(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    followers = [impl.Local() for _ in range(5)]

    def write_and_release() -> None:
        for local in followers:
            local.value = 1
            impl.release_local(local)

    write_and_release()
    find, calls = default_module._living_contexts, []

    def counted() -> list[Context]:
        calls.append(1)
        return find()

    monkeypatch.setattr(default_module, "_living_contexts", counted)
    ident.set_default("thread")
    assert calls == [1]


def test_a_strategy_that_outlives_the_modules_ends_in_silence(twin: dict[str, str]) -> None:
    code = """
        import os
        from ctxlocal import Local, ident
        from ctxlocal.ident import travel
        from ctxlocal.local import storage
        class Own(ident.ThreadIdent): pass
        # Of modules that are referred to, the last imported loses its names first.
        os.kept = [storage, travel.strategies, Local(ident=Own(), carry=True)]
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **twin},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


class Slotted:
    """An owner that has no ``__dict__`` to keep anything in."""

    __slots__ = ("__weakref__",)


def test_an_owner_without_a_dict_keeps_its_values_as_long_as_it_lives(impl: ModuleType) -> None:
    owners = [Slotted(), Slotted()]
    current = owners[0]
    local: Any = impl.Local(ident=lambda: current)
    stack: Any = impl.LocalStack(ident=lambda: current)
    for current in owners:
        local.x = [id(current)]
        stack.push(id(current))
    for current in owners:
        assert local.x == [id(current)]
        assert stack.top == id(current)
    value = Owned()
    local.x, gone = value, weakref.ref(value)
    del value
    owners.clear()
    current = Slotted()
    gc.collect()
    assert gone() is None
    assert not hasattr(local, "x")


class Owned:
    pass
