"""The debugger for "why is it unbound here?": who holds a value, and where it was set.

``enable()``, or ``CTXLOCAL_TRACE=1`` in the environment, before the first value. From then on an
:class:`~ctxlocal.errors.UnboundError` says which other owners hold a value, where each was set,
where the current owner was started, and what would have carried the value there; ``report()``
prints what is bound where. Values are never looked at: their types are named. Until then nothing of
this is loaded, and nothing takes longer.

``binding`` is one value's record; ``watch`` makes them, ``start`` knows where owners were started,
``explain`` writes what an error adds, ``table`` the report; ``late`` refuses to begin too late, and
``replace`` exchanges methods.

May import: ``errors``, ``ident``, ``local``, ``flow``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import local
from ..local.unbound import set_explanation
from . import start, watch
from .binding import Binding, Place
from .explain import explain
from .late import refuse_if_late
from .table import report

__all__ = ["Binding", "Place", "bindings", "disable", "enable", "is_enabled", "report"]

_undo: list[Callable[[], None]] = []


def enable() -> None:
    """Remember from now on where each value of a Local or LocalStack is set. Again is harmless.

    Each set takes some 20 microseconds then. What is remembered of a value is kept beside it, and
    goes when it goes: with its owner at the latest.

    :raises RuntimeError: a value is bound already, of which nothing could be told.
    """
    if _undo:
        return
    refuse_if_late()
    begin(local)


def begin(twin: Any) -> None:
    """Trace the classes of a twin, which has them by their names."""
    _undo.extend((watch.begin(twin), start.begin(), lambda: set_explanation(None)))
    set_explanation(explain)


def disable() -> None:
    """Remember nothing any more, and forget what was remembered. Again is harmless."""
    while _undo:
        _undo.pop()()


def is_enabled() -> bool:
    """Whether values are traced."""
    return bool(_undo)


def bindings() -> list[Binding]:
    """Return what living owners hold, in the order in which it was set; empty while not enabled.

    O(values). An owner that has ended counts as long as something refers to it, as its values do.
    """
    return watch.living()
