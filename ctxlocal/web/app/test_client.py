"""TestClient: werkzeug's test client, with access to the session and to the last request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from werkzeug.test import Client, EnvironBuilder

from ...sessions.session import Session
from ..context import RequestContext, run_all

if TYPE_CHECKING:
    from typing_extensions import Self

KEEP = "ctxlocal.keep"  #: in an environ: what an App gives the request's context to


class TestClient(Client):
    """werkzeug's test client, with access to the session and to the last request.

    In a ``with`` block ``request``, ``session``, ``g`` and ``current_app`` are those of the
    last request, also if it raised, until the next one or the end of the block; its
    teardowns run then. The session is saved by that time: it can be read, not changed, and
    ``get_flashed_messages()`` takes none away. What the view has set in Locals is gone with
    the request.

    :raises RuntimeError: the block is entered a second time, inside itself.
    """

    __test__ = False  # for pytest: no class of tests

    _kept: list[RequestContext] | None = None  # in a with block: those of the last request

    def __enter__(self) -> Self:
        if self._kept is not None:
            raise RuntimeError(
                f"{self!r} is in a with block already, and shows one request at a time. Make "
                "another with app.test_client()."
            )
        self._kept = []
        return self

    def __exit__(self, *exception: object) -> None:
        kept, self._kept = self._kept, None
        _let_go_all(kept or [])

    def run_wsgi_app(self, environ: dict[str, Any], buffered: bool = False) -> Any:
        """Send one request; each redirect that is followed is another one."""
        kept = self._kept
        if kept is None:
            return super().run_wsgi_app(environ, buffered)
        _let_go_all(kept)

        def keep(context: RequestContext) -> None:
            context.keep()
            kept.append(context)

        environ[KEEP] = keep
        try:
            return super().run_wsgi_app(environ, buffered)
        finally:
            del environ[KEEP]
            for context in kept:
                context.show()

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


def _let_go_all(kept: list[RequestContext]) -> None:
    ends: list[Callable[[], object]] = [context.let_go for context in kept]
    kept.clear()
    run_all(ends)
