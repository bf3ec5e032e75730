"""LocalManager: releases several locals at the end of a WSGI request."""

from __future__ import annotations

from .._run_all import run_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    class Releasable(Protocol):
        """An object that release_local() takes."""

        def __release_local__(self) -> None: ...


def release_local(local: Releasable) -> None:
    """Release the current owner's values of a Local or LocalStack."""
    local.__release_local__()


class LocalManager:
    """Releases several locals at the end of a request.

    :param locals: a Local or LocalStack, or an iterable of them.
    :param ident_func: has no effect and warns; it was an argument of old versions of
        werkzeug. The strategy belongs to the Local, or to the application's default.
    """

    __slots__ = ("locals",)

    def __init__(
        self,
        locals: Releasable | Iterable[Releasable] | None = None,
        ident_func: object = None,
    ) -> None:
        if ident_func is not None:
            import warnings

            warnings.warn(
                "LocalManager's ident_func has no effect. Choose the strategy with "
                "ctxlocal.ident.set_default() or Local(ident=...).",
                DeprecationWarning,
                stacklevel=2,
            )
        self.locals: list[Releasable]
        if locals is None:
            self.locals = []
        elif hasattr(locals, "__release_local__"):
            self.locals = [locals]  # type: ignore[list-item]
        else:
            self.locals = list(locals)

    def cleanup(self) -> None:
        """Release the current owner's values in all the locals, even if one of them raises.

        The last error is raised in the end, with the earlier ones as its ``__context__``.
        """
        run_all([_release(local) for local in reversed(self.locals)])

    def make_middleware(self, app: WSGIApplication) -> WSGIApplication:
        """Wrap a WSGI application so that the locals are released after each request.

        That is when the server closes the response (PEP 3333), or at once when the
        application raises.
        """

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            body: Iterable[bytes] = ()
            try:
                body = app(environ, start_response)
                return _ClosingBody(body, self.cleanup)
            except BaseException:
                _close(body, self.cleanup)
                raise

        return application

    def middleware(self, func: WSGIApplication) -> WSGIApplication:
        """Do what make_middleware does, as a decorator that keeps the function's name."""
        from functools import update_wrapper

        return update_wrapper(self.make_middleware(func), func)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} storages: {len(self.locals)}>"


class _ClosingBody:
    """A WSGI body; ``cleanup`` runs after its own close, even if that raises."""

    def __init__(self, body: Iterable[bytes], cleanup: Callable[[], None]) -> None:
        self._body = body
        self._iterator = iter(body)
        self._cleanup = cleanup

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._iterator)

    def close(self) -> None:
        _close(self._body, self._cleanup)


def _release(local: Releasable) -> Callable[[], object]:
    return lambda: release_local(local)


def _close(body: Any, cleanup: Callable[[], None]) -> None:
    try:
        if hasattr(body, "close"):
            body.close()
    finally:
        cleanup()
