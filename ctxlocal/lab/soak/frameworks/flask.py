"""The soaked application in Flask, with Flask's own session and messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import flask

from ....integrations.flask import Sessions
from ....sessions.in_store.sessions import StoredSessions
from ....web.wsgi import ContextMiddleware
from ..conversation import Begin
from ..drive import PIECE, begun, converse
from ..ours import Ours

if TYPE_CHECKING:
    from ....sessions import Session
    from ....sessions.stores.protocol import Store


class _Kept(Ours):
    """``flask.session`` and ``flash``."""

    def names(self) -> list[str]:
        """Return the names of the conversation's values; Flask has its own beside them."""
        return [name for name in super().names() if not name.startswith("_")]

    def flash(self, text: str) -> None:
        """Keep a message."""
        flask.flash(text)

    def flashed(self) -> list[str]:
        """Take the messages."""
        return [str(text) for text in flask.get_flashed_messages()]


def make_app(sessions: StoredSessions[Any], begin: Begin) -> Any:
    """Return the application, for WSGI."""
    logging.getLogger("soak").setLevel(logging.CRITICAL)  # views that raise are part of it
    app = flask.Flask("soak")
    Sessions(app, store=cast("Store", sessions.store))

    @app.route("/<path:_>", methods=["GET", "POST"])
    def view(_: str) -> flask.Response:
        request = flask.request
        query = request.query_string.decode()
        steps, is_streamed = begin(request.path, query, _Kept(cast("Session", flask.session)))
        said = converse(steps, lambda: request.stream.read(PIECE))
        body = flask.stream_with_context(begun(said)) if is_streamed else b"".join(said)
        return flask.Response(body, mimetype="text/plain")

    return ContextMiddleware(app)
