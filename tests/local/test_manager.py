from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import pytest

# Naming the strategy imports eventlet.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Eventlet is deprecated")


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def serve(app: Callable[..., Iterable[bytes]]) -> bytes:
    """Do what PEP 3333 asks of a server."""
    body = app({}, lambda status, headers: None)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


class Body:
    """A body that tells what is called, and raises where it is told to."""

    def __init__(self, *, fails_in: str = "", seen: Callable[[], Any] = lambda: None) -> None:
        self.fails_in = fails_in
        self.seen = seen
        self.log: list[tuple[str, Any]] = []
        self.steps = iter([b"a", b"b"])

    def step(self, name: str) -> None:
        self.log.append((name, self.seen()))
        if name == self.fails_in:
            raise OSError(name)

    def __iter__(self) -> Iterator[bytes]:
        self.step("iter")
        return self

    def __next__(self) -> bytes:
        self.step("next")
        return next(self.steps)

    def close(self) -> None:
        self.step("close")


def test_locals_may_be_none_one_or_several(impl: ModuleType, ident: Any) -> None:
    local, stack = impl.Local(ident=ident), impl.LocalStack(ident=ident)
    assert impl.LocalManager().locals == []
    assert impl.LocalManager(local).locals == [local]
    assert impl.LocalManager(stack).locals == [stack]
    assert impl.LocalManager([local, stack]).locals == [local, stack]
    assert impl.LocalManager(each for each in (local, stack)).locals == [local, stack]


def test_list_of_the_caller_is_not_kept(impl: ModuleType) -> None:
    mine = [impl.Local()]
    manager = impl.LocalManager(mine)
    manager.locals.append(impl.Local())
    assert len(mine) == 1
    assert len(manager.locals) == 2


def test_cleanup_releases_all(impl: ModuleType, ident: Any) -> None:
    local, stack = impl.Local(ident=ident), impl.LocalStack(ident=ident)
    manager = impl.LocalManager([local])
    manager.locals.append(stack)
    local.user = 1
    stack.push(2)
    manager.cleanup()
    assert not hasattr(local, "user")
    assert stack.top is None
    manager.cleanup()


def test_cleanup_releases_all_in_order_even_if_some_raise(impl: ModuleType) -> None:
    seen: list[int] = []

    class Failing:
        def __init__(self, number: int) -> None:
            self.number = number

        def __release_local__(self) -> None:
            seen.append(self.number)
            raise OSError(self.number)

    local = impl.Local()
    local.user = 1
    manager = impl.LocalManager([Failing(1), local, Failing(2)])
    with pytest.raises(OSError, match=exactly("2")) as caught:
        manager.cleanup()
    assert str(caught.value.__context__) == "1"
    assert seen == [1, 2]
    assert not hasattr(local, "user")
    assert len(manager.locals) == 3


def test_middleware_releases_when_the_response_is_closed(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    body = Body(seen=lambda: dict(local))

    def app(environ: Any, start_response: Any) -> Body:
        local.user = 1
        return body

    assert serve(impl.LocalManager(local).make_middleware(app)) == b"ab"
    bound = {"user": 1}
    assert body.log == [("iter", bound), *[("next", bound)] * 3, ("close", bound)]
    assert dict(local) == {}


def test_middleware_passes_environ_and_start_response_on(impl: ModuleType) -> None:
    calls: list[tuple[object, object]] = []

    def app(environ: object, start_response: object) -> list[bytes]:
        calls.append((environ, start_response))
        return [b"x"]

    environ, start_response = object(), object()
    body = impl.LocalManager().make_middleware(app)(environ, start_response)
    assert list(body) == [b"x"]
    body.close()
    assert calls == [(environ, start_response)]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_middleware_releases_when_the_application_raises(
    impl: ModuleType, ident: Any, error: type[BaseException]
) -> None:
    """docs/evidence.md, 11."""
    local = impl.Local(ident=ident)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        local.user = 1
        raise error

    with pytest.raises(error):
        serve(impl.LocalManager(local).make_middleware(app))
    assert dict(local) == {}


@pytest.mark.parametrize("step", ["iter", "next", "close"])
def test_middleware_releases_when_the_body_raises(impl: ModuleType, ident: Any, step: str) -> None:
    """docs/evidence.md, 11."""
    local = impl.Local(ident=ident)

    def app(environ: Any, start_response: Any) -> Body:
        local.user = 1
        return Body(fails_in=step)

    with pytest.raises(OSError, match=exactly(step)):
        serve(impl.LocalManager(local).make_middleware(app))
    assert dict(local) == {}


def test_middleware_closes_a_body_that_cannot_be_iterated(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    body = Body(fails_in="iter")

    def app(environ: Any, start_response: Any) -> Body:
        local.user = 1
        return body

    with pytest.raises(OSError, match=exactly("iter")):
        serve(impl.LocalManager(local).make_middleware(app))
    assert [name for name, _ in body.log] == ["iter", "close"]


def test_middleware_releases_when_the_application_returns_no_body(
    impl: ModuleType, ident: Any
) -> None:
    local = impl.Local(ident=ident)

    def app(environ: Any, start_response: Any) -> None:
        local.user = 1

    with pytest.raises(TypeError, match=exactly("'NoneType' object is not iterable")):
        serve(impl.LocalManager(local).make_middleware(app))
    assert dict(local) == {}


def test_middleware_closes_a_generator(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    closed: list[dict[str, int]] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        local.user = 1
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(dict(local))

    body = impl.LocalManager(local).make_middleware(app)({}, None)
    assert next(iter(body)) == b"a"
    body.close()
    assert closed == [{"user": 1}]
    assert dict(local) == {}


def test_middleware_decorator_keeps_the_name(impl: ModuleType) -> None:
    manager = impl.LocalManager()

    @manager.middleware  # type: ignore[untyped-decorator]
    def application(environ: Any, start_response: Any) -> list[bytes]:
        """Say hello."""
        return [b"hello"]

    assert application.__name__ == "application"
    assert application.__doc__ == "Say hello."
    assert serve(application) == b"hello"


def test_repr_counts_the_locals(impl: ModuleType) -> None:
    class Manager(impl.LocalManager):  # type: ignore[name-defined,misc]
        pass

    assert repr(impl.LocalManager([impl.Local(), impl.Local()])) == "<LocalManager storages: 2>"
    assert repr(Manager()) == "<Manager storages: 0>"


def test_ident_func_warns_that_it_has_no_effect(impl: ModuleType, ident: Any) -> None:
    local = impl.Local(ident=ident)
    text = (
        "LocalManager's ident_func has no effect. Choose the strategy with "
        "ctxlocal.ident.set_default() or Local(ident=...)."
    )
    with pytest.warns(DeprecationWarning, match=exactly(text)) as caught:
        manager = impl.LocalManager([local], lambda: 1)
    assert caught[0].filename == __file__
    assert manager.locals == [local]


@pytest.mark.parametrize("wrong", [5, object()])
def test_locals_that_cannot_be_iterated_are_refused(impl: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError, match=r"object is not iterable$"):
        impl.LocalManager(wrong)
