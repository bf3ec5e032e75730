"""TestClient: werkzeug's, with a way into the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import MissingDependencyError
from .session.model import Session

try:
    from werkzeug.test import Client, EnvironBuilder
except ImportError as error:
    raise MissingDependencyError("ctxlocal.app", "werkzeug", "web") from error


class TestClient(Client):
    """werkzeug's test client, whose cookie jar can be looked into."""

    __test__ = False  # for pytest: no class of tests

    @contextmanager
    def session_transaction(self, *args: Any, **kwargs: Any) -> Iterator[Session]:
        """Open the session that the client's cookies name, and save it after the block.

        The arguments are those of :meth:`App.test_request_context`.
        """
        app: Any = self.application
        environ = EnvironBuilder(*args, **kwargs).get_environ()
        self._add_cookies_to_wsgi(environ)
        with app.request_context(environ) as context:
            assert context.session is not None
            yield context.session
            response = app.response_class()
            app.session_interface.save_session(app, context.session, response)
        cookies = response.headers.getlist("Set-Cookie")
        self._update_cookies_from_response(context.request.host, context.request.path, cookies)
