"""AppContext and RequestContext: the state of an application at work, and of a request.

Both lie on LocalStacks that follow the application's identity strategy. Nothing here
knows WSGI from ASGI: the ``environ`` of a context is either's description of the request,
and the code that serves it runs ``push``, the application and ``pop`` inside one
:class:`~ctxlocal.flow.Frame`, so that no worker, greenlet or task sees it before or afterwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .._run_all import run_all
from ..flow import bind
from ..local import Latch, LocalStack, unbound
from .call import call_now

if TYPE_CHECKING:
    from typing_extensions import Self
    from werkzeug.wrappers import Request

    from ..sessions.session import Session

C = TypeVar("C")
Teardown: TypeAlias = Callable[[BaseException | None], object]
AsyncTeardown: TypeAlias = Callable[[BaseException | None], Awaitable[object]]


class Application:
    """The methods of an application that its contexts call.

    As they stand they serve the middleware, which have no request objects, hooks or
    signals; an App overrides all of them.
    """

    sessions: Any = None  #: what it opens sessions by
    _opens_without = True  #: open_session may return one also where ``sessions`` is None
    has_responses = False  #: it makes response objects, and calls what waits for one
    _has_hooks = False  #: it has responses, or one of the methods in _HOOKS is its own

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_hooks = any(getattr(cls, name) is not vars(Application)[name] for name in _HOOKS)

    def create_request(self, environ: Any) -> Any:
        """Return the request object; None if the application makes none."""

    def create_url_adapter(self, request: Any) -> Any:
        """Return the object that matches and builds the request's URLs, or None."""

    def open_session(self, context: RequestContext) -> Session | None:
        """Return the request's session, without loading it; None without sessions."""

    def did_push_app_context(self) -> None:
        """Do what follows the push of the application's context."""

    def did_pop_app_context(self) -> None:
        """Do what follows the pop of the application's context."""

    def do_teardown_request(self, error: BaseException | None) -> None:
        """Run the teardowns of a request: all of them, even if some raise."""

    def do_teardown_appcontext(self, error: BaseException | None) -> None:
        """Run the teardowns of the application's context: all of them, even if some raise."""


# The middleware, which have none, are not asked at each request.
_HOOKS = (
    "has_responses",
    "create_request",
    "create_url_adapter",
    "did_push_app_context",
    "did_pop_app_context",
    "do_teardown_request",
    "do_teardown_appcontext",
)


class Globals:
    """The namespace ``g``: attributes that live as long as an application context.

    Not guarded: threads and tasks that share one context share it.
    """

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'g' has no attribute {name!r}; nothing set it in this context")

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...

    def get(self, name: str, default: Any = None) -> Any:
        """Return the attribute, or ``default``."""
        return vars(self).get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove the attribute and return it, or ``default``.

        :raises KeyError: it is not set, and no default was given.
        """
        return vars(self).pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return the attribute; if it is not set, set it to ``default`` first."""
        return vars(self).setdefault(name, default)

    def __contains__(self, name: str) -> bool:
        return name in vars(self)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __repr__(self) -> str:
        return f"<g of {', '.join(self) or 'nothing'}>"


