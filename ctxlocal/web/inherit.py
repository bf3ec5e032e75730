"""The context variables of its caller that a request sees.

It sees none that ``inherit`` does not name: a server's worker, or a connection, keeps what it
set for the request before. A variable that is hidden so is logged once, for it may have been
meant to be seen: a correlation id, the settings of ``decimal``. OpenTelemetry's current context,
with the span and the baggage, is seen inside without being named.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeAlias

from ..flow.frame import Frame, fresh_frame
from ..local import Latch
from ..local.storage import Label

Inherit: TypeAlias = "bool | Iterable[ContextVar[Any]]"

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
        frame = _with_decimals_of_its_own(Frame()) if self._all else self._fresh_frame()
        if "opentelemetry.context" in sys.modules:
            _let_tracing_in(frame)
        return frame

    def _fresh_frame(self) -> Frame:
        outside = copy_context()
        frame = fresh_frame()
        if outside and not self._known.issuperset(outside):
            self._look_at(outside)
        if self._chosen:
            for var in self._chosen:
                if var in outside:
                    frame._context.run(var.set, outside[var])
            _with_decimals_of_its_own(frame)
        return frame

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


def _let_tracing_in(frame: Frame) -> None:
    """Make OpenTelemetry's current context current in the frame, whichever runtime it has."""
    tracing = sys.modules["opentelemetry.context"]
    # Its last name: another thread may be importing it.
    if hasattr(tracing, "detach") and (current := tracing.get_current()):
        frame.run(tracing.attach, current)


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


def _with_decimals_of_its_own(frame: Frame) -> Frame:
    context = frame._context
    for var, value in list(context.items()):
        if _is_decimal(value):
            context.run(var.set, value.copy())
    return frame


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
