"""Registry: the views, hooks and error handlers of an App."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.routing import Map as AnyMap
from werkzeug.routing import Rule

from ..context import Application, is_async
from .map import Map
from .once import Once

F = TypeVar("F", bound=Callable[..., Any])
Teardown = TypeVar("Teardown", bound=Callable[[BaseException | None], Any])
Function = Callable[..., Any]


class Registry(Application):
    """Views, hooks and error handlers, each with the decorator that registers it.

    Meant for import time: not guarded against requests that are served meanwhile. Unless
    it says otherwise a function may be an ``async def``.
    """

    def __init__(self) -> None:
        self.url_map: AnyMap = Map()
        self.view_functions: dict[str, Function] = {}
        self._first = Once()
        self._before: list[Function] = []
        self._after: list[Function] = []
        self._request_teardowns: list[Function] = []
        self._app_teardowns: list[Function] = []
        self._startups: list[Function] = []
        self._shutdowns: list[Function] = []
        self._error_handlers: dict[type[Exception], Function] = {}

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Function | None = None,
        *,
        methods: tuple[str, ...] | list[str] | None = None,
        **options: Any,
    ) -> None:
        """Let ``view_func`` answer requests to ``rule``.

        :param rule: a path such as ``"/user/<int:number>"``; see werkzeug.routing.
        :param endpoint: the view's name for ``url_for``; its ``__name__`` by default.
        :param methods: ``("GET",)`` by default. HEAD comes with GET, and OPTIONS is answered
            automatically unless it is listed.
        :param options: passed to :class:`werkzeug.routing.Rule`.
        :raises ValueError: neither an endpoint nor a function; or another function has
            that endpoint.
        """
        if endpoint is None:
            if view_func is None:
                raise ValueError(f"The rule {rule!r} needs an endpoint or a view function.")
            endpoint = view_func.__name__
        wanted = {method.upper() for method in methods or ("GET",)}
        made = Rule(rule, endpoint=endpoint, methods={*wanted, "OPTIONS"}, **options)
        made.answers_options = "OPTIONS" not in wanted  # type: ignore[attr-defined]
        known = self.view_functions.get(endpoint)
        if known is not None and view_func not in (None, known):
            raise ValueError(
                f"The endpoint {endpoint!r} belongs to {known!r}; {view_func!r} cannot have it "
                "too. Give one of them endpoint=..."
            )
        if view_func is not None:
            self.view_functions[endpoint] = view_func
        self.url_map.add(made)

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Register a view: :meth:`add_url_rule` as a decorator, with its arguments.

        :raises TypeError: the rule is no str: the parentheses were forgotten.
        """
        return self._register("route", rule, options)

    def _register(self, decorator: str, rule: str, options: dict[str, Any]) -> Callable[[F], F]:
        if not isinstance(rule, str):
            raise TypeError(f'@app.{decorator} needs a path: write `@app.{decorator}("/path")`')

        def register(view_func: F) -> F:
            self.add_url_rule(rule, view_func=view_func, **options)
            return view_func

        return register

    def get(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Register a view for GET and HEAD."""
        return self._register("get", rule, {"methods": ("GET",), **options})

    def post(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Register a view for POST."""
        return self._register("post", rule, {"methods": ("POST",), **options})

    def before_first_request(self, function: F) -> F:
        """Call ``function()`` once, before the first request is handled.

        Of several first requests at once one calls it while the others wait, under threads,
        greenlets and tasks. If it raises, that request fails, and the next one (which may be
        waiting) calls it again: what has not succeeded has not happened.

        :raises RuntimeError: the first request was handled already.
        """
        self._first.add(function)
        return function

    def before_request(self, function: F) -> F:
        """Call ``function()`` before each view; if it returns a value, in place of the view."""
        self._before.append(function)
        return function

    def after_request(self, function: F) -> F:
        """Call ``function(response)``, which returns a response; the last one registered first.

        Also for the response to an unhandled exception. The session is saved afterwards.
        """
        self._after.append(function)
        return function

    def teardown_request(self, function: Teardown) -> Teardown:
        """Call ``function(error)`` at the end of each request; the last one registered first.

        ``error`` is what went wrong, also if there was a response for it, or None. All of
        them run, even if some raise; the errors are logged. They run where the body was
        closed, which may be another thread, or in the garbage collector.

        :raises TypeError: it is asynchronous.
        """
        self._request_teardowns.append(_synchronous(function))
        return function

    def teardown_appcontext(self, function: Teardown) -> Teardown:
        """Call ``function(error)`` at the end of each application context, after the request's.

        Otherwise as :meth:`teardown_request`.
        """
        self._app_teardowns.append(_synchronous(function))
        return function

    def on_startup(self, function: F) -> F:
        """Call ``function()`` when an ASGI server starts, in an application context of its own.

        If it raises, the server does not start.
        """
        self._startups.append(function)
        return function

    def on_shutdown(self, function: F) -> F:
        """Call ``function()`` when an ASGI server stops; the last one registered first.

        All of them are called, even if some raise.
        """
        self._shutdowns.append(function)
        return function

    def errorhandler(self, code_or_exception: int | type[Exception]) -> Callable[[F], F]:
        """Let ``function(error)`` answer where such an error is raised; the closest class wins.

        An error that is answered so is handled: the session is saved. The exception is a
        handler of 500 or InternalServerError, which only makes the page for an unhandled one.

        :param code_or_exception: an HTTP error code, or a class of exceptions.
        :raises ValueError: no such code.
        :raises TypeError: it is neither: the parentheses were forgotten.
        """
        kind: Any = code_or_exception
        if isinstance(kind, int):
            if kind not in default_exceptions:
                raise ValueError(
                    f"{kind} is no HTTP error code that werkzeug has an exception for."
                )
            kind = default_exceptions[kind]
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(
                "@app.errorhandler needs a code or a class: write `@app.errorhandler(404)`"
            )

        def register(function: F) -> F:
            self._error_handlers[kind] = function
            return function

        return register

    def find_error_handler(self, error: Exception) -> Function | None:
        """Return the handler of the closest class, None if there is none."""
        kinds = list(type(error).__mro__)
        if isinstance(error, HTTPException) and error.code in default_exceptions:
            # For a subclass of HTTPException alone the code's class counts as its parent.
            kinds.insert(kinds.index(HTTPException), default_exceptions[error.code])
        return next(
            (self._error_handlers[kind] for kind in kinds if kind in self._error_handlers), None
        )


def _synchronous(function: F) -> F:
    if is_async(function):
        raise TypeError(
            f"{function!r} is asynchronous; a teardown cannot be, for it may run where nothing "
            "can be awaited. Await in an after_request function or in the view instead."
        )
    return function