class _Context:
    """A context of either kind: what ``with`` pushes and pops, in one place at a time."""

    __slots__ = ("__weakref__", "_order", "_place", "app")

    # Set by the two classes below: a call of an __init__ here would cost a tenth of theirs.
    app: Application
    _place: Latch  # taken while the context is pushed
    _order: int  # by which it is known what was pushed later, of contexts on different stacks

    @property
    def is_pushed(self) -> bool:
        """Whether the context was pushed and not popped since, in whatever owner."""
        return self._place.is_taken

    def push(self) -> None:
        """Make this the current context of the running owner."""
        raise NotImplementedError

    def pop(self, error: BaseException | None = None) -> None:
        """Take the context away."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.push()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.pop(error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.app!r}>"


class AppContext(_Context):
    """An application at work: ``app``, and the namespace ``g`` until it is popped.

    ``with app.app_context():`` gives scripts and tests one; a request brings its own, or stands
    for it itself if its application has no hooks.
    """

    __slots__ = ("g",)

    async_teardowns: None = None  # a request's alone are awaited

    def __init__(self, app: Application) -> None:
        self.app = app
        self.g = Globals()
        self._place = Latch()

    def push(self) -> None:
        """Make this the current context of the running owner.

        :raises RuntimeError: it is pushed already, here or in another owner.
        """
        if not self._place.take():
            raise _pushed_already(self)
        self._order = next(_orders)
        app_stack.push(self)
        if self.app._has_hooks:
            try:
                self.app.did_push_app_context()
            except BaseException as error:
                self.pop(error)
                raise

    def pop(self, error: BaseException | None = None) -> None:
        """Run every teardown, even if one raises, and take the context away. Again is harmless.

        Popped in another owner than it was pushed in, the teardowns find it in place all
        the same, and the stack of neither owner changes: only a frame takes a context from
        everywhere, which is why requests are served in one.

        :param error: what ended the work, for the teardowns; None if nothing did.
        """
        if not self._place.release():  # popped already, perhaps by another thread
            return
        try:
            if current_app_context() is self:
                self.app.do_teardown_appcontext(error)
            else:
                with app_stack.pushed(_stand_in(self)):
                    self.app.do_teardown_appcontext(error)
        finally:
            _remove(app_stack, self)
            self.app.did_pop_app_context()


class RequestContext(_Context):
    """One request: ``request``, ``url_adapter``, ``session`` and ``flashes``.

    :param app: the App or middleware that serves it.
    :param environ: the WSGI environ or the ASGI scope.
    :param request: the request object; None lets ``app`` make it.

    Code that opens sessions asynchronously sets ``session`` before :meth:`push`, which then
    opens none. ``call(function, *args, **kwargs)`` returns an awaitable of what an
    application's function, synchronous or not, returns: it is how one flow serves WSGI,
    where it never suspends, and ASGI. ``error`` is what went wrong so far, also if there is
    a response for it; the teardowns are given it. ``async_teardowns`` is a list where whoever
    serves the request calls :meth:`await_teardowns` at its end, else None.
    """

    __slots__ = (
        "_app_context",
        "_globals",
        "_is_kept",
        "_teardowns",
        "after_functions",
        "async_teardowns",
        "call",
        "environ",
        "error",
        "flashes",
        "request",
        "session",
        "url_adapter",
    )

    def __init__(self, app: Application, environ: Any, request: Request | None = None) -> None:
        self.app = app
        self.environ = environ
        self.call: Callable[..., Awaitable[Any]] = call_now
        self.error: BaseException | None = None
        self.request = request
        self.url_adapter: Any = None
        self.session: Session | None = None
        self.flashes: list[tuple[str, str]] | None = None
        self.after_functions: list[Callable[[Any], Any]] = _NONE
        self.async_teardowns: list[AsyncTeardown] | None = None
        self._teardowns: list[Teardown] = []
        self._app_context: AppContext | None = None
        self._globals: list[Globals] = []
        self._place = Latch()
        self._is_kept = False
        if app._has_hooks or unbound.is_explained:
            self._make_what_can_be_seen()

    def _make_what_can_be_seen(self) -> None:
        if self.request is None:
            self.request = self.app.create_request(self.environ)
        self.url_adapter = self.app.create_url_adapter(self.request)
        self.after_functions = []
        self._app_context = AppContext(self.app)

    @property
    def g(self) -> Globals:
        """The namespace ``g`` of the request."""
        if self._app_context is not None:
            return self._app_context.g
        if not self._globals:
            self._globals.append(Globals())  # of several that are made at once the first is it
        return self._globals[0]

    @property
    def is_async(self) -> bool:
        """Whether the functions of the request are awaited, as under ASGI."""
        return self.call is not call_now

    @property
    def may_block(self) -> bool:
        """Whether the running function may block: no event loop waits for it."""
        return self.call is call_now or bool(getattr(self.call, "is_here", False))

    def push(self) -> None:
        """Make this the current request, with an application context of its own under it.

        The session is opened once in the context's life, and loads nothing yet.

        :raises RuntimeError: it is pushed already, here or in another owner.
        """
        if not self._place.take():
            raise _pushed_already(self)
        try:
            if self._app_context is not None:
                self._app_context.push()
            self._order = next(_orders)
            request_stack.push(self)
            app = self.app
            if self.session is None and (app._opens_without or app.sessions is not None):
                self.session = app.open_session(self)
        except BaseException as error:
            self.pop(error)
            raise

    def pop(self, error: BaseException | None = None) -> None:
        """Run every teardown, even if one raises, and take the context away. Again is harmless.

        The last error of a teardown is raised in the end, with the others as its
        ``__context__``. In another owner: as :meth:`AppContext.pop`.

        :param error: what ended the request, for the teardowns; None if nothing did.
        """
        if not self._place.release():  # popped already, perhaps by another thread
            return
        if self._is_kept:
            self._set_aside(error)
            return
        error, self.error = (self.error if error is None else error), None
        app_context = self._app_context
        try:
            if request_stack.top is self and current_app_context() is (app_context or self):
                self._tear_down(error)
            else:
                with app_stack.pushed(app_context or _stand_in(self)), request_stack.pushed(self):
                    self._tear_down(error)
        finally:
            _remove(request_stack, self)
            if app_context is not None:
                app_context.pop(error)

    def pop_last(self, error: BaseException | None = None) -> None:
        """Pop, as the last that is done in a frame which is thrown away then.

        So are the stacks: nothing is taken out of them if nothing is called that could see it,
        which is said of what follows an error.
        """
        if error is not None or self._teardowns or self._app_context is not None or self._is_kept:
            self.pop(error)
        elif self._place.release():
            self.error = None

    def drop(self) -> None:
        """Take the context away with its frame, which is thrown away then, as are its stacks.

        For an App under ASGI whose end calls nothing: then nothing could see the difference.
        """
        if self._place.release():
            self.error = None
            if self._app_context is not None:
                self._app_context._place.release()

    def _tear_down(self, error: BaseException | None) -> None:
        try:
            run_all(self._teardowns, error)
        finally:
            self.app.do_teardown_request(error)

    def _leave(self) -> None:
        _remove(request_stack, self)
        if self._app_context is not None:
            _remove(app_stack, self._app_context)

    def _set_aside(self, error: BaseException | None) -> None:
        if error is not None:
            self.error = error
        self._leave()
        session = self.session
        if session is not None and not session.is_null:
            session._closed = True  # also if it was not saved
            session._accessed = True  # a first look misses no Vary: the response was seen

    # A test client looks at a request that is over; see TestClient.

    def keep(self) -> None:
        """Make :meth:`pop` only take the context away: :meth:`let_go` runs the teardowns."""
        self._is_kept = True

    def show(self) -> None:
        """Put a context that was kept in place for the running owner."""
        if self._app_context is not None:
            app_stack.push(self._app_context)
        self._order = next(_orders)
        request_stack.push(self)

    def take_flashes(self) -> list[tuple[str, str]]:
        """Take the flashed messages out of the session; after the request they also stay in it."""
        session: Any = self.session
        was_closed = session._closed
        if self._is_kept and not self.is_pushed:
            session._closed = False
        try:
            return session.get_flashed()  # type: ignore[no-any-return]
        finally:
            session._closed = was_closed

    def let_go(self) -> None:
        """Take away a context that was kept, and run its teardowns, now or when its body ends."""
        self._is_kept = False
        if self._place.take():  # it was over; only its end is left
            self.pop()
        else:
            self._leave()

    def on_teardown(self, function: Teardown) -> None:
        """Call ``function(error)`` when the context is popped; the last one registered first."""
        self._teardowns.append(function)

    def on_teardown_async(self, function: AsyncTeardown) -> None:
        """Await ``function(error)`` when the request ends; before the teardowns that are called.

        The last one registered first, also if the request is cancelled. What it raises is logged.

        :raises RuntimeError: nobody awaits the request's end: ``async_teardowns`` is None.
        """
        if self.async_teardowns is None:
            raise RuntimeError(
                f"{self!r} is served synchronously, so that nothing can await {function!r} when it "
                "ends. Use on_teardown(), or serve the application by ASGI."
            )
        self.async_teardowns.append(function)

    async def await_teardowns(self, error: BaseException | None) -> None:
        """Await all that waits for the request's end, though the running task be cancelled.

        For those who serve requests, before :meth:`pop`; in the request's frame. Nothing is
        awaited after an error that ends a coroutine, or the process, at once.
        """
        ends_at_once = isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit))
        if self.async_teardowns and not ends_at_once:
            from .._async_library import library  # which imports asyncio

            await library().apart(partial(bind(_await_each), self.async_teardowns, error))

    def copy(self) -> RequestContext:
        """Return another context of the same request and session, for another owner.

        It gets a ``g`` of its own, and its teardowns run when it is popped itself.
        """
        other = type(self)(self.app, self.environ, self.request)
        other.session = self.session
        other.flashes = self.flashes
        return other


async def _await_each(teardowns: list[AsyncTeardown], error: BaseException | None) -> None:
    while teardowns:
        try:
            await teardowns.pop()(error)
        except Exception:  # the response is made by now
            import logging  # 4 ms, which whoever imports a context need not spend

            logging.getLogger("ctxlocal.web").exception("An asynchronous teardown failed")


_NONE: Any = ()
_orders = itertools.count()

# A request of an application without hooks stands for an application context, which is not made.
app_stack: LocalStack[AppContext] = LocalStack(name="application contexts")
request_stack: LocalStack[RequestContext] = LocalStack(name="request contexts")


def current_app_context() -> AppContext | RequestContext | None:
    """Return the running owner's application context, or the request that stands for it."""
    app_context, request = app_stack.top, request_stack.top
    if request is None or request._app_context is not None:
        return app_context
    is_above = app_context is None or request._order > app_context._order
    return request if is_above else app_context


def _stand_in(context: AppContext | RequestContext) -> AppContext:
    """Return an application context above all others, with the ``g`` of ``context``."""
    other = AppContext(context.app)
    other.g = context.g
    other._order = next(_orders)
    return other


def _pushed_already(context: object) -> RuntimeError:
    return RuntimeError(
        f"{context!r} is pushed already. A context is in one place at a time: push a "
        "copy(), or wrap the function in copy_current_request_context."
    )


def _remove(stack: LocalStack[C], context: C) -> None:
    """Take ``context`` out of the running owner's stack, if it is there, and nothing else."""
    if (top := stack.pop()) is context or top is None:
        return
    above = [top]  # pushed later, and not popped
    while (top := stack.pop()) is not None and top is not context:
        above.append(top)
    while above:
        stack.push(above.pop())
