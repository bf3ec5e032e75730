"""Ways to break what is soaked, each of which the soak has to see.

=====================  ============================================================
shared-dict            the Local is one dict for everybody
ident-keyed-dict       it is a dict keyed by numbers that are used again
frame-kept             the middleware pushes contexts without a frame, and pops none
teardown-twice         each teardown is registered twice
teardown-early         each teardown is called when it is registered
store-forgets          the store says "committed" of every fourth commit, and does nothing
store-confuses         every tenth load gives what another session holds
=====================  ============================================================
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ...ident.record import running_greenlet
from ...local import Local
from ...sessions.stores.protocol import Answer, Change, Record, Store
from ...web.context import Application, RequestContext, on_teardown

FORGETS_EVERY = 4
CONFUSES_EVERY = 10


def local_maker(sabotage: str | None) -> Callable[[], Any]:
    """Return what makes the Local under test."""
    broken: dict[str | None, Callable[[], Any]] = {
        "shared-dict": _SharedDict,
        "ident-keyed-dict": _IdentKeyedDict,
    }
    return broken.get(sabotage, Local)


def registrar(sabotage: str | None) -> Callable[[Callable[..., object]], object]:
    """Return what registers a teardown."""
    broken: dict[str | None, Callable[[Callable[..., object]], object]] = {
        "teardown-twice": _register_twice,
        "teardown-early": _call_at_once,
    }
    return broken.get(sabotage, on_teardown)


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
    greenlet = running_greenlet()
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return (
        threading.get_ident(),
        id(task),
        0 if greenlet is None else id(greenlet),
    )


def _register_twice(function: Callable[..., object]) -> None:
    on_teardown(function)
    on_teardown(function)


def _call_at_once(function: Callable[..., object]) -> None:
    function(None)


class FrameKept:
    """A WSGI middleware that serves in whatever context it finds, and cleans nothing up."""

    def __init__(self, app: Callable[..., Iterable[bytes]], host: Application) -> None:
        self._app = app
        self._host = host

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        RequestContext(self._host, environ).push()
        return self._app(environ, start_response)


class AsyncFrameKept:
    """The same for ASGI."""

    def __init__(self, app: Callable[..., Any], host: Application) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        RequestContext(self._host, scope).push()
        await self._app(scope, receive, send)


def forget_commits(store: Store) -> None:
    """Let a store lose every fourth commit, and say it did not."""
    commit, commits = store.commit, itertools.count(1)

    def lose(key: str, generation: int, change: Change, *rest: Any) -> Answer:
        if next(commits) % FORGETS_EVERY:
            return commit(key, generation, change, *rest)
        return Answer("committed", (0,) * len(change.ops))

    store.commit = lose  # type: ignore[method-assign,assignment]


def confuse_records(store: Store) -> None:
    """Let a store answer every tenth load with the values of the session before."""
    load, loads = store.load, itertools.count(1)
    former: tuple[str, Record] | None = None

    def confuse(key: str) -> Record | None:
        nonlocal former
        record, other = load(key), former
        if record is None:
            return None
        former = key, record
        if other is None or other[0] == key or next(loads) % CONFUSES_EVERY:
            return record
        values = dict(other[1].values)
        return Record(values, record.generation, record.touched, record.expires, record.version)

    store.load = confuse  # type: ignore[method-assign]
