"""The soaked application in FastAPI, with the session as a dependency."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from ....integrations.fastapi import SessionDep
from ....integrations.starlette import ContextMiddleware
from ....sessions.in_store.sessions import StoredSessions
from ..conversation import Begin
from ..drive import converse_async
from ..ours import Ours


def make_app(sessions: StoredSessions[Any], begin: Begin) -> Any:
    """Return the application, for ASGI."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(ContextMiddleware, sessions=sessions)

    @app.api_route("/{_:path}", methods=["GET", "POST"])
    async def view(request: Request, session: SessionDep) -> Response:
        steps, is_streamed = begin(request.url.path, request.url.query, Ours(session))
        body = request.stream()

        async def read() -> bytes:
            return await anext(body, b"")

        said = converse_async(steps, read)
        if not is_streamed:
            return Response(b"".join([piece async for piece in said]), media_type="text/plain")
        first = await anext(said)  # the session is saved when the response begins
        return StreamingResponse(_chain(first, said), media_type="text/plain")

    return app


async def _chain(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece
