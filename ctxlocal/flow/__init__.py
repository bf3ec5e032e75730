"""Carrying state across owners: a job keeps the context of the code that started it.

What travels: the context variables, and the values of each Local that follows the
application's default or was made with ``carry=True``. A Local with a strategy of
its own stays with its owner: the strategy "thread" is for values that must not leave a thread.
Another process gets what ``export`` gives: the attributes that a Local names by ``wire=``.

May import: ``errors``, ``ident``, ``local``.
"""

from __future__ import annotations

from ..local.scope import set_lost_scope_hook
from ..local.scoped import Scoped
from .frame import Frame as Frame
from .frame import Snapshot as Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar

    from ..local import Local
    from .executor import ContextThreadPoolExecutor as ContextThreadPoolExecutor
    from .wire import export as export
    from .wire import imported as imported

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = [
    "ContextThreadPoolExecutor",
    "Frame",
    "Snapshot",
    "bind",
    "export",
    "imported",
    "scoped",
    "set_lost_scope_hook",
    "snapshot",
]

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, without importing inspect


def scoped(local: Local, /, *, strict: bool = False, **values: Any) -> Scoped:
    """Give a Local other values for the length of a ``with`` block.

    Leaving the block restores what these names were before, in the owner that entered
    it. Left in another owner, it restores nothing there and raises no token error; see
    :func:`set_lost_scope_hook`. A Context copied inside restores its own copy.

    :param strict: raise :class:`~ctxlocal.errors.ScopeLostError` in that case.
    :param values: the names and their values. Where the Local's class annotates its attributes,
        these are the names it takes, besides those that the class defines.
    :raises TypeError: a name that such a class does not have.
    """
    return Scoped(local, values, strict)


def snapshot() -> Snapshot:
    """Return a Snapshot of what travels, as it is now in the current owner.

    Namespaces are copied, the objects in them are not; a Local that is dropped takes its
    values out of the snapshot. O(values captured).
    """
    return Snapshot()


def bind(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` so that it runs with what travels now, wherever it is called.

    For threads, timers, executors, callbacks, ``gevent.spawn`` and ``eventlet.spawn``.
    Usable from many threads at once; each call starts from a copy and leaves nothing.
    Of an ``async def`` each step runs so. Generators are not driven: their bodies run
    wherever they are iterated.
    """
    from functools import partial, wraps

    captured = Snapshot()
    innermost: Any = function
    while isinstance(innermost, partial):
        innermost = innermost.func
    if not _is_coroutine_function(innermost):

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return captured.run(function, *args, **kwargs)

        return run

    @wraps(function)
    async def drive(*args: P.args, **kwargs: P.kwargs) -> Any:
        return await captured.frame().drive(function(*args, **kwargs))  # type: ignore[arg-type]

    return drive  # type: ignore[return-value]


def _is_coroutine_function(function: Any) -> bool:
    if not hasattr(function, "__code__"):
        function = vars(type(function)).get("__call__")  # an object with an async __call__
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return isinstance(flags, int) and bool(flags & _CO_COROUTINE)


def __getattr__(name: str) -> Any:
    if name == "ContextThreadPoolExecutor":
        from . import executor as late  # concurrent.futures takes 10 ms
    elif name in ("export", "imported"):
        from . import wire as late  # type: ignore[no-redef]  # json takes 3 ms
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(late, name)
    return globals()[name]
