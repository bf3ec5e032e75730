"""The context variables of its caller that a request sees.

It sees none that ``inherit`` does not name: a server's worker, or a connection, keeps what it
set for the request before. A variable that is hidden so is logged once, for it may have been
meant to be seen: a correlation id, the settings of ``decimal``. OpenTelemetry's current context,
with the span and the baggage, is seen inside without being named.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..flow.frame import Frame, Place, first_step, frame_of
from ..ident import default
from ..ident.strategy import ContextIdent
from ..ident.travel import storages
from ..local import Latch
from ..local.storage import Label, clear_context

if TYPE_CHECKING:
    from ..ident.record import Values

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
Inherit: TypeAlias = "bool | Iterable[ContextVar[Any]]"
FirstStep: TypeAlias = "Callable[[S, T, Context, Values | None], R]"

_log = logging.getLogger("ctxlocal.web.context")
_said: dict[ContextVar[Any], Latch] = {}

MOST = 256  #: variables that are looked at; a program with more makes them at run time

# Of libraries that find what they need without them: sniffio, asgiref, warnings (Python 3.14).
_PLUMBING = frozenset(
    (
        "current_async_library_cvar",
        "async_single_thread_context",
        "thread_sensitive_context",
        "deadlock_context",
        "warnings_context",
    )
)


class Inheritance:
    """Makes the frames of an application's requests, with what they inherit.

    :param inherit: True for every foreign context variable; False for none; or those to
        be seen. They start with the caller's values; what is set inside is not seen outside.
    :raises TypeError: it is nothing of that.
    """

    def __init__(self, inherit: Inherit) -> None:
        self._all = inherit is True
        self._chosen = () if isinstance(inherit, bool) else _variables(inherit)
        self._known: set[ContextVar[Any]] = set(self._chosen)  # nothing is to be said of them

    def frame(self) -> Frame:
        """Return the frame of a request that is served from here."""
        frame = frame_of(self._context(copy_context()))
        if "opentelemetry.context" in sys.modules and (current := _current_trace()):
            frame.run(_attach, current)
        return frame

    def place(self) -> Place:
        """Return the same for an App under ASGI, which shows it to nobody."""
        place = Place(self._context(outside) if (outside := copy_context()) else outside)
        if "opentelemetry.context" in sys.modules and (current := _current_trace()):
            place.step(_attach, current)
        return place

    def begin(self, function: FirstStep[S, T, R], one: S, two: T) -> R:
        """Call ``function(one, two, context, values)`` as the first step of a request's frame.

        See :func:`ctxlocal.flow.frame.first_step`.
        """
        # A copy of a Context without variables is as good as a new one.
        context = self._context(outside) if (outside := copy_context()) else outside
        if "opentelemetry.context" in sys.modules and (current := _current_trace()):
            context.run(_attach, current)
        if not storages and type(default._default) is ContextIdent:
            return context.run(function, one, two, context, None)
        return first_step(context, function, one, two)

    def _context(self, outside: Context) -> Context:
        """Return the Context that a request starts with; ``outside`` is a copy of the caller's."""
        if self._all:
            return _with_decimals_of_its_own(clear_context(outside))
        context = Context()
        if not self._known.issuperset(outside):
            self._look_at(outside)
        if self._chosen:
            for var in self._chosen:
                if var in outside:
                    context.run(var.set, outside[var])
            _with_decimals_of_its_own(context)
        return context

    def _look_at(self, outside: Context) -> None:
        """Log which variables are hidden, each once in this process."""
        if len(self._known) > MOST:
            return
        for var, value in outside.items():
            if var in self._known:
                continue
            self._known.add(var)
            if not _is_noise(var, value) and _said.setdefault(var, Latch()).take():
                _log.warning(
                    "The context variable %r was set outside and is hidden from the application: "
                    "a request starts without what its caller, or an earlier request on the same "
                    "worker, has set. If it is to be seen, name it: inherit=[the variable]; "
                    "inherit=True lets all of them in. This is said once for each variable.",
                    var.name,
                )


def _is_noise(var: ContextVar[Any], value: object) -> bool:
    """Whether hiding ``var`` matters to nobody: ours, a library's own, or one with its default."""
    is_plumbing = type(var.name) is Label or var.name in _PLUMBING or _is_tracing(value)
    return is_plumbing or (_is_decimal(value) and _is_default(value))


def _current_trace() -> Any:
    """Return OpenTelemetry's current context, whichever runtime it has; nothing: it has none."""
    tracing = sys.modules["opentelemetry.context"]
    # Its last name: another thread may be importing it.
    return tracing.get_current() if hasattr(tracing, "detach") else None


def _attach(current: Any) -> None:
    sys.modules["opentelemetry.context"].attach(current)


def _is_tracing(value: object) -> bool:
    """Whether it is OpenTelemetry's context, which is seen inside."""
    return type(value).__module__ == "opentelemetry.context.context"


def _variables(inherit: Any) -> tuple[ContextVar[Any], ...]:
    if isinstance(inherit, ContextVar):
        raise TypeError(f"inherit takes an iterable of ContextVars: inherit=[{inherit.name}]")
    try:
        variables = tuple(inherit)
    except TypeError:
        variables = (inherit,)
    for var in variables:
        if not isinstance(var, ContextVar):
            raise TypeError(f"inherit takes True, False or an iterable of ContextVars; got {var!r}")
    return variables


# A decimal context is changed in place; without a copy, getcontext().prec = 9 would reach the
# caller, and the worker's next request.


def _with_decimals_of_its_own(context: Context) -> Context:
    for var, value in list(context.items()):
        if _is_decimal(value):
            context.run(var.set, value.copy())
    return context


def _is_decimal(value: object) -> bool:
    decimal = sys.modules.get("decimal")
    # By its type: a proxy's __class__ is that of its target, which may be unbound.
    return decimal is not None and issubclass(type(value), decimal.Context)


def _is_default(value: Any) -> bool:
    """Whether a decimal context has the settings that each thread begins with."""
    default = sys.modules["decimal"].DefaultContext
    return _settings(value) == _settings(default)


def _settings(context: Any) -> tuple[Any, ...]:
    return context.prec, context.rounding, context.Emin, context.Emax, *context.traps.values()
