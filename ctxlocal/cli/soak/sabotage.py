"""Ways to break what is soaked, each of which the soak has to see.

=====================  ============================================================
shared-dict            the Local is one dict for everybody
ident-keyed-dict       it is a dict keyed by numbers that are used again
frame-kept             the middleware pushes contexts without a frame, and pops none
teardown-twice         each teardown is registered twice
store-forgets          the store says "committed" of every fourth commit, and does nothing
=====================  ============================================================
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ..._impl import Local
from ...context import Host, RequestContext, on_teardown
from ...session.protocol import Answer, Store

FORGETS_EVERY = 4


def local_maker(sabotage: str | None) -> Callable[[], Any]:
    """Return what makes the Local under test."""
    broken: dict[str | None, Callable[[], Any]] = {
        "shared-dict": _SharedDict,
        "ident-keyed-dict": _IdentKeyedDict,
    }
    return broken.get(sabotage, Local)


def registrar(sabotage: str | None) -> Callable[[Callable[..., object]], object]:
    """Return what registers a teardown."""
    return _register_twice if sabotage == "teardown-twice" else on_teardown


def keeps_frames(sabotage: str | None) -> bool:
    """Whether the middleware lets nothing go."""
    return sabotage == "frame-kept"


class _SharedDict:
    """Attributes that all owners share."""


class _IdentKeyedDict:
    """What is often written by hand: thread numbers and addresses are used again."""

    def __init__(self) -> None:
        self.__dict__["_values"] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[_idents(), name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._values[_idents(), name] = value


def _idents() -> tuple[int, ...]:
    greenlet = sys.modules.get("greenlet")
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return (
        threading.get_ident(),
        id(task),
        0 if greenlet is None else id(greenlet.getcurrent()),
    )


def _register_twice(function: Callable[..., object]) -> None:
    on_teardown(function)
    on_teardown(function)


class FrameKept:
    """A WSGI middleware that serves in whatever context it finds, and cleans nothing up."""

    def __init__(self, app: Callable[..., Iterable[bytes]], host: Host) -> None:
        self._app = app
        self._host = host

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        RequestContext(self._host, environ).push()
        return self._app(environ, start_response)


class AsyncFrameKept:
    """The same for ASGI."""

    def __init__(self, app: Callable[..., Any], host: Host) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        RequestContext(self._host, scope).push()
        await self._app(scope, receive, send)


def forget_commits(store: Store) -> None:
    """Let a store lose every fourth commit, and say it did not."""
    commit, commits = store.commit, itertools.count(1)

    def lose(key: str, generation: int, sets: Any, deletes: Any, ops: Any, *rest: Any) -> Answer:
        if next(commits) % FORGETS_EVERY:
            return commit(key, generation, sets, deletes, ops, *rest)
        return Answer("committed", (0,) * len(ops))

    store.commit = lose  # type: ignore[method-assign,assignment]
