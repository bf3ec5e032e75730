"""Dependencies of FastAPI that give the session.

::

    @app.get("/")
    async def index(session: SessionDep):
        return {"visit": session.incr("visits")}

The sessions come from a ContextMiddleware: :mod:`ctxlocal.integrations.starlette`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends
from starlette.requests import HTTPConnection

from ..sessions import Session, StoredSessions
from ..sessions.errors import SessionConfigError

T = TypeVar("T")


def get_session(connection: HTTPConnection) -> Session:
    """Return the request's session; give it to ``Depends``, or take :data:`SessionDep`.

    :raises SessionConfigError: there is none, or another library's stands in its place.
    """
    found = connection.scope.get("session")
    if isinstance(found, Session):
        return found
    there = "there is none" if found is None else f"{type(found).__name__!r} stands in its place"
    raise SessionConfigError(
        "session",
        f"{there}. Put app.add_middleware(ContextMiddleware, sessions=StoredSessions(...)) around "
        "the application, and take other session middleware away",
    )


SessionDep = Annotated[Session, Depends(get_session)]


def typed(sessions: StoredSessions[T]) -> Callable[[HTTPConnection], T]:
    """Return a dependency that gives the session by its schema's attributes.

    ``Annotated[Visit, Depends(typed(sessions))]`` is the request's session, for type checkers a
    Visit.

    :param sessions: those of the middleware, with a ``schema``.
    """

    def get_typed(connection: HTTPConnection) -> T:
        return sessions.view(get_session(connection))

    return get_typed
