"""A session of SQLAlchemy for each owner, closed when its request, or the owner itself, ends.

::

    from ctxlocal.integrations.sqlalchemy import scoped

    database = scoped(sessionmaker(engine))

``database`` is a ``scoped_session`` of SQLAlchemy, with all that it has; but nobody has to call
``remove()``, and no connection stays with whoever has ended. The owner is

- the request, in a ContextMiddleware and in an App: its threads and tasks have one session;
- where there is none, the owner by the application's strategy: a thread, greenlet or task; and
  inside of a :class:`~ctxlocal.flow.Frame` that.

What was not committed is rolled back, as by every ``close()``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, finalize, ref

from .. import ident
from ..errors import MissingDependencyError
from ..local import Local
from ..web import has_request_context
from ..web.context import RequestContext, current_request_context

try:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
    from sqlalchemy.orm import Session, scoped_session, sessionmaker
except ImportError as error:
    raise MissingDependencyError("ctxlocal.integrations.sqlalchemy", "sqlalchemy", "sql") from error

__all__ = ["async_scoped", "scoped"]

S = TypeVar("S", bound=Session)
A = TypeVar("A", bound=AsyncSession)
K = TypeVar("K", bound="_Sessions")

_log = logging.getLogger("ctxlocal.integrations.sqlalchemy")


def scoped(factory: sessionmaker[S]) -> scoped_session[S]:
    """Return a ``scoped_session`` whose sessions are closed and removed by themselves.

    In a request by a teardown, which comes before those that were registered before the session
    was first used. Elsewhere when the thread, greenlet or task ends, or the Frame is closed.

    :param factory: makes the sessions.
    """
    owners = _Owners(_Sessions())
    database = scoped_session(factory, scopefunc=owners.current)
    database.registry.registry = owners.sessions.of
    return database


def async_scoped(factory: async_sessionmaker[A]) -> async_scoped_session[A]:
    """Return an ``async_scoped_session`` whose sessions are closed and removed by themselves.

    At the end of a request under ASGI that is awaited, also if it was cancelled. Elsewhere the
    session is the task's, and another task closes it when that has ended. Where no event loop goes
    on to do so, as at the end of ``asyncio.run``, an error is logged: ``await database.remove()``
    there.

    :param factory: makes the sessions.
    """
    owners = _AsyncOwners(_AsyncSessions())
    database = async_scoped_session(factory, scopefunc=owners.current)
    database.registry.registry = owners.sessions.of
    return database


class _Owner:
    """Stands for an owner, as the key of its session."""

    __slots__ = ("label", "loop", "pid")

    def __init__(self, label: str) -> None:
        self.label = label
        self.loop = asyncio._get_running_loop()
        self.pid = os.getpid()


class _Sessions:
    """The sessions that are open, by owner."""

    def __init__(self) -> None:
        self.of: dict[_Owner, Any] = {}

    def close(self, owner: _Owner) -> None:
        """Close and forget the owner's session, if it has one; errors are logged."""
        if owner.pid != os.getpid():  # it is our parent's, and so is its connection
            return
        if (session := self.of.pop(owner, None)) is None:
            return
        gevent: Any = sys.modules.get("gevent")
        if gevent is not None and isinstance(gevent.getcurrent(), gevent.hub.Hub):
            gevent.spawn(self._close, session, owner)  # the hub itself may wait for nothing
        else:
            self._close(session, owner)

    def _close(self, session: Any, owner: _Owner) -> None:
        try:
            session.close()
        except Exception:
            _log.exception("The session of %s could not be closed", owner.label)


class _AsyncSessions(_Sessions):
    def _close(self, session: Any, owner: _Owner) -> None:
        if owner.loop is None or asyncio._get_running_loop() is not owner.loop:
            self._complain(owner)
            return
        # In a Context of its own, or the task would keep the values of this one.
        task = Context().run(owner.loop.create_task, self.aclose(session, owner))
        _closing.add(task)
        task.add_done_callback(partial(self._closed, owner))

    def _closed(self, owner: _Owner, task: asyncio.Task[None]) -> None:
        _closing.discard(task)
        if task.cancelled():
            self._complain(owner)

    def _complain(self, owner: _Owner) -> None:
        _log.error(
            "The AsyncSession of %s was not closed: its owner has ended, and no event loop goes on "
            "that could await it. Await remove() before the end, or use it in requests that are "
            "served by the ContextMiddleware of ctxlocal.web.asgi.",
            owner.label,
        )

    async def aclose(self, session: Any, owner: _Owner) -> None:
        try:
            await session.close()
        except Exception:
            _log.exception("The session of %s could not be closed", owner.label)


_closing: set[asyncio.Task[None]] = set()  # asyncio itself refers to tasks weakly


class _Owners(Generic[K]):
    """Tells who the running owner is, and has its session closed when it ends."""

    def __init__(self, sessions: K) -> None:
        self.sessions = sessions
        self._local = Local(name="owners of SQLAlchemy's sessions")
        self._requests: WeakKeyDictionary[RequestContext, _Owner] = WeakKeyDictionary()

    def current(self) -> _Owner:
        """Return the running owner: the ``scopefunc`` of SQLAlchemy."""
        if has_request_context():
            context = current_request_context()
            if (owner := self._requests.get(context)) is not None:
                return owner
            if context.is_pushed and self._takes(context):  # else it is over
                return self._of_request(context)
        place: _Place | None = getattr(self._local, "place", None)
        if place is None or not place.is_here():
            place = self._local.place = _Place(self.sessions)
        return place.owner

    def _of_request(self, context: RequestContext) -> _Owner:
        made = _Owner(repr(context))
        owner = self._requests.setdefault(context, made)
        if owner is made:
            self._at_end(context, owner)
        return owner

    def _takes(self, context: RequestContext) -> bool:
        return True

    def _at_end(self, context: RequestContext, owner: _Owner) -> None:
        def close(error: object) -> None:
            self._requests.pop(context, None)  # it may be pushed again
            self.sessions.close(owner)

        context.on_teardown(close)


class _AsyncOwners(_Owners[_AsyncSessions]):
    def _takes(self, context: RequestContext) -> bool:
        return context.async_teardowns is not None

    def _at_end(self, context: RequestContext, owner: _Owner) -> None:
        async def close(error: object) -> None:
            self._requests.pop(context, None)
            session = self.sessions.of.pop(owner, None)
            if session is not None:
                await self.sessions.aclose(session, owner)

        context.on_teardown_async(close)
        context.on_teardown(lambda error: self.sessions.close(owner))  # if none was awaited


class _Place:
    """What an owner that is no request holds as long as it lives, and that says who it is.

    Its end is the owner's; but a copied Context, or a snapshot, has it too and may outlive the
    owner, and so does a Context its task. So the ends of these are watched as well.
    """

    __slots__ = ("__weakref__", "_token", "owner")

    def __init__(self, sessions: _Sessions) -> None:
        token = ident.current()
        self.owner = _Owner(repr(token))
        # That of an owner which is known by equality is new each time, and nobody else's.
        is_unique = token is ident.current()
        self._token: Callable[[], object] = ref(token) if is_unique else lambda: token
        others = [
            finalize(one, sessions.close, self.owner) for one in {token, ident.current("task")}
        ]
        finalize(self, _end, sessions, self.owner, others)

    def is_here(self) -> bool:
        """Whether the running owner is the one that it was made for."""
        return self.owner.pid == os.getpid() and self._token() == ident.current()


def _end(sessions: _Sessions, owner: _Owner, others: list[finalize[Any, Any]]) -> None:
    for other in others:
        other.detach()
    sessions.close(owner)
