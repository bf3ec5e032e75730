"""What no store raises, an interrupt or a mistake in its code, is nobody's to swallow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ctxlocal.sessions.session import Session
from ctxlocal.sessions.stores.memory import MemoryStore

from ..conftest import Browser, Make
from ..stores.conftest import Clock


class Interrupt(BaseException):
    pass


class Mistake(Exception):
    pass


def read(session: Session) -> None:
    dict(session)


def change(session: Session) -> None:
    session["a"] = 2


def log_in(session: Session) -> None:
    session.user = "ann"


#: By the store's operation: whether there is a session before, and what a request does.
USES: dict[str, tuple[bool, Callable[[Session], object]]] = {
    "create": (False, change),
    "load": (True, read),
    "commit": (True, change),
    "touch": (True, lambda session: session.refresh()),
    "move": (True, lambda session: session.regenerate()),
    "delete": (True, lambda session: session.destroy()),
    "list": (True, log_in),
}


@pytest.fixture(params=USES)
def use(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[Interrupt, Mistake])
def error(request: pytest.FixtureRequest) -> type[BaseException]:
    kind: type[BaseException] = request.param
    return kind


@pytest.fixture(params=["raise", "anonymous"])
def interrupted(
    request: pytest.FixtureRequest,
    use: str,
    error: type[BaseException],
    make: Make,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Browser, Callable[[Session], object]]:
    """A browser of a store of which one operation is interrupted, and what asks for that."""
    is_old, ask = USES[use]
    store = MemoryStore(clock=clock)
    browser = Browser(make(store, max_sessions=1, when_down=request.param))
    if is_old:
        with browser.request() as session:
            session["a"] = 1
    clock.advance(100)

    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(MemoryStore, use, interrupt)
    return browser, ask


def test_an_interrupt_leaves_every_step(
    interrupted: tuple[Browser, Callable[[Session], object]], error: type[BaseException]
) -> None:
    browser, use = interrupted

    def ask() -> None:
        session = browser.open()
        use(session)
        browser.save(session)

    with pytest.raises(error):
        ask()


def test_an_interrupt_leaves_every_step_under_asgi(
    interrupted: tuple[Browser, Callable[[Session], object]], error: type[BaseException]
) -> None:
    browser, use = interrupted

    async def ask() -> None:
        session = await browser.open_async()
        use(session)
        await browser.save_async(session)

    async def main() -> None:
        with pytest.raises(error):
            await ask()

    asyncio.run(main())
