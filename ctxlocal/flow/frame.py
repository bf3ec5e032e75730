"""Frame and Snapshot: sets of values that are put in place for a call, and taken away again.

What travels lives in two places: in a Context, which ``Context.run`` puts in place,
and in the ``carried`` map of the owner's Record, which is swapped whole (swap.py).
Keys of storages are unique, so one map serves all strategies; it is put in place for the
current owner under each strategy that carries something.
"""

from __future__ import annotations

from _weakref import ref  # without what else weakref imports
from contextvars import Context, copy_context

from .._run_all import run_all
from ..errors import FrameBusyError, FrameClosedError
from ..ident import default
from ..ident.record import Values, running_greenlet, thread_token
from ..ident.strategy import ContextIdent
from ..ident.travel import storages, travelling_storage, travelling_strategies
from ..local import Latch, exchanged
from ..local.storage import Label, clear_context
from .swap import swap_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import ContextVar
    from typing import Any, ParamSpec, TypeVar

    from ..ident.strategy import Ident
    from .swap import Swap

    P = ParamSpec("P")
    R = TypeVar("R")
    S = TypeVar("S")
    T = TypeVar("T")


class Frame:
    """A fresh set of values that can be entered and left many times, in different threads.

    Inside, the Locals that travel (see :mod:`ctxlocal.flow`) hold nothing at first and
    keep what is set from one step to the next; foreign context variables start as a copy
    of the creator's. Nothing set inside is seen outside, whatever thread, greenlet or
    pooled worker ran the step.

    A frame is active in at most one place at a time; frames may be nested. Under the
    thread strategy a step must not let another greenlet of its thread enter a frame.

    O(context variables) to make; a step costs about one microsecond.
    """

    __slots__ = ("__weakref__", "_closed", "_context", "_inside", "_teardowns", "_values")

    def __init__(self) -> None:
        self._hold(clear_context(copy_context()))

    def _hold(self, context: Context, values: Values | None = None) -> None:
        self._context = context
        self._values = values  # None: nothing was carried in it yet
        self._closed = False
        self._teardowns: list[Callable[[], object]] = []
        self._inside = Latch()  # taken while a step or the callbacks run, and when all is over

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` with the frame's values in place, and return what it returns.

        :raises FrameBusyError: the frame is active, here or elsewhere; or, under the
            thread strategy, another greenlet of this thread is inside a frame.
        :raises FrameClosedError: the frame was closed.
        """
        if self._closed or not self._inside.take():
            raise self._refusal()
        try:
            if not storages and type(default._default) is ContextIdent:
                return self._context.run(function, *args, **kwargs)
            return self._call(function, args, kwargs)
        finally:
            self._inside.release()
            if self._closed:
                self._finish()

    def _step(self, function: Callable[[T], R], value: T) -> R:
        """:meth:`run` of a function of one argument, which is all that a coroutine's steps need."""
        if self._closed or not self._inside.take():
            raise self._refusal()
        try:
            if not storages and type(default._default) is ContextIdent:
                return self._context.run(function, value)
            return self._call(function, (value,), {})
        finally:
            self._inside.release()
            if self._closed:
                self._finish()

    async def drive(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Await ``coroutine`` so that each of its steps runs in the frame.

        A ``with`` around awaits cannot do that: other tasks run between the steps.
        """
        rest, awaited = self._step(begin, coroutine)
        result: R = awaited if rest is None else await Rest(self._step, rest, awaited)
        return result

    def callback(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call ``function`` in the frame when it is closed; the last one registered first.

        :raises FrameClosedError: the frame was closed.
        """
        if self._closed:
            raise FrameClosedError(
                f"{self!r} is closed; {function!r} would never be called.", frame=self
            )
        self._teardowns.append(lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Run the callbacks and drop the values. Again is harmless.

        All callbacks run, even if some raise; then the last error is raised, with the
        others as its ``__context__``. While a step runs, here or elsewhere, this only marks
        the frame, and the callbacks run when the step ends.

        :raises FrameBusyError: as in :meth:`run`; no callback ran, and the next close tries again.
        """
        self._closed = True
        self._finish()

    def variables(self) -> dict[ContextVar[Any], Any]:
        """Return the foreign context variables that are set in the frame, with their values.

        For code that has to hand on to its caller what was set inside, as middleware does for
        middleware. O(context variables).
        """
        return {var: value for var, value in self._context.items() if type(var.name) is not Label}

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def _refusal(self) -> Exception:
        if self._closed:
            text = f"{self!r} is closed; its values are gone. Make a new one."
            return FrameClosedError(text, frame=self)
        return FrameBusyError(
            f"{self!r} is active already: it can be entered once at a time. Make a Frame for "
            "each request or job.",
            frame=self,
        )

    def _finish(self) -> None:
        if not self._inside.take():  # a step runs, and finishes when it ends; or all is finished
            return
        try:
            if self._teardowns:
                if not storages and type(default._default) is ContextIdent:
                    self._context.run(run_all, self._teardowns)
                else:
                    self._call(run_all, (self._teardowns,), {})
        finally:
            if self._teardowns:  # another greenlet has the thread: none ran, close() may try again
                self._inside.release()
            else:
                if self._values is not None:
                    self._values.clear()
                # A traceback that somebody keeps may refer to the Context.
                clear_context(self._context)
                self._context = _NOTHING

    def _call(self, function: Callable[..., R], args: Any, kwargs: Any) -> R:
        is_plain = not storages and type(default._default) is ContextIdent
        if is_plain or not (owners := _travelling()):
            return self._context.run(function, *args, **kwargs)
        if self._values is None:
            self._values = Values()
        return call_in(self._context, self._values, owners, function, args, kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}>"


_NOTHING = Context()  # never entered: what all frames have that are over


def frame_of(context: Context, values: Values | None = None) -> Frame:
    """Return a frame of values that are nobody else's."""
    frame = Frame.__new__(Frame)
    frame._hold(context, values)
    return frame


def first_step(
    context: Context, function: Callable[[S, T, Context, Values | None], R], one: S, two: T
) -> R:
    """Call ``function(one, two, context, values)`` as a step of a frame that is made when needed.

    If something of the call outlives it, ``frame_of(context, values)`` is the frame for that, to
    be entered when the call has returned. Mostly nothing does, and there never is one.

    :param context: nobody else's.
    """
    if not (owners := _travelling()):
        return context.run(function, one, two, context, None)
    values = Values()
    return call_in(context, values, owners, function, (one, two, context, values), {})


class Place:
    """A frame of which nobody but a middleware knows: a Context, until something travels otherwise.

    Then it makes a :class:`Frame` of it. Until then the Context itself lets one step in at a time.
    """

    __slots__ = ("_context", "_frame")

    def __init__(self, context: Context, values: Values | None = None) -> None:
        self._context = context
        self._frame = None if values is None else frame_of(context, values)

    def step(self, function: Callable[[T], R], value: T) -> R:
        """Call ``function(value)`` in the frame; see :meth:`Frame.run`."""
        if self._frame is None:
            if not storages and type(default._default) is ContextIdent:
                try:
                    return self._context.run(function, value)
                except RuntimeError:
                    if _is_entered(self._context):
                        raise frame_of(self._context)._refusal() from None
                    raise
            self._frame = frame_of(self._context)
        return self._frame._step(function, value)


class Snapshot:
    """The values that travel, as they were when it was made; see :func:`ctxlocal.flow.snapshot`."""

    __slots__ = ("__weakref__", "_context", "_values")

    def __init__(self) -> None:
        self._context = copy_context()
        self._values = carried()

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` with the captured values in place, and return what it returns.

        Each call starts from a copy: re-entrant, and usable from many threads,
        greenlets and tasks at once. What ``function`` sets is gone afterwards.
        """
        context = self._context.copy()
        if not (owners := _travelling()):
            return context.run(function, *args, **kwargs)
        return call_in(context, self._copied() or Values(), owners, function, args, kwargs)

    def frame(self) -> Frame:
        """Return a frame that starts with the captured values."""
        return frame_of(self._context.copy(), self._copied())

    def put_back(self, since: Snapshot) -> None:
        """Set in the current owner the values that differ from the earlier snapshot ``since``.

        For a job that began elsewhere with ``since`` and ended with this one: what it set or
        deleted is set or deleted where its caller goes on. The rest keeps the values it has
        there by now. O(values captured).
        """
        for var, value in self._context.items():
            if since._context.get(var, self) is not value:
                var.set(value)
        _put_all_back(since._values, self._values)

    def restore(self) -> None:
        """Give the Locals that travel, in the current owner, the captured values and no others.

        Other context variables stay as they are. For what is done in between and must leave
        nothing where no frame can stand around it, as a test between its fixtures. Again is
        harmless, and gives the same. O(values).
        """
        for var in {*copy_context(), *self._context}:
            value = self._context.get(var)
            if type(var.name) is Label and var.get() is not value:
                var.set(value)
        _put_all_back(carried(), self._values)
        exchanged()

    def _copied(self) -> Values | None:
        if self._values is None:
            return None
        values = Values()
        _copy(self._values, values)
        return values


def _copy(source: dict[int, Any], target: Values) -> None:
    """Copy shallowly: a namespace is copied, the objects in it are not."""
    for key in list(source):  # not of items(): a collection that their making begins may remove one
        if (value := source.get(key)) is None:
            continue
        target[key] = _copy_of(value)


def _copy_of(value: Any) -> Any:
    return value.copy() if hasattr(value, "copy") else value  # a stack has no copy


def carried() -> Values | None:
    """Return a copy of the values that the current owners carry; None where nothing travels."""
    if not storages and type(default._default) is ContextIdent:
        return None
    if not (owners := _travelling()):
        return None
    values = Values()
    for ident, owner in owners:
        if (record := ident.existing_record(owner)) is not None:
            _copy(record.carried, values)
        elif ident.knows_by_equality(owner):
            _copy(ident.travel.values_by_equality(owner), values)
    return values


def _put_all_back(before: Values | None, after: Values | None) -> None:
    """Set in the current owners what differs between two maps; None is an empty one."""
    for key in {*(before or ()), *(after or ())}:
        if (storage := travelling_storage(key)) is not None:  # None: the Local is gone
            place, at = storage.place()
            former = None if before is None else before.get(key)
            _put_back(place, at, former, None if after is None else after.get(key))


def _put_back(place: Any, at: Any, before: Any, after: Any) -> None:
    if after is None:
        place.pop(at, None)
    elif type(after) is not dict:
        if after is not before:
            place[at] = _copy_of(after)  # the snapshot stays as it is, whatever is set here later
    else:
        before, namespace = before or {}, place.setdefault(at, {})
        for name in before.keys() - after.keys():
            namespace.pop(name, None)
        for name, value in after.items():
            if before.get(name, place) is not value:
                namespace[name] = value


def _travelling() -> list[tuple[Ident, object]]:
    """Return (strategy, current owner) for each strategy under which something travels.

    The default is one of them even if nothing follows it yet: the first write may come inside.
    What is asked at each step looks itself whether it is the Context alone, which spares the call.
    """
    strategy = default.get_default()
    if not storages and isinstance(strategy, ContextIdent):
        return []
    found = {strategy, *travelling_strategies()}
    return [(ident, ident.owner()) for ident in found if not isinstance(ident, ContextIdent)]


def call_in(
    context: Context,
    values: Values,
    owners: list[tuple[Ident, object]],
    function: Callable[..., R],
    args: Any,
    kwargs: Any,
) -> R:
    """Call ``function`` in ``context``, with ``values`` exchanged for what the owners carry."""
    swaps = [swap_for(ident, owner) for ident, owner in owners]
    return context.run(_call_with, swaps, values, function, args, kwargs)


def _call_with(
    swaps: list[Swap], values: Values, function: Callable[..., R], args: Any, kwargs: Any
) -> R:
    runner = (thread_token(), _current_greenlet())
    entered: list[Swap] = []
    try:
        for swap in swaps:
            swap.enter(values, runner)
            entered.append(swap)
        exchanged()
        return function(*args, **kwargs)
    finally:
        for swap in reversed(entered):
            swap.leave()
        exchanged()


def _current_greenlet() -> ref[Any] | None:
    greenlet = running_greenlet()  # not in a frame that runs on: it would keep itself alive
    return None if greenlet is None else ref(greenlet)


def _is_entered(context: Context) -> bool:
    try:
        context.run(bool)
    except RuntimeError:
        return True
    return False


def begin(coroutine: Coroutine[Any, Any, Any]) -> tuple[Coroutine[Any, Any, Any] | None, Any]:
    """Take the first step of a coroutine; return it and what it waits for.

    Or None and what it returns: it never had to wait.
    """
    try:
        return coroutine, coroutine.send(None)
    except StopIteration as stop:  # at once: each frame that it passes costs
        return None, stop.value


class Rest:
    """Awaits what is left of a coroutine.

    :param step: calls a function with a value, in the frame.
    :param awaited: what the coroutine waits for.
    """

    __slots__ = ("_awaited", "_coroutine", "_step")

    def __init__(
        self, step: Callable[..., Any], coroutine: Coroutine[Any, Any, Any], awaited: Any
    ) -> None:
        self._step = step
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        step, coroutine, awaited = self._step, self._coroutine, self._awaited
        resume: Callable[[Any], Any]
        while True:
            try:
                resume, value = coroutine.send, (yield awaited)
            except BaseException as error:
                resume, value = coroutine.throw, error
            try:
                awaited = step(resume, value)
            except StopIteration as stop:
                return stop.value
