"""A site in FastAPI: logins by the session itself, which is a dependency."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from ctxlocal.integrations.fastapi import SessionDep
from ctxlocal.integrations.starlette import ContextMiddleware
from ctxlocal.sessions import Cookie, StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore

from . import page
from .serve import serve_asgi

sessions: StoredSessions[Any] = StoredSessions(MemoryStore(), cookie=Cookie.for_development())
app = FastAPI(openapi_url=None)
app.add_middleware(ContextMiddleware, sessions=sessions)


@app.get("/", response_class=HTMLResponse)
@app.get("/login", response_class=HTMLResponse)
def show(session: SessionDep) -> str:
    return page(session.user)


@app.post("/login")
async def log_in(request: Request, session: SessionDep) -> RedirectResponse:
    form = parse_qs((await request.body()).decode())
    if form["password"] == form["name"]:
        session.user = form["name"][0]
    return RedirectResponse("/", 303)


@app.post("/logout")
async def log_out(session: SessionDep) -> RedirectResponse:
    session.destroy()
    return RedirectResponse("/", 303)


@app.post("/others")
def end_others(session: SessionDep) -> RedirectResponse:
    if session.user is not None:
        sessions.revoke_all(session.user, session)
    return RedirectResponse("/", 303)


if __name__ == "__main__":
    serve_asgi(app)
