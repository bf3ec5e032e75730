"""The soaked application in Django, with Django's own session and messages."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import django
from django.conf import settings
from django.contrib import messages
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from ....sessions.in_store.sessions import StoredSessions
from ..conversation import Begin
from ..drive import PIECE, begun, converse


class _Kept:
    """``request.session`` and the messages of a request."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def names(self) -> list[str]:
        """Return the names of the conversation's values; Django has its own beside them."""
        names = self._request.session.keys()
        return [name for name in names if not name.startswith("_")]

    def get(self, name: str) -> Any:
        """Return a value."""
        return self._request.session[name]

    def put(self, name: str, value: str) -> None:
        """Set a value."""
        self._request.session[name] = value

    def count(self) -> None:
        """Count the visit; Django has no increment, and the session behind its own one has."""
        self._request.session.ctxlocal.incr("hits")
        self._request.session.modified = True

    def hits(self) -> int:
        """Return how many were counted."""
        hits: int = self._request.session.get("hits", 0)
        return hits

    def flash(self, text: str) -> None:
        """Keep a message."""
        messages.info(self._request, text)

    def flashed(self) -> list[str]:
        """Take the messages."""
        return [found.message for found in messages.get_messages(self._request)]

    def end(self) -> None:
        """End the session."""
        self._request.session.flush()


def make_app(sessions: StoredSessions[Any], begin: Begin) -> Any:
    """Return the application, for WSGI."""
    logging.getLogger("django").setLevel(logging.CRITICAL)  # views that raise are part of it

    def view(request: Any, _: str) -> Any:
        query = request.META["QUERY_STRING"]
        steps, is_streamed = begin(request.path, query, _Kept(request))
        said = converse(steps, lambda: request.read(PIECE))
        if is_streamed:
            return StreamingHttpResponse(begun(said), content_type="text/plain")
        return HttpResponse(b"".join(said), content_type="text/plain")

    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY=secrets.token_urlsafe(),
        ROOT_URLCONF=(path("<path:_>", view),),
        MIDDLEWARE=[
            "ctxlocal.integrations.django.ContextMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
        SESSION_ENGINE="ctxlocal.integrations.django.sessions",
        CTXLOCAL={"STORE": sessions.store},
    )
    django.setup()
    return get_wsgi_application()
